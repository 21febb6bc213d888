use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;

use super::{Key, SessionNo};
use crate::{
    calls::{Entry, NextStep, Outcome},
    nova::{ClientEvent, Failure, ServerEvent, ToolUseId},
};

/// What can happen to a conversation.
#[derive(Debug)]
pub enum Input {
    /// The caller's voice as mu-law.
    CallerAudio(Bytes),
    /// The caller pressed a key.
    Pressed(Key),
    /// A text for the model from elsewhere, such as a supervisor's hint. They must not come faster than they can be told.
    Told(String),
    /// The caller has heard the agent up to a sample, in an epoch.
    Heard {
        /// Samples heard on this leg.
        sample: u64,
        /// The epoch they were sent in.
        epoch: u32,
    },
    /// The phone's side is gone.
    LegEnded(LegEnd),
    /// The model answered: it takes the session.
    StreamOpened {
        /// Which.
        session: SessionNo,
        /// When the credentials it was opened with stop being good; `None`: they do not.
        credentials_expire: Option<Instant>,
    },
    /// The model took no session.
    StreamRefused {
        /// Which.
        session: SessionNo,
        /// Why.
        failure: Failure,
    },
    /// The model said something.
    Model {
        /// In which session.
        session: SessionNo,
        /// What.
        event: ServerEvent,
    },
    /// A model's stream is over, cleanly or not.
    StreamEnded {
        /// Of which session.
        session: SessionNo,
        /// Why, unless cleanly.
        failure: Option<Failure>,
    },
    /// A tool has a result for the model.
    ToolFinished {
        /// Which request.
        id: ToolUseId,
        /// A JSON object.
        result: Value,
    },
    /// Twilio says that the call is over.
    CallOver,
    /// The worker must stop now.
    Stop,
    /// The time of `poll_deadline` has come.
    Deadline,
}

/// Why the phone's side is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegEnd {
    /// Twilio said that the stream stopped: the caller hung up.
    Stopped,
    /// The media socket or the edge vanished.
    ConnectionLost,
    /// Twilio's side broke its protocol.
    ProtocolError,
    /// The edge had to stop.
    EdgeStopping,
}

impl LegEnd {
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Stopped => Outcome::CallerHungUp,
            Self::ConnectionLost => Outcome::ConnectionLost,
            Self::ProtocolError => Outcome::ProtocolError,
            Self::EdgeStopping => Outcome::Stopped,
        }
    }
}

/// What a conversation wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Open a model stream, and answer with `StreamOpened` or `StreamRefused`.
    OpenStream {
        /// For this session.
        session: SessionNo,
        /// These are to be queued in it before it is awaited.
        opening: Vec<ClientEvent>,
        /// Not where the last one failed, if there is another region.
        elsewhere: bool,
    },
    /// Send to the model; never dropped. Also while the stream is being opened.
    Send(SessionNo, ClientEvent),
    /// Send to the model, or drop it when the model is far behind.
    SendAudio(SessionNo, ClientEvent),
    /// Nothing more goes to the model: end the input half, then wait for `StreamEnded`.
    EndInput(SessionNo),
    /// Drop the model's stream as it is.
    AbandonStream(SessionNo),
    /// Another session is the live one now; for the statistics.
    Switched(Cause),
    /// Tell the edge that the agent is there.
    Accepted,
    /// Tell the edge that the model took no session; the leg is over.
    Refused,
    /// Play to the caller.
    Speak {
        /// Position among all agent audio of this leg.
        first_sample: u64,
        /// The epoch it belongs to.
        epoch: u32,
        /// The audio.
        mulaw: Bytes,
    },
    /// Stop playing at once and forget all audio of older epochs, here and at the edge.
    Hush {
        /// The epoch that begins.
        epoch: u32,
    },
    /// Run a tool beside the conversation and answer with `ToolFinished`.
    RunTool(ToolCall),
    /// Stop a tool whose answer nobody waits for any more.
    StopTool(ToolUseId),
    /// Add to the call's record.
    Note(Entry),
    /// The leg is over; tell the edge what comes next, after what was sent before.
    Next(NextStep),
    /// Everything is done.
    Finished,
}

/// Why one session took over from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The age of the session, or of its credentials.
    Renewal,
    /// It broke, or fell silent.
    Failure(Failure),
}

/// A tool to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// Which request of the model.
    pub id: ToolUseId,
    /// Which tool.
    pub name: String,
    /// A JSON object, or null when the model sent none.
    pub input: Value,
}
