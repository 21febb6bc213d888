//! The phone lab's commands: `cli` has their flags, each function below does one.

mod cli;

use std::{
    fs::File,
    io::Write,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use clap::Parser;
use offhook_hosting::{
    clock::Clock,
    entropy::Entropy,
    env::{Env, Reader},
    lifecycle::Lifecycle,
    telemetry::{Telemetry, TelemetryConfig},
};
use phone_lab::{
    bedrock::{self, CertificateAuthority, ModelEvent, ModelEventKind, Server},
    credentials::CredentialEndpoint,
    demo, line,
    load::{self, Ears, Hears},
    network::Conditions,
    play::{self, wait_for},
    report::junit::junit,
    scenario::Scenario,
    show::tell,
    twilio::Settings,
};
use tokio::{net::TcpListener, sync::broadcast::error::RecvError};

use cli::{Bedrock, Cli, Command, Demo, Line, Load, Play};

/// Unless told how long the ramp lasts, calls are placed this far apart.
const CALL_EVERY: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo(demo) => run_demo(demo).await,
        Command::Play(play) => run_play(play).await,
        Command::Load(load) => run_load(load).await,
        Command::Chaos(flags) => phone_lab::chaos::run(flags).await,
        Command::Bedrock(bedrock) => run_bedrock(bedrock).await.map(|()| true),
        Command::Probe(probe) => probe.run(Clock).await,
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
        Some(file) => Ok(Scenario::from_file(&file)?),
        None => Ok(Scenario::demo()),
    }
}

async fn run_demo(options: Demo) -> anyhow::Result<bool> {
    let telemetry = Arc::new(start_telemetry()?);
    let scenario = scenario(options.scenario)?.under(options.to_twilio.conditions(), options.to_bedrock.conditions());
    let run = demo::run(scenario, options.pace, options.seed, &options.out, Arc::clone(&telemetry)).await?;
    tell(&run);
    if let Some(telemetry) = Arc::into_inner(telemetry) {
        // Blocks while it sends what is left.
        tokio::task::spawn_blocking(|| telemetry.shut_down()).await?;
    }
    Ok(run.good)
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

async fn run_play(options: Play) -> anyhow::Result<bool> {
    let (twilio_network, bedrock_network) = (options.to_twilio.conditions(), options.to_bedrock.conditions());
    anyhow::ensure!(
        bedrock_network.is_none() || options.bedrock_listen.is_some(),
        "--bedrock-network needs --bedrock-listen"
    );
    let scenarios = Scenario::from_files(&options.scenarios)?.into_iter();
    let scenarios = scenarios.map(|scenario| scenario.under(twilio_network, bedrock_network)).collect();
    let twilio = settings(&options.line)?;
    // Before the first call rather than after the last: a folder that is not there is noticed at once.
    let (junit_file, json_file) = (created(options.junit, "--junit")?, created(options.json, "--json")?);
    let lifecycle = Lifecycle::default();
    lifecycle.listen_for_signals()?;
    let model = match (options.bedrock_listen, options.ca_out) {
        (Some(listen), Some(ca_out)) => {
            let ca = CertificateAuthority::new()?;
            ca.write_pem(&ca_out).with_context(|| format!("--ca-out {}", ca_out.display()))?;
            let (pace, session_limit) = (options.pace, options.session_limit);
            let settings = bedrock::Settings { pace, session_limit, ..bedrock::Settings::default() };
            let (second_listen, credentials_listen) = (options.second_listen, options.credentials_listen);
            Some(play::Model { listen, second_listen, credentials_listen, settings, ca, ca_out })
        }
        (_, _) => None,
    };
    let (only, seed, parallel, out) = (options.only, options.seed, usize::from(options.parallel), options.out);
    let play = play::Play { twilio, scenarios, only, seed, parallel, out, model };
    let run = play.run(lifecycle.soft_stop()).await?;
    if let Some((mut file, name)) = junit_file {
        file.write_all(junit(&run)?.as_bytes()).context(name)?;
    }
    if let Some((mut file, name)) = json_file {
        file.write_all(&serde_json::to_vec_pretty(&run)?).context(name)?;
    }
    tell(format_args!("\n{run}"));
    Ok(run.good)
}

/// The file, and what to call it when something is wrong with it.
fn created(file: Option<PathBuf>, flag: &str) -> anyhow::Result<Option<(File, String)>> {
    let Some(path) = file else { return Ok(None) };
    let name = format!("{flag} {}", path.display());
    Ok(Some((File::create(path).with_context(|| name.clone())?, name)))
}

async fn run_load(options: Load) -> anyhow::Result<bool> {
    let mut twilio = settings(&options.line)?;
    twilio.network = options.to_twilio.conditions().cloned();
    let network = options.to_bedrock.conditions().cloned();
    anyhow::ensure!(network.is_none() || options.bedrock_listen.is_some(), "--bedrock-network needs --bedrock-listen");
    // Before the run: its result is not to be lost for want of a folder.
    let json = created(options.json, "--json")?;
    let lifecycle = Lifecycle::default();
    lifecycle.listen_for_signals()?;
    let stop = lifecycle.soft_stop();
    let length = Duration::from_secs(options.seconds);
    let mut hears = if options.echo { Hears::Echo } else { Hears::Anything };
    let mut model = None;
    if let (Some(listen), Some(ca_out)) = (options.bedrock_listen, options.ca_out) {
        let ears = Ears::new(options.calls, load::frames_in(length));
        model = Some(serve_echo(listen, &ca_out, &options.names, options.calls, ears.clone(), network).await?);
        hears = Hears::Model(ears);
        wait_for(twilio.edge, stop).await;
    }
    let ramp = options.ramp.map_or(CALL_EVERY * u32::from(options.calls), Duration::from_secs);
    let (calls, processes, seed, forgeries) = (options.calls, options.processes, options.seed, !options.skip_forgeries);
    let load = load::Load { twilio, calls, length, ramp, hears, forgeries, processes, seed };
    let mut report = load.run(stop.clone()).await?;
    if let Some(model) = model {
        report.model = Some(load::model_report(&model).await);
        model.stop().await;
    }
    tell(&report);
    if let Some((mut file, name)) = json {
        file.write_all(&serde_json::to_vec_pretty(&report.judged())?).context(name)?;
    }
    Ok(report.is_good())
}

/// Serves a model that echoes, and says how to start a worker that uses it.
async fn serve_echo(
    listen: SocketAddr,
    ca_out: &Path,
    more_names: &[String],
    calls: u16,
    ears: Ears,
    network: Option<Conditions>,
) -> anyhow::Result<Server> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("--bedrock-listen {listen}"))?;
    let ca = CertificateAuthority::new()?;
    ca.write_pem(ca_out).with_context(|| format!("--ca-out {}", ca_out.display()))?;
    let mut names = vec!["127.0.0.1".to_owned(), "localhost".to_owned(), listen.ip().to_string()];
    names.extend_from_slice(more_names);
    let settings = bedrock::Settings {
        echo: Some(Arc::new(ears)),
        // A call that was refused by a model at its limit would say nothing about frames.
        max_sessions: usize::from(calls),
        keep_audio: false,
        network,
        ..bedrock::Settings::default()
    };
    let address = listener.local_addr()?;
    let authority = more_names.first().map_or(address.to_string(), |name| format!("{name}:{}", address.port()));
    let environment = play::environment(&settings, &authority, ca_out);
    let server = Server::start(listener, &ca, &names, settings, Clock, Entropy::from_os())?;
    tell("start what is to be called (Offhook: the worker, then the edge). Whatever uses the model needs\n");
    tell(format_args!("{environment} MAX_SESSIONS={calls}\n"));
    Ok(server)
}

