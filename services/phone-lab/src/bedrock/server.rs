//! The listener: TLS, HTTP/2, and everything that is decided before a session starts.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, request::Parts};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use jiff::Timestamp;
use offhook_hosting::{clock::Clock, entropy::Entropy};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{broadcast, oneshot},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    auth::{ChunkVerifier, Keyring},
    ca::CertificateAuthority,
    events::Generation,
    fault::{Fault, Refusal},
    intake::Intake,
    model::Model,
    record::{Recorder, SharedReport, lock},
    report::{ModelEvent, SessionId, SessionReport},
    session::{Outgoing, Session, outgoing},
    settings::Settings,
};

const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// After a failed accept (out of sockets, most likely), before the next.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// From the request to the response, in milliseconds at real pace: uniformly within these.
const CONNECT: std::ops::Range<u64> = 80..141;
/// Events kept for a watcher that lags.
const WATCH_BACKLOG: usize = 4096;
/// Reports kept for reading; earlier ones are not.
const REPORTS: usize = 10_000;
/// Refusals kept for reading; later ones are not.
const REFUSALS: usize = 1000;
/// Where Nova 2 Sonic is offered, and v1 was (AWS, model cards).
const REGIONS_V2: [&str; 4] = ["us-east-1", "us-west-2", "eu-north-1", "ap-northeast-1"];
const REGIONS_V1: [&str; 3] = ["us-east-1", "eu-north-1", "ap-northeast-1"];
/// When v1 reached its end of life, as seconds of Unix time: 2026-09-14.
const V1_END: i64 = 1_789_344_000;

