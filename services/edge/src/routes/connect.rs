//! Connecting a call to a media stream of its own: when it arrives, and whenever its conversation goes on.

use offhook_hosting::telemetry::traceparent;
use tracing::Span;

use super::{admission, webhook::Webhook};
use crate::{App, call::ticket::Claims, twilio::twiml::ConnectStream, worker::WorkerId};

/// How a stream is opened.
#[derive(Default)]
pub(super) struct Opening<'a> {
    /// Who is to speak, by name. `None`: whose call it is.
    pub(super) agent: Option<&'a str>,
    /// Played into the line first. Empty: nothing.
    pub(super) digits: &'a str,
    /// The worker that holds the conversation, if there is one already.
    pub(super) worker: Option<WorkerId>,
    /// What else the agent is told of the call.
    pub(super) context: &'a [(String, String)],
}

/// The document, once a worker holds a place for the call; `None` if none has one. From then on a drain waits for the socket.
pub(super) async fn connect(app: &App, webhook: &Webhook, opening: Opening<'_>) -> Option<String> {
    let span = Span::current();
    let worker = app.pool.reserve(&span, &webhook.call, opening.worker).await?;
    let claims = Claims { call: webhook.call.clone(), account: webhook.account.clone(), worker };
    let ticket = app.tickets.issue(&claims, app.unix_time());
    let agent = opening.agent.map_or_else(|| admission::chosen(app, webhook).name.to_string(), str::to_owned);
    let given = [
        ("from", webhook.parameter("From").map(str::to_owned)),
        ("to", webhook.parameter("To").map(str::to_owned)),
        ("direction", webhook.parameter("Direction").map(str::to_owned)),
        ("agent", Some(agent)),
        ("traceparent", traceparent(&span)),
    ];
    app.arrivals.expect(&webhook.call, &app.lifecycle);
    let stream = ConnectStream {
        digits: opening.digits.to_owned(),
        action: app.public_url.page("/stream-ended"),
        url: format!("{}/media-stream/{ticket}", app.public_url.socket_origin()),
        status_callback: app.public_url.page("/stream-status"),
        parameters: given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
    };
    Some(stream.with_context(opening.context))
}
