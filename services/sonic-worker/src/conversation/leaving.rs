use std::time::{Duration, Instant};

use crate::calls::{NextStep, Outcome};

/// After the agent decided to hang up, it may still say goodbye; this long after its last word it is taken to be done.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// A caller who is handed over hears the next words from Twilio, and should not wait for them; a menu waits for its keys.
const LAST_WORDS_BEFORE_MORE: Duration = Duration::from_millis(500);
/// How long the agent may take to answer what a caller says after the goodbye.
const TIME_TO_ANSWER: Duration = Duration::from_secs(5);
/// However long the goodbye is, the leg ends after this.
const LONGEST: Duration = Duration::from_secs(20);

/// The agent has decided to hang up or to hand over, and what it says before that is still to be heard.
#[derive(Debug)]
pub(super) struct Leaving {
    next_step: NextStep,
    done_at: Instant,
    give_up_at: Instant,
    caller_spoke: bool,
}

impl Leaving {
    pub(super) fn new(next_step: NextStep, now: Instant) -> Self {
        let mut leaving = Self { next_step, done_at: now, give_up_at: now + LONGEST, caller_spoke: false };
        leaving.agent_speaks(now);
        leaving
    }

    pub(super) fn agent_speaks(&mut self, now: Instant) {
        self.done_at = now
            + match self.next_step {
                NextStep::HangUp { .. } => LAST_WORDS,
                NextStep::Transfer { .. } | NextStep::SendDigits { .. } | NextStep::Reattach => LAST_WORDS_BEFORE_MORE,
            };
    }

    /// The caller said something after the goodbye: it may be a question, so the agent gets the time to answer it.
    pub(super) fn caller_speaks(&mut self, now: Instant) {
        self.caller_spoke = true;
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

    /// A decision to hang up does not undo one to hand over or to send keys, and only one to hand over comes before those.
    pub(super) fn yields_to(&self, next_step: &NextStep) -> bool {
        self.is_called_off_by_the_caller() || matches!(next_step, NextStep::Transfer { .. })
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

    pub(super) fn into_next_step(self) -> NextStep {
        self.next_step
    }
}
