//! The workers: the port to one of them, its gRPC adapter, and the choice among several.

mod asking;
#[cfg(test)]
mod doubles;
mod grpc;
mod id;
mod pool;

use std::{fmt, sync::Arc};

use futures_util::{future::BoxFuture, stream::BoxStream};
use http::Uri;
use offhook_proto::voice::v1::{
    BriefingResponse, ClaimOutboundRequest, FromEdge, NextStepResponse, ReportRequest, SettleOutboundRequest, ToEdge,
    claim_outbound_response::Verdict,
};
use tokio::sync::mpsc;
use tonic::Status;
use tracing::Span;

use crate::twilio::sid::CallSid;

pub use asking::Claimed;
pub use grpc::GrpcWorker;
pub use id::{NotAWorkerId, WorkerId};
pub use pool::{Lease, Preference, WorkerPool};

/// Where workers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerTarget {
    /// One worker: `http://host:port`.
    Fixed(Uri),
    /// Every address that a name resolves to: `dns://name:port`.
    Name {
        /// Resolved again and again.
        name: String,
        /// The same for all addresses.
        port: u16,
    },
}

impl WorkerTarget {
    /// The worker beside this process.
    pub fn local() -> Self {
        Self::Fixed(Uri::from_static("http://127.0.0.1:50051"))
    }
}

/// What a worker sends on a leg. Ends with the stream's status; an error is its last item.
pub type FromWorker = BoxStream<'static, Result<ToEdge, Status>>;

/// What a worker answers, without a deadline of its own.
pub type Answer<T> = BoxFuture<'static, Result<T, Status>>;

/// One worker. Statuses and what they mean are in `proto/voice/v1`.
pub trait Worker: Send + Sync {
    /// Opens a leg's stream. `messages` begins with `Start`; its end is the end of the edge's side. Failing to reach the
    /// worker, or to hear from it within seconds, is the stream's first item: `UNAVAILABLE`. Dropping the stream cancels
    /// the leg.
    fn attach(&self, span: &Span, messages: mpsc::Receiver<FromEdge>) -> FromWorker;

    /// Holds a place for a call whose media stream is about to be opened.
    fn reserve(&self, span: &Span, call: &CallSid) -> Answer<()>;

    /// What Twilio should do with a call whose media stream, or whose transfer, has ended.
    fn next_step(&self, span: &Span, call: &CallSid) -> Answer<NextStepResponse>;

    /// What a human is told before they take the call.
    fn briefing(&self, span: &Span, call: &CallSid) -> Answer<BriefingResponse>;

    /// Adds to the call's record.
    fn report(&self, span: &Span, report: ReportRequest) -> Answer<()>;

    /// Whether a call may be placed for a request.
    fn claim_outbound(&self, span: &Span, claim: ClaimOutboundRequest) -> Answer<Verdict>;

    /// What became of a claimed request.
    fn settle_outbound(&self, span: &Span, result: SettleOutboundRequest) -> Answer<()>;
}

/// Makes the port to the worker at an address.
pub type Connect = Arc<dyn Fn(&Uri) -> Arc<dyn Worker> + Send + Sync>;

impl fmt::Debug for dyn Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}
