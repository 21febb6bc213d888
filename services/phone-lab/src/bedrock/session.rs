//! The task of one session: moves bytes between the HTTP stream and the pure parts. The only `await`s are here.

mod outgoing;
mod striking;

use std::{
    collections::VecDeque,
    future::pending,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use offhook_hosting::{clock::Clock, entropy::Entropy};
use tokio::{
    sync::{oneshot, watch},
    time::{sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

pub(super) use self::outgoing::{Outgoing, outgoing};
use self::outgoing::{Reset, Sender};
use super::{
    fault::{ExceptionKind, Fault, Outage, Strikes},
    frame::{encode_event, encode_exception, encode_padded_event},
    intake::{Intake, Problem, Read},
    model::{Model, Note, Output},
    record::Recorder,
    report::{HeardUtterance, ModelEventKind, Protocol, SessionEnd},
    server::{Connection, Counted, FaultQueue, Outages},
    settings::TokenExpiry,
};

/// How long a client has to read what is left when the session has ended.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// Frames waiting behind those that HTTP has. A client that lets so many pile up (minutes of audio) does not read.
const UNREAD: usize = 4096;
/// The field `p` is shorter than this.
const PADDING: u64 = 63;

/// Everything one session needs.
pub(super) struct Session {
    pub(super) clock: Clock,
    pub(super) protocol: Protocol,
    pub(super) intake: Intake,
    pub(super) model: Model,
    pub(super) recorder: Recorder,
    pub(super) strikes: Strikes,
    /// What goes wrong in the sessions after this one.
    pub(super) next_faults: FaultQueue,
    /// Events have the field `p`, whose length is drawn from this.
    pub(super) padded: bool,
    pub(super) padding: Entropy,
    /// The response is not sent before this, or never.
    pub(super) answer_at: Option<Instant>,
    /// When the token expires, and what is to come of it.
    pub(super) expiry: Option<(Instant, TokenExpiry)>,
    /// The response is not sent before the first event was read.
    pub(super) answer_after_event: bool,
    /// Held as long as the session lives.
    pub(super) slot: Counted,
    pub(super) connection: Connection,
    /// Whether the region is lost.
    pub(super) outage: Outages,
    /// The lab stops.
    pub(super) stop: CancellationToken,
}

/// What happens outside the session.
enum Event {
    Received(Bytes),
    InputEnded,
    InputLost(String),
    Writable,
    Deadline,
    ClientGone,
    RegionLost(Outage),
    Stopped,
}

/// How the response ends.
#[derive(Clone, Copy)]
enum Close {
    /// With END_STREAM, after what is queued.
    Clean,
    /// With RST_STREAM of INTERNAL_ERROR.
    Reset,
    /// With RST_STREAM of NO_ERROR.
    ResetWithoutError,
    /// With the connection.
    Connection,
    /// Not at all: the session stays as it is until the client gives up.
    Never,
}

struct Driver {
    session: Session,
    body: Incoming,
    out: Sender,
    queue: VecDeque<Bytes>,
    answer: Option<oneshot::Sender<()>>,
    event_read: bool,
}

impl Session {
    /// Runs the session to its end; `answer` fires when the response is to be sent.
    pub(super) async fn run(self, body: Incoming, out: Sender, answer: oneshot::Sender<()>) {
        let queue = VecDeque::new();
        let answer = Some(answer);
        self.recorder.tell(ModelEventKind::Opened, self.clock.now());
        let driver = Driver { session: self, body, out, queue, answer, event_read: false };
        driver.run().await;
    }
}

impl Driver {
    async fn run(mut self) {
        let (end, close) = if self.session.strikes.never_answers() {
            (SessionEnd::Fault("never answered".into()), Close::Never)
        } else {
            self.converse().await
        };
        tracing::debug!(session.id = %self.session.recorder.session, "session ends");
        self.settle(close).await;
        let Self { session: Session { clock, protocol, recorder, connection, slot, stop, .. }, body, out, .. } = self;
        // Before the stream ends: a client that sees the end finds it on record, and the slot free.
        recorder.close(end, clock.now());
        drop(slot);
        match close {
            Close::Clean | Close::Never => {
                drop(out);
                if protocol == Protocol::Http1 {
                    linger(body, stop).await;
                }
            }
            Close::Reset => drop(timeout(FLUSH_LIMIT, out.send(Err(Reset))).await),
            Close::ResetWithoutError => {
                connection.resets.announce();
                // A client that is gone needs no reset, and the connection's next is another session's.
                if !matches!(timeout(FLUSH_LIMIT, out.send(Err(Reset))).await, Ok(Ok(()))) {
                    connection.resets.withdraw();
                }
            }
            Close::Connection => {
                connection.dropped.cancel();
                // The stream must not end before the connection does.
                drop(timeout(FLUSH_LIMIT, out.closed()).await);
            }
        }
    }

    async fn converse(&mut self) -> (SessionEnd, Close) {
        loop {
            if let Some(ended) = self.deliver() {
                return ended;
            }
            let event = self.next_event().await;
            if let Some(ended) = self.handle(event) {
                return ended;
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        let deadline = self.poll_deadline();
        let timer = async move {
            match deadline {
                Some(deadline) => sleep_until(deadline.into()).await,
                None => pending().await,
            }
        };
        let mut outage = self.session.outage.subscribe();
        tokio::select! {
            frame = self.body.frame() => match frame {
                Some(Ok(frame)) => Event::Received(frame.into_data().unwrap_or_default()),
                Some(Err(error)) => Event::InputLost(error.to_string()),
                None => Event::InputEnded,
            },
            Ok(permit) = self.out.reserve(), if !self.queue.is_empty() => {
                if let Some(frame) = self.queue.pop_front() {
                    permit.send(Ok(frame));
                }
                Event::Writable
            }
            () = timer => Event::Deadline,
            outage = region_lost(&mut outage) => Event::RegionLost(outage),
            () = self.out.closed() => Event::ClientGone,
            () = self.session.stop.cancelled() => Event::Stopped,
        }
    }

    fn poll_deadline(&self) -> Option<Instant> {
        let Session { model, strikes, expiry, answer_at, .. } = &self.session;
        let answer = answer_at.filter(|_| self.answer.is_some() && self.may_answer());
        let expiry = expiry.map(|(at, _)| at);
        [model.poll_deadline(), strikes.poll_deadline(), expiry, answer].into_iter().flatten().min()
    }

    fn handle(&mut self, event: Event) -> Option<(SessionEnd, Close)> {
        let now = self.session.clock.now();
        // Connections end with the lab as well, and may do so first.
        if self.session.stop.is_cancelled() {
            return Some((SessionEnd::Stopped, Close::Clean));
        }
        match event {
            Event::Received(bytes) => return self.receive(&bytes, now),
            Event::InputEnded => return Some(self.input_ended()),
            Event::InputLost(error) => return Some(self.client_gone(error)),
            Event::ClientGone => return Some(self.client_gone("stream cancelled".into())),
            Event::RegionLost(outage) => return Some(self.lost(outage)),
            Event::Writable | Event::Stopped => {}
            Event::Deadline => {
                self.session.model.handle_deadline(now);
                self.answer_if_due(now);
                return self.strike_due(now).or_else(|| self.expire(now));
            }
        }
        None
    }

    /// A lost region closes connections as well, and may do so first.
    fn client_gone(&mut self, how: String) -> (SessionEnd, Close) {
        let outage = *self.session.outage.borrow();
        outage.map_or((SessionEnd::ClientVanished(how), Close::Clean), |outage| self.lost(outage))
    }

    fn receive(&mut self, bytes: &[u8], now: Instant) -> Option<(SessionEnd, Close)> {
        self.session.intake.handle_bytes(bytes);
        loop {
            let polled = self.session.intake.poll_event(self.session.clock.wall());
            for remark in self.session.intake.take_remarks() {
                self.session.recorder.violation(remark);
            }
            match polled {
                Ok(Some(Read(input))) => {
                    self.event_read = true;
                    if let Some(input) = input {
                        self.session.model.handle_input(input, now);
                    }
                    // Tools asked for now may be answered by the next event.
                    let ended = self.deliver();
                    let ended = ended.or_else(|| self.session.strikes.read().and_then(|fault| self.strike(fault)));
                    if ended.is_some() {
                        return ended;
                    }
                }
                Ok(None) => return None,
                Err(Problem::Malformed(error)) => {
                    let message = format!("malformed input: {error}");
                    self.session.recorder.violation(message.clone());
                    return Some((SessionEnd::Violation(message), Close::Reset));
                }
                Err(Problem::Refused(kind, message)) => {
                    self.session.recorder.violation(message.clone());
                    self.raise(kind, &message);
                    return Some((SessionEnd::Violation(message), Close::Clean));
                }
            }
        }
    }

    fn input_ended(&self) -> (SessionEnd, Close) {
        match self.session.intake.finish() {
            Ok(()) => (SessionEnd::ByTheBook, Close::Clean),
            Err(missing) => {
                self.session.recorder.violation(missing.clone());
                (SessionEnd::ClientVanished(missing), Close::Clean)
            }
        }
    }

    /// Carries out what the model wants; says so if that ends the session.
    fn deliver(&mut self) -> Option<(SessionEnd, Close)> {
        let now = self.session.clock.now();
        while let Some(output) = self.session.model.poll_output() {
            let struck = match output {
                Output::Event(json) => self.write(&json, false),
                Output::Audio(json) => self.write(&json, true),
                Output::Note(note) => self.take_note(note, now),
                Output::Fault(fault) => {
                    if let Some(ended) = self.bring(fault, now) {
                        return Some(ended);
                    }
                    None
                }
                Output::TimeOut(kind, message) => {
                    self.raise(kind, &message);
                    return Some((SessionEnd::TimedOut(message), Close::Clean));
                }
            };
            if let Some(ended) = struck.and_then(|fault| self.strike(fault)) {
                return Some(ended);
            }
        }
        if self.queue.len() > UNREAD {
            return Some((SessionEnd::ClientVanished("the client does not read".into()), Close::Reset));
        }
        None
    }

    fn raise(&mut self, kind: ExceptionKind, message: &str) {
        let message = format!("RequestId={} : {message}", self.session.recorder.session);
        self.queue.push_back(encode_exception(kind.as_str(), &message));
    }

    fn write(&mut self, json: &str, is_audio: bool) -> Option<Fault> {
        self.queue.push_back(if self.session.padded {
            encode_padded_event(json, self.session.padding.between(1, PADDING) as usize)
        } else {
            encode_event(json)
        });
        self.session.strikes.sent(is_audio)
    }

    fn take_note(&mut self, note: Note, now: Instant) -> Option<Fault> {
        if let Note::ToolAsked { tool_use_id, .. } = &note {
            self.session.intake.tool_asked(tool_use_id.clone());
        }
        let struck = if let Note::Heard(HeardUtterance { text, .. }) | Note::Read(text) = &note {
            self.session.strikes.understood(text)
        } else {
            None
        };
        self.session.recorder.note(note, now);
        struck
    }

    fn answer_if_due(&mut self, now: Instant) {
        let is_due = self.session.answer_at.is_some_and(|at| at <= now);
        if is_due && self.may_answer() && self.answer() {
            self.session.strikes.answered(now);
        }
    }

    fn may_answer(&self) -> bool {
        self.event_read || !self.session.answer_after_event
    }

    /// Sends the response, unless it was sent before.
    fn answer(&mut self) -> bool {
        self.answer.take().is_some_and(|answer| answer.send(()).is_ok())
    }

    /// Hands over what is queued and, where nothing is to end, waits for the client to give up.
    async fn settle(&mut self, close: Close) {
        let stop = self.session.stop.clone();
        let settled = async {
            match close {
                Close::Clean | Close::Reset | Close::ResetWithoutError | Close::Connection => {
                    self.answer();
                    self.flush().await;
                }
                Close::Never if self.answer.is_some() => self.outlast().await,
                // Frozen: it does not even read, unless that is the only way to notice that the client is gone.
                Close::Never => {
                    self.flush().await;
                    match self.session.protocol {
                        Protocol::Http1 => self.outlast().await,
                        Protocol::Http2 => self.out.closed().await,
                    }
                }
            }
        };
        tokio::select! {
            () = settled => {}
            () = stop.cancelled() => {}
        }
    }

    /// Reads and forgets until the client gives up.
    async fn outlast(&mut self) {
        let lost = async {
            match drain(&mut self.body).await {
                Ok(()) => pending::<()>().await,
                Err(error) => tracing::debug!(%error, "the client is gone"),
            }
        };
        tokio::select! {
            () = self.out.closed() => {}
            () = lost => {}
        }
    }

    /// Hands over what is queued to a client that reads.
    async fn flush(&mut self) {
        let flush = async {
            while let Some(frame) = self.queue.pop_front()
                && self.out.send(Ok(frame)).await.is_ok()
            {}
        };
        // A client that does not read will not miss the rest.
        let _ = timeout(FLUSH_LIMIT, flush).await;
    }
}

/// Returns once the region is lost.
async fn region_lost(outage: &mut watch::Receiver<Option<Outage>>) -> Outage {
    match outage.wait_for(Option::is_some).await.map(|outage| *outage) {
        Ok(Some(outage)) => outage,
        Ok(None) | Err(_) => pending().await,
    }
}

/// Reads what the client is still sending: where the response ends before the request, HTTP/1.1 would close the
/// connection on it, and its end of the response might get lost.
async fn linger(mut body: Incoming, stop: CancellationToken) {
    tokio::select! {
        _ = timeout(FLUSH_LIMIT, drain(&mut body)) => {}
        () = stop.cancelled() => {}
    }
}

/// Reads to the end and forgets. An error is how the client was lost before that.
async fn drain(body: &mut Incoming) -> hyper::Result<()> {
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(())
}
