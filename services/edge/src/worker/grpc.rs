//! A worker over gRPC: one HTTP/2 connection for all legs, opened when first used and again after a loss.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt, TryFutureExt, future::BoxFuture};
use http::Uri;
use offhook_hosting::telemetry::send_trace;
use offhook_proto::voice::v1::{
    FromEdge, NextStep, NextStepRequest, calls_client::CallsClient, conversations_client::ConversationsClient,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Status,
    transport::{Channel, Endpoint},
};
use tracing::Span;

use super::{FromWorker, Worker};
use crate::twilio::sid::CallSid;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A worker answers with headers as soon as it has admitted a leg: one that does not is hung.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(2);
/// A host that died says nothing; this is what callers hear of it. One connection per worker, so pings are cheap.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(3);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// The gRPC client of one worker.
#[derive(Clone, Debug)]
pub struct GrpcWorker {
    channel: Channel,
}

impl GrpcWorker {
    /// Connects when first used.
    pub fn new(address: &Uri) -> Self {
        let endpoint = Endpoint::from(address.clone())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        Self { channel: endpoint.connect_lazy() }
    }
}

impl Worker for GrpcWorker {
    fn attach(&self, span: &Span, messages: mpsc::Receiver<FromEdge>) -> FromWorker {
        let mut client = ConversationsClient::new(self.channel.clone());
        let mut request = Request::new(ReceiverStream::new(messages));
        send_trace(span, request.metadata_mut());
        let admitted = async move {
            match timeout(ATTACH_TIMEOUT, client.attach(request)).await {
                Ok(answer) => Ok(answer?.into_inner()),
                Err(_) => Err(Status::unavailable("the worker does not answer")),
            }
        };
        admitted.try_flatten_stream().boxed()
    }

    fn next_step(&self, span: &Span, call: &CallSid) -> BoxFuture<'static, Result<NextStep, Status>> {
        let mut client = CallsClient::new(self.channel.clone());
        let mut request = Request::new(NextStepRequest { call_sid: call.to_string() });
        send_trace(span, request.metadata_mut());
        async move { Ok(client.next_step(request).await?.into_inner().step.unwrap_or_default()) }.boxed()
    }
}
