//! The public doors, one file each.

mod guard;
mod incoming_call;
mod media_stream;
mod stream_ended;
mod transfer_result;
mod webhook;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};

use crate::App;

/// Twilio's webhooks carry a few dozen short parameters.
const BODY_LIMIT: usize = 64 * 1024;

/// All public routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/incoming-call", get(incoming_call::answer).post(incoming_call::answer))
        .route("/stream-ended", get(stream_ended::answer).post(stream_ended::answer))
        .route("/transfer-result", get(transfer_result::answer).post(transfer_result::answer))
        .route("/failover", post(stream_ended::fail_over))
        .route("/media-stream/{ticket}", get(media_stream::open))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .route_layer(middleware::from_fn_with_state(app.clone(), guard::watch))
        // After the layer: load balancers ask it for their health checks.
        .route("/", get(|| async { "offhook edge\n" }))
        .with_state(app)
}
