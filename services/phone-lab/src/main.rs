//! The phone lab's commands.

use std::{
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use offhook_hosting::{
    clock::Clock,
    entropy::Entropy,
    env::{Env, Reader},
    lifecycle::Lifecycle,
    telemetry::{Telemetry, TelemetryConfig},
};
use phone_lab::{
    bedrock::{self, CertificateAuthority, Fault, Pace, Probability, Profile, Script, Server, Waived},
    call, demo,
    load::{self, Ears, Hears},
    scenario::{Scenario, ScenarioCall},
    twilio::{Account, Settings, url::Url},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Unless told how long the ramp lasts, calls are placed this far apart.
const CALL_EVERY: Duration = Duration::from_millis(100);
/// How often it is seen whether the edge is there.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Plays Twilio and Bedrock, strictly, with callers who know what they hear.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything in one process and play a scenario's calls; exit 0 only if all was heard as it was said.
    Demo(Demo),
    /// Place one call of a scenario to an edge that runs elsewhere; exit 0 only if the caller heard what was expected.
    Call(Call),
    /// Place many calls at once to an edge that runs elsewhere, and follow every frame; exit 0 only if all is as it was
    /// sent.
    Load(Load),
    /// Serve the simulated Bedrock until SIGTERM.
    Bedrock(Bedrock),
    /// Exit 0 if something listens at the address.
    Healthcheck {
        /// Where.
        address: SocketAddr,
    },
}

#[derive(Args)]
struct Demo {
    /// Folder for the recordings and transcripts.
    #[arg(long, default_value = "recordings")]
    out: PathBuf,
    /// Scenario file; the lab's own if left out.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// Factor on the model's pauses and delays; 1 is as slow as the real model.
    #[arg(long, default_value = "0.6", value_parser = pace)]
    pace: Pace,
    /// Seed of everything that the lab draws.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Args)]
struct Call {
    /// Where the edge listens, such as http://127.0.0.1:3000. The lab dials it as its load balancer would.
    #[arg(long)]
    edge: String,
    /// The edge's PUBLIC_URL.
    #[arg(long, env = "PUBLIC_URL", default_value = "https://voice.example.test")]
    public_url: String,
    /// The edge's Twilio auth token; of a comma list the first signs.
    #[arg(long, env = "TWILIO_AUTH_TOKEN", hide_env_values = true)]
    auth_token: Option<String>,
    /// Scenario file; the lab's own if left out.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// Which of the scenario's calls; the first if left out.
    #[arg(long)]
    name: Option<String>,
    /// Folder for the recording and the transcript; none are left if left out.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Seed of everything that the lab draws.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Args)]
struct Load {
    /// Where the edge listens, such as http://127.0.0.1:3000. The lab dials it as its load balancer would.
    #[arg(long)]
    edge: String,
    /// The edge's PUBLIC_URL.
    #[arg(long, default_value = "https://voice.example.test")]
    public_url: String,
    /// The edge's Twilio auth token.
    #[arg(long, env = "TWILIO_AUTH_TOKEN", hide_env_values = true)]
    auth_token: Option<String>,
    /// How many calls.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    calls: u16,
    /// How long each caller speaks.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Seconds until all calls have been placed; a tenth of a second for each if left out.
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    ramp: Option<u64>,
    /// A process to watch: its id, or its name. May be repeated.
    #[arg(long = "pid")]
    processes: Vec<String>,
    /// Gets the report.
    #[arg(long)]
    json: Option<PathBuf>,
    /// What is called sends back what it hears.
    #[arg(long, conflicts_with = "bedrock_listen")]
    echo: bool,
    /// Serve the simulated Bedrock here, with a model that echoes, for the edge's worker to use.
    #[arg(long, requires = "ca_out")]
    bedrock_listen: Option<SocketAddr>,
    /// Where to write the certificate authority that the worker must trust (AWS_CA_BUNDLE).
    #[arg(long, requires = "bedrock_listen")]
    ca_out: Option<PathBuf>,
    /// Seed of everything that the lab draws.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Args)]
struct Bedrock {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// A DNS name or address for the certificate, besides 127.0.0.1 and localhost. May be repeated.
    #[arg(long = "name")]
    names: Vec<String>,
    /// Where to write the certificate authority that clients must trust (AWS_CA_BUNDLE).
    #[arg(long)]
    ca_out: PathBuf,
    /// Scenario file; the lab's own if left out.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// Factor on the model's pauses and delays.
    #[arg(long, default_value = "1", value_parser = pace)]
    pace: Pace,
    /// How quick the model is: real, fast or slow.
    #[arg(long, default_value = "real")]
    profile: Profile,
    /// What goes wrong in every session: NAME, NAME=VALUE, either with @MOMENT. May be repeated.
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<Fault>,
    /// How likely each fault strikes a session, from 0 to 1.
    #[arg(long, default_value = "1")]
    fault_probability: Probability,
    /// Seed of everything that is drawn; drawn itself if left out.
    #[arg(long)]
    seed: Option<u64>,
    /// Numbers of rules that are not to be enforced, with commas between them.
    #[arg(long, value_name = "RULES")]
    waive: Option<Waived>,
    /// Sessions at a time.
    #[arg(long, default_value_t = 20)]
    max_sessions: usize,
    /// Streams at a time on one connection.
    #[arg(long, default_value_t = 200)]
    max_concurrent_streams: u32,
    /// Silence of the client that ends a session.
    #[arg(long, default_value = "55s", value_parser = humantime::parse_duration)]
    idle_limit: Duration,
    /// How likely an interactive text is refused as if audio had slipped into it, from 0 to 1.
    #[arg(long, default_value = "0")]
    slipped_audio: Probability,
    /// Refuse history whose roles do not alternate.
    #[arg(long)]
    strict_history: bool,
}

impl Bedrock {
    fn settings(self, script: Script) -> bedrock::Settings {
        bedrock::Settings {
            script,
            pace: self.pace,
            profile: self.profile,
            faults: self.faults,
            fault_probability: self.fault_probability,
            waived: self.waive.unwrap_or_default(),
            max_sessions: self.max_sessions,
            max_concurrent_streams: self.max_concurrent_streams,
            idle_limit: self.idle_limit,
            slipped_audio: self.slipped_audio,
            strict_history: self.strict_history,
            keep_audio: false,
            ..bedrock::Settings::default()
        }
    }
}

fn pace(text: &str) -> Result<Pace, String> {
    text.parse().ok().and_then(Pace::new).ok_or_else(|| "expected a number above 0".to_owned())
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo(demo) => run_demo(demo).await,
        Command::Call(call) => run_call(call).await,
        Command::Load(load) => run_load(load).await,
        Command::Bedrock(bedrock) => run_bedrock(bedrock).await.map(|()| true),
        Command::Healthcheck { address } => {
            let connected = TcpStream::connect_timeout(&address, Duration::from_secs(2));
            connected.map(|_| true).context("nothing listens there")
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("{problem:#}");
            ExitCode::from(2)
        }
    }
}

fn scenario(file: Option<PathBuf>) -> anyhow::Result<Scenario> {
    match file {
        Some(file) => Scenario::from_file(&file).with_context(|| file.display().to_string()),
        None => Ok(Scenario::demo()),
    }
}

async fn run_demo(options: Demo) -> anyhow::Result<bool> {
    let telemetry = Arc::new(start_telemetry()?);
    let scenario = scenario(options.scenario)?;
    let good = demo::run(scenario, options.pace, options.seed, &options.out, Arc::clone(&telemetry)).await?;
    if let Some(telemetry) = Arc::into_inner(telemetry) {
        // Blocks while it sends what is left.
        tokio::task::spawn_blocking(|| telemetry.shut_down()).await?;
    }
    Ok(good)
}

/// As the services have it, but without a log unless `RUST_LOG` is set: the demo's own lines are enough.
fn start_telemetry() -> anyhow::Result<Telemetry> {
    let env = Env::of_process();
    let mut reader = Reader::new(&env);
    let mut config = TelemetryConfig::read(&mut reader);
    if env.value("RUST_LOG").is_none() {
        "off".clone_into(&mut config.filter);
    }
    let config = reader.finish(Some(config))?;
    Telemetry::start("phone-lab", &config)
}

async fn run_call(options: Call) -> anyhow::Result<bool> {
    let call = one_call(scenario(options.scenario)?, options.name.as_deref())?;
    let settings = settings(&options.edge, &options.public_url, options.auth_token)?;
    call::run(call, settings, options.seed, options.out.as_deref()).await
}

async fn run_load(options: Load) -> anyhow::Result<bool> {
    let twilio = settings(&options.edge, &options.public_url, options.auth_token)?;
    let lifecycle = Lifecycle::default();
    lifecycle.listen_for_signals()?;
    let stop = lifecycle.soft_stop();
    let length = Duration::from_secs(options.seconds);
    let mut hears = if options.echo { Hears::Echo } else { Hears::Anything };
    let mut model = None;
    if let (Some(listen), Some(ca_out)) = (options.bedrock_listen, options.ca_out) {
        let ears = Ears::new(options.calls, load::frames_in(length));
        model = Some(serve_echo(listen, &ca_out, options.calls, ears.clone()).await?);
        hears = Hears::Model(ears);
        wait_for(twilio.edge, stop).await;
    }
    let ramp = options.ramp.map_or(CALL_EVERY * u32::from(options.calls), Duration::from_secs);
    let (calls, processes, seed) = (options.calls, options.processes, options.seed);
    let mut report = load::Load { twilio, calls, length, ramp, hears, processes, seed }.run(stop.clone()).await?;
    if let Some(model) = model {
        report.model = Some(load::model_report(&model).await);
        model.stop().await;
    }
    print!("{report}");
    if let Some(file) = options.json {
        std::fs::write(&file, serde_json::to_vec_pretty(&report)?).with_context(|| file.display().to_string())?;
    }
    Ok(report.is_good())
}

/// Serves a model that echoes, and says how to start a worker that uses it.
async fn serve_echo(listen: SocketAddr, ca_out: &Path, calls: u16, ears: Ears) -> anyhow::Result<Server> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("--bedrock-listen {listen}"))?;
    let ca = CertificateAuthority::new()?;
    ca.write_pem(ca_out).with_context(|| format!("--ca-out {}", ca_out.display()))?;
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned(), listen.ip().to_string()];
    let settings = bedrock::Settings {
        echo: Some(Arc::new(ears)),
        // A call that was refused by a model at its limit would say nothing about frames.
        max_sessions: usize::from(calls),
        keep_audio: false,
        ..bedrock::Settings::default()
    };
    let (region, key, secret) =
        (settings.region.clone(), settings.access_key_id.clone(), settings.secret_access_key.clone());
    let server = Server::start(listener, &ca, &names, settings, Clock, Entropy::from_os())?;
    println!("start the worker, then the edge, with");
    println!("  AWS_ENDPOINT_URL_BEDROCK_RUNTIME=https://{} AWS_CA_BUNDLE={}", server.address(), ca_out.display());
    println!("  AWS_REGION={region} AWS_ACCESS_KEY_ID={key} AWS_SECRET_ACCESS_KEY={secret} MAX_SESSIONS={calls}");
    Ok(server)
}

