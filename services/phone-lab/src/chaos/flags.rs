//! The command's flags.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Args;

use super::{
    Chaos, Compose, PUBLIC_URL, Processes, Services,
    compose::{File, Service},
    fleet::{self, Signal},
    plan::{Outline, PROCESS_STARTS_IN, SERVICE_STARTS_IN, Target},
};
use crate::line;

/// The command's flags.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// How many edges to start, at most 16.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    edges: u8,
    /// How many workers to start, at most 16.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    workers: u8,
    /// How many calls to keep up, at most 1000.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    calls: u16,
    /// For how many seconds, from 5 to 3600.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=3600))]
    seconds: u64,
    /// Who is killed.
    #[arg(long, default_value = "any")]
    kill: Target,
    /// How often, such as 10s; not under 1s.
    #[arg(long, default_value = "10s", value_parser = every)]
    every: Duration,
    /// With what.
    #[arg(long, default_value = "KILL", ignore_case = true)]
    signal: Signal,
    /// Seed of the plan and of everything that the lab draws.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The edge's binary; beside this one if left out.
    #[arg(long)]
    edge_bin: Option<PathBuf>,
    /// The worker's binary; beside this one if left out.
    #[arg(long)]
    worker_bin: Option<PathBuf>,
    /// A further environment variable of all processes; wins over the lab's own. May be repeated.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// Folder that gets a log for each process; none are kept if left out.
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// Gets the report as JSON.
    #[arg(long)]
    pub(super) json: Option<PathBuf>,
    #[command(flatten)]
    compose: ComposeFlags,
}

/// Services that are up already, instead of processes of the run.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "In a compose file")]
struct ComposeFlags {
    /// Kill and start services of this compose file, which are up. Their model has to say what it hears (bedrock --echo).
    #[arg(
        long = "compose",
        value_name = "FILE",
        requires = "address",
        conflicts_with_all = ["edges", "workers", "edge_bin", "worker_bin", "environment", "logs"]
    )]
    file: Option<PathBuf>,
    /// The file's project, if it is not the one that Compose takes by itself.
    #[arg(long, value_name = "NAME", requires = "file")]
    project: Option<String>,
    /// The service that is the edge.
    #[arg(long, value_name = "NAME", default_value = "edge", requires = "file")]
    edge_service: Service,
    /// The service that is the worker.
    #[arg(long, value_name = "NAME", default_value = "sonic-worker", requires = "file")]
    worker_service: Service,
    /// Where the edge is published, such as http://127.0.0.1:3000.
    #[arg(id = "address", long = "edge", value_name = "URL", requires = "file")]
    edge: Option<String>,
    /// The edge's PUBLIC_URL.
    #[arg(long, value_name = "URL", env = "PUBLIC_URL", default_value = PUBLIC_URL)]
    public_url: String,
    /// The edge's Twilio auth token; of a comma list the first signs.
    #[arg(long, value_name = "TOKEN", env = "TWILIO_AUTH_TOKEN", hide_env_values = true)]
    auth_token: Option<String>,
}

impl ComposeFlags {
    /// None without a compose file.
    fn services(self) -> anyhow::Result<Option<Services>> {
        let (Some(path), Some(edge)) = (self.file, self.edge) else { return Ok(None) };
        anyhow::ensure!(path.is_file(), "--compose: there is no file {}", path.display());
        Ok(Some(Services::Compose(Box::new(Compose {
            file: File { path, project: self.project },
            edge: self.edge_service,
            worker: self.worker_service,
            twilio: line::settings(&edge, &self.public_url, self.auth_token.as_deref())?,
        }))))
    }
}

fn every(text: &str) -> Result<Duration, String> {
    let every = humantime::parse_duration(text).ok().filter(|every| *every >= Duration::from_secs(1));
    every.ok_or_else(|| "expected a duration of at least a second, such as 10s".to_owned())
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.is_empty() { Err("expected NAME=VALUE".to_owned()) } else { Ok((name.to_owned(), value.to_owned())) }
}

impl TryFrom<Flags> for Chaos {
    type Error = anyhow::Error;

    fn try_from(flags: Flags) -> anyhow::Result<Self> {
        if let Some(logs) = &flags.logs {
            fs::create_dir_all(logs).with_context(|| format!("--logs {}", logs.display()))?;
        }
        let compose = flags.compose.services()?;
        // A service is killed with all its containers.
        let (edges, workers, starts_in) = match &compose {
            Some(_) => (1, 1, SERVICE_STARTS_IN),
            None => (flags.edges.into(), flags.workers.into(), PROCESS_STARTS_IN),
        };
        let outline = Outline {
            edges,
            workers,
            lasts: Duration::from_secs(flags.seconds),
            kill: flags.kill,
            every: flags.every,
            starts_in,
            seed: flags.seed,
        };
        anyhow::ensure!(
            outline.kill == Target::None || !outline.plan().is_empty(),
            "--seconds: too few for a kill every {0:?}: the first may take a quarter longer, and five seconds follow it. \
             Give more, a shorter --every, or --kill none",
            outline.every
        );
        let processes = || {
            Ok::<_, anyhow::Error>(Services::Processes(Processes {
                edge: fleet::binary(flags.edge_bin, "edge")?,
                worker: fleet::binary(flags.worker_bin, "sonic-worker")?,
                environment: flags.environment,
                logs: flags.logs,
            }))
        };
        let services = compose.map_or_else(processes, Ok)?;
        Ok(Self { outline, calls: flags.calls, signal: flags.signal, services })
    }
}
