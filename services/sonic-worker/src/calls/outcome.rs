use serde::Serialize;

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The caller hung up.
    CallerHungUp,
    /// The agent said goodbye and hung up.
    AgentHungUp,
    /// The agent asked for a human.
    Transferred,
    /// The agent left the line for keys to be played into it. The conversation goes on unless the caller has gone.
    DigitsSent,
    /// The caller did not answer any more.
    CallerSilent,
    /// The call was as long as it may be.
    TimeUp,
    /// The model took no session.
    ModelRefused,
    /// The model's session broke.
    ModelFailed,
    /// The phone's audio went away without a hang-up.
    ConnectionLost,
    /// The phone's side broke its protocol.
    ProtocolError,
    /// The edge or this worker had to stop.
    Stopped,
    /// Nobody took a call that was placed; Twilio's status of the call says why.
    NotReached,
    /// Instead of [`Outcome::CallerHungUp`], where a machine or a fax had taken the call.
    AnsweringMachine,
}

impl Outcome {
    /// The stable word for it, as in records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CallerHungUp => "caller_hung_up",
            Self::AgentHungUp => "agent_hung_up",
            Self::Transferred => "transferred",
            Self::DigitsSent => "digits_sent",
            Self::CallerSilent => "caller_silent",
            Self::TimeUp => "time_up",
            Self::ModelRefused => "model_refused",
            Self::ModelFailed => "model_failed",
            Self::ConnectionLost => "connection_lost",
            Self::ProtocolError => "protocol_error",
            Self::Stopped => "stopped",
            Self::NotReached => "not_reached",
            Self::AnsweringMachine => "answering_machine",
        }
    }
}

/// What Twilio does after the media stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NextStep {
    /// End the call.
    HangUp {
        /// A last sentence for the caller.
        say: Option<String>,
    },
    /// Hand it to a human.
    Transfer {
        /// Why; the human is told.
        reason: Option<String>,
        /// A sentence for the caller before the human's phone rings.
        say: Option<String>,
    },
    /// Play keys into the line; then the conversation goes on.
    SendDigits {
        /// Which.
        digits: Digits,
    },
    /// The conversation goes on.
    Reattach,
}

/// Keys to be played into a line: 1 to 32 of 0-9, *, # and w, which waits half a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Digits(String);

/// The text is no sequence of keys.
#[derive(Debug, thiserror::Error)]
#[error("digits must be 1 to 32 of 0-9, *, # and w")]
pub struct InvalidDigits;

/// Longer sequences than any menu asks for keep the caller waiting.
const MOST_DIGITS: usize = 32;

impl Digits {
    /// As Twilio plays them.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Digits {
    type Error = InvalidDigits;

    fn try_from(text: &str) -> Result<Self, InvalidDigits> {
        let known = |digit: u8| matches!(digit, b'0'..=b'9' | b'*' | b'#' | b'w');
        let valid = (1..=MOST_DIGITS).contains(&text.len()) && text.bytes().all(known);
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidDigits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_twilio_can_play_is_a_sequence_of_keys() {
        let most = "1".repeat(32);
        for valid in ["1", "0123456789*#w", "wwww1w2", &most] {
            assert_eq!(Digits::try_from(valid).unwrap().as_str(), valid);
        }
        for wrong in ["", "A", "1 2", "W1", "1\n", "\u{661}", &"1".repeat(33)] {
            assert!(Digits::try_from(wrong).is_err(), "{wrong:?}");
        }
    }
}
