//! One leg of a call as a conversation with the model: who speaks, what is done, how it ends.
//!
//! Pure: no sockets, tasks or clock. Hand [`Conversation::handle`] an [`Input`] and the current time, drain
//! [`Conversation::poll_output`] to `None`, and come back at [`Conversation::poll_deadline`] or on the next input.
//! Nothing that arrives from outside can panic here, and every path ends in [`Output::Finished`].
//!
//! ```text
//! Opening ──opened──▶ Live ──hung up, leg lost, no model to be had, stopped──▶ Closing ──streams ended, 2 s──▶ Finished
//!    └─refused, leg lost───────────────────────────────────────────────────────┘
//! ```
//!
//! Within `Live`, one model session follows another (`handover`):
//!
//! ```text
//!          pause ◀──failed── opening ──▶ ready ──boundary, loss──▶ current ──▶ former ──proof, 10 s──▶ ending ──▶ gone
//!            └──────────────────▲                                     └──lost──▶ gone
//! ```

mod agent_turn;
mod debt;
mod false_alarm;
mod filler;
mod handover;
mod heard;
mod keypad;
mod latency;
mod leaving;
mod limits;
mod line;
mod memory;
mod model;
mod notes;
mod patience;
mod playback;
mod ports;
mod recovery;
mod resume;
mod sessions;
mod tool_calls;
mod turns;
mod voice;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use offhook_hosting::entropy::Entropy;

use self::{
    debt::Debt, false_alarm::FalseAlarm, filler::Filler, handover::CLOSE_DEADLINE, keypad::Keypad, leaving::Leaving,
    memory::Memory, notes::Notes, patience::Patience, playback::Playback, recovery::Recovery, sessions::Sessions,
    tool_calls::ToolCalls, turns::Turns, voice::CallerVoice,
};
pub use self::{
    keypad::{InvalidKey, Key},
    limits::Limits,
    ports::{Cause, Input, LegEnd, Output, ToolCall},
    resume::Past,
    sessions::SessionNo,
    turns::CallTime,
};
use crate::{
    agent::Agent,
    calls::{Entry, LegNo, NextStep, Outcome, Turn},
    context::CallContext,
    nova::{Failure, HistoryLimits, Setup, ToolSpec},
    prices::Prices,
    tools::SUPPORT,
};

/// The caller has waited long enough by then: a start that fails later is the last.
const RETRY_FOR: Duration = Duration::from_secs(4);

/// A conversation on one leg.
#[derive(Debug)]
pub struct Conversation {
    leg: LegNo,
    agent: Arc<Agent>,
    setup: Setup,
    prices: Prices,
    limits: Limits,
    entropy: Entropy,
    phase: Phase,
    /// When something happened last.
    now: Instant,
    edge_is_there: bool,
    sessions: Sessions,
    recovery: Recovery,
    /// Why the next session is needed, if not for the age of this one.
    cause: Option<Cause>,
    /// The live session was lost for a noise that might have been words.
    stalled_for_noise: bool,
    /// Up to here the agent's audio is of a session that is not the live one, which does not know when it is interrupted.
    not_its_own_until: Option<u64>,
    debt: Debt,
    memory: Memory,
    filler: Filler,
    patience: Patience,
    false_alarm: FalseAlarm,
    pcm: Vec<u8>,
    voice: CallerVoice,
    /// The caller's audio came last then.
    heard_caller_at: Instant,
    /// When to look whether the model needs silence in its place.
    silence_due_at: Instant,
    playback: Playback,
    keypad: Keypad,
    notes: Notes,
    turns: Turns,
    tools: ToolCalls,
    leaving: Option<Leaving>,
    /// The caller has just not reached one.
    is_without_a_human: bool,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// No session has been there yet.
    Opening {
        until: Instant,
    },
    Live,
    Closing,
    Finished,
}

/// What a conversation is to be.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Who answers.
    pub agent: Arc<Agent>,
    /// What the agent can do.
    pub tools: Vec<ToolSpec>,
    /// What tokens cost.
    pub prices: Prices,
    /// How long things may take.
    pub limits: Limits,
    /// What is known of the call.
    pub context: CallContext,
    /// What happened on it before this leg.
    pub past: Past,
}

