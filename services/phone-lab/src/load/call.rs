//! One call of a load run: the webhook, the socket, and 20 ms each way until everything was said.
//!
//! The caller is silent until the agent is heard for the first time, so that what setting up a call costs stays out of
//! the latencies. Then it says its frames, waits for the last of them to come back, and interrupts the model if that is
//! one that can tell.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use offhook_hosting::{clock::Clock, entropy::Entropy};
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use tokio_util::sync::CancellationToken;

use super::{
    Hears, dialling,
    stamp::{Cutter, FRAME, Frames, Kind, SILENCE, Stamp},
    track::Track,
};
use crate::twilio::{
    Settings, Signing, Socket, Upgrade,
    media::{CONNECTED, Incoming, Outgoing},
    playout::Playout,
    sid::{CallSid, StreamSid},
};

/// Between two frames.
pub(super) const TICK: Duration = Duration::from_millis(20);
/// How long the caller waits to hear anything at all.
const FIRST_AUDIO_LIMIT: Duration = Duration::from_secs(15);
/// How long the caller waits for frames that are still on their way.
const LINGER: Duration = Duration::from_secs(2);
/// How long the caller waits for the model to be silenced.
const INTERRUPT_LIMIT: Duration = Duration::from_secs(2);
/// How long the server may refuse to read.
const WRITE_LIMIT: Duration = Duration::from_secs(2);
/// How long a closing handshake may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// A gap between two messages from this on is a pause of the agent, not jitter.
const PAUSE: Duration = Duration::from_millis(500);

/// What all calls of a run share.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) frames: Frames,
    /// How many frames each call says.
    pub(super) length: usize,
    pub(super) hears: Hears,
    /// Calls end early from here on.
    pub(super) stop: CancellationToken,
}

/// What one call measured.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) call: u16,
    /// From asking for the document to having it.
    pub(super) webhook: Option<Duration>,
    /// From dialling the socket to its 101.
    pub(super) socket: Option<Duration>,
    /// From `start` to the first media message.
    pub(super) first_audio: Option<Duration>,
    /// How long the stream was up.
    pub(super) streamed: Duration,
    /// When each frame was sent.
    pub(super) sent: Vec<Instant>,
    /// What came back.
    pub(super) back: Track,
    /// How late each frame was because of the generator itself.
    pub(super) lateness: Vec<Duration>,
    /// How far each gap between media messages was from the length of the audio before it.
    pub(super) jitter: Vec<Duration>,
    /// From the interrupting frame to `clear`; the inner value is none if no `clear` came.
    pub(super) barge_in: Option<Option<Duration>>,
    /// Why the call did not go to its end.
    pub(super) failure: Option<String>,
}

impl Placed {
    fn new(call: u16, length: usize) -> Self {
        Self {
            call,
            webhook: None,
            socket: None,
            first_audio: None,
            streamed: Duration::ZERO,
            sent: Vec::with_capacity(length),
            back: Track::new(call, length),
            lateness: Vec::with_capacity(length),
            jitter: Vec::with_capacity(length),
            barge_in: None,
            failure: None,
        }
    }
}

/// Places the call, whose frames fall on this offset within the 20 ms, and plays it to its end.
pub(super) async fn place(shared: Arc<Shared>, call: u16, first_due: Instant, mut entropy: Entropy) -> Placed {
    let mut placed = Placed::new(call, shared.length);
    if let Err(why) = Box::pin(play(&shared, &mut placed, first_due, &mut entropy)).await {
        placed.failure = Some(why);
    }
    placed
}

async fn play(shared: &Shared, placed: &mut Placed, first_due: Instant, entropy: &mut Entropy) -> Result<(), String> {
    let Shared { settings, clock, .. } = shared;
    let call_sid = CallSid::draw(entropy);
    let asked = clock.now();
    let (url, parameters) = dialling::stream_of(settings, &call_sid, Signing::Right, entropy).await?;
    let dialled = clock.now();
    placed.webhook = Some(dialled - asked);
    let socket = Upgrade::of(settings).connect(&url, entropy).await.map_err(|finding| finding.detail)?;
    let opened = clock.now();
    placed.socket = Some(opened - dialled);
    let stream_sid = StreamSid::draw(entropy);
    let outgoing = Outgoing::new(&settings.account.account_sid, call_sid, stream_sid, 100);
    let mut line = Line::new(shared, placed, socket, outgoing, opened);
    let ended = line.talk(&parameters, first_due).await;
    line.placed.streamed = clock.now() - opened;
    ended?;
    line.hang_up().await;
    Ok(())
}

