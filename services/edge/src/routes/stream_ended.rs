//! `/stream-ended`: a leg is over, and the workers say what comes next.
//!
//! Twilio asks because the socket was closed, because it was redirected here, or, with bad luck, for both reasons: the
//! answer is the same.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use tracing::{Span, warn};

use super::{
    answering::answering,
    callbacks::report_end,
    follow::{Known, follow},
    webhook::{Webhook, twiml},
};
use crate::{
    App,
    call::{course::After, reported::is_over},
    monitor::Route,
    twilio::twiml::farewell,
};

/// Answers Twilio's question what to do with a call whose stream has ended.
pub(super) async fn answer(State(app): State<Arc<App>>, request: Request) -> Response {
    answering(&app, Route::StreamEnded, request, async |app, webhook| twiml(document(app, webhook).await)).await
}

async fn document(app: &App, webhook: &Webhook) -> String {
    let served_by = app.farewells.note(&webhook.call);
    if is_over(webhook) {
        report_end(app, webhook, served_by).await;
        app.farewells.happened(&webhook.call);
        return farewell("");
    }
    let told = app.pool.next_step(&Span::current(), &webhook.call, served_by).await;
    if told.is_none() {
        warn!(call.sid = %webhook.call, "no worker knows what comes next");
    }
    let document = follow(app, webhook, &Known::by(told, After::Stream)).await;
    app.farewells.happened(&webhook.call);
    document
}
