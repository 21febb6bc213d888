//! A client of one's own, for what no SDK would send: it signs as one should, and sends the bytes that it is told.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
use aws_smithy_types::{
    DateTime,
    event_stream::{Header, HeaderValue, Message},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use hmac::{Hmac, KeyInit, Mac};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::{
    body::{Body, Frame, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use offhook_hosting::clock::Clock;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinHandle},
    time::timeout,
};

use crate::support::*;

pub(crate) const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";
const HOST: &str = "127.0.0.1";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// The path of the operation.
pub(crate) fn operation() -> String {
    format!("/model/{}/invoke-with-bidirectional-stream", MODEL.replace(':', "%3A"))
}

/// A connection. It stays open as long as it has requests.
pub(crate) struct Raw {
    sender: Sender,
    connection: AbortHandle,
}

enum Sender {
    Http1(http1::SendRequest<RawBody>),
    Http2(http2::SendRequest<RawBody>),
}

/// A body that goes on until its sender is gone.
pub(crate) struct RawBody(mpsc::Receiver<Bytes>);

impl Body for RawBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl Raw {
    /// Speaks HTTP/2.
    pub(crate) async fn connect(lab: &Lab) -> Self {
        let stream = TokioIo::new(connect(lab, &[b"h2"]).await.unwrap());
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        Self { sender: Sender::Http2(sender), connection: tokio::spawn(connection).abort_handle() }
    }

    /// Speaks HTTP/1.1.
    pub(crate) async fn connect_by_http1(lab: &Lab, alpn: &[&[u8]]) -> Self {
        let stream = TokioIo::new(connect(lab, alpn).await.unwrap());
        let (sender, connection) = http1::handshake(stream).await.unwrap();
        Self { sender: Sender::Http1(sender), connection: tokio::spawn(connection).abort_handle() }
    }

    /// Closes the connection, whatever is under way.
    pub(crate) fn vanish(self) {
        self.connection.abort();
    }

    /// Status and error type of the answer to a request without a signature.
    pub(crate) async fn request(&mut self, method: &str, path: &str, content: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(self.uri(path)).header("content-type", content);
        let (_, body) = mpsc::channel(1);
        let answer = self.send(request.body(RawBody(body)).unwrap());
        let answer = timeout(PATIENCE, answer).await.expect("an answer in time").unwrap().unwrap();
        let error = answer.headers().get("x-amzn-errortype").unwrap().to_str().unwrap().to_owned();
        (answer.status().as_u16(), error)
    }

    /// Begins a session; nothing of its body is sent yet.
    pub(crate) fn open(&mut self) -> RawCall {
        let now = Clock.wall();
        let (signer, authorization) = Signer::of_request(now);
        let mut request = Request::post(self.uri(&operation()));
        if matches!(self.sender, Sender::Http1(_)) {
            request = request.header("host", HOST);
        }
        let request = request
            .header("content-type", EVENT_STREAM)
            .header("x-amz-date", stamp(now))
            .header("authorization", authorization);
        let (body, frames) = mpsc::channel(64);
        let answer = self.send(request.body(RawBody(frames)).unwrap());
        RawCall {
            body: Some(body),
            signer,
            answer: Some(answer),
            incoming: None,
            read: BytesMut::new(),
            id: String::new(),
        }
    }

    fn uri(&self, path: &str) -> String {
        match &self.sender {
            Sender::Http1(_) => path.to_owned(),
            Sender::Http2(_) => format!("https://{HOST}{path}"),
        }
    }

    fn send(&mut self, request: Request<RawBody>) -> JoinHandle<hyper::Result<Response<Incoming>>> {
        match &mut self.sender {
            Sender::Http1(sender) => tokio::spawn(sender.send_request(request)),
            Sender::Http2(sender) => tokio::spawn(sender.send_request(request)),
        }
    }
}

/// One session.
pub(crate) struct RawCall {
    body: Option<mpsc::Sender<Bytes>>,
    signer: Signer,
    answer: Option<JoinHandle<hyper::Result<Response<Incoming>>>>,
    incoming: Option<Incoming>,
    read: BytesMut,
    /// The request id, once there was a response.
    pub(crate) id: String,
}

impl RawCall {
    pub(crate) async fn send_bytes(&mut self, bytes: impl Into<Bytes>) {
        // A session that has ended takes no more; its tests look at how it ended.
        let _ = self.body.as_ref().unwrap().send(bytes.into()).await;
    }

    /// Sends an inner frame, signed and dated now.
    pub(crate) async fn send_inner(&mut self, inner: &[u8]) {
        let frame = self.sign(inner, Clock.wall());
        self.send_bytes(frame).await;
    }

    pub(crate) async fn send_event(&mut self, event: &Value) {
        self.send_inner(&inner(event)).await;
    }

    /// The next outer frame, with this date.
    pub(crate) fn sign(&mut self, inner: &[u8], date: Timestamp) -> Vec<u8> {
        let signature = self.signer.sign(inner, date);
        outer(vec![dated(date), signed(&signature)], inner)
    }

    /// Ends the client's half, without the empty frame.
    pub(crate) fn end_body(&mut self) {
        self.body = None;
    }

    /// The next frame; none at the end. An error says what broke the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>, String> {
        if let Some(answer) = self.answer.take() {
            let answer = timeout(PATIENCE, answer).await.expect("an answer in time").unwrap();
            let answer = answer.map_err(|error| format!("{error:?}"))?;
            self.id = answer.headers()["x-amzn-requestid"].to_str().unwrap().to_owned();
            self.incoming = Some(answer.into_body());
        }
        loop {
            let length = self.read.first_chunk().map(|length| u32::from_be_bytes(*length) as usize);
            if let Some(length) = length.filter(|length| *length <= self.read.len()) {
                let frame = self.read.split_to(length).freeze();
                return Ok(Some(read_message_from(frame).map_err(|error| format!("{error:?}"))?));
            }
            let more = timeout(PATIENCE, self.incoming.as_mut().unwrap().frame()).await.expect("a frame in time");
            match more {
                Some(Ok(frame)) => self.read.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Some(Err(error)) => return Err(format!("{error:?}")),
                None => return Ok(None),
            }
        }
    }

    /// The next event, as its name and fields.
    pub(crate) async fn next_event(&mut self) -> (String, Value) {
        let frame = self.next().await.unwrap().expect("an event");
        let chunk: Value = serde_json::from_slice(frame.payload()).unwrap();
        let json = STANDARD.decode(chunk["bytes"].as_str().unwrap()).unwrap();
        let event: Value = serde_json::from_slice(&json).unwrap();
        let (name, fields) = event["event"].as_object().unwrap().iter().next().unwrap();
        (name.clone(), fields.clone())
    }

    /// The type and text of the exception with which the stream ends.
    pub(crate) async fn exception(&mut self) -> (String, String) {
        let frame = self.next().await.unwrap().expect("an exception");
        assert_eq!(value(&frame, ":message-type"), "exception");
        assert!(self.next().await.unwrap().is_none(), "the exception ends the stream");
        let payload: Value = serde_json::from_slice(frame.payload()).unwrap();
        (value(&frame, ":exception-type"), payload["message"].as_str().unwrap().to_owned())
    }
}

