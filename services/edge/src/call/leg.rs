//! One leg: a Twilio media stream on one side, a worker's conversation on the other.
//!
//! Pure. Hand in what happens with the `handle_*` methods, then drain [`Leg::poll_action`], [`Leg::poll_frame`] and
//! [`Leg::poll_worker`], and come back at [`Leg::poll_deadline`]. Once [`Leg::is_over`], drop both sides. Nothing that
//! arrives from outside can panic here, and each way a leg can end is an [`Outcome`].
//!
//! ```text
//! AwaitingStart ─start─▶ Attaching ─Accepted─▶ Live ─Next─▶ Finishing ─all heard─▶ Ending ─both sides gone─▶ Over
//!       └──────────────────────┴─────────────────┴─ stop, loss, misbehaviour ─────────▲
//! ```
//!
//! Where Twilio goes on by itself, with a human or with keys, `Redirecting` comes between `Finishing` and `Ending`: Twilio
//! is asked for it, and its `stop` is the answer.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use offhook_agents::Agents;
use offhook_proto::voice::v1::{FromEdge, Start, to_edge::Message};
use tonic::Code;

use super::{
    attach::{Action, another_may_serve, worker_start},
    outcome::Outcome,
    playout::{MarkName, Play, Playout},
    redirect::{self, NotRedirected, REDIRECT_DEADLINE},
    ticket::Claims,
    uplink::Uplink,
};
use crate::twilio::{
    frame::{self, Inbound, StreamStart},
    sid::{CallSid, StreamSid},
};

/// Twilio sends `start` right after it has opened the socket.
pub const START_DEADLINE: Duration = Duration::from_secs(5);
/// A caller who hears nothing for longer than this is better told so.
pub const ATTACH_DEADLINE: Duration = Duration::from_secs(10);
/// Twilio sends 50 messages a second, silence included: a socket this quiet is dead.
pub const QUIET_DEADLINE: Duration = Duration::from_secs(30);
/// Grace for the last mark's echo beyond the time that the audio takes.
pub const ECHO_GRACE: Duration = Duration::from_secs(2);
/// How long the two sides may take to close.
pub const CLOSE_DEADLINE: Duration = Duration::from_secs(1);
/// Messages in a row that cannot be read before the stream is given up.
pub const BAD_FRAME_LIMIT: u32 = 50;

/// What is known of a leg before Twilio speaks.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What the socket's ticket says; `start` has to say the same.
    pub claims: Claims,
    /// The ticket's name.
    pub ticket: String,
    /// Who may speak, and which human stands behind them.
    pub agents: Arc<Agents>,
    /// Whether Twilio can be asked to go on with the next document.
    pub can_redirect: bool,
}

/// The state of one leg. Knows who calls and holds what they say, so it shows little of itself in a log.
pub struct Leg {
    setup: Setup,
    phase: Phase,
    stream: Option<StreamSid>,
    playout: Playout,
    uplink: Uplink,
    action: Option<Action>,
    worker_open: bool,
    socket_open: bool,
    close_due: bool,
    hushed_at: Option<Instant>,
    last_seen: Instant,
    bad_in_a_row: u32,
    counts: Counts,
}

enum Phase {
    AwaitingStart { until: Instant },
    Attaching { start: Box<Start>, until: Instant },
    Live,
    Finishing { until: Instant, redirects: bool },
    Redirecting { is_asked: bool, until: Instant },
    Ending { outcome: Outcome, until: Instant },
    Over(Outcome),
}

/// What to write to the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A text message.
    Text(String),
    /// A `clear`, and since when it has been due.
    Clear {
        /// The text message.
        text: String,
        /// When the worker asked for it.
        since: Instant,
    },
    /// Close the socket. Nothing follows.
    Close,
}

/// What happened often enough to be only counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Caller audio that the worker did not take in time.
    pub caller_frames_dropped: u64,
    /// Keys that the caller pressed faster than the worker took them.
    pub caller_keys_dropped: u64,
    /// Agent audio that the socket did not take in time, or that came too late.
    pub agent_slices_dropped: u64,
    /// Messages of Twilio that could not be read.
    pub bad_frames: u64,
    /// Events of Twilio, or messages of the worker, that this version does not know or expect.
    pub unknown_messages: u64,
}

