//! The pair in this process: the lab's Bedrock, a sonic-worker and an edge on loopback ports that the system chose, and
//! the lab's Twilio to call them, and to be asked for calls by its REST interface. Real sockets and real wire formats; only
//! the processes are one.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, future},
};
use futures_util::future::join_all;
use offhook_hosting::{
    clock::Clock,
    entropy::Entropy,
    env::Env,
    lifecycle::{Drained, Lifecycle},
    telemetry::Telemetry,
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    bedrock::{self, CertificateAuthority, Server},
    twilio::{
        self, Account, Callee, Twilio,
        rest::{RestServer, RestSettings},
        url::Url,
    },
};

/// Reserved for examples (RFC 6761): nobody resolves it, and nothing needs to.
const PUBLIC_URL: &str = "https://voice.example.test";
const TICKET_KEY: &str = "a ticket key that only the lab's own edge uses";
/// Where the lab's callers are handed over to.
const SIP_ENDPOINT: &str = "sip:desk@pbx.example.test";

/// The number that the edge's own calls come from.
pub const FROM_NUMBER: &str = "+15550100100";
/// Whoever has it may have calls placed.
pub const OUTBOUND_TOKEN: &str = "a token for calls that only the lab's own edge takes";

/// What to start.
#[derive(Clone)]
pub struct Settings {
    /// The simulated service.
    pub bedrock: bedrock::Settings,
    /// The same in another region, to which the worker may turn.
    pub second_bedrock: Option<bedrock::Settings>,
    /// Further environment of the worker and the edge; wins over the lab's own.
    pub environment: Vec<(&'static str, String)>,
    /// Twilio's REST interface, with whoever the edge's own calls reach.
    pub rest: RestSettings,
    /// The seed of everything drawn by the lab.
    pub seed: u64,
}

/// The running pair. Stop it with [`Pair::stop`], or its tasks end with the runtime.
pub struct Pair {
    /// The simulated service, with its reports.
    pub bedrock: Server,
    /// The same in the second region, if there is one.
    pub second_bedrock: Option<Server>,
    /// Places calls to the edge.
    pub twilio: Twilio,
    /// Twilio's REST interface, which the edge has the key to.
    pub rest: RestServer,
    /// Where the edge takes what Twilio sends.
    pub edge_address: SocketAddr,
    /// The worker's gRPC address, as a URL.
    pub worker_url: String,
    /// Private listeners of edge and worker, as URLs.
    pub admin_urls: [String; 2],
    /// To stop the edge by hand.
    pub edge_lifecycle: Lifecycle,
    /// To stop the worker by hand.
    pub worker_lifecycle: Lifecycle,
    edge: JoinHandle<anyhow::Result<Drained>>,
    worker: JoinHandle<anyhow::Result<Drained>>,
    ca_file: CaFile,
}

/// The REST interface of tests that place no calls, or to people who do not pick up.
pub fn nobody_picks_up() -> RestSettings {
    RestSettings::new(Callee::NoAnswer)
}

/// A file that lasts as long as this does.
struct CaFile(PathBuf);

impl Drop for CaFile {
    fn drop(&mut self) {
        // Whoever removed it before has done what was to be done.
        let _ = fs::remove_file(&self.0);
    }
}

impl Pair {
    /// Starts everything. Both services report to `telemetry`.
    ///
    /// # Errors
    /// If a port cannot be bound, or a service does not start.
    pub async fn start(settings: Settings, telemetry: Arc<Telemetry>) -> anyhow::Result<Self> {
        let mut entropy = Entropy::from_seed(settings.seed);
        let ca = CertificateAuthority::new()?;
        let ca_file = write_ca(&ca)?;
        let bedrock = start_bedrock(&ca, settings.bedrock.clone(), &mut entropy).await?;
        let mut regions = Vec::new();
        let second_bedrock = match settings.second_bedrock {
            Some(second) => {
                let region = second.region.clone();
                let server = start_bedrock(&ca, second, &mut entropy).await?;
                let home = &settings.bedrock.region;
                regions.push(("BEDROCK_REGIONS", format!("{home},{region}=https://{}", server.address())));
                Some(server)
            }
            None => None,
        };
        let (worker_lifecycle, edge_lifecycle) = (Lifecycle::default(), Lifecycle::default());

        let listeners = sonic_worker::Listeners { grpc: loopback().await?, admin: loopback().await? };
        let worker_url = url(&listeners.grpc)?;
        let worker_admin = url(&listeners.admin)?;
        let rest_listener = loopback().await?;
        let mut environment = vec![
            ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", format!("https://{}", bedrock.address())),
            ("AWS_CA_BUNDLE", ca_file.0.display().to_string()),
            ("SONIC_WORKERS", worker_url.clone()),
            ("PUBLIC_URL", PUBLIC_URL.to_owned()),
            ("TWILIO_AUTH_TOKEN", Account::default().auth_token),
            ("TWILIO_ACCOUNT_SID", Account::default().account_sid),
            ("OFFHOOK_TICKET_KEY", TICKET_KEY.to_owned()),
            ("SIP_ENDPOINT", SIP_ENDPOINT.to_owned()),
            ("TWILIO_API_BASE_URL", url(&rest_listener)?),
            ("TWILIO_API_SID", settings.rest.api_key.sid.clone()),
            ("TWILIO_API_SECRET", settings.rest.api_key.secret.clone()),
            ("TWILIO_FROM_NUMBER", FROM_NUMBER.to_owned()),
            ("OFFHOOK_OUTBOUND_TOKEN", OUTBOUND_TOKEN.to_owned()),
            // The lab's callers call as often as they like.
            ("MAX_CALLS_PER_CALLER", "0".to_owned()),
        ];
        environment.extend(regions);
        environment.extend(renewal(settings.bedrock.session_limit()));
        environment.extend(settings.environment);
        let environment = Env::from_iter(environment);
        let config = sonic_worker::config::Config::from_env(&environment)?;
        let (aws, lifecycle, random) = (aws(&settings.bedrock), worker_lifecycle.clone(), entropy.fork());
        let reports = Arc::clone(&telemetry);
        let worker = tokio::spawn(async move {
            sonic_worker::run(config, &aws, listeners, &reports, lifecycle, Clock, random).await
        });

        let listeners = edge::Listeners { public: loopback().await?, admin: loopback().await? };
        let (edge_address, edge_admin) = (listeners.public.local_addr()?, url(&listeners.admin)?);
        let config = edge::Config::from_env(&environment)?;
        let (lifecycle, random) = (edge_lifecycle.clone(), entropy.fork());
        let edge =
            tokio::spawn(async move { edge::run(config, listeners, &telemetry, lifecycle, Clock, random).await });

        let public_url = Url::parse(PUBLIC_URL).expect("the lab's own URL is one");
        let url_of = |path| public_url.join(path).expect("an absolute path goes with any URL");
        // As the set-up page tells a number.
        let number = twilio::Settings {
            fallback_url: Some(url_of("/failover")),
            status_callback: Some(url_of("/call-status")),
            ..twilio::Settings::new(edge_address, &public_url)
        };
        let twilio = Twilio::new(number, Clock, entropy);
        let rest = RestServer::start(rest_listener, twilio.clone(), settings.rest)?;
        let admin_urls = [edge_admin, worker_admin];
        Ok(Self {
            bedrock,
            second_bedrock,
            twilio,
            rest,
            edge_address,
            worker_url,
            admin_urls,
            edge_lifecycle,
            worker_lifecycle,
            edge,
            worker,
            ca_file,
        })
    }