impl Terms {
    /// What every session of the leg is opened with.
    fn setup(&self) -> Setup {
        let mut setup = self.agent.setup(self.tools.clone());
        let greeting = self.agent.told_to_greet().filter(|_| self.past.since.is_none());
        let context = self.context.told(self.agent.introduction.as_deref());
        setup.system_prompt.extend(greeting);
        setup.system_prompt.extend([keypad::EXPLAINED, notes::EXPLAINED, resume::EXPLAINED]);
        setup.system_prompt.push_str(&context);
        setup
    }
}

impl Conversation {
    /// Begins by opening a model session.
    pub fn new(terms: Terms, time: CallTime, entropy: Entropy) -> Self {
        let setup = terms.setup();
        let Terms { agent, prices, limits, past, .. } = terms;
        let now = time.started;
        let limits = Limits { call_limit: limits.call_limit.saturating_sub(past.talked), ..limits };
        let mut conversation = Self {
            leg: past.leg,
            is_without_a_human: past.is_without_a_human(),
            turns: Turns::new(time),
            tools: ToolCalls::new(time),
            agent,
            setup,
            prices,
            limits,
            entropy,
            phase: Phase::Opening { until: now + RETRY_FOR },
            now,
            edge_is_there: true,
            sessions: Sessions::default(),
            recovery: Recovery::default(),
            cause: None,
            stalled_for_noise: false,
            not_its_own_until: None,
            debt: Debt::to_greet(),
            memory: Memory::new(HistoryLimits::default()),
            filler: Filler::default(),
            patience: Patience::new(&limits, now),
            false_alarm: FalseAlarm::default(),
            pcm: Vec::new(),
            voice: CallerVoice::default(),
            heard_caller_at: now,
            silence_due_at: now,
            playback: Playback::default(),
            keypad: Keypad::default(),
            notes: Notes::default(),
            leaving: None,
            outputs: VecDeque::new(),
        };
        conversation.take_over(past, now);
        conversation.open_next(false, now);
        conversation
    }

    fn take_over(&mut self, past: Past, now: Instant) {
        past.turns.iter().for_each(|turn| self.memory.note_turn(turn));
        past.tools.iter().for_each(|run| self.memory.note_tool(run));
        if let Some(since) = past.since {
            // As if a session that was lost had been told it: this one answers it, and the caller's last words if they are
            // not answered.
            self.debt = Debt::to_answer();
            self.turns.noted(vec![resume::told(&since)], now);
        }
    }

    /// What to do next, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Deadline`] is due, unless something else happens first. Always later than what was handled last.
    pub fn poll_deadline(&self) -> Option<Instant> {
        let live = matches!(self.phase, Phase::Live).then(|| self.live_deadlines());
        let finished = matches!(self.phase, Phase::Finished);
        let always = self.sessions.deadlines(&self.limits).chain(self.turns.deadline()).chain(self.tools.deadline());
        // What is due already was looked at, and nothing can be done about it until something happens.
        let due = live.into_iter().flatten().chain(always).filter(|at| *at > self.now);
        due.min().filter(|_| !finished)
    }

    fn live_deadlines(&self) -> impl Iterator<Item = Instant> {
        let leave_at = self.leaving.as_ref().map(|leaving| leaving.deadline(self.playback.is_heard_out()));
        let stalled_at = self.sessions.current.as_ref().and(self.debt.stalled_at(self.limits.stall_after));
        let deadlines = [
            leave_at,
            stalled_at,
            Some(self.silence_due_at),
            self.keypad.deadline(),
            self.notes.deadline(),
            self.filler.deadline(),
            self.patience.deadline(),
        ];
        deadlines.into_iter().flatten()
    }

