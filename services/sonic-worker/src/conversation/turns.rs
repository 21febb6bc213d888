use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use crate::calls::{Speaker, Turn};

/// Turns the monotonic time of a leg into the time of day of its record.
#[derive(Clone, Copy, Debug)]
pub struct CallTime {
    /// When the leg began.
    pub started: Instant,
    /// The same moment on the clock on the wall.
    pub started_at: Timestamp,
}

impl CallTime {
    /// The time of day at `now`.
    pub fn at(&self, now: Instant) -> Timestamp {
        let elapsed = SignedDuration::try_from(now.duration_since(self.started)).unwrap_or(SignedDuration::MAX);
        self.started_at.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }
}

/// Who said what, made out of the model's sentences.
///
/// An agent's turn is handed out only when the next turn begins, because the model ends it long before the caller has
/// heard it out and may interrupt.
#[derive(Debug)]
pub(super) struct Turns {
    time: CallTime,
    /// The trigger that makes the agent speak first may come back as if the caller had said it; not after the agent
    /// has spoken.
    opening_text: Option<String>,
    caller_said: Option<Instant>,
    agent: Option<AgentTurn>,
}

#[derive(Debug)]
struct AgentTurn {
    turn: Turn,
    speaking: bool,
    first_audio: bool,
}

impl Turns {
    pub(super) fn new(time: CallTime, opening_text: Option<String>) -> Self {
        Self { time, opening_text, caller_said: None, agent: None }
    }

    pub(super) fn time(&self) -> CallTime {
        self.time
    }

    /// The caller's turn, unless it is the trigger's echo. The agent's turn before it comes out first: see `flush`.
    pub(super) fn caller_said(&mut self, text: String, now: Instant) -> [Option<Turn>; 2] {
        if self.opening_text.as_deref().is_some_and(|opening| is_echo(opening, &text)) {
            return [None, None];
        }
        self.caller_said = Some(now);
        let at = self.time.at(now);
        [self.flush(), Some(Turn { speaker: Speaker::Caller, text, at, interrupted: false, latency_ms: None })]
    }

    /// A sentence of the agent; the turn before it comes out when this one begins another.
    pub(super) fn agent_says(&mut self, sentence: String, now: Instant) -> Option<Turn> {
        if let Some(AgentTurn { turn, speaking: true, .. }) = &mut self.agent {
            turn.text.push(' ');
            turn.text.push_str(sentence.trim());
            return None;
        }
        self.opening_text = None;
        let before = self.flush();
        let (text, at) = (sentence.trim().to_owned(), self.time.at(now));
        let turn = Turn { speaker: Speaker::Agent, text, at, interrupted: false, latency_ms: None };
        self.agent = Some(AgentTurn { turn, speaking: true, first_audio: true });
        before
    }

    pub(super) fn agent_audio(&mut self, now: Instant) {
        let Some(agent) = self.agent.as_mut().filter(|agent| agent.first_audio) else { return };
        agent.first_audio = false;
        agent.turn.at = self.time.at(now);
        let latency = self.caller_said.take().map(|said| now.duration_since(said).as_millis());
        agent.turn.latency_ms = latency.map(|latency| u32::try_from(latency).unwrap_or(u32::MAX));
    }

    pub(super) fn agent_turn_ended(&mut self) {
        if let Some(agent) = &mut self.agent {
            agent.speaking = false;
        }
    }

    pub(super) fn interrupted(&mut self) {
        if let Some(agent) = &mut self.agent {
            agent.speaking = false;
            agent.turn.interrupted = true;
        }
    }

    /// The agent's last turn, if it has not come out yet.
    pub(super) fn flush(&mut self) -> Option<Turn> {
        self.agent.take().map(|agent| agent.turn)
    }
}

fn is_echo(trigger: &str, text: &str) -> bool {
    let words =
        |text: &str| text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    words(trigger) == words(text)
}
