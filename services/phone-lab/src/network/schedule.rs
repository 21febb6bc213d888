//! When what is sent arrives: drawn once per connection from its seed, whatever is sent on it.
//!
//! Times count from the moment the connection was made. Jitter changes every 10 ms and holds come at drawn times, so a
//! schedule depends on its conditions and its seed alone; how the bytes were cut into pieces does not show in it.

use std::time::Duration;

use offhook_hosting::entropy::Entropy;
use serde::Serialize;

use super::{
    conditions::{Bursts, Conditions, Rate, Stall, Way},
    cut::{How, Moment},
};

/// How long the jitter stays the same: what is sent back to back is delayed alike.
const SLOT: Duration = Duration::from_millis(10);

/// A connection's whole fate.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) to: Schedule,
    pub(super) from: Schedule,
    pub(super) cut: Option<(How, Moment)>,
}

impl Plan {
    /// The same conditions and seed give the same plan.
    pub(super) fn new(conditions: &Conditions, seed: u64) -> Self {
        let mut entropy = Entropy::from_seed(seed);
        Self {
            to: Schedule::new(&conditions.to, &mut entropy),
            from: Schedule::new(&conditions.from, &mut entropy),
            cut: conditions.cut.and_then(|cut| Some((cut.how, cut.draw(&mut entropy)?))),
        }
    }
}

/// One direction's delays.
#[derive(Debug)]
pub(super) struct Schedule {
    delay: Duration,
    jitter: Jitter,
    rate: Option<Rate>,
    /// When everything before has passed the narrowest place.
    free: Duration,
    holds: Holds,
    last: Duration,
}

impl Schedule {
    pub(super) fn new(way: &Way, entropy: &mut Entropy) -> Self {
        Self {
            delay: way.delay.unwrap_or_default(),
            jitter: Jitter::new(way.jitter.unwrap_or_default(), entropy.fork()),
            rate: way.rate,
            free: Duration::ZERO,
            holds: Holds::new(way, entropy.fork()),
            last: Duration::ZERO,
        }
    }

    /// When so many bytes arrive that were sent at this time, after all that was sent before. Times do not go back.
    pub(super) fn arrival(&mut self, sent: Duration, bytes: usize) -> Duration {
        self.free = self.free.max(sent) + self.rate.map_or(Duration::ZERO, |rate| rate.takes(bytes));
        let reached = self.free + self.delay + self.jitter.at(self.free);
        self.last = self.holds.release(reached.max(self.last));
        self.last
    }

    /// How much goes on its way in one piece: with a rate no more than 10 ms of it.
    pub(super) fn piece(&self) -> usize {
        self.rate.map_or(usize::MAX, |rate| rate.bytes_in(SLOT).max(1))
    }

    pub(super) fn rate(&self) -> Option<Rate> {
        self.rate
    }
}

impl Rate {
    fn takes(self, bytes: usize) -> Duration {
        let nanos = bytes as u128 * 8_000_000_000 / u128::from(self.0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    pub(super) fn bytes_in(self, time: Duration) -> usize {
        usize::try_from(u128::from(self.0) * time.as_nanos() / 8_000_000_000).unwrap_or(usize::MAX)
    }
}

#[derive(Debug)]
struct Jitter {
    most: Duration,
    now: Duration,
    /// Drawn so far.
    slots: u128,
    entropy: Entropy,
}

impl Jitter {
    fn new(most: Duration, entropy: Entropy) -> Self {
        Self { most, now: Duration::ZERO, slots: 0, entropy }
    }

    fn at(&mut self, time: Duration) -> Duration {
        let most = self.most.as_micros() as u64;
        while most > 0 && self.slots <= time.as_nanos() / SLOT.as_nanos() {
            self.now = Duration::from_micros(self.entropy.between(0, most + 1));
            self.slots += 1;
        }
        self.now
    }
}

/// A stretch of time in which nothing arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// Since the connection was made.
    #[serde(serialize_with = "super::report::seconds")]
    pub at: Duration,
    /// How long.
    #[serde(serialize_with = "super::report::seconds")]
    pub lasts: Duration,
}

impl Hold {
    fn end(&self) -> Duration {
        self.at + self.lasts
    }
}

/// The holds of one direction.
#[derive(Debug)]
struct Holds {
    bursts: Option<Bursts>,
    stall: Option<Hold>,
    /// The burst's hold that is on, or comes next.
    next: Option<Hold>,
    entropy: Entropy,
}

impl Holds {
    fn new(way: &Way, entropy: Entropy) -> Self {
        let stall = way.stall.map(|Stall { at, lasts }| Hold { at, lasts });
        let mut holds = Self { bursts: way.bursts, stall, next: None, entropy };
        holds.draw();
        holds
    }

