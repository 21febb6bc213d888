//! How the simulated service is set up.

use std::{fmt, time::Duration};

use super::{auth::Keyring, script::Script};

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
    /// Sessions beyond this are throttled (AWS's default quota is 20).
    pub max_sessions: usize,
    /// How long the model pauses and thinks.
    pub pace: Pace,
    /// What the model says.
    pub script: Script,
    /// Answer 200 at once, instead of when the first event was read.
    pub answer_immediately: bool,
    /// Silence of the client that ends a session (55 s; 295 s has been seen).
    pub idle_limit: Duration,
    /// Age that ends a session.
    pub session_limit: Duration,
    /// Keep the audio of each session in its report. Load runs go without.
    pub keep_audio: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            region: "us-east-1".into(),
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: None,
            max_sessions: 20,
            pace: Pace::REAL,
            script: Script::default(),
            answer_immediately: false,
            idle_limit: Duration::from_secs(55),
            session_limit: Duration::from_secs(480),
            keep_audio: true,
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
        }
    }
}

/// A factor on the model's pauses and delays. Audio keeps its real duration at any pace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace(f64);

impl Pace {
    /// As measured on the real service.
    pub const REAL: Self = Self(1.0);

    /// A factor above 0: 0.1 is ten times faster than the real service. None if it is no such number.
    pub fn new(factor: f64) -> Option<Self> {
        (factor.is_finite() && factor > 0.0).then_some(Self(factor))
    }

    pub(super) fn scale(self, duration: Duration) -> Duration {
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
    fn a_pace_is_a_positive_number() {
        assert_eq!(Pace::new(0.5).unwrap().millis(100), Duration::from_millis(50));
        assert!([0.0, -1.0, f64::NAN, f64::INFINITY].into_iter().all(|factor| Pace::new(factor).is_none()));
    }
}
