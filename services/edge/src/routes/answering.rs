//! What all doors for webhooks do around their answer.

use std::sync::Arc;

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use tracing::{Instrument, Span, field::Empty, info_span};

use super::{guard::Proven, webhook::Webhook};
use crate::{App, monitor::Route};

/// Answers a request that Twilio has signed, within a span that names the call. A drain waits for it, and it is counted.
pub(super) async fn answering(
    app: &Arc<App>,
    route: Route,
    request: Request,
    answer: impl AsyncFnOnce(&App, &Webhook) -> Response,
) -> Response {
    // Live work: a drain waits for the answer.
    let _answering = app.lifecycle.tasks().token();
    let span = info_span!("webhook", route = route.label(), call.sid = Empty);
    let answered = async {
        match Webhook::read(app, route, request).await {
            Ok(webhook) => {
                Span::current().record("call.sid", webhook.call.as_str());
                let mut response = answer(app, &webhook).await;
                response.extensions_mut().insert(Proven);
                response
            }
            Err(refusal) => refusal.into_response(),
        }
    };
    let response = answered.instrument(span).await;
    app.monitor.answered(route, response.status());
    response
}
