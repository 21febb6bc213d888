//! `/transfer-result`: the attempt to reach a human is over.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use tracing::info;

use super::webhook::{Webhook, twiml};
use crate::{
    App,
    monitor::Route,
    twilio::twiml::{NOBODY_ANSWERED, farewell},
};

/// Ends the call: without a word when the human has hung up, with an apology when none was reached.
pub(super) async fn answer(State(app): State<Arc<App>>, request: Request) -> Response {
    // Live work: a drain waits for the answer.
    let _answering = app.lifecycle.tasks().token();
    let response = match Webhook::read(&app, Route::TransferResult, request).await {
        Ok(webhook) => {
            let reached = was_reached(webhook.parameter("DialCallStatus"));
            info!(call.sid = %webhook.call, reached, "the transfer is over");
            twiml(farewell(if reached { "" } else { NOBODY_ANSWERED }))
        }
        Err(refusal) => refusal.into_response(),
    };
    app.monitor.answered(Route::TransferResult, response.status());
    response
}

/// Whether a human was on the line (Twilio docs, `<Dial>`, `DialCallStatus`).
fn was_reached(status: Option<&str>) -> bool {
    matches!(status, Some("completed" | "answered"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_finished_conversation_counts_as_reached() {
        assert!(was_reached(Some("completed")) && was_reached(Some("answered")));
        for status in [Some("busy"), Some("no-answer"), Some("failed"), Some("canceled"), Some("sleeping"), None] {
            assert!(!was_reached(status), "{status:?}");
        }
    }
}
