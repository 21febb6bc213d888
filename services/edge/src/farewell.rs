//! Calls whose media socket this edge closes: Twilio then asks, within a second or so, what to do with them.
//!
//! A draining edge stays for that one question, because its listener may be the only one that is left.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::oneshot;

use crate::twilio::sid::CallSid;

/// The calls that are waited for.
#[derive(Debug, Default)]
pub struct Farewells(Mutex<HashMap<CallSid, oneshot::Sender<()>>>);

impl Farewells {
    /// Completes when Twilio has asked about `call`. Register before the socket closes, and [`Farewells::forget`] after.
    pub fn expect(&self, call: CallSid) -> oneshot::Receiver<()> {
        let (asked, receiver) = oneshot::channel();
        self.with(|calls| calls.insert(call, asked));
        receiver
    }

    /// Twilio has asked about `call`.
    pub fn asked(&self, call: &CallSid) {
        if let Some(asked) = self.with(|calls| calls.remove(call)) {
            // Nobody waits any more: fine.
            let _ = asked.send(());
        }
    }

    /// Forgets `call`, unless a newer leg of it is waited for.
    pub fn forget(&self, call: &CallSid, receiver: oneshot::Receiver<()>) {
        drop(receiver);
        self.with(|calls| {
            if calls.get(call).is_some_and(oneshot::Sender::is_closed) {
                calls.remove(call);
            }
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut HashMap<CallSid, oneshot::Sender<()>>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_waited_for_until_it_is_asked_about_or_forgotten() {
        let (farewells, call) = (Farewells::default(), "CA00000000000000000000000000000002".parse().unwrap());
        let mut older = farewells.expect(CallSid::clone(&call));
        let mut newer = farewells.expect(call.clone());
        assert_eq!(older.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        farewells.forget(&call, older);
        farewells.asked(&call);
        assert_eq!(newer.try_recv(), Ok(()));
        let forgotten = farewells.expect(call.clone());
        farewells.forget(&call, forgotten);
        assert!(farewells.0.lock().unwrap().is_empty());
    }
}
