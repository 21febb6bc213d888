//! A client of `InvokeModelWithBidirectionalStream` that can be wrong on purpose.
//!
//! HTTP/2 by `h2`, signatures by `aws-sigv4`, frames by `aws-smithy-eventstream`: nothing of the simulator's own, so
//! that what the two agree on is more than one opinion.

use std::{io, sync::Arc, time::Duration};

use anyhow::Context;
use aws_credential_types::Credentials;
use aws_sigv4::{
    event_stream::{sign_empty_message, sign_message},
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use h2::{SendStream, client::SendRequest};
use http::{Method, Request, Uri};
use jiff::Timestamp;
use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::reading::{self, Seen};

const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";
const SERVICE: &str = "bedrock";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Nothing that is read is left unread for long, so the window never closes on the service.
const WINDOW: u32 = 4 * 1024 * 1024;
const SEEN_CAPACITY: usize = 256;

/// A service, and as whom it is asked.
#[derive(Clone, Debug)]
pub struct Target {
    /// `https://host` or `https://host:port`.
    pub endpoint: Uri,
    /// The region that requests are signed for.
    pub region: String,
    /// Who signs them.
    pub credentials: Credentials,
    /// Whom to trust; has to offer ALPN `h2`.
    pub tls: Arc<ClientConfig>,
    /// The model that is asked for.
    pub model: String,
}

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum RequestFlaw {
    #[default]
    None,
    Method,
    Query,
    ContentType,
    Unsigned,
    Secret,
    Key,
    Token,
    Region,
    /// Signed this long ago.
    Old(Duration),
    Model(&'static str),
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug)]
pub(super) enum FrameFlaw {
    Unsigned,
    Signature,
    /// Signed this long ago.
    Old(Duration),
    Checksum,
    EventType,
    NoBytes,
    NoBase64,
    NoJson,
}

/// A stream that has been asked for; whether it was given is among what is [`Seen`].
pub(super) struct Stream {
    input: SendStream<Bytes>,
    pub(super) seen: mpsc::Receiver<Seen>,
    signer: Signer,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Stream {
    /// Connects and sends the request's headers.
    pub(super) async fn open(target: &Target, flaw: RequestFlaw, now: Timestamp) -> anyhow::Result<Self> {
        let (mut requests, connection) = timeout(CONNECT_TIMEOUT, connect(target)).await.context("no connection")??;
        let (request, signer) = request(target, flaw, now)?;
        let (response, input) = requests.send_request(request, false)?;
        let (seeing, seen) = mpsc::channel(SEEN_CAPACITY);
        let reading = AbortOnDropHandle::new(tokio::spawn(reading::read(response, requests, seeing)));
        Ok(Self { input, seen, signer, _tasks: [connection, reading] })
    }

    /// Sends an event as it should be sent. A stream that the service has ended takes no more; that is no error.
    pub(super) fn send(&mut self, event: &Value, now: Timestamp) -> anyhow::Result<()> {
        let frame = self.signer.sign(&inner("chunk", chunk(event)), now)?;
        self.write(&frame)
    }

    /// Sends an event in a frame that is wrong.
    pub(super) fn send_flawed(&mut self, event: &Value, flaw: FrameFlaw, now: Timestamp) -> anyhow::Result<()> {
        let right = || inner("chunk", chunk(event));
        let frame = match flaw {
            FrameFlaw::Unsigned => Message::new(encoded(&right())?),
            FrameFlaw::Signature => {
                self.signer.prior = "0".repeat(self.signer.prior.len());
                self.signer.sign(&right(), now)?
            }
            FrameFlaw::Old(age) => self.signer.sign(&right(), now.checked_sub(age)?)?,
            FrameFlaw::Checksum => {
                let mut bytes = encoded(&self.signer.sign(&right(), now)?)?;
                if let Some(last) = bytes.last_mut() {
                    *last ^= 0xff;
                }
                self.write_bytes(bytes.into());
                return Ok(());
            }
            FrameFlaw::EventType => self.signer.sign(&inner("lump", chunk(event)), now)?,
            FrameFlaw::NoBytes => self.signer.sign(&inner("chunk", "{}".into()), now)?,
            FrameFlaw::NoBase64 => self.signer.sign(&inner("chunk", json!({"bytes": "?"}).to_string()), now)?,
            FrameFlaw::NoJson => self.signer.sign(&inner("chunk", json!({"bytes": "eA=="}).to_string()), now)?,
        };
        self.write(&frame)
    }

    /// Ends the client's half, with the empty signed frame before it or without.
    pub(super) fn finish(&mut self, by_the_book: bool, now: Timestamp) -> anyhow::Result<()> {
        if by_the_book {
            let end = self.signer.sign_end(now)?;
            self.write(&end)?;
        }
        drop(self.input.send_data(Bytes::new(), true));
        Ok(())
    }

    fn write(&mut self, frame: &Message) -> anyhow::Result<()> {
        self.write_bytes(encoded(frame)?.into());
        Ok(())
    }

    fn write_bytes(&mut self, bytes: Bytes) {
        drop(self.input.send_data(bytes, false));
    }
}

async fn connect(target: &Target) -> anyhow::Result<(SendRequest<Bytes>, AbortOnDropHandle<()>)> {
    let host = target.endpoint.host().context("the endpoint has no host")?.trim_matches(['[', ']']).to_owned();
    let socket = TcpStream::connect((host.as_str(), target.endpoint.port_u16().unwrap_or(443))).await?;
    socket.set_nodelay(true)?;
    let tls = tokio_rustls::TlsConnector::from(Arc::clone(&target.tls));
    let socket = tls.connect(host.try_into().map_err(io::Error::other)?, socket).await?;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW).enable_push(false);
    let (requests, connection) = builder.handshake(socket).await?;
    let connection = tokio::spawn(async { drop(connection.await) });
    Ok((requests, AbortOnDropHandle::new(connection)))
}

fn request(target: &Target, flaw: RequestFlaw, now: Timestamp) -> anyhow::Result<(Request<()>, Signer)> {
    let (mut method, mut query, mut content, mut signed, mut at) = (Method::POST, "", EVENT_STREAM, true, now);
    let (mut credentials, mut region) = (target.credentials.clone(), target.region.as_str());
    let mut model = target.model.as_str();
    let (key, secret) = (target.credentials.access_key_id(), target.credentials.secret_access_key());
    match flaw {
        RequestFlaw::None => {}
        RequestFlaw::Method => method = Method::GET,
        RequestFlaw::Query => query = "?x=y",
        RequestFlaw::ContentType => content = "application/json",
        RequestFlaw::Unsigned => signed = false,
        RequestFlaw::Secret => credentials = spoilt(key, "wrong", target.credentials.session_token()),
        RequestFlaw::Key => credentials = spoilt("AKIAIOSFODNN7UNKNOWN", secret, None),
        RequestFlaw::Token => credentials = spoilt(key, secret, Some("wrong")),
        RequestFlaw::Region => region = "eu-central-7",
        RequestFlaw::Old(age) => at = now.checked_sub(age)?,
        RequestFlaw::Model(other) => model = other,
    }
    let mut signer = Signer { identity: credentials.into(), region: region.to_owned(), prior: String::new() };
    let authority = target.endpoint.authority().context("the endpoint has no host")?;
    let model: String = form_urlencoded::byte_serialize(model.as_bytes()).collect();
    let uri = format!("https://{authority}/model/{model}/invoke-with-bidirectional-stream{query}");
    let mut request = Request::builder().method(method).uri(uri).header("content-type", content).body(())?;
    if signed {
        signer.sign_request(&mut request, at)?;
    }
    Ok((request, signer))
}

fn spoilt(key: &str, secret: &str, token: Option<&str>) -> Credentials {
    Credentials::new(key, secret, token.map(str::to_owned), None, "wrong on purpose")
}

/// Signs a request and then, in a chain from its signature, its messages.
struct Signer {
    identity: Identity,
    region: String,
    prior: String,
}

impl Signer {
    fn sign_request(&mut self, request: &mut Request<()>, at: Timestamp) -> anyhow::Result<()> {
        let params = self.params(SigningSettings::default(), at)?.into();
        let headers = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let (method, uri) = (request.method().as_str(), request.uri().to_string());
        // The SDK signs the empty body here: that of a stream is signed message by message.
        let signable = SignableRequest::new(method, uri, headers, SignableBody::Bytes(&[]))?;
        let (instructions, signature) = sign(signable, &params)?.into_parts();
        instructions.apply_to_request_http1x(request);
        self.prior = signature;
        Ok(())
    }

    fn sign(&mut self, inner: &Message, at: Timestamp) -> anyhow::Result<Message> {
        let (message, signature) = sign_message(inner, &self.prior, &self.params((), at)?)?.into_parts();
        self.prior = signature;
        Ok(message)
    }

    fn sign_end(&mut self, at: Timestamp) -> anyhow::Result<Message> {
        let (message, signature) = sign_empty_message(&self.prior, &self.params((), at)?)?.into_parts();
        self.prior = signature;
        Ok(message)
    }

    fn params<S: Default>(&self, settings: S, at: Timestamp) -> anyhow::Result<v4::SigningParams<'_, S>> {
        let params = v4::SigningParams::builder().identity(&self.identity).region(&self.region).name(SERVICE);
        Ok(params.time(at.into()).settings(settings).build()?)
    }
}

fn chunk(event: &Value) -> String {
    json!({"bytes": STANDARD.encode(json!({ "event": event }).to_string())}).to_string()
}

fn inner(event_type: &str, payload: String) -> Message {
    let headers = [(":message-type", "event"), (":event-type", event_type), (":content-type", "application/json")];
    let header = |(name, value): (&'static str, &str)| Header::new(name, HeaderValue::String(value.to_owned().into()));
    Message::new_from_parts(headers.map(header).into(), payload)
}

fn encoded(message: &Message) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    write_message_to(message, &mut bytes)?;
    Ok(bytes)
}
