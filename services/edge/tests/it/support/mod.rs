//! A running edge, a Twilio that signs, and workers that do what a test says.

pub(crate) mod documents;
pub(crate) mod twilio;
pub(crate) mod wire;
pub(crate) mod worker;

use std::{net::SocketAddr, time::Duration};

use edge::{Config, Listeners};
use offhook_hosting::{
    clock::Clock,
    entropy::Entropy,
    env::Env,
    lifecycle::{Drained, Lifecycle},
    telemetry::Telemetry,
};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};

pub(crate) const ACCOUNT: &str = "AC00000000000000000000000000000001";
pub(crate) const CALL: &str = "CA00000000000000000000000000000002";
pub(crate) const STREAM: &str = "MZ00000000000000000000000000000003";
pub(crate) const TOKEN: &str = "the-auth-token-of-these-tests";
/// Of edges that have agents.
pub(crate) const TICKET_KEY: &str = "a ticket key that only these tests use";
pub(crate) const HOST: &str = "voice.example.com";

/// One agent for each fallback, and one whose human has a telephone.
pub(crate) const AGENTS: &str = "default: human
agents:
  human: {prompt: Hello., transfer: {to: 'sip:desk@pbx.example.com;transport=tls', ring_seconds: 25}}
  number: {prompt: Hello., numbers: ['+15005550009'], transfer: {to: '+15005550008', caller_id: '+15005550009'}}
  queue: {prompt: Hello., sip_domains: [aurora.sip.twilio.com], fallback: queue}
  busy: {prompt: Hello., fallback: busy}
  apology: {prompt: Hello., fallback: apology}
";

/// Nothing in these tests takes this long: whoever waits longer waits in vain.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what has to happen, and fails the test if it does not.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("this should have happened by now")
}

/// An edge on loopback.
pub(crate) struct Edge {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) lifecycle: Lifecycle,
    running: JoinHandle<anyhow::Result<Drained>>,
    /// Has a place for every call, unless the test brings workers of its own.
    _worker: worker::Worker,
}

impl Edge {
    /// Serves with these workers.
    pub(crate) async fn with_workers(addresses: &[SocketAddr]) -> Self {
        let workers: Vec<_> = addresses.iter().map(|address| format!("http://{address}")).collect();
        Self::with_env(&[("SONIC_WORKERS", &workers.join(","))]).await
    }

    /// Same, with [`AGENTS`] and no human beside them.
    pub(crate) async fn with_agents(addresses: &[SocketAddr]) -> Self {
        let workers: Vec<_> = addresses.iter().map(|address| format!("http://{address}")).collect();
        let file = std::env::temp_dir().join(format!("offhook-{}.yaml", Entropy::from_os().uuid()));
        std::fs::write(&file, AGENTS).unwrap();
        let path = file.to_str().unwrap();
        let workers = workers.join(",");
        let variables = [
            ("SONIC_WORKERS", workers.as_str()),
            ("AGENTS_FILE", path),
            ("SIP_ENDPOINT", ""),
            ("OFFHOOK_TICKET_KEY", TICKET_KEY),
        ];
        let edge = Self::with_env(&variables).await;
        std::fs::remove_file(file).unwrap();
        edge
    }

    /// Serves with these variables beside those every edge needs.
    pub(crate) async fn with_env(variables: &[(&str, &str)]) -> Self {
        let required = [
            ("PUBLIC_URL", "https://voice.example.com"),
            ("TWILIO_AUTH_TOKEN", TOKEN),
            ("TWILIO_ACCOUNT_SID", ACCOUNT),
            ("SIP_ENDPOINT", "sip:help@example.com"),
        ];
        let worker = worker::Worker::willing().await;
        let its_address = format!("http://{}", worker.address);
        let default = [("SONIC_WORKERS", its_address.as_str())];
        let env: Env = required.iter().chain(&default).chain(variables).copied().collect();
        let config = Config::from_env(&env).unwrap();
        let listeners = Listeners { public: bind().await, admin: bind().await };
        let (public, admin) = (listeners.public.local_addr().unwrap(), listeners.admin.local_addr().unwrap());
        let (lifecycle, telemetry) = (Lifecycle::default(), Telemetry::for_metrics("edge"));
        let serving = lifecycle.clone();
        let running = tokio::spawn(async move {
            edge::run(config, listeners, &telemetry, serving, Clock, Entropy::from_seed(1)).await
        });
        Self { public, admin, lifecycle, running, _worker: worker }
    }

    /// What the edge returns once it has drained.
    pub(crate) async fn ends(self) -> Drained {
        soon(self.running).await.unwrap().unwrap()
    }

    /// No leg is live: neither its task nor its sockets are left.
    pub(crate) async fn is_idle(&self) {
        self.lifecycle.tasks().close();
        soon(self.lifecycle.tasks().wait()).await;
    }

    /// One sample of the Prometheus text, by its name and a label.
    pub(crate) async fn metric(&self, name: &str, label: &str) -> Option<f64> {
        let (_, text) = twilio::get(self.admin, "/metrics").await;
        let line = text.lines().find(|line| line.starts_with(name) && line.contains(label))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}
