//! A leg that goes on with what the legs before it have begun: the agent remembers the conversation, is told what happened
//! on the line since, and speaks first about that instead of greeting anew.

use std::time::Duration;

use super::keypad;
use crate::calls::{Begun, LegNo, Since, ToolRun, TransferEnded, Turn};

/// What agents are told about [`told`], after their own prompt.
pub(super) const EXPLAINED: &str = " When a note says that the caller is back, do not greet them again: tell them in a few \
    words what happened, and go on with what they wanted.";
const BACK: &str = "The caller is back with you.";

/// What a leg takes over from those before it.
#[derive(Clone, Debug)]
pub struct Past {
    pub(super) leg: LegNo,
    pub(super) turns: Vec<Turn>,
    pub(super) tools: Vec<ToolRun>,
    /// How long those legs took.
    pub(super) talked: Duration,
    /// What the agent is to speak about first; `None`: it greets.
    pub(super) since: Option<Since>,
}

impl Default for Past {
    /// That of a call's first leg.
    fn default() -> Self {
        Self { leg: LegNo::FIRST, turns: Vec::new(), tools: Vec::new(), talked: Duration::ZERO, since: None }
    }
}

impl From<Begun> for Past {
    fn from(Begun { leg, before }: Begun) -> Self {
        let Some(before) = before else { return Self { leg, ..Self::default() } };
        let since = before.since_last_leg();
        // Nobody was greeted whose first leg was lost at once.
        let is_new = before.turns.is_empty() && before.tools.is_empty() && since == Some(Since::Interrupted);
        Self {
            leg,
            talked: before.talked(),
            since: since.filter(|_| !is_new),
            turns: before.turns,
            tools: before.tools,
        }
    }
}

impl Past {
    /// Whether the caller has just not reached a human.
    pub(super) fn is_without_a_human(&self) -> bool {
        matches!(&self.since, Some(Since::Transferred(ended)) if ended.as_ref().is_none_or(|ended| !ended.bridged))
    }
}

/// What happened on the line, as the model is told it in a note.
pub(super) fn told(since: &Since) -> String {
    match since {
        Since::Transferred(None) => format!("The caller could not be connected to a person. {BACK}"),
        Since::Transferred(Some(ended)) if ended.bridged => {
            format!("The caller has spoken with a person, who has left the call. {BACK}")
        }
        Since::Transferred(Some(ended)) => {
            format!("The caller could not be connected to a person: {}. {BACK}", why_not(ended))
        }
        Since::DigitsSent(digits) => {
            format!("The keys {} were sent into the line.", keypad::spaced(&digits.as_str().replace('w', "")))
        }
        Since::Interrupted => format!("The line was interrupted for a moment. {BACK}"),
    }
}

/// Twilio docs, `<Dial>`, "DialCallStatus".
fn why_not(ended: &TransferEnded) -> &'static str {
    match ended.dial_call_status.as_str() {
        "completed" | "answered" => "the person did not take the call",
        "busy" => "their line is busy",
        "no-answer" => "nobody answered",
        "canceled" => "the attempt was cancelled",
        _ => "the connection failed",
    }
}
