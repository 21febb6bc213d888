//! What is left of a call: everything that was said, heard, asked and refused.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer};

use super::stream::SecondSocketEnd;
use crate::network::LineReport;

/// A call from its first request to its end. Times count from the moment the call was placed.
#[derive(Clone, Serialize)]
pub struct CallReport {
    /// The call.
    pub call_sid: String,
    /// Its media streams, in order.
    pub stream_sids: Vec<String>,
    /// What the caller said.
    pub said: Vec<Utterance>,
    /// What the caller made out. A stretch that is no tone words reads `\u{fffd}`.
    pub heard: Vec<Utterance>,
    /// The caller's track in real time. Empty if the call was made without keeping audio.
    #[serde(skip)]
    pub said_pcm: Vec<i16>,
    /// The track the caller heard, as long as `said_pcm`.
    #[serde(skip)]
    pub heard_pcm: Vec<i16>,
    /// Each `clear` that arrived.
    pub clears: Vec<Clear>,
    /// Marks echoed, played or cleared.
    pub marks_echoed: usize,
    /// Each of them.
    pub marks: Vec<MarkEcho>,
    /// When audio arrived from the server, and how much.
    #[serde(skip)]
    pub arrivals: Vec<Arrival>,
    /// What became of the second socket, if one was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_socket: Option<SecondSocketEnd>,
    /// The keys that the caller heard, from `<Play digits>` or from who was connected.
    pub keys_heard: String,
    /// While the caller heard it ring at somebody who was dialled, the pauses of the tone among it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ringing: Vec<Stretch>,
    /// Of somebody who was dialled by SIP: the headers that the call came with, as they read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sip_headers: Vec<(String, String)>,
    /// What was left of each who answered `<Dial>`, or came out for the call in a queue. Their times count from their
    /// own answering.
    pub parties: Vec<CallReport>,
    /// Who was dialled.
    pub dialled: Vec<String>,
    /// What Twilio itself said.
    pub spoken_by_twilio: Vec<String>,
    /// Twilio's debugger.
    pub codes: Vec<DebuggerEntry>,
    /// The TwiML documents that were answered, parseable or not.
    pub documents: Vec<String>,
    /// What the network did to each media stream, where it had conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network: Vec<LineReport>,
    /// What happened when.
    pub timeline: Vec<CallEvent>,
    /// How the call ended.
    pub end: CallEnd,
}

impl CallReport {
    /// A call in which nothing has happened yet.
    pub(crate) fn of_nothing(end: CallEnd) -> Self {
        Self {
            call_sid: String::new(),
            stream_sids: Vec::new(),
            said: Vec::new(),
            heard: Vec::new(),
            said_pcm: Vec::new(),
            heard_pcm: Vec::new(),
            clears: Vec::new(),
            marks_echoed: 0,
            marks: Vec::new(),
            arrivals: Vec::new(),
            second_socket: None,
            keys_heard: String::new(),
            ringing: Vec::new(),
            sip_headers: Vec::new(),
            parties: Vec::new(),
            dialled: Vec::new(),
            spoken_by_twilio: Vec::new(),
            codes: Vec::new(),
            documents: Vec::new(),
            network: Vec::new(),
            timeline: Vec::new(),
            end,
        }
    }

    /// The codes in the debugger, in order.
    pub fn code_numbers(&self) -> Vec<u32> {
        self.codes.iter().map(|entry| entry.code).collect()
    }
}

/// Without the sound.
impl fmt::Debug for CallReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallReport")
            .field("call_sid", &self.call_sid)
            .field("end", &self.end)
            .field("codes", &self.codes)
            .field("timeline", &self.timeline)
            .finish_non_exhaustive()
    }
}

/// A stretch of speech between silences.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Utterance {
    /// The words; for a recording its file name.
    pub text: String,
    /// When it began.
    #[serde(serialize_with = "seconds")]
    pub at: Duration,
    /// How long it was.
    #[serde(serialize_with = "seconds")]
    pub lasted: Duration,
    /// The sound. Empty if the call was made without keeping audio.
    #[serde(skip)]
    pub pcm: Vec<i16>,
}

/// A stretch of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stretch {
    /// When it began.
    #[serde(serialize_with = "seconds")]
    pub at: Duration,
    /// How long it was.
    #[serde(serialize_with = "seconds")]
    pub lasted: Duration,
}

