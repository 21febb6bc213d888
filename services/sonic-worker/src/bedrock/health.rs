use std::time::{Duration, Instant};

/// After the first failure; twice as long after each that follows the end of such a pause.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// Whether new sessions should rather not be opened in a region, because it has just failed to.
///
/// Without it each new call would wait for the same deadline before it finds the region that works.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Health {
    avoided: Option<Avoided>,
}

#[derive(Clone, Copy, Debug)]
struct Avoided {
    until: Instant,
    pause: Duration,
}

impl Health {
    /// A start failed through the region's own fault.
    pub(super) fn failed(&mut self, now: Instant) {
        // Those that began before the pause tell nothing new.
        if self.is_avoided(now) {
            return;
        }
        let pause = self.avoided.map_or(FIRST_PAUSE, |last| (last.pause * 2).min(LONGEST_PAUSE));
        self.avoided = Some(Avoided { until: now + pause, pause });
    }

    /// A start succeeded.
    pub(super) fn succeeded(&mut self) {
        self.avoided = None;
    }

    /// Whether another region is better for now.
    pub(super) fn is_avoided(&self, now: Instant) -> bool {
        self.avoided.is_some_and(|avoided| now < avoided.until)
    }
}

#[cfg(test)]
mod tests {
    use offhook_hosting::clock::Clock;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_region_that_goes_on_failing_is_avoided_for_longer_and_longer() {
        let (mut health, mut now) = (Health::default(), Clock.now());
        for pause in [30, 60, 120, 240, 300, 300] {
            assert!(!health.is_avoided(now));
            health.failed(now);
            assert!(health.is_avoided(now + seconds(pause) - Duration::from_millis(1)), "{pause}");
            now += seconds(pause);
        }
    }

    #[test]
    fn many_starts_that_fail_together_count_as_one() {
        let (mut health, now) = (Health::default(), Clock.now());
        (0..100).for_each(|_| health.failed(now));
        assert!(!health.is_avoided(now + seconds(30)));
    }

    #[test]
    fn a_success_ends_the_pause_and_the_next_failure_is_a_first_one() {
        let (mut health, now) = (Health::default(), Clock.now());
        health.failed(now);
        health.failed(now + seconds(30));
        health.succeeded();
        assert!(!health.is_avoided(now + seconds(31)));
        health.failed(now + seconds(31));
        assert!(!health.is_avoided(now + seconds(61)));
    }
}
