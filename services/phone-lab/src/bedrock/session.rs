//! The task of one session: moves bytes between the HTTP/2 stream and the pure parts. The only `await`s are here.

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
use offhook_hosting::clock::Clock;
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    fault::{ExceptionKind, Fault, Moment},
    frame::{encode_event, encode_exception},
    intake::{Intake, Problem},
    model::{Model, Note, Output},
    record::Recorder,
    report::{ModelEventKind, SessionEnd},
    server::Counted,
};

/// Frames handed to HTTP/2 that it has not taken yet.
const OUTGOING: usize = 64;
/// How long a client has to read what is left when the session has ended.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// Frames waiting behind those. A client that lets so many pile up (minutes of audio) does not read.
const UNREAD: usize = 4096;

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
    pub(super) fault: Option<Fault>,
    /// The response is not sent before this.
    pub(super) answer_at: Instant,
    /// The response is not sent before the first event was read.
    pub(super) answer_after_event: bool,
    /// Held as long as the session lives.
    pub(super) slot: Counted,
    /// Ends the connection.
    pub(super) connection: CancellationToken,
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
    /// With RST_STREAM.
    Reset,
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
    strike_at: Option<Instant>,
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
        let driver = Driver { session: self, body, out, queue, answer, event_read: false, strike_at: None };
        driver.run().await;
    }
}

impl Driver {
    async fn run(mut self) {
        let (end, close) = if self.session.fault == Some(Fault::NeverAnswer) {
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
            Close::Reset => drop(timeout(FLUSH_LIMIT, out.send(Err(Reset))).await),
            Close::Connection => connection.cancel(),
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
        [self.session.model.poll_deadline(), self.strike_at, answer].into_iter().flatten().min()
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
                if self.strike_at.is_some_and(|at| at <= now) {
                    return self.strike();
                }
            }
        }
        None
    }

    fn receive(&mut self, bytes: &[u8], now: Instant) -> Option<(SessionEnd, Close)> {
        self.session.intake.handle_bytes(bytes);
        loop {
            let polled = self.session.intake.poll_input(self.session.clock.wall());
            for remark in self.session.intake.take_remarks() {
                self.session.recorder.violation(remark);
            }
            match polled {
                Ok(Some(input)) => {
                    self.event_read = true;
                    self.session.model.handle_input(input, now);
                    // Tools asked for now may be answered by the next event.
                    if let Some(ended) = self.deliver() {
                        return Some(ended);
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
            match output {
                Output::Event(json) => self.queue.push_back(encode_event(&json)),
                Output::Audio(json) => {
                    self.queue.push_back(encode_event(&json));
                    if self.session.fault.as_ref().and_then(Fault::moment) == Some(Moment::FirstAudio) {
                        return self.strike();
                    }
                }
                Output::Note(note) => {
                    if let Note::ToolAsked { tool_use_id, .. } = &note {
                        self.session.intake.tool_asked(tool_use_id.clone());
                    }
                    self.session.recorder.note(note, now);
                }
                Output::TimeOut(kind, message) => {
                    self.raise(kind, &message);
                    return Some((SessionEnd::TimedOut(message), Close::Clean));
                }
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

    fn answer_if_due(&mut self, now: Instant) {
        let may_answer = self.event_read || !self.session.answer_after_event;
        if may_answer
            && now >= self.session.answer_at
            && self.answer()
            && let Some(Moment::After(delay)) = self.session.fault.as_ref().and_then(Fault::moment)
        {
            self.strike_at = Some(now + delay);
        }
    }

    /// Sends the response, unless it was sent before.
    fn answer(&mut self) -> bool {
        self.answer.take().is_some_and(|answer| answer.send(()).is_ok())
    }

    /// The fault happens.
    fn strike(&mut self) -> Option<(SessionEnd, Close)> {
        let (what, close) = match self.session.fault.take()? {
            Fault::Refuse(_) | Fault::NeverAnswer => return None,
            Fault::Exception { kind, message, .. } => {
                // Worded by whoever injects it.
                self.queue.push_back(encode_exception(kind.as_str(), &message));
                (kind.as_str(), Close::Clean)
            }
            Fault::ResetStream(_) => ("stream reset", Close::Reset),
            Fault::DropConnection(_) => ("connection dropped", Close::Connection),
            Fault::EndStream(_) => ("stream ended early", Close::Clean),
            Fault::Freeze(_) => ("frozen", Close::Never),
        };
        Some((SessionEnd::Fault(what.into()), close))
    }

    /// Hands over what is queued and, where nothing is to end, waits for the client to give up.
    async fn settle(&mut self, close: Close) {
        let stop = self.session.stop.clone();
        let settled = async {
            match close {
                Close::Clean | Close::Reset | Close::Connection => {
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