/// How far the caller is.
#[derive(Clone, Copy)]
enum Phase {
    Waiting { since: Instant },
    Speaking,
    Lingering { since: Instant },
    Interrupted { at: Instant },
}

/// An open stream.
struct Line<'a> {
    shared: &'a Shared,
    placed: &'a mut Placed,
    socket: Socket,
    outgoing: Outgoing,
    playout: Playout,
    cutter: Cutter,
    phase: Phase,
    /// Marks to echo with the next frame.
    echoes: Vec<String>,
    opened: Instant,
    /// When the last media message came, and how long its audio lasts.
    last_media: Option<(Instant, Duration)>,
}

impl<'a> Line<'a> {
    fn new(shared: &'a Shared, placed: &'a mut Placed, socket: Socket, outgoing: Outgoing, opened: Instant) -> Self {
        Self {
            shared,
            placed,
            socket,
            outgoing,
            playout: Playout::new(),
            cutter: Cutter::default(),
            phase: Phase::Waiting { since: opened },
            echoes: Vec::new(),
            opened,
            last_media: None,
        }
    }

    async fn talk(&mut self, parameters: &[(String, String)], first_due: Instant) -> Result<(), String> {
        let start = self.outgoing.start(parameters);
        self.feed(CONNECTED.to_owned()).await?;
        self.feed(start).await?;
        self.flush().await?;
        let mut due = first_tick(first_due, self.opened);
        let mut free = due;
        // One timer for the whole call.
        let closed_between = self.socket.get_ref().goodbye();
        let mut timer = pin!(sleep_until(due.into()));
        loop {
            tokio::select! {
                biased;
                () = &mut timer => {
                    let now = self.shared.clock.now();
                    // A write that the server held up is not the generator's fault.
                    self.placed.lateness.push(now.saturating_duration_since(due.max(free)));
                    let Some(frame) = self.next_frame(now)? else { return Ok(()) };
                    self.exchange(&frame).await?;
                    free = self.shared.clock.now();
                    due += TICK;
                    timer.as_mut().reset(due.into());
                }
                code = closed_between.wanted() => {
                    return Err(format!("something in between closed the stream with {code}"));
                }
                message = self.socket.next() => match message {
                    Some(Ok(message)) => self.on_message(&message)?,
                    Some(Err(error)) => return Err(format!("the stream broke: {error}")),
                    None => return Err("the server ended the stream".to_owned()),
                },
            }
        }
    }

    /// What the caller says next; none once everything was said.
    fn next_frame(&mut self, now: Instant) -> Result<Option<[u8; FRAME]>, String> {
        let stopping = self.shared.stop.is_cancelled();
        loop {
            self.phase = match self.phase {
                Phase::Waiting { .. } if self.placed.first_audio.is_some() => Phase::Speaking,
                Phase::Waiting { .. } if stopping => return Ok(None),
                Phase::Waiting { since } if now.duration_since(since) > FIRST_AUDIO_LIMIT => {
                    return Err("nothing was heard within 15 s".to_owned());
                }
                Phase::Speaking if stopping || self.placed.sent.len() >= self.shared.length => {
                    Phase::Lingering { since: now }
                }
                Phase::Speaking => return Ok(Some(self.say(now))),
                Phase::Lingering { since } if self.is_done(since, now) => match &self.shared.hears {
                    Hears::Anything | Hears::Echo => return Ok(None),
                    Hears::Model(_) => {
                        self.phase = Phase::Interrupted { at: now };
                        self.placed.barge_in = Some(None);
                        return Ok(Some(self.frame(Kind::Interrupt, 0)));
                    }
                },
                Phase::Interrupted { at } if self.is_interrupted(at, now) => return Ok(None),
                Phase::Waiting { .. } | Phase::Lingering { .. } | Phase::Interrupted { .. } => {
                    return Ok(Some(SILENCE));
                }
            };
        }
    }

    fn is_done(&self, since: Instant, now: Instant) -> bool {
        let all_back = self.placed.back.count() >= self.placed.sent.len();
        matches!(self.shared.hears, Hears::Anything) || all_back || now.duration_since(since) > LINGER
    }

    fn is_interrupted(&self, at: Instant, now: Instant) -> bool {
        self.placed.barge_in.flatten().is_some() || now.duration_since(at) > INTERRUPT_LIMIT
    }

    fn say(&mut self, now: Instant) -> [u8; FRAME] {
        let sequence = u32::try_from(self.placed.sent.len()).unwrap_or(u32::MAX);
        self.placed.sent.push(now);
        self.frame(Kind::Echo, sequence)
    }

