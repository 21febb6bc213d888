//! What all webhooks have in common: read whole, proven to be Twilio's, and answered with TwiML.

use std::{collections::HashMap, fmt, time::Duration};

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, Method, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use tokio::time::timeout;
use tracing::warn;

use crate::{
    App,
    call::reported::Parameters,
    monitor::Route,
    twilio::{
        sid::{AccountSid, CallSid},
        signature::{self, Body, Refused},
    },
};

/// Twilio sends a webhook in one packet or two.
const BODY_DEADLINE: Duration = Duration::from_secs(5);
const FORM: &str = "application/x-www-form-urlencoded";

/// A request that Twilio has signed. Names the caller, so it shows little of itself in a log.
pub(crate) struct Webhook {
    /// The call that the request is about.
    pub(crate) call: CallSid,
    /// The account that the call belongs to.
    pub(crate) account: AccountSid,
    parameters: HashMap<String, String>,
    query: HashMap<String, String>,
}

/// Why a request is not answered with TwiML.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Not proven to be Twilio's.
    Forged(Refused),
    /// Too large, or broken off.
    Body(BytesRejection),
    /// Not read whole in time.
    Slow,
    /// A parameter without which there is no call is missing or has not its form.
    Parameter(&'static str),
}

impl Parameters for Webhook {
    fn parameter(&self, name: &str) -> Option<&str> {
        Self::parameter(self, name)
    }
}

impl Webhook {
    /// Reads and checks a request. Refusals that matter to an operator are logged and counted here.
    pub(crate) async fn read(app: &App, route: Route, request: Request) -> Result<Self, Refusal> {
        let checked = Self::check(app, request).await;
        if let Err(Refusal::Forged(reason)) = &checked {
            app.monitor.refused(reason.label());
            warn!(route = route.label(), reason = %reason, "request refused");
        }
        checked
    }

    /// A parameter; `None` when it is missing or empty.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// A value of the URL that the operator configured.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// All parameters that have a value, by name. Of those that came twice there is one.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut sorted: Vec<_> = self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        sorted.sort_unstable();
        sorted.into_iter()
    }

    /// What the operator wrote into the URL, as far as it can be told from what Twilio sends: of a GET nothing can.
    pub(crate) fn own_query(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.query.iter().filter(|(name, value)| self.parameters.get(*name) != Some(*value));
        let mut sorted: Vec<_> = own.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        sorted.sort_unstable();
        sorted.into_iter()
    }

    async fn check(app: &App, request: Request) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let signature = signature_of(&parts.headers);
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let is_post = parts.method == Method::POST;
        let body = if is_post { read_body(&parts, body).await? } else { Bytes::new() };
        let is_form = body.is_empty() || is_form(&parts.headers);
        let signed = if is_form { Body::Form(&body) } else { Body::Other(&body) };
        app.verifier.webhook(signature, target, signed).map_err(Refusal::Forged)?;
        let given = if is_post && is_form { &body } else { query };
        let (account, call) = (only(given, "AccountSid")?, only(given, "CallSid")?);
        if app.account.as_ref().is_some_and(|expected| *expected != account) {
            return Err(Refusal::Forged(Refused::OtherAccount));
        }
        Ok(Self { call, account, query: pairs(query), parameters: pairs(given) })
    }
}

/// The signature header, for webhooks and for the upgrade of a media socket. Twilio sends one; of two none is meant.
pub(crate) fn signature_of(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(signature::HEADER).into_iter();
    let one = given.next()?;
    if given.next().is_some() { Some("") } else { one.to_str().ok() }
}

/// A document for Twilio.
pub(crate) fn twiml(document: String) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("text/xml"))], document).into_response()
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, account, parameters: _, query: _ } = self;
        f.debug_struct("Webhook").field("call", call).field("account", account).finish_non_exhaustive()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            // Whoever guesses learns nothing; the operator finds the reason in the log.
            Self::Forged(_) => StatusCode::FORBIDDEN.into_response(),
            Self::Body(rejection) => rejection.into_response(),
            Self::Slow => StatusCode::REQUEST_TIMEOUT.into_response(),
            Self::Parameter(name) => {
                (StatusCode::BAD_REQUEST, format!("{name} is missing or malformed\n")).into_response()
            }
        }
    }
}

async fn read_body(parts: &http::request::Parts, body: axum::body::Body) -> Result<Bytes, Refusal> {
    // The router's body limit travels in the request's extensions.
    let mut request = Request::new(body);
    *request.extensions_mut() = parts.extensions.clone();
    let read = timeout(BODY_DEADLINE, Bytes::from_request(request, &()));
    read.await.map_err(|_| Refusal::Slow)?.map_err(Refusal::Body)
}

fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(FORM))
}

/// Twilio sends a parameter that it has no value for empty, and may send one twice: the last that has a value counts.
fn pairs(encoded: &[u8]) -> HashMap<String, String> {
    form_urlencoded::parse(encoded).into_owned().filter(|(_, value)| !value.is_empty()).collect()
}

/// A parameter that has to be there once: a signature does not cover the order of a name's values.
fn only<T: std::str::FromStr>(encoded: &[u8], name: &'static str) -> Result<T, Refusal> {
    let mut values = form_urlencoded::parse(encoded).filter(|(given, _)| given == name).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(value), None) => value.parse().map_err(|_| Refusal::Parameter(name)),
        (None | Some(_), _) => Err(Refusal::Parameter(name)),
    }
}

#[cfg(test)]
mod tests {
    use offhook_hosting::clock::Clock;

    use super::*;

    #[test]
    fn debug_shows_which_call_but_not_who_calls() {
        let (call, account) = ("CA00000000000000000000000000000002", "AC00000000000000000000000000000001");
        let parameters = pairs(b"From=%2B15005550006");
        let webhook = Webhook {
            call: call.parse().unwrap(),
            account: account.parse().unwrap(),
            query: parameters.clone(),
            parameters,
        };
        let shown = format!("{webhook:?}");
        assert!(shown.contains(call) && !shown.contains("15005550006"), "{shown}");
    }

    #[test]
    fn a_call_that_is_named_twice_is_not_named() {
        let (one, other) = ("CA00000000000000000000000000000002", "CA00000000000000000000000000000003");
        let read = |form: &str| only::<CallSid>(form.as_bytes(), "CallSid");
        assert_eq!(read(&format!("A=B&CallSid={one}")).unwrap().as_str(), one);
        for form in [format!("CallSid={one}&CallSid={other}"), format!("CallSid={one}&CallSid={one}"), String::new()] {
            assert!(matches!(read(&form), Err(Refusal::Parameter("CallSid"))), "{form}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_not_waited_for() {
        let nothing = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let (parts, body) = Request::new(axum::body::Body::from_stream(nothing)).into_parts();
        let begun = Clock.now();
        assert!(matches!(read_body(&parts, body).await, Err(Refusal::Slow)));
        assert!(Clock.now() - begun < 2 * BODY_DEADLINE);
        assert_eq!(Refusal::Slow.into_response().status(), StatusCode::REQUEST_TIMEOUT);
    }

    #[test]
    fn of_two_signatures_none_is_taken() {
        let mut headers = HeaderMap::new();
        assert_eq!(signature_of(&headers), None);
        headers.append(signature::HEADER, HeaderValue::from_static("one"));
        assert_eq!(signature_of(&headers), Some("one"));
        headers.append(signature::HEADER, HeaderValue::from_static("two"));
        assert_eq!(signature_of(&headers), Some(""));
    }
}
