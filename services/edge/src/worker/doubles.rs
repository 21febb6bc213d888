//! Workers that answer by their address.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt, stream};
use http::Uri;
use offhook_hosting::clock::Clock;
use offhook_proto::voice::v1::{
    BriefingResponse, ClaimOutboundRequest, FromEdge, NextStepResponse, ReportRequest, SettleOutboundRequest,
    claim_outbound_response::Verdict,
};
use tokio::sync::mpsc;
use tonic::Status;
use tracing::Span;

use super::{Answer, Connect, FromWorker, Worker, WorkerPool, WorkerTarget};
use crate::twilio::sid::CallSid;

/// The port says how: 1 knows no call and has no place, 2 is broken, 3 is silent, 4 cannot be reached, others know every
/// call and have a place.
pub(super) struct Double(u16);

impl Double {
    pub(super) fn connect() -> Connect {
        Arc::new(|address| Arc::new(Self(address.port_u16().unwrap())))
    }

    fn answer<T: Send + 'static>(&self, none: Status, known: T) -> Answer<T> {
        match self.0 {
            1 => async { Err(none) }.boxed(),
            2 => async { Err(Status::internal("broken")) }.boxed(),
            3 => std::future::pending().boxed(),
            4 => async { Err(Status::unavailable("gone")) }.boxed(),
            _ => async { Ok(known) }.boxed(),
        }
    }
}

impl Worker for Double {
    fn attach(&self, _: &Span, _: mpsc::Receiver<FromEdge>) -> FromWorker {
        stream::empty().boxed()
    }

    fn reserve(&self, _: &Span, _: &CallSid) -> Answer<()> {
        self.answer(Status::resource_exhausted("full"), ())
    }

    fn next_step(&self, _: &Span, _: &CallSid) -> Answer<NextStepResponse> {
        self.answer(Status::not_found("no such call"), said(self.0))
    }

    fn briefing(&self, _: &Span, _: &CallSid) -> Answer<BriefingResponse> {
        self.answer(Status::not_found("no such call"), BriefingResponse::default())
    }

    fn report(&self, _: &Span, _: ReportRequest) -> Answer<()> {
        self.answer(Status::not_found("no such call"), ())
    }

    fn claim_outbound(&self, _: &Span, _: ClaimOutboundRequest) -> Answer<Verdict> {
        self.answer(Status::resource_exhausted("too many keys"), Verdict::Placed(self.0.to_string()))
    }

    fn settle_outbound(&self, _: &Span, _: SettleOutboundRequest) -> Answer<()> {
        self.answer(Status::not_found("no such claim"), ())
    }
}

/// What the worker at this port says about every call.
pub(super) fn said(port: u16) -> NextStepResponse {
    NextStepResponse { agent: port.to_string(), ..NextStepResponse::default() }
}

pub(super) fn pool(ports: &[u16]) -> WorkerPool {
    let targets = ports.iter().map(|port| WorkerTarget::Fixed(address(*port))).collect();
    WorkerPool::new(targets, Double::connect(), Clock)
}

pub(super) fn address(port: u16) -> Uri {
    format!("http://127.0.0.1:{port}").parse().unwrap()
}
