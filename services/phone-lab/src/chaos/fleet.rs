//! The processes of a run: real binaries on loopback ports of their own, started, killed and started again.
//!
//! Each process belongs to a [`Member`] and dies with it, whatever ends the run. They are process groups of their own:
//! Ctrl-C is the lab's to handle.

use std::{
    fs::OpenOptions,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context;
use clap::ValueEnum;
use offhook_hosting::entropy::Entropy;
use rustix::process::{Pid, kill_process};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

use super::{
    plan::{Role, Victim},
    strikes::{Killed, Mortal},
};

/// How long a process has to become ready.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// How long it has to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Below the ports that the system gives to outgoing connections: nobody takes one while its process is gone.
const PORTS: (u64, u64) = (10_000, 32_000);
const PORT_TRIES: usize = 1_000;

/// What a process is killed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "UPPERCASE")]
#[value(rename_all = "UPPERCASE")]
pub enum Signal {
    /// It is gone at once.
    Kill,
    /// It drains first.
    Term,
}

/// A process and how to start it again.
#[derive(Debug)]
pub(super) struct Member {
    victim: Victim,
    program: PathBuf,
    environment: Vec<(String, String)>,
    admin: SocketAddr,
    log: Option<PathBuf>,
    child: Option<Child>,
    /// Whether it was sent a signal.
    told: bool,
}

impl Member {
    /// One that is not running yet.
    pub(super) fn new(
        victim: Victim,
        program: &Path,
        environment: Vec<(String, String)>,
        admin: SocketAddr,
        logs: Option<&Path>,
    ) -> Self {
        let log = logs.map(|folder| folder.join(format!("{}.log", victim.to_string().replace(' ', "-"))));
        Self { victim, program: program.to_owned(), environment, admin, log, child: None, told: false }
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        let output = match &self.log {
            Some(log) => {
                let log = OpenOptions::new().create(true).append(true).open(log);
                Stdio::from(log.with_context(|| format!("cannot write the log of {}", self.victim))?)
            }
            None => Stdio::null(),
        };
        let child = Command::new(&self.program)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output)
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        self.child = Some(child.with_context(|| format!("cannot start {}", self.program.display()))?);
        self.told = false;
        Ok(())
    }

    /// Whether it has ended without being told, and how.
    fn ended(&mut self) -> anyhow::Result<Option<std::process::ExitStatus>> {
        Ok(match &mut self.child {
            Some(child) if !self.told => child.try_wait()?,
            Some(_) | None => None,
        })
    }

    fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.child.as_ref().and_then(Child::id).and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.with_context(|| format!("{} had ended by itself", self.victim))?;
        let signal = match signal {
            Signal::Kill => rustix::process::Signal::KILL,
            Signal::Term => rustix::process::Signal::TERM,
        };
        self.told = true;
        kill_process(pid, signal).with_context(|| format!("cannot kill {}", self.victim))
    }

    fn crash(&mut self) -> anyhow::Result<Killed> {
        Ok(self.ended()?.map(|status| format!("{} ended by itself: {status}", self.victim)))
    }

    /// What its private listener answers, if that is 200.
    async fn ask(&self, path: &str) -> Option<String> {
        let asked = async {
            let mut stream = TcpStream::connect(self.admin).await?;
            let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.admin);
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = timeout(ANSWER_WITHIN, asked).await.ok()?.ok()?;
        answer.starts_with("HTTP/1.1 200 ").then_some(answer)
    }
}

impl Mortal for Member {
    fn victim(&self) -> Victim {
        self.victim
    }

    /// Media sockets of an edge, legs of a worker.
    async fn legs(&mut self) -> Option<u64> {
        let name = match self.victim.role {
            Role::Edge => "edge_legs_live",
            Role::Worker => "offhook_worker_legs",
        };
        gauge(&self.ask("/metrics").await?, name)
    }

    async fn kill(&mut self, signal: Signal) -> anyhow::Result<Killed> {
        let crash = self.crash()?;
        if crash.is_none() {
            self.signal(signal)?;
        }
        Ok(crash)
    }

    async fn gone(&mut self) -> anyhow::Result<()> {
        if let Some(child) = &mut self.child {
            child.wait().await.with_context(|| format!("cannot wait for {}", self.victim))?;
        }
        self.child = None;
        Ok(())
    }

