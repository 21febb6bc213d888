//! What comes back on a stream.

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use aws_smithy_types::event_stream::Message;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use h2::{
    RecvStream,
    client::{ResponseFuture, SendRequest},
};
use serde_json::Value;
use tokio::sync::mpsc;

/// Something that came back.
#[derive(Debug)]
pub(super) enum Seen {
    /// An answer that is not 200.
    Refused { status: u16, error: String },
    /// Status 200, and how many streams the connection may carry.
    Response { max_concurrent_streams: usize },
    /// An event, by name; `padded` if there was a field `p` beside its bytes.
    Event { name: String, fields: Value, padded: bool },
    /// A frame that says what went wrong; `kind` from `:exception-type` or `:error-code`.
    Exception { kind: String, message: String },
    /// The service's half has ended.
    End,
    /// The stream broke, and how: an HTTP/2 code, or that the connection is gone.
    Broken(String),
}

/// Reads a response to its end, or until nobody wants to know. `requests` is held until then: h2 closes a connection
/// that nobody could use again.
pub(super) async fn read(response: ResponseFuture, requests: SendRequest<Bytes>, seeing: mpsc::Sender<Seen>) {
    let last = match read_all(response, &requests, &seeing).await {
        Ok(last) => last,
        Err(error) => Seen::Broken(broken(&error)),
    };
    // Gone when nobody wants to know.
    drop(seeing.send(last).await);
}

async fn read_all(
    response: ResponseFuture,
    requests: &SendRequest<Bytes>,
    seeing: &mpsc::Sender<Seen>,
) -> Result<Seen, h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    if head.status != 200 {
        let header = |name| head.headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        // Some services add a namespace after a colon.
        let error = header("x-amzn-errortype").unwrap_or_default().split(':').next().unwrap_or_default().to_owned();
        return Ok(Seen::Refused { status: head.status.as_u16(), error });
    }
    let max_concurrent_streams = requests.current_max_send_streams();
    drop(seeing.send(Seen::Response { max_concurrent_streams }).await);
    let (mut decoder, mut buffer) = (MessageFrameDecoder::new(), BytesMut::new());
    while let Some(bytes) = next(&mut body).await? {
        buffer.extend_from_slice(&bytes);
        loop {
            match decoder.decode_frame(&mut buffer) {
                Ok(DecodedFrame::Complete(frame)) => {
                    if seeing.send(seen(&frame)).await.is_err() {
                        return Ok(Seen::End);
                    }
                }
                Ok(DecodedFrame::Incomplete) => break,
                Err(error) => return Ok(Seen::Broken(format!("a frame that does not decode: {error}"))),
            }
        }
    }
    Ok(if buffer.is_empty() { Seen::End } else { Seen::Broken("half a frame".into()) })
}

async fn next(body: &mut RecvStream) -> Result<Option<Bytes>, h2::Error> {
    let Some(bytes) = body.data().await.transpose()? else { return Ok(None) };
    // Of a stream that has ended meanwhile nothing has to be released.
    drop(body.flow_control().release_capacity(bytes.len()));
    Ok(Some(bytes))
}

fn seen(frame: &Message) -> Seen {
    let header = |name: &str| {
        let header = frame.headers().iter().find(|header| header.name().as_str() == name)?;
        Some(header.value().as_string().ok()?.as_str().to_owned())
    };
    let message_type = header(":message-type").unwrap_or_default();
    if message_type != "event" {
        let kind = header(":exception-type").or_else(|| header(":error-code")).unwrap_or(message_type);
        let message = header(":error-message").unwrap_or_else(|| message_in(frame.payload()));
        return Seen::Exception { kind, message };
    }
    let payload: Value = serde_json::from_slice(frame.payload()).unwrap_or_default();
    let bytes = STANDARD.decode(payload["bytes"].as_str().unwrap_or_default()).unwrap_or_default();
    let event: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let named = event["event"].as_object().and_then(|event| event.iter().next());
    let (name, fields) = named.map_or(("unreadable", Value::Null), |(name, fields)| (name.as_str(), fields.clone()));
    Seen::Event { name: name.to_owned(), fields, padded: payload.get("p").is_some() }
}

/// The message of an error's JSON, without the request's id that may stand before it.
fn message_in(payload: &[u8]) -> String {
    let payload: Value = serde_json::from_slice(payload).unwrap_or_default();
    let message = payload["message"].as_str().or_else(|| payload["Message"].as_str()).unwrap_or_default();
    match message.strip_prefix("RequestId=").and_then(|rest| rest.split_once(" : ")) {
        Some((_, message)) => message.to_owned(),
        None => message.to_owned(),
    }
}

fn broken(error: &h2::Error) -> String {
    match error.reason() {
        Some(reason) if error.is_go_away() => format!("GOAWAY {reason:?}"),
        Some(reason) => format!("RST_STREAM {reason:?}"),
        None => "the connection is gone".to_owned(),
    }
}
