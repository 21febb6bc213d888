use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use offhook_hosting::clock::Clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::calls::CallSid;

/// Twilio opens a call's media stream within a second of the document that says so, and of the keys that are played first:
/// 32 of half a second each. The caller may have hung up instead.
const HOLD: Duration = Duration::from_secs(20);
/// How often a place is held for a call whose leg does not come. Twilio asks once for a call that arrives and twice for one
/// that waits, and may repeat itself; whoever replays its requests does so for ever.
const MOST_HOLDS: u32 = 4;
/// How long holds in vain are remembered.
const REMEMBER: Duration = Duration::from_secs(600);
/// Calls with holds in vain that are remembered. Beyond that all are forgotten.
const CAPACITY: usize = 8192;

/// The legs that a worker can serve at a time. A place may be held for a call before its leg attaches.
#[derive(Clone, Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    held: Arc<Mutex<HashMap<CallSid, Held>>>,
    legs: Arc<Mutex<HashMap<CallSid, Weak<OwnedSemaphorePermit>>>>,
    in_vain: Arc<Mutex<HashMap<CallSid, InVain>>>,
    clock: Clock,
}

/// A place that is taken, until this is dropped. A call's next leg shares it with the last one, whose model session may still
/// be closing when Twilio asks what comes next.
pub type Place = Arc<OwnedSemaphorePermit>;

#[derive(Debug)]
struct Held {
    place: Place,
    until: Instant,
}

/// Holds for a call since it last had a leg.
#[derive(Debug)]
struct InVain {
    count: u32,
    since: Instant,
}

impl Places {
    /// So many places.
    pub fn new(count: usize, clock: Clock) -> Self {
        let (held, legs, in_vain) = (Arc::default(), Arc::default(), Arc::default());
        Self { free: Arc::new(Semaphore::new(count)), held, legs, in_vain, clock }
    }

    /// Holds a place for the call; whether it could. One that is held already is held anew, but not for ever.
    pub fn hold(&self, call: &CallSid) -> bool {
        let (mut held, mut in_vain) = (self.held(), self.in_vain());
        let now = self.clock.now();
        let before = in_vain.get(call).map_or(0, |holds| holds.count);
        if let Some(held) = held.get_mut(call) {
            if before < MOST_HOLDS {
                held.until = now + HOLD;
            }
        } else {
            if before >= MOST_HOLDS {
                return false;
            }
            let Some(place) = self.of_leg(call).or_else(|| self.free_one()) else { return false };
            held.insert(call.clone(), Held { place, until: now + HOLD });
        }
        in_vain.entry(call.clone()).or_insert(InVain { count: 0, since: now }).count += 1;
        true
    }

    /// The place that is held for the call, or a free one.
    pub fn take(&self, call: &CallSid) -> Option<Place> {
        self.in_vain().remove(call);
        let held = self.held().remove(call);
        let place = held.map(|held| held.place).or_else(|| self.free_one())?;
        self.legs().insert(call.clone(), Arc::downgrade(&place));
        Some(place)
    }

    /// Whether a place is held for the call.
    pub fn is_held(&self, call: &CallSid) -> bool {
        self.held().contains_key(call)
    }

    /// Whether a place is held for any call.
    pub fn any_held(&self) -> bool {
        !self.held().is_empty()
    }

    /// Whether a call could get a place, if it is the right one.
    pub fn may_have_one(&self) -> bool {
        self.any_held() || self.free.available_permits() > 0
    }

    fn free_one(&self) -> Option<Place> {
        Arc::clone(&self.free).try_acquire_owned().ok().map(Arc::new)
    }

    /// The place of a leg of this call that is not over yet.
    fn of_leg(&self, call: &CallSid) -> Option<Place> {
        self.legs().get(call)?.upgrade()
    }

    /// The places of all legs.
    fn legs(&self) -> MutexGuard<'_, HashMap<CallSid, Weak<OwnedSemaphorePermit>>> {
        let mut legs = self.legs.lock().unwrap_or_else(PoisonError::into_inner);
        legs.retain(|_, place| place.strong_count() > 0);
        legs
    }

    /// What is held and still wanted.
    fn held(&self) -> MutexGuard<'_, HashMap<CallSid, Held>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        held.retain(|_, held| now < held.until);
        held
    }

    /// What is remembered of holds in vain. Whoever needs both takes this lock second.
    fn in_vain(&self) -> MutexGuard<'_, HashMap<CallSid, InVain>> {
        let mut in_vain = self.in_vain.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        if in_vain.len() >= CAPACITY {
            in_vain.clear();
        }
        in_vain.retain(|_, holds| now < holds.since + REMEMBER);
        in_vain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(number: u8) -> CallSid {
        CallSid::try_from(format!("CA{number:032}")).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_held_for_one_call_and_not_for_long() {
        let places = Places::new(1, Clock);
        assert!(places.hold(&call(1)) && places.is_held(&call(1)));
        assert!(!places.hold(&call(2)) && places.take(&call(2)).is_none());
        tokio::time::advance(HOLD - Duration::from_secs(1)).await;
        assert!(places.hold(&call(1)), "held anew");
        tokio::time::advance(HOLD - Duration::from_secs(1)).await;
        assert!(places.may_have_one() && !places.hold(&call(2)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(places.hold(&call(2)), "the first one did not come");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_replayed_for_ever_does_not_hold_a_place_for_ever() {
        let places = Places::new(1, Clock);
        for _ in 0..MOST_HOLDS {
            assert!(places.hold(&call(1)));
            tokio::time::advance(HOLD - Duration::from_secs(1)).await;
        }
        assert!(places.hold(&call(1)), "still held, but no longer");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!places.hold(&call(1)) && places.hold(&call(2)), "somebody else's by now");
        drop(places.take(&call(2)));
        assert!(places.take(&call(1)).is_some(), "its leg may still come");
        assert!(places.hold(&call(1)), "a call that had a leg is believed anew");
    }

    #[tokio::test(start_paused = true)]
    async fn holds_in_vain_are_forgotten_after_a_while_and_do_not_pile_up() {
        let places = Places::new(1, Clock);
        for _ in 0..MOST_HOLDS {
            assert!(places.hold(&call(1)));
            tokio::time::advance(HOLD).await;
        }
        assert!(!places.hold(&call(1)));
        tokio::time::advance(REMEMBER).await;
        assert!(places.hold(&call(1)));
        let many = Places::new(2 * CAPACITY, Clock);
        for number in 0..=CAPACITY {
            assert!(many.hold(&CallSid::try_from(format!("CA{number:032}")).unwrap()));
        }
        assert!(many.in_vain().len() <= CAPACITY);
    }

    #[test]
    fn a_call_whose_leg_is_still_closing_keeps_its_place_for_the_next() {
        let places = Places::new(1, Clock);
        let closing = places.take(&call(1)).unwrap();
        assert!(!places.hold(&call(2)) && places.hold(&call(1)));
        drop(closing);
        assert!(!places.hold(&call(2)), "it is held");
        let next = places.take(&call(1)).unwrap();
        assert!(!places.hold(&call(2)));
        drop(next);
        assert!(places.hold(&call(2)) && !places.hold(&call(1)));
    }

    #[test]
    fn who_holds_a_place_takes_it_and_who_does_not_takes_a_free_one() {
        let places = Places::new(2, Clock);
        assert!(places.hold(&call(1)));
        let taken = (places.take(&call(2)), places.take(&call(1)));
        assert!(taken.0.is_some() && taken.1.is_some() && !places.may_have_one());
        assert!(places.take(&call(3)).is_none());
        drop(taken);
        assert!(places.take(&call(3)).is_some());
    }
}
