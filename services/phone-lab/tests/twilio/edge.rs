//! An edge made by hand: one function answers its webhooks, another talks on its media sockets.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use offhook_hosting::{clock::Clock, entropy::Entropy};
use phone_lab::{
    mulaw, tones,
    twilio::{CallOptions, CallReport, CallerScript, Settings, Twilio, url::Url},
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

pub(crate) const PUBLIC_URL: &str = "https://voice.example.test";
pub(crate) const TOKEN: &str = "phone-lab-auth-token";

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) form: Vec<(String, String)>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

pub(crate) type Answer = Response<Full<Bytes>>;

/// TwiML as an edge should answer it.
pub(crate) fn twiml(body: &str) -> Answer {
    answer(200, "text/xml", &format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>{body}</Response>"))
}

pub(crate) fn answer(status: u16, content_type: &str, body: &str) -> Answer {
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, content_type);
    response.body(Full::from(body.to_owned())).unwrap()
}

/// A stream, and what comes after it.
pub(crate) fn connect() -> Answer {
    twiml("<Connect action=\"/stream-ended\"><Stream url=\"wss://voice.example.test/media/7\"/></Connect>")
}

type Webhooks = Box<dyn Fn(&Seen) -> Answer + Send + Sync>;
type Talk = Box<dyn Fn(Line) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

pub(crate) struct Edge {
    address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    webhooks: Webhooks,
    talk: Talk,
    seen: Mutex<Vec<Seen>>,
    manner: Manner,
}

/// What is unusual about the answer to an upgrade.
#[derive(Clone, Copy, Default)]
struct Manner {
    /// A URL is good for one socket.
    once: bool,
    header: Option<(&'static str, &'static str)>,
}

impl Edge {
    /// An edge without media sockets.
    pub(crate) fn answering(webhooks: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(webhooks, |_| async {})
    }

    /// An edge that connects every call to one stream and then hangs up.
    pub(crate) fn talking<T: Future<Output = ()> + Send + 'static>(
        talk: impl Fn(Line) -> T + Send + Sync + 'static,
    ) -> Self {
        let webhooks = |seen: &Seen| if seen.target == "/incoming-call" { connect() } else { twiml("<Hangup/>") };
        Self::start(webhooks, talk)
    }

    /// The same, and no second socket for a URL.
    pub(crate) fn strict<T: Future<Output = ()> + Send + 'static>(
        talk: impl Fn(Line) -> T + Send + Sync + 'static,
    ) -> Self {
        let webhooks = |seen: &Seen| if seen.target == "/incoming-call" { connect() } else { twiml("<Hangup/>") };
        Self::start_as(webhooks, talk, Manner { once: true, ..Manner::default() })
    }

    /// An edge whose media sockets are opened with a header too many.
    pub(crate) fn answering_upgrades_with(
        webhooks: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
        header: (&'static str, &'static str),
    ) -> Self {
        Self::start_as(webhooks, |_| async {}, Manner { header: Some(header), ..Manner::default() })
    }

    pub(crate) fn start<T: Future<Output = ()> + Send + 'static>(
        webhooks: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
        talk: impl Fn(Line) -> T + Send + Sync + 'static,
    ) -> Self {
        Self::start_as(webhooks, talk, Manner::default())
    }

    fn start_as<T: Future<Output = ()> + Send + 'static>(
        webhooks: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
        talk: impl Fn(Line) -> T + Send + Sync + 'static,
        manner: Manner,
    ) -> Self {
        let talk: Talk = Box::new(move |line| Box::pin(talk(line)));
        let inner = Arc::new(Inner { webhooks: Box::new(webhooks), talk, seen: Mutex::default(), manner });
        let socket = TcpSocket::new_v4().unwrap();
        // Small, so that a test with a slow reader need not send for minutes.
        socket.set_recv_buffer_size(4096).unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener = socket.listen(16).unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, inner.clone()));
        Self { address, inner }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().unwrap().clone()
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::new(self.address, &Url::parse(PUBLIC_URL).unwrap())
    }

    pub(crate) fn twilio(&self) -> Twilio {
        Twilio::new(self.settings(), Clock, Entropy::from_seed(7))
    }

    /// A call by a caller who follows these steps.
    pub(crate) async fn call(&self, steps: &str) -> CallReport {
        self.twilio().call(caller(steps), CallOptions::default()).await
    }

    pub(crate) async fn call_with(&self, steps: &str, options: CallOptions) -> CallReport {
        self.twilio().call(caller(steps), options).await
    }
}

pub(crate) fn caller(steps: &str) -> CallerScript {
    let yaml = format!("from: '+15550100001'\nto: '+15550100100'\npatience: 5s\nsteps: [{steps}]");
    CallerScript::from_yaml(&yaml).unwrap()
}

