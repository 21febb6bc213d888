//! How many calls are placed, and how many wrong tokens are answered. Per edge: edges do not tell each other, and a restart
//! begins anew.

use std::time::{Duration, Instant};

/// Wrong tokens that are told so, in a minute. Whoever guesses on is told nothing more; the right token always passes.
pub const WRONG_TOKENS: u32 = 10;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// A limit is reached; by when it makes sense to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Which, in a few words.
    pub limit: &'static str,
    /// How long to wait.
    pub retry_after: Duration,
}

/// What was used of the limits.
#[derive(Debug)]
pub struct Limits {
    calls_per_second: u32,
    calls_per_day: u32,
    this_second: Window,
    /// Days since 1970, UTC, and the calls of the day.
    today: (u64, u32),
    wrong_tokens: Window,
}

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    used: u32,
}

impl Limits {
    /// Nothing was used yet.
    pub fn new(calls_per_second: u32, calls_per_day: u32) -> Self {
        Self {
            calls_per_second,
            calls_per_day,
            this_second: Window::default(),
            today: (0, 0),
            wrong_tokens: Window::default(),
        }
    }

    /// Takes room for a call.
    ///
    /// # Errors
    /// If there is none. Nothing is taken then.
    pub fn take_call(&mut self, now: Instant, unix_time: u64) -> Result<(), Reached> {
        let (day, second_of_day) = (unix_time / DAY_SECONDS, unix_time % DAY_SECONDS);
        if self.today.0 != day {
            self.today = (day, 0);
        }
        if self.today.1 >= self.calls_per_day {
            let retry_after = Duration::from_secs(DAY_SECONDS - second_of_day);
            return Err(Reached { limit: "calls per day", retry_after });
        }
        let taken = self.this_second.take(self.calls_per_second, SECOND, now);
        taken.map_err(|retry_after| Reached { limit: "calls per second", retry_after })?;
        self.today.1 += 1;
        Ok(())
    }

    /// Counts a wrong token.
    ///
    /// # Errors
    /// If there were too many.
    pub fn take_wrong_token(&mut self, now: Instant) -> Result<(), Reached> {
        let taken = self.wrong_tokens.take(WRONG_TOKENS, MINUTE, now);
        taken.map_err(|retry_after| Reached { limit: "attempts with a wrong token", retry_after })
    }
}

impl Window {
    fn take(&mut self, most: u32, length: Duration, now: Instant) -> Result<(), Duration> {
        let age = self.began.map(|began| now.saturating_duration_since(began)).filter(|age| *age < length);
        let Some(age) = age else {
            *self = Self { began: Some(now), used: 1 };
            return Ok(());
        };
        if self.used >= most {
            return Err(length - age);
        }
        self.used += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use offhook_hosting::clock::Clock;

    use super::*;

    const NOON: u64 = 20_000 * DAY_SECONDS + DAY_SECONDS / 2;

    #[test]
    fn calls_beyond_the_rate_wait_for_the_next_second() {
        let (now, mut limits) = (Clock.now(), Limits::new(2, 100));
        assert_eq!(limits.take_call(now, NOON), Ok(()));
        assert_eq!(limits.take_call(now + SECOND / 4, NOON), Ok(()));
        let reached = Reached { limit: "calls per second", retry_after: SECOND / 2 };
        assert_eq!(limits.take_call(now + SECOND / 2, NOON), Err(reached));
        assert_eq!(limits.take_call(now + SECOND, NOON), Ok(()));
    }

    #[test]
    fn calls_beyond_the_days_number_wait_for_midnight() {
        let (now, mut limits) = (Clock.now(), Limits::new(9, 2));
        assert_eq!(limits.take_call(now, NOON), Ok(()));
        assert_eq!(limits.take_call(now, NOON), Ok(()));
        let reached = Reached { limit: "calls per day", retry_after: Duration::from_secs(DAY_SECONDS / 2) };
        assert_eq!(limits.take_call(now, NOON), Err(reached));
        assert_eq!(limits.take_call(now, NOON + DAY_SECONDS / 2), Ok(()));
    }

    #[test]
    fn a_call_that_the_second_has_no_room_for_is_not_counted_for_the_day() {
        let (now, mut limits) = (Clock.now(), Limits::new(1, 2));
        assert_eq!(limits.take_call(now, NOON), Ok(()));
        for _ in 0..5 {
            assert_eq!(limits.take_call(now, NOON).unwrap_err().limit, "calls per second");
        }
        assert_eq!(limits.take_call(now + SECOND, NOON), Ok(()));
        assert_eq!(limits.take_call(now + SECOND * 2, NOON).unwrap_err().limit, "calls per day");
    }

    #[test]
    fn whoever_guesses_tokens_is_put_off() {
        let (now, mut limits) = (Clock.now(), Limits::new(1, 1));
        for _ in 0..WRONG_TOKENS {
            assert_eq!(limits.take_wrong_token(now), Ok(()));
        }
        assert_eq!(limits.take_wrong_token(now + SECOND).unwrap_err().retry_after, MINUTE - SECOND);
        assert_eq!(limits.take_wrong_token(now + MINUTE), Ok(()));
    }
}
