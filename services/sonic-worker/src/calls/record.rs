use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::Value;

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
    /// The conversation is over.
    Ended {
        /// When.
        at: Timestamp,
        /// How.
        outcome: Outcome,
        /// What comes next for the caller.
        next_step: NextStep,
    },
}

impl CallRecord {
    /// Adds an entry.
    pub fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Turn(turn) => self.turns.push(turn),
            Entry::Tool(tool) => self.tools.push(tool),
            Entry::Usage { usage, cost } => {
                self.usage += usage;
                self.cost_usd += cost;
            }
            Entry::Ended { at, outcome, next_step } => {
                self.ended_at = Some(at);
                self.outcome = Some(outcome);
                self.next_step = next_step;
            }
        }
    }
}

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The person on the phone.
    Caller,
    /// The model.
    Agent,
    /// Nobody on the phone: what the model was told from elsewhere.
    System,
}

/// How something was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnKind {
    /// Aloud.
    Speech,
    /// With the keys of the telephone.
    Digits,
    /// In writing, to the model alone.
    Note,
}

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Turn {
    /// By whom.
    pub speaker: Speaker,
    /// In which way.
    pub kind: TurnKind,
    /// The caller's words as the model recognised them or the keys as they were pressed, the note as it was given, or the
    /// agent's words as it planned to speak them: whole, also when the caller interrupted.
    pub text: String,
    /// How much of the agent's text the caller heard, as far as is known: its first words, or all. `None` for turns of
    /// others.
    pub heard: Option<String>,
    /// When: the caller's words were recognised or keys complete, the model was told, or the agent's audio began.
    #[serde(serialize_with = "milliseconds")]
    pub at: Timestamp,
    /// The caller interrupted this turn of the agent before hearing all of it.
    pub interrupted: bool,
    /// When the caller stopped hearing it before it was over: interrupted it, or was no longer on the line.
    #[serde(serialize_with = "milliseconds_or_none")]
    pub cut_at: Option<Timestamp>,
    /// How long the caller waited for this turn of the agent; `None` for turns that answer nothing, and for those that
    /// nobody heard as far as is known.
    pub latency: Option<Latency>,
}

impl Turn {
    /// A turn that answers nothing and was not cut, of somebody who is heard at once.
    pub(crate) fn plain(speaker: Speaker, kind: TurnKind, text: String, at: Timestamp) -> Self {
        Self { speaker, kind, text, heard: None, at, interrupted: false, cut_at: None, latency: None }
    }
}

/// How long a caller waited for an answer, as the caller felt it. The parts add up to the whole, without what is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// From the caller's last sound or key, or where that is not known from the recognised words, to the first sample of
    /// the answer that was played.
    pub total_ms: u32,
    /// From there until the caller's words were recognised or keys complete. `None`: the last sound is not known.
    pub endpointing_ms: Option<u32>,
    /// From then to the model's first audio, without the time of tools.
    pub model_ms: u32,
    /// In the same time, for as long as a tool ran.
    pub tool_ms: u32,
    /// From the model's first audio until it was played: ours, the edge's and the telephone network's.
    pub own_ms: u32,
}

/// A use of a tool.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ToolRun {
    /// Which tool.
    pub name: String,
    /// As the model sent it.
    pub input: Value,
    /// As the model was told; `None` when the call ended first.
    pub result: Option<Value>,
    /// When the model asked.
    #[serde(serialize_with = "milliseconds")]
    pub started_at: Timestamp,
    /// Until the result, or the end of the call.
    pub duration_ms: u32,
}

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The caller hung up.
    CallerHungUp,
    /// The agent said goodbye and hung up.
    AgentHungUp,
    /// The agent asked for a human.
    Transferred,
    /// The caller did not answer any more.
    CallerSilent,
    /// The call was as long as it may be.
    TimeUp,
    /// The model took no session.
    ModelRefused,
    /// The model's session broke.
    ModelFailed,
    /// The phone's audio went away without a hang-up.
    ConnectionLost,
    /// The phone's side broke its protocol.
    ProtocolError,
    /// The edge or this worker had to stop.
    Stopped,
}

impl Outcome {
    /// The stable word for it, as in records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CallerHungUp => "caller_hung_up",
            Self::AgentHungUp => "agent_hung_up",
            Self::Transferred => "transferred",
            Self::CallerSilent => "caller_silent",
            Self::TimeUp => "time_up",
            Self::ModelRefused => "model_refused",
            Self::ModelFailed => "model_failed",
            Self::ConnectionLost => "connection_lost",
            Self::ProtocolError => "protocol_error",
            Self::Stopped => "stopped",
        }
    }
}

/// What Twilio does after the media stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NextStep {
    /// End the call.
    HangUp {
        /// A last sentence for the caller.
        say: Option<String>,
    },
    /// Hand it to a human.
    Transfer {
        /// Why; the human is not told yet.
        reason: Option<String>,
        /// A sentence for the caller before the human's phone rings.
        say: Option<String>,
    },
}

fn milliseconds<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.3}"))
}

fn milliseconds_or_none<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => milliseconds(at, serializer),
        None => serializer.serialize_none(),
    }
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
