//! `phone-lab chaos`: edges and workers that are killed and started again while calls are up, and what became of the
//! calls.
//!
//! The real binaries run as processes of their own between the lab's Twilio, behind a load balancer ([`balancer`]), and
//! one simulated Bedrock for each worker ([`ears`]). Callers say numbered words ([`words`]) and the model says them back.
//! Who is killed when is a [`plan`] drawn from a seed; what becomes of a call is a [`verdict`]; all is in the [`Report`].
//! Nothing that was started outlives the run.

pub mod balancer;
mod calls;
pub mod ears;
mod flags;
mod fleet;
mod models;
pub mod plan;
pub mod report;
mod strikes;
mod table;
pub mod verdict;
pub mod words;

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::PathBuf,
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
    ears::Session,
    fleet::Member,
    models::Models,
    plan::{Outline, Role, Victim},
    report::KillReport,
    strikes::{Strike, Strikes},
    verdict::{CallSession, Placed, Touch, Verdict},
};
pub use self::{flags::Flags, fleet::Signal, report::Report};
use crate::twilio::{self, Account, url::Url};

/// Reserved for examples (RFC 6761): nobody resolves it, and nothing needs to.
const PUBLIC_URL: &str = "https://voice.example.test";
const TICKET_KEY: &str = "a ticket key that only the lab's own edges use";
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
    let lifecycle = Lifecycle::default();
    lifecycle.listen_for_signals()?;
    let (mut hang_up, stop) = (signal(SignalKind::hangup())?, lifecycle.soft_stop().clone());
    tokio::spawn(async move {
        hang_up.recv().await;
        stop.cancel();
    });
    println!("{}", table::plan(&chaos.outline, &chaos.outline.plan()));
    let report = chaos.run(lifecycle.soft_stop().clone()).await?;
    print!("{report}");
    if let Some(file) = json {
        fs::write(&file, serde_json::to_vec_pretty(&report)?).with_context(|| file.display().to_string())?;
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
    /// The edge's binary.
    pub edge: PathBuf,
    /// The worker's binary.
    pub worker: PathBuf,
    /// Further environment of all processes; wins over the lab's own.
    pub environment: Vec<(String, String)>,
    /// Folder that gets a log for each process.
    pub logs: Option<PathBuf>,
}

impl Chaos {
    /// Starts everything, keeps calls up while processes are killed, and stops everything. From `stop` on nobody is
    /// killed and the calls end; it is reported all the same.
    ///
    /// # Errors
    /// If something does not start, or does not start again.
    pub async fn run(&self, stop: CancellationToken) -> anyhow::Result<Report> {
        let mut entropy = Entropy::from_seed(self.outline.seed);
        let models = Models::start(self.outline.workers, self.calls, &mut entropy).await?;
        let (members, edges) = self.start(&models, &stop).await?;
        let balancer = Arc::new(Balancer::new(edges, Clock));
        let started = Clock.now();
        let strikes = Arc::new(Strikes::new(members, Arc::clone(&balancer), self.signal, started));
        let calls = self.keep_calls_up(started, &stop, &balancer, &strikes, &mut entropy).await;
        let crashes = strikes.stop_all().await?;
        let sessions = models.sessions();
        let found = Found { calls: calls?, sessions, strikes: strikes.struck(), crashes, started };
        let violations = models.stop().await;
        Ok(self.report(found, stop.is_cancelled(), violations))
    }

