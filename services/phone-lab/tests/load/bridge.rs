//! A null bridge: TwiML that connects a stream, and a socket that sends back what it hears, but for what it is told to
//! do wrong.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};
use tokio_util::task::AbortOnDropHandle;

/// Connects a stream.
pub(crate) const DOCUMENT: &str =
    "<Response><Connect><Stream url=\"wss://voice.example.test/media\"/></Connect></Response>";

/// What a bridge does with a media message, by the count of messages in its stream that are no silence.
pub(crate) type Mischief = fn(u64) -> Deed;

/// What becomes of a message.
#[derive(Clone, Copy)]
pub(crate) enum Deed {
    Echo,
    Drop,
    /// One bit of its last byte changes.
    Alter,
    Delay(Duration),
    /// It is sent after the next.
    Swap,
    /// The stream ends.
    HangUp,
}

pub(crate) struct Bridge {
    pub(crate) address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Bridge {
    pub(crate) async fn start(mischief: Mischief) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::new(mischief)));
            }
        });
        Self { address, _task: AbortOnDropHandle::new(task) }
    }
}

async fn serve(mut stream: TcpStream, mischief: Arc<Mischief>) {
    stream.set_nodelay(true).unwrap();
    let mut head = [0; 4];
    stream.peek(&mut head).await.unwrap();
    if &head == b"POST" { answer(&mut stream).await } else { echo(stream, *mischief).await }
}

/// The document, once the request is whole.
async fn answer(stream: &mut TcpStream) {
    if request(stream).await.is_some() {
        respond(stream, "200 OK", DOCUMENT).await;
    }
}

/// A whole request; none if the client is gone.
pub(crate) async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await.unwrap() == 0 {
            return None;
        }
    }
    Some(String::from_utf8(request).unwrap())
}

pub(crate) async fn respond(stream: &mut TcpStream, status: &str, body: &str) {
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-type: text/xml\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
}

fn is_whole(request: &[u8]) -> bool {
    let request = String::from_utf8_lossy(request);
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.to_ascii_lowercase();
    let length = length.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    body.len() >= length.trim().parse::<usize>().unwrap()
}

async fn echo(stream: TcpStream, mischief: Mischief) {
    let Ok(socket) = accept_async(stream).await else { return };
    let (mut sink, mut reader) = socket.split();
    let (mut sounds, mut held) = (0, None);
    while let Some(Ok(Message::Text(text))) = reader.next().await {
        let message: Value = serde_json::from_str(&text).unwrap();
        if message["event"] != "media" {
            continue;
        }
        let payload = message["media"]["payload"].as_str().unwrap();
        let deed = if is_silence(payload) { Deed::Echo } else { mischief(sounds) };
        sounds += u64::from(!is_silence(payload));
        let mut payload = payload.to_owned();
        match deed {
            Deed::Echo => {}
            Deed::Drop => continue,
            Deed::Alter => alter(&mut payload),
            Deed::Delay(by) => sleep(by).await,
            Deed::Swap => {
                held = Some(media(&message, &payload));
                continue;
            }
            Deed::HangUp => return,
        }
        let messages = [Some(media(&message, &payload)), held.take()];
        if send(&mut sink, messages.into_iter().flatten()).await.is_none() {
            return;
        }
    }
}

async fn send(
    sink: &mut SplitSink<WebSocketStream<TcpStream>, Message>,
    messages: impl Iterator<Item = Message>,
) -> Option<()> {
    for message in messages {
        sink.feed(message).await.ok()?;
    }
    sink.flush().await.ok()
}

fn media(received: &Value, payload: &str) -> Message {
    let message = json!({"event": "media", "streamSid": received["streamSid"], "media": {"payload": payload}});
    Message::text(message.to_string())
}

/// 160 silent codes in base64 are slashes, but for the end.
fn is_silence(payload: &str) -> bool {
    payload.starts_with("////")
}

/// The last byte is in the last four characters, of which two are padding.
fn alter(payload: &mut String) {
    let last = payload.len() - 4;
    let other = if payload[last..].starts_with('A') { "B" } else { "A" };
    payload.replace_range(last..=last, other);
}