impl Leg {
    /// A leg whose socket has just been opened.
    pub fn new(setup: Setup, now: Instant) -> Self {
        Self {
            setup,
            phase: Phase::AwaitingStart { until: now + START_DEADLINE },
            stream: None,
            playout: Playout::default(),
            uplink: Uplink::default(),
            action: None,
            worker_open: false,
            socket_open: true,
            close_due: false,
            hushed_at: None,
            last_seen: now,
            bad_in_a_row: 0,
            counts: Counts::default(),
        }
    }

    /// The call that this is a leg of.
    pub fn call(&self) -> &CallSid {
        &self.setup.claims.call
    }

    /// A text message arrived on the socket.
    pub fn handle_text(&mut self, text: &str, now: Instant) {
        self.last_seen = now;
        match frame::parse(text) {
            Ok(Inbound::Unknown) => self.counts.unknown_messages += 1,
            Ok(message) => {
                let bad_before = self.counts.bad_frames;
                self.on_twilio(message, now);
                if self.counts.bad_frames == bad_before {
                    self.bad_in_a_row = 0;
                }
            }
            Err(_) => self.handle_bad_frame(now),
        }
    }

    /// Something else than text or keep-alive arrived on the socket.
    pub fn handle_bad_frame(&mut self, now: Instant) {
        self.last_seen = now;
        self.counts.bad_frames += 1;
        self.bad_in_a_row += 1;
        if self.bad_in_a_row >= BAD_FRAME_LIMIT {
            self.end(Outcome::ProtocolError, now);
        }
    }

    /// A keep-alive arrived on the socket.
    pub fn handle_alive(&mut self, now: Instant) {
        self.last_seen = now;
    }

    /// The socket is gone.
    pub fn handle_socket_lost(&mut self, now: Instant) {
        self.socket_open = false;
        self.close_due = false;
        let is_redirected = matches!(self.phase, Phase::Redirecting { .. });
        self.end(if is_redirected { Outcome::Redirected } else { Outcome::ConnectionLost }, now);
        self.settle();
    }

    /// The worker sent a message.
    pub fn handle_worker(&mut self, message: Option<Message>, now: Instant) {
        match (&self.phase, message) {
            (Phase::Attaching { .. }, Some(Message::Accepted(_))) => self.phase = Phase::Live,
            (Phase::Live, Some(Message::Speak(speak))) => self.playout.speak(speak),
            (Phase::Live, Some(Message::Hush(hush))) => {
                if self.playout.hush(hush.epoch) {
                    self.hushed_at.get_or_insert(now);
                }
            }
            (Phase::Live, Some(Message::Next(next))) => {
                let redirects = self.setup.can_redirect && redirect::suits(&next);
                self.phase = Phase::Finishing { until: now + self.playout.remaining(now) + ECHO_GRACE, redirects };
                self.finish_if_heard(now);
            }
            (_, _) => self.counts.unknown_messages += 1,
        }
    }

    /// The worker's stream is over: with OK, or with a status. `Unavailable` also says that it could not be reached.
    pub fn handle_worker_end(&mut self, end: Result<(), Code>, now: Instant) {
        self.worker_open = false;
        match &self.phase {
            Phase::Attaching { start, .. } => match end {
                Err(code) if another_may_serve(code) => self.action = Some(Action::attach(start)),
                Ok(()) | Err(_) => self.end(Outcome::WorkerRefused, now),
            },
            Phase::AwaitingStart { .. } | Phase::Live => self.end(Outcome::WorkerLost, now),
            Phase::Finishing { .. } | Phase::Redirecting { .. } | Phase::Ending { .. } | Phase::Over(_) => {}
        }
        self.settle();
    }

    /// Twilio has answered whether it goes on with the next document. If so, its `stop` is still to come.
    pub fn handle_redirect(&mut self, answer: Result<(), NotRedirected>, now: Instant) {
        if matches!(self.phase, Phase::Redirecting { .. }) {
            match answer {
                Ok(()) => {}
                Err(NotRedirected::CallOver) => self.end(Outcome::Stopped, now),
                Err(NotRedirected::Failed) => self.end(Outcome::Finished, now),
            }
        }
    }

    /// Every worker has been asked.
    pub fn handle_no_worker(&mut self, now: Instant) {
        self.worker_open = false;
        self.end(Outcome::NoWorker, now);
        self.settle();
    }

