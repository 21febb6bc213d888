use bytes::Bytes;
use serde_json::Value;

use super::Key;
use crate::{
    agent::Agent,
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
    StreamOpened,
    /// The model took no session.
    StreamRefused(Failure),
    /// The model said something.
    Model(ServerEvent),
    /// The model's stream is over, cleanly or not.
    StreamEnded(Option<Failure>),
    /// A tool has a result for the model.
    ToolFinished {
        /// Which request.
        id: ToolUseId,
        /// A JSON object.
        result: Value,
    },
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

    /// After anything but a hang-up the caller may still be on the line.
    pub(super) fn next_step(self, agent: &Agent) -> NextStep {
        match self {
            Self::Stopped => NextStep::HangUp { say: None },
            Self::ConnectionLost | Self::ProtocolError | Self::EdgeStopping => agent.apologise(),
        }
    }
}

/// What a conversation wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Open a model stream with these events queued in it, and answer with `StreamOpened` or `StreamRefused`.
    OpenStream(Vec<ClientEvent>),
    /// Send to the model; never dropped. Also while the stream is being opened.
    Send(ClientEvent),
    /// Send to the model, or drop it when the model is far behind.
    SendAudio(ClientEvent),
    /// Nothing more goes to the model: end the input half, then wait for `StreamEnded`.
    EndInput,
    /// Drop the model's stream as it is.
    AbandonStream,
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
