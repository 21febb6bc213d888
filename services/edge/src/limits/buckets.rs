//! How often somebody may do something: a bucket for each of them that fills at a steady rate, in bounded memory.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    time::{Duration, Instant},
};

/// Keys in one generation. Two are kept.
pub const GENERATION: usize = 8192;

/// A bucket for each key (the generic cell rate algorithm: all that is kept of one is when it will be full again).
///
/// When a generation of keys is full, those that were not used since the one before are forgotten, which is the same as
/// having a full bucket: whoever comes from more than [`GENERATION`] keys is not held up by any of them.
#[derive(Debug)]
pub struct Buckets<K> {
    /// How long one piece takes to come back.
    each: Duration,
    /// How long an empty bucket takes to fill.
    whole: Duration,
    /// When each bucket will be full again.
    full_at: HashMap<K, Instant>,
    older: HashMap<K, Instant>,
}

impl<K: Eq + Hash> Buckets<K> {
    /// Buckets that hold `size` pieces each, and take `period` to fill.
    ///
    /// # Panics
    /// If `size` is zero.
    pub fn new(size: u32, period: Duration) -> Self {
        Self { each: period / size, whole: period, full_at: HashMap::new(), older: HashMap::new() }
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// If the bucket is empty: the time until there is one. Nothing is taken then.
    pub fn take(&mut self, key: K, now: Instant) -> Result<(), Duration> {
        let (each, whole) = (self.each, self.whole);
        let full_at = self.of(key, now);
        let taken = *full_at + each;
        match (taken - now).checked_sub(whole) {
            None | Some(Duration::ZERO) => {
                *full_at = taken;
                Ok(())
            }
            Some(wait) => Err(wait),
        }
    }

    /// Takes that many pieces, also where there are fewer: the bucket is in debt then, by no more than its own size.
    pub fn charge(&mut self, key: K, pieces: u32, now: Instant) {
        let (each, whole) = (self.each, self.whole);
        let full_at = self.of(key, now);
        *full_at = (*full_at + each * pieces).min(now + 2 * whole);
    }

    /// Whether something was taken from the key's bucket, as far as that is remembered.
    pub fn knows(&self, key: &K) -> bool {
        self.full_at.contains_key(key) || self.older.contains_key(key)
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        self.full_at.len() + self.older.len()
    }

    /// Whether no key is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn of(&mut self, key: K, now: Instant) -> &mut Instant {
        if self.full_at.len() >= GENERATION && !self.full_at.contains_key(&key) {
            self.older = std::mem::take(&mut self.full_at);
        }
        let full_at = match self.full_at.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let kept = self.older.remove(new.key());
                new.insert(kept.unwrap_or(now))
            }
        };
        *full_at = (*full_at).max(now);
        full_at
    }
}

#[cfg(test)]
mod tests {
    use offhook_hosting::clock::Clock;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_bucket_gives_what_it_holds_and_then_what_comes_back() {
        let (mut buckets, now) = (Buckets::new(4, SECOND), Clock.now());
        for _ in 0..4 {
            assert_eq!(buckets.take("a", now), Ok(()));
        }
        assert_eq!(buckets.take("a", now), Err(SECOND / 4));
        assert_eq!(buckets.take("b", now), Ok(()), "each key has its own");
        assert_eq!(buckets.take("a", now + SECOND / 4), Ok(()));
        assert_eq!(buckets.take("a", now + SECOND / 4), Err(SECOND / 4));
        let later = now + 60 * SECOND;
        assert_eq!((0..9).filter(|_| buckets.take("a", later).is_ok()).count(), 4, "it never holds more than its size");
    }

    #[test]
    fn a_debt_is_paid_back_and_has_a_bound() {
        let (mut buckets, now) = (Buckets::new(10, SECOND), Clock.now());
        buckets.charge("a", 1000, now);
        assert_eq!(buckets.take("a", now), Err(SECOND + SECOND / 10));
        assert_eq!(buckets.take("a", now + SECOND), Err(SECOND / 10));
        assert_eq!(buckets.take("a", now + SECOND + SECOND / 10), Ok(()));
    }

    #[test]
    fn a_flood_of_keys_takes_no_more_memory_than_two_generations() {
        let (mut buckets, now) = (Buckets::new(1, SECOND), Clock.now());
        for key in 0..5 * GENERATION {
            assert_eq!(buckets.take(key, now), Ok(()));
        }
        assert!(buckets.len() <= 2 * GENERATION);
        let newest = 5 * GENERATION - 1;
        assert_eq!(buckets.take(newest, now), Err(SECOND), "the newest are still known");
    }

    #[test]
    fn a_key_that_is_used_survives_the_change_of_generations() {
        let (mut buckets, now) = (Buckets::new(1, SECOND), Clock.now());
        buckets.take(usize::MAX, now).unwrap();
        for key in 0..GENERATION {
            buckets.take(key, now).unwrap();
        }
        assert_eq!(buckets.take(usize::MAX, now), Err(SECOND));
    }
}
