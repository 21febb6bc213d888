use std::{collections::BTreeMap, fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    Digits, NextStep, Outcome, ToolRun, Turn,
    report::{AnsweredBy, CallStatus, Recording, Report, StreamError, TransferEnded},
    turn::{milliseconds, milliseconds_or_none},
};
use crate::{nova::Usage, prices::Cost};

/// Twilio's name of a call: `CA` and 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct CallSid(String);

/// The text is no CallSid.
#[derive(Debug, thiserror::Error)]
#[error("call_sid must be CA and 32 hexadecimal digits")]
pub struct InvalidCallSid;

impl CallSid {
    /// As Twilio writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CallSid {
    type Error = InvalidCallSid;

    fn try_from(sid: String) -> Result<Self, InvalidCallSid> {
        let digits = sid.strip_prefix("CA").ok_or(InvalidCallSid)?;
        let valid = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if valid { Ok(Self(sid)) } else { Err(InvalidCallSid) }
    }
}

impl fmt::Display for CallSid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who placed the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The caller called us.
    Inbound,
    /// We called them.
    Outbound,
}

/// What happened on a call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallRecord {
    /// Which call.
    pub call_sid: CallSid,
    /// The agent that answered.
    pub agent: String,
    /// Who placed it.
    pub direction: Direction,
    /// When the first leg began.
    #[serde(serialize_with = "milliseconds")]
    pub started_at: Timestamp,
    /// When the conversation ended; `None` while it is live.
    #[serde(serialize_with = "milliseconds_or_none")]
    pub ended_at: Option<Timestamp>,
    /// How it ended; `None` while it is live.
    pub outcome: Option<Outcome>,
    /// Who said what, in order.
    pub turns: Vec<Turn>,
    /// What was done.
    pub tools: Vec<ToolRun>,
    /// Tokens over all model sessions.
    pub usage: Usage,
    /// What they cost.
    pub cost_usd: Cost,
    /// What Twilio is told when it asks for more TwiML.
    pub next_step: NextStep,
    /// Who is on the phone, as Twilio says it.
    #[serde(skip)]
    pub caller: Option<Party>,
    /// What else was said of it before anybody spoke, by name. The edge tells it on the first leg only.
    #[serde(skip)]
    pub parameters: BTreeMap<String, String>,
    /// What Twilio last said of the call itself.
    pub call_status: Option<CallStatus>,
    /// Seconds, as Twilio counts them.
    pub call_duration_s: Option<u32>,
    /// Of the SIP answer that ended the call.
    pub call_sip_response_code: Option<u32>,
    /// Who took a call that was placed, as far as Twilio could tell.
    pub answered_by: Option<AnsweredBy>,
    /// Attempts to hand the call to a human that have ended, in order.
    pub transfers: Vec<TransferEnded>,
    /// Recordings, each as last reported.
    pub recordings: Vec<Recording>,
    /// What Twilio reported to have gone wrong with media streams, in order.
    pub stream_errors: Vec<StreamError>,
    /// How far the call has come.
    #[serde(skip)]
    pub(super) progress: Progress,
}

/// Somebody's number or address on the telephone, which shows itself in no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Party(String);

impl Party {
    /// As Twilio says it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Party {
    fn from(party: String) -> Self {
        Self(party)
    }
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Party")
    }
}

/// What a record has to know about its legs and reports to take in what comes next.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Progress {
    /// How many legs have begun.
    legs: u32,
    /// When the last one did.
    began_at: Timestamp,
    /// How long all those that have ended took.
    took: SignedDuration,
    /// Transfers that had ended before the last leg did.
    transfers: usize,
    /// Of the report that `call_status` is from.
    pub(super) sequence_number: Option<u32>,
    /// How often Twilio has asked what comes next since there was last anything new.
    pub(super) asked: u32,
}

/// A redirect has Twilio ask twice, and what is on its way may be asked for again. Whoever asks more often does not get
/// where they are sent, such as to a media stream that does not open.
const MOST_ASKED: u32 = 4;

/// Names a leg of a call: the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegNo(u32);

impl LegNo {
    /// The leg with which every call begins.
    pub const FIRST: Self = Self(1);
}

/// One addition to a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// Somebody finished saying something.
    Turn(Turn),
    /// A tool finished, or was given up.
    Tool(ToolRun),
    /// What a model session that has ended used up; adds up.
    Usage {
        /// Tokens.
        usage: Usage,
        /// What they cost.
        cost: Cost,
    },
    /// The conversation is over, for all that this leg knows.
    Ended {
        /// Which.
        leg: LegNo,
        /// When.
        at: Timestamp,
        /// How.
        outcome: Outcome,
        /// What comes next for the caller.
        next_step: NextStep,
    },
    /// Twilio has asked what comes next.
    Asked,
    /// Twilio said something of the call.
    Reported {
        /// When.
        at: Timestamp,
        /// What.
        report: Report,
    },
}

impl CallRecord {
    /// A call of which nothing is known yet, and no leg has begun.
    pub fn new(call_sid: CallSid, agent: String, direction: Direction, at: Timestamp, next_step: NextStep) -> Self {
        Self {
            call_sid,
            agent,
            direction,
            started_at: at,
            ended_at: None,
            outcome: None,
            turns: Vec::new(),
            tools: Vec::new(),
            usage: Usage::default(),
            cost_usd: Cost::default(),
            next_step,
            caller: None,
            parameters: BTreeMap::new(),
            call_status: None,
            call_duration_s: None,
            call_sip_response_code: None,
            answered_by: None,
            transfers: Vec::new(),
            recordings: Vec::new(),
            stream_errors: Vec::new(),
            progress: Progress::default(),
        }
    }

