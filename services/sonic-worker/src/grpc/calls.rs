use std::sync::Arc;

use offhook_hosting::{clock::Clock, lifecycle::Lifecycle};
use offhook_proto::voice::v1::{
    BriefingRequest, BriefingResponse, ClaimOutboundRequest, ClaimOutboundResponse, GetRequest, GetResponse,
    NextStepRequest, NextStepResponse, ReportRequest, ReportResponse, ReserveRequest, ReserveResponse,
    SettleOutboundRequest, SettleOutboundResponse, TellRequest, TellResponse, calls_server::Calls,
};
use tonic::{Request, Response, Status};
use tracing::warn;

use super::{LiveCalls, NotTold, Places, Questions, Worker, convert, outbound, reports};
use crate::{
    agent::Agents,
    calls::{CallRecord, CallSid, Direction, Entry, NextStep, RecordFiles, Settled, SharedStore, StoreError},
};

/// Answers questions about calls from the store, and tells live ones.
pub struct CallsService {
    store: SharedStore,
    files: Option<RecordFiles>,
    agents: Agents,
    clock: Clock,
    questions: Questions,
    live_calls: LiveCalls,
    places: Places,
    lifecycle: Lifecycle,
}

impl CallsService {
    /// Answers for `worker`: from its store, and of what Twilio asks and tells its legs learn.
    pub fn new(worker: &Worker) -> Self {
        let Worker { services, agents, places, questions, live_calls, lifecycle, .. } = worker;
        Self {
            store: Arc::clone(&services.store),
            files: services.files.clone(),
            agents: agents.clone(),
            clock: services.clock,
            questions: questions.clone(),
            live_calls: live_calls.clone(),
            places: places.clone(),
            lifecycle: lifecycle.clone(),
        }
    }

    async fn record(&self, call: CallSid) -> Result<CallRecord, Status> {
        let record = self.store.record(&call).await.map_err(refused)?;
        record.ok_or_else(|| refused(StoreError::UnknownCall))
    }

    /// The file of a call that was left behind before is brought up to date; that of a live one is yet to be written.
    async fn write_file(&self, call: &CallSid) {
        let Some(files) = &self.files else { return };
        let record = self.store.record(call).await;
        if record.is_ok_and(|record| record.is_some_and(|record| record.outcome.is_some())) {
            files.write(&*self.store, call).await;
        }
    }
}

#[tonic::async_trait]
impl Calls for CallsService {
    async fn next_step(&self, request: Request<NextStepRequest>) -> Result<Response<NextStepResponse>, Status> {
        let call = convert::call_sid(request.into_inner().call_sid)?;
        self.store.append(call.clone(), Entry::Asked).await.map_err(refused)?;
        let record = self.record(call).await?;
        self.questions.asked(&record.call_sid);
        let step = if record.goes_in_circles() {
            warn!(call.sid = %record.call_sid, "the call does not get where it is sent: it ends");
            self.agents.named(&record.agent).apologise()
        } else {
            record.next_step
        };
        Ok(Response::new(NextStepResponse { step: Some(convert::next_step(step)), agent: record.agent }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let record = self.record(convert::call_sid(request.into_inner().call_sid)?).await?;
        Ok(Response::new(GetResponse { record: Some(convert::record(record)) }))
    }
    async fn tell(&self, request: Request<TellRequest>) -> Result<Response<TellResponse>, Status> {
        let TellRequest { call_sid, text } = request.into_inner();
        let (call, text) = (convert::call_sid(call_sid)?, convert::text_to_tell(&text)?);
        self.live_calls.tell(&call, text).map_err(|error| match error {
            NotTold::NoSuchCall => Status::not_found(error.to_string()),
            NotTold::Full => Status::resource_exhausted(error.to_string()),
        })?;
        Ok(Response::new(TellResponse {}))
    }

    async fn reserve(&self, request: Request<ReserveRequest>) -> Result<Response<ReserveResponse>, Status> {
        let call = convert::call_sid(request.into_inner().call_sid)?;
        if self.lifecycle.is_draining() {
            return Err(Status::unavailable("this worker is draining"));
        }
        if self.places.hold(&call) {
            Ok(Response::new(ReserveResponse {}))
        } else {
            Err(Status::resource_exhausted("all sessions of this worker are in use"))
        }
    }

    async fn briefing(&self, request: Request<BriefingRequest>) -> Result<Response<BriefingResponse>, Status> {
        let record = self.record(convert::call_sid(request.into_inner().call_sid)?).await?;
        let from = record.caller.map(|caller| caller.as_str().to_owned()).unwrap_or_default();
        let reason = match record.next_step {
            NextStep::Transfer { reason, .. } => reason.unwrap_or_default(),
            NextStep::HangUp { .. } | NextStep::SendDigits { .. } | NextStep::Reattach => String::new(),
        };
        Ok(Response::new(BriefingResponse { from, reason }))
    }

    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        let ReportRequest { call_sid, event } = request.into_inner();
        let (call, report) = (convert::call_sid(call_sid)?, reports::report(event)?);
        let is_over = report.ends_the_call();
        let entry = Entry::Reported { at: self.clock.wall(), report };
        self.store.append(call.clone(), entry).await.map_err(refused)?;
        if is_over {
            self.live_calls.end(&call);
        }
        self.write_file(&call).await;
        Ok(Response::new(ReportResponse {}))
    }

    async fn claim_outbound(
        &self,
        request: Request<ClaimOutboundRequest>,
    ) -> Result<Response<ClaimOutboundResponse>, Status> {
        let (key, fingerprint) = outbound::claim(request.into_inner())?;
        let claim = self.store.claim_outbound(key, fingerprint).await.map_err(refused)?;
        Ok(Response::new(outbound::claimed(claim)))
    }

    async fn settle_outbound(
        &self,
        request: Request<SettleOutboundRequest>,
    ) -> Result<Response<SettleOutboundResponse>, Status> {
        let (key, settled, agent) = outbound::settlement(request.into_inner())?;
        if let Some(key) = key {
            self.store.settle_outbound(key, settled.clone()).await.map_err(refused)?;
        }
        if let Settled::Placed(call) = settled {
            let hang_up = NextStep::HangUp { say: None };
            let agent = agent.unwrap_or_else(|| self.agents.default_agent().name.clone());
            let record = CallRecord::new(call, agent, Direction::Outbound, self.clock.wall(), hang_up);
            self.store.place(record).await.map_err(refused)?;
        }
        Ok(Response::new(SettleOutboundResponse {}))
    }
}

fn refused(error: StoreError) -> Status {
    match error {
        StoreError::UnknownCall | StoreError::NothingClaimed => Status::not_found(error.to_string()),
        StoreError::KeyOfAnotherRequest => Status::invalid_argument(error.to_string()),
        StoreError::TooManyKeys => Status::resource_exhausted(error.to_string()),
    }
}
