//! Calls about which Twilio is going to ask something, and what is to be remembered until then.
//!
//! A draining edge stays for such a question, because its listener may be the only one that is left.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

use crate::{twilio::sid::CallSid, worker::WorkerId};

/// The calls whose media socket is open or was closed by this edge: Twilio asks, within a second or so after the close,
/// what to do with them. The note is the worker to ask first.
pub type Farewells = Awaited<Option<WorkerId>>;

/// The calls that are waited for, each with a note.
///
/// Clones share the same state. There are never more calls in it than there are [`Awaiting`]s.
pub struct Awaited<N>(Arc<Mutex<State<N>>>);

struct State<N> {
    next_id: u64,
    calls: HashMap<CallSid, Entry<N>>,
}

struct Entry<N> {
    id: u64,
    happened: oneshot::Sender<()>,
    note: N,
}

/// One who waits for a call. Forgets it when dropped, unless someone newer waits for it.
pub struct Awaiting<N: Clone + Default> {
    awaited: Awaited<N>,
    call: CallSid,
    id: u64,
    happened: oneshot::Receiver<()>,
}

impl<N: Clone + Default> Awaited<N> {
    /// Waits for `call` from now on. Whoever waited for it before waits no longer.
    pub fn expect(&self, call: &CallSid) -> Awaiting<N> {
        let (sender, happened) = oneshot::channel();
        let id = self.with(|state| {
            state.next_id += 1;
            let entry = Entry { id: state.next_id, happened: sender, note: N::default() };
            state.calls.insert(call.clone(), entry);
            state.next_id
        });
        Awaiting { awaited: self.clone(), call: call.clone(), id, happened }
    }

    /// What was waited for has happened to `call`.
    pub fn happened(&self, call: &CallSid) {
        if let Some(entry) = self.with(|state| state.calls.remove(call)) {
            // Nobody waits any more: fine.
            let _ = entry.happened.send(());
        }
    }

    /// The note beside `call`; the default where nobody waits for it.
    pub fn note(&self, call: &CallSid) -> N {
        self.with(|state| state.calls.get(call).map(|entry| entry.note.clone())).unwrap_or_default()
    }

    /// How many calls are waited for.
    pub fn count(&self) -> usize {
        self.with(|state| state.calls.len())
    }
}

impl<N> Awaited<N> {
    /// No code that holds the lock can leave the state half changed, so a poisoned one is as good as any.
    fn with<T>(&self, use_it: impl FnOnce(&mut State<N>) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<N: Clone + Default> Awaiting<N> {
    /// Writes down what [`Awaited::note`] gives.
    pub fn set_note(&self, note: N) {
        self.awaited.with(|state| {
            if let Some(entry) = state.calls.get_mut(&self.call).filter(|entry| entry.id == self.id) {
                entry.note = note;
            }
        });
    }

    /// Completes when it has happened, or when someone newer waits for the call.
    pub async fn happened(&mut self) {
        let _ = (&mut self.happened).await;
    }
}

impl<N: Clone + Default> Drop for Awaiting<N> {
    fn drop(&mut self) {
        self.awaited.with(|state| {
            if state.calls.get(&self.call).is_some_and(|entry| entry.id == self.id) {
                state.calls.remove(&self.call);
            }
        });
    }
}

impl<N> Clone for Awaited<N> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<N> Default for Awaited<N> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { next_id: 0, calls: HashMap::new() })))
    }
}

impl<N> fmt::Debug for Awaited<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Awaited").field("calls", &self.with(|state| state.calls.len())).finish()
    }
}

impl<N: Clone + Default> fmt::Debug for Awaiting<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Awaiting").field("call", &self.call).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn call() -> CallSid {
        "CA00000000000000000000000000000002".parse().unwrap()
    }

    #[test]
    fn a_call_is_waited_for_until_it_happens_or_is_forgotten() {
        let farewells = Farewells::default();
        let mut waits = farewells.expect(&call());
        assert_eq!(waits.happened().now_or_never(), None);
        farewells.happened(&call());
        assert_eq!(waits.happened().now_or_never(), Some(()));
        drop(waits);
        drop(farewells.expect(&call()));
        assert_eq!(farewells.count(), 0);
    }

    #[test]
    fn the_newest_leg_of_a_call_is_the_one_that_counts() {
        let (farewells, worker) = (Farewells::default(), Some(WorkerId::from_bytes(*b"worker 2")));
        let mut older = farewells.expect(&call());
        let mut newer = farewells.expect(&call());
        assert_eq!(older.happened().now_or_never(), Some(()));
        newer.set_note(worker);
        older.set_note(None);
        drop(older);
        assert_eq!(farewells.note(&call()), worker);
        farewells.happened(&call());
        assert_eq!(newer.happened().now_or_never(), Some(()));
        assert_eq!(farewells.note(&call()), None);
    }
}
