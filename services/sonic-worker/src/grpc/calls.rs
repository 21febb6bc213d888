use offhook_hosting::lifecycle::Lifecycle;
use offhook_proto::voice::v1::{
    BriefingRequest, BriefingResponse, ClaimOutboundRequest, ClaimOutboundResponse, GetRequest, GetResponse,
    NextStepRequest, NextStepResponse, ReportRequest, ReportResponse, ReserveRequest, ReserveResponse,
    SettleOutboundRequest, SettleOutboundResponse, TellRequest, TellResponse, calls_server::Calls,
};
use tonic::{Request, Response, Status};

use super::{LiveCalls, NotTold, Places, Questions, convert};
use crate::calls::{CallRecord, SharedStore};

/// Answers questions about calls from the store, and tells live ones.
pub struct CallsService {
    store: SharedStore,
    questions: Questions,
    live_calls: LiveCalls,
    places: Places,
    lifecycle: Lifecycle,
}

impl CallsService {
    /// Answers from `store`, tells `questions` what was asked and `live_calls` what they are to be told, and holds `places`
    /// until `lifecycle` drains.
    pub fn new(
        store: SharedStore,
        questions: Questions,
        live_calls: LiveCalls,
        places: Places,
        lifecycle: Lifecycle,
    ) -> Self {
        Self { store, questions, live_calls, places, lifecycle }
    }

    async fn record(&self, call_sid: String) -> Result<CallRecord, Status> {
        let call = convert::call_sid(call_sid)?;
        let record = self.store.record(&call).await.map_err(|error| Status::internal(error.to_string()))?;
        record.ok_or_else(|| Status::not_found("no such call here"))
    }
}

#[tonic::async_trait]
impl Calls for CallsService {
    async fn next_step(&self, request: Request<NextStepRequest>) -> Result<Response<NextStepResponse>, Status> {
        let record = self.record(request.into_inner().call_sid).await?;
        self.questions.asked(&record.call_sid);
        let step = Some(convert::next_step(record.next_step));
        Ok(Response::new(NextStepResponse { step, agent: record.agent }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let record = self.record(request.into_inner().call_sid).await?;
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

    async fn briefing(&self, _: Request<BriefingRequest>) -> Result<Response<BriefingResponse>, Status> {
        Err(Status::unimplemented("not served yet"))
    }

    async fn report(&self, _: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        Err(Status::unimplemented("not served yet"))
    }

    async fn claim_outbound(
        &self,
        _: Request<ClaimOutboundRequest>,
    ) -> Result<Response<ClaimOutboundResponse>, Status> {
        Err(Status::unimplemented("not served yet"))
    }

    async fn settle_outbound(
        &self,
        _: Request<SettleOutboundRequest>,
    ) -> Result<Response<SettleOutboundResponse>, Status> {
        Err(Status::unimplemented("not served yet"))
    }
}
