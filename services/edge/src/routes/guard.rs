//! Before every door but the front page: nobody asks too much, and whoever forges is soon not listened to.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONNECTION, RETRY_AFTER},
};

use crate::{
    App,
    limits::{
        Limit,
        source::{self, Source},
    },
    public_listener::Peer,
};

/// Hands the request on, unless its source has sent too many: then it is answered before anything of it is looked at.
pub(super) async fn watch(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let Some(source) = source_of(&app, &request) else { return next.run(request).await };
    if let Err(wait) = app.limits.request(source, app.clock.now()) {
        app.monitor.limited(Limit::Source);
        let seconds = HeaderValue::from(wait.as_secs() + 1);
        // A body that nobody reads ends the connection: who uses it for others' requests too has to know.
        let close = HeaderValue::from_static("close");
        return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds), (CONNECTION, close)]).into_response();
    }
    let response = next.run(request).await;
    if matches!(response.status(), StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED) {
        app.limits.forged(source, app.clock.now());
    }
    response
}

fn source_of(app: &App, request: &Request) -> Option<Source> {
    let Peer(peer) = request.extensions().get()?;
    app.trusted_proxies.source(*peer, forwarded(request.headers()))
}

/// What is no text came from no proxy; it still hides nothing that is right of it.
fn forwarded(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = &str> {
    headers.get_all(source::HEADER).into_iter().map(|value| value.to_str().unwrap_or_default())
}