    fn frame(&self, kind: Kind, sequence: u32) -> [u8; FRAME] {
        self.shared.frames.build(Stamp { kind, call: self.placed.call, sequence })
    }

    /// 20 ms each way, in one write.
    async fn exchange(&mut self, frame: &[u8; FRAME]) -> Result<(), String> {
        self.playout.tick();
        while let Some(name) = self.playout.poll_mark() {
            self.echoes.push(name);
        }
        for name in std::mem::take(&mut self.echoes) {
            let mark = self.outgoing.mark(&name);
            self.feed(mark).await?;
        }
        let media = self.outgoing.media(frame);
        self.feed(media).await?;
        self.flush().await
    }

    fn on_message(&mut self, message: &Message) -> Result<(), String> {
        match message {
            Message::Text(text) => {
                let now = self.shared.clock.now();
                let incoming = Incoming::parse(text, self.outgoing.stream_sid());
                match incoming.map_err(|invalid| format!("the server sent what Twilio refuses: {invalid}"))? {
                    Incoming::Media(audio) => self.hear(&audio, now),
                    Incoming::Mark(name) => self.echoes.extend(self.playout.mark(name)),
                    Incoming::Clear => {
                        self.echoes.extend(self.playout.clear().marks);
                        if let (Phase::Interrupted { at }, Some(None)) = (self.phase, self.placed.barge_in) {
                            self.placed.barge_in = Some(Some(now.duration_since(at)));
                        }
                    }
                }
                Ok(())
            }
            Message::Close(_) => Err("the server closed the stream".to_owned()),
            Message::Binary(_) => Err("the server sent a binary message".to_owned()),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    fn hear(&mut self, audio: &[u8], now: Instant) {
        self.placed.first_audio.get_or_insert(now.duration_since(self.opened));
        if let Some((before, lasted)) = self.last_media.replace((now, duration(audio.len()))) {
            let gap = now.duration_since(before);
            if gap < PAUSE {
                self.placed.jitter.push(gap.abs_diff(lasted));
            }
        }
        // What does not fit is what Twilio would lose; it was received all the same.
        let _ = self.playout.media(audio);
        if !matches!(self.shared.hears, Hears::Anything) {
            let Self { cutter, placed, shared, .. } = self;
            cutter.push(audio, now, &shared.frames, |cut, at| placed.back.arrived(cut, at));
        }
    }

    async fn feed(&mut self, text: String) -> Result<(), String> {
        written(timeout(WRITE_LIMIT, self.socket.feed(Message::text(text))).await)
    }

    async fn flush(&mut self) -> Result<(), String> {
        written(timeout(WRITE_LIMIT, self.socket.flush()).await)
    }

    /// As Twilio does when the caller leaves.
    async fn hang_up(mut self) {
        let stop = self.outgoing.stop();
        let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let closing = async {
            self.socket.feed(Message::text(stop)).await?;
            self.socket.send(Message::Close(Some(normal))).await?;
            // Reading on is what completes the closing handshake.
            while let Some(Ok(_)) = self.socket.next().await {}
            Ok::<_, tokio_tungstenite::tungstenite::Error>(())
        };
        // The call is over, however its socket ends.
        let _ = timeout(CLOSE_LIMIT, closing).await;
    }
}

type Written = Result<Result<(), tokio_tungstenite::tungstenite::Error>, tokio::time::error::Elapsed>;

fn written(result: Written) -> Result<(), String> {
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("the stream broke: {error}")),
        Err(_) => Err("the server did not read for 2 s".to_owned()),
    }
}

/// The first tick of a call that is up now: calls keep their places within the 20 ms.
fn first_tick(first_due: Instant, now: Instant) -> Instant {
    let behind = now.saturating_duration_since(first_due).as_micros();
    let ticks = behind.div_ceil(TICK.as_micros());
    first_due + TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

fn duration(samples: usize) -> Duration {
    Duration::from_micros(samples as u64 * 125)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn nothing_measured() -> Placed {
        Placed::new(0, 0)
    }

    #[test]
    fn calls_keep_their_place_within_the_20_ms_however_long_their_set_up_took() {
        let first = Clock.now();
        let ms = Duration::from_millis;
        assert_eq!(first_tick(first, first), first);
        assert_eq!(first_tick(first, first + ms(1)), first + ms(20));
        assert_eq!(first_tick(first, first + ms(40)), first + ms(40));
        assert_eq!(first_tick(first, first + ms(41)), first + ms(60));
    }
}
