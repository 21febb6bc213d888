use std::fmt;

/// Why the model's stream could not be opened, or broke. What to do about it follows from the kind alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Too many requests or sessions: worth another try after a pause.
    Throttled,
    /// A fault on the service's side: worth another try.
    Unavailable,
    /// The service, or the way to it, is gone: worth another try on another connection.
    PeerGone,
    /// No answer in time: worth another try on another connection.
    TimedOut,
    /// The credentials or their permissions do not do; trying again cannot help.
    AccessDenied,
    /// The model id, region or an event is wrong; trying again cannot help.
    Rejected,
    /// The stream carried something that is no event stream.
    Garbled,
    /// The stream ended although the session had not.
    EndedEarly,
    /// No session is free, on this worker's connections or in the account's quota.
    NoCapacity,
}

impl Failure {
    /// Whether opening a session again, after a pause, may succeed.
    pub fn is_worth_a_retry(self) -> bool {
        match self {
            Self::Throttled | Self::Unavailable | Self::PeerGone | Self::TimedOut => true,
            Self::AccessDenied | Self::Rejected | Self::Garbled | Self::EndedEarly | Self::NoCapacity => false,
        }
    }

    /// A stable word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::PeerGone => "peer_gone",
            Self::TimedOut => "timed_out",
            Self::AccessDenied => "access_denied",
            Self::Rejected => "rejected",
            Self::Garbled => "garbled",
            Self::EndedEarly => "ended_early",
            Self::NoCapacity => "no_capacity",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
