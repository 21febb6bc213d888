//! `phone-lab chaos`: edges and workers that are killed and started again while calls are up, and what became of the
//! calls.
//!
//! The real binaries run as processes of their own between the lab's Twilio, behind a load balancer ([`balancer`]), and
//! one simulated Bedrock for each worker ([`ears`]); or they are services of a compose file that is up already, and then
//! only the caller's side is judged. Callers say numbered words ([`words`]) and the model says them back. Who is killed
//! when is a [`plan`] drawn from a seed; what becomes of a call is a [`verdict`]; all is in the [`Report`]. Nothing that
//! was started outlives the run, and what was up already is up when it ends.

pub mod balancer;
mod calls;
mod compose;
mod containers;
pub mod ears;
mod flags;
mod fleet;
mod models;
pub mod plan;
mod processes;
pub mod report;
mod strikes;
mod table;
pub mod verdict;
pub mod words;

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    sync::{Arc, atomic::AtomicU32},
    time::{Duration, Instant},
};

use anyhow::Context;
use offhook_hosting::{clock::Clock, entropy::Entropy, lifecycle::Lifecycle};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use self::{
    balancer::Balancer,
    calls::Shared,
    containers::Containers,
    ears::Session,
    models::Models,
    plan::{Outline, Role, Victim},
    report::KillReport,
    strikes::{Mortal, Strike, Strikes},
    verdict::{CallSession, Placed, Touch, Verdict},
};
pub use self::{
    compose::{File, Service},
    flags::Flags,
    fleet::Signal,
    processes::Processes,
    report::Report,
};
use crate::{
    show::tell,
    twilio::{self, url::Url},
};

/// Reserved for examples (RFC 6761): nobody resolves it, and nothing needs to.
const PUBLIC_URL: &str = "https://voice.example.test";
/// Calls are placed this far apart.
const CALL_EVERY: Duration = Duration::from_millis(100);
/// Between two frames.
const TICK: Duration = Duration::from_millis(20);

