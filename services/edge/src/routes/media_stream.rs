//! `/media-stream/{ticket}`: Twilio opens the media socket of a call that `/incoming-call` has connected.

use std::sync::Arc;

use axum::{
    extract::{
        Path, State,
        ws::{WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, Uri};
use tracing::warn;

use super::{guard::Proven, webhook::signature_of};
use crate::{App, bridge, limits::Limit, monitor::Route};

/// Twilio's messages are some 350 bytes long.
const MESSAGE_LIMIT: usize = 64 * 1024;
/// Room for a dozen messages; the default would be half of what a call may cost.
const READ_BUFFER: usize = 4 * 1024;
/// Enough for a slice and its mark to go out together; more would be stale by the time a `clear` gets past it.
const WRITE_BUFFER: usize = 4 * 1024;

/// Opens the socket if Twilio has signed the request and the ticket is good, also while draining.
pub(super) async fn open(
    State(app): State<Arc<App>>,
    uri: Uri,
    Path(ticket): Path<String>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let response = upgraded(&app, target, &ticket, &headers, upgrade);
    app.monitor.answered(Route::MediaStream, response.status());
    response
}

fn upgraded(
    app: &Arc<App>,
    target: &str,
    ticket: &str,
    headers: &HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if let Err(refused) = app.verifier.upgrade(signature_of(headers), target) {
        return forbidden(app, refused.label());
    }
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    // Whoever has a good ticket was taken as a caller, perhaps a moment before this edge began to drain.
    let admitted = match app.tickets.redeem(ticket, app.unix_time()) {
        Ok(admitted) => admitted,
        Err(bad) => return forbidden(app, bad.label()),
    };
    // Only now: sockets that nobody has a ticket for take no place.
    let Some(counted) = app.limits.open_socket() else {
        app.monitor.limited(Limit::MediaSockets);
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    // Taken now, so that a drain which begins before the handshake ends waits for this leg as well.
    let live = app.lifecycle.tasks().token();
    app.arrivals.opened(&admitted.claims.call);
    let app = app.clone();
    let limited = upgrade.max_message_size(MESSAGE_LIMIT).max_frame_size(MESSAGE_LIMIT);
    let sized = limited.read_buffer_size(READ_BUFFER).write_buffer_size(WRITE_BUFFER);
    let mut response = sized.on_upgrade(async move |socket: WebSocket| {
        bridge::serve(app, socket, admitted).await;
        drop((live, counted));
    });
    response.extensions_mut().insert(Proven);
    response
}

fn forbidden(app: &App, reason: &'static str) -> Response {
    app.monitor.refused(reason);
    warn!(route = Route::MediaStream.label(), reason, "request refused");
    StatusCode::FORBIDDEN.into_response()
}
