use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use offhook_hosting::clock::Clock;

use super::{
    Begun, CallRecord, CallSid, CallStore, Claim, Entry, IdempotencyKey, NextStep, Settled, StoreError, StoreFuture,
    outbound::Claims,
};

/// How long an ended call can still be asked for.
const KEEP_ENDED: Duration = Duration::from_secs(600);
/// How long a call is kept that goes on without a leg, such as with a human: as long as Twilio lets calls last.
const KEEP_GOING_ON: Duration = Duration::from_secs(4 * 3_600);

/// Keeps records in this process's memory: calls while they last, and ended ones for ten minutes. Gone with the process.
#[derive(Debug)]
pub struct MemoryStore {
    clock: Clock,
    calls: Mutex<HashMap<CallSid, Kept>>,
    claims: Mutex<Claims>,
}

#[derive(Debug)]
struct Kept {
    record: CallRecord,
    /// When something was last added.
    changed: Instant,
}

impl Kept {
    /// For how long after the last change; `None`: as long as the leg lasts.
    fn keep_for(&self) -> Option<Duration> {
        let goes_on = match self.record.next_step {
            NextStep::HangUp { .. } => !self.record.has_begun(),
            NextStep::Transfer { .. } | NextStep::SendDigits { .. } | NextStep::Reattach => true,
        };
        match (self.record.is_live(), goes_on && !self.record.is_over()) {
            (true, _) => None,
            (false, true) => Some(KEEP_GOING_ON),
            (false, false) => Some(KEEP_ENDED),
        }
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new(clock: Clock) -> Self {
        Self { clock, calls: Mutex::default(), claims: Mutex::default() }
    }

    /// The calls that are not to be forgotten yet. No lock is held over an await, and no panic leaves a record half
    /// written, so a poisoned lock is as good as a sound one.
    fn calls(&self) -> MutexGuard<'_, HashMap<CallSid, Kept>> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        calls.retain(|_, kept| kept.keep_for().is_none_or(|keep| now.duration_since(kept.changed) < keep));
        calls
    }

    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CallStore for MemoryStore {
    fn begin(&self, leg: CallRecord) -> StoreFuture<Begun> {
        let mut calls = self.calls();
        let before = calls.get(&leg.call_sid).map(|kept| kept.record.clone());
        let changed = self.clock.now();
        let kept = calls.entry(leg.call_sid.clone()).or_insert_with(|| Kept { record: leg.clone(), changed });
        kept.changed = changed;
        let leg = kept.record.begin_leg(leg);
        Box::pin(std::future::ready(Ok(Begun { leg, before })))
    }

    fn append(&self, call: CallSid, entry: Entry) -> StoreFuture<()> {
        let now = self.clock.now();
        let applied = match self.calls().get_mut(&call) {
            Some(kept) => {
                kept.changed = now;
                kept.record.apply(entry);
                Ok(())
            }
            None => Err(StoreError::UnknownCall),
        };
        Box::pin(std::future::ready(applied))
    }

    fn place(&self, call: CallRecord) -> StoreFuture<()> {
        let changed = self.clock.now();
        self.calls().entry(call.call_sid.clone()).or_insert(Kept { record: call, changed });
        Box::pin(std::future::ready(Ok(())))
    }

    fn claim_outbound(&self, key: IdempotencyKey, fingerprint: Vec<u8>) -> StoreFuture<Claim> {
        let claim = self.claims().claim(key, fingerprint, self.clock.now());
        Box::pin(std::future::ready(claim))
    }

    fn settle_outbound(&self, key: IdempotencyKey, settled: Settled) -> StoreFuture<()> {
        let settled = self.claims().settle(&key, settled);
        Box::pin(std::future::ready(settled))
    }

    fn record(&self, call: &CallSid) -> StoreFuture<Option<CallRecord>> {
        let record = self.calls().get(call).map(|kept| kept.record.clone());
        Box::pin(std::future::ready(Ok(record)))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        calls::{CallStatus, Direction, LegNo, Outcome, Report},
        nova::Usage,
        prices::Prices,
    };

    fn record() -> CallRecord {
        let call_sid = CallSid::try_from(format!("CA{}", "0".repeat(32))).unwrap();
        let hang_up = NextStep::HangUp { say: None };
        CallRecord::new(call_sid, "demo".into(), Direction::Inbound, Timestamp::UNIX_EPOCH, hang_up)
    }

    fn ended(leg: LegNo, outcome: Outcome, next_step: NextStep) -> Entry {
        Entry::Ended { leg, at: Timestamp::UNIX_EPOCH, outcome, next_step }
    }

    fn hung_up(leg: LegNo) -> Entry {
        ended(leg, Outcome::CallerHungUp, NextStep::HangUp { say: None })
    }

    fn used(input_text_tokens: u64) -> Entry {
        let usage = Usage { input_text_tokens, ..Usage::default() };
        Entry::Usage { usage, cost: Prices::default().cost(usage) }
    }

    #[tokio::test(start_paused = true)]
    async fn an_ended_call_is_kept_for_ten_minutes_and_a_live_one_for_as_long_as_it_lasts() {
        let (store, call) = (MemoryStore::new(Clock), record());
        store.begin(call.clone()).await.unwrap();
        tokio::time::advance(KEEP_ENDED * 2).await;
        store.append(call.call_sid.clone(), hung_up(LegNo::FIRST)).await.unwrap();
        // The tokens of a session are known only after its end.
        store.append(call.call_sid.clone(), used(0)).await.unwrap();
        tokio::time::advance(KEEP_ENDED - Duration::from_secs(1)).await;
        let kept = store.record(&call.call_sid).await.unwrap().unwrap();
        assert_eq!(kept.outcome, Some(Outcome::CallerHungUp));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(store.record(&call.call_sid).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_second_leg_goes_on_with_the_record_of_the_first() {
        let (store, call) = (MemoryStore::new(Clock), record());
        for _ in 0..2 {
            let leg = store.begin(call.clone()).await.unwrap().leg;
            store.append(call.call_sid.clone(), used(500_000)).await.unwrap();
            store.append(call.call_sid.clone(), hung_up(leg)).await.unwrap();
        }
        let both = store.record(&call.call_sid).await.unwrap().unwrap();
        assert_eq!((both.usage.input_text_tokens, both.cost_usd.to_string().as_str()), (1_000_000, "0.330000"));
        let apology = NextStep::HangUp { say: Some("sorry".into()) };
        store.begin(CallRecord { next_step: apology.clone(), ..call.clone() }).await.unwrap();
        assert_eq!(store.record(&call.call_sid).await.unwrap().unwrap().next_step, apology);
    }

    #[tokio::test]
    async fn an_unknown_call_takes_no_entries() {
        assert!(MemoryStore::new(Clock).append(record().call_sid, used(1)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_with_a_human_is_kept_for_as_long_as_calls_last_or_until_twilio_says_that_it_is_over() {
        let (store, call) = (MemoryStore::new(Clock), record());
        let sid = call.call_sid.clone();
        let leg = store.begin(call).await.unwrap().leg;
        let transfer = NextStep::Transfer { reason: None, say: None };
        store.append(sid.clone(), ended(leg, Outcome::Transferred, transfer)).await.unwrap();
        tokio::time::advance(KEEP_GOING_ON - Duration::from_secs(1)).await;
        assert!(store.record(&sid).await.unwrap().is_some());
        let status = CallStatus::from("completed".to_owned());
        let report = Report::Progress { status, sequence_number: None, duration_s: None, sip_response_code: None };
        let reported = Entry::Reported { at: Timestamp::UNIX_EPOCH, report };
        store.append(sid.clone(), reported).await.unwrap();
        tokio::time::advance(KEEP_ENDED - Duration::from_secs(1)).await;
        assert!(store.record(&sid).await.unwrap().is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(store.record(&sid).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_leg_that_a_newer_one_has_followed_does_not_end_the_call() {
        let (store, call) = (MemoryStore::new(Clock), record());
        let first = store.begin(call.clone()).await.unwrap();
        assert!(first.before.is_none());
        let second = store.begin(call.clone()).await.unwrap();
        assert!(second.before.is_some_and(|before| before.is_live()));
        store.append(call.call_sid.clone(), hung_up(first.leg)).await.unwrap();
        assert!(store.record(&call.call_sid).await.unwrap().unwrap().is_live());
        store.append(call.call_sid.clone(), hung_up(second.leg)).await.unwrap();
        assert_eq!(store.record(&call.call_sid).await.unwrap().unwrap().outcome, Some(Outcome::CallerHungUp));
    }
}
