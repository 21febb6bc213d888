//! What an attempt came to, and whether there may be another.

use std::time::Duration;

use super::{Refused, RestError};

/// Attempts at one operation.
pub const MOST_ATTEMPTS: u32 = 4;

/// No attempt begins later than this after the first.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// The first pause, at most.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

const NOT_FOUND: u32 = 20404;
const TOO_MANY_REQUESTS: u32 = 20429;
const BAD_CALL_STATE: u32 = 21220;

/// What is attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// To place a call. Twilio knows no key that would make a second request harmless.
    Create,
    /// To change a call.
    Update,
}

/// What one attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// No connection: nothing was sent.
    NotSent,
    /// Something was sent, and no whole answer came in time.
    Lost,
    /// An answer.
    Answered {
        /// Its HTTP status.
        status: u16,
        /// Twilio's code, if it had one.
        code: Option<u32>,
    },
}

/// What follows from an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Done,
    /// The call is over already.
    Gone,
    /// Another attempt is safe and may help; if there is none, this is how the operation failed.
    Again(RestError),
    /// It failed.
    Failed(RestError),
}

/// What follows from an attempt.
pub fn judge(operation: Operation, attempt: Attempt) -> Verdict {
    let unknown = match operation {
        Operation::Create => Verdict::Failed(RestError::FateUnknown),
        Operation::Update => Verdict::Again(RestError::FateUnknown),
    };
    match attempt {
        Attempt::NotSent => Verdict::Again(RestError::Unreachable),
        Attempt::Lost => unknown,
        // Twilio says of this answer that the request was not processed (Twilio docs, error 20429).
        Attempt::Answered { status: 429, .. } | Attempt::Answered { code: Some(TOO_MANY_REQUESTS), .. } => {
            Verdict::Again(RestError::Throttled)
        }
        Attempt::Answered { status: 200..=299, .. } => Verdict::Done,
        Attempt::Answered { status: 500.., .. } => unknown,
        Attempt::Answered { code: Some(NOT_FOUND | BAD_CALL_STATE), .. } if operation == Operation::Update => {
            Verdict::Gone
        }
        Attempt::Answered { status, code } => Verdict::Failed(RestError::Refused(Refused { status, code })),
    }
}

/// How long to wait after the `made`th attempt, `since_first` after the first began; `None` when it was the last. `draw`
/// gives a number below its argument, so that edges which failed together do not come back together.
pub fn pause(made: u32, since_first: Duration, draw: impl FnOnce(u64) -> u64) -> Option<Duration> {
    if made >= MOST_ATTEMPTS {
        return None;
    }
    let longest = FIRST_PAUSE.saturating_mul(1 << made.saturating_sub(1).min(10));
    let half = longest / 2;
    let pause = half + Duration::from_millis(draw(u64::try_from(half.as_millis()).unwrap_or(1).max(1)));
    (since_first + pause <= PATIENCE).then_some(pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, code: Option<u32>) -> Attempt {
        Attempt::Answered { status, code }
    }

    #[test]
    fn a_call_that_may_have_been_placed_is_never_placed_again() {
        let unknown = Verdict::Failed(RestError::FateUnknown);
        for attempt in [Attempt::Lost, answered(500, None), answered(502, None), answered(503, Some(20503))] {
            assert_eq!(judge(Operation::Create, attempt), unknown, "{attempt:?}");
        }
    }

    #[test]
    fn a_call_that_was_certainly_not_placed_is_tried_again() {
        let again = |attempt| judge(Operation::Create, attempt);
        assert_eq!(again(Attempt::NotSent), Verdict::Again(RestError::Unreachable));
        assert_eq!(again(answered(429, Some(20429))), Verdict::Again(RestError::Throttled));
        assert_eq!(again(answered(429, None)), Verdict::Again(RestError::Throttled));
    }

    #[test]
    fn an_update_is_repeated_until_it_is_known_to_be_made() {
        for attempt in [Attempt::Lost, answered(500, Some(20500)), answered(504, None)] {
            assert_eq!(judge(Operation::Update, attempt), Verdict::Again(RestError::FateUnknown), "{attempt:?}");
        }
        assert_eq!(judge(Operation::Update, Attempt::NotSent), Verdict::Again(RestError::Unreachable));
        assert_eq!(judge(Operation::Update, answered(200, None)), Verdict::Done);
    }

    #[test]
    fn an_update_that_comes_after_the_end_finds_the_call_gone() {
        assert_eq!(judge(Operation::Update, answered(404, Some(20404))), Verdict::Gone);
        assert_eq!(judge(Operation::Update, answered(400, Some(21220))), Verdict::Gone);
        // Not Twilio's word: a proxy's, or the base URL is another's.
        let elsewhere = RestError::Refused(Refused { status: 404, code: None });
        assert_eq!(judge(Operation::Update, answered(404, None)), Verdict::Failed(elsewhere));
    }

    #[test]
    fn a_refusal_is_final_and_keeps_its_code() {
        for (status, code) in [(400, Some(21211)), (401, Some(20003)), (404, Some(20404)), (302, None)] {
            let refused = Verdict::Failed(RestError::Refused(Refused { status, code }));
            assert_eq!(judge(Operation::Create, answered(status, code)), refused, "{status}");
        }
    }

    #[test]
    fn pauses_grow_and_are_never_all_the_same() {
        let pauses =
            |draw: fn(u64) -> u64| [1, 2, 3].map(|made| pause(made, Duration::ZERO, draw).unwrap().as_millis());
        assert_eq!(pauses(|_| 0), [125, 250, 500]);
        assert_eq!(pauses(|below| below - 1), [249, 499, 999]);
    }

    #[test]
    fn attempts_end_by_number_and_by_time() {
        assert_eq!(pause(MOST_ATTEMPTS, Duration::ZERO, |_| 0), None);
        assert!(pause(1, PATIENCE - FIRST_PAUSE, |_| 0).is_some());
        assert_eq!(pause(1, PATIENCE, |_| 0), None);
    }
}
