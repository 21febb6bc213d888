//! `/amd-status`: Twilio has found out who took a call that was placed here, and a machine gets what was ordered for it.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use offhook_proto::voice::v1::{AnsweredBy, report_request::Event};
use tracing::{info, warn};

use super::{answering::answering, callbacks::report, webhook::Webhook};
use crate::{
    App,
    call::placed::{OnMachine, QUERY},
    monitor::Route,
    outbound::machine,
    twilio::{rest::Change, sid::CallSid},
};

/// Takes what Twilio has found out.
pub(super) async fn answer(State(app): State<Arc<App>>, request: Request) -> Response {
    answering(&app, Route::AmdStatus, request, async |app, webhook| {
        let Some(answered_by) = webhook.parameter("AnsweredBy") else {
            return (StatusCode::BAD_REQUEST, "AnsweredBy is missing\n").into_response();
        };
        info!(call.sid = %webhook.call, answered.by = machine::label(answered_by), "Twilio has found out who answered");
        let found = Event::AnsweredBy(found(webhook, answered_by));
        let (acting, reporting) = (act(app, webhook, answered_by), report(app, webhook, found, None));
        tokio::join!(acting, reporting);
        StatusCode::NO_CONTENT.into_response()
    })
    .await
}

async fn act(app: &App, webhook: &Webhook, answered_by: &str) {
    let (call, ordered) = (&webhook.call, ordered(app, webhook));
    let Some(change) = machine::change(answered_by, ordered.as_ref()) else { return };
    // Once a call: a message that is begun anew is no message.
    if app.machines.is_first(call) {
        carry_out(app, call, change).await;
    }
}

fn ordered(app: &App, webhook: &Webhook) -> Option<OnMachine> {
    let opened = app.seals.open_on_machine(webhook.query(QUERY)?);
    opened.inspect_err(|error| warn!(call.sid = %webhook.call, %error, "nobody knows what a machine gets")).ok()
}

/// What comes of it is logged by the client.
async fn carry_out(app: &App, call: &CallSid, change: Change) {
    let Some(rest) = &app.rest else { return };
    let is_message = change != Change::Completed;
    if rest.update(call, change).await.is_err() && is_message {
        // A machine that records half a conversation is worse than one that records nothing more.
        let _ = rest.update(call, Change::Completed).await;
    }
}

fn found(webhook: &Webhook, answered_by: &str) -> AnsweredBy {
    let machine_detection_ms = webhook.parameter("MachineDetectionDuration").and_then(|ms| ms.parse().ok());
    AnsweredBy { answered_by: answered_by.to_owned(), machine_detection_ms }
}