    fn draw(&mut self) {
        let Some(Bursts { hold, every }) = self.bursts else { return };
        let micros = every.as_micros() as u64;
        let gap = every / 2 + Duration::from_micros(self.entropy.between(0, micros + 1));
        let before = self.next.map_or(Duration::ZERO, |hold| hold.at);
        self.next = Some(Hold { at: before + gap, lasts: hold });
    }

    /// When something gets through that would arrive at this time.
    fn release(&mut self, mut time: Duration) -> Duration {
        loop {
            while self.next.is_some_and(|hold| hold.end() <= time) {
                self.draw();
            }
            let on = [self.next, self.stall].into_iter().flatten().find(|hold| hold.at <= time && time < hold.end());
            match on {
                Some(hold) => time = hold.end(),
                None => return time,
            }
        }
    }
}

/// The holds of one direction that begin before this time, in their order.
pub(super) fn holds_before(mut schedule: Schedule, time: Duration) -> Vec<Hold> {
    let mut held = Vec::new();
    let holds = &mut schedule.holds;
    while let Some(hold) = holds.next.filter(|hold| hold.at < time) {
        held.push(hold);
        holds.draw();
    }
    held.extend(holds.stall.filter(|stall| stall.at < time));
    held.sort_by_key(|hold| hold.at);
    held
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prop_assert, prop_assert_eq, proptest};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn plan(text: &str, seed: u64) -> Plan {
        Plan::new(&text.parse().unwrap(), seed)
    }

    /// When a byte arrives that is sent every so many milliseconds, for ten seconds.
    fn arrivals(text: &str, seed: u64, every: u32) -> Vec<(Duration, Duration)> {
        let mut schedule = plan(text, seed).to;
        (0..10_000 / every).map(|n| (MS * n * every, schedule.arrival(MS * n * every, 1))).collect()
    }

    #[test]
    fn a_plain_delay_is_kept_to() {
        assert!(arrivals("delay=40ms", 1, 20).iter().all(|(sent, arrived)| *arrived == *sent + MS * 40));
    }

    #[test]
    fn jitter_stays_within_its_bounds_and_uses_them() {
        let late: Vec<_> =
            arrivals("delay=40ms,jitter=30ms", 1, 20).iter().map(|(sent, arrived)| *arrived - *sent).collect();
        assert!(late.iter().all(|late| (MS * 40..=MS * 70).contains(late)), "{late:?}");
        assert!(late.iter().min().unwrap() < &(MS * 43) && late.iter().max().unwrap() > &(MS * 67), "{late:?}");
    }

    #[test]
    fn what_is_sent_back_to_back_is_delayed_alike() {
        let mut schedule = plan("jitter=30ms", 1).to;
        let first = schedule.arrival(MS * 100, 1);
        assert_eq!(schedule.arrival(MS * 105, 1), first.max(first + MS * 5));
    }

