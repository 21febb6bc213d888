//! What is kept of a call: the record, and the store it is kept in.

mod files;
mod memory;
mod record;

use std::{pin::Pin, sync::Arc};

pub use files::RecordFiles;
pub use memory::MemoryStore;
pub use record::{
    CallRecord, CallSid, Direction, Entry, InvalidCallSid, Latency, NextStep, Outcome, Speaker, ToolRun, Turn, TurnKind,
};

/// Keeps the records of calls. Every leg of a call may be served by another worker, so what must outlive a leg goes
/// here as soon as it is known.
pub trait CallStore: Send + Sync + 'static {
    /// A leg of the call begins. Keeps what is known of the call from earlier legs; it counts as live again.
    fn begin(&self, call: CallRecord) -> StoreFuture<()>;

    /// Adds to the record of a call that was begun. An entry for an unknown call is lost, with an error.
    fn append(&self, call: CallSid, entry: Entry) -> StoreFuture<()>;

    /// The record as it stands, or `None` when the call is unknown or was forgotten.
    fn record(&self, call: &CallSid) -> StoreFuture<Option<CallRecord>>;
}

/// What a [`CallStore`] answers with. It borrows nothing, so that a leg can go on while the store is at work.
pub type StoreFuture<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// The store, shared by all calls of a worker.
pub type SharedStore = Arc<dyn CallStore>;

/// The store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The call was never begun, or was forgotten.
    #[error("the store knows no such call")]
    UnknownCall,
}
