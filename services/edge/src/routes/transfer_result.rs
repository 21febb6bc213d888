//! `/transfer-result`: the attempt to hand a call to a human is over, and the caller may still be there.
//!
//! Twilio also asks here when a call was redirected while it was being handed over, and then follows the other document
//! instead of this one: asking changes nothing that could not be asked twice.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use offhook_proto::voice::v1::report_request::Event;
use tracing::{Span, info};

use super::{
    answering::answering,
    callbacks::{report, report_end},
    follow::{Known, follow},
    webhook::{Webhook, twiml},
};
use crate::{
    App,
    call::{
        course::After,
        reported::{is_over, transfer_ended},
    },
    monitor::Route,
    twilio::twiml::farewell,
};

/// Brings the caller back to the conversation, or ends the call.
pub(super) async fn answer(State(app): State<Arc<App>>, request: Request) -> Response {
    answering(&app, Route::TransferResult, request, async |app, webhook| twiml(document(app, webhook).await)).await
}

async fn document(app: &App, webhook: &Webhook) -> String {
    if is_over(webhook) {
        info!(call.sid = %webhook.call, "the caller has hung up on a transfer");
        report_end(app, webhook, None).await;
        return farewell("");
    }
    let ended = transfer_ended(webhook);
    let reached = ended.as_ref().is_some_and(|ended| ended.bridged);
    info!(call.sid = %webhook.call, reached, "the transfer is over");
    let (is_known, taken_by) = match ended {
        Some(ended) => {
            let taken_by = report(app, webhook, Event::TransferEnded(ended), None).await;
            (taken_by.is_some(), taken_by)
        }
        None => (true, None),
    };
    // The caller hears nothing meanwhile: nobody is asked a second time who did not answer the first. Another worker that
    // knows an earlier leg of the call does not know how the transfer went.
    let told = if is_known { app.pool.next_step(&Span::current(), &webhook.call, taken_by).await } else { None };
    follow(app, webhook, &Known::by(told, After::Transfer { reached })).await
}