    async fn start(&mut self) -> anyhow::Result<()> {
        self.spawn()?;
        let victim = self.victim;
        let ready = async {
            loop {
                if let Some(status) = self.ended()? {
                    anyhow::bail!("{} ended before it was ready: {status}", self.victim);
                }
                if self.ask("/readyz").await.is_some() {
                    return Ok(());
                }
                sleep(ASK_EVERY).await;
            }
        };
        timeout(READY_WITHIN, ready).await.with_context(|| format!("{victim} was not ready within {READY_WITHIN:?}"))?
    }

    /// Kills it and returns when it is gone.
    async fn finish(&mut self) -> anyhow::Result<Killed> {
        let crash = self.crash()?;
        if let Some(mut child) = self.child.take() {
            child.kill().await.with_context(|| format!("cannot stop {}", self.victim))?;
        }
        Ok(crash)
    }
}

/// The value of a gauge in Prometheus text, over all its labels. One that nothing was counted in yet is not there: 0.
fn gauge(text: &str, name: &str) -> Option<u64> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(name));
    let values =
        lines.filter(|rest| rest.starts_with(['{', ' '])).map(|rest| rest.rsplit(' ').next()?.parse::<u64>().ok());
    values.sum()
}

/// A binary's place: as given, or beside the running one.
///
/// # Errors
/// If nothing is there; says what to do.
pub(super) fn binary(given: Option<PathBuf>, name: &str) -> anyhow::Result<PathBuf> {
    let beside = || Ok::<_, std::io::Error>(std::env::current_exe()?.with_file_name(name));
    let path = given.map_or_else(beside, Ok)?;
    anyhow::ensure!(
        path.is_file(),
        "there is no {}: build it with `cargo build -p {name}`, in the same profile as phone-lab, or say where it is with \
         --{}-bin",
        path.display(),
        name.trim_start_matches("sonic-")
    );
    Ok(path)
}

/// Ports on loopback that are free now.
///
/// # Errors
/// If there are not so many.
pub(super) fn free_addresses(count: usize) -> anyhow::Result<Vec<SocketAddr>> {
    let mut entropy = Entropy::from_os();
    let drawn = std::iter::repeat_with(|| ([127, 0, 0, 1], entropy.between(PORTS.0, PORTS.1) as u16).into());
    // All are held until the last is found, so that no two are the same.
    let listeners = drawn.take(PORT_TRIES).filter_map(|address: SocketAddr| TcpListener::bind(address).ok());
    let held: Vec<_> = listeners.take(count).collect();
    anyhow::ensure!(held.len() == count, "no {count} free ports on loopback");
    held.iter().map(|listener| Ok(listener.local_addr()?)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_gauge_is_found_by_its_whole_name_and_is_nought_before_anything_was_counted() {
        let text = "# TYPE edge_legs_live gauge\nedge_legs_live{otel_scope_name=\"edge\"} 3\nedge_legs_live_x 9\n";
        assert_eq!(gauge(text, "edge_legs_live"), Some(3));
        assert_eq!(gauge(text, "edge_legs"), Some(0));
        assert_eq!(gauge("edge_legs_live{} many", "edge_legs_live"), None);
    }

    #[test]
    fn free_addresses_are_different_and_below_the_ports_of_outgoing_connections() {
        let addresses: HashSet<_> = free_addresses(8).unwrap().into_iter().collect();
        assert_eq!(addresses.len(), 8);
        assert!(addresses.iter().all(|address| (PORTS.0..PORTS.1).contains(&address.port().into())), "{addresses:?}");
    }

    #[test]
    fn a_binary_that_is_missing_is_asked_for_with_what_to_do() {
        let error = binary(None, "sonic-worker").unwrap_err().to_string();
        assert!(error.contains("cargo build -p sonic-worker") && error.contains("--worker-bin"), "{error}");
        let own = std::env::current_exe().unwrap();
        assert_eq!(binary(Some(own.clone()), "edge").unwrap(), own);
    }

    #[tokio::test]
    async fn a_process_that_ends_before_it_is_ready_is_told_so() {
        let victim = Victim { role: Role::Edge, index: 0 };
        let mut member = Member::new(victim, Path::new("/bin/false"), Vec::new(), free_addresses(1).unwrap()[0], None);
        let error = member.start().await.unwrap_err().to_string();
        assert!(error.starts_with("edge 1 ended before it was ready"), "{error}");
    }
}
