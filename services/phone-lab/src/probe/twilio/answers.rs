//! The server behind the number: documents, and notes of how they were asked for.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Path, State, WebSocketUpgrade},
    http::{HeaderMap, Method, StatusCode, Uri, Version, header},
    response::{IntoResponse, Response},
    routing::{any, post},
};
use offhook_hosting::clock::Clock;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::task::AbortOnDropHandle;

use super::{
    notes::Notes,
    stages::{HANG_UP, Stage, base},
    stream,
};
use crate::twilio::{signature, url::Url};

/// A call that asks for nothing for so long is over.
const OVER_AFTER: Duration = Duration::from_secs(40);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Answers a call with the stages, one after the other.
pub struct Server {
    watch: Arc<Watch>,
    _serving: AbortOnDropHandle<()>,
}

impl Server {
    /// Serves until it is dropped. `url` is how Twilio reaches it, `auth_token` what Twilio signs with.
    pub fn start(listener: TcpListener, url: Url, auth_token: String, clock: Clock) -> Self {
        let activity = Activity { notes: Notes::default(), last: None, done: false };
        let watch = Arc::new(Watch { url, auth_token, clock, activity: Mutex::new(activity) });
        let router = Router::new()
            .route("/voice", any(voice))
            .route("/moved", any(moved))
            .route("/landed", any(landed))
            .route("/failed", any(failed))
            .route("/fallback", any(fallback))
            .route("/after/{stage}/{how}", any(after))
            .route("/callback/{stage}", post(callback))
            .route("/media/{stage}", any(media))
            .with_state(Arc::clone(&watch));
        let serving = tokio::spawn(async move {
            // Serves for as long as it is not dropped; accept errors are the listener's to retry.
            drop(axum::serve(listener, router).await);
        });
        Self { watch, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Returns when the call is over.
    pub async fn finished(&self) {
        while !self.watch.is_over() {
            sleep(LOOK_AGAIN).await;
        }
    }

    /// What was seen so far.
    pub fn notes(&self) -> Notes {
        self.watch.lock().notes.clone()
    }
}

/// What the handlers share.
pub(super) struct Watch {
    url: Url,
    auth_token: String,
    pub(super) clock: Clock,
    activity: Mutex<Activity>,
}

#[derive(Debug)]
struct Activity {
    notes: Notes,
    last: Option<Instant>,
    done: bool,
}

impl Watch {
    fn lock(&self) -> std::sync::MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, question: impl Into<String>, answer: impl Into<String>) {
        let mut activity = self.lock();
        activity.notes.note(question, answer);
        activity.last = Some(self.clock.now());
    }

    pub(super) fn measure(&self, question: impl Into<String>, answer: impl Into<String>) {
        self.lock().notes.measure(question, answer);
    }

    fn is_over(&self) -> bool {
        let activity = self.lock();
        activity.done || activity.last.is_some_and(|last| self.clock.now().saturating_duration_since(last) > OVER_AFTER)
    }

    /// Which way of writing the URL the signature is of.
    fn note_signature(&self, what: &str, scheme: &str, path: &str, headers: &HeaderMap, form: &[(String, String)]) {
        let given = headers.get("x-twilio-signature").and_then(|value| value.to_str().ok());
        let (host, authority) = (self.url.host(), self.url.authority());
        let spellings = [
            ("the URL as it is written", format!("{scheme}://{authority}{path}")),
            ("the URL with :443", format!("{scheme}://{host}:443{path}")),
            ("the URL with a slash at its end", format!("{scheme}://{authority}{path}/")),
            ("the URL with :443 and a slash", format!("{scheme}://{host}:443{path}/")),
            ("the https URL", format!("https://{authority}{path}")),
        ];
        let signed = |url: &str| Some(signature::of_form(&self.auth_token, url, form)).as_deref() == given;
        let spelling = spellings.iter().find(|(_, url)| signed(url)).map(|(name, _)| *name);
        let answer = if given.is_none() { "nothing" } else { spelling.unwrap_or("none of the URLs tried") };
        self.note(format!("signature of {what} is over"), answer);
    }
}

type Handed = State<Arc<Watch>>;

async fn voice(State(watch): Handed, version: Version, method: Method, headers: HeaderMap, body: String) -> Response {
    watch.note("webhook: HTTP version", format!("{version:?}"));
    watch.note("webhook: method", method.as_str());
    let mut names: Vec<_> = headers.keys().map(header::HeaderName::as_str).filter(|name| !by_the_way(name)).collect();
    names.sort_unstable();
    names.dedup();
    watch.note("webhook: headers", names.join(" "));
    let form: Vec<(String, String)> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    watch.note_signature("a webhook", watch.url.scheme(), "/voice", &headers, &form);
    twiml(Stage::first(&watch.url))
}

/// Headers that a tunnel or load balancer adds.
fn by_the_way(name: &str) -> bool {
    ["x-forwarded", "forwarded", "via", "cf-", "ngrok", "x-amzn-trace", "x-real-ip", "cdn-", "connection"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

async fn moved(State(watch): Handed) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, format!("{}/landed", base(&watch.url)))]).into_response()
}

