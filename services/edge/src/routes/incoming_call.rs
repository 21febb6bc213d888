//! `/incoming-call`: a call arrives, and is connected to a media stream of its own where a worker holds a place for it.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use tracing::{Instrument, Span, field::Empty, info, info_span};

use super::{
    admission,
    webhook::{Webhook, twiml},
};
use crate::{App, limits::Limit, monitor::Route, twilio::twiml::busy};

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
    let agent = admission::chosen(app, webhook);
    if app.lifecycle.is_draining() {
        info!(call.sid = %webhook.call, agent = %agent.name, "call not taken: draining");
        return admission::fall_back(app, webhook, agent);
    }
    let Some(document) = admission::connect(app, webhook, agent).await else {
        info!(call.sid = %webhook.call, agent = %agent.name, "call not taken: no worker has a place");
        return admission::fall_back(app, webhook, agent);
    };
    info!(call.sid = %webhook.call, agent = %agent.name, "call arrives");
    document
}

/// Counts a call that arrives. One that was answered before is let through, whatever it comes back for.
fn within_limits(app: &App, webhook: &Webhook) -> Result<(), Limit> {
    let given = |name| webhook.parameter(name).unwrap_or_default();
    if given("CallStatus") != "ringing" || given("Direction") != "inbound" {
        return Ok(());
    }
    app.limits.call(&webhook.call, given("From"), given("To"), app.arrivals.count(), app.clock.now())
}
