//! The workers: the port to one of them, its gRPC adapter, and the choice among several.

mod grpc;
mod pool;

use std::{fmt, sync::Arc};

use futures_util::{future::BoxFuture, stream::BoxStream};
use http::Uri;
use offhook_proto::voice::v1::{FromEdge, NextStep, ToEdge};
use tokio::sync::mpsc;
use tonic::Status;
use tracing::Span;

use crate::twilio::sid::CallSid;

pub use grpc::GrpcWorker;
pub use pool::{Lease, WorkerPool};

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

/// One worker.
pub trait Worker: Send + Sync {
    /// Opens a leg's stream. `messages` begins with `Start`; its end is the end of the edge's side. Failing to reach the
    /// worker, or to hear from it within seconds, is the stream's first item: `UNAVAILABLE`. Dropping the stream cancels
    /// the leg.
    fn attach(&self, span: &Span, messages: mpsc::Receiver<FromEdge>) -> FromWorker;

    /// What Twilio should do with a call whose media stream has ended. No deadline of its own.
    fn next_step(&self, span: &Span, call: &CallSid) -> BoxFuture<'static, Result<NextStep, Status>>;
}

/// Makes the port to the worker at an address.
pub type Connect = Arc<dyn Fn(&Uri) -> Arc<dyn Worker> + Send + Sync>;

impl fmt::Debug for dyn Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}