    /// The certificate authority that the simulated service is trusted by, while the pair runs.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file.0
    }

    /// Drains the edge, then the worker, then stops the simulated service.
    ///
    /// # Errors
    /// If a service ended with one, or had to end live calls.
    pub async fn stop(self) -> anyhow::Result<()> {
        let models = self.models();
        self.edge_lifecycle.soft_stop().cancel();
        let edge = self.edge.await.context("the edge panicked")??;
        self.worker_lifecycle.soft_stop().cancel();
        let worker = self.worker.await.context("the worker panicked")??;
        for model in models {
            model.stop().await;
        }
        anyhow::ensure!(edge == Drained::Whole && worker == Drained::Whole, "calls had to be ended to stop");
        Ok(())
    }

    /// Waits until the simulated service has no session open, for at most `limit`, and says whether it has none.
    pub async fn sessions_end_within(&self, limit: Duration) -> bool {
        let ends =
            join_all(self.models().into_iter().map(|model| async move { model.sessions_end_within(limit).await }));
        ends.await.into_iter().all(|ended| ended)
    }

    /// The simulated service in each region.
    pub fn models(&self) -> Vec<Server> {
        [&self.bedrock].into_iter().chain(&self.second_bedrock).cloned().collect()
    }
}

fn write_ca(ca: &CertificateAuthority) -> anyhow::Result<CaFile> {
    let ca_file = CaFile(std::env::temp_dir().join(format!("phone-lab-ca-{}.pem", Entropy::from_os().uuid())));
    ca.write_pem(&ca_file.0)?;
    Ok(ca_file)
}

async fn start_bedrock(
    ca: &CertificateAuthority,
    settings: bedrock::Settings,
    entropy: &mut Entropy,
) -> anyhow::Result<Server> {
    Server::start(loopback().await?, ca, &["127.0.0.1".to_owned()], settings, Clock, entropy.fork())
}

/// How a worker is told of sessions that live no longer than this: it renews them when three quarters are over, as the
/// real service's are. Empty if they are the real service's.
pub fn renewal(session_limit: Duration) -> Vec<(&'static str, String)> {
    if session_limit == bedrock::Settings::default().session_limit() {
        return Vec::new();
    }
    let millis = |duration: Duration| format!("{}ms", duration.as_millis());
    vec![("SESSION_RENEW_AFTER", millis(session_limit.mul_f64(0.75))), ("SESSION_LIMIT", millis(session_limit))]
}

/// What the worker's own start finds in the environment.
fn aws(bedrock: &bedrock::Settings) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(bedrock.region.clone()))
        .credentials_provider(SharedCredentialsProvider::new(Provider(bedrock.clone())))
        .build()
}

/// The credentials that the simulated service knows; each time they are asked for new ones, where they do not last.
#[derive(Debug)]
struct Provider(bedrock::Settings);

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let Self(bedrock::Settings { access_key_id, secret_access_key, session_token, .. }) = self;
        let (token, expiry) = match self.0.temporary_token(Clock.wall()) {
            Some((token, expires_at)) => (Some(token), Some(expires_at.into())),
            None => (session_token.clone(), None),
        };
        let credentials = Credentials::new(access_key_id, secret_access_key, token, expiry, "phone-lab");
        future::ProvideCredentials::ready(Ok(credentials))
    }
}

async fn loopback() -> anyhow::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await.context("no port on loopback")
}

fn url(listener: &TcpListener) -> anyhow::Result<String> {
    Ok(format!("http://{}", listener.local_addr()?))
}