fn settings(line: &Line) -> anyhow::Result<Settings> {
    line::settings(&line.edge, &line.public_url, line.auth_token.as_deref())
}

async fn run_bedrock(options: Bedrock) -> anyhow::Result<()> {
    let listener = TcpListener::bind(options.listen).await.with_context(|| format!("--listen {}", options.listen))?;
    let ca = CertificateAuthority::new()?;
    ca.write_pem(&options.ca_out).with_context(|| format!("--ca-out {}", options.ca_out.display()))?;
    let mut names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    names.extend(options.names.iter().cloned());
    let Scenario { model, bedrock_network, .. } =
        scenario(options.scenario.clone())?.under(None, options.to_bedrock.conditions());
    let (entropy, ca_out) = (options.seed.map_or_else(Entropy::from_os, Entropy::from_seed), options.ca_out.clone());
    let credentials_listen = options.credentials_listen;
    let settings = options.settings(model, bedrock_network, Clock.wall());
    let credentials = match settings.token_life {
        Some(_) => Some(CredentialEndpoint::start(credentials_listen, settings.clone()).await?),
        None => None,
    };
    let lifecycle = Lifecycle::default();
    lifecycle.listen_for_signals()?;
    let server = Server::start(listener, &ca, &names, settings, Clock, entropy)?;
    tell(format_args!("simulated Bedrock on https://{}, trusted by {}\n", server.address(), ca_out.display()));
    if let Some(credentials) = &credentials {
        tell(format_args!("credentials: AWS_CONTAINER_CREDENTIALS_FULL_URI={}\n", credentials.uri()));
    }
    let mut events = server.watch();
    loop {
        tokio::select! {
            event = events.recv() => tell_end(&server, event),
            () = lifecycle.soft_stop().cancelled() => break,
        }
    }
    server.clone().stop().await;
    while let Ok(event) = events.try_recv() {
        tell_end(&server, Ok(event));
    }
    Ok(())
}

/// Prints a line for a session that has ended.
fn tell_end(server: &Server, event: Result<ModelEvent, RecvError>) {
    // A terminal that is too slow for the sessions misses some.
    let Ok(ModelEvent { session, kind: ModelEventKind::Closed(_), .. }) = event else { return };
    if let Some(report) = server.report(session) {
        tell(format_args!("{}\n", report.summary()));
    }
}