/// A running service. Clones are handles to the same one.
#[derive(Clone)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    settings: Arc<Settings>,
    keyring: Keyring,
    clock: Clock,
    entropy: Mutex<Entropy>,
    faults: Mutex<VecDeque<Fault>>,
    reports: Mutex<VecDeque<SharedReport>>,
    refusals: Mutex<Vec<String>>,
    watch: broadcast::Sender<ModelEvent>,
    live: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Serves on this listener, under a certificate of this authority for these names and addresses.
    pub fn start(
        listener: TcpListener,
        ca: &CertificateAuthority,
        names: &[String],
        settings: Settings,
        clock: Clock,
        entropy: Entropy,
    ) -> anyhow::Result<Self> {
        let acceptor = TlsAcceptor::from(Arc::new(ca.server_config(names, &[b"h2"])?));
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            keyring: settings.keyring(),
            settings: Arc::new(settings),
            clock,
            entropy: Mutex::new(entropy),
            faults: Mutex::default(),
            reports: Mutex::default(),
            refusals: Mutex::default(),
            watch: broadcast::channel(WATCH_BACKLOG).0,
            live: Arc::default(),
            connections: Arc::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        shared.tasks.spawn(accept(Arc::clone(&shared), listener, acceptor));
        Ok(Self { address, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes something go wrong in the next session that would start. Several wait in line.
    pub fn inject(&self, fault: Fault) {
        lock(&self.shared.faults).push_back(fault);
    }

    /// How many sessions are open.
    pub fn live_sessions(&self) -> usize {
        self.shared.live.load(Ordering::Relaxed)
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// The newest sessions, up to 10,000, in the order of their opening, live ones included.
    pub fn reports(&self) -> Vec<SessionReport> {
        lock(&self.shared.reports).iter().map(|report| lock(report).clone()).collect()
    }

    /// Connections and requests that did not become sessions, and why. The first 1,000 are kept.
    pub fn refusals(&self) -> Vec<String> {
        lock(&self.shared.refusals).clone()
    }

    /// What happens from now on. A watcher that lags behind misses the oldest.
    pub fn watch(&self) -> broadcast::Receiver<ModelEvent> {
        self.shared.watch.subscribe()
    }

    /// Ends all sessions and connections, and returns when they have.
    pub async fn stop(self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

/// One more of something, until dropped.
pub(super) struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counter))
    }

    /// None if there are that many already.
    fn below(counter: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let more = |count| (count < limit).then_some(count + 1);
        counter.try_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self(Arc::clone(counter)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, acceptor: TlsAcceptor) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        match accepted {
            Ok((socket, _)) => {
                let connection = connect(Arc::clone(&shared), socket, acceptor.clone());
                shared.tasks.spawn(connection);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn connect(shared: Arc<Shared>, socket: TcpStream, acceptor: TlsAcceptor) {
    let _counted = Counted::new(&shared.connections);
    // Latency is what the lab measures; a socket that cannot be told so is about to fail anyway.
    let _ = socket.set_nodelay(true);
    let handshake = tokio::select! {
        handshake = timeout(HANDSHAKE_LIMIT, acceptor.accept(socket)) => handshake,
        () = shared.stop.cancelled() => return,
    };
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return shared.refused(format!("TLS handshake failed: {error}")),
        Err(_) => return shared.refused("TLS handshake timed out".into()),
    };
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return shared.refused("the client did not negotiate h2: HTTP/1.1 is not served".into());
    }
    let dropped = CancellationToken::new();
    let service = service_fn(|request| {
        let (shared, dropped) = (Arc::clone(&shared), dropped.clone());
        async move { shared.answer(request, dropped).await }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        result = connection => if let Err(error) = result {
            tracing::debug!(%error, "connection failed");
        },
        () = dropped.cancelled() => {}
        () = shared.stop.cancelled() => {}
    }
}

type ResponseBody = Either<Outgoing, Full<Bytes>>;

/// A request that may become a session.
struct Admission {
    chunks: ChunkVerifier,
    model: Generation,
    fault: Option<Fault>,
    slot: Counted,
}

impl Shared {
    fn refused(&self, why: String) {
        tracing::debug!(why, "refused");
        let mut refusals = lock(&self.refusals);
        if refusals.len() < REFUSALS {
            refusals.push(why);
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        connection: CancellationToken,
    ) -> Result<Response<ResponseBody>, http::Error> {
        let id = SessionId(lock(&self.entropy).uuid());
        let (head, body) = request.into_parts();
        let session = match self.admit(&head, self.clock.wall()) {
            Ok(admission) => self.session(id, admission, connection),
            Err(refusal) => return self.refuse(id, &refusal),
        };
        let (sender, outgoing) = outgoing();
        let (answer, answered) = oneshot::channel();
        self.tasks.spawn(session.run(body, sender, answer));
        if answered.await.is_err() {
            // Only a session that is cut off with its connection does not answer: nobody reads this.
            return self.refuse(id, &Refusal::internal());
        }
        Response::builder()
            .header("content-type", EVENT_STREAM)
            .header("x-amzn-requestid", id.to_string())
            .body(Either::Left(outgoing))
    }

    /// Everything that is decided before a session starts.
    fn admit(&self, head: &Parts, now: Timestamp) -> Result<Admission, Refusal> {
        let model = operation(head)?;
        let chunks = self.keyring.verify(head, now)?;
        let model = self.offered(&model, now).ok_or_else(Refusal::not_found)?;
        let slot = Counted::below(&self.live, self.settings.max_sessions).ok_or_else(Refusal::throttled)?;
        let fault = lock(&self.faults).pop_front();
        match fault {
            Some(Fault::Refuse(refusal)) => Err(refusal),
            fault => Ok(Admission { chunks, model, fault, slot }),
        }
    }

    /// The model of this id, if this region offers it at this time.
    fn offered(&self, id: &str, now: Timestamp) -> Option<Generation> {
        let model = Generation::of_model(id)?;
        let region = self.settings.region.as_str();
        let offered = match model {
            Generation::V1 => REGIONS_V1.contains(&region) && now.as_second() < V1_END,
            Generation::V2 => REGIONS_V2.contains(&region),
        };
        offered.then_some(model)
    }

    fn session(&self, id: SessionId, admission: Admission, connection: CancellationToken) -> Session {
        let Admission { chunks, model, fault, slot } = admission;
        let now = self.clock.now();
        let mut entropy = lock(&self.entropy).fork();
        let report: SharedReport = Arc::new(Mutex::new(SessionReport::new(id, self.clock.wall())));
        let mut reports = lock(&self.reports);
        if reports.len() == REPORTS {
            reports.pop_front();
        }
        reports.push_back(Arc::clone(&report));
        drop(reports);
        let delay = entropy.between(CONNECT.start, CONNECT.end);
        Session {
            clock: self.clock,
            intake: Intake::new(chunks, model),
            model: Model::new(Arc::clone(&self.settings), model, id.0, entropy, now),
            recorder: Recorder { session: id, report, watch: self.watch.clone(), keep_audio: self.settings.keep_audio },
            fault,
            answer_at: now + self.settings.pace.millis(delay),
            answer_after_event: !self.settings.answer_immediately,
            slot,
            connection,
            stop: self.stop.clone(),
        }
    }

    fn refuse(&self, id: SessionId, refusal: &Refusal) -> Result<Response<ResponseBody>, http::Error> {
        let Refusal { status, error, message } = refusal;
        self.refused(format!("{status} {error}: {message}"));
        Response::builder()
            .status(*status)
            .header("content-type", "application/json")
            .header("x-amzn-errortype", error)
            .header("x-amzn-requestid", id.to_string())
            .body(Either::Right(Full::from(json!({ "message": message }).to_string())))
    }
}

/// The id of the model that a request is for, if it is for one.
fn operation(head: &Parts) -> Result<String, Refusal> {
    let path = head.uri.path().strip_prefix("/model/");
    let model = path.and_then(|path| path.strip_suffix("/invoke-with-bidirectional-stream"));
    let model = model.filter(|model| !model.contains('/') && head.method == Method::POST && head.uri.query().is_none());
    let Some(model) = model else {
        return Err(Refusal::new(404, "UnknownOperationException", "there is no such operation"));
    };
    if head.headers.get("content-type").is_none_or(|content| content != EVENT_STREAM) {
        return Err(Refusal::new(415, "ValidationException", "the content type is not an event stream"));
    }
    Ok(model.replace("%3A", ":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation_of(method: &str, path: &str, content: &str) -> Result<String, u16> {
        let request = Request::builder().method(method).uri(path).header("content-type", content).body(()).unwrap();
        operation(&request.into_parts().0).map_err(|refusal| refusal.status)
    }

    #[test]
    fn there_is_one_operation_and_it_takes_event_streams() {
        let path = "/model/amazon.nova-2-sonic-v1%3A0/invoke-with-bidirectional-stream";
        assert_eq!(operation_of("POST", path, EVENT_STREAM), Ok("amazon.nova-2-sonic-v1:0".into()));
        assert_eq!(operation_of("GET", path, EVENT_STREAM), Err(404));
        assert_eq!(operation_of("POST", &format!("{path}?a=b"), EVENT_STREAM), Err(404));
        assert_eq!(operation_of("POST", "/model/x/converse", EVENT_STREAM), Err(404));
        assert_eq!(operation_of("POST", path, "application/json"), Err(415));
    }
}
