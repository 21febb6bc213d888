use std::fmt;

/// Why the model's stream could not be opened, or broke. What to do about it follows from the kind alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Too many requests or sessions for now, or the model is not ready yet.
    Throttled,
    /// The account's quota is used up.
    Quota,
    /// A fault on the service's side.
    Unavailable,
    /// The model failed, at the start or in the middle of a turn.
    ModelFailed,
    /// The service asks for a retry: "System instability detected".
    Unstable,
    /// No answer to an opening in time.
    TimedOut,
    /// The service, or the way to it, is gone.
    PeerGone,
    /// The session reached the age at which the service ends it.
    SessionExpired,
    /// The service waited too long for audio or text.
    Idle,
    /// The service reset the stream.
    Reset,
    /// The stream ended although the session had not. A reset without an error reads like this too.
    EndedEarly,
    /// The model says nothing although it should.
    Stalled,
    /// The stream carried something that is no event stream.
    Garbled,
    /// The service's content filter stopped the conversation.
    Filtered,
    /// The history given to the session is too large.
    HistoryTooLong,
    /// The service does not like what it was sent: a mistake of ours, or one it does not explain.
    BadInput,
    /// The model, or the voice, does not exist there.
    NotFound,
    /// The service says that the credentials are no longer good.
    CredentialsExpired,
    /// Credentials could not be had just now.
    NoCredentials,
    /// There are no credentials, or they do not permit this.
    AccessDenied,
    /// The region does not have the model, or the credentials do not permit it there; another region may.
    NotInRegion,
    /// No session is free on this worker's connections.
    NoCapacity,
    /// An error that this version does not know.
    Unknown,
}

/// What helps against a [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A new session, at once, in the same place.
    Renew,
    /// A new session after a pause, in the same place or another.
    Later,
    /// A new session in another region; where there is none, as [`Remedy::Later`].
    Elsewhere,
    /// A new session without the last exchange. The second time: a polite end.
    Rephrase,
    /// A new session with half of the history, once.
    Shorten,
    /// One new session at most: it was our mistake, or nobody knows.
    OnceMore,
    /// Nothing.
    GiveUp,
}

impl Failure {
    /// What helps against it.
    pub fn remedy(self) -> Remedy {
        match self {
            Self::SessionExpired | Self::Idle | Self::Reset | Self::EndedEarly | Self::Stalled => Remedy::Renew,
            Self::Throttled
            | Self::ModelFailed
            | Self::Unstable
            | Self::Garbled
            | Self::NoCapacity
            // Each new session asks for new ones.
            | Self::CredentialsExpired
            | Self::NoCredentials => Remedy::Later,
            Self::Quota | Self::Unavailable | Self::TimedOut | Self::PeerGone | Self::NotInRegion => Remedy::Elsewhere,
            Self::Filtered => Remedy::Rephrase,
            Self::HistoryTooLong => Remedy::Shorten,
            Self::BadInput | Self::Unknown => Remedy::OnceMore,
            Self::NotFound | Self::AccessDenied => Remedy::GiveUp,
        }
    }

    /// A stable word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Quota => "quota",
            Self::Unavailable => "unavailable",
            Self::ModelFailed => "model_failed",
            Self::Unstable => "unstable",
            Self::TimedOut => "timed_out",
            Self::PeerGone => "peer_gone",
            Self::SessionExpired => "session_expired",
            Self::Idle => "idle",
            Self::Reset => "reset",
            Self::EndedEarly => "ended_early",
            Self::Stalled => "stalled",
            Self::Garbled => "garbled",
            Self::Filtered => "filtered",
            Self::HistoryTooLong => "history_too_long",
            Self::BadInput => "bad_input",
            Self::NotFound => "not_found",
            Self::CredentialsExpired => "credentials_expired",
            Self::NoCredentials => "no_credentials",
            Self::AccessDenied => "access_denied",
            Self::NotInRegion => "not_in_region",
            Self::NoCapacity => "no_capacity",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
