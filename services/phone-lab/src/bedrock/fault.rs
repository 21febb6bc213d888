//! What can go wrong on purpose, and how the service words a refusal.

use std::time::Duration;

/// One thing that goes wrong in one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The session is refused before it starts.
    Refuse(Refusal),
    /// The request is accepted and read, but no answer ever comes.
    NeverAnswer,
    /// The stream ends with an exception.
    Exception {
        /// Which one.
        kind: ExceptionKind,
        /// Its text.
        message: String,
        /// When.
        at: Moment,
    },
    /// The HTTP/2 stream is reset.
    ResetStream(Moment),
    /// The connection, and every session on it, is dropped without a word.
    DropConnection(Moment),
    /// The stream ends early as if all were well.
    EndStream(Moment),
    /// The session neither reads nor writes any more, but stays open.
    Freeze(Moment),
}

impl Fault {
    /// When a running session is struck; none for faults that strike at the start.
    pub(super) fn moment(&self) -> Option<Moment> {
        match self {
            Self::Refuse(_) | Self::NeverAnswer => None,
            Self::Exception { at, .. } => Some(*at),
            Self::ResetStream(at) | Self::DropConnection(at) | Self::EndStream(at) | Self::Freeze(at) => Some(*at),
        }
    }
}

/// When a fault strikes. Not scaled by the pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This long after the response began.
    After(Duration),
    /// Right after the first `audioOutput`.
    FirstAudio,
}

/// The exceptions that the service model gives the output stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExceptionKind {
    /// `internalServerException`
    InternalServer,
    /// `modelStreamErrorException`
    ModelStreamError,
    /// `validationException`
    Validation,
    /// `throttlingException`
    Throttling,
    /// `modelTimeoutException`
    ModelTimeout,
    /// `serviceUnavailableException`
    ServiceUnavailable,
    /// `InvalidSignatureException`: not in the model, sent when a message's signature does not chain.
    InvalidSignature,
}

impl ExceptionKind {
    /// The `:exception-type` on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InternalServer => "internalServerException",
            Self::ModelStreamError => "modelStreamErrorException",
            Self::Validation => "validationException",
            Self::Throttling => "throttlingException",
            Self::ModelTimeout => "modelTimeoutException",
            Self::ServiceUnavailable => "serviceUnavailableException",
            Self::InvalidSignature => "InvalidSignatureException",
        }
    }
}

/// An answer other than 200, worded as AWS words it: a status, an error type, a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Error type, e.g. `ThrottlingException`.
    pub error: String,
    /// What the client reads.
    pub message: String,
}

impl Refusal {
    /// Any refusal.
    pub fn new(status: u16, error: &str, message: &str) -> Self {
        Self { status, error: error.into(), message: message.into() }
    }

    /// 429: too many sessions.
    pub fn throttled() -> Self {
        Self::new(429, "ThrottlingException", "Too many requests, please wait before trying again.")
    }

    /// 403: the caller's policy does not allow it.
    pub fn access_denied() -> Self {
        Self::new(403, "AccessDeniedException", "You don't have access to the model with the specified model ID.")
    }

    /// 404: no such model here.
    pub fn not_found() -> Self {
        Self::new(
            404,
            "ResourceNotFoundException",
            "Could not resolve the foundation model from the provided model identifier.",
        )
    }

    /// 500: the service failed.
    pub fn internal() -> Self {
        Self::new(500, "InternalServerException", "The system encountered an unexpected error during processing.")
    }

    /// 503: the service is not there.
    pub fn unavailable() -> Self {
        Self::new(503, "ServiceUnavailableException", "Bedrock is unable to process your request.")
    }
}
