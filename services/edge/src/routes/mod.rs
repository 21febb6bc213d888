//! The public doors, one file each.

mod admission;
mod amd_status;
mod answering;
mod callbacks;
mod connect;
mod failover;
mod follow;
mod guard;
mod human;
mod incoming_call;
mod media_stream;
mod outbound_call;
mod queue;
mod stream_ended;
mod transfer_result;
mod transfer_whisper;
mod webhook;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{any, get, post},
};

use crate::App;

/// Twilio's webhooks carry a few dozen short parameters.
const BODY_LIMIT: usize = 64 * 1024;

/// All public routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/incoming-call", get(incoming_call::answer).post(incoming_call::answer))
        .route("/queue-wait", post(queue::wait))
        .route("/queue-left", post(queue::left))
        .route("/hold-music.wav", get(queue::music))
        .route("/stream-ended", get(stream_ended::answer).post(stream_ended::answer))
        .route("/transfer-result", get(transfer_result::answer).post(transfer_result::answer))
        .route("/transfer-whisper", get(transfer_whisper::answer).post(transfer_whisper::answer))
        .route("/failover", get(failover::answer).post(failover::answer))
        .route("/call-status", get(callbacks::call_status).post(callbacks::call_status))
        .route("/stream-status", get(callbacks::stream_status).post(callbacks::stream_status))
        .route("/recording-status", get(callbacks::recording_status).post(callbacks::recording_status))
        .route("/amd-status", get(amd_status::answer).post(amd_status::answer))
        .route("/outbound-call", any(outbound_call::answer))
        .route("/media-stream/{ticket}", get(media_stream::open))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .route_layer(middleware::from_fn_with_state(app.clone(), guard::watch))
        // After the layer: load balancers ask it for their health checks.
        .route("/", get(|| async { "offhook edge\n" }))
        .with_state(app)
}
