//! A worker over gRPC: one HTTP/2 connection for all legs, opened when first used and again after a loss.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt, TryFutureExt};
use http::Uri;
use offhook_hosting::telemetry::send_trace;
use offhook_proto::voice::v1::{
    BriefingRequest, BriefingResponse, ClaimOutboundRequest, FromEdge, NextStepRequest, NextStepResponse,
    ReportRequest, ReserveRequest, SettleOutboundRequest, calls_client::CallsClient, claim_outbound_response::Verdict,
    conversations_client::ConversationsClient,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint},
};
use tracing::Span;

use super::{Answer, FromWorker, Worker};
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

    fn ask<T>(&self, span: &Span, question: T) -> (CallsClient<Channel>, Request<T>) {
        let mut request = Request::new(question);
        send_trace(span, request.metadata_mut());
        (CallsClient::new(self.channel.clone()), request)
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

    fn reserve(&self, span: &Span, call: &CallSid) -> Answer<()> {
        let (mut calls, request) = self.ask(span, ReserveRequest { call_sid: call.to_string() });
        async move { calls.reserve(request).await.map(drop) }.boxed()
    }

    fn next_step(&self, span: &Span, call: &CallSid) -> Answer<NextStepResponse> {
        let (mut calls, request) = self.ask(span, NextStepRequest { call_sid: call.to_string() });
        async move { calls.next_step(request).await.map(Response::into_inner) }.boxed()
    }

    fn briefing(&self, span: &Span, call: &CallSid) -> Answer<BriefingResponse> {
        let (mut calls, request) = self.ask(span, BriefingRequest { call_sid: call.to_string() });
        async move { calls.briefing(request).await.map(Response::into_inner) }.boxed()
    }

    fn report(&self, span: &Span, report: ReportRequest) -> Answer<()> {
        let (mut calls, request) = self.ask(span, report);
        async move { calls.report(request).await.map(drop) }.boxed()
    }

    fn claim_outbound(&self, span: &Span, claim: ClaimOutboundRequest) -> Answer<Verdict> {
        let (mut calls, request) = self.ask(span, claim);
        let verdict = async move { calls.claim_outbound(request).await?.into_inner().verdict.ok_or_else(no_verdict) };
        verdict.boxed()
    }

    fn settle_outbound(&self, span: &Span, result: SettleOutboundRequest) -> Answer<()> {
        let (mut calls, request) = self.ask(span, result);
        async move { calls.settle_outbound(request).await.map(drop) }.boxed()
    }
}

fn no_verdict() -> Status {
    Status::internal("the worker's answer says nothing")
}
