//! `/outbound-call`: whoever has the token has a call placed.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, Method, StatusCode,
    header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use offhook_proto::voice::v1::{
    ClaimOutboundRequest, Empty, Placed, SettleOutboundRequest, claim_outbound_response::Verdict,
    settle_outbound_request::Result as Fate,
};
use serde::Serialize;
use tokio::time::timeout;
use tonic::{Code, Status};
use tracing::{Instrument, Span, info, info_span, warn};

use crate::{
    App,
    call::placed,
    monitor::Route,
    outbound::{
        Desk, Kind, Order, OutboundConfig, Problem,
        request::{self, BODY_LIMIT},
    },
    twilio::{rest::Rest, sid::CallSid},
    worker::Claimed,
};

const BODY_DEADLINE: Duration = Duration::from_secs(5);

/// A call that is on its way.
enum Outcome {
    /// This request had it placed.
    Placed(CallSid),
    /// An earlier one with the same key had.
    PlacedBefore(String),
}

/// What is answered then.
#[derive(Serialize)]
struct Answer<'a> {
    call_sid: &'a str,
    status: &'static str,
}

/// Answers a request for a call. Not there unless it is configured.
pub(super) async fn answer(State(app): State<Arc<App>>, request: Request) -> Response {
    if app.outbound.is_none() {
        return StatusCode::NOT_FOUND.into_response();
    }
    // A HEAD that is answered like a GET would place a call.
    if !matches!(*request.method(), Method::GET | Method::POST) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, HeaderValue::from_static("GET, POST"))]).into_response();
    }
    let span = info_span!("outbound_call", route = Route::OutboundCall.label());
    let outcome = take(&app, request).instrument(span).await;
    app.monitor.outbound(match &outcome {
        Ok(Outcome::Placed(_)) => "placed",
        Ok(Outcome::PlacedBefore(_)) => "placed_before",
        Err(problem) => problem.kind.name(),
    });
    let response = outcome.map_or_else(|problem| problem_response(&problem), outcome_response);
    app.monitor.answered(Route::OutboundCall, response.status());
    response
}

async fn take(app: &Arc<App>, request: Request) -> Result<Outcome, Problem> {
    let (parts, body) = request.into_parts();
    let Some((desk, rest)) = app.outbound.as_ref().zip(app.rest.clone()) else {
        return Err(internal("there is no key to Twilio's REST interface"));
    };
    authorize(app, desk, &parts.headers)?;
    let body = read_body(&parts.headers, body).await?;
    // What is said where nobody reads it would be another call than its sender thinks.
    if parts.uri.query().is_some() || (parts.method == Method::GET && !body.is_empty()) {
        return Err(Problem::of(Kind::InvalidRequest, "say what is asked for in the body of a POST, not in the URL"));
    }
    let OutboundConfig { allowed, default_to, from, .. } = &desk.config;
    let asked = request::read(&body, allowed, default_to.as_ref(), &app.agents, from)?;
    // Taken before looking, so that a drain which begins in between waits for this request.
    let live = app.lifecycle.tasks().token();
    if app.lifecycle.is_draining() {
        return Err(Problem::of(Kind::Draining, "ask another edge, or this one later; nothing was placed"));
    }
    let (app, key) = (app.clone(), asked.idempotency_key.unwrap_or_else(|| desk.key()));
    // Goes on if whoever asks does not wait: a call that was placed has to be written down.
    let placing = async move {
        let _live = live;
        place(&app, &*rest, &asked.order, key).await
    };
    tokio::spawn(placing.instrument(Span::current()))
        .await
        .unwrap_or_else(|_| Err(internal("it may or may not have been placed")))
}

fn authorize(app: &App, desk: &Desk, headers: &HeaderMap) -> Result<(), Problem> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if desk.is_authorized(header) {
        return Ok(());
    }
    desk.take_wrong_token(app.clock.now()).map_err(|reached| Problem::limit(Kind::TooManyAttempts, reached))?;
    warn!("a call was asked for without a valid token");
    Err(Problem::of(Kind::Unauthorized, "send the header \"Authorization: Bearer TOKEN\" (OFFHOOK_OUTBOUND_TOKEN)"))
}