    /// The processes, workers first, when all are ready, and where the edges listen.
    async fn start(&self, models: &Models, stop: &CancellationToken) -> anyhow::Result<(Vec<Member>, Vec<SocketAddr>)> {
        let Outline { edges, workers, .. } = self.outline;
        let mut addresses = fleet::free_addresses(2 * (edges + workers))?.into_iter();
        let mut pairs = std::iter::from_fn(|| Some((addresses.next()?, addresses.next()?)));
        let (mut members, mut grpc, mut public) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..workers {
            let (listen, admin) = pairs.next().context("an address for each")?;
            grpc.push(format!("http://{listen}"));
            let environment = models.environment(index, self.calls);
            let own = [("WORKER_LISTEN", listen.to_string()), ("WORKER_ADMIN_LISTEN", admin.to_string())];
            members.push(self.member(Victim { role: Role::Worker, index }, admin, own.into_iter().chain(environment)));
        }
        for (index, (listen, admin)) in pairs.enumerate() {
            public.push(listen);
            let own = [
                ("EDGE_LISTEN", listen.to_string()),
                ("EDGE_ADMIN_LISTEN", admin.to_string()),
                ("SONIC_WORKERS", grpc.join(",")),
                ("PUBLIC_URL", PUBLIC_URL.to_owned()),
                ("TWILIO_AUTH_TOKEN", Account::default().auth_token),
                ("TWILIO_ACCOUNT_SID", Account::default().account_sid),
                ("OFFHOOK_TICKET_KEY", TICKET_KEY.to_owned()),
            ];
            members.push(self.member(Victim { role: Role::Edge, index }, admin, own));
        }
        for member in &mut members {
            tokio::select! {
                started = member.start() => started?,
                () = stop.cancelled() => anyhow::bail!("stopped before everything was ready"),
            }
        }
        Ok((members, public))
    }

    fn member(
        &self,
        victim: Victim,
        admin: SocketAddr,
        own: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Member {
        let program = match victim.role {
            Role::Edge => &self.edge,
            Role::Worker => &self.worker,
        };
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        let environment = own.chain(self.environment.iter().cloned()).collect();
        Member::new(victim, program, environment, admin, self.logs.as_deref())
    }

    /// Gives the calls when the last is over. An error ends them at once.
    async fn keep_calls_up(
        &self,
        started: Instant,
        stop: &CancellationToken,
        balancer: &Arc<Balancer>,
        strikes: &Arc<Strikes>,
        entropy: &mut Entropy,
    ) -> anyhow::Result<Vec<Placed>> {
        let url = Url::parse(PUBLIC_URL).context("the lab's own URL is one")?;
        let shared = Arc::new(Shared {
            balancer: Arc::clone(balancer),
            // Each call has its own.
            settings: twilio::Settings::new(([127, 0, 0, 1], 0).into(), &url),
            calls: AtomicU32::new(0),
            until: started + self.outline.lasts,
            stop: stop.clone(),
        });
        let (mut lines, mut killing) = (JoinSet::new(), JoinSet::new());
        for line in 0..self.calls {
            // Evenly over the 20 ms as well, lest all callers speak at once.
            let due = started + (CALL_EVERY * u32::from(line)) + TICK * u32::from(line) / u32::from(self.calls);
            lines.spawn(calls::keep_up(Arc::clone(&shared), due, entropy.fork()));
        }
        for kill in self.outline.plan() {
            killing.spawn(Arc::clone(strikes).strike(kill, stop.clone()));
        }
        let mut calls = Vec::new();
        while !lines.is_empty() {
            tokio::select! {
                Some(line) = lines.join_next() => calls.extend(line??),
                Some(strike) = killing.join_next() => strike??,
            }
        }
        killing.shutdown().await;
        Ok(calls)
    }

    fn report(&self, found: Found, stopped_early: bool, violations: BTreeMap<String, usize>) -> Report {
        let Found { mut calls, sessions, strikes, crashes, started } = found;
        calls.sort_by_key(|call| call.call);
        let struck: Vec<_> = strikes.iter().map(Strike::struck).collect();
        let of = sessions_of_calls(&sessions);
        let none = Vec::new();
        let judge = |call: &Placed| verdict::judge(call, of.get(&call.call).unwrap_or(&none), &struck, stopped_early);
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

/// What a run leaves to be judged.
struct Found {
    calls: Vec<Placed>,
    sessions: Vec<Session>,
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
