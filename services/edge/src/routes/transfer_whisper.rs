//! `/transfer-whisper`: a human has answered, and is told who calls and why before they take the call.
//!
//! Twilio asks on the human's leg: the request's own CallSid is that leg's, the caller's is `ParentCallSid`.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    response::Response,
};
use offhook_proto::voice::v1::BriefingResponse;
use tokio::time::timeout;
use tracing::{Span, info};

use super::{
    answering::answering,
    webhook::{Webhook, twiml},
};
use crate::{
    App,
    monitor::Route,
    twilio::twiml::{
        farewell,
        whisper::{TAKE, accepted, screening},
    },
};

/// Set in the query of the request that brings the key.
const PRESSED: &str = "pressed";
/// The human is on the phone: rather a sentence that says less than one that comes late.
const BRIEFING_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks the human, and does what they press.
pub(super) async fn answer(State(app): State<Arc<App>>, request: Request) -> Response {
    answering(&app, Route::TransferWhisper, request, async |app, webhook| twiml(document(app, webhook).await)).await
}

async fn document(app: &App, webhook: &Webhook) -> String {
    if webhook.query(PRESSED).is_some() {
        let takes = webhook.parameter("Digits") == Some(TAKE);
        info!(call.sid = %webhook.call, takes, "the human has chosen");
        return if takes { accepted() } else { farewell("") };
    }
    let BriefingResponse { from, reason } = briefing(app, webhook).await.unwrap_or_default();
    screening(&from, &reason, &app.public_url.page(&format!("/transfer-whisper?{PRESSED}=1")))
}

async fn briefing(app: &App, webhook: &Webhook) -> Option<BriefingResponse> {
    let caller = webhook.parameter("ParentCallSid")?.parse().ok()?;
    let span = Span::current();
    timeout(BRIEFING_TIMEOUT, app.pool.briefing(&span, &caller, None)).await.ok().flatten()
}