    #[test]
    fn bursts_hold_everything_and_release_it_at_once() {
        let arrived = arrivals("burst=200ms/1s", 1, 10);
        let held: Vec<_> = arrived.iter().filter(|(sent, arrived)| arrived > sent).collect();
        assert!(held.iter().all(|(sent, arrived)| *arrived - *sent <= MS * 200));
        let share = held.len() as f64 / arrived.len() as f64;
        assert!((0.1..0.35).contains(&share), "a fifth of the time: {share}");
        let ends: Vec<_> = held.chunk_by(|a, b| a.1 == b.1).map(|burst| (burst.len(), burst[0].1)).collect();
        assert!(ends.iter().all(|(size, _)| (19..=20).contains(size)), "{ends:?}");
        let gaps: Vec<_> = ends.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
        assert!(gaps.iter().all(|gap| (MS * 500..=MS * 1500).contains(gap)), "{gaps:?}");
    }

    #[test]
    fn a_stall_holds_once() {
        let arrived = arrivals("stall=3s@2s", 1, 100);
        for (sent, arrived) in arrived {
            let held = (MS * 2000..MS * 5000).contains(&sent);
            assert_eq!(arrived, if held { MS * 5000 } else { sent });
        }
    }

    #[test]
    fn a_rate_lets_so_many_bytes_through_and_each_waits_for_those_before_it() {
        let mut schedule = plan("rate=80kbit", 1).to;
        assert_eq!(schedule.piece(), 100);
        let arrived: Vec<_> = (0..10).map(|_| schedule.arrival(MS * 1000, 100)).collect();
        assert_eq!(arrived, (1..=10).map(|n| MS * (1000 + 10 * n)).collect::<Vec<_>>());
        assert_eq!(schedule.arrival(MS * 5000, 100), MS * 5010, "an idle line saves nothing up");
    }

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_another_one() {
        let text = "delay=10ms,jitter=20ms,burst=100ms/1s,cut=rst@0.01/s";
        assert_eq!(arrivals(text, 5, 20), arrivals(text, 5, 20));
        assert_ne!(arrivals(text, 5, 20), arrivals(text, 6, 20));
        assert_eq!(plan(text, 5).cut, plan(text, 5).cut);
        let holds = |seed| holds_before(plan(text, seed).to, MS * 10_000);
        assert_eq!(holds(5), holds(5));
        assert_ne!(holds(5), holds_before(plan(text, 5).from, MS * 10_000), "each way has holds of its own");
    }

    #[test]
    fn the_plan_does_not_depend_on_how_often_something_is_sent() {
        let text = "delay=10ms,jitter=20ms,burst=100ms/1s";
        let often = arrivals(text, 5, 10);
        // Where nothing waits for what went before, the same moment has the same fate.
        let (mut alike, rare) = (0, arrivals(text, 5, 40));
        for (sent, arrived) in &rare {
            alike += usize::from(often.contains(&(*sent, *arrived)));
        }
        assert!(alike * 10 > rare.len() * 6, "{alike} of {}", rare.len());
    }

    #[test]
    fn the_holds_reported_are_those_that_hold() {
        let text = "burst=100ms/1s,stall=700ms@3s";
        let holds = holds_before(plan(text, 9).to, MS * 10_000);
        assert!(holds.len() > 6 && holds.is_sorted_by_key(|hold| hold.at), "{holds:?}");
        for (sent, arrived) in arrivals(text, 9, 10) {
            let held = holds.iter().any(|hold| hold.at <= sent && sent < hold.end());
            assert_eq!(arrived > sent, held, "at {sent:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_overtakes_or_arrives_before_its_time(
            seed in 0u64..1000,
            gaps in vec((0u64..300, 1usize..2000), 1..200),
            rate in 8u64..1000,
        ) {
            let text = format!("delay=30ms,jitter=90ms,burst=150ms/700ms,stall=1s@2s,rate={rate}kbit");
            let (mut schedule, mut again) = (plan(&text, seed).to, plan(&text, seed).to);
            let (mut now, mut last) = (Duration::ZERO, Duration::ZERO);
            for (gap, bytes) in gaps {
                now += Duration::from_millis(gap);
                let arrived = schedule.arrival(now, bytes);
                prop_assert!(arrived >= now + MS * 30 && arrived >= last);
                prop_assert_eq!(again.arrival(now, bytes), arrived);
                last = arrived;
            }
        }
    }
}
