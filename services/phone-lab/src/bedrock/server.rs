//! The listener: TLS, HTTP/2, and the sessions that come of requests.

mod admission;
mod connection;

use std::{
    collections::VecDeque,
    future::pending,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use jiff::Timestamp;
use offhook_hosting::{clock::Clock, entropy::Entropy};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{broadcast, oneshot, watch},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) use self::connection::Connection;
use self::{admission::Admission, connection::accept};
use super::{
    auth::Keyring,
    ca::CertificateAuthority,
    fault::{Fault, Outage, Quirk, Refusal, Strikes},
    intake::Intake,
    model::Model,
    record::{Recorder, SharedReport, lock},
    report::{ModelEvent, SessionId, SessionReport},
    rules::Policy,
    session::{Outgoing, Session, outgoing},
    settings::{Settings, TokenExpiry},
};
use crate::network::{Line, LineReport, Network, Record};

const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";
/// How often it is seen whether sessions are still open.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
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

/// What goes wrong in the next sessions that would start, one each.
pub(super) type FaultQueue = Arc<Mutex<VecDeque<Fault>>>;

/// Whether the region is lost, and how.
pub(super) type Outages = Arc<watch::Sender<Option<Outage>>>;

struct Shared {
    settings: Arc<Settings>,
    keyring: Keyring,
    clock: Clock,
    entropy: Mutex<Entropy>,
    faults: FaultQueue,
    /// What connections' networks are drawn from, in the order of the connections, if they have one.
    chance: Option<Mutex<Entropy>>,
    lines: Mutex<VecDeque<Arc<Record>>>,
    reports: Mutex<VecDeque<SharedReport>>,
    refusals: Mutex<Vec<String>>,
    watch: broadcast::Sender<ModelEvent>,
    outage: Outages,
    live: Arc<AtomicUsize>,
    /// Sessions for which faults were drawn.
    admitted: AtomicUsize,
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
        mut entropy: Entropy,
    ) -> anyhow::Result<Self> {
        let protocols: &[&[u8]] = if settings.http1 { &[b"h2", b"http/1.1"] } else { &[b"h2"] };
        let acceptor = TlsAcceptor::from(Arc::new(ca.server_config(names, protocols)?));
        let address = listener.local_addr()?;
        if let Some(network) = &settings.network {
            network.prepare((&listener).into())?;
        }
        let shared = Arc::new(Shared {
            keyring: settings.keyring(),
            chance: settings.network.as_ref().map(|_| Mutex::new(entropy.fork())),
            lines: Mutex::default(),
            settings: Arc::new(settings),
            clock,
            entropy: Mutex::new(entropy),
            faults: FaultQueue::default(),
            reports: Mutex::default(),
            refusals: Mutex::default(),
            watch: broadcast::channel(WATCH_BACKLOG).0,
            outage: Arc::new(watch::Sender::new(None)),
            live: Arc::default(),
            admitted: AtomicUsize::new(0),
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

    /// The region is lost, to sessions that are open and to all that would be.
    pub fn lose(&self, outage: Outage) {
        self.shared.outage.send_replace(Some(outage));
    }

    /// The region is back.
    pub fn recover(&self) {
        self.shared.outage.send_replace(None);
    }

    /// How many sessions are open.
    pub fn live_sessions(&self) -> usize {
        self.shared.live.load(Ordering::Relaxed)
    }

    /// Waits until no session is open, for at most `limit`, and says whether none is.
    pub async fn sessions_end_within(&self, limit: Duration) -> bool {
        let none_left = async {
            while self.live_sessions() > 0 {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        timeout(limit, none_left).await.is_ok()
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// The newest sessions, up to 10,000, in the order of their opening, live ones included.
    pub fn reports(&self) -> Vec<SessionReport> {
        lock(&self.shared.reports).iter().map(|report| lock(report).clone()).collect()
    }

    /// The session with this id, if it is among those.
    pub fn report(&self, id: SessionId) -> Option<SessionReport> {
        let reports = lock(&self.shared.reports);
        reports.iter().rev().map(|report| lock(report)).find(|report| report.id == id).map(|report| report.clone())
    }

    /// Connections and requests that did not become sessions, and why. The first 1,000 are kept.
    pub fn refusals(&self) -> Vec<String> {
        lock(&self.shared.refusals).clone()
    }

    /// What the network did to each connection, where it has conditions; the newest 10,000.
    pub fn network(&self) -> Vec<LineReport> {
        let now = self.shared.clock.now();
        lock(&self.shared.lines).iter().map(|line| line.report(now)).collect()
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

type ResponseBody = Either<Outgoing, Full<Bytes>>;

impl Shared {
    /// The connection as it goes on, through the network if there is one.
    fn line(&self, socket: TcpStream) -> Line {
        let network =
            self.chance.as_ref().and_then(|chance| Network::of(self.settings.network.as_ref(), &mut lock(chance)));
        let (line, carrier) = Line::accept(socket, network);
        if let (Some(record), Some(carrier)) = (line.record(), carrier) {
            let mut lines = lock(&self.lines);
            if lines.len() == REPORTS {
                lines.pop_front();
            }
            lines.push_back(record);
            let stop = self.stop.clone();
            self.tasks.spawn(async move {
                tokio::select! {
                    () = carrier => {}
                    () = stop.cancelled() => {}
                }
            });
        }
        line
    }

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
        // Requests draw from a sequence each, so that none changes what another draws.
        let mut entropy = lock(&self.entropy).fork();
        let id = SessionId(entropy.uuid());
        let (head, body) = request.into_parts();
        if let Some(refusal) = self.outage().await {
            return self.refuse(id, &refusal);
        }
        let session = match self.admit(&head, self.clock.wall(), &mut entropy) {
            Ok(admission) => self.session(id, admission, connection, entropy),
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

    /// What a region says that is lost, if it says anything.
    async fn outage(&self) -> Option<Refusal> {
        let outage = *self.outage.borrow();
        match outage {
            None => None,
            Some(Outage::Unavailable | Outage::Refuse) => Some(Refusal::unavailable()),
            Some(Outage::Freeze) => pending().await,
        }
    }

    /// Whether connections are reset.
    fn refuses_connections(&self) -> bool {
        *self.outage.borrow() == Some(Outage::Refuse)
    }

    fn session(&self, id: SessionId, admission: Admission, connection: Connection, mut entropy: Entropy) -> Session {
        let Admission { chunks, model, protocol, faults, slot, expires_at } = admission;
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let report: SharedReport = Arc::new(Mutex::new(SessionReport::new(id, wall, &self.settings.region, protocol)));
        let mut reports = lock(&self.reports);
        if reports.len() == REPORTS {
            reports.pop_front();
        }
        reports.push_back(Arc::clone(&report));
        drop(reports);
        let strikes = Strikes::new(faults);
        let quirks = strikes.quirks();
        // Each draws from a sequence of its own, and all are made whether or not they are needed.
        let [mut delays, padding, policy, conversation] = std::array::from_fn(|_| entropy.fork());
        let delay = self.settings.timing().connect(&mut delays).saturating_add(strikes.answer_delay());
        Session {
            clock: self.clock,
            protocol,
            intake: Intake::new(chunks, Policy::new(&self.settings, model, policy)),
            padded: quirks.contains(&Quirk::Padding),
            padding,
            model: Model::new(Arc::clone(&self.settings), model, id.0, conversation, quirks, now),
            recorder: Recorder { session: id, report, watch: self.watch.clone(), keep_audio: self.settings.keep_audio },
            answer_at: now.checked_add(delay),
            strikes,
            next_faults: Arc::clone(&self.faults),
            expiry: expires_at.and_then(|at| self.expiry(at, now, wall)),
            answer_after_event: !self.settings.answer_immediately,
            slot,
            connection,
            outage: Arc::clone(&self.outage),
            stop: self.stop.clone(),
        }
    }

    /// When the token of a session that is opened now expires, on the other clock, and what becomes of the session then.
    fn expiry(&self, expires_at: Timestamp, now: Instant, wall: Timestamp) -> Option<(Instant, TokenExpiry)> {
        let left = expires_at.duration_since(wall);
        let at = now.checked_add(Duration::try_from(left).unwrap_or_default())?;
        Some((at, self.settings.token_expiry))
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
