//! Twilio's REST interface for calls: create, list, fetch, update and delete (Twilio docs, "Call resource").
//!
//! Plain HTTP on a listener that is handed in, so that a client under test only has to be told another base URL. What
//! it creates is placed to [`Callee`]s by the [`Twilio`] that it was started with, whose inbound calls it knows too.
//! Where the lab differs: nothing is billed, there are no one-way streams, and `GET /lab/debugger.json` gives the
//! account's debugger to a test that is not written in Rust.

mod account;
mod create;
mod list;
mod request;
mod streams;
mod update;

use std::{
    convert::Infallible,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderMap, Method, Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep_until,
};
use tokio_util::sync::CancellationToken;

use self::request::{Answer, Form, Refusal};
use super::{
    CallReport, CallStatus, Callee, Delivery, LoggedCode, Twilio, codes,
    outbound::{Order, Outbound},
    report::Finding,
    resource::{Entry, Identity},
    sid::CallSid,
};

/// The one version of the interface.
const ROOT: &str = "2010-04-01";
/// After a failed accept (out of sockets, most likely), before the next.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// How long the answer to an update waits for the call to have ended.
const ENDING: Duration = Duration::from_secs(1);

/// An API key, which opens the account without its auth token.
#[derive(Clone)]
pub struct ApiKey {
    /// `SK…`.
    pub sid: String,
    /// Its secret.
    pub secret: String,
}

impl Default for ApiKey {
    /// The lab's key, which is nobody's.
    fn default() -> Self {
        Self { sid: format!("SK{:032}", 0), secret: "phone-lab-api-secret".to_owned() }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("sid", &self.sid).finish_non_exhaustive()
    }
}

/// What a client is told that updates a call which is over. Twilio documents the one and has been seen to do the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndedCall {
    /// 404, code 20404.
    #[default]
    NotFound,
    /// 400, code 21220.
    WrongState,
}

/// What the account may do, and who its calls reach.
#[derive(Clone, Debug)]
pub struct RestSettings {
    /// Opens the account, as its own SID and auth token do.
    pub api_key: ApiKey,
    /// Numbers that calls may come from; any, if there are none.
    pub owned_numbers: Vec<String>,
    /// The least time between two calls' turns. Calls that come faster wait in line.
    pub call_interval: Duration,
    /// How many of its calls may be up at a time; further ones wait for one to end.
    pub concurrent_calls: Option<usize>,
    /// What an update of a call that is over is answered.
    pub ended_call: EndedCall,
    /// Whether a two-way stream can be stopped as a resource of its call. Twilio's documentation says that it cannot.
    pub stops_two_way_streams: bool,
    /// How status callbacks are delivered.
    pub callbacks: Delivery,
    /// Who has which number or address.
    pub callees: Vec<(String, Callee)>,
    /// Who has all others.
    pub otherwise: Callee,
}

impl RestSettings {
    /// The lab's key, any number, a call a second without a cap, and one callee for all numbers.
    pub fn new(callee: Callee) -> Self {
        Self {
            api_key: ApiKey::default(),
            owned_numbers: Vec::new(),
            call_interval: Duration::from_secs(1),
            concurrent_calls: None,
            ended_call: EndedCall::default(),
            stops_two_way_streams: false,
            callbacks: Delivery::default(),
            callees: Vec::new(),
            otherwise: callee,
        }
    }
}

/// A running REST interface. Dropped, it stops, and so do the calls it placed.
#[derive(Debug)]
pub struct RestServer {
    address: SocketAddr,
    inner: Arc<Inner>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Inner {
    twilio: Twilio,
    settings: RestSettings,
    /// When the next call's turn is.
    next_turn: Mutex<Option<Instant>>,
    lines: Option<Arc<Semaphore>>,
    /// Requests still to be turned away.
    throttled: AtomicUsize,
    stop: CancellationToken,
}

impl RestServer {
    /// Serves on a listener that is bound already.
    pub fn start(listener: TcpListener, twilio: Twilio, settings: RestSettings) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let lines = settings.concurrent_calls.map(|calls| Arc::new(Semaphore::new(calls)));
        let (next_turn, throttled) = (Mutex::default(), AtomicUsize::new(0));
        let inner = Arc::new(Inner { twilio, settings, next_turn, lines, throttled, stop: stop.clone() });
        inner.spawn(accept(listener, inner.clone()));
        Ok(Self { address, inner, stop })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next so many requests are answered 429 and not processed.
    pub fn throttle(&self, requests: usize) {
        self.inner.throttled.store(requests, Ordering::Relaxed);
    }