/// Returns once something listens there, or it is time to stop.
async fn wait_for(edge: SocketAddr, stop: &CancellationToken) {
    while !stop.is_cancelled() && tokio::net::TcpStream::connect(edge).await.is_err() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn settings(edge: &str, public_url: &str, auth_token: Option<String>) -> anyhow::Result<Settings> {
    let public_url = Url::parse(public_url).context("--public-url")?;
    let mut settings = Settings::new(address(edge)?, &public_url);
    if let Some(signing) = auth_token.as_deref().and_then(|tokens| tokens.split(',').next()) {
        settings.account = Account { auth_token: signing.trim().to_owned(), ..settings.account };
    }
    Ok(settings)
}

fn one_call(scenario: Scenario, name: Option<&str>) -> anyhow::Result<ScenarioCall> {
    let names: Vec<_> = scenario.calls.iter().map(|call| call.name.clone()).collect();
    let mut calls = scenario.calls.into_iter();
    let call = match name {
        Some(name) => calls.find(|call| call.name == name),
        None => calls.next(),
    };
    call.with_context(|| format!("--name: the scenario's calls are {}", names.join(", ")))
}

fn address(edge: &str) -> anyhow::Result<SocketAddr> {
    let authority = edge.strip_prefix("http://").context("--edge: expected http://host:port")?.trim_end_matches('/');
    let mut addresses =
        authority.to_socket_addrs().context("--edge: expected http://host:port of a host that resolves")?;
    addresses.next().context("--edge: the host has no address")
}

async fn run_bedrock(options: Bedrock) -> anyhow::Result<()> {
    let listener = TcpListener::bind(options.listen).await.with_context(|| format!("--listen {}", options.listen))?;
    let ca = CertificateAuthority::new()?;
    ca.write_pem(&options.ca_out).with_context(|| format!("--ca-out {}", options.ca_out.display()))?;
    let mut names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    names.extend(options.names.iter().cloned());
    let script = scenario(options.scenario.clone())?.model;
    let (entropy, ca_out) = (options.seed.map_or_else(Entropy::from_os, Entropy::from_seed), options.ca_out.clone());
    let settings = options.settings(script);
    let lifecycle = Lifecycle::default();
    lifecycle.listen_for_signals()?;
    let server = Server::start(listener, &ca, &names, settings, Clock, entropy)?;
    println!("simulated Bedrock on https://{}, trusted by {}", server.address(), ca_out.display());
    lifecycle.soft_stop().cancelled().await;
    server.stop().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bedrock(flags: &[&str]) -> Result<bedrock::Settings, String> {
        let command = ["phone-lab", "bedrock", "--ca-out", "ca.pem"];
        match Cli::try_parse_from(command.iter().chain(flags)).map_err(|error| error.to_string())?.command {
            Command::Bedrock(options) => Ok(options.settings(Script::default())),
            Command::Demo(_) | Command::Call(_) | Command::Load(_) | Command::Healthcheck { .. } => {
                unreachable!("another command")
            }
        }
    }

    #[test]
    fn the_flags_of_bedrock_are_its_settings() {
        let faults = ["--fault", "reset@sent:3", "--fault", "padding", "--fault-probability", "0.5"];
        let rules = ["--waive", "31,43", "--strict-history", "--slipped-audio", "0.05", "--idle-limit", "295s"];
        let rest = ["--profile", "slow", "--max-sessions", "2", "--max-concurrent-streams", "3"];
        let settings = bedrock(&[&faults[..], &rules, &rest].concat()).unwrap();
        assert_eq!(settings.faults, ["reset@sent:3", "padding"].map(|fault| fault.parse::<Fault>().unwrap()));
        assert_eq!(settings.fault_probability, "0.5".parse().unwrap());
        assert_eq!((settings.waived, settings.strict_history), ("31,43".parse().unwrap(), true));
        assert_eq!(settings.slipped_audio, "0.05".parse().unwrap());
        assert_eq!((settings.idle_limit, settings.profile), (Duration::from_secs(295), Profile::Slow));
        assert_eq!((settings.max_sessions, settings.max_concurrent_streams), (2, 3));
    }

    #[test]
    fn without_flags_bedrock_is_strict_and_well() {
        let (settings, usual) = (bedrock(&[]).unwrap(), bedrock::Settings::default());
        assert_eq!((settings.faults, settings.waived), (Vec::new(), Waived::NONE));
        assert_eq!((settings.idle_limit, settings.profile), (usual.idle_limit, usual.profile));
        assert_eq!(settings.max_concurrent_streams, usual.max_concurrent_streams);
    }

    #[test]
    fn wrong_flags_are_explained() {
        assert!(bedrock(&["--fault", "explode"]).err().unwrap().contains("there is no fault"));
        assert!(bedrock(&["--waive", "23"]).err().unwrap().contains("not the number of a rule that can be waived"));
    }
}
