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

/// What is answered before, or because nothing shows that, a request is Twilio's or an operator's.
const UNPROVEN: [StatusCode; 3] = [StatusCode::FORBIDDEN, StatusCode::UNAUTHORIZED, StatusCode::REQUEST_TIMEOUT];

/// In the extensions of an answer to a request that was proven to be Twilio's.
#[derive(Clone, Copy)]
pub(super) struct Proven;

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
    if response.extensions().get::<Proven>().is_some() {
        app.limits.proven(source, app.clock.now());
    } else if UNPROVEN.contains(&response.status()) {
        app.limits.forged(source, app.clock.now());
    }
    response
}

fn source_of(app: &App, request: &Request) -> Option<Source> {
    let Peer(peer) = request.extensions().get()?;
    app.trusted_proxies.source(*peer, forwarded(request.headers()))
}

/// What is no text came from no proxy; it hides nothing that a proxy has put behind it, in the same line or another.
fn forwarded(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = &str> {
    headers.get_all(source::HEADER).into_iter().map(|value| value.to_str().unwrap_or_else(|_| readable_end(value)))
}

/// The entries of a list that come after the last one that is no text.
fn readable_end(value: &HeaderValue) -> &str {
    let entries = value.as_bytes().rsplit(|&byte| byte == b',');
    let readable = entries.take_while(|entry| entry.iter().all(u8::is_ascii)).map(|entry| entry.len() + 1).sum();
    let start = value.len().saturating_sub(readable);
    value.as_bytes().get(start..).and_then(|end| std::str::from_utf8(end).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_writes_does_not_hide_what_a_proxy_puts_behind_it() {
        for (value, readable) in [
            (&b"\xe9, 203.0.113.9"[..], ", 203.0.113.9"),
            (b"198.51.100.1,\xe9,203.0.113.9, 192.0.2.7", ",203.0.113.9, 192.0.2.7"),
            (b"198.51.100.1, 203.0.113.9\xe9", ""),
            (b"198.51.100.1", "198.51.100.1"),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(source::HEADER, HeaderValue::from_bytes(value).unwrap());
            assert_eq!(forwarded(&headers).collect::<Vec<_>>(), [readable], "{value:?}");
        }
    }
}
