//! `/incoming-call`: a call arrives, and is connected to a media stream of its own where a worker holds a place for it.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use tracing::info;

use super::{
    admission,
    answering::answering,
    webhook::{Webhook, twiml},
};
use crate::{App, limits::Limit, monitor::Route, twilio::twiml::busy};

/// Answers Twilio's question what to do with a new call.
pub(super) async fn answer(State(app): State<Arc<App>>, request: Request) -> Response {
    answering(&app, Route::IncomingCall, request, async |app, webhook| twiml(document(app, webhook).await)).await
}

/// A drain that begins while this looks waits for the socket of the call, because it waits for the answer.
async fn document(app: &App, webhook: &Webhook) -> String {
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

/// Counts a call that arrives. One that was answered before is let through, whatever it comes back for. Nothing but the
/// status decides it: what is signed has no separators, so that of a replayed form any parameter but the call's own and the
/// one behind it can be hidden in the value before it.
fn within_limits(app: &App, webhook: &Webhook) -> Result<(), Limit> {
    let given = |name| webhook.parameter(name).unwrap_or_default();
    if given("CallStatus") != "ringing" {
        return Ok(());
    }
    app.limits.call(&webhook.call, given("From"), given("To"), app.arrivals.count(), app.clock.now())
}
