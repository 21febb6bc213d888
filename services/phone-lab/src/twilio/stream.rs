//! One media stream: Twilio's end of the socket, driven at the caller's 20 ms.
//!
//! How Twilio behaves on the socket: Twilio docs, "Media Streams - WebSocket Messages" and the error pages 319xx.

mod pacing;
mod second;
mod upgrade;
mod wire;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt, stream::SplitSink, stream::SplitStream};
use offhook_hosting::entropy::Entropy;
use tokio::{sync::mpsc, time::timeout};
use tokio_tungstenite::tungstenite::{
    Error as SocketError, Message,
    error::ProtocolError,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use tokio_util::task::AbortOnDropHandle;

use self::pacing::{Frame, Pacing};
pub(super) use self::second::{Again, Second, Target};
pub(crate) use self::upgrade::{Manner, Socket, Upgrade};
pub use self::{
    pacing::MediaTiming,
    second::{SecondSocket, SecondSocketEnd},
    upgrade::SignedUrl,
};
use super::{
    codes,
    media::{self, CONNECTED, Incoming, Outgoing},
    phone::{Left, Phone},
    playout::{FRAME, Overflow, Playout},
    report::{CallEnd, Finding},
    script::Sound,
};
use crate::{mulaw, network::Goodbye};

/// How long a closing handshake may take before the socket is dropped.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// Messages that wait for a slow server: five seconds of audio.
const OUTBOX: usize = 256;
/// Places in the outbox that audio leaves to everything else.
const FOR_CONTROL: usize = 64;

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
    pub(super) timing: MediaTiming,
    pub(super) early_media: Option<Sound>,
    /// How long the socket is left standing when the server has broken the protocol.
    pub(super) slow_death: Option<Duration>,
}

/// What a stream was lost by.
pub(super) struct Lost {
    pub(super) finding: Finding,
    /// A socket that neither side uses any longer, and that is reset in the end.
    pub(super) lingering: Option<AbortOnDropHandle<()>>,
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

/// Plays a stream on an open socket to its end. Says what it was lost by, if it was; an error means that the call does
/// not go on from here.
pub(super) async fn run(
    phone: &mut Phone,
    socket: Socket,
    outgoing: Outgoing,
    parameters: &[(String, String)],
    faults: Faults,
    entropy: Entropy,
) -> Result<Option<Lost>, Left> {
    let closed_between = socket.get_ref().goodbye();
    let (sink, mut reader) = socket.split();
    let early = faults.early_media.as_ref().map_or(0, |sound| sound.pcm().len().div_ceil(FRAME));
    let (outbox, queue) = mpsc::channel(OUTBOX + early);
    let writer = AbortOnDropHandle::new(tokio::spawn(write(sink, queue)));
    let stream_sid = outgoing.stream_sid().to_string();
    let opened = phone.now();
    let (playout, pacing) = (Playout::new(), Pacing::new(faults.timing, entropy));
    let mut session =
        Session { phone, outgoing, playout, pacing, outbox, warned: Vec::new(), opened, faults, lost: None };
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
    pacing: Pacing,
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
        if let Some(sound) = self.faults.early_media.take() {
            self.phone.said_before(&sound);
            for piece in sound.pcm().chunks(FRAME) {
                let mut frame = [0; FRAME];
                frame[..piece.len()].copy_from_slice(piece);
                self.send_audio(&frame.map(mulaw::encode));
            }
        }
        None
    }

    async fn converse(&mut self, reader: &mut SplitStream<Socket>, closed_between: &Goodbye) -> Over {
        loop {
            let over = tokio::select! {
                biased;
                () = self.phone.next_frame() => self.on_frame(),
                code = closed_between.wanted() => Some(Over::ClosedBetween(code)),
                () = self.phone.at(self.pacing.deadline()) => {
                    self.send_due();
                    None
                }
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
        self.pacing.push(spoken.pcm.map(mulaw::encode), self.phone.now());
        self.send_due();
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

    fn send_due(&mut self) {
        while let Some(frame) = self.pacing.poll(self.phone.now()) {
            self.send_audio(&frame);
        }
    }

    /// Audio gives way when the server reads too slowly, and then it is the newest that is lost.
    fn send_audio(&mut self, mulaw: &Frame) {
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
    ) -> Result<Option<Lost>, Left> {
        if self.playout.queued() > 0 {
            self.phone.cut_off();
        }
        let left = match over {
            Over::CallerLeft(left) => {
                if !self.faults.hang_up_before_start {
                    let held: Vec<_> = self.pacing.flush().collect();
                    held.iter().for_each(|frame| self.send_audio(frame));
                    let stop = self.outgoing.stop();
                    self.send(stop);
                }
                let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                self.post(Message::Close(Some(normal)));
                Err(left)
            }
            Over::Lost(finding) => {
                self.phone.found(finding.clone());
                if let Some(linger) = self.faults.slow_death.filter(|_| finding.code == codes::STREAM_PROTOCOL) {
                    let halves = (reader, writer, self.outbox);
                    let lingering = tokio::spawn(async move {
                        tokio::time::sleep(linger).await;
                        drop(halves);
                    });
                    return Ok(Some(Lost { finding, lingering: Some(AbortOnDropHandle::new(lingering)) }));
                }
                Ok(Some(Lost { finding, lingering: None }))
            }
            Over::ClosedBetween(code) => {
                self.post(Message::Close(Some(CloseFrame { code: code.into(), reason: "".into() })));
                let finding =
                    Finding::new(codes::STREAM_CLOSED, format!("something in between closed the socket with {code}"));
                self.phone.found(finding.clone());
                Ok(Some(Lost { finding, lingering: None }))
            }
            Over::Cut => {
                // Dropping both halves with zero linger resets the connection.
                drop(writer);
                let finding = Finding::new(codes::STREAM_CUT, "cut by the lab");
                self.phone.found(finding.clone());
                return Ok(Some(Lost { finding, lingering: None }));
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

fn lost(code: u32, detail: String) -> Option<Over> {
    Some(Over::Lost(Finding::new(code, detail)))
}

/// Whether the server broke the WebSocket protocol, rather than the network the connection.
fn is_violation(error: &SocketError) -> bool {
    let reset = matches!(error, SocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake));
    !reset && matches!(error, SocketError::Protocol(_) | SocketError::Utf8(_) | SocketError::Capacity(_))
}
