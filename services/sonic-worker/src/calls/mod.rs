//! What is kept of a call: the record, and the store it is kept in.

mod files;
mod memory;
mod outbound;
mod outcome;
mod record;
mod report;
mod turn;

use std::{pin::Pin, sync::Arc};

pub use files::RecordFiles;
pub use memory::MemoryStore;
pub use outbound::{Claim, IdempotencyKey, Settled};
pub use outcome::{Digits, InvalidDigits, NextStep, Outcome};
pub use record::{CallRecord, CallSid, Direction, Entry, InvalidCallSid, LegNo, Party, Since};
pub use report::{AnsweredBy, CallStatus, Recording, Report, StreamError, TransferEnded};
pub use turn::{Latency, Speaker, ToolRun, Turn, TurnKind};

/// Keeps the records of calls. Every leg of a call may be served by another worker, so what must outlive a leg goes
/// here as soon as it is known.
pub trait CallStore: Send + Sync + 'static {
    /// A leg of the call begins. Keeps what is known of the call from earlier legs; it counts as live again, unless Twilio
    /// said that it is over.
    fn begin(&self, leg: CallRecord) -> StoreFuture<Begun>;

    /// Adds to the record of a call that was begun. An entry for an unknown call is lost, with an error.
    fn append(&self, call: CallSid, entry: Entry) -> StoreFuture<()>;

    /// A call was placed: its record begins, if no leg was there first.
    fn place(&self, call: CallRecord) -> StoreFuture<()>;

    /// Asks whether a call may be placed for a request with this key. The fingerprint is of what was asked for.
    fn claim_outbound(&self, key: IdempotencyKey, fingerprint: Vec<u8>) -> StoreFuture<Claim>;

    /// Says what became of a claimed request.
    fn settle_outbound(&self, key: IdempotencyKey, settled: Settled) -> StoreFuture<()>;

    /// The record as it stands, or `None` when the call is unknown or was forgotten.
    fn record(&self, call: &CallSid) -> StoreFuture<Option<CallRecord>>;
}

/// What a leg that begins has to know.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Which it is.
    pub leg: LegNo,
    /// The record as it was before, if there was one.
    pub before: Option<CallRecord>,
}

impl Begun {
    /// Whether the call was over before this leg began.
    pub fn is_over(&self) -> bool {
        self.before.as_ref().is_some_and(CallRecord::is_over)
    }
}

/// What a [`CallStore`] answers with. It borrows nothing, so that a leg can go on while the store is at work.
pub type StoreFuture<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// The store, shared by all calls of a worker.
pub type SharedStore = Arc<dyn CallStore>;

/// The store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The call was never begun, or was forgotten.
    #[error("no such call here")]
    UnknownCall,
    /// A key must not be used for anything else.
    #[error("idempotency_key was used for another request")]
    KeyOfAnotherRequest,
    /// Until the oldest are forgotten.
    #[error("too many idempotency keys are remembered")]
    TooManyKeys,
    /// The key was never claimed, or was forgotten.
    #[error("nothing was claimed with this idempotency_key here")]
    NothingClaimed,
}