    /// Another leg begins, as `leg` tells of it. The call is live again, unless Twilio said that it is over.
    pub fn begin_leg(&mut self, leg: Self) -> LegNo {
        let Progress { legs, began_at, asked, .. } = &mut self.progress;
        (*legs, *began_at, *asked) = (*legs + 1, leg.started_at, 0);
        let number = LegNo(*legs);
        if number == LegNo::FIRST {
            (self.started_at, self.agent) = (leg.started_at, leg.agent);
        }
        self.caller = leg.caller.or(self.caller.take());
        self.parameters.extend(leg.parameters);
        if !self.is_over() {
            // What was decided on an earlier leg has been done.
            (self.next_step, self.ended_at, self.outcome) = (leg.next_step, None, None);
        }
        number
    }

    /// Adds an entry.
    pub fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Turn(turn) => self.turns.push(turn),
            Entry::Tool(tool) => self.tools.push(tool),
            Entry::Usage { usage, cost } => {
                self.usage += usage;
                self.cost_usd += cost;
            }
            Entry::Ended { leg, at, outcome, next_step } => self.end_leg(leg, at, outcome, next_step),
            Entry::Asked => self.progress.asked = self.progress.asked.saturating_add(1),
            Entry::Reported { at, report } => self.take_in(report, at),
        }
    }

    /// A leg is over. One that a newer leg has followed says nothing about the call any more.
    fn end_leg(&mut self, leg: LegNo, at: Timestamp, outcome: Outcome, next_step: NextStep) {
        if leg != LegNo(self.progress.legs) {
            return;
        }
        self.progress.took += at.duration_since(self.progress.began_at);
        self.progress.transfers = self.transfers.len();
        self.end(at, outcome);
        self.next_step = if self.is_over() { NextStep::HangUp { say: None } } else { next_step };
    }

    /// The conversation ended so.
    pub(super) fn end(&mut self, at: Timestamp, outcome: Outcome) {
        (self.ended_at, self.outcome) = (Some(at), Some(outcome));
        self.reconcile();
    }

    /// What is known of the call may say more about its end than what ended the conversation.
    pub(super) fn reconcile(&mut self) {
        if self.outcome == Some(Outcome::DigitsSent) && self.is_over() {
            self.outcome = Some(Outcome::CallerHungUp);
        }
        let is_machine = self.answered_by.as_ref().is_some_and(AnsweredBy::is_machine);
        if self.outcome == Some(Outcome::CallerHungUp) && is_machine {
            self.outcome = Some(Outcome::AnsweringMachine);
        }
    }

    /// Whether Twilio said that the call is over: then it is, whatever else happens.
    pub fn is_over(&self) -> bool {
        self.call_status.as_ref().is_some_and(CallStatus::is_over)
    }

    /// Whether the line is closed, so that Twilio asks for nothing more.
    pub fn has_hung_up(&self) -> bool {
        self.is_over() || matches!(self.outcome, Some(Outcome::CallerHungUp | Outcome::AnsweringMachine))
    }

    /// Whether Twilio has asked so often what comes next that it is no use to send the call there once more.
    pub fn goes_in_circles(&self) -> bool {
        self.progress.asked > MOST_ASKED
    }

    /// Whether a leg is up.
    pub fn is_live(&self) -> bool {
        self.has_begun() && self.outcome.is_none()
    }

    /// Whether there was ever a leg.
    pub fn has_begun(&self) -> bool {
        self.progress.legs > 0
    }

    /// How long all legs that have ended took.
    pub fn talked(&self) -> Duration {
        self.progress.took.try_into().unwrap_or_default()
    }

    /// What happened on the line since the last leg, before another one begins; `None` if there was none.
    pub fn since_last_leg(&self) -> Option<Since> {
        let ended = self.transfers.get(self.progress.transfers..).and_then(<[_]>::last).cloned();
        self.has_begun().then(|| match (ended, &self.next_step) {
            (ended @ Some(_), _) | (ended, NextStep::Transfer { .. }) => Since::Transferred(ended),
            (None, NextStep::SendDigits { digits }) => Since::DigitsSent(digits.clone()),
            (None, NextStep::Reattach | NextStep::HangUp { .. }) => Since::Interrupted,
        })
    }
}

/// What happened on the line between two legs.
#[derive(Clone, Debug, PartialEq)]
pub enum Since {
    /// The caller was handed to a human, and is back. `None`: nobody said how that went.
    Transferred(Option<TransferEnded>),
    /// Keys were played into the line.
    DigitsSent(Digits),
    /// Nothing but that the line was away.
    Interrupted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_call_sid_names_a_call() {
        let sid = |text: &str| CallSid::try_from(text.to_owned());
        assert!(sid("CA0123456789abcdef0123456789ABCDEF").is_ok());
        for wrong in ["", "CA", "CA0123456789abcdef0123456789abcde", "CA/../../../../../../../etc/passwd", "ACx"] {
            assert!(sid(wrong).is_err(), "{wrong}");
        }
    }
}
