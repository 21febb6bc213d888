use std::time::Duration;

/// How long things may take in a conversation, and how long it may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `SESSION_RENEW_AFTER`, default 6 min: the age at which a model session is to be followed by a new one, at the next
    /// turn boundary.
    pub renew_after: Duration,
    /// `SESSION_LIMIT`, default 8 min: the age at which the service ends a session.
    pub session_limit: Duration,
    /// `SESSION_STALL_AFTER`, default 10 s: how long the model may be silent after the caller has spoken.
    pub stall_after: Duration,
    /// `SILENCE_ASK_AFTER`, default 20 s: after how much silence of both sides the agent asks whether the caller is there.
    pub silence_ask_after: Duration,
    /// `SILENCE_END_AFTER`, default 20 s: how long after that question the call ends if nobody answers.
    pub silence_end_after: Duration,
    /// `CALL_LIMIT`, default 1 h: how long a call may be.
    pub call_limit: Duration,
    /// `CALL_LIMIT_WARNING`, default 60 s: how long before the end the caller is told of it.
    pub call_limit_warning: Duration,
}

impl Limits {
    /// The age at which a session is left even in the middle of a turn: three quarters of the way from the one at which
    /// that became desirable to the one at which the service does it.
    pub fn renewal_deadline(&self) -> Duration {
        self.renew_after + self.session_limit.saturating_sub(self.renew_after) * 3 / 4
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            renew_after: Duration::from_secs(360),
            session_limit: Duration::from_secs(480),
            stall_after: Duration::from_secs(10),
            silence_ask_after: Duration::from_secs(20),
            silence_end_after: Duration::from_secs(20),
            call_limit: Duration::from_secs(3_600),
            call_limit_warning: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_left_half_a_minute_before_the_service_ends_it() {
        assert_eq!(Limits::default().renewal_deadline(), Duration::from_secs(450));
    }
}
