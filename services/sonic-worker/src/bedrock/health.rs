use std::time::{Duration, Instant};

use super::Region;

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

/// The regions' places in their list in the order in which they should be tried: as they are listed, but one that is
/// avoided after all others, and the one that was not asked for last of all.
pub(super) fn order(regions: &[(&Region, Health)], not_in: Option<&Region>, now: Instant) -> Vec<usize> {
    let mut order: Vec<_> = (0..regions.len()).collect();
    order.sort_by_key(|&index| {
        let (region, health) = regions[index];
        (Some(region) == not_in, health.is_avoided(now))
    });
    order
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

    #[test]
    fn home_is_first_again_as_soon_as_its_pause_is_over() {
        let (names, now) = (["us-east-1", "us-west-2", "eu-north-1"].map(Region::from), Clock.now());
        let mut failed = Health::default();
        failed.failed(now);
        let home_failed = [(&names[0], failed), (&names[1], Health::default()), (&names[2], Health::default())];
        let at = |seconds_on, not_in| order(&home_failed, not_in, now + seconds(seconds_on));
        assert_eq!(at(29, None), [1, 2, 0]);
        assert_eq!(at(30, None), [0, 1, 2]);
        assert_eq!(at(29, Some(&names[1])), [2, 0, 1]);
        assert_eq!(at(30, Some(&names[0])), [1, 2, 0]);
        let all_failed = names.each_ref().map(|region| (region, failed));
        assert_eq!(order(&all_failed, None, now), [0, 1, 2]);
    }
}
