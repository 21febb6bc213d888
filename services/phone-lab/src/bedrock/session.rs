//! The task of one session: moves bytes between the HTTP/2 stream and the pure parts. The only `await`s are here.

mod striking;

use std::{
    collections::VecDeque,
    future::pending,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use offhook_hosting::{clock::Clock, entropy::Entropy};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    fault::{ExceptionKind, Fault, Strikes},
    frame::{encode_event, encode_exception, encode_padded_event},
    intake::{Intake, Problem, Read},
    model::{Model, Note, Output},
    record::Recorder,
    report::{HeardUtterance, ModelEventKind, SessionEnd},
    server::{Connection, Counted},
};

/// Frames handed to HTTP/2 that it has not taken yet.
const OUTGOING: usize = 64;
/// How long a client has to read what is left when the session has ended.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// Frames waiting behind those. A client that lets so many pile up (minutes of audio) does not read.
const UNREAD: usize = 4096;
/// The field `p` is shorter than this.
const PADDING: u64 = 63;

/// The body of a response: frames as the session makes them. An error resets the stream.
pub(super) struct Outgoing(mpsc::Receiver<Result<Bytes, Reset>>);

/// The stream is reset.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the stream is reset on purpose")]
pub(super) struct Reset;

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Reset;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Reset>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(|result| result.map(Frame::data)))
    }
}

/// Everything one session needs.
pub(super) struct Session {
    pub(super) clock: Clock,
    pub(super) intake: Intake,
    pub(super) model: Model,
    pub(super) recorder: Recorder,
    pub(super) strikes: Strikes,
    /// What the length of the field `p` is drawn from, if events have it.
    pub(super) padding: Option<Entropy>,
    /// The response is not sent before this.
    pub(super) answer_at: Instant,
    /// The response is not sent before the first event was read.
    pub(super) answer_after_event: bool,
    /// Held as long as the session lives.
    pub(super) slot: Counted,
    pub(super) connection: Connection,
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
    out: mpsc::Sender<Result<Bytes, Reset>>,
    queue: VecDeque<Bytes>,
    answer: Option<oneshot::Sender<()>>,
    event_read: bool,
}

/// The body that a new session will write, and the sender to hand to [`Session::run`].
pub(super) fn outgoing() -> (mpsc::Sender<Result<Bytes, Reset>>, Outgoing) {
    let (sender, receiver) = mpsc::channel(OUTGOING);
    (sender, Outgoing(receiver))
}

impl Session {
    /// Runs the session to its end; `answer` fires when the response is to be sent.
    pub(super) async fn run(
        self,
        body: Incoming,
        out: mpsc::Sender<Result<Bytes, Reset>>,
        answer: oneshot::Sender<()>,
    ) {
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
        let Self { session: Session { clock, recorder, connection, slot, .. }, out, .. } = self;
        // Before the stream ends: a client that sees the end finds it on record, and the slot free.
        recorder.close(end, clock.now());
        drop(slot);
        match close {
            Close::Clean | Close::Never => {}
            // A client that is gone needs no reset.
            Close::Reset | Close::ResetWithoutError => {
                if matches!(close, Close::ResetWithoutError) {
                    connection.resets.announce();
                }
                drop(timeout(FLUSH_LIMIT, out.send(Err(Reset))).await);
            }
            Close::Connection => connection.dropped.cancel(),
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
            () = self.out.closed() => Event::ClientGone,
            () = self.session.stop.cancelled() => Event::Stopped,
        }
    }

    fn poll_deadline(&self) -> Option<Instant> {
        let may_answer = self.event_read || !self.session.answer_after_event;
        let answer = self.answer.as_ref().filter(|_| may_answer).map(|_| self.session.answer_at);
        [self.session.model.poll_deadline(), self.session.strikes.poll_deadline(), answer].into_iter().flatten().min()
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
            Event::InputLost(error) => return Some((SessionEnd::ClientVanished(error), Close::Clean)),
            Event::ClientGone => return Some((SessionEnd::ClientVanished("stream cancelled".into()), Close::Clean)),
            Event::Writable | Event::Stopped => {}
            Event::Deadline => {
                self.session.model.handle_deadline(now);
                self.answer_if_due(now);
                while let Some(fault) = self.session.strikes.poll_due(now) {
                    if let Some(ended) = self.strike(fault) {
                        return Some(ended);
                    }
                }
            }
        }
        None
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
        self.queue.push_back(match &mut self.session.padding {
            Some(entropy) => encode_padded_event(json, entropy.between(1, PADDING) as usize),
            None => encode_event(json),
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
        let may_answer = self.event_read || !self.session.answer_after_event;
        if may_answer && now >= self.session.answer_at && self.answer() {
            self.session.strikes.answered(now);
        }
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
                Close::Never if self.answer.is_some() => tokio::select! {
                    () = self.out.closed() => {}
                    () = drain(&mut self.body) => {}
                },
                // Frozen: it does not even read.
                Close::Never => {
                    self.flush().await;
                    self.out.closed().await;
                }
            }
        };
        tokio::select! {
            () = settled => {}
            () = stop.cancelled() => {}
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

/// Reads and forgets, and never returns.
async fn drain(body: &mut Incoming) {
    while body.frame().await.is_some_and(|frame| frame.is_ok()) {}
    pending().await
}