/// Without the sound.
impl fmt::Debug for Utterance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:?} for {:?}", self.text, self.at, self.lasted)
    }
}

/// The server had the queue emptied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Clear {
    /// When.
    #[serde(serialize_with = "seconds")]
    pub at: Duration,
    /// How much audio nobody will hear.
    pub dropped_samples: usize,
}

/// A mark came back to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MarkEcho {
    /// Its name.
    pub name: String,
    /// When it was echoed.
    #[serde(serialize_with = "seconds")]
    pub at: Duration,
    /// Whether by a `clear` rather than by the play head.
    pub cleared: bool,
}

/// Audio from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it came off the socket.
    pub at: Duration,
    /// How much.
    pub samples: usize,
}

/// What Twilio would log, before it is known when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// See [`super::codes`].
    pub code: u32,
    /// What exactly.
    pub detail: String,
}

impl Finding {
    /// A code and what exactly it is about.
    pub fn new(code: u32, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// A line of Twilio's debugger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DebuggerEntry {
    /// See [`super::codes`].
    pub code: u32,
    /// When.
    #[serde(serialize_with = "seconds")]
    pub at: Duration,
    /// What exactly.
    pub detail: String,
    /// Which media stream, if one was being opened or up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_sid: Option<String>,
}

/// Something that happened in a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallEvent {
    /// When.
    #[serde(serialize_with = "seconds")]
    pub at: Duration,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// The kinds of things that happen in a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happening {
    /// A document was asked for.
    Requested {
        /// `GET` or `POST`.
        method: &'static str,
        /// Where.
        path: String,
    },
    /// A document was answered, or came by REST.
    Document {
        /// Its verbs in order, each with what it holds: `Connect(Stream)`. Empty if it is no TwiML.
        verbs: Vec<String>,
    },
    /// A callback was delivered, or was not.
    CalledBack {
        /// Where.
        path: String,
        /// What it told: the event, or the state of the call.
        told: String,
        /// How long the answer took.
        #[serde(serialize_with = "seconds")]
        took: Duration,
    },
    /// Twilio answered the call.
    Answered,
    /// A media stream is up: `connected` and `start` were sent.
    StreamStarted {
        /// Which.
        stream_sid: String,
    },
    /// A media stream is over.
    StreamEnded {
        /// Which.
        stream_sid: String,
    },
    /// The caller began to speak.
    CallerSpeaks {
        /// What will be said.
        text: String,
    },
    /// The caller heard something to its end.
    CallerHeard {
        /// What was made out.
        text: String,
    },
    /// The caller pressed a key.
    Pressed {
        /// Which.
        digit: char,
    },
    /// The caller heard a key.
    KeyHeard {
        /// Which.
        digit: char,
    },
    /// The caller is connected to somebody.
    Connected,
    /// Twilio plays a file.
    Plays {
        /// From where.
        path: String,
    },
    /// The caller hung up, as planned or out of patience.
    HungUp,
    /// The server emptied the queue.
    Cleared {
        /// How much audio nobody will hear.
        dropped_samples: usize,
    },
    /// Twilio itself speaks.
    TwilioSays {
        /// What.
        text: String,
    },
    /// Somebody is dialled.
    Dialled {
        /// Who.
        target: String,
    },
    /// Twilio's debugger has a new line.
    Debugger {
        /// See [`super::codes`].
        code: u32,
        /// What exactly.
        detail: String,
    },
    /// The call is over.
    Ended {
        /// How.
        end: CallEnd,
    },
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallEnd {
    /// The caller's script said so.
    CallerHungUp,
    /// The caller waited in vain, for the agent or for the end.
    PatienceEnded,
    /// `<Hangup>`.
    HungUpByDocument,
    /// The document had no further verb.
    DocumentEnded,
    /// `<Reject>` as the first verb: never answered.
    Rejected,
    /// A document could not be had, nor the fallback.
    ApplicationError,
    /// The REST interface ended it.
    EndedByRest,
    /// It lasted as long as `TimeLimit` allows.
    TimeLimit,
    /// It was brought into another call, and that is over.
    OtherSideHungUp,
    /// It was placed by the REST interface, and nobody answered.
    NotAnswered,
}

/// Durations as seconds, which is what a person reads in a report.
fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
