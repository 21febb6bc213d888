use std::time::{Duration, Instant};

use crate::calls::{NextStep, Outcome};

/// After the agent decided to hang up, it may still say more; this long after its last word it is taken to be done.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// A caller who is handed over hears the next words from Twilio, and should not wait for them; a menu waits for its keys.
const LAST_WORDS_BEFORE_MORE: Duration = Duration::from_millis(500);
/// How long the agent may take to answer what a caller says after the goodbye.
const TIME_TO_ANSWER: Duration = Duration::from_secs(5);
/// However long the goodbye is, the leg ends so long after it began.
const LONGEST: Duration = Duration::from_secs(20);
/// What a caller hears from Twilio of an agent that never came to say goodbye.
const FAREWELL: &str = "Goodbye.";

/// The agent has decided to hang up or to hand over, and what it says before that is still to be heard.
#[derive(Debug)]
pub(super) struct Leaving {
    next_step: NextStep,
    /// The goodbye is yet to be said.
    is_unsaid: bool,
    done_at: Instant,
    give_up_at: Instant,
    caller_spoke: bool,
    /// While the goodbye was yet to be said: what comes first may be that, and only then an answer.
    caller_spoke_early: bool,
}

impl Leaving {
    /// The agent has decided to leave after what it has said. If it `has_said_nothing`, its goodbye is waited for as long as
    /// it takes a model to stall.
    pub(super) fn new(next_step: NextStep, has_said_nothing: bool, stall_after: Duration, now: Instant) -> Self {
        let is_unsaid = has_said_nothing && matches!(next_step, NextStep::HangUp { .. });
        let wait = if is_unsaid { stall_after } else { Duration::ZERO };
        let give_up_at = now + wait + LONGEST;
        let mut leaving =
            Self { next_step, is_unsaid, done_at: now, give_up_at, caller_spoke: false, caller_spoke_early: false };
        leaving.done_at = now + wait.max(leaving.last_words());
        leaving
    }

    /// The agent is about to say something.
    pub(super) fn agent_says(&mut self, now: Instant) {
        self.done_at = self.done_at.max(now + self.last_words());
    }

    /// The agent is heard.
    pub(super) fn agent_speaks(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_unsaid) {
            self.give_up_at = now + LONGEST;
        }
        self.done_at = now + self.last_words();
    }

    /// What it says is complete.
    pub(super) fn agent_turn_ended(&mut self) {
        self.caller_spoke |= self.caller_spoke_early && !self.is_unsaid;
    }

    /// The caller said something: after the goodbye it may be a question, so the agent gets the time to answer it.
    pub(super) fn caller_speaks(&mut self, now: Instant) {
        if self.is_unsaid {
            self.caller_spoke_early = true;
        } else {
            self.caller_spoke = true;
        }
        self.done_at = self.done_at.max(now + TIME_TO_ANSWER);
    }

    /// Whether a sentence of the agent now is an answer that takes the conversation up again. The agent has to decide
    /// anew to hang up; one who asked for a human still gets one.
    pub(super) fn is_called_off_by_an_answer(&self) -> bool {
        self.caller_spoke && self.is_called_off_by_the_caller()
    }

    /// When to leave, given whether the caller has heard all that was said so far.
    pub(super) fn deadline(&self, heard_out: bool) -> Instant {
        if heard_out { self.done_at.min(self.give_up_at) } else { self.give_up_at }
    }

    /// A decision to hang up undoes none; one to hand over comes before keys that are to be sent, and is final: asked for again
    /// and again it would never be carried out.
    pub(super) fn yields_to(&self, next_step: &NextStep) -> bool {
        match (&self.next_step, next_step) {
            (NextStep::Transfer { .. }, _) => false,
            (_, NextStep::Transfer { .. }) => true,
            (NextStep::HangUp { .. }, NextStep::SendDigits { .. } | NextStep::Reattach) => true,
            (_, NextStep::HangUp { .. } | NextStep::SendDigits { .. } | NextStep::Reattach) => false,
        }
    }

    /// A caller who speaks over the goodbye has something left to say; one who asked for a human still wants one, and a menu
    /// goes on speaking until it has its keys.
    pub(super) fn is_called_off_by_the_caller(&self) -> bool {
        matches!(self.next_step, NextStep::HangUp { .. })
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self.next_step {
            NextStep::HangUp { .. } => Outcome::AgentHungUp,
            NextStep::Transfer { .. } => Outcome::Transferred,
            NextStep::SendDigits { .. } | NextStep::Reattach => Outcome::DigitsSent,
        }
    }

    /// What comes next if the agent says nothing more.
    pub(super) fn into_next_step(self) -> NextStep {
        if self.is_unsaid { NextStep::HangUp { say: Some(FAREWELL.to_owned()) } } else { self.next_step }
    }

    fn last_words(&self) -> Duration {
        match self.next_step {
            NextStep::HangUp { .. } => LAST_WORDS,
            NextStep::Transfer { .. } | NextStep::SendDigits { .. } | NextStep::Reattach => LAST_WORDS_BEFORE_MORE,
        }
    }
}
