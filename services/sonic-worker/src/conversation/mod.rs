//! One leg of a call as a conversation with the model: who speaks, what is done, how it ends.
//!
//! Pure: no sockets, tasks or clock. Hand [`Conversation::handle`] an [`Input`] and the current time, drain
//! [`Conversation::poll_output`] to `None`, and come back at [`Conversation::poll_deadline`] or on the next input.
//! Nothing that arrives from outside can panic here, and every path ends in [`Output::Finished`].
//!
//! ```text
//! Opening ──opened──▶ Live ──hung up, leg lost, model lost, stopped──▶ Closing ──stream ended, 2 s──▶ Finished
//!    │ ▲                                                                  ▲
//!    │ └─ pause ─ Retrying                                                │
//!    └─refused, leg lost──────────────────────────────────────────────────┘
//! ```

mod agent_turn;
mod heard;
mod keypad;
mod leaving;
mod limits;
mod line;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "a session is told of what was said before it once it can be renewed")
)]
mod memory;
mod playback;
mod ports;
mod tool_calls;
mod turns;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use offhook_hosting::entropy::Entropy;
use serde_json::Value;

use self::{
    keypad::Keypad,
    leaving::Leaving,
    playback::Playback,
    tool_calls::{Requested, ToolCalls},
    turns::Turns,
};
pub use self::{
    keypad::{InvalidKey, Key},
    limits::Limits,
    ports::{Input, LegEnd, Output, ToolCall},
    turns::CallTime,
};
use crate::{
    agent::Agent,
    calls::{Entry, NextStep, Outcome, Turn},
    nova::{Failure, ServerEvent, Session, Setup, Told, ToolSpec, ToolUseId, Usage},
    prices::Prices,
};

/// Tries at opening a model session before the caller is told that it does not work.
const OPEN_TRIES: u32 = 3;
/// The caller has waited long enough by then: a start that fails later is the last.
const RETRY_FOR: Duration = Duration::from_secs(4);
/// The pause before another try is drawn from zero to this, doubled each time.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// A model that took the session and then says nothing at all is as good as none; slow ones have taken 10 s to speak, but
/// not to begin.
const FIRST_WORD_WITHIN: Duration = Duration::from_secs(10);
/// How long a closed session may take to end its stream. Its place counts against the account's quota until then.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// A conversation on one leg.
#[derive(Debug)]
pub struct Conversation {
    agent: Arc<Agent>,
    setup: Setup,
    entropy: Entropy,
    phase: Phase,
    retry_until: Instant,
    session: Session,
    edge_is_there: bool,
    /// Whether an input stream to the model is there to be written to.
    streaming: bool,
    pcm: Vec<u8>,
    playback: Playback,
    keypad: Keypad,
    turns: Turns,
    tools: ToolCalls,
    prices: Prices,
    usage: Usage,
    leaving: Option<Leaving>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum Phase {
    Opening {
        attempt: u32,
    },
    Retrying {
        attempt: u32,
        at: Instant,
    },
    Live {
        /// The model has not said anything yet and must by then; `None` once it has.
        answer_by: Option<Instant>,
    },
    Closing {
        until: Instant,
    },
    Finished,
}

impl Conversation {
    /// Begins by opening a model session.
    pub fn new(agent: Arc<Agent>, tools: Vec<ToolSpec>, prices: Prices, time: CallTime, mut entropy: Entropy) -> Self {
        let mut setup = agent.setup(tools);
        setup.system_prompt.push_str(keypad::EXPLAINED);
        let (session, opening) = Session::open(&setup, entropy.fork());
        Self {
            turns: Turns::new(time, setup.opening_text.clone()),
            tools: ToolCalls::new(time),
            agent,
            setup,
            entropy,
            phase: Phase::Opening { attempt: 1 },
            retry_until: time.started + RETRY_FOR,
            session,
            edge_is_there: true,
            streaming: true,
            pcm: Vec::new(),
            playback: Playback::default(),
            keypad: Keypad::default(),
            prices,
            usage: Usage::default(),
            leaving: None,
            outputs: VecDeque::from([Output::OpenStream(opening)]),
        }
    }

