//! The queue of callers for whom no worker had a place: what they hear, and what becomes of them.
//!
//! Twilio asks `/queue-wait` over and over, and each time is another chance of a place; it asks `/queue-left` once the
//! caller has left the queue, for whatever reason. Neither needs a worker, and any edge can answer. `/hold-music.wav` is what
//! is heard meanwhile.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    body::Bytes,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tracing::{Span, info};

use super::{
    admission,
    answering::answering,
    webhook::{Webhook, twiml},
};
use crate::{
    App,
    monitor::Route,
    twilio::{
        music::hold_music,
        twiml::{
            farewell,
            waiting::{hold, leave},
        },
    },
};

/// Who has waited this long is not kept any longer.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);
/// The tune changes with the release at most.
const MUSIC_CACHE: &str = "public, max-age=86400";

static MUSIC: LazyLock<Bytes> = LazyLock::new(|| hold_music().into());

/// Answers Twilio's question what a caller in the queue hears next.
pub(super) async fn wait(State(app): State<Arc<App>>, request: Request) -> Response {
    answering(&app, Route::QueueWait, request, async |app, webhook| twiml(next_in_queue(app, webhook).await)).await
}

/// Answers Twilio's question what to do with a caller who has left the queue.
pub(super) async fn left(State(app): State<Arc<App>>, request: Request) -> Response {
    answering(&app, Route::QueueLeft, request, async |app, webhook| twiml(after_queue(app, webhook).await)).await
}

/// The tune. Nothing about it is anybody's secret, so it needs no signature.
pub(super) async fn music() -> impl IntoResponse {
    ([(CONTENT_TYPE, "audio/wav"), (CACHE_CONTROL, MUSIC_CACHE)], MUSIC.clone())
}

async fn next_in_queue(app: &App, webhook: &Webhook) -> String {
    let waited = webhook.parameter("QueueTime").and_then(|seconds| seconds.parse().ok()).unwrap_or_default();
    let waited = Duration::from_secs(waited);
    if waited >= LONGEST_WAIT {
        info!(call.sid = %webhook.call, "a caller has waited in vain");
        return leave();
    }
    // The place that is taken now is taken again, and so kept, once the caller has left the queue.
    let first = admission::recorded_at(webhook);
    if !app.lifecycle.is_draining() && app.pool.reserve(&Span::current(), &webhook.call, first).await.is_some() {
        return leave();
    }
    let agent = app.agents.named_or_default(webhook.query(admission::AGENT).unwrap_or_default());
    let sentence = if waited.is_zero() { agent.sentences.please_wait.as_str() } else { "" };
    hold(sentence, &app.public_url.page("/hold-music.wav"))
}

async fn after_queue(app: &App, webhook: &Webhook) -> String {
    let agent = app.agents.named_or_default(webhook.query(admission::AGENT).unwrap_or_default());
    let result = webhook.parameter("QueueResult").unwrap_or_default();
    info!(call.sid = %webhook.call, result, "a caller has left the queue");
    if !is_waiting_still(result) {
        return farewell("");
    }
    let connected = admission::connect(app, webhook, agent).await;
    connected.unwrap_or_else(|| admission::give_up(app, webhook, agent))
}

/// Whether somebody still has to take care of the caller (Twilio docs, `<Enqueue>`, `QueueResult`). What is not known is
/// taken for an error: it is better to serve a caller twice than not at all.
fn is_waiting_still(result: &str) -> bool {
    !matches!(result, "hangup" | "bridged" | "bridging-in-process" | "redirected" | "redirected-from-bridged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_who_is_gone_or_was_served_is_let_go_and_every_other_is_taken_care_of() {
        for over in ["hangup", "bridged", "bridging-in-process", "redirected", "redirected-from-bridged"] {
            assert!(!is_waiting_still(over), "{over}");
        }
        for waiting in ["leave", "queue-full", "error", "system-error", "", "something-new"] {
            assert!(is_waiting_still(waiting), "{waiting}");
        }
    }
}
