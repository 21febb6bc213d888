use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::Value;

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

pub(super) fn milliseconds<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.3}"))
}

pub(super) fn milliseconds_or_none<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => milliseconds(at, serializer),
        None => serializer.serialize_none(),
    }
}
