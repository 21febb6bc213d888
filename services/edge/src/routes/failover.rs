//! `/failover`: Twilio could not reach or understand another door.
//!
//! Asks nobody, knows nothing, and needs no other door afterwards: as long as any edge answers this, the caller gets to a
//! human where there is one, and hears an apology where there is none.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use tracing::warn;

use super::{
    admission,
    answering::answering,
    human::dial_alone,
    webhook::{Webhook, twiml},
};
use crate::{
    App,
    monitor::Route,
    twilio::twiml::{APOLOGY, farewell},
};

/// What the caller hears before the human's phone rings.
const HOLD_THE_LINE: &str = "We are sorry, please hold the line while we connect you.";
/// What the caller hears when that is over, however it went.
const OVER: &str = "The connection has ended. If nobody has answered, please call again later. Goodbye.";

/// Answers Twilio when another door failed.
pub(super) async fn answer(State(app): State<Arc<App>>, request: Request) -> Response {
    answering(&app, Route::Failover, request, async |app, webhook| {
        let code = webhook.parameter("ErrorCode").and_then(|code| code.parse::<u32>().ok());
        warn!(call.sid = %webhook.call, code, "Twilio fell back");
        twiml(document(app, webhook))
    })
    .await
}

fn document(app: &App, webhook: &Webhook) -> String {
    // Nobody can be dialled on a leg that was dialled, and nobody is to be dialled again who was just on the phone.
    if webhook.parameter("ParentCallSid").is_some() {
        return farewell("");
    }
    if webhook.parameter("ErrorUrl").is_some_and(|url| url.contains("/transfer-result")) {
        return farewell(OVER);
    }
    let agent = admission::chosen(app, webhook);
    dial_alone(webhook, agent, HOLD_THE_LINE, OVER).unwrap_or_else(|| farewell(APOLOGY))
}
