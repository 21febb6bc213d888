//! What the model owes the caller, and since when it has been silent about it.
//!
//! From this follows whether a session has stalled, whether this is a moment to change it, and what its successor has to
//! be told so that nobody waits for an answer that never comes.

use std::time::{Duration, Instant};

/// What the model has to say.
#[derive(Debug, Default)]
pub(super) struct Debt {
    greeting: bool,
    /// The caller's last words are not answered.
    words: bool,
    /// Other texts that the model was to answer, such as a tool's result.
    texts: Vec<String>,
    /// A turn of the agent is begun and not ended.
    turn: bool,
    /// The model has been silent since.
    silent_since: Option<Instant>,
    /// Before this, nothing can be expected of it.
    not_before: Option<Instant>,
}

/// A caller who has stopped speaking may go on; the model waits for 2 s at most, and then some time to understand.
const TIME_TO_UNDERSTAND: Duration = Duration::from_secs(4);

/// What makes another session take up where the last one was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// To speak first.
    Greeting,
    /// To answer the caller's last words (if `words`), and texts.
    Answer { words: bool, texts: Vec<String> },
    /// To go on with what was begun.
    Rest,
}

impl Debt {
    /// The agent is to speak first.
    pub(super) fn to_greet() -> Self {
        Self { greeting: true, ..Self::default() }
    }

    /// Another session begins to listen, and hears at once what nobody has understood (`unheard`).
    pub(super) fn session_begins(&mut self, unheard: bool, now: Instant) {
        self.silent_since = (unheard || self.is_open()).then_some(now);
    }

    /// The caller stopped speaking: something will have to come of it.
    pub(super) fn caller_stopped(&mut self, now: Instant) {
        self.silent_since.get_or_insert(now);
        self.not_before = Some(now + TIME_TO_UNDERSTAND);
    }

    /// The model is silent for a reason.
    pub(super) fn is_patient(&mut self, now: Instant) {
        self.not_before = Some(now + TIME_TO_UNDERSTAND);
    }

    /// The caller's words are known, to the model and to us.
    pub(super) fn caller_said(&mut self, now: Instant) {
        (self.greeting, self.words) = (false, true);
        self.silent_since = Some(now);
    }

    /// The model was told, or will be, what it is to answer.
    pub(super) fn told(&mut self, text: String, now: Instant) {
        self.texts.push(text);
        self.silent_since = Some(now);
    }

    /// The agent speaks: what was to be answered is being answered.
    pub(super) fn agent_speaks(&mut self) {
        (self.greeting, self.words, self.turn) = (false, false, true);
        self.texts.clear();
    }

    /// The turn of the agent is over, by itself or because the caller interrupted.
    pub(super) fn turn_ended(&mut self) {
        self.turn = false;
    }

    /// The model waits for a tool.
    pub(super) fn tool_wanted(&mut self) {
        (self.greeting, self.words, self.turn) = (false, false, false);
        self.texts.clear();
    }

    /// The model said something, whatever it was.
    pub(super) fn model_is_there(&mut self, now: Instant) {
        self.silent_since = self.is_open().then_some(now);
    }

    /// There is no telling whether anything is owed.
    pub(super) fn forgive(&mut self) {
        self.silent_since = None;
    }

    /// Whether something is known to be owed.
    pub(super) fn is_open(&self) -> bool {
        self.greeting || self.words || self.turn || !self.texts.is_empty()
    }

    /// Whether the agent is in the middle of a turn.
    pub(super) fn is_in_turn(&self) -> bool {
        self.turn
    }

    /// When the silence is too long.
    pub(super) fn stalled_at(&self, patience: Duration) -> Option<Instant> {
        self.silent_since.map(|since| (since + patience).max(self.not_before.unwrap_or(since)))
    }

    /// What another session has to be told.
    pub(super) fn due(&self) -> Due {
        match self {
            Self { greeting: true, .. } => Due::Greeting,
            Self { words, texts, .. } if *words || !texts.is_empty() => {
                Due::Answer { words: *words, texts: texts.clone() }
            }
            Self { turn: true, .. } => Due::Rest,
            Self { .. } => Due::Nothing,
        }
    }
}
