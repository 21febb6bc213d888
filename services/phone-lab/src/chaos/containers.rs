//! The containers of a run: services of a compose file that are up already, killed and started again.
//!
//! They are not the lab's: a run ends with every one of them up again that it killed.

use std::{process::Stdio, time::Duration};

use anyhow::Context;
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

use super::{
    compose::{self, Argv, File, Flavour, Health, Service, State},
    fleet::Signal,
    plan::Victim,
    strikes::{Killed, Mortal},
};

/// How long a command may take.
const COMMAND_WITHIN: Duration = Duration::from_secs(60);
/// How long a service has to become healthy.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often Docker is asked.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// A service that is up, with all its containers.
#[derive(Debug)]
pub(super) struct Containers {
    victim: Victim,
    flavour: Flavour,
    file: File,
    service: Service,
    ids: Vec<String>,
    /// When each was last started, as far as the lab knows.
    started: Vec<String>,
    /// Whether the lab killed it and has not started it since.
    down: bool,
}

/// The Compose that is installed.
///
/// # Errors
/// If none is.
pub(super) async fn flavour() -> anyhow::Result<Flavour> {
    for flavour in Flavour::ALL {
        if run(&flavour.version()).await.is_ok() {
            return Ok(flavour);
        }
    }
    anyhow::bail!("--compose needs `docker compose` or docker-compose, and neither runs here")
}

impl Containers {
    /// A service that has to be up and healthy.
    ///
    /// # Errors
    /// If it is not; says what to do.
    pub(super) async fn find(flavour: Flavour, file: File, service: Service, victim: Victim) -> anyhow::Result<Self> {
        let (name, path) = (service.as_str(), file.path.display());
        let answer = run(&file.containers(flavour, &service)).await?;
        let ids: Vec<_> = answer.split_whitespace().map(str::to_owned).collect();
        anyhow::ensure!(
            !ids.is_empty(),
            "the service {name} of {path} has no container: start it with `up --detach`, and name its project with \
             --project if it has one of its own"
        );
        let started = Vec::new();
        let mut containers = Self { victim, flavour, file, service, ids, started, down: false };
        let states = containers.states().await?;
        let name = containers.service.as_str();
        anyhow::ensure!(
            states.iter().all(|state| state.health != Health::Unknown),
            "the service {name} has no health check: nobody would know when it is back"
        );
        anyhow::ensure!(states.iter().all(State::is_ready), "the service {name} is not healthy: look at its logs");
        containers.started = started_at(&states);
        Ok(containers)
    }

    async fn states(&self) -> anyhow::Result<Vec<State>> {
        let answer = run(&compose::inspect(&self.ids)).await?;
        let states = State::read(&answer).filter(|states| states.len() == self.ids.len());
        states.with_context(|| format!("docker inspect gave no state of {}", self.service.as_str()))
    }

    /// What to say if it ended, or was started again, by somebody else.
    fn crash(&self, states: &[State]) -> Option<String> {
        let as_left = self.down || (states.iter().all(|state| state.running) && started_at(states) == self.started);
        (!as_left).then(|| format!("{} ended by itself", self.victim))
    }
}

fn started_at(states: &[State]) -> Vec<String> {
    states.iter().map(|state| state.started.clone()).collect()
}

impl Mortal for Containers {
    fn victim(&self) -> Victim {
        self.victim
    }

    /// Its private listener is not published.
    async fn legs(&mut self) -> Option<u64> {
        None
    }

    async fn kill(&mut self, signal: Signal) -> anyhow::Result<Killed> {
        let states = self.states().await?;
        let crash = self.crash(&states);
        self.down = true;
        if states.iter().any(|state| state.running) {
            run(&self.file.kill(self.flavour, signal, &self.service)).await?;
        }
        Ok(crash)
    }

    async fn gone(&mut self) -> anyhow::Result<()> {
        while self.states().await?.iter().any(|state| state.running) {
            sleep(ASK_EVERY).await;
        }
        Ok(())
    }

    async fn start(&mut self) -> anyhow::Result<()> {
        run(&self.file.start(self.flavour, &self.service)).await?;
        let ready = async {
            loop {
                let states = self.states().await?;
                if states.iter().all(State::is_ready) {
                    return anyhow::Ok(states);
                }
                sleep(ASK_EVERY).await;
            }
        };
        let name = self.service.as_str();
        let states = timeout(READY_WITHIN, ready)
            .await
            .with_context(|| format!("the service {name} was not healthy within {READY_WITHIN:?}"))??;
        self.started = started_at(&states);
        self.down = false;
        Ok(())
    }

    /// Leaves it up.
    async fn finish(&mut self) -> anyhow::Result<Killed> {
        if self.down {
            // One that still drains would take `start` for nothing to do.
            self.gone().await?;
            self.start().await?;
        }
        Ok(self.crash(&self.states().await?))
    }
}

/// What a command printed.
async fn run(Argv(words): &Argv) -> anyhow::Result<String> {
    let (program, arguments) = words.split_first().context("a command has a name")?;
    let said = || format!("`{}`", words.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        // Ctrl-C is the lab's to handle.
        .process_group(0)
        .kill_on_drop(true)
        .output();
    let output = timeout(COMMAND_WITHIN, output).await.with_context(|| format!("{} hangs", said()))?;
    let output = output.with_context(|| format!("cannot run {}", said()))?;
    let problem = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{} failed ({}): {}", said(), output.status, problem.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
