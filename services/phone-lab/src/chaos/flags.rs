//! The command's flags.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Args;

use super::{
    Chaos,
    fleet::{self, Signal},
    plan::{Outline, Target},
};

/// The command's flags.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// How many edges to start.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    edges: u8,
    /// How many workers to start.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    workers: u8,
    /// How many calls to keep up.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    calls: u16,
    /// For how long.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=3600))]
    seconds: u64,
    /// Who is killed.
    #[arg(long, default_value = "any")]
    kill: Target,
    /// How often, such as 10s.
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
    /// Gets the report.
    #[arg(long)]
    pub(super) json: Option<PathBuf>,
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
        let outline = Outline {
            edges: flags.edges.into(),
            workers: flags.workers.into(),
            lasts: Duration::from_secs(flags.seconds),
            kill: flags.kill,
            every: flags.every,
            seed: flags.seed,
        };
        anyhow::ensure!(
            outline.kill == Target::None || !outline.plan().is_empty(),
            "--seconds: too few for a kill every {0:?}: the first may take a quarter longer, and five seconds follow it. \
             Give more, a shorter --every, or --kill none",
            outline.every
        );
        Ok(Self {
            outline,
            calls: flags.calls,
            signal: flags.signal,
            edge: fleet::binary(flags.edge_bin, "edge")?,
            worker: fleet::binary(flags.worker_bin, "sonic-worker")?,
            environment: flags.environment,
            logs: flags.logs,
        })
    }
}
