//! How the simulated service is set up.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{
    auth::{Keyring, temporary_token},
    echo::Echo,
    fault::{Fault, Refusal},
    probability::Probability,
    script::Script,
    timing::{Profile, Timing},
    waived::Waived,
};
use crate::network::Conditions;

/// AWS, "Nova 2 Sonic": a connection lasts 8 minutes.
const SESSION_LIMIT: Duration = Duration::from_secs(480);

/// What the lab's service accepts, and how it behaves. The default is what the lab's own clients are configured for.
#[derive(Clone)]
pub struct Settings {
    /// The region it plays.
    pub region: String,
    /// The only access key it knows.
    pub access_key_id: String,
    /// That key's secret.
    pub secret_access_key: String,
    /// The session token that has to come with it, if any.
    pub session_token: Option<String>,
    /// When that token expires.
    pub session_token_expires_at: Option<Timestamp>,
    /// Credentials last so long each: instead of that token any is accepted that [`Settings::temporary_token`] gives,
    /// until it expires.
    pub token_life: Option<Duration>,
    /// What becomes of sessions that are open by then. Nobody knows what the real service does.
    pub token_expiry: TokenExpiry,
    /// Every request is denied, as an IAM policy would.
    pub access_denied: bool,
    /// The answer to a model id that nobody knows (404; [`Refusal::invalid_model`] is as likely).
    pub unknown_model: Refusal,
    /// The answer to a content type that is no event stream (415; [`Refusal::invalid`] is as likely).
    pub wrong_content_type: Refusal,
    /// Sessions beyond this are throttled (AWS's default quota is 20).
    pub max_sessions: usize,
    /// What they are told (429; [`Refusal::quota_exceeded`] is as likely).
    pub over_quota: Refusal,
    /// Streams at a time on one connection, as HTTP/2 announces them.
    pub max_concurrent_streams: u32,
    /// Speak HTTP/1.1 as well, to clients that do not offer h2.
    pub http1: bool,
    /// How long the model pauses and thinks.
    pub pace: Pace,
    /// Which measurements of the real service the pauses follow.
    pub profile: Profile,
    /// What the model says.
    pub script: Script,
    /// Answer 200 at once, instead of when the first event was read.
    pub answer_immediately: bool,
    /// Silence of the client that ends a session (55 s; 295 s has been seen).
    pub idle_limit: Duration,
    /// Age that ends a session; if none is given what the script says, else 480 s.
    pub session_limit: Option<Duration>,
    /// Keep the audio of each session in its report. Load runs go without.
    pub keep_audio: bool,
    /// Rules that are not enforced.
    pub waived: Waived,
    /// Refuse history whose roles do not alternate, instead of only putting it on record.
    pub strict_history: bool,
    /// How much history a prompt takes; none for what the model's documentation says.
    pub history_limits: Option<HistoryLimits>,
    /// How likely an interactive text is refused as if audio had slipped into it (about 5 % were, of one client).
    pub slipped_audio: Probability,
    /// What goes wrong on purpose in sessions for which nothing was injected, besides what the script says.
    pub faults: Vec<Fault>,
    /// How likely each of these strikes a session.
    pub fault_probability: Probability,
    /// What the network to the clients is like; none for loopback as it is.
    pub network: Option<Conditions>,
    /// Say what is heard, instead of what the script says.
    pub echo: Option<Arc<dyn Echo>>,
}

/// What becomes of a session whose token expires while it is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenExpiry {
    /// It goes on.
    #[default]
    Nothing,
    /// It ends with an `ExpiredTokenException`, which the service model does not have.
    Exception,
    /// It is reset with INTERNAL_ERROR.
    Reset,
}

impl FromStr for TokenExpiry {
    type Err = NoTokenExpiry;

    fn from_str(text: &str) -> Result<Self, NoTokenExpiry> {
        match text {
            "nothing" => Ok(Self::Nothing),
            "exception" => Ok(Self::Exception),
            "reset" => Ok(Self::Reset),
            _ => Err(NoTokenExpiry),
        }
    }
}

/// The text does not say what becomes of such a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected nothing, exception or reset")]
pub struct NoTokenExpiry;

/// How much history a prompt takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Bytes of one message.
    pub message_bytes: usize,
    /// Bytes of all messages.
    pub total_bytes: usize,
    /// How many messages.
    pub messages: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            region: "us-east-1".into(),
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: None,
            session_token_expires_at: None,
            token_life: None,
            token_expiry: TokenExpiry::Nothing,
            access_denied: false,
            unknown_model: Refusal::not_found(),
            wrong_content_type: Refusal::new(415, "ValidationException", "the content type is not an event stream"),
            max_sessions: 20,
            over_quota: Refusal::throttled(),
            max_concurrent_streams: 200,
            http1: false,
            pace: Pace::REAL,
            profile: Profile::Real,
            script: Script::default(),
            answer_immediately: false,
            idle_limit: Duration::from_secs(55),
            session_limit: None,
            keep_audio: true,
            waived: Waived::NONE,
            strict_history: false,
            history_limits: None,
            slipped_audio: Probability::NEVER,
            faults: Vec::new(),
            fault_probability: Probability::ALWAYS,
            network: None,
            echo: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("region", &self.region).field("pace", &self.pace).finish_non_exhaustive()
    }
}

impl Settings {
    pub(super) fn keyring(&self) -> Keyring {
        Keyring {
            region: self.region.clone(),
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.clone(),
            session_token: self.session_token.clone(),
            expires_at: self.session_token_expires_at,
            temporary: self.token_life.is_some(),
            waived: self.waived,
        }
    }

    /// A token that is good from now on for [`Settings::token_life`], and until when; none without such a life.
    pub fn temporary_token(&self, now: Timestamp) -> Option<(String, Timestamp)> {
        let expires_at = now.checked_add(SignedDuration::try_from(self.token_life?).ok()?).ok()?;
        Some((temporary_token(&self.secret_access_key, expires_at), expires_at))
    }

    /// The age that ends a session.
    pub fn session_limit(&self) -> Duration {
        self.session_limit.or(self.script.session_limit()).unwrap_or(SESSION_LIMIT)
    }

    pub(super) fn timing(&self) -> Timing {
        Timing::new(self.profile, self.pace)
    }
}

/// A factor on the model's pauses and delays. Audio keeps its real duration at any pace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace(f64);

impl Pace {
    /// As measured on the real service.
    pub const REAL: Self = Self(1.0);

    /// A factor above 0, up to 1000: 0.1 is ten times faster than the real service. None if it is no such number.
    pub fn new(factor: f64) -> Option<Self> {
        (factor > 0.0 && factor <= 1000.0).then_some(Self(factor))
    }

    pub(super) fn tenth(self) -> Self {
        Self(self.0 / 10.0)
    }

    fn scale(self, duration: Duration) -> Duration {
        duration.mul_f64(self.0)
    }

    pub(super) fn millis(self, millis: u64) -> Duration {
        self.scale(Duration::from_millis(millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_a_positive_number_that_no_delay_outgrows() {
        assert_eq!(Pace::new(0.5).unwrap().millis(100), Duration::from_millis(50));
        assert!([0.0, -1.0, 1000.1, f64::NAN, f64::INFINITY].into_iter().all(|factor| Pace::new(factor).is_none()));
    }
}
