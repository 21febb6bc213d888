//! Every rule of the simulated Bedrock that can be broken from outside, broken once at the simulator and once at a real
//! service.

mod events;
mod experiments;
mod facts;
mod plan;
mod reading;
mod report;
mod wire;

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use aws_credential_types::{Credentials, provider::ProvideCredentials};
use clap::Args;
use futures_util::{FutureExt, StreamExt, stream};
use http::Uri;
use offhook_hosting::{clock::Clock, entropy::Entropy};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use sonic_worker::bedrock::{read_ca_bundle, sdk_config};
use tokio::net::TcpListener;

use crate::bedrock::{CertificateAuthority, Script, Server, Settings};

pub use self::{
    experiments::{EXPERIMENTS, Experiment, Kind},
    facts::Facts,
    plan::Outcome,
    report::{Finding, Report},
    wire::Target,
};

/// How the simulator's model answers the questions of the experiments.
const SCRIPT: &str = "dialogue: [{ heard: cancel, tool: { name: cancel }, reply: done }]\notherwise: hello there";
/// A session that lives as long as its service allows is given up after this.
const SLOW_PATIENCE: Duration = Duration::from_secs(330);

/// `phone-lab probe bedrock`.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// AWS region; else AWS_REGION, else the profile's.
    #[arg(long, env = "AWS_REGION")]
    region: Option<String>,
    /// The model to ask for.
    #[arg(long, default_value = "amazon.nova-2-sonic-v1:0")]
    model: String,
    /// Another endpoint than the region's own, such as https://127.0.0.1:8443.
    #[arg(long, env = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME")]
    endpoint: Option<Uri>,
    /// Certificate authorities to trust besides the system's.
    #[arg(long, env = "AWS_CA_BUNDLE")]
    ca: Option<PathBuf>,
    /// Only these rules, with commas between them.
    #[arg(long, value_delimiter = ',')]
    rules: Option<Vec<u8>>,
    /// Also what takes up to ten minutes: the idle limit and the longest session.
    #[arg(long)]
    slow: bool,
    /// Also what takes 21 sessions at a time, which other users of the account may miss.
    #[arg(long)]
    crowd: bool,
    /// Sessions at a time.
    #[arg(long, default_value = "4")]
    parallel: NonZeroUsize,
    /// How long to wait for a service that says nothing.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// Gets the report as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Runs the probe and prints the report; true if simulator and service agree.
///
/// # Errors
/// If there is nobody to ask, nobody to sign as, or nothing to do.
pub async fn run(options: Options, clock: Clock) -> anyhow::Result<bool> {
    let service = service(&options).await?;
    let simulator = Simulator::start(Settings::default()).await?;
    let report = compare(&simulator.target, &service, &options.selection()?, options.pace(), clock).await?;
    print!("{report}");
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_vec_pretty(&report)?).with_context(|| file.display().to_string())?;
    }
    simulator.server.stop().await;
    Ok(report.agrees())
}

/// How hard and how long a service is asked.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Sessions at a time.
    pub parallel: NonZeroUsize,
    /// How long a service that says nothing is waited for.
    pub patience: Duration,
}

impl Options {
    fn pace(&self) -> Pace {
        Pace { parallel: self.parallel, patience: self.patience }
    }

    fn selection(&self) -> anyhow::Result<Vec<Experiment>> {
        let wanted = |experiment: &&Experiment| match experiment.kind {
            Kind::Quick => true,
            Kind::Slow => self.slow,
            Kind::Crowded => self.crowd,
        };
        let named = |rule: u8| self.rules.as_ref().is_none_or(|rules| rules.contains(&rule));
        if let Some(unknown) = self.rules.iter().flatten().find(|rule| !EXPERIMENTS.iter().any(|e| e.rule == **rule)) {
            anyhow::bail!("--rules: rule {unknown} is not one that can be broken from outside");
        }
        let selection: Vec<_> = EXPERIMENTS.iter().filter(wanted).filter(|e| named(e.rule)).copied().collect();
        anyhow::ensure!(!selection.is_empty(), "--rules: these take --slow or --crowd");
        Ok(selection)
    }
}

