//! Somebody else's voice server: TwiML that connects a stream, and a socket that repeats what it hears.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_tungstenite::{accept_async, tungstenite::Message};
use tokio_util::task::AbortOnDropHandle;

const CONNECT: &str = "<Response><Connect><Stream url=\"wss://voice.example.test/media\"/></Connect></Response>";
const DIAL: &str = "<Response><Dial><Sip>sip:desk@pbx.example.test</Sip></Dial><Say>Nobody is there.</Say></Response>";

/// How it answers webhooks.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    Connects,
    Dials,
    Forbids,
}

/// Stops when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, manner));
            }
        });
        Self { address, _task: AbortOnDropHandle::new(task) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn serve(mut stream: TcpStream, manner: Manner) {
    let mut method = [0; 4];
    match stream.peek(&mut method).await {
        Ok(4) if &method == b"POST" => answer(&mut stream, manner).await,
        Ok(4) => repeat(stream).await,
        // Whoever only looks whether somebody is there.
        Ok(_) | Err(_) => {}
    }
}

async fn answer(stream: &mut TcpStream, manner: Manner) {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await.unwrap() == 0 {
            return;
        }
    }
    let (status, body) = match manner {
        Manner::Connects => ("200 OK", CONNECT),
        Manner::Dials => ("200 OK", DIAL),
        Manner::Forbids => ("403 Forbidden", ""),
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: text/xml\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all((head + body).as_bytes()).await.unwrap();
}

fn is_whole(request: &[u8]) -> bool {
    let request = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap_or("0");
    body.len() >= length.trim().parse::<usize>().unwrap()
}

async fn repeat(stream: TcpStream) {
    let Ok(mut socket) = accept_async(stream).await else { return };
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let heard: Value = serde_json::from_str(&text).unwrap();
        if heard["event"] == "media" {
            let media = json!({ "payload": heard["media"]["payload"] });
            let reply = json!({ "event": "media", "streamSid": heard["streamSid"], "media": media });
            if socket.send(Message::text(reply.to_string())).await.is_err() {
                return;
            }
        }
    }
}
