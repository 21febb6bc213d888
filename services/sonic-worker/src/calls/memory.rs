use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use offhook_hosting::clock::Clock;

use super::{CallRecord, CallSid, CallStore, Entry, StoreError, StoreFuture};

/// How long an ended call can still be asked for.
const KEEP_ENDED: Duration = Duration::from_secs(600);

/// Keeps records in this process's memory: live calls, and ended ones for ten minutes. Gone with the process.
#[derive(Debug)]
pub struct MemoryStore {
    clock: Clock,
    calls: Mutex<HashMap<CallSid, Kept>>,
}

#[derive(Debug)]
struct Kept {
    record: CallRecord,
    ended: Option<Instant>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(clock: Clock) -> Self {
        Self { clock, calls: Mutex::default() }
    }

    /// The calls that are not to be forgotten yet. No lock is held over an await, and no panic leaves a record half
    /// written, so a poisoned lock is as good as a sound one.
    fn calls(&self) -> MutexGuard<'_, HashMap<CallSid, Kept>> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        calls.retain(|_, kept| kept.ended.is_none_or(|ended| now.duration_since(ended) < KEEP_ENDED));
        calls
    }
}

impl CallStore for MemoryStore {
    fn begin(&self, call: CallRecord) -> StoreFuture<()> {
        let mut calls = self.calls();
        let next_step = call.next_step.clone();
        let kept = calls.entry(call.call_sid.clone()).or_insert(Kept { record: call, ended: None });
        kept.ended = None;
        // What was decided on an earlier leg has been done.
        kept.record.next_step = next_step;
        kept.record.ended_at = None;
        kept.record.outcome = None;
        Box::pin(std::future::ready(Ok(())))
    }

    fn append(&self, call: CallSid, entry: Entry) -> StoreFuture<()> {
        let now = self.clock.now();
        let applied = match self.calls().get_mut(&call) {
            Some(kept) => {
                if matches!(entry, Entry::Ended { .. }) {
                    kept.ended = Some(now);
                }
                kept.record.apply(entry);
                Ok(())
            }
            None => Err(StoreError::UnknownCall),
        };
        Box::pin(std::future::ready(applied))
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
        calls::{Direction, NextStep, Outcome},
        nova::Usage,
        prices::{Cost, Prices},
    };

    fn record() -> CallRecord {
        CallRecord {
            call_sid: CallSid::try_from(format!("CA{}", "0".repeat(32))).unwrap(),
            agent: "demo".into(),
            direction: Direction::Inbound,
            started_at: Timestamp::UNIX_EPOCH,
            ended_at: None,
            outcome: None,
            turns: Vec::new(),
            tools: Vec::new(),
            usage: Usage::default(),
            cost_usd: Cost::default(),
            next_step: NextStep::HangUp { say: None },
        }
    }

    fn ended() -> Entry {
        let next_step = NextStep::HangUp { say: None };
        Entry::Ended { at: Timestamp::UNIX_EPOCH, outcome: Outcome::CallerHungUp, next_step }
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
        store.append(call.call_sid.clone(), ended()).await.unwrap();
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
            store.begin(call.clone()).await.unwrap();
            store.append(call.call_sid.clone(), used(500_000)).await.unwrap();
            store.append(call.call_sid.clone(), ended()).await.unwrap();
        }
        let both = store.record(&call.call_sid).await.unwrap().unwrap();
        assert_eq!((both.usage.input_text_tokens, both.cost_usd.to_string().as_str()), (1_000_000, "0.330000"));
        let apology = NextStep::HangUp { say: Some("sorry".into()) };
        store.begin(CallRecord { next_step: apology.clone(), ..call.clone() }).await.unwrap();
        assert_eq!(store.record(&call.call_sid).await.unwrap().unwrap().next_step, apology);
    }

    #[tokio::test]
    async fn an_unknown_call_takes_no_entries() {
        assert!(MemoryStore::new(Clock).append(record().call_sid, ended()).await.is_err());
    }
}
