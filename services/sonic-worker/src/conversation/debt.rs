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
    /// The agent has spoken since the caller said something, or a tool did.
    has_spoken: bool,
    /// A turn of the agent is begun and not ended.
    turn: bool,
    /// The last words were told in the middle of a turn: what is left of that does not answer them.
    behind_turn: bool,
    /// The session was not told what it owes, because it first has to hear the caller.
    withheld: bool,
    /// The caller has said something into the silence, or has interrupted, and it is not known what.
    caller_waits: bool,
    /// Pauses of the caller that ended a turn and of which the model has noticed nothing.
    ignored: u32,
    stopped_at: Option<Instant>,
    /// The model has been silent since.
    silent_since: Option<Instant>,
    /// Before this, nothing can be expected of it.
    not_before: Option<Instant>,
}

/// A caller who has stopped speaking may go on; the model waits for 2 s at most, and then some time to understand.
pub(super) const TIME_TO_UNDERSTAND: Duration = Duration::from_secs(4);
/// A caller who says something again after such a pause has not been understood: the model takes a turn for over after 2 s
/// at most.
const ENDS_A_TURN: Duration = Duration::from_millis(2_200);
/// From the second such pause on, a caller who says "hello?" every few seconds puts nothing off.
const MOST_IGNORED: u32 = 2;

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

    /// The agent is to answer what no session was told yet.
    pub(super) fn to_answer() -> Self {
        Self { words: true, ..Self::default() }
    }

    /// Another session begins to listen, and hears at once what nobody has understood (`unheard`). Whether it is `told`
    /// what it owes.
    pub(super) fn session_begins(&mut self, unheard: bool, told: bool, now: Instant) {
        self.silent_since = (unheard || self.is_open()).then_some(now);
        (self.caller_waits, self.withheld) = (unheard, self.is_open() && !told);
        (self.behind_turn, self.ignored) = (false, 0);
    }

    /// Whether the session has yet to be told what it owes; once.
    pub(super) fn take_withheld(&mut self) -> bool {
        std::mem::take(&mut self.withheld)
    }

    /// The session was told what it owes only now.
    pub(super) fn told_after_all(&mut self, now: Instant) {
        self.silent_since = Some(now);
    }

    /// The caller speaks.
    pub(super) fn caller_began(&mut self, now: Instant) {
        let is_another_turn = self.stopped_at.take().is_some_and(|at| at + ENDS_A_TURN <= now);
        self.ignored += u32::from(is_another_turn && self.silent_since.is_some());
    }

    /// The caller stopped speaking: something will have to come of it. `into_silence`: the agent said nothing meanwhile.
    pub(super) fn caller_stopped(&mut self, into_silence: bool, now: Instant) {
        self.caller_waits |= into_silence;
        self.stopped_at = Some(now);
        self.silent_since.get_or_insert(now);
        self.is_patient(now);
    }

    /// The model is silent for a reason.
    pub(super) fn is_patient(&mut self, now: Instant) {
        if self.ignored < MOST_IGNORED {
            self.not_before = Some(now + TIME_TO_UNDERSTAND);
        }
    }

    /// The caller's words are known, to the model and to us.
    pub(super) fn caller_said(&mut self, now: Instant) {
        self.caller_was_understood();
        (self.greeting, self.words, self.behind_turn, self.withheld) = (false, true, false, false);
        self.has_spoken = false;
        self.silent_since = Some(now);
    }

    /// The model was told words that it is to answer as if the caller had said them.
    pub(super) fn words_told(&mut self, now: Instant) {
        (self.greeting, self.words, self.behind_turn) = (false, true, self.turn);
        self.has_spoken = false;
        self.silent_since = Some(now);
    }

    /// What the caller said is known, if only that it was nothing.
    pub(super) fn caller_was_understood(&mut self) {
        (self.caller_waits, self.ignored) = (false, 0);
    }

    /// Whether the caller waits for being understood.
    pub(super) fn caller_waits(&self) -> bool {
        self.caller_waits
    }

    /// The model was told, or will be, what it is to answer.
    pub(super) fn told(&mut self, text: String, now: Instant) {
        self.texts.push(text);
        self.has_spoken = false;
        self.silent_since = Some(now);
    }

    /// The agent speaks: what was to be answered is being answered, unless this is the rest of what it was saying before.
    pub(super) fn agent_speaks(&mut self) {
        self.turn = true;
        if !self.behind_turn {
            self.answered();
        }
    }

    /// The caller hears the agent.
    pub(super) fn agent_is_heard(&mut self) {
        self.has_spoken = true;
    }

    /// Whether the caller has not heard the agent since there was something to be answered.
    pub(super) fn has_said_nothing(&self) -> bool {
        !self.has_spoken
    }

    /// The turn of the agent is over, by itself or because the caller interrupted.
    pub(super) fn turn_ended(&mut self) {
        (self.turn, self.behind_turn) = (false, false);
    }

    /// The caller interrupted the agent by words that are not known yet.
    pub(super) fn caller_interrupted(&mut self) {
        self.caller_waits = true;
    }

    /// The model waits for a tool.
    pub(super) fn tool_wanted(&mut self) {
        if !self.behind_turn {
            self.answered();
        }
        self.turn_ended();
    }

    fn answered(&mut self) {
        (self.greeting, self.words, self.withheld) = (false, false, false);
        self.texts.clear();
    }

    /// The model said something, whatever it was. That does not show that it has heard the caller, if something is `unheard`.
    pub(super) fn model_is_there(&mut self, unheard: bool, now: Instant) {
        if self.is_open() || !unheard {
            self.silent_since = self.is_open().then_some(now);
        }
    }

    /// There is no telling whether anything is owed.
    pub(super) fn forgive(&mut self) {
        self.silent_since = None;
        self.caller_was_understood();
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
        let patience = if self.withheld { patience.min(TIME_TO_UNDERSTAND) } else { patience };
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
