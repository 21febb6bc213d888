//! The edge: everything that faces Twilio.
//!
//! Twilio's webhooks are answered with TwiML and its media sockets are joined to a sonic-worker, one gRPC stream a leg.
//! An edge holds nothing but open sockets: what a call is about lives with the workers, and so does the answer to the
//! question what comes after a leg.
//!
//! - [`twilio`]: the wire's facts, pure: signatures, identifiers, documents, media messages.
//! - [`call`]: the rules of a leg, pure: tickets, the state machine, both directions of audio.
//! - `routes`: one file a door. `bridge`: the one task of a leg. [`worker`]: the port to the workers.
//! - [`public_listener`], [`limits`]: who gets a connection, and how much they may ask for.
//! - [`config`], [`monitor`]: what is configured, and what is counted. [`development`]: what is not for production.
//! - [`arrivals`], [`awaited`]: what a draining edge waits for beside open sockets.

pub mod arrivals;
pub mod awaited;
pub mod call;
pub mod config;
pub mod development;
pub mod limits;
pub mod monitor;
pub mod outbound;
pub mod public_listener;
pub mod twilio;
pub mod worker;

mod bridge;
mod routes;

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use offhook_agents::Agents;
use offhook_hosting::{
    admin,
    clock::Clock,
    entropy::Entropy,
    lifecycle::{Drained, Lifecycle},
    telemetry::Telemetry,
};
use secrecy::ExposeSecret;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use config::Config;

use arrivals::Arrivals;
use awaited::Farewells;
use call::{placed::Seals, ticket::Tickets};
use config::PublicUrl;
use development::Signatures;
use limits::{Limit, Limits, source::TrustedProxies};
use monitor::Monitor;
use outbound::{Desk, machine::Machines};
use twilio::{
    rest::{HttpRest, Rest},
    sid::AccountSid,
    signature::Verifier,
};
use worker::{Connect, GrpcWorker, Worker, WorkerPool};

/// Requests that are still being answered when all calls have ended get this long.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// The bound sockets of an edge.
#[derive(Debug)]
pub struct Listeners {
    /// What Twilio reaches through the load balancer.
    pub public: TcpListener,
    /// Health, readiness and metrics.
    pub admin: TcpListener,
}

/// What the routes and the legs share.
pub(crate) struct App {
    public_url: PublicUrl,
    account: Option<AccountSid>,
    agents: Arc<Agents>,
    verifier: Verifier,
    tickets: Tickets,
    seals: Seals,
    pool: WorkerPool,
    /// `None`: no API key is configured.
    rest: Option<Arc<dyn Rest>>,
    /// `None`: nobody may have calls placed.
    outbound: Option<Desk>,
    machines: Machines,
    arrivals: Arrivals,
    farewells: Farewells,
    limits: Limits,
    trusted_proxies: TrustedProxies,
    monitor: Monitor,
    lifecycle: Lifecycle,
    clock: Clock,
}

/// Serves until the lifecycle's soft stop, then until live calls have ended or their time is over.
///
/// While draining, calls that arrive are turned away with a sentence; those that were taken are still served, and the
/// other webhooks are answered until no call needs them. Not ready before a worker is known.
///
/// # Errors
/// If a listener breaks, or Twilio's REST interface is configured and this machine trusts no certificate authority.
pub async fn run(
    config: Config,
    listeners: Listeners,
    telemetry: &Telemetry,
    lifecycle: Lifecycle,
    clock: Clock,
    mut entropy: Entropy,
) -> anyhow::Result<Drained> {
    let (drain, connections, signatures) = (config.drain, config.limits.connections, config.signatures);
    let connect: Connect = Arc::new(|address| Arc::new(GrpcWorker::new(address)) as Arc<dyn Worker>);
    let pool = WorkerPool::new(config.workers.clone(), connect, clock);
    let rest = match &config.twilio.rest {
        Some(key) => Some(Arc::new(HttpRest::new(key.clone(), clock, entropy.fork())?) as Arc<dyn Rest>),
        None => None,
    };
    let app = Arc::new(App::new(config, pool, rest, telemetry, lifecycle.clone(), clock, entropy));
    let (address, admin_address) = (listeners.public.local_addr()?, listeners.admin.local_addr()?);
    info!(%address, admin.address = %admin_address, public.url = %app.public_url, "edge serves");
    let drained = CancellationToken::new();
    let (router, full) = (routes::router(app.clone()), || app.monitor.limited(Limit::Connections));
    let public = public_listener::serve(listeners.public, router, connections, drained.clone(), full);
    let pool = app.clone();
    let has_worker = move || pool.pool.was_populated();
    let admin = admin::serve_when(listeners.admin, telemetry.registry(), lifecycle.clone(), has_worker);
    let (resolving, warning, drain) = (app.pool.keep_resolving(), signatures.keep_warning(), lifecycle.drain(drain));
    tokio::pin!(public, admin, resolving, warning, drain);
    let mut admin_serves = true;
    // Everything is polled to the end of the drain: Twilio asks about calls that were cut at its very end.
    let how = loop {
        tokio::select! {
            how = &mut drain => break how,
            () = &mut public => anyhow::bail!("the public listener ended"),
            // It serves until the hard stop.
            end = &mut admin, if admin_serves => { end?; admin_serves = false; lifecycle.soft_stop().cancel(); }
            never = &mut resolving => match never {},
            never = &mut warning => match never {},
        }
    };
    drained.cancel();
    if timeout(LAST_ANSWERS, public).await.is_err() {
        warn!("some requests were not answered in time");
    }
    lifecycle.hard_stop().cancel();
    Ok(how)
}

impl App {
    fn new(
        config: Config,
        pool: WorkerPool,
        rest: Option<Arc<dyn Rest>>,
        telemetry: &Telemetry,
        lifecycle: Lifecycle,
        clock: Clock,
        mut entropy: Entropy,
    ) -> Self {
        let Config { public_url, signatures, twilio, agents, limits, .. } = config;
        let issuer = entropy.bytes();
        let key = twilio.ticket_key.unwrap_or_else(|| {
            warn!("OFFHOOK_TICKET_KEY is not set: other edges behind the same name will refuse this one's tickets");
            URL_SAFE_NO_PAD.encode(entropy.bytes::<32>()).into()
        });
        let key = key.expose_secret();
        Self {
            verifier: match signatures {
                Signatures::Checked => Verifier::new(twilio.auth_tokens, public_url.clone()),
                Signatures::Skipped(because) => Verifier::taking_anything(because, public_url.clone()),
            },
            public_url,
            account: twilio.account,
            tickets: Tickets::new(key, issuer),
            seals: Seals::new(key.as_bytes()),
            agents: Arc::new(agents),
            pool,
            rest,
            outbound: twilio.outbound.map(|config| Desk::new(config, entropy.fork())),
            machines: Machines::default(),
            arrivals: Arrivals::default(),
            farewells: Farewells::default(),
            limits: Limits::new(&limits),
            trusted_proxies: limits.trusted_proxies,
            monitor: Monitor::new(&telemetry.meter("edge")),
            lifecycle,
            clock,
        }
    }

    /// Seconds since 1970, for tickets that other edges read.
    fn unix_time(&self) -> u64 {
        self.clock.wall().as_second().try_into().unwrap_or(0)
    }
}
