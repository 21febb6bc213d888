//! A worker whose every word a test decides.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use offhook_proto::voice::v1::{
    Accepted, BriefingRequest, BriefingResponse, ClaimOutboundRequest, ClaimOutboundResponse, FromEdge, GetRequest,
    GetResponse, NextStep, NextStepRequest, NextStepResponse, ReportRequest, ReportResponse, ReserveRequest,
    ReserveResponse, SettleOutboundRequest, SettleOutboundResponse, Start, TellRequest, TellResponse, ToEdge,
    calls_server::{Calls, CallsServer},
    conversations_server::{Conversations, ConversationsServer},
    from_edge, report_request, to_edge,
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

use super::{CALL, soon};

/// A worker on loopback.
pub(crate) struct Worker {
    pub(crate) address: SocketAddr,
    attached: mpsc::Receiver<Leg>,
    known: Arc<Mutex<Known>>,
}

/// What the worker knows of every call, and was told.
#[derive(Default)]
struct Known {
    /// `None`: it knows no call.
    step: Option<NextStep>,
    briefing: BriefingResponse,
    reports: Vec<ReportRequest>,
    reserved: u32,
}

/// A leg as its worker sees it.
pub(crate) struct Leg {
    pub(crate) start: Start,
    messages: Streaming<FromEdge>,
    replies: Option<mpsc::Sender<Result<ToEdge, Status>>>,
}

/// Treats every leg alike.
#[derive(Clone)]
struct Service {
    manner: Manner,
    attached: mpsc::Sender<Leg>,
    known: Arc<Mutex<Known>>,
}

#[derive(Clone, Copy)]
enum Manner {
    Willing,
    /// Promises a place, and refuses the leg.
    Refusing(tonic::Code),
    /// Has no place.
    Full,
    Hung,
}

impl Worker {
    pub(crate) async fn willing() -> Self {
        Self::serving(Manner::Willing).await
    }

    pub(crate) async fn full() -> Self {
        Self::serving(Manner::Full).await
    }

    pub(crate) async fn refusing(code: tonic::Code) -> Self {
        Self::serving(Manner::Refusing(code)).await
    }

    /// Its connections live, but it answers no leg.
    pub(crate) async fn hung() -> Self {
        Self::serving(Manner::Hung).await
    }

    async fn serving(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (attached, legs) = mpsc::channel(8);
        let known = Arc::new(Mutex::new(Known::default()));
        let service = Service { manner, attached, known: known.clone() };
        let server = Server::builder()
            .add_service(ConversationsServer::new(service.clone()))
            .add_service(CallsServer::new(service))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        Self { address, attached: legs, known }
    }

    /// Says what comes next for every call.
    pub(crate) fn decides(&self, step: NextStep) {
        self.known.lock().unwrap().step = Some(step);
    }

    /// Says this to a human who is asked to take a call.
    pub(crate) fn briefs(&self, from: &str, reason: &str) {
        let briefing = BriefingResponse { from: from.to_owned(), reason: reason.to_owned() };
        self.known.lock().unwrap().briefing = briefing;
    }

    /// What was reported since the last time this was asked.
    pub(crate) fn reported(&self) -> Vec<report_request::Event> {
        let reports = std::mem::take(&mut self.known.lock().unwrap().reports);
        let told = |report: ReportRequest| {
            assert_eq!(report.call_sid, CALL);
            report.event.unwrap()
        };
        reports.into_iter().map(told).collect()
    }

    /// How often a place was asked for.
    pub(crate) fn reserved(&self) -> u32 {
        self.known.lock().unwrap().reserved
    }

    /// The next leg, before it is accepted.
    pub(crate) async fn attached(&mut self) -> Leg {
        soon(self.attached.recv()).await.unwrap()
    }

    /// The next leg, accepted.
    pub(crate) async fn accepted(&mut self) -> Leg {
        let leg = self.attached().await;
        leg.send(to_edge::Message::Accepted(Accepted {})).await;
        leg
    }