    /// Takes in what happened.
    pub fn handle(&mut self, input: Input, now: Instant) {
        self.now = now;
        match input {
            Input::CallerAudio(mulaw) => self.handle_caller_audio(mulaw, now),
            Input::Pressed(key) => self.handle_pressed(key, now),
            Input::Told(text) => self.notes.add(text, now),
            Input::Heard { sample, epoch } => self.handle_heard(sample, epoch, now),
            Input::LegEnded(end) => self.handle_leg_ended(end, now),
            Input::StreamOpened { session, credentials_expire } => self.handle_opened(session, credentials_expire, now),
            Input::StreamRefused { session, failure } => self.handle_stream_ended(session, failure, now),
            Input::StreamEnded { session, failure } => {
                self.handle_stream_ended(session, failure.unwrap_or(Failure::EndedEarly), now);
            }
            Input::Model { session, event } => self.handle_model(session, event, now),
            Input::ToolFinished { id, result } => self.handle_tool_finished(&id, result, now),
            Input::CallOver => self.handle_call_over(now),
            Input::Stop => self.finish(Outcome::Stopped, self.fallback(), now),
            Input::Deadline => {}
        }
        self.handle_deadlines(now);
        self.turns.tools_run(self.tools.is_running(), now);
        let settled = self.turns.settled(now);
        self.note(settled);
    }

    fn handle_deadlines(&mut self, now: Instant) {
        self.give_up_on_tools(now);
        if matches!(self.phase, Phase::Live) {
            self.advance_line(now);
            self.advance_patience(now);
            let heard_out = self.playback.is_heard_out();
            if let Some(left) = self.leaving.take_if(|leaving| leaving.deadline(heard_out) <= now) {
                self.finish(left.outcome(), left.into_next_step(), now);
            }
        }
        if matches!(self.phase, Phase::Opening { .. } | Phase::Live) {
            self.advance_sessions(now);
        }
        self.advance_ending(now);
        if matches!(self.phase, Phase::Closing) && self.sessions.ending.is_empty() {
            self.phase = Phase::Finished;
            self.outputs.push_back(Output::Finished);
        }
    }

    /// A human if there is one to be reached, else a sentence: a caller does not go back and forth between two who are not
    /// there.
    fn fallback(&self) -> NextStep {
        let can_transfer = self.setup.tools.iter().any(|tool| tool.name == SUPPORT);
        if can_transfer && !self.is_without_a_human { self.agent.hand_over() } else { self.agent.apologise() }
    }

    /// The model took no session: the leg is over before it began.
    fn refuse(&mut self, now: Instant) {
        self.note_end(Outcome::ModelRefused, self.fallback(), now);
        self.outputs.push_back(Output::Refused);
        self.close(now);
    }

    /// The conversation is over: writes down how and what comes next, tells the edge, and closes the model's sessions.
    fn finish(&mut self, outcome: Outcome, next_step: NextStep, now: Instant) {
        if matches!(self.phase, Phase::Closing | Phase::Finished) {
            return;
        }
        // What breaks while the agent is leaving does not change where the call was to go.
        let (outcome, next_step) = match self.leaving.take() {
            Some(leaving) if outcome != Outcome::CallerHungUp => (leaving.outcome(), leaving.into_next_step()),
            Some(_) | None => (outcome, next_step),
        };
        self.note_end(outcome, next_step.clone(), now);
        if self.edge_is_there {
            self.outputs.push_back(Output::Next(next_step));
        }
        self.close(now);
    }

    fn close(&mut self, now: Instant) {
        self.phase = Phase::Closing;
        for session in self.sessions.take_open() {
            self.retire(session, now);
        }
        for ending in &mut self.sessions.ending {
            ending.until = ending.until.max(now + CLOSE_DEADLINE);
        }
    }

    fn note_end(&mut self, outcome: Outcome, next_step: NextStep, now: Instant) {
        if let Some(pressed) = self.keypad.give_up() {
            self.turns.caller_pressed(pressed.keys().to_owned(), pressed.told(), now);
        }
        let last = self.turns.flush();
        self.note(last);
        for (id, run) in self.tools.give_up(now) {
            self.outputs.push_back(Output::StopTool(id));
            self.outputs.push_back(Output::Note(Entry::Tool(run)));
        }
        let at = self.turns.time().at(now);
        self.outputs.push_back(Output::Note(Entry::Ended { leg: self.leg, at, outcome, next_step }));
    }

    fn note(&mut self, turns: impl IntoIterator<Item = Turn>) {
        for turn in turns {
            self.memory.note_turn(&turn);
            self.outputs.push_back(Output::Note(Entry::Turn(turn)));
        }
    }
}

#[cfg(test)]
#[expect(clippy::wildcard_enum_match_arm, reason = "a test looks for some outputs among all")]
mod tests;
