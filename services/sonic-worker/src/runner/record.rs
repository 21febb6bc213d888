use std::{collections::VecDeque, time::Duration};

use tracing::{info, warn};

use crate::{
    calls::{CallSid, Entry, RecordFiles, SharedStore, StoreFuture},
    metrics::Metrics,
};

/// How long what comes next may take to be written down before the edge is told.
const FLUSH_DEADLINE: Duration = Duration::from_secs(2);

/// Writes a call's record, in order and beside the audio: a slow store holds up nothing but its own queue.
pub(super) struct RecordWriter {
    store: SharedStore,
    call: CallSid,
    metrics: Metrics,
    waiting: VecDeque<Entry>,
    writing: Option<StoreFuture<()>>,
}

impl RecordWriter {
    pub(super) fn new(store: SharedStore, call: CallSid, metrics: Metrics) -> Self {
        Self { store, call, metrics, waiting: VecDeque::new(), writing: None }
    }

    /// Queues an entry. There are a few a turn, so the queue is bounded by what is said while the store is slow.
    pub(super) fn note(&mut self, entry: Entry) {
        self.metrics.noted(&entry);
        if let Entry::Ended { outcome, .. } = &entry {
            info!(call.outcome = outcome.as_str(), "the conversation ended");
        }
        self.waiting.push_back(entry);
    }

    pub(super) fn is_behind(&self) -> bool {
        self.writing.is_some() || !self.waiting.is_empty()
    }

    /// Writes one entry; may be dropped and called again.
    pub(super) async fn write_one(&mut self) {
        if self.writing.is_none() {
            let store = &self.store;
            self.writing = self.waiting.pop_front().map(|entry| store.append(self.call.clone(), entry));
        }
        let Some(writing) = &mut self.writing else { return };
        if let Err(error) = writing.await {
            warn!(%error, "the call's record is not whole");
        }
        self.writing = None;
    }

    /// Writes all that waits.
    pub(super) async fn flush(&mut self) {
        let all = async {
            while self.is_behind() {
                self.write_one().await;
            }
        };
        if tokio::time::timeout(FLUSH_DEADLINE, all).await.is_err() {
            warn!("the store is too slow: the call's record is behind");
        }
    }

    /// Writes all that waits and leaves the record behind as a file.
    pub(super) async fn finish(mut self, files: Option<&RecordFiles>) {
        self.flush().await;
        if let Some(files) = files {
            files.write(&*self.store, &self.call).await;
        }
    }
}