    /// What to do next, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Deadline`] is due, unless something else happens first.
    pub fn poll_deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Retrying { at, .. } => Some(at),
            Phase::Closing { until } => Some(until),
            Phase::Live { answer_by } => {
                let leave_at = self.leaving.as_ref().map(|leaving| leaving.deadline(self.playback.is_heard_out()));
                answer_by.into_iter().chain(leave_at).chain(self.keypad.deadline()).min()
            }
            Phase::Opening { .. } | Phase::Finished => None,
        };
        phase.into_iter().chain(self.tools.deadline()).chain(self.turns.deadline()).min()
    }

    /// Takes in what happened.
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::CallerAudio(mulaw) => self.handle_caller_audio(mulaw),
            Input::Pressed(key) => self.handle_pressed(key, now),
            Input::Heard { sample, epoch } => self.handle_heard(sample, epoch, now),
            Input::LegEnded(end) => self.handle_leg_ended(end, now),
            Input::StreamOpened => self.handle_opened(now),
            Input::StreamRefused(failure) => self.handle_refused(failure, now),
            Input::Model(event) => self.handle_model(event, now),
            Input::StreamEnded(_) => self.handle_stream_ended(now),
            Input::ToolFinished { id, result } => self.handle_tool_finished(&id, result, now),
            Input::Stop => self.finish(Outcome::Stopped, self.agent.apologise(), now),
            Input::Deadline => {}
        }
        self.handle_deadlines(now);
        let settled = self.turns.settled(now);
        self.note(settled);
    }

    fn handle_opened(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Opening { .. }) {
            return;
        }
        self.phase = Phase::Live { answer_by: Some(now + FIRST_WORD_WITHIN) };
        self.outputs.push_back(Output::Accepted);
        self.outputs.extend(self.session.handle_opened().into_iter().map(Output::Send));
    }

    fn handle_refused(&mut self, failure: Failure, now: Instant) {
        self.streaming = false;
        match self.phase {
            Phase::Opening { attempt }
                if failure.is_worth_a_retry() && attempt < OPEN_TRIES && now < self.retry_until =>
            {
                let longest = RETRY_PAUSE * 2_u32.pow(attempt - 1);
                let pause = Duration::from_millis(self.entropy.between(0, longest.as_millis() as u64));
                self.phase = Phase::Retrying { attempt: attempt + 1, at: now + pause };
            }
            Phase::Opening { .. } => {
                self.note_end(Outcome::ModelRefused, self.agent.apologise(), now);
                self.outputs.push_back(Output::Refused);
                self.end();
            }
            Phase::Closing { .. } => self.end(),
            Phase::Retrying { .. } | Phase::Live { .. } | Phase::Finished => {}
        }
    }

    fn handle_model(&mut self, event: ServerEvent, now: Instant) {
        if let Phase::Live { answer_by } = &mut self.phase {
            *answer_by = None;
        }
        let Some(told) = self.session.handle_event(event) else { return };
        // Tokens are counted to the end, also of a session that is closing.
        if matches!(self.phase, Phase::Live { .. }) || matches!(told, Told::Usage(_)) {
            self.handle_told(told, now);
        }
    }

    fn handle_told(&mut self, told: Told, now: Instant) {
        match told {
            Told::CallerSaid(text) => {
                self.leaving.iter_mut().for_each(|leaving| leaving.caller_speaks(now));
                self.turns.caller_said(text, now);
            }
            Told::AgentSays(sentence) => {
                self.leaving.take_if(|leaving| leaving.is_called_off_by_an_answer());
                self.leaving.iter_mut().for_each(|leaving| leaving.agent_speaks(now));
                self.turns.agent_says(&sentence, self.playback.epoch(), now);
            }
            Told::AgentSpoke(text) => self.turns.agent_spoke(&text),
            Told::AgentAudio(pcm) => self.speak(&pcm, now),
            Told::AgentSentenceEnded => self.turns.agent_sentence_ended(now),
            Told::AgentTurnEnded => {
                self.turns.agent_sentence_ended(now);
                self.turns.agent_turn_ended();
            }
            Told::Interrupted => self.hush(now),
            Told::ToolWanted { id, name, input } => self.handle_tool_wanted(id, name, input, now),
            Told::Usage(usage) => self.usage = usage,
        }
    }

    fn handle_tool_wanted(&mut self, id: ToolUseId, name: String, input: Value, now: Instant) {
        match self.tools.request(&self.setup.tools, id.clone(), name, input, now) {
            Requested::Run(call) => self.outputs.push_back(Output::RunTool(call)),
            Requested::Leave { next_step, result } => {
                self.answer_tool(&id, result, now);
                if self.leaving.as_ref().is_none_or(|leaving| leaving.yields_to(&next_step)) {
                    self.leaving = Some(Leaving::new(next_step, now));
                }
            }
            Requested::Refused { result } => self.answer_tool(&id, result, now),
            Requested::Again => {}
        }
    }

    fn handle_tool_finished(&mut self, id: &ToolUseId, result: Value, now: Instant) {
        if matches!(self.phase, Phase::Live { .. }) {
            self.answer_tool(id, result, now);
        }
    }

    fn answer_tool(&mut self, id: &ToolUseId, result: Value, now: Instant) {
        let Some(run) = self.tools.finish(id, result, now) else { return };
        let told = self.session.tool_result(id, run.result.as_ref().unwrap_or(&Value::Null));
        self.outputs.extend(told.into_iter().map(Output::Send));
        self.outputs.push_back(Output::Note(Entry::Tool(run)));
    }

    fn handle_stream_ended(&mut self, now: Instant) {
        self.streaming = false;
        match self.phase {
            Phase::Live { .. } => self.finish(Outcome::ModelFailed, self.agent.apologise(), now),
            Phase::Opening { .. } => self.handle_refused(Failure::EndedEarly, now),
            Phase::Closing { .. } => self.end(),
            Phase::Retrying { .. } | Phase::Finished => {}
        }
    }

    fn handle_deadlines(&mut self, now: Instant) {
        for (id, result) in self.tools.overdue(now) {
            self.answer_tool(&id, result, now);
            self.outputs.push_back(Output::StopTool(id));
        }
        match self.phase {
            Phase::Retrying { attempt, at } if at <= now => self.retry(attempt),
            Phase::Closing { until } if until <= now => {
                self.outputs.push_back(Output::AbandonStream);
                self.end();
            }
            Phase::Live { answer_by } => {
                if let Some(pressed) = self.keypad.collected(now) {
                    self.tell_pressed(&pressed, now);
                }
                let heard_out = self.playback.is_heard_out();
                if let Some(left) = self.leaving.take_if(|leaving| leaving.deadline(heard_out) <= now) {
                    self.finish(left.outcome(), left.into_next_step(), now);
                } else if answer_by.is_some_and(|by| by <= now) {
                    self.finish(Outcome::ModelFailed, self.agent.apologise(), now);
                }
            }
            Phase::Opening { .. } | Phase::Retrying { .. } | Phase::Closing { .. } | Phase::Finished => {}
        }
    }

    fn retry(&mut self, attempt: u32) {
        let (session, opening) = Session::open(&self.setup, self.entropy.fork());
        self.session = session;
        self.streaming = true;
        self.phase = Phase::Opening { attempt };
        self.outputs.push_back(Output::OpenStream(opening));
    }

    /// The conversation is over: writes down how and what comes next, tells the edge, and closes the model's session.
    fn finish(&mut self, outcome: Outcome, next_step: NextStep, now: Instant) {
        if matches!(self.phase, Phase::Closing { .. } | Phase::Finished) {
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
        if self.streaming {
            self.outputs.extend(self.session.close().into_iter().map(Output::Send));
            self.outputs.push_back(Output::EndInput);
            self.phase = Phase::Closing { until: now + CLOSE_DEADLINE };
        } else {
            self.end();
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
        self.outputs.push_back(Output::Note(Entry::Ended { at, outcome, next_step }));
    }

    /// Everything is over; the tokens are known only now.
    fn end(&mut self) {
        self.phase = Phase::Finished;
        let (usage, cost) = (self.usage, self.prices.cost(self.usage));
        self.outputs.push_back(Output::Note(Entry::Usage { usage, cost }));
        self.outputs.push_back(Output::Finished);
    }

    fn note(&mut self, turns: impl IntoIterator<Item = Turn>) {
        self.outputs.extend(turns.into_iter().map(|turn| Output::Note(Entry::Turn(turn))));
    }
}

#[cfg(test)]
#[expect(clippy::wildcard_enum_match_arm, reason = "a test looks for some outputs among all")]
mod tests;
