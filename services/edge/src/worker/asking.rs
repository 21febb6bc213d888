//! What the edge asks the workers about calls: places, next steps, reports.
//!
//! With a store in their memory only one worker knows a call. A hint says which, and gets a head start; then all others
//! are asked at once, so that a dead one among them costs nobody time.

use std::{pin::pin, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use offhook_proto::voice::v1::{
    BriefingResponse, ClaimOutboundRequest, NextStepResponse, ReportRequest, SettleOutboundRequest,
    claim_outbound_response::Verdict,
};
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};
use tracing::{Span, warn};

use super::{Answer, Worker, WorkerId, WorkerPool, pool::Known};
use crate::twilio::sid::CallSid;

/// How long only the worker that should know is asked.
const HEAD_START: Duration = Duration::from_millis(500);
/// All workers' time: meanwhile the caller hears nothing.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// One worker's time to say whether it has a place.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(1);
/// All workers' time for that: the caller hears it ring.
const RESERVES_TIMEOUT: Duration = Duration::from_secs(4);
/// One worker's time to claim, and to be told what became of the claim.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(2);

/// A worker's word on a request to place a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// What to do.
    pub verdict: Verdict,
    /// Who said so, and wants to know what became of it.
    pub worker: WorkerId,
}

impl WorkerPool {
    /// The worker that holds a place for the call now: the one at `first` if it can, else the best one; `None` when none
    /// has a place.
    pub async fn reserve(&self, span: &Span, call: &CallSid, first: Option<WorkerId>) -> Option<WorkerId> {
        let reserving = async {
            self.resolved().await;
            let mut candidates = self.candidates();
            candidates.sort_by_key(|known| Some(known.id) != first);
            for Known { id, worker, .. } in candidates {
                match timeout(RESERVE_TIMEOUT, worker.reserve(span, call)).await {
                    Ok(Ok(())) => return Some(id),
                    Ok(Err(status)) if status.code() == Code::ResourceExhausted => {}
                    Ok(Err(status)) => {
                        warn!(call.sid = %call, worker.id = %id, code = ?status.code(), "no place");
                        self.avoid_if_lost(id, status.code());
                    }
                    Err(_) => {
                        warn!(call.sid = %call, worker.id = %id, "no place in time");
                        self.avoid_id(id);
                    }
                }
            }
            None
        };
        timeout(RESERVES_TIMEOUT, reserving).await.ok().flatten()
    }

    /// What Twilio should do with a call, and who says so; `None` when no worker knows it.
    pub async fn next_step(
        &self,
        span: &Span,
        call: &CallSid,
        first: Option<WorkerId>,
    ) -> Option<(WorkerId, NextStepResponse)> {
        self.ask(call, first, |worker| worker.next_step(span, call)).await
    }

    /// What a human is told before they take the call; `None` when no worker knows it.
    pub async fn briefing(&self, span: &Span, call: &CallSid, first: Option<WorkerId>) -> Option<BriefingResponse> {
        self.ask(call, first, |worker| worker.briefing(span, call)).await.map(|(_, briefing)| briefing)
    }

    /// Adds to the call's record; the worker that has it, if one does.
    pub async fn report(
        &self,
        span: &Span,
        call: &CallSid,
        report: ReportRequest,
        first: Option<WorkerId>,
    ) -> Option<WorkerId> {
        self.ask(call, first, |worker| worker.report(span, report.clone())).await.map(|(id, ())| id)
    }

    /// Whether a call may be placed for a request. All edges ask the same worker about the same key, unless it cannot be
    /// reached.
    ///
    /// # Errors
    /// If a worker refuses the claim, or with `UNAVAILABLE` if none can be reached.
    pub async fn claim_outbound(&self, span: &Span, claim: &ClaimOutboundRequest) -> Result<Claimed, Status> {
        self.resolved().await;
        let mut members = self.members();
        members.retain(|known| known.takes_legs);
        members.sort_by_key(|known| known.id.rank(claim.idempotency_key.as_bytes()));
        for Known { id, worker, .. } in members {
            match timeout(CLAIM_TIMEOUT, worker.claim_outbound(span, claim.clone())).await {
                Ok(Ok(verdict)) => return Ok(Claimed { verdict, worker: id }),
                Ok(Err(status)) if is_lost(status.code()) => self.avoid_id(id),
                Ok(Err(status)) => return Err(status),
                Err(_) => self.avoid_id(id),
            }
        }
        Err(Status::unavailable("no worker can be reached"))
    }

    /// Tells the worker that gave a claim what became of it; whether it heard.
    pub async fn settle_outbound(&self, span: &Span, worker: WorkerId, result: &SettleOutboundRequest) -> bool {
        let Some(known) = self.members().into_iter().find(|known| known.id == worker) else { return false };
        matches!(timeout(CLAIM_TIMEOUT, known.worker.settle_outbound(span, result.clone())).await, Ok(Ok(())))
    }

    async fn ask<T>(
        &self,
        call: &CallSid,
        first: Option<WorkerId>,
        question: impl Fn(&dyn Worker) -> Answer<T>,
    ) -> Option<(WorkerId, T)> {
        timeout(ANSWER_TIMEOUT, self.ask_all(call, first, question)).await.ok().flatten()
    }

    async fn ask_all<T>(
        &self,
        call: &CallSid,
        first: Option<WorkerId>,
        question: impl Fn(&dyn Worker) -> Answer<T>,
    ) -> Option<(WorkerId, T)> {
        self.resolved().await;
        let (hinted, mut others): (Vec<_>, Vec<_>) =
            self.members().into_iter().partition(|known| Some(known.id) == first);
        let asked = |Known { id, worker, .. }: Known| {
            let answer = question(worker.as_ref());
            async move { (id, answer.await) }
        };
        let mut answers: FuturesUnordered<_> = hinted.into_iter().map(&asked).collect();
        let mut head_start = pin!(sleep(HEAD_START));
        loop {
            let is_head_start = !others.is_empty() && !answers.is_empty();
            if !is_head_start {
                answers.extend(others.drain(..).map(&asked));
            }
            tokio::select! {
                () = &mut head_start, if is_head_start => answers.extend(others.drain(..).map(&asked)),
                answer = answers.next() => match answer? {
                    (id, Ok(answer)) => return Some((id, answer)),
                    (_, Err(status)) if status.code() == Code::NotFound => {}
                    (id, Err(status)) => warn!(call.sid = %call, worker.id = %id, code = ?status.code(), "no answer"),
                }
            }
        }
    }

    fn avoid_if_lost(&self, id: WorkerId, code: Code) {
        if is_lost(code) {
            self.avoid_id(id);
        }
    }
}

/// Whether a worker that says this could not be reached, or is about to go.
fn is_lost(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::Unknown)
}

#[cfg(test)]
#[path = "asking_tests.rs"]
mod tests;