    /// Live work has to end at once.
    pub fn handle_hard_stop(&mut self, now: Instant) {
        self.end(Outcome::EdgeStopping, now);
    }

    /// The time is `now`, and [`Leg::poll_deadline`] may have passed.
    pub fn handle_deadline(&mut self, now: Instant) {
        match self.phase {
            Phase::AwaitingStart { until } if until <= now => self.end(Outcome::NoStart, now),
            Phase::Attaching { until, .. } if until <= now => self.end(Outcome::NoWorker, now),
            Phase::Finishing { until, redirects } if until <= now => self.finish(redirects, now),
            Phase::Redirecting { until, .. } if until <= now => self.end(Outcome::Finished, now),
            Phase::Ending { outcome, until } if until <= now => self.phase = Phase::Over(outcome),
            Phase::Attaching { .. } | Phase::Live | Phase::Finishing { .. } => {
                if self.last_seen + QUIET_DEADLINE <= now {
                    self.end(Outcome::ConnectionLost, now);
                }
            }
            Phase::AwaitingStart { .. } | Phase::Redirecting { .. } | Phase::Ending { .. } | Phase::Over(_) => {}
        }
    }

    /// What to do next beside moving messages.
    pub fn poll_action(&mut self) -> Option<Action> {
        let action = self.action.take();
        self.worker_open |= action.is_some();
        action
    }

    /// Whether [`Leg::poll_action`] has something.
    pub fn has_action(&self) -> bool {
        self.action.is_some()
    }

    /// Whether Twilio is to be asked now to go on with the next document; whoever is told so asks it.
    pub fn poll_redirect(&mut self) -> bool {
        let Phase::Redirecting { is_asked, .. } = &mut self.phase else { return false };
        !std::mem::replace(is_asked, true)
    }

    /// The next message for the socket; whoever takes it writes it.
    pub fn poll_frame(&mut self, now: Instant) -> Option<Frame> {
        if self.close_due {
            self.close_due = false;
            return Some(Frame::Close);
        }
        if !matches!(self.phase, Phase::Live | Phase::Finishing { .. }) {
            return None;
        }
        let stream = self.stream.as_ref()?;
        Some(match self.playout.poll(now)? {
            Play::Audio(mulaw) => Frame::Text(frame::media(stream, &mulaw)),
            Play::Mark(name) => Frame::Text(frame::mark(stream, name)),
            Play::Clear => Frame::Clear { text: frame::clear(stream), since: self.hushed_at.take().unwrap_or(now) },
        })
    }

    /// The next message for the worker. Only an accepted leg has any, and one that is ending.
    pub fn poll_worker(&mut self) -> Option<FromEdge> {
        if self.has_for_worker() { self.uplink.pop() } else { None }
    }

    /// Whether [`Leg::poll_worker`] has something.
    pub fn has_for_worker(&self) -> bool {
        let listens = matches!(self.phase, Phase::Live | Phase::Finishing { .. } | Phase::Ending { .. });
        listens && self.worker_open && !self.uplink.is_empty()
    }

    /// When to come back at the latest.
    pub fn poll_deadline(&self) -> Option<Instant> {
        let quiet = self.last_seen + QUIET_DEADLINE;
        match &self.phase {
            Phase::AwaitingStart { until } | Phase::Redirecting { until, .. } | Phase::Ending { until, .. } => {
                Some(*until)
            }
            Phase::Attaching { until, .. } | Phase::Finishing { until, .. } => Some(quiet.min(*until)),
            Phase::Live => Some(quiet),
            Phase::Over(_) => None,
        }
    }

    /// How the leg ended, once both sides are gone or their time is over.
    pub fn is_over(&self) -> Option<Outcome> {
        match self.phase {
            Phase::Over(outcome) => Some(outcome),
            Phase::AwaitingStart { .. }
            | Phase::Attaching { .. }
            | Phase::Live
            | Phase::Finishing { .. }
            | Phase::Redirecting { .. }
            | Phase::Ending { .. } => None,
        }
    }