/// A header of a frame.
pub(crate) fn value(frame: &Message, name: &str) -> String {
    let header = frame.headers().iter().find(|header| header.name().as_str() == name);
    header.unwrap_or_else(|| panic!("no {name}: {frame:?}")).value().as_string().unwrap().as_str().to_owned()
}

/// An event in its inner frame.
pub(crate) fn inner(event: &Value) -> Vec<u8> {
    let payload = json!({"bytes": STANDARD.encode(json!({ "event": event }).to_string())});
    chunk("event", "chunk", &payload.to_string())
}

/// An inner frame that says this of itself.
pub(crate) fn chunk(message_type: &'static str, event_type: &'static str, payload: &str) -> Vec<u8> {
    let headers = [(":message-type", message_type), (":event-type", event_type), (":content-type", "application/json")];
    let header = |(name, value): (&'static str, &'static str)| Header::new(name, HeaderValue::String(value.into()));
    outer(headers.map(header).into(), payload.as_bytes())
}

/// A frame with these headers.
pub(crate) fn outer(headers: Vec<Header>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_message_to(&Message::new_from_parts(headers, payload.to_vec()), &mut bytes).unwrap();
    bytes
}

pub(crate) fn dated(date: Timestamp) -> Header {
    Header::new(":date", HeaderValue::Timestamp(DateTime::from_millis(date.as_millisecond())))
}

pub(crate) fn signed(signature: &[u8]) -> Header {
    Header::new(":chunk-signature", HeaderValue::ByteArray(Bytes::copy_from_slice(signature)))
}

/// Signature Version 4 of one stream.
struct Signer {
    key: Vec<u8>,
    scope: String,
    previous: String,
}

impl Signer {
    /// Signs the request, and is ready for its messages.
    fn of_request(now: Timestamp) -> (Self, String) {
        let (stamp, names) = (stamp(now), "content-type;host;x-amz-date");
        let path = operation().replace('%', "%25");
        let headers = format!("content-type:{EVENT_STREAM}\nhost:{HOST}\nx-amz-date:{stamp}\n");
        let canonical = format!("POST\n{path}\n\n{headers}\n{names}\n{}", hash(b""));
        let scope = format!("{}/us-east-1/bedrock/aws4_request", &stamp[..8]);
        let key = scope.split('/').fold(format!("AWS4{SECRET}").into_bytes(), |key, part| hmac(&key, part.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hash(canonical.as_bytes()));
        let seed = hex(&hmac(&key, to_sign.as_bytes()));
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={names}, Signature={seed}");
        (Self { key, scope, previous: seed }, authorization)
    }

    fn sign(&mut self, inner: &[u8], date: Timestamp) -> Vec<u8> {
        let header = [b"\x05:date\x08", &date.as_millisecond().to_be_bytes()[..]].concat();
        let Self { scope, previous, .. } = self;
        let to_sign = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{scope}\n{previous}\n{}\n{}",
            stamp(date),
            hash(&header),
            hash(inner)
        );
        let signature = hmac(&self.key, to_sign.as_bytes());
        self.previous = hex(&signature);
        signature
    }
}

fn stamp(date: Timestamp) -> String {
    date.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
