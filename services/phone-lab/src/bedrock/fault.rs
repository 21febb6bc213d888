//! What can go wrong on purpose, and how the service words a refusal.

mod parse;
mod risk;
mod strikes;
mod texts;

use std::time::Duration;

pub use parse::FaultError;
pub(super) use risk::{Risk, WrittenRisk};
pub(super) use strikes::Strikes;
pub(super) use texts::CONTENT_FILTER;

/// One thing that goes wrong in one session.
///
/// As text it is `NAME`, `NAME=VALUE` or either with `@MOMENT`; the lab's documentation lists the names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The session is refused before it starts.
    Refuse(Refusal),
    /// The request is accepted and read, but no answer ever comes.
    NeverAnswer,
    /// The answer takes this much longer. Not scaled by the pace.
    SlowAnswer(Duration),
    /// The stream ends with an exception.
    Exception {
        /// Which one.
        kind: ExceptionKind,
        /// Its text.
        message: String,
        /// When.
        at: Moment,
    },
    /// The stream ends with a frame of `:message-type` `error`, which the service model does not have.
    Error {
        /// Its `:error-code`.
        code: String,
        /// Its `:error-message`.
        message: String,
        /// When.
        at: Moment,
    },
    /// The stream ends with a `validationException` as soon as the caller says, or the client writes, this word.
    ContentFilter(String),
    /// The HTTP/2 stream is reset with INTERNAL_ERROR.
    ResetStream(Moment),
    /// The HTTP/2 stream is reset with NO_ERROR, which some clients cannot tell from an end.
    ResetStreamWithoutError(Moment),
    /// The connection, and every session on it, is dropped without a word.
    DropConnection(Moment),
    /// The stream ends early as if all were well.
    EndStream(Moment),
    /// The session neither reads nor writes any more, but stays open.
    Freeze(Moment),
    /// The connection is told GOAWAY: its sessions go on, new ones need another connection.
    GoAway(Moment),
    /// A frame with a wrong checksum, then the end.
    BadChecksum(Moment),
    /// Half a frame, then the end.
    HalfFrame(Moment),
    /// The region is lost, to all its sessions and clients, until [`super::Server::recover`].
    Outage(Outage, Moment),
    /// The whole session is odd in this way, but legal.
    Quirk(Quirk),
}

/// What the real service has been seen to do, or may do, that a client has to bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// The first usageEvent precedes completionStart.
    EarlyUsage,
    /// An event of a name that no documentation has, `userSpeechEnd`, follows each utterance of the caller.
    UnknownEvent,
    /// Every event has the field `p` beside `bytes`, of random length.
    Padding,
    /// The input of tools is JSON in a string in a string.
    DoubleEncodedTool,
    /// An empty USER transcript precedes the answer to interactive text.
    EmptyTranscript,
    /// All audio of a sentence comes at once.
    AudioBursts,
    /// The marker of a barge-in has other spaces.
    OddMarker,
    /// FINAL texts come only when the next turn has ended, or with the prompt.
    LateFinalTexts,
}

impl Fault {
    /// Says whether it strikes before a session starts.
    pub(super) fn is_of_start(&self) -> bool {
        matches!(self, Self::Refuse(_) | Self::NeverAnswer | Self::SlowAnswer(_))
    }

    /// When a running session is struck; none for faults that strike at the start, on a word, or all along.
    fn moment(&self) -> Option<Moment> {
        match self {
            Self::Refuse(_) | Self::NeverAnswer | Self::SlowAnswer(_) | Self::ContentFilter(_) | Self::Quirk(_) => None,
            Self::Exception { at, .. }
            | Self::Error { at, .. }
            | Self::ResetStream(at)
            | Self::ResetStreamWithoutError(at)
            | Self::DropConnection(at)
            | Self::EndStream(at)
            | Self::Freeze(at)
            | Self::GoAway(at)
            | Self::BadChecksum(at)
            | Self::HalfFrame(at)
            | Self::Outage(_, at) => Some(*at),
        }
    }
}

/// How a region is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Connections are reset, new ones as soon as they are made.
    Refuse,
    /// Sessions end with a `serviceUnavailableException`, requests are answered 503.
    Unavailable,
    /// Sessions go silent and stay open, requests are never answered.
    Freeze,
}

/// When a fault strikes, from where its session, or the entry of the dialogue that brings it, begins. Not scaled by the
/// pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This long after the response began, or the entry was reached.
    After(Duration),
    /// Right after the first `audioOutput` from there on.
    FirstAudio,
    /// Right after so many events of the service, from 1.
    AfterSent(u32),
    /// Right after so many events of the client were read, from 1.
    AfterRead(u32),
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
    /// `ExpiredTokenException`: not in the model, sent when the session token expires in mid-stream, if anything is.
    ExpiredToken,
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
            Self::ExpiredToken => "ExpiredTokenException",
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

    /// 400: more sessions than the account may have.
    pub fn quota_exceeded() -> Self {
        let message = "Your request exceeds the service quota for your account.";
        Self::new(400, "ServiceQuotaExceededException", message)
    }

    /// 400: no such model, in the other words for it.
    pub fn invalid_model() -> Self {
        Self::invalid("The provided model identifier is invalid.")
    }

    /// 400: the request is wrong in this way.
    pub fn invalid(message: &str) -> Self {
        Self::new(400, "ValidationException", message)
    }

    /// 429: the model is not loaded yet. SDKs try again by themselves.
    pub fn model_not_ready() -> Self {
        Self::new(429, "ModelNotReadyException", "The model is not ready to serve inference requests.")
    }

    /// 424: the model failed at the start.
    pub fn model_error() -> Self {
        Self::new(424, "ModelErrorException", "The system encountered an unexpected error during processing.")
    }

    /// 408: the model took too long at the start.
    pub fn model_timeout() -> Self {
        let message = "Model has timed out in processing the request. Try your request again.";
        Self::new(408, "ModelTimeoutException", message)
    }
}
