//! Twilio's side: webhooks that are signed, and a media socket that says what Twilio says.

use std::net::SocketAddr;

use base64::{Engine, engine::general_purpose::STANDARD};
use edge::twilio::signature::sign;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, body::Bytes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest},
};

use super::{ACCOUNT, CALL, HOST, STREAM, TOKEN, soon};

/// The form of a webhook.
pub(crate) fn form(extra: &[(&str, &str)]) -> String {
    let required = [("CallSid", CALL), ("AccountSid", ACCOUNT), ("From", "+15005550006"), ("To", "+15005550009")];
    let more = [("Direction", "inbound"), ("CallStatus", "ringing"), ("FromCity", "")];
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(required.iter().chain(&more).chain(extra));
    form.finish()
}

/// A webhook as Twilio sends it.
pub(crate) async fn post(edge: SocketAddr, target: &str, form: &str) -> (StatusCode, String) {
    let signature = sign(&TOKEN.into(), &format!("https://{HOST}{target}"), form.as_bytes());
    post_signed(edge, target, form, Some(&signature)).await
}

/// A webhook with any signature.
pub(crate) async fn post_signed(
    edge: SocketAddr,
    target: &str,
    form: &str,
    signature: Option<&str>,
) -> (StatusCode, String) {
    let content_type = "application/x-www-form-urlencoded; charset=utf-8";
    let mut request = Request::post(format!("http://{edge}{target}")).header("content-type", content_type);
    if let Some(signature) = signature {
        request = request.header("x-twilio-signature", signature);
    }
    send(request.body(Full::from(form.to_owned())).unwrap()).await
}

/// A webhook that is configured as GET.
pub(crate) async fn get_signed(edge: SocketAddr, target: &str) -> (StatusCode, String) {
    let signature = sign(&TOKEN.into(), &format!("https://{HOST}{target}"), b"");
    let request = Request::get(format!("http://{edge}{target}")).header("x-twilio-signature", signature);
    send(request.body(Full::default()).unwrap()).await
}

/// A plain request.
pub(crate) async fn get(address: SocketAddr, target: &str) -> (StatusCode, String) {
    send(Request::get(format!("http://{address}{target}")).body(Full::default()).unwrap()).await
}

pub(crate) async fn send(request: Request<Full<Bytes>>) -> (StatusCode, String) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = soon(client.request(request)).await.unwrap();
    let status = response.status();
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// The path of the stream that a document connects.
pub(crate) fn stream_path(document: &str) -> String {
    let url = document.split("<Stream url=\"wss://voice.example.com").nth(1).expect("the document connects a stream");
    url.split('"').next().unwrap().to_owned()
}

/// Asks for a call's document and gives the path of its stream.
pub(crate) async fn arrive(edge: SocketAddr) -> String {
    stream_path(&post(edge, "/incoming-call", &form(&[])).await.1)
}

/// A media socket.
pub(crate) struct Stream {
    socket: WebSocketStream<TcpStream>,
}

impl Stream {
    /// Opens a socket with any signature; the status if the edge does not want it.
    pub(crate) async fn open_signed(edge: SocketAddr, path: &str, signature: Option<&str>) -> Result<Self, StatusCode> {
        let mut request = format!("ws://{edge}{path}").into_client_request().unwrap();
        if let Some(signature) = signature {
            request.headers_mut().insert("x-twilio-signature", signature.parse().unwrap());
        }
        let tcp = TcpStream::connect(edge).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        match soon(client_async(request, tcp)).await {
            Ok((socket, response)) => {
                assert!(response.headers().get("sec-websocket-extensions").is_none());
                Ok(Self { socket })
            }
            Err(tungstenite::Error::Http(response)) => Err(response.status()),
            Err(error) => panic!("the handshake broke: {error}"),
        }
    }

