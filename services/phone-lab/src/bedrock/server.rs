//! The listener: TLS, HTTP/2, and the sessions that come of requests.

mod admission;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use offhook_hosting::{clock::Clock, entropy::Entropy};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{broadcast, oneshot},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::admission::Admission;
use super::{
    auth::Keyring,
    ca::CertificateAuthority,
    fault::{Fault, Quirk, Refusal, Strikes},
    intake::Intake,
    model::Model,
    record::{Recorder, SharedReport, lock},
    report::{ModelEvent, SessionId, SessionReport},
    rules::Policy,
    session::{Outgoing, Session, outgoing},
    settings::Settings,
    tap::{Resets, Tap},
};

const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// After a failed accept (out of sockets, most likely), before the next.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// Events kept for a watcher that lags.
const WATCH_BACKLOG: usize = 4096;
/// Reports kept for reading; earlier ones are not.
const REPORTS: usize = 10_000;
/// Refusals kept for reading; later ones are not.
const REFUSALS: usize = 1000;
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
    let handle = Connection::default();
    let service = service_fn(|request| {
        let (shared, handle) = (Arc::clone(&shared), handle.clone());
        async move { shared.answer(request, handle).await }
    });
    let socket = TokioIo::new(Tap::new(stream, handle.resets.clone()));
    let mut connection = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(shared.settings.max_concurrent_streams)
            .serve_connection(socket, service)
    );
    let mut leaving = false;
    loop {
        tokio::select! {
            result = &mut connection => {
                if let Err(error) = result {
                    tracing::debug!(%error, "connection failed");
                }
                return;
            }
            () = handle.leaving.cancelled(), if !leaving => {
                leaving = true;
                connection.as_mut().graceful_shutdown();
            }
            () = handle.dropped.cancelled() => return,
            () = shared.stop.cancelled() => return,
        }
    }
}

/// What a session can do to its connection.
#[derive(Clone, Default)]
pub(super) struct Connection {
    /// Ends it.
    pub(super) dropped: CancellationToken,
    /// Tells the client GOAWAY.
    pub(super) leaving: CancellationToken,
    pub(super) resets: Resets,
}

type ResponseBody = Either<Outgoing, Full<Bytes>>;

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
        connection: Connection,
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

    fn session(&self, id: SessionId, admission: Admission, connection: Connection) -> Session {
        let Admission { chunks, model, faults, slot } = admission;
        let now = self.clock.now();
        let mut entropy = lock(&self.entropy).fork();
        let report: SharedReport = Arc::new(Mutex::new(SessionReport::new(id, self.clock.wall())));
        let mut reports = lock(&self.reports);
        if reports.len() == REPORTS {
            reports.pop_front();
        }
        reports.push_back(Arc::clone(&report));
        drop(reports);
        let strikes = Strikes::new(faults);
        let quirks = strikes.quirks();
        let delay = self.settings.timing().connect(&mut entropy);
        let policy = Policy::new(&self.settings, model, &mut entropy);
        let padding = quirks.contains(&Quirk::Padding).then(|| entropy.fork());
        Session {
            clock: self.clock,
            intake: Intake::new(chunks, policy),
            model: Model::new(Arc::clone(&self.settings), model, id.0, entropy, quirks, now),
            recorder: Recorder { session: id, report, watch: self.watch.clone(), keep_audio: self.settings.keep_audio },
            answer_at: now + delay + strikes.answer_delay(),
            strikes,
            padding,
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