    /// Whether a leg has come that nobody has looked at.
    pub(crate) fn was_asked(&mut self) -> bool {
        self.attached.try_recv().is_ok()
    }
}

impl Leg {
    pub(crate) async fn send(&self, message: to_edge::Message) {
        let reply = Ok(ToEdge { message: Some(message) });
        soon(self.replies.as_ref().unwrap().send(reply)).await.unwrap();
    }

    /// Ends the stream with a status.
    pub(crate) async fn fail(&mut self, status: Status) {
        soon(self.replies.take().unwrap().send(Err(status))).await.unwrap();
    }

    /// Ends the stream with OK.
    pub(crate) fn finish(&mut self) {
        self.replies = None;
    }

    /// The edge's next message; `None` once its side of the stream is over or lost.
    pub(crate) async fn hears(&mut self) -> Option<from_edge::Message> {
        soon(self.messages.message()).await.ok().flatten()?.message
    }
}

#[tonic::async_trait]
impl Conversations for Service {
    type AttachStream = ReceiverStream<Result<ToEdge, Status>>;

    async fn attach(&self, request: Request<Streaming<FromEdge>>) -> Result<Response<Self::AttachStream>, Status> {
        let mut messages = request.into_inner();
        let Some(FromEdge { message: Some(from_edge::Message::Start(start)) }) = messages.message().await? else {
            return Err(Status::invalid_argument("a leg begins with start"));
        };
        let (replies, stream) = mpsc::channel(8);
        self.attached.try_send(Leg { start, messages, replies: Some(replies) }).unwrap();
        match self.manner {
            Manner::Willing => Ok(Response::new(ReceiverStream::new(stream))),
            Manner::Refusing(code) => Err(Status::new(code, "not here")),
            Manner::Full => Err(Status::resource_exhausted("full")),
            Manner::Hung => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl Calls for Service {
    async fn next_step(&self, _: Request<NextStepRequest>) -> Result<Response<NextStepResponse>, Status> {
        let step = self.known.lock().unwrap().step.clone();
        step.map(|step| Response::new(NextStepResponse { step: Some(step), agent: "demo".into() }))
            .ok_or_else(|| Status::not_found("no such call"))
    }

    async fn get(&self, _: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        Err(Status::unimplemented("not asked by an edge"))
    }

    async fn tell(&self, _: Request<TellRequest>) -> Result<Response<TellResponse>, Status> {
        Err(Status::unimplemented("not asked by an edge"))
    }

    async fn reserve(&self, _: Request<ReserveRequest>) -> Result<Response<ReserveResponse>, Status> {
        self.known.lock().unwrap().reserved += 1;
        match self.manner {
            Manner::Full => Err(Status::resource_exhausted("full")),
            Manner::Willing | Manner::Refusing(_) | Manner::Hung => Ok(Response::new(ReserveResponse {})),
        }
    }

    async fn briefing(&self, request: Request<BriefingRequest>) -> Result<Response<BriefingResponse>, Status> {
        let known = self.known.lock().unwrap();
        if known.step.is_none() || request.get_ref().call_sid != CALL {
            return Err(Status::not_found("no such call"));
        }
        Ok(Response::new(known.briefing.clone()))
    }

    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        let mut known = self.known.lock().unwrap();
        if known.step.is_none() {
            return Err(Status::not_found("no such call"));
        }
        known.reports.push(request.into_inner());
        Ok(Response::new(ReportResponse {}))
    }

    async fn claim_outbound(
        &self,
        _: Request<ClaimOutboundRequest>,
    ) -> Result<Response<ClaimOutboundResponse>, Status> {
        Err(Status::unimplemented("not asked by an edge"))
    }

    async fn settle_outbound(
        &self,
        _: Request<SettleOutboundRequest>,
    ) -> Result<Response<SettleOutboundResponse>, Status> {
        Err(Status::unimplemented("not asked by an edge"))
    }
}
