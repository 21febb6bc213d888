//! The clock, as a value that is handed in.

use std::time::Instant;

use jiff::Timestamp;

/// Tells the time. Rules take the time as an argument; only drivers hold a clock.
///
/// [`Clock::now`] follows tokio's clock, so that a test with paused time moves it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// The monotonic time, for deadlines and durations.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the monotonic clock")]
    pub fn now(self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    /// The time of day, for records and expiry dates that other machines read.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the time of day")]
    pub fn wall(self) -> Timestamp {
        Timestamp::now()
    }
}
