//! What the simulated model knows afterwards, and tells meanwhile.

use std::{fmt, time::Instant};

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

/// A session's id: the request id that the client gets in its response headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub(super) Uuid);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Everything about one session.
#[derive(Clone, Debug)]
pub struct SessionReport {
    /// Whose report it is.
    pub id: SessionId,
    /// When the request arrived.
    pub opened_at: Timestamp,
    /// In which region.
    pub region: String,
    /// How it arrived.
    pub protocol: Protocol,
    /// The text of the SYSTEM block; empty until it came.
    pub system_prompt: String,
    /// The earlier conversation, as the client told it.
    pub history: Vec<Remembered>,
    /// The caller's utterances, by sound.
    pub heard: Vec<HeardUtterance>,
    /// Interactive text that the client sent.
    pub read: Vec<String>,
    /// The model's sentences.
    pub said: Vec<SaidUtterance>,
    /// The tools it asked for.
    pub tools: Vec<ToolReport>,
    /// What the client did wrong, whether or not it ended the session.
    pub violations: Vec<String>,
    /// All caller audio, at 8 kHz, as received.
    pub heard_pcm: Vec<i16>,
    /// Tokens so far.
    pub usage: Usage,
    /// How it ended; none while it lives.
    pub end: Option<SessionEnd>,
}

impl SessionReport {
    #[cfg(test)]
    pub(crate) fn of_nothing(entropy: &mut offhook_hosting::entropy::Entropy) -> Self {
        Self::new(SessionId(entropy.uuid()), Timestamp::UNIX_EPOCH, "us-east-1", Protocol::Http2)
    }

    pub(super) fn new(id: SessionId, opened_at: Timestamp, region: &str, protocol: Protocol) -> Self {
        Self {
            id,
            opened_at,
            region: region.to_owned(),
            protocol,
            system_prompt: String::new(),
            history: Vec::new(),
            heard: Vec::new(),
            read: Vec::new(),
            said: Vec::new(),
            tools: Vec::new(),
            violations: Vec::new(),
            heard_pcm: Vec::new(),
            usage: Usage::default(),
            end: None,
        }
    }
}

/// Which version of HTTP carries a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, with chunked bodies both ways at once.
    Http1,
    /// HTTP/2.
    Http2,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        })
    }
}

/// A message of the conversation before a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Whose words they are.
    pub by: Speaker,
    /// The words.
    pub text: String,
}

/// Who speaks in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The caller.
    User,
    /// The model.
    Assistant,
}

/// Something the caller said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeardUtterance {
    /// The tone words, or the text that the script gives to this speech; empty if it gives none.
    pub text: String,
    /// Where its first sound stands in all caller audio (8 kHz).
    pub at_sample: usize,
    /// Its sound at 8 kHz, without the silence around it.
    pub pcm: Vec<i16>,
}

/// A sentence of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidUtterance {
    /// What it meant to say: the SPECULATIVE text.
    pub text: String,
    /// The audio sent, at 8 kHz: all of it, unless it was interrupted.
    pub pcm: Vec<i16>,
    /// If the caller interrupted: how much of it a client would have played by then that plays as it receives.
    pub interrupted_at_sample: Option<usize>,
}

/// A tool that the model asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolReport {
    /// The id that connects request and result.
    pub tool_use_id: String,
    /// Which tool.
    pub name: String,
    /// With what.
    pub input: Value,
    /// What the client answered; none until it did.
    pub result: Option<Value>,
}

/// Tokens, as usage events count them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Speech heard.
    pub input_speech: u64,
    /// Text read.
    pub input_text: u64,
    /// Speech said.
    pub output_speech: u64,
    /// Text written.
    pub output_text: u64,
}

impl Usage {
    /// Tokens in.
    pub fn input(&self) -> u64 {
        self.input_speech + self.input_text
    }

    /// Tokens out.
    pub fn output(&self) -> u64 {
        self.output_speech + self.output_text
    }
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The client closed its contents, its prompt and its session, sent the empty frame and ended its stream.
    ByTheBook,
    /// The client broke a rule; this is what it was told.
    Violation(String),
    /// An injected fault struck.
    Fault(String),
    /// The client went away, or ended its stream without saying goodbye.
    ClientVanished(String),
    /// The client kept silent, or the session grew too old; this is what the client was told.
    TimedOut(String),
    /// The lab was stopped.
    Stopped,
}

impl SessionEnd {
    /// The [`SessionEnd::Fault`] of a session that the content filter ended.
    pub const CONTENT_FILTER: &str = "content filter";
}

/// Something that happened in a session just now.
#[derive(Clone, Debug)]
pub struct ModelEvent {
    /// In which session.
    pub session: SessionId,
    /// When.
    pub at: Instant,
    /// What.
    pub kind: ModelEventKind,
}

/// What happened in a session.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelEventKind {
    /// A session was opened.
    Opened,
    /// The first of the caller's audio arrived.
    Listens,
    /// The caller's utterance ended: its text.
    Heard(String),
    /// The client sent interactive text.
    Read(String),
    /// The model begins a sentence: its text.
    Said(String),
    /// The model asked for a tool.
    ToolAsked {
        /// Which.
        name: String,
        /// With what.
        input: Value,
    },
    /// The client answered for a tool.
    ToolAnswered {
        /// Which.
        name: String,
        /// With what.
        result: Value,
    },
    /// The caller cut the model short.
    Interrupted,
    /// An injected fault froze the session: it stays open, silent and deaf.
    Froze,
    /// The session ended.
    Closed(SessionEnd),
}
