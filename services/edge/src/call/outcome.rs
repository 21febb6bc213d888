//! The ways a leg can end: what each means for the worker, for Twilio and for the metrics.

use offhook_proto::voice::v1::EndedReason;

/// How a leg ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The worker said what comes next and the caller has heard everything.
    Finished,
    /// The same, and Twilio was asked to go on and has done so.
    Redirected,
    /// Twilio sent `stop`.
    Stopped,
    /// The socket went away without `stop`, or fell quiet.
    ConnectionLost,
    /// Too many messages in a row could not be read.
    ProtocolError,
    /// No `start` in time.
    NoStart,
    /// `start` names another call or account than the socket's ticket.
    StartMismatch,
    /// No worker takes the call.
    NoWorker,
    /// A worker said that the call cannot be served at all.
    WorkerRefused,
    /// The worker went away in mid-call.
    WorkerLost,
    /// This edge's time is over.
    EdgeStopping,
}

impl Outcome {
    /// The outcome as a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Redirected => "redirected",
            Self::Stopped => "stopped",
            Self::ConnectionLost => "connection_lost",
            Self::ProtocolError => "protocol_error",
            Self::NoStart => "no_start",
            Self::StartMismatch => "start_mismatch",
            Self::NoWorker => "no_worker",
            Self::WorkerRefused => "worker_refused",
            Self::WorkerLost => "worker_lost",
            Self::EdgeStopping => "edge_stopping",
        }
    }

    /// Whether Twilio still holds the call and asks for TwiML once the stream is over.
    pub fn twilio_goes_on(self) -> bool {
        self != Self::Stopped
    }

    /// What the worker is told; nothing where it has spoken last itself.
    pub fn reason(self) -> Option<EndedReason> {
        match self {
            Self::Stopped => Some(EndedReason::Stopped),
            Self::ConnectionLost => Some(EndedReason::ConnectionLost),
            Self::ProtocolError | Self::NoStart | Self::StartMismatch => Some(EndedReason::ProtocolError),
            Self::EdgeStopping => Some(EndedReason::EdgeStopping),
            // The time to attach ran out: the worker that still ponders learns that nobody waits for it.
            Self::NoWorker => Some(EndedReason::ConnectionLost),
            Self::Finished | Self::Redirected | Self::WorkerRefused | Self::WorkerLost => None,
        }
    }
}
