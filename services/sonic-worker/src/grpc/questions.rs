use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::calls::CallSid;

/// After a leg the edge plays out what was said, closes the socket, and is asked by Twilio: about a second, and more where
/// much was left to play.
const ASKED_WITHIN: Duration = Duration::from_secs(8);

/// The calls that Twilio is about to ask about. A worker that drains stays until it has answered for them: with the
/// store in its memory, nobody else can.
#[derive(Clone, Debug, Default)]
pub struct Questions(Arc<Mutex<HashMap<CallSid, oneshot::Sender<()>>>>);

impl Questions {
    /// Expects a question about the call from now on, because a leg begins. `None` while one is expected already: a call
    /// gets its next leg from the answer to the question about the last, so this one is nobody's.
    pub fn expect(&self, call: &CallSid) -> Option<Question> {
        let mut calls = self.calls();
        let Entry::Vacant(unexpected) = calls.entry(call.clone()) else { return None };
        let (sender, asked) = oneshot::channel();
        unexpected.insert(sender);
        Some(Question { questions: self.clone(), call: call.clone(), asked })
    }

    /// The call was asked about.
    pub fn asked(&self, call: &CallSid) {
        if let Some(waiting) = self.calls().remove(call) {
            // Nobody waits any more: the time was over.
            let _ = waiting.send(());
        }
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<CallSid, oneshot::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that is expected; no longer when it is dropped.
#[derive(Debug)]
pub struct Question {
    questions: Questions,
    call: CallSid,
    asked: oneshot::Receiver<()>,
}

impl Question {
    /// Waits until it was asked, which may be long ago, or nobody can be expected to ask any more.
    pub async fn asked(mut self) {
        let _ = tokio::time::timeout(ASKED_WITHIN, &mut self.asked).await;
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let mut calls = self.questions.calls();
        // Closed only where this is still the one that is waited for.
        self.asked.close();
        if calls.get(&self.call).is_some_and(oneshot::Sender::is_closed) {
            calls.remove(&self.call);
        }
    }
}

#[cfg(test)]
mod tests {
    use offhook_hosting::clock::Clock;

    use super::*;

    fn call() -> CallSid {
        CallSid::try_from(format!("CA{}", "0".repeat(32))).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_ends_the_wait_and_so_does_its_time() {
        let (questions, started) = (Questions::default(), Clock.now());
        let early = questions.expect(&call()).unwrap();
        questions.asked(&call());
        early.asked().await;
        assert_eq!(Clock.now(), started, "it was asked before anybody waited");
        questions.expect(&call()).unwrap().asked().await;
        assert_eq!(Clock.now() - started, ASKED_WITHIN);
        assert!(questions.calls().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_has_its_next_leg_only_once_it_was_asked_about() {
        let (questions, started) = (Questions::default(), Clock.now());
        let older = questions.expect(&call()).unwrap();
        assert!(questions.expect(&call()).is_none());
        questions.asked(&call());
        let newer = questions.expect(&call()).unwrap();
        older.asked().await;
        assert_eq!(Clock.now(), started);
        assert!(questions.expect(&call()).is_none(), "the older one takes nothing from the newer with it");
        drop(newer);
        assert!(questions.expect(&call()).is_some(), "a leg that nothing follows");
    }
}
