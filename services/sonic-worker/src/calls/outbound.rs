//! Requests to place calls, by the idempotency key that each came with: whoever asks twice gets one call.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

use super::{CallSid, StoreError};

/// How long a key is remembered.
const KEEP: Duration = Duration::from_secs(24 * 3_600);
/// How long placing a call may take before nobody knows what became of it.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);
/// More than one a second for a day.
const MOST_KEYS: usize = 100_000;

/// A request's idempotency key. Whoever asks chooses it, so it shows itself in no log.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl From<String> for IdempotencyKey {
    fn from(key: String) -> Self {
        Self(key)
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey")
    }
}

/// Whether a call may be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Place it, then say what became of it.
    Place,
    /// Somebody is placing it now.
    BeingPlaced,
    /// It was placed.
    Placed(CallSid),
    /// It may have been placed.
    Unknown,
}

/// What became of a claimed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The call was placed.
    Placed(CallSid),
    /// None was: the key may be used again.
    NotPlaced,
    /// It may have been.
    Unknown,
}

/// The keys of the last day.
#[derive(Debug, Default)]
pub(super) struct Claims(HashMap<IdempotencyKey, Claimed>);

#[derive(Debug)]
struct Claimed {
    fingerprint: Vec<u8>,
    at: Instant,
    state: State,
}

#[derive(Debug)]
enum State {
    Placing,
    Placed(CallSid),
    Unknown,
}

impl Claims {
    pub(super) fn claim(
        &mut self,
        key: IdempotencyKey,
        fingerprint: Vec<u8>,
        now: Instant,
    ) -> Result<Claim, StoreError> {
        if let Some(claimed) = self.0.get(&key).filter(|claimed| claimed.is_kept(now)) {
            return if claimed.fingerprint == fingerprint {
                Ok(claimed.verdict(now))
            } else {
                Err(StoreError::KeyOfAnotherRequest)
            };
        }
        if self.0.len() >= MOST_KEYS {
            self.0.retain(|_, claimed| claimed.is_kept(now));
        }
        if self.0.len() >= MOST_KEYS {
            return Err(StoreError::TooManyKeys);
        }
        self.0.insert(key, Claimed { fingerprint, at: now, state: State::Placing });
        Ok(Claim::Place)
    }

    /// A call that was placed stays placed, whatever is said later.
    pub(super) fn settle(&mut self, key: &IdempotencyKey, settled: Settled) -> Result<(), StoreError> {
        let claimed = self.0.get_mut(key).ok_or(StoreError::NothingClaimed)?;
        match (&claimed.state, settled) {
            (State::Placed(_), _) => {}
            (State::Placing | State::Unknown, Settled::Placed(call)) => claimed.state = State::Placed(call),
            (State::Placing | State::Unknown, Settled::Unknown) => claimed.state = State::Unknown,
            (State::Placing | State::Unknown, Settled::NotPlaced) => drop(self.0.remove(key)),
        }
        Ok(())
    }
}

impl Claimed {
    fn is_kept(&self, now: Instant) -> bool {
        now < self.at + KEEP
    }

    fn verdict(&self, now: Instant) -> Claim {
        match &self.state {
            State::Placing if now < self.at + SETTLED_WITHIN => Claim::BeingPlaced,
            State::Placing | State::Unknown => Claim::Unknown,
            State::Placed(call) => Claim::Placed(call.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use offhook_hosting::clock::Clock;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn call() -> CallSid {
        CallSid::try_from(format!("CA{}", "0".repeat(32))).unwrap()
    }

    fn key(nth: usize) -> IdempotencyKey {
        IdempotencyKey::from(nth.to_string())
    }

    fn claim(claims: &mut Claims, now: Instant) -> Claim {
        claims.claim(key(1), vec![7], now).unwrap()
    }

    #[test]
    fn one_who_asks_is_told_to_place_the_call_and_everybody_else_what_became_of_it() {
        let (mut claims, now) = (Claims::default(), Clock.now());
        assert_eq!(claim(&mut claims, now), Claim::Place);
        assert_eq!(claim(&mut claims, now + 119 * S), Claim::BeingPlaced);
        claims.settle(&key(1), Settled::Placed(call())).unwrap();
        assert_eq!(claim(&mut claims, now + 200 * S), Claim::Placed(call()));
        for late in [Settled::NotPlaced, Settled::Unknown] {
            claims.settle(&key(1), late).unwrap();
            assert_eq!(claim(&mut claims, now + 200 * S), Claim::Placed(call()));
        }
    }

    #[test]
    fn a_claim_that_nobody_settles_is_never_placed_again_for_a_day() {
        let (mut claims, now) = (Claims::default(), Clock.now());
        claim(&mut claims, now);
        assert_eq!(claim(&mut claims, now + SETTLED_WITHIN), Claim::Unknown);
        assert_eq!(claim(&mut claims, now + KEEP - S), Claim::Unknown);
        assert_eq!(claim(&mut claims, now + KEEP), Claim::Place);
    }

    #[test]
    fn a_call_that_was_found_to_have_been_placed_or_not_is_no_longer_unknown() {
        let (mut claims, now) = (Claims::default(), Clock.now());
        claim(&mut claims, now);
        claims.settle(&key(1), Settled::Unknown).unwrap();
        assert_eq!(claim(&mut claims, now), Claim::Unknown);
        claims.settle(&key(1), Settled::NotPlaced).unwrap();
        assert_eq!(claim(&mut claims, now), Claim::Place);
        claims.settle(&key(1), Settled::Unknown).unwrap();
        claims.settle(&key(1), Settled::Placed(call())).unwrap();
        assert_eq!(claim(&mut claims, now), Claim::Placed(call()));
    }

    #[test]
    fn a_key_stands_for_one_request_and_what_was_never_claimed_cannot_be_settled() {
        let (mut claims, now) = (Claims::default(), Clock.now());
        assert!(matches!(claims.settle(&key(1), Settled::NotPlaced), Err(StoreError::NothingClaimed)));
        claim(&mut claims, now);
        assert!(matches!(claims.claim(key(1), vec![8], now), Err(StoreError::KeyOfAnotherRequest)));
    }

    #[test]
    fn when_too_many_keys_are_remembered_no_call_is_placed_until_some_are_a_day_old() {
        let (mut claims, now) = (Claims::default(), Clock.now());
        for nth in 0..MOST_KEYS {
            assert_eq!(claims.claim(key(nth), vec![7], now).unwrap(), Claim::Place);
            claims.settle(&key(nth), Settled::Unknown).unwrap();
        }
        assert!(matches!(claims.claim(key(MOST_KEYS), vec![7], now), Err(StoreError::TooManyKeys)));
        assert_eq!(claims.claim(key(1), vec![7], now).unwrap(), Claim::Unknown, "those are still known");
        assert_eq!(claims.claim(key(MOST_KEYS), vec![7], now + KEEP).unwrap(), Claim::Place);
    }
}