async fn landed(State(watch): Handed, method: Method, body: String) -> Response {
    let parameters = if body.is_empty() { "without parameters in its body" } else { "with parameters in its body" };
    watch.note("after a 302 the method is", format!("{method}, {parameters}"));
    twiml(Stage::Moved.next_document(&watch.url))
}

async fn failed() -> Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

async fn fallback(State(watch): Handed, body: String) -> Response {
    let mut told: Vec<_> = form_urlencoded::parse(body.as_bytes())
        .filter(|(name, _)| name.starts_with("Error"))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    told.sort_unstable();
    watch.note("the fallback URL is told", if told.is_empty() { "of no error".to_owned() } else { told.join(" ") });
    watch.lock().done = true;
    twiml(HANG_UP.to_owned())
}

async fn after(State(watch): Handed, Path((stage, how)): Path<(String, String)>) -> Response {
    let Some(stage) = Stage::of_slug(&stage) else { return StatusCode::NOT_FOUND.into_response() };
    let what = if how == "action" { "the action" } else { "the next verb" };
    watch.note(format!("after {} comes", stage.title()), what);
    twiml(stage.next_document(&watch.url))
}

async fn callback(State(watch): Handed, Path(stage): Path<String>, body: String) -> StatusCode {
    let Some(stage) = Stage::of_slug(&stage) else { return StatusCode::NOT_FOUND };
    let event = form_urlencoded::parse(body.as_bytes()).find(|(name, _)| name == "StreamEvent");
    let event = event.map_or_else(|| "no StreamEvent".to_owned(), |(_, event)| event.into_owned());
    watch.note(format!("callbacks of {}", stage.title()), event);
    StatusCode::NO_CONTENT
}

async fn media(
    State(watch): Handed,
    Path(slug): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let Some(stage) = Stage::of_slug(&slug) else { return StatusCode::NOT_FOUND.into_response() };
    if stage == Stage::Stream {
        watch.note_signature("an upgrade", "wss", uri.path(), &headers, &[]);
        for header in ["origin", "cookie", "sec-websocket-protocol", "sec-websocket-extensions", "user-agent"] {
            let value = headers.get(header).and_then(|value| value.to_str().ok()).unwrap_or("none");
            watch.note(format!("upgrade: {header}"), value);
        }
    }
    match (stage, upgrade) {
        (Stage::Refused, _) => {
            watch.note("attempts at a stream that is refused", "one");
            StatusCode::FORBIDDEN.into_response()
        }
        (_, Ok(upgrade)) => upgrade.on_upgrade(move |socket| stream::serve(socket, stage, watch)),
        (_, Err(rejection)) => rejection.into_response(),
    }
}

fn twiml(document: String) -> Response {
    ([(header::CONTENT_TYPE, "text/xml")], document).into_response()
}