    /// Opens a socket as Twilio does.
    pub(crate) async fn open(edge: SocketAddr, path: &str) -> Result<Self, StatusCode> {
        let signature = sign(&TOKEN.into(), &format!("wss://{HOST}{path}"), b"");
        Self::open_signed(edge, path, Some(&signature)).await
    }

    /// A call that has arrived and whose stream has started.
    pub(crate) async fn started(edge: SocketAddr) -> Self {
        let mut stream = Self::open(edge, &arrive(edge).await).await.unwrap();
        stream.say(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#).await;
        stream.start(CALL).await;
        stream
    }

    pub(crate) async fn start(&mut self, call: &str) {
        self.start_with(call, &[("from".into(), "+15005550006".into()), ("direction".into(), "inbound".into())]).await;
    }

    /// With these custom parameters.
    pub(crate) async fn start_with(&mut self, call: &str, parameters: &[(String, String)]) {
        let parameters: serde_json::Map<_, _> =
            parameters.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        let parameters = Value::Object(parameters);
        let text = format!(
            r#"{{"event":"start","sequenceNumber":"1","start":{{"accountSid":"{ACCOUNT}","streamSid":"{STREAM}",
            "callSid":"{call}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,
            "channels":1}},"customParameters":{parameters}}},"streamSid":"{STREAM}"}}"#
        );
        self.say(&text).await;
    }

    pub(crate) async fn media(&mut self, mulaw: &[u8]) {
        let payload = STANDARD.encode(mulaw);
        let text = format!(
            r#"{{"event":"media","sequenceNumber":"2","media":{{"track":"inbound","chunk":"1","timestamp":"155","payload":"{payload}"}},"streamSid":"{STREAM}"}}"#
        );
        self.say(&text).await;
    }

    pub(crate) async fn key(&mut self, digit: char) {
        let text = format!(
            r#"{{"event":"dtmf","streamSid":"{STREAM}","sequenceNumber":"5","dtmf":{{"track":"inbound_track","digit":"{digit}"}}}}"#
        );
        self.say(&text).await;
    }

    pub(crate) async fn echo(&mut self, name: &str) {
        let text =
            format!(r#"{{"event":"mark","sequenceNumber":"4","streamSid":"{STREAM}","mark":{{"name":"{name}"}}}}"#);
        self.say(&text).await;
    }

    pub(crate) async fn stop(&mut self) {
        let text = format!(
            r#"{{"event":"stop","sequenceNumber":"9","streamSid":"{STREAM}","stop":{{"accountSid":"{ACCOUNT}","callSid":"{CALL}"}}}}"#
        );
        self.say(&text).await;
    }

    pub(crate) async fn say(&mut self, text: &str) {
        soon(self.socket.send(Message::text(text))).await.unwrap();
    }

    /// What the edge sends next, or that it has closed the socket.
    pub(crate) async fn hears(&mut self) -> Sent {
        loop {
            match soon(self.socket.next()).await {
                Some(Ok(Message::Text(text))) => return Sent::parse(&text),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Sent::Close,
                Some(Ok(other @ (Message::Binary(_) | Message::Frame(_)))) => panic!("not for Twilio: {other:?}"),
            }
        }
    }
}

/// What the edge sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sent {
    Media(Vec<u8>),
    Mark(String),
    Clear,
    Close,
}

impl Sent {
    /// As strict as Twilio: a field too many or too few and the message counts as invalid.
    fn parse(text: &str) -> Self {
        let message: Value = serde_json::from_str(text).unwrap();
        assert_eq!(message["streamSid"], STREAM);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (sent, fields) = match message["event"].as_str().unwrap() {
            "media" => (Self::Media(STANDARD.decode(text(&message["media"]["payload"])).unwrap()), 3),
            "mark" => (Self::Mark(text(&message["mark"]["name"])), 3),
            "clear" => (Self::Clear, 2),
            other => panic!("Twilio knows no {other}"),
        };
        assert_eq!(message.as_object().unwrap().len(), fields, "{message}");
        sent
    }
}
