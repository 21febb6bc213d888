//! One media stream: Twilio's end of the socket, driven at the caller's 20 ms.
//!
//! How Twilio behaves on the socket: Twilio docs, "Media Streams - WebSocket Messages" and the error pages 319xx. The
//! upgrade's headers are those of captured requests, plus what a load balancer adds.

use std::{net::SocketAddr, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt, stream::SplitSink, stream::SplitStream};
use http::{Request, header};
use offhook_hosting::entropy::Entropy;
use tokio::{sync::mpsc, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error as SocketError, Message,
        error::ProtocolError,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    codes,
    media::{self, CONNECTED, Incoming, Outgoing},
    phone::{Left, Phone},
    playout::{FRAME, Overflow, Playout},
    report::{CallEnd, Finding},
    signature,
    url::Url,
    webhook::{Signing, TWILIO_ADDRESS},
};
use crate::{
    mulaw,
    network::{Conditions, Goodbye, Line, Network},
};

/// How long a server has to answer the upgrade. Twilio's own limit is not documented.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long a closing handshake may take before the socket is dropped.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// Messages that wait for a slow server: five seconds of audio.
const OUTBOX: usize = 256;
/// Places in the outbox that audio leaves to everything else.
const FOR_CONTROL: usize = 64;
/// The library's own buffers are sized for bulk transfers; a frame has 350 bytes.
const READ_BUFFER: usize = 8 * 1024;

pub(crate) type Socket = WebSocketStream<Line>;

/// What a server may be sent besides what Twilio sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawMessage {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
}

/// Ways in which a stream goes wrong on Twilio's side.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) cut_after: Option<Duration>,
    pub(super) hang_up_before_start: bool,
    pub(super) extra_messages: Vec<(Duration, RawMessage)>,
}

/// Where streams connect to, and under whose signature.
pub(crate) struct Upgrade<'a> {
    pub(crate) edge: SocketAddr,
    pub(crate) public_host: &'a str,
    pub(crate) auth_token: &'a str,
    pub(crate) signing: Signing,
    pub(crate) network: Option<&'a Conditions>,
}

/// Why a stream that was up is over.
enum Over {
    CallerLeft(Left),
    /// Seen from Twilio: its debugger says why.
    Lost(Finding),
    /// The lab was asked to cut it.
    Cut,
    /// Something in between closed it, with this code to either side.
    ClosedBetween(u16),
}

impl Upgrade<'_> {
    /// Opens the socket.
    pub(crate) async fn connect(&self, url: &Url, entropy: &mut Entropy, reset: bool) -> Result<Socket, Finding> {
        if url.host() != self.public_host {
            return Err(Finding::new(codes::NO_SUCH_HOST, format!("the lab knows no host {:?}", url.host())));
        }
        let key = STANDARD.encode(entropy.bytes::<16>());
        let handshake = self.handshake(url, key, Network::of(self.network, entropy), reset);
        timeout(HANDSHAKE_LIMIT, handshake)
            .await
            .unwrap_or_else(|_| Err(Finding::new(codes::STREAM_TIMEOUT, "no answer to the upgrade within 10 s")))
    }

    async fn handshake(
        &self,
        url: &Url,
        key: String,
        network: Option<Network<'_>>,
        reset: bool,
    ) -> Result<Socket, Finding> {
        let refused = |error: std::io::Error| Finding::new(codes::STREAM_REFUSED, error.to_string());
        let stream = Line::dial(self.edge, network).await.map_err(refused)?;
        if reset {
            stream.reset_when_dropped().map_err(refused)?;
        }
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
        let failed = |detail: String| Finding::new(codes::STREAM_HANDSHAKE, detail);
        let (socket, response) = client_async_with_config(self.request(url, key)?, stream, Some(config))
            .await
            .map_err(|error| failed(why_not_101(&error)))?;
        if response.headers().contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
            return Err(failed("the answer names an extension that was not offered".into()));
        }
        Ok(socket)
    }

    fn request(&self, url: &Url, key: String) -> Result<Request<()>, Finding> {
        let mut request = Request::builder()
            .uri(format!("ws://{}{}", url.authority(), url.target()))
            .header(header::HOST, url.authority())
            .header(header::USER_AGENT, "Twilio.TmeWs/1.0")
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, key)
            .header("x-forwarded-for", TWILIO_ADDRESS)
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-port", "443");
        if let Some(value) = self.signing.header(self.auth_token, |token| signature::of_url(token, &url.signed())) {
            request = request.header("x-twilio-signature", value);
        }
        request.body(()).map_err(|error| Finding::new(codes::STREAM_URL, error.to_string()))
    }
}

