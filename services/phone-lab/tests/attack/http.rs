//! Requests byte for byte: a client library would put right what an attacker gets wrong on purpose.

use std::net::SocketAddr;

use phone_lab::twilio::{Account, signature};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{HOST, soon};

/// A request that is about to be sent.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) host: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Request {
    /// A POST of this form, unsigned.
    pub(crate) fn webhook(target: &str, form: &str) -> Self {
        let headers = vec![("content-type".into(), "application/x-www-form-urlencoded; charset=utf-8".into())];
        Self { method: "POST", target: target.into(), host: HOST.into(), headers, body: form.into() }
    }

    /// The upgrade of a media socket, unsigned.
    pub(crate) fn upgrade(target: &str) -> Self {
        let headers = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let headers = headers.map(|(name, value)| (name.into(), value.into())).into();
        Self { method: "GET", target: target.into(), host: HOST.into(), headers, body: String::new() }
    }

    /// Signed by Twilio for the URL and form that it has now.
    pub(crate) fn signed(self) -> Self {
        let signature = self.signature();
        self.with("x-twilio-signature", &signature)
    }

    /// What Twilio would sign it with.
    pub(crate) fn signature(&self) -> String {
        let scheme = if self.headers.iter().any(|(name, _)| name == "upgrade") { "wss" } else { "https" };
        let form: Vec<_> = form_urlencoded::parse(self.body.as_bytes()).into_owned().collect();
        let url = format!("{scheme}://{HOST}{}", self.target);
        signature::of_form(&Account::default().auth_token, &url, &form)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn to(mut self, target: &str) -> Self {
        self.target = target.into();
        self
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", self.method, self.target, self.host);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.method == "POST" {
            text.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        text + "\r\n" + &self.body
    }

    /// Sends it on a connection of its own.
    pub(crate) async fn send(&self, edge: SocketAddr) -> Answer {
        let mut socket = TcpStream::connect(edge).await.unwrap();
        socket.write_all(self.to_text().as_bytes()).await.unwrap();
        soon(Answer::read(&mut socket)).await.expect("an answer")
    }
}

impl Answer {
    /// The next answer on a connection; `None` if it was closed without one.
    pub(crate) async fn read(socket: &mut TcpStream) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head
            .to_ascii_lowercase()
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
        let mut body = vec![0; length];
        socket.read_exact(&mut body).await.ok()?;
        Some(Self { status: head[9..12].parse().unwrap(), body: String::from_utf8(body).unwrap() })
    }
}