    /// The account's debugger, as [`Twilio::debugger`].
    pub fn debugger(&self) -> Vec<LoggedCode> {
        self.inner.twilio.debugger()
    }

    /// Waits until a call that was created here is over and all its callbacks were delivered, and takes its report. A
    /// call that was taken back while it was queued has none; the last hundred reports are kept.
    pub async fn report(&self, call_sid: &str) -> CallReport {
        self.inner.twilio.ledger.take_report(call_sid).await
    }
}

impl Drop for RestServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, inner: Arc<Inner>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let answering = inner.clone();
                let service = service_fn(move |request| {
                    let inner = answering.clone();
                    async move { Ok::<_, Infallible>(inner.answer(request).await) }
                });
                let connection =
                    http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
                inner.spawn(async move {
                    // How a connection ends is the client's affair.
                    let _ = connection.await;
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
        }
    }
}

impl Inner {
    /// Runs something until the server is stopped.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(work).await });
    }

    async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Answer {
        self.process(request).await.unwrap_or_else(|refusal| refusal.into_answer())
    }

    async fn process(self: &Arc<Self>, request: Request<Incoming>) -> Result<Answer, Refusal> {
        let (head, body) = request.into_parts();
        if head.uri.path() == "/lab/debugger.json" {
            return Ok(request::answer(200, &json!({ "entries": self.twilio.debugger() })));
        }
        if self.throttled.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err(Refusal::new(429, codes::TOO_MANY_REQUESTS, "Too Many Requests"));
        }
        let account = &self.twilio.settings.account;
        let is_main = self.authenticate(&head.headers)?;
        let path = head.uri.path();
        let segments: Vec<_> = path.trim_start_matches('/').split('/').collect();
        let not_found = || Refusal::not_found(path);
        let rest = match segments.as_slice() {
            [ROOT, "Accounts", sid, rest @ ..] if *sid == account.account_sid => rest,
            _ => return Err(not_found()),
        };
        match (rest, &head.method) {
            (["Calls.json"], &Method::POST) => {
                let form = Form::read(&head.headers, body).await?;
                self.create(&form).map(|call| request::answer(201, &call))
            }
            (["Calls.json"], &Method::GET) => {
                let query = list::Query::read(head.uri.query().unwrap_or_default())?;
                Ok(request::answer(200, &query.page(path, self.twilio.ledger.newest_first())))
            }
            (["Calls", sid, "Streams.json"], &Method::POST) => {
                self.twilio.ledger.find(sid).ok_or_else(not_found)?;
                Err(Refusal::new(400, codes::LAB, "the lab has no one-way streams"))
            }
            (["Calls", sid, "Streams", file], &Method::POST) => {
                let stream = file.strip_suffix(".json").ok_or_else(not_found)?;
                let form = Form::read(&head.headers, body).await?;
                self.stop_stream(path, sid, stream, &form).await.map(|stream| request::answer(200, &stream))
            }
            (["Calls", file], method) => {
                let sid = file.strip_suffix(".json").ok_or_else(not_found)?;
                let (entry, updates) = self.twilio.ledger.find(sid).ok_or_else(not_found)?;
                match *method {
                    Method::GET => Ok(request::answer(200, &entry.json())),
                    Method::POST => {
                        let form = Form::read(&head.headers, body).await?;
                        self.update(path, entry, &updates, &form).await.map(|call| request::answer(200, &call))
                    }
                    Method::DELETE if entry.status.is_over() => {
                        self.twilio.ledger.delete(sid);
                        Ok(request::no_content())
                    }
                    Method::DELETE => Err(Refusal::new(409, codes::NOT_FINISHED, "Call is in progress")),
                    _ => Err(Refusal::method_not_allowed(path)),
                }
            }
            (["Calls.json"] | ["Calls", _, "Streams.json"] | ["Calls", _, "Streams", _], _) => {
                Err(Refusal::method_not_allowed(path))
            }
            (rest, method) => {
                let query = head.uri.query().unwrap_or_default();
                let form = Form::read(&head.headers, body).await?;
                self.account(rest, method, (query, &form), is_main).ok_or_else(not_found)?
            }
        }
    }

    /// Lets the account's own SID and token pass, or one of its keys. Says whether it was the token.
    fn authenticate(&self, headers: &HeaderMap) -> Result<bool, Refusal> {
        let account = &self.twilio.settings.account;
        let given = request::credentials(headers);
        let is = |sid: &str, secret: &str| given.as_ref().is_some_and(|given| *given == format!("{sid}:{secret}"));
        let tokens = [&account.auth_token, &account.secondary_token];
        if tokens.iter().any(|token| is(&account.account_sid, token)) {
            return Ok(true);
        }
        let ApiKey { sid, secret } = &self.settings.api_key;
        let made = self.twilio.ledger.holdings().keys.iter().any(|key| is(&key.sid, &key.secret));
        if made || is(sid, secret) {
            return Ok(false);
        }
        Err(Refusal::new(401, codes::NOT_AUTHENTICATED, "Authenticate"))
    }

    fn create(self: &Arc<Self>, form: &Form) -> Result<Value, Refusal> {
        let mut entropy = self.twilio.entropy();
        let call_sid = CallSid::draw(&mut entropy);
        let account_sid = self.twilio.settings.account.account_sid.clone();
        let create::Accepted { order, warnings } = create::accept(form, &call_sid, account_sid, &self.owned_numbers())?;
        let callee = self.callee(&order.identity);
        if let Callee::Refused(code) = callee {
            return Err(Refusal::new(400, code, "Twilio does not call this number"));
        }
        warnings.iter().for_each(|finding| self.log(&call_sid, finding));
        let (turn, queue_time) = self.turn();
        let updates = self.twilio.ledger.enter(order.identity.clone(), CallStatus::Queued, queue_time);
        let (twilio, delivery) = (self.twilio.clone(), self.settings.callbacks);
        self.place(Outbound { twilio, order, callee, delivery, updates, entropy }, turn);
        let entry = self.twilio.ledger.find(call_sid.as_str());
        Ok(entry.map(|(entry, _)| entry.json()).unwrap_or_default())
    }

    /// What calls may come from: what the account was told, and what it bought. Empty: anything.
    fn owned_numbers(&self) -> Vec<String> {
        let bought = self.twilio.ledger.holdings().numbers.iter().map(|number| number.phone_number.clone()).collect();
        [self.settings.owned_numbers.clone(), bought].concat()
    }

    fn place(&self, outbound: Outbound, turn: Instant) {
        let (ledger, lines) = (self.twilio.ledger.clone(), self.lines.clone());
        self.spawn(async move {
            if let Some(report) = Box::pin(outbound.run(line(turn, lines))).await {
                ledger.leave_report(report);
            }
        });
    }

    fn callee(&self, identity: &Identity) -> Callee {
        let known = self.settings.callees.iter().find(|(address, _)| *address == identity.to);
        known.map_or(&self.settings.otherwise, |(_, callee)| callee).clone()
    }

    /// When the next call's turn is, and how long it waits for it. Twilio queues what comes too fast; it refuses
    /// nothing.
    fn turn(&self) -> (Instant, Duration) {
        let now = self.twilio.clock.now();
        let mut next = self.next_turn.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = next.map_or(now, |next| next.max(now));
        *next = Some(turn + self.settings.call_interval);
        (turn, turn - now)
    }

    fn log(&self, call_sid: &CallSid, finding: &Finding) {
        self.twilio.ledger.log(Some(call_sid.as_str()), None, finding);
    }
}

/// Returns at a call's turn, when there is a line for it.
async fn line(turn: Instant, lines: Option<Arc<Semaphore>>) -> Option<OwnedSemaphorePermit> {
    sleep_until(turn.into()).await;
    lines?.acquire_owned().await.ok()
}