/// Plays a stream on an open socket to its end. Says what it was lost by, if it was; an error means that the call does
/// not go on from here.
pub(super) async fn run(
    phone: &mut Phone,
    socket: Socket,
    outgoing: Outgoing,
    parameters: &[(String, String)],
    faults: Faults,
) -> Result<Option<Finding>, Left> {
    let closed_between = socket.get_ref().goodbye();
    let (sink, mut reader) = socket.split();
    let (outbox, queue) = mpsc::channel(OUTBOX);
    let writer = AbortOnDropHandle::new(tokio::spawn(write(sink, queue)));
    let stream_sid = outgoing.stream_sid().to_string();
    let opened = phone.now();
    let mut session =
        Session { phone, outgoing, playout: Playout::new(), outbox, warned: Vec::new(), opened, faults, lost: None };
    let over = match session.start(parameters) {
        Some(over) => over,
        None => session.converse(&mut reader, &closed_between).await,
    };
    let result = session.end(over, reader, writer).await;
    phone.stream_ended(stream_sid);
    result
}

struct Session<'a> {
    phone: &'a mut Phone,
    outgoing: Outgoing,
    playout: Playout,
    outbox: mpsc::Sender<Message>,
    /// Codes that Twilio logs once per stream and that have been.
    warned: Vec<u32>,
    opened: Duration,
    faults: Faults,
    /// Set when a message that must not be lost found no room.
    lost: Option<Finding>,
}