async fn serve(listener: TcpListener, inner: Arc<Inner>) {
    while let Ok((stream, _)) = listener.accept().await {
        let inner = inner.clone();
        let service = service_fn(move |request| handle(request, inner.clone()));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades());
    }
}

async fn handle(mut request: Request<Incoming>, inner: Arc<Inner>) -> Result<Answer, Infallible> {
    let upgrade = request.headers().contains_key(header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let seen = Seen {
        method: head.method,
        target: head.uri.to_string(),
        headers: head.headers,
        form: form_urlencoded::parse(&body).into_owned().collect(),
    };
    let again = inner.seen.lock().unwrap().iter().any(|other| other.target == seen.target);
    inner.seen.lock().unwrap().push(seen.clone());
    let Some(upgrade) = upgrade else { return Ok((inner.webhooks)(&seen)) };
    if !seen.target.starts_with("/media/") {
        return Ok(answer(404, "text/plain", "no stream here"));
    }
    if again && inner.manner.once {
        return Ok(answer(403, "text/plain", "this stream is taken"));
    }
    let manner = inner.manner;
    let accept = derive_accept_key(seen.headers[header::SEC_WEBSOCKET_KEY].as_bytes());
    tokio::spawn(async move {
        let upgraded = TokioIo::new(upgrade.await.unwrap());
        let socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, None).await;
        (inner.talk)(Line { socket, stream_sid: String::new(), got: Vec::new() }).await;
    });
    let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS).header(header::CONNECTION, "Upgrade");
    let mut response = response.header(header::UPGRADE, "websocket").header(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some((name, value)) = manner.header {
        response = response.header(name, value);
    }
    Ok(response.body(Full::default()).unwrap())
}

/// The server's end of a media stream.
pub(crate) struct Line {
    pub(crate) socket: WebSocketStream<TokioIo<Upgraded>>,
    stream_sid: String,
    /// Every message that arrived, in order.
    pub(crate) got: Vec<Value>,
}

impl Line {
    /// The next message, `None` when the socket is closed or broken.
    pub(crate) async fn receive(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Text(text)) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["event"] == "start" {
                        self.stream_sid = message["streamSid"].as_str().unwrap().to_owned();
                    }
                    self.got.push(message.clone());
                    return Some(message);
                }
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    /// The next message of one kind; what comes before it is kept in `got`.
    pub(crate) async fn next(&mut self, event: &str) -> Option<Value> {
        loop {
            let message = self.receive().await?;
            if message["event"] == event {
                return Some(message);
            }
        }
    }

    /// Reads until the socket is over.
    pub(crate) async fn drain(&mut self) {
        while self.receive().await.is_some() {}
    }

    /// Listens until the caller has said something and fallen silent.
    pub(crate) async fn hear(&mut self) -> String {
        let (mut ear, mut heard) = (tones::Ear::new(), Vec::new());
        while !heard.iter().any(|item| matches!(item, tones::Heard::Silence { .. })) {
            let message = self.next("media").await.unwrap();
            heard.extend(ear.listen(&pcm(&message)));
        }
        tones::text(&heard)
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    pub(crate) async fn binary(&mut self, bytes: &'static [u8]) {
        self.socket.send(Message::binary(bytes)).await.unwrap();
    }

    pub(crate) async fn say(&mut self, text: &str) {
        let mulaw: Vec<u8> = tones::speak(text).into_iter().map(mulaw::encode).collect();
        self.media(&mulaw).await;
    }

    pub(crate) async fn media(&mut self, mulaw: &[u8]) {
        let media = json!({ "payload": STANDARD.encode(mulaw) });
        self.send(json!({ "event": "media", "streamSid": self.stream_sid, "media": media })).await;
    }

    pub(crate) async fn mark(&mut self, name: &str) {
        self.send(json!({ "event": "mark", "streamSid": self.stream_sid, "mark": { "name": name } })).await;
    }

    pub(crate) async fn clear(&mut self) {
        self.send(json!({ "event": "clear", "streamSid": self.stream_sid })).await;
    }

    pub(crate) async fn close(mut self) {
        let _ = self.socket.close(None).await;
        self.drain().await;
    }
}

pub(crate) fn pcm(media: &Value) -> Vec<i16> {
    let payload = STANDARD.decode(media["media"]["payload"].as_str().unwrap()).unwrap();
    mulaw::decode_all(&payload).collect()
}

/// Twilio's signature, computed as the documentation describes it and not as the lab does.
pub(crate) fn signature(token: &str, url: &str, form: &[(String, String)]) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let sorted: BTreeMap<_, _> = form.iter().cloned().collect();
    let signed = sorted.iter().fold(url.to_owned(), |text, (name, value)| text + name + value);
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(token.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}