/// Puts two services through the same experiments.
///
/// # Errors
/// If one of them cannot be reached, or refuses a session that is right.
pub async fn compare(
    simulator: &Target,
    service: &Target,
    experiments: &[Experiment],
    pace: Pace,
    clock: Clock,
) -> anyhow::Result<Report> {
    let facts = [
        facts::observe(simulator, pace.patience, clock).await.context("the simulator")?,
        facts::observe(service, pace.patience, clock).await.context("the service")?,
    ];
    // What needs the whole quota has it alone.
    let (crowded, others): (Vec<_>, Vec<_>) = experiments.iter().partition(|e| e.kind == Kind::Crowded);
    let try_one = |experiment| try_at_both(experiment, [simulator, service], pace, clock);
    let trials = stream::iter(others).map(try_one).buffered(pace.parallel.get());
    let mut findings: Vec<_> = trials.chain(stream::iter(crowded).then(try_one)).collect().await;
    findings.sort_by_key(|finding| finding.rule);
    Ok(Report { simulator: facts[0].clone(), service: facts[1].clone(), findings })
}

async fn try_at_both(experiment: &Experiment, [simulator, service]: [&Target; 2], pace: Pace, clock: Clock) -> Finding {
    let plan = (experiment.plan)();
    let patience = if experiment.kind == Kind::Slow { SLOW_PATIENCE } else { pace.patience };
    let timed = |target| {
        let begun = clock.now();
        let carried_out = plan::carry_out(&plan, target, patience, clock);
        carried_out.map(move |outcome| (outcome, clock.now() - begun))
    };
    let (simulated, real) = tokio::join!(timed(simulator), timed(service));
    Finding::new(experiment, simulated, real)
}

async fn service(options: &Options) -> anyhow::Result<Target> {
    let sdk = sdk_config(options.region.clone()).await;
    let region = sdk.region().map(ToString::to_string).context("no region: set --region or AWS_REGION")?;
    let provider = sdk.credentials_provider().context("no credentials: set AWS_PROFILE or AWS_ACCESS_KEY_ID")?;
    let credentials = provider.provide_credentials().await;
    let credentials = credentials.context("no credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret")?;
    let endpoint = match &options.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => format!("https://bedrock-runtime.{region}.amazonaws.com").parse().context("--region")?,
    };
    anyhow::ensure!(endpoint.scheme_str() == Some("https"), "--endpoint: expected https://host[:port]");
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = &options.ca {
        roots.add_parsable_certificates(read_ca_bundle(file).map_err(anyhow::Error::msg).context("--ca")?);
    }
    Ok(Target { endpoint, region, credentials, tls: trusting(roots)?, model: options.model.clone() })
}

fn trusting(roots: RootCertStore) -> anyhow::Result<Arc<ClientConfig>> {
    let provider = rustls::crypto::ring::default_provider();
    let versions = ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions()?;
    let mut config = versions.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// A simulated Bedrock to compare with.
pub struct Simulator {
    /// It.
    pub server: Server,
    /// How to reach it.
    pub target: Target,
}

impl Simulator {
    /// Starts one on a free loopback port, with these settings but a script of its own.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let settings = Settings { script: Script::from_yaml(SCRIPT)?, keep_audio: false, ..settings };
        let ca = CertificateAuthority::new()?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes())?)?;
        let (key, secret) = (settings.access_key_id.clone(), settings.secret_access_key.clone());
        let (region, token) = (settings.region.clone(), settings.session_token.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let server = Server::start(listener, &ca, &["127.0.0.1".into()], settings, Clock, Entropy::from_os())?;
        let target = Target {
            endpoint: format!("https://{}", server.address()).parse()?,
            region,
            credentials: Credentials::new(key, secret, token, None, "simulator"),
            tls: trusting(roots)?,
            model: "amazon.nova-2-sonic-v1:0".into(),
        };
        Ok(Self { server, target })
    }
}