impl Session<'_> {
    /// Sends `connected` and `start` in one burst, unless the caller is gone already.
    fn start(&mut self, parameters: &[(String, String)]) -> Option<Over> {
        self.send(CONNECTED.to_owned());
        if self.faults.hang_up_before_start {
            return Some(Over::CallerLeft(Left::Gone(CallEnd::CallerHungUp)));
        }
        let start = self.outgoing.start(parameters);
        self.send(start);
        self.phone.stream_started(self.outgoing.stream_sid().to_string());
        None
    }

    async fn converse(&mut self, reader: &mut SplitStream<Socket>, closed_between: &Goodbye) -> Over {
        loop {
            let over = tokio::select! {
                biased;
                () = self.phone.next_frame() => self.on_frame(),
                code = closed_between.wanted() => Some(Over::ClosedBetween(code)),
                message = reader.next() => self.on_message(message),
            };
            if let Some(over) = over.or_else(|| self.lost.take().map(Over::Lost)) {
                return over;
            }
        }
    }

    /// 20 ms each way.
    fn on_frame(&mut self) -> Option<Over> {
        let hears = self.playout.tick();
        while let Some(name) = self.playout.poll_mark() {
            self.echo(&name, false);
        }
        let spoken = self.phone.frame(&hears);
        for digit in spoken.keys {
            let dtmf = self.outgoing.dtmf(digit);
            self.send(dtmf);
        }
        self.send_audio(&spoken.pcm.map(mulaw::encode));
        let open_for = self.phone.now().saturating_sub(self.opened);
        while let Some((_, message)) = self.faults.extra_messages.pop_if(|(after, _)| *after <= open_for) {
            self.post(match message {
                RawMessage::Text(text) => Message::text(text),
                RawMessage::Binary(bytes) => Message::binary(bytes),
            });
        }
        if self.faults.cut_after.is_some_and(|after| after <= open_for) {
            return Some(Over::Cut);
        }
        spoken.left.map(Over::CallerLeft)
    }

    fn on_message(&mut self, message: Option<Result<Message, SocketError>>) -> Option<Over> {
        match message {
            Some(Ok(Message::Text(text))) => self.on_text(&text),
            Some(Ok(Message::Binary(_))) => self.warn(codes::MALFORMED_MESSAGE, "a binary message"),
            // Pings are answered by the socket itself.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map_or(1005, |frame| frame.code.into());
                return lost(codes::STREAM_CLOSED, format!("the server closed the socket with {code}"));
            }
            Some(Err(error)) if is_violation(&error) => return lost(codes::STREAM_PROTOCOL, error.to_string()),
            Some(Err(error)) => return lost(codes::STREAM_CUT, error.to_string()),
            None => return lost(codes::STREAM_CUT, "the connection ended".into()),
        }
        None
    }

    fn on_text(&mut self, text: &str) {
        match Incoming::parse(text, self.outgoing.stream_sid()) {
            Ok(Incoming::Media(audio)) => {
                if let Some(format) = media::container(&audio) {
                    self.warn(codes::LAB, &format!("the audio begins with a {format} header"));
                }
                self.phone.audio_arrived(audio.len());
                if let Err(Overflow { lost_samples }) = self.playout.media(&audio) {
                    self.warn(codes::AUDIO_DISCARDED, &format!("{lost_samples} samples beyond ten minutes"));
                }
            }
            Ok(Incoming::Mark(name)) => {
                if let Some(name) = self.playout.mark(name) {
                    self.echo(&name, false);
                }
            }
            Ok(Incoming::Clear) => {
                let cleared = self.playout.clear();
                self.phone.cleared(cleared.dropped_samples);
                cleared.marks.iter().for_each(|name| self.echo(name, true));
            }
            Err(invalid) => self.warn(codes::INVALID_MESSAGE, &invalid.to_string()),
        }
    }

    fn echo(&mut self, name: &str, cleared: bool) {
        self.phone.mark_echoed(name, cleared);
        let mark = self.outgoing.mark(name);
        self.send(mark);
    }

    /// Audio gives way when the server reads too slowly, and then it is the newest that is lost.
    fn send_audio(&mut self, mulaw: &[u8; FRAME]) {
        if self.outbox.capacity() > FOR_CONTROL {
            let media = self.outgoing.media(mulaw);
            self.send(media);
        } else {
            self.warn(codes::STREAM_OVERFLOW, "the server reads too slowly, caller audio was dropped");
        }
    }

    fn send(&mut self, text: String) {
        self.post(Message::text(text));
    }

    fn post(&mut self, message: Message) {
        if self.outbox.try_send(message).is_err() {
            self.lost = Some(Finding::new(codes::STREAM_CUT, "the server takes no more messages"));
        }
    }

    /// Logs what Twilio logs once per stream.
    fn warn(&mut self, code: u32, detail: &str) {
        if !self.warned.contains(&code) {
            self.warned.push(code);
            self.phone.found(Finding::new(code, detail));
        }
    }

    /// Takes the stream down as it ended, and says whether the call goes on.
    async fn end(
        mut self,
        over: Over,
        mut reader: SplitStream<Socket>,
        writer: AbortOnDropHandle<()>,
    ) -> Result<Option<Finding>, Left> {
        if self.playout.queued() > 0 {
            self.phone.cut_off();
        }
        let left = match over {
            Over::CallerLeft(left) => {
                if !self.faults.hang_up_before_start {
                    let stop = self.outgoing.stop();
                    self.send(stop);
                }
                let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                self.post(Message::Close(Some(normal)));
                Err(left)
            }
            Over::Lost(finding) => {
                self.phone.found(finding.clone());
                Ok(Some(finding))
            }
            Over::ClosedBetween(code) => {
                self.post(Message::Close(Some(CloseFrame { code: code.into(), reason: "".into() })));
                let finding =
                    Finding::new(codes::STREAM_CLOSED, format!("something in between closed the socket with {code}"));
                self.phone.found(finding.clone());
                Ok(Some(finding))
            }
            Over::Cut => {
                // Dropping both halves with zero linger resets the connection.
                drop(writer);
                let finding = Finding::new(codes::STREAM_CUT, "cut by the lab");
                self.phone.found(finding.clone());
                return Ok(Some(finding));
            }
        };
        drop(self.outbox);
        let closing = async {
            let _ = writer.await;
            // Reading on is what completes the closing handshake; what the server still sends is ignored.
            while let Some(Ok(_)) = reader.next().await {}
        };
        let _ = timeout(CLOSE_LIMIT, closing).await;
        left
    }
}

/// Owns the socket's sending half until the queue ends.
async fn write(mut sink: SplitSink<Socket, Message>, mut queue: mpsc::Receiver<Message>) {
    while let Some(message) = queue.recv().await {
        // What is waiting already goes out in the same burst.
        let mut sent = sink.feed(message).await;
        while let (Ok(()), Ok(message)) = (&sent, queue.try_recv()) {
            sent = sink.feed(message).await;
        }
        if sent.is_err() || sink.flush().await.is_err() {
            return;
        }
    }
}

fn why_not_101(error: &SocketError) -> String {
    if let SocketError::Http(response) = error {
        return format!("the upgrade was answered {}", response.status());
    }
    error.to_string()
}

fn lost(code: u32, detail: String) -> Option<Over> {
    Some(Over::Lost(Finding::new(code, detail)))
}

/// Whether the server broke the WebSocket protocol, rather than the network the connection.
fn is_violation(error: &SocketError) -> bool {
    let reset = matches!(error, SocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake));
    !reset && matches!(error, SocketError::Protocol(_) | SocketError::Utf8(_) | SocketError::Capacity(_))
}
