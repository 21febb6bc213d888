use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};
use tokio_stream::{Stream, StreamExt};

use crate::calls::CallSid;

/// Texts that may wait for one call. Few: what is told late is told to another situation.
const CAPACITY: usize = 4;

/// The calls that a worker has now, and the way to tell their models something, or to end them.
#[derive(Clone, Debug, Default)]
pub struct LiveCalls(Arc<Mutex<HashMap<CallSid, Live>>>);

#[derive(Debug)]
struct Live {
    texts: mpsc::Sender<String>,
    /// Gone once the call was told that it is over.
    over: Option<oneshot::Sender<()>>,
}

/// Why a call was not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTold {
    /// It is not live here.
    #[error("no such live call here")]
    NoSuchCall,
    /// It has been told too much already that it has not taken in.
    #[error("too many texts wait for this call: try again in a second")]
    Full,
}

impl LiveCalls {
    /// The call is live from now on. A newer leg takes an older one's place.
    pub fn begin(&self, call: &CallSid) -> LiveCall {
        let (sender, texts) = mpsc::channel(CAPACITY);
        let (over, is_over) = oneshot::channel();
        self.calls().insert(call.clone(), Live { texts: sender, over: Some(over) });
        LiveCall { calls: self.clone(), call: call.clone(), texts, is_over: Some(is_over) }
    }

    /// Tells the call's model.
    ///
    /// # Errors
    /// If nobody is there to be told, or too many texts wait.
    pub fn tell(&self, call: &CallSid, text: String) -> Result<(), NotTold> {
        let calls = self.calls();
        let live = calls.get(call).ok_or(NotTold::NoSuchCall)?;
        live.texts.try_send(text).map_err(|error| match error {
            TrySendError::Full(_) => NotTold::Full,
            TrySendError::Closed(_) => NotTold::NoSuchCall,
        })
    }

    /// The call is over, if it is live here: its leg ends.
    pub fn end(&self, call: &CallSid) {
        if let Some(over) = self.calls().get_mut(call).and_then(|live| live.over.take()) {
            // A leg that has ended need not be told.
            let _ = over.send(());
        }
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<CallSid, Live>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A live call, as the texts that it is told; no longer live when it is dropped.
#[derive(Debug)]
pub struct LiveCall {
    calls: LiveCalls,
    call: CallSid,
    texts: mpsc::Receiver<String>,
    is_over: Option<oneshot::Receiver<()>>,
}

impl LiveCall {
    /// Something only if it was told that the call is over. Nothing when asked for a second time.
    pub fn over(&mut self) -> impl Stream<Item = ()> + use<> {
        let is_over = self.is_over.take();
        futures_util::stream::iter(is_over).then(std::convert::identity).filter_map(Result::ok)
    }
}

impl Stream for LiveCall {
    type Item = String;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<String>> {
        self.texts.poll_recv(context)
    }
}

impl Drop for LiveCall {
    fn drop(&mut self) {
        let mut calls = self.calls.calls();
        // Closed only where this is still the leg that is told.
        self.texts.close();
        if calls.get(&self.call).is_some_and(|live| live.texts.is_closed()) {
            calls.remove(&self.call);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> CallSid {
        CallSid::try_from(format!("CA{}", "0".repeat(32))).unwrap()
    }

    #[test]
    fn only_a_live_call_is_told_and_only_so_much_at_a_time() {
        let calls = LiveCalls::default();
        assert_eq!(calls.tell(&call(), "early".into()), Err(NotTold::NoSuchCall));
        let mut live = calls.begin(&call());
        for nth in 0..CAPACITY {
            assert_eq!(calls.tell(&call(), nth.to_string()), Ok(()));
        }
        assert_eq!(calls.tell(&call(), "one more".into()), Err(NotTold::Full));
        assert_eq!(live.texts.try_recv().unwrap(), "0");
        assert_eq!(calls.tell(&call(), "one more".into()), Ok(()));
        drop(live);
        assert_eq!(calls.tell(&call(), "late".into()), Err(NotTold::NoSuchCall));
        assert!(calls.calls().is_empty());
    }

    #[tokio::test]
    async fn a_call_that_is_over_is_told_so_once_and_only_its_newest_leg() {
        let calls = LiveCalls::default();
        calls.end(&call());
        let (mut older, mut newer) = (calls.begin(&call()), calls.begin(&call()));
        let (mut of_older, mut of_newer) = (Box::pin(older.over()), Box::pin(newer.over()));
        calls.end(&call());
        calls.end(&call());
        assert_eq!((of_newer.next().await, of_newer.next().await), (Some(()), None));
        assert_eq!(of_older.next().await, None);
    }

    #[test]
    fn a_newer_leg_is_told_and_an_older_one_that_ends_does_not_take_it_away() {
        let calls = LiveCalls::default();
        let (mut older, mut newer) = (calls.begin(&call()), calls.begin(&call()));
        calls.tell(&call(), "hello".into()).unwrap();
        assert!(older.texts.try_recv().is_err());
        drop(older);
        calls.tell(&call(), "again".into()).unwrap();
        assert_eq!(
            (newer.texts.try_recv().unwrap(), newer.texts.try_recv().unwrap()),
            ("hello".into(), "again".into())
        );
    }
}
