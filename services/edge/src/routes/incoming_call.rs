//! `/incoming-call`: a call arrives, and is connected to a media stream of its own.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use offhook_hosting::telemetry::traceparent;
use tracing::{Instrument, Span, field::Empty, info, info_span};

use super::webhook::{Webhook, twiml};
use crate::{
    App,
    call::ticket::Claims,
    limits::Limit,
    monitor::Route,
    twilio::twiml::{APOLOGY, ConnectStream, busy, farewell},
};

/// Answers Twilio's question what to do with a new call.
pub(super) async fn answer(State(app): State<Arc<App>>, request: Request) -> Response {
    let span = info_span!("webhook", route = Route::IncomingCall.label(), call.sid = Empty);
    let answer = async {
        match Webhook::read(&app, Route::IncomingCall, request).await {
            Ok(webhook) => twiml(document(&app, &webhook).await),
            Err(refusal) => refusal.into_response(),
        }
    };
    let response = answer.instrument(span).await;
    app.monitor.answered(Route::IncomingCall, response.status());
    response
}

async fn document(app: &App, webhook: &Webhook) -> String {
    let span = Span::current();
    span.record("call.sid", webhook.call.as_str());
    // Taken before looking, so that a drain which begins in between waits for the socket of this call.
    let _live = app.lifecycle.tasks().token();
    if let Err(limit) = within_limits(app, webhook) {
        app.monitor.limited(limit);
        info!(call.sid = %webhook.call, limit = limit.label(), "call turned away: too many");
        return busy();
    }
    if app.lifecycle.is_draining() {
        info!(call.sid = %webhook.call, "call turned away: draining");
        return farewell(APOLOGY);
    }
    let Some(worker) = app.pool.reserve(&span, &webhook.call, None).await else {
        info!(call.sid = %webhook.call, "call turned away: no worker has a place");
        return farewell(APOLOGY);
    };
    let claims = Claims { call: webhook.call.clone(), account: webhook.account.clone(), worker };
    let ticket = app.tickets.issue(&claims, app.unix_time());
    let given = [
        ("from", webhook.parameter("From").map(str::to_owned)),
        ("to", webhook.parameter("To").map(str::to_owned)),
        ("direction", webhook.parameter("Direction").map(str::to_owned)),
        ("agent", webhook.query("agent").map(str::to_owned)),
        ("traceparent", traceparent(&span)),
    ];
    app.arrivals.expect(&webhook.call, &app.lifecycle);
    info!(call.sid = %webhook.call, "call arrives");
    ConnectStream {
        digits: String::new(),
        action: format!("{}/stream-ended", app.public_url.web_origin()),
        url: format!("{}/media-stream/{ticket}", app.public_url.socket_origin()),
        parameters: given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
    }
    .to_twiml()
}

/// Counts a call that arrives. One that was answered before is let through, whatever it comes back for.
fn within_limits(app: &App, webhook: &Webhook) -> Result<(), Limit> {
    let given = |name| webhook.parameter(name).unwrap_or_default();
    if given("CallStatus") != "ringing" || given("Direction") != "inbound" {
        return Ok(());
    }
    app.limits.call(given("From"), given("To"), app.arrivals.count(), app.clock.now())
}
