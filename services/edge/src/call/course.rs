//! What becomes of a call when its media stream, or the attempt to hand it over, has ended.
//!
//! Pure: a worker's word in, what Twilio is to do out. The same word gives the same course, however often Twilio asks: a
//! redirect has it ask twice, and only the last answer counts. Every course ends: a human is dialled after a stream, never
//! after a human.

use offhook_proto::voice::v1::{HangUp, NextStep, SendDigits, Transfer, next_step::Step};

use crate::twilio::twiml::NOBODY_ANSWERED;

/// Keys that are played in one go.
const DIGITS_LIMIT: usize = 32;

/// What has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// A media stream.
    Stream,
    /// The attempt to hand the call over: caller and human were connected, or not.
    Transfer {
        /// Whether they were.
        reached: bool,
    },
}

/// What Twilio is to do. Holds what the model has said, so it shows itself in no log.
#[derive(Clone, PartialEq, Eq)]
pub enum Course {
    /// Say a sentence, if there is one, and hang up.
    HangUp {
        /// The sentence.
        say: String,
    },
    /// Dial the agent's human.
    Dial {
        /// A sentence for the caller first, if there is one.
        say: String,
        /// Why, if it is known.
        reason: String,
    },
    /// The conversation is lost: what the agent's fallback says.
    FallBack,
    /// Open a media stream.
    Connect {
        /// Keys to be played first, if there are any.
        digits: String,
    },
}

/// What a worker's word means. `None`: no worker knows the call.
pub fn course(step: Option<NextStep>, after: After) -> Course {
    let Some(NextStep { step }) = step else {
        return match after {
            After::Stream => Course::FallBack,
            // Whoever was promised a human and got none is better off with an agent who knows nothing.
            After::Transfer { reached: false } => Course::Connect { digits: String::new() },
            After::Transfer { reached: true } => hang_up(""),
        };
    };
    match step {
        None => hang_up(""),
        Some(Step::HangUp(HangUp { say })) => Course::HangUp { say },
        Some(Step::Transfer(Transfer { say, reason })) => match after {
            After::Stream => Course::Dial { say, reason },
            After::Transfer { .. } => without_a_place(after),
        },
        Some(Step::SendDigits(SendDigits { digits })) => {
            let is_playable = digits.chars().count() <= DIGITS_LIMIT && digits.chars().all(is_key);
            Course::Connect { digits: if is_playable { digits } else { String::new() } }
        }
        Some(Step::Reattach(_)) => Course::Connect { digits: String::new() },
    }
}

/// What is left where no worker has a place for a call that was to be connected, or no human may be dialled.
pub fn without_a_place(after: After) -> Course {
    match after {
        After::Stream => Course::Dial { say: String::new(), reason: String::new() },
        After::Transfer { reached: false } => hang_up(NOBODY_ANSWERED),
        After::Transfer { reached: true } => hang_up(""),
    }
}

fn hang_up(sentence: &str) -> Course {
    Course::HangUp { say: sentence.to_owned() }
}

/// What `<Play digits>` takes, and a pause (Twilio docs, `<Play>`).
fn is_key(letter: char) -> bool {
    matches!(letter, '0'..='9' | '*' | '#' | 'w')
}

impl std::fmt::Debug for Course {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::HangUp { .. } => "HangUp",
            Self::Dial { .. } => "Dial",
            Self::FallBack => "FallBack",
            Self::Connect { .. } => "Connect",
        })
    }
}

#[cfg(test)]
mod tests {
    use offhook_proto::voice::v1::Reattach;

    use super::*;

    const REACHED: After = After::Transfer { reached: true };
    const MISSED: After = After::Transfer { reached: false };

    fn said(step: Step) -> Option<NextStep> {
        Some(NextStep { step: Some(step) })
    }

    fn connect(digits: &str) -> Course {
        Course::Connect { digits: digits.to_owned() }
    }

    #[test]
    fn a_worker_s_word_is_carried_out_after_a_stream_and_after_a_transfer() {
        for after in [After::Stream, REACHED, MISSED] {
            let bye = Step::HangUp(HangUp { say: "Goodbye.".to_owned() });
            assert!(course(said(bye), after) == hang_up("Goodbye."));
            assert!(course(said(Step::Reattach(Reattach {})), after) == connect(""));
            let keys = Step::SendDigits(SendDigits { digits: "1w2#".to_owned() });
            assert!(course(said(keys), after) == connect("1w2#"));
            assert!(course(Some(NextStep { step: None }), after) == hang_up(""));
        }
    }

    #[test]
    fn a_human_is_dialled_after_a_stream_and_not_again_after_a_human() {
        let transfer =
            || said(Step::Transfer(Transfer { say: "One moment.".to_owned(), reason: "a refund".to_owned() }));
        let dial = Course::Dial { say: "One moment.".to_owned(), reason: "a refund".to_owned() };
        assert!(course(transfer(), After::Stream) == dial);
        assert!(course(transfer(), MISSED) == hang_up(NOBODY_ANSWERED));
        assert!(course(transfer(), REACHED) == hang_up(""));
    }

    #[test]
    fn a_call_that_no_worker_knows_is_connected_anew_only_if_a_human_was_promised_and_missed() {
        assert!(course(None, After::Stream) == Course::FallBack);
        assert!(course(None, MISSED) == connect(""));
        assert!(course(None, REACHED) == hang_up(""));
    }

    #[test]
    fn keys_that_twilio_would_not_play_are_left_out_and_the_conversation_goes_on() {
        for digits in ["", "1,2", "A", "１", "+1", &"1".repeat(33)] {
            let keys = Step::SendDigits(SendDigits { digits: digits.to_owned() });
            assert!(course(said(keys), After::Stream) == connect(""), "{digits}");
        }
        let most = "1".repeat(32);
        assert!(course(said(Step::SendDigits(SendDigits { digits: most.clone() })), After::Stream) == connect(&most));
    }

    #[test]
    fn where_no_worker_has_a_place_a_human_is_dialled_who_was_not_tried() {
        assert!(matches!(without_a_place(After::Stream), Course::Dial { .. }));
        assert!(without_a_place(MISSED) == hang_up(NOBODY_ANSWERED));
        assert!(without_a_place(REACHED) == hang_up(""));
    }

    #[test]
    fn debug_shows_nothing_of_what_was_said() {
        let dial = Course::Dial { say: "s3cret".to_owned(), reason: "s3cret".to_owned() };
        assert_eq!(format!("{dial:?} {:?} {:?}", connect("123"), hang_up("s3cret")), "Dial Connect HangUp");
    }
}