    /// Whether nothing more is to be told to the worker than [`Leg::poll_worker`] gives now.
    pub fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending { .. } | Phase::Over(_))
    }

    /// What was counted since the last time this was asked.
    pub fn take_counts(&mut self) -> Counts {
        Counts {
            caller_frames_dropped: self.uplink.take_dropped(),
            caller_keys_dropped: self.uplink.take_keys_dropped(),
            agent_slices_dropped: self.playout.take_dropped(),
            ..std::mem::take(&mut self.counts)
        }
    }

    fn on_twilio(&mut self, message: Inbound, now: Instant) {
        match (&self.phase, message) {
            (Phase::AwaitingStart { .. }, Inbound::Start(start)) => self.on_start(start, now),
            (Phase::AwaitingStart { .. }, Inbound::Connected) => {}
            (Phase::Ending { .. } | Phase::Over(_), _) => {}
            (Phase::Redirecting { .. }, Inbound::Stop) => self.end(Outcome::Redirected, now),
            (_, Inbound::Stop) => {
                if let Some(heard) = self.playout.stopped() {
                    self.tell_heard(heard);
                }
                self.end(Outcome::Stopped, now);
            }
            (Phase::Attaching { .. } | Phase::Live, Inbound::Media(mulaw)) => {
                self.playout.caller_sent(mulaw.len());
                self.uplink.push_audio(mulaw);
            }
            (Phase::Attaching { .. } | Phase::Live, Inbound::Dtmf(key)) => self.uplink.push_key(key),
            // The conversation is over: what the caller does while its last words play concerns nobody. How much of them
            // was heard still goes by the caller's audio.
            (Phase::Finishing { .. }, Inbound::Media(mulaw)) => self.playout.caller_sent(mulaw.len()),
            (Phase::Finishing { .. }, Inbound::Dtmf(_)) => {}
            (Phase::Redirecting { .. }, Inbound::Media(_) | Inbound::Dtmf(_) | Inbound::Mark(_)) => {}
            (Phase::Live | Phase::Finishing { .. }, Inbound::Mark(name)) => {
                for heard in self.playout.echoed(&name) {
                    self.tell_heard(heard);
                }
                self.finish_if_heard(now);
            }
            (_, Inbound::Start(_) | Inbound::Connected | Inbound::Media(_) | Inbound::Dtmf(_) | Inbound::Mark(_)) => {
                self.handle_bad_frame(now);
            }
            (_, Inbound::Unknown) => self.counts.unknown_messages += 1,
        }
    }

    fn on_start(&mut self, start: StreamStart, now: Instant) {
        if start.call != self.setup.claims.call || start.account != self.setup.claims.account {
            return self.end(Outcome::StartMismatch, now);
        }
        self.stream = Some(start.stream.clone());
        let start = Box::new(worker_start(start, &self.setup.ticket, &self.setup.agents));
        self.action = Some(Action::attach(&start));
        self.phase = Phase::Attaching { start, until: now + ATTACH_DEADLINE };
    }

    fn tell_heard(&mut self, MarkName { epoch, sample }: MarkName) {
        self.uplink.push_heard(sample, epoch);
    }

    fn finish_if_heard(&mut self, now: Instant) {
        if let Phase::Finishing { redirects, .. } = self.phase
            && self.playout.is_finished()
        {
            self.finish(redirects, now);
        }
    }

    fn finish(&mut self, redirects: bool, now: Instant) {
        if redirects {
            self.phase = Phase::Redirecting { is_asked: false, until: now + REDIRECT_DEADLINE };
        } else {
            self.end(Outcome::Finished, now);
        }
    }

    fn end(&mut self, outcome: Outcome, now: Instant) {
        if matches!(self.phase, Phase::Ending { .. } | Phase::Over(_)) {
            return;
        }
        match outcome.reason() {
            Some(reason) => self.uplink.end(reason),
            None => self.uplink = Uplink::default(),
        }
        self.action = None;
        self.close_due = self.socket_open;
        self.phase = Phase::Ending { outcome, until: now + CLOSE_DEADLINE };
    }

    fn settle(&mut self) {
        if let Phase::Ending { outcome, .. } = self.phase
            && !self.socket_open
            && !self.worker_open
        {
            self.phase = Phase::Over(outcome);
        }
    }
}

impl fmt::Debug for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setup, stream, worker_open, socket_open, .. } = self;
        let mut shown = f.debug_struct("Leg");
        shown.field("call", &setup.claims.call).field("stream", stream);
        shown.field("worker_open", worker_open).field("socket_open", socket_open).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "leg_tests.rs"]
mod tests;