/// Does what the command line says. True if every call lived and no word was lost.
///
/// # Errors
/// If the run cannot start or go on.
pub async fn run(flags: Flags) -> anyhow::Result<bool> {
    let json = flags.json.clone();
    let chaos = Chaos::try_from(flags)?;
    // Before the run: its result is not to be lost for want of a folder.
    let json =
        json.map(|file| fs::File::create(&file).with_context(|| format!("--json {}", file.display()))).transpose()?;
    let lifecycle = Lifecycle::default();
    lifecycle.listen_for_signals()?;
    let (mut hang_up, stop) = (signal(SignalKind::hangup())?, lifecycle.soft_stop().clone());
    tokio::spawn(async move {
        hang_up.recv().await;
        stop.cancel();
    });
    tell(format!("{}\n", table::plan(&chaos.outline, &chaos.outline.plan())));
    let report = chaos.run(lifecycle.soft_stop().clone()).await?;
    tell(&report);
    if let Some(mut file) = json {
        file.write_all(&serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(report.is_good())
}

/// A run.
#[derive(Clone, Debug)]
pub struct Chaos {
    /// What the plan is made from.
    pub outline: Outline,
    /// How many calls are kept up.
    pub calls: u16,
    /// What processes are killed with.
    pub signal: Signal,
    /// Who is killed.
    pub services: Services,
}

/// Where the edges and workers of a run are.
#[derive(Clone, Debug)]
pub enum Services {
    /// Started for the run.
    Processes(Processes),
    /// Up already.
    Compose(Box<Compose>),
}

/// An edge and a worker that are services of a compose file. The model has to say what it hears.
#[derive(Clone, Debug)]
pub struct Compose {
    /// The file.
    pub file: File,
    /// Which service is the edge.
    pub edge: Service,
    /// Which is the worker.
    pub worker: Service,
    /// The edge's address on this machine, and how requests to it are signed.
    pub twilio: twilio::Settings,
}

impl Chaos {
    /// Keeps calls up while processes are killed, and leaves none that it started. From `stop` on nobody is killed and
    /// the calls end; it is reported all the same.
    ///
    /// # Errors
    /// If something does not start, or does not start again.
    pub async fn run(&self, stop: CancellationToken) -> anyhow::Result<Report> {
        let mut entropy = Entropy::from_seed(self.outline.seed);
        match &self.services {
            Services::Processes(processes) => {
                let models = Models::start(self.outline.workers, self.calls, &mut entropy).await?;
                let (members, edges) = processes.start(&self.outline, self.calls, &models, &stop).await?;
                let url = Url::parse(PUBLIC_URL).context("the lab's own URL is one")?;
                // Each call has an address of its own.
                let twilio = twilio::Settings::new(([127, 0, 0, 1], 0).into(), &url);
                let run = self.kill(members, Balancer::new(edges, Clock), twilio, &stop, &mut entropy).await?;
                let sessions = models.sessions();
                let violations = models.stop().await;
                Ok(self.report(run, Some(&sessions), Some(violations), stop.is_cancelled()))
            }
            Services::Compose(compose) => {
                let (members, balancer) = (compose.containers().await?, Balancer::new([compose.twilio.edge], Clock));
                let run = self.kill(members, balancer, compose.twilio.clone(), &stop, &mut entropy).await?;
                Ok(self.report(run, None, None, stop.is_cancelled()))
            }
        }
    }

    /// The run itself, among processes that are up.
    async fn kill<M: Mortal>(
        &self,
        members: Vec<M>,
        balancer: Balancer,
        twilio: twilio::Settings,
        stop: &CancellationToken,
        entropy: &mut Entropy,
    ) -> anyhow::Result<Found> {
        let balancer = Arc::new(balancer);
        let started = Clock.now();
        let strikes = Arc::new(Strikes::new(members, Arc::clone(&balancer), self.signal, started));
        let shared = Arc::new(Shared {
            balancer,
            settings: twilio,
            calls: AtomicU32::new(0),
            until: started + self.outline.lasts,
            stop: stop.clone(),
        });
        let calls = self.keep_calls_up(started, shared, &strikes, entropy).await;
        let crashes = strikes.finish().await?;
        Ok(Found { calls: calls?, strikes: strikes.struck(), crashes, started })
    }

    /// Gives the calls when the last is over, and whoever was killed is back. An error ends them at once.
    async fn keep_calls_up<M: Mortal>(
        &self,
        started: Instant,
        shared: Arc<Shared>,
        strikes: &Arc<Strikes<M>>,
        entropy: &mut Entropy,
    ) -> anyhow::Result<Vec<Placed>> {
        let (mut lines, mut killing) = (JoinSet::new(), JoinSet::new());
        for line in 0..self.calls {
            // Evenly over the 20 ms as well, lest all callers speak at once.
            let due = started + (CALL_EVERY * u32::from(line)) + TICK * u32::from(line) / u32::from(self.calls);
            lines.spawn(calls::keep_up(Arc::clone(&shared), due, entropy.fork()));
        }
        let over = shared.stop.child_token();
        for kill in self.outline.plan() {
            killing.spawn(Arc::clone(strikes).strike(kill, over.clone()));
        }
        let mut calls = Vec::new();
        while !lines.is_empty() || !killing.is_empty() {
            tokio::select! {
                Some(line) = lines.join_next() => calls.extend(line??),
                Some(strike) = killing.join_next() => strike??,
            }
            if lines.is_empty() {
                over.cancel();
            }
        }
        Ok(calls)
    }

    fn report(
        &self,
        found: Found,
        sessions: Option<&[Session]>,
        violations: Option<BTreeMap<String, usize>>,
        stopped_early: bool,
    ) -> Report {
        let Found { mut calls, strikes, crashes, started } = found;
        calls.sort_by_key(|call| call.call);
        let struck: Vec<_> = strikes.iter().map(Strike::struck).collect();
        let of = sessions.map(sessions_of_calls);
        let of = |call| of.as_ref().map(|of| of.get(&call).map_or(&[][..], Vec::as_slice));
        let judge = |call: &Placed| verdict::judge(call, of(call.call), &struck, stopped_early);
        let verdicts: Vec<_> = calls.iter().map(judge).collect();
        let group = |touch| report::group(verdicts.iter().filter(move |call| call.touch() == touch));
        let over = calls.iter().map(|call| call.over).max().unwrap_or(started);
        Report {
            seed: self.outline.seed,
            edges: self.outline.edges,
            workers: self.outline.workers,
            lines: self.calls,
            lasted_seconds: (over - started).as_secs_f64(),
            stopped_early,
            signal: self.signal,
            kills: (1..)
                .zip(&strikes)
                .map(|(number, strike)| kill_report(number, strike, &verdicts, started))
                .collect(),
            crashes,
            carried: group(Some(Touch::Carried)),
            arriving: group(Some(Touch::Arriving)),
            untouched: group(None),
            violations,
            calls: verdicts,
        }
    }
}

impl Compose {
    async fn containers(&self) -> anyhow::Result<Vec<Containers>> {
        let flavour = containers::flavour().await?;
        let mut found = Vec::new();
        for (role, service) in [(Role::Worker, &self.worker), (Role::Edge, &self.edge)] {
            let victim = Victim { role, index: 0 };
            found.push(Containers::find(flavour, self.file.clone(), service.clone(), victim).await?);
        }
        Ok(found)
    }
}

/// What a run leaves to be judged.
struct Found {
    calls: Vec<Placed>,
    strikes: Vec<Strike>,
    crashes: Vec<String>,
    started: Instant,
}

fn kill_report(number: usize, strike: &Strike, calls: &[Verdict], started: Instant) -> KillReport {
    let ms = |until: Option<Instant>| Some(u64::try_from((until? - strike.at).as_millis()).unwrap_or(u64::MAX));
    let touched = |touch| calls.iter().filter(move |call| call.touched.contains(&(number, touch)));
    KillReport {
        victim: strike.victim,
        at_seconds: (strike.at - started).as_secs_f64(),
        legs: strike.legs,
        carried: touched(Touch::Carried).count(),
        lived: touched(Touch::Carried).filter(|call| call.lived).count(),
        arriving: touched(Touch::Arriving).count(),
        gone_after_ms: ms(strike.gone),
        back_after_ms: ms(strike.back),
    }
}

/// The sessions of each call: one is of the call whose words were heard in it.
fn sessions_of_calls(sessions: &[Session]) -> BTreeMap<u32, Vec<CallSession>> {
    let mut of: BTreeMap<u32, Vec<CallSession>> = BTreeMap::new();
    for Session { worker, opened, heard } in sessions {
        let Some(call) = heard.first().map(|word| word.call) else { continue };
        let heard = heard.iter().filter(|word| word.call == call).map(|word| word.number).collect();
        of.entry(call).or_default().push(CallSession { worker: *worker, opened: *opened, heard });
    }
    of
}
