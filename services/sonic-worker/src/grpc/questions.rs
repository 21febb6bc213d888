use std::{
    collections::HashMap,
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
    /// Waits until the call has been asked about, or nobody can be expected to ask any more.
    pub async fn await_question(&self, call: &CallSid) {
        let (asked, question) = oneshot::channel();
        // An earlier leg's wait ends with this.
        self.calls().insert(call.clone(), asked);
        let asked = tokio::time::timeout(ASKED_WITHIN, question).await;
        if asked.is_err() {
            self.calls().remove(call);
        }
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

#[cfg(test)]
mod tests {
    use offhook_hosting::clock::Clock;

    use super::*;

    fn call() -> CallSid {
        CallSid::try_from(format!("CA{}", "0".repeat(32))).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_ends_the_wait_and_so_does_its_time() {
        let questions = Questions::default();
        let (waiting, started) = (questions.clone(), Clock.now());
        let wait = tokio::spawn(async move { waiting.await_question(&call()).await });
        tokio::task::yield_now().await;
        questions.asked(&call());
        wait.await.unwrap();
        assert_eq!(Clock.now(), started);
        questions.await_question(&call()).await;
        assert_eq!(Clock.now() - started, ASKED_WITHIN);
        assert!(questions.calls().is_empty());
    }
}