async fn read_body(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let read = timeout(BODY_DEADLINE, to_bytes(body, BODY_LIMIT)).await;
    let read = read.map_err(|_| Problem::of(Kind::SlowBody, "the body was not whole within 5 s"))?;
    let body =
        read.map_err(|_| Problem::of(Kind::BodyTooLarge, format!("a request has at most {BODY_LIMIT} bytes")))?;
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if body.is_empty() || kind.eq_ignore_ascii_case("application/json") {
        return Ok(body);
    }
    Err(Problem::of(Kind::NotJson, "send the header \"Content-Type: application/json\""))
}

/// Claims, places, and settles: whatever happens to one of these, no second call is placed under the key.
async fn place(app: &App, rest: &dyn Rest, order: &Order, key: String) -> Result<Outcome, Problem> {
    let Some(desk) = &app.outbound else { return Err(internal("calls are not placed here")) };
    // Before the claim, because a request that cannot be carried out claims nothing.
    let mut call = order.to_call(desk.config.from.as_str(), &app.public_url, &app.seals, desk.nonces())?;
    let span = Span::current();
    let claim = ClaimOutboundRequest { idempotency_key: key.clone(), fingerprint: order.fingerprint().into() };
    let Claimed { verdict, worker } =
        app.pool.claim_outbound(&span, &claim).await.map_err(|status| unclaimed(&status))?;
    match verdict {
        Verdict::Place(_) => {}
        Verdict::BeingPlaced(_) => {
            return Err(Problem::of(Kind::BeingPlaced, "another request with this idempotency key is placing it now"));
        }
        Verdict::Placed(call) => return Ok(Outcome::PlacedBefore(call)),
        Verdict::Unknown(_) => return Err(Problem::unknown()),
    }
    // Its record begins there, so its conversation should.
    call.url = format!("{}&{}={worker}", call.url, placed::WORKER);
    let taken = desk.take_call(app.clock.now(), app.unix_time());
    let placed = match taken {
        Ok(()) => rest.create(call).await.map_err(Problem::from),
        Err(reached) => Err(Problem::limit(Kind::TooManyCalls, reached)),
    };
    let settle = SettleOutboundRequest { idempotency_key: key, result: Some(fate(&placed, order)) };
    if !app.pool.settle_outbound(&span, worker, &settle).await {
        warn!(worker.id = %worker, "no worker heard what became of a call that was asked for");
    }
    match &placed {
        Ok(call) => info!(call.sid = %call, "call placed"),
        Err(problem) => warn!(problem = problem.kind.name(), twilio.code = problem.twilio_code, "no call placed"),
    }
    placed.map(Outcome::Placed)
}

fn fate(placed: &Result<CallSid, Problem>, order: &Order) -> Fate {
    match placed {
        Ok(call) => Fate::Placed(Placed { call_sid: call.to_string(), agent: order.agent.clone().unwrap_or_default() }),
        Err(problem) if problem.kind == Kind::OutcomeUnknown => Fate::Unknown(Empty {}),
        Err(_) => Fate::NotPlaced(Empty {}),
    }
}

fn unclaimed(status: &Status) -> Problem {
    if status.code() == Code::InvalidArgument {
        return Problem::of(Kind::KeyReused, "use another idempotency_key, or the same request");
    }
    warn!(code = ?status.code(), "no worker says whether a call may be placed");
    Problem::of(Kind::NoWorker, "no worker can take the request now; nothing was placed")
}

fn internal(detail: &str) -> Problem {
    Problem::of(Kind::Internal, detail)
}

fn outcome_response(outcome: Outcome) -> Response {
    let (code, call_sid, status) = match outcome {
        Outcome::Placed(call) => (StatusCode::CREATED, call.to_string(), "queued"),
        Outcome::PlacedBefore(call) => (StatusCode::OK, call, "placed_before"),
    };
    json(code, "application/json", &Answer { call_sid: &call_sid, status })
}

fn problem_response(problem: &Problem) -> Response {
    let mut response = json(problem.kind.status(), "application/problem+json", &problem.body());
    let headers = response.headers_mut();
    if let Some(wait) = problem.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)));
    }
    if problem.kind == Kind::Unauthorized {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn json(status: StatusCode, content_type: &'static str, body: &impl Serialize) -> Response {
    let body = serde_json::to_string(body).expect("these are structs of texts and numbers");
    (status, [(CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response()
}
