//! `/call-status`, `/stream-status`, `/recording-status`: what Twilio tells of a call beside it.
//!
//! Workers add it to the call's record. It may come twice, late, out of order and about calls that nobody knows any more:
//! Twilio gets the same answer.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use offhook_proto::voice::v1::{ReportRequest, report_request::Event};
use tracing::{Span, debug};

use super::{answering::answering, webhook::Webhook};
use crate::{
    App,
    call::reported::{call_progress, recording, stream_progress},
    monitor::Route,
    worker::WorkerId,
};

/// Takes a status callback of a call.
pub(super) async fn call_status(State(app): State<Arc<App>>, request: Request) -> Response {
    take(&app, Route::CallStatus, request, call_progress).await
}

/// Takes a status callback of a media stream.
pub(super) async fn stream_status(State(app): State<Arc<App>>, request: Request) -> Response {
    take(&app, Route::StreamStatus, request, stream_progress).await
}

/// Takes a recording callback.
pub(super) async fn recording_status(State(app): State<Arc<App>>, request: Request) -> Response {
    take(&app, Route::RecordingStatus, request, recording).await
}

async fn take(
    app: &Arc<App>,
    route: Route,
    request: Request,
    read: impl FnOnce(&Webhook) -> Option<Event>,
) -> Response {
    answering(app, route, request, async |app, webhook| {
        // A dialled leg has a call of its own, of which nobody keeps a record.
        let is_leg = webhook.parameter("ParentCallSid").is_some();
        if let Some(event) = read(webhook).filter(|_| !is_leg) {
            report(app, webhook, event, app.farewells.note(&webhook.call)).await;
        }
        StatusCode::NO_CONTENT.into_response()
    })
    .await
}

/// Tells the workers, of whom the one at `first` should know the call; which one does.
pub(super) async fn report(app: &App, webhook: &Webhook, event: Event, first: Option<WorkerId>) -> Option<WorkerId> {
    let request = ReportRequest { call_sid: webhook.call.to_string(), event: Some(event) };
    let taken_by = app.pool.report(&Span::current(), &webhook.call, request, first).await;
    if taken_by.is_none() {
        debug!(call.sid = %webhook.call, "no worker takes the report");
    }
    taken_by
}

/// Tells the workers that the call is over, as a request of Twilio's says beside what it asks.
pub(super) async fn report_end(app: &App, webhook: &Webhook, first: Option<WorkerId>) {
    if let Some(event) = call_progress(webhook) {
        report(app, webhook, event, first).await;
    }
}
