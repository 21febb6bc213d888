//! `phone-lab load`: many calls at once, and what became of every frame.
//!
//! Each caller says numbered frames ([`stamp`]) on a media stream of its own. Where something echoes them, every frame
//! is followed there and back ([`track`]); where the model is the lab's own ([`ears`]), also each way alone: both ends
//! are in this process and share its clock. Before the calls it is tried whether requests are taken that Twilio has not
//! signed ([`forgery`]). What was found is a [`Report`].

mod call;
mod dialling;
pub mod ears;
pub mod forgery;
mod process;
mod progress;
pub mod report;
pub mod stamp;
mod table;
pub mod track;
pub mod verdict;

use std::{
    collections::BTreeMap,
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use offhook_hosting::{clock::Clock, entropy::Entropy};
use tokio::{
    task::JoinSet,
    time::{interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::{
    call::{Placed, Shared, TICK},
    forgery::Forgeries,
    process::Watched,
    progress::Progress,
    report::{ModelReport, Run},
};
pub use self::{ears::Ears, report::Report};
use crate::{
    bedrock::{Server, SessionEnd},
    twilio::Settings,
};

/// How often processes are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the model's sessions may outlive the calls.
const SESSIONS_END_WITHIN: Duration = Duration::from_secs(5);

/// What callers expect to hear.
#[derive(Clone, Debug)]
pub enum Hears {
    /// Whatever an agent says: frames cannot be followed.
    Anything,
    /// What they said.
    Echo,
    /// What they said, from a model that is the lab's own.
    Model(Ears),
}

/// A load.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where calls go.
    pub twilio: Settings,
    /// How many.
    pub calls: u16,
    /// How long each caller speaks.
    pub length: Duration,
    /// How long it takes until all have been placed, evenly.
    pub ramp: Duration,
    /// What callers expect to hear.
    pub hears: Hears,
    /// Whether requests are tried first that Twilio has not signed.
    pub forgeries: bool,
    /// Processes to watch: ids, or names.
    pub processes: Vec<String>,
    /// The seed of everything drawn by the lab.
    pub seed: u64,
}

/// How many frames a caller says in that time.
pub fn frames_in(length: Duration) -> usize {
    (length.as_millis() / TICK.as_millis()) as usize
}

impl Load {
    /// Places the calls and gives the report when the last is over. From `stop` on no call is placed, and those that
    /// are up end early.
    ///
    /// # Errors
    /// If a process that is to be watched is not there.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<Report> {
        let mut watched = process::find(&self.processes)?;
        let mut entropy = Entropy::from_seed(self.seed);
        let forgeries = self.forge(&stop, &mut entropy).await;
        let (started, cpu_before) = (Clock.now(), process::own_cpu());
        let progress = Progress::on_terminal(self.length + self.ramp);
        let (calls, most_at_once) = self.place(&stop, started, entropy, &mut watched, &progress).await?;
        drop(progress);
        watched.iter_mut().for_each(Watched::look);
        let lasted = Clock.now() - started;
        let run = Run {
            stopped_early: stop.is_cancelled(),
            ramp: self.ramp,
            most_at_once,
            lasted,
            own_cpu: process::own_cpu().saturating_sub(cpu_before),
            echoed: !matches!(self.hears, Hears::Anything),
            ears: match &self.hears {
                Hears::Model(ears) => Some(ears),
                Hears::Anything | Hears::Echo => None,
            },
        };
        let mut report = report::report(&calls, &run);
        report.forgeries = forgeries;
        let (placed, seconds) = (report.placed, report.call_seconds);
        report.processes = watched.iter().map(|process| process.report(placed, seconds, lasted)).collect();
        Ok(report)
    }

    async fn forge(&self, stop: &CancellationToken, entropy: &mut Entropy) -> Option<Forgeries> {
        if !self.forgeries {
            return None;
        }
        stop.run_until_cancelled(forgery::try_all(&self.twilio, entropy)).await
    }

    /// The calls, and how many were up at once.
    async fn place(
        &self,
        stop: &CancellationToken,
        started: Instant,
        mut entropy: Entropy,
        watched: &mut [Watched],
        progress: &Progress,
    ) -> anyhow::Result<(Vec<Placed>, usize)> {
        let shared = Arc::new(Shared {
            settings: self.twilio.clone(),
            clock: Clock,
            frames: stamp::Frames::default(),
            length: frames_in(self.length),
            hears: self.hears.clone(),
            stop: stop.clone(),
        });
        let (mut next, mut live, mut over, mut most) = (0, JoinSet::new(), Vec::new(), 0);
        let mut look = interval(LOOK_EVERY);
        loop {
            let placing = next < self.calls && !stop.is_cancelled();
            if !placing && live.is_empty() {
                return Ok((over, most));
            }
            let due = started + self.offset(next);
            tokio::select! {
                () = sleep_until(due.into()), if placing => {
                    live.spawn(call::place(Arc::clone(&shared), next, due, entropy.fork()));
                    next += 1;
                    most = most.max(live.len());
                }
                Some(call) = live.join_next() => over.push(call?),
                _ = look.tick() => watched.iter_mut().for_each(Watched::look),
                () = stopped(stop) => {}
            }
            let failed = over.iter().filter(|call| call.failure.is_some()).count();
            progress.show(Clock.now() - started, live.len(), over.len(), failed);
        }
    }

    /// When a call is placed: evenly over the ramp, and evenly over the 20 ms, lest all callers speak at once.
    fn offset(&self, call: u16) -> Duration {
        (self.ramp + TICK) * u32::from(call) / u32::from(self.calls.max(1))
    }
}

/// Returns at the moment of stopping; later calls wait for ever, because what stops takes its time.
async fn stopped(stop: &CancellationToken) {
    if stop.is_cancelled() {
        pending::<()>().await;
    }
    stop.cancelled().await;
}

/// What the lab's own model noticed, once its sessions are over.
pub async fn model_report(server: &Server) -> ModelReport {
    // A session that stays open is one that did not end by the book.
    server.sessions_end_within(SESSIONS_END_WITHIN).await;
    let sessions = server.reports();
    let ends = || sessions.iter().map(|session| session.end.as_ref());
    ModelReport {
        sessions: sessions.len(),
        by_the_book: ends().filter(|end| *end == Some(&SessionEnd::ByTheBook)).count(),
        left_open: ends().filter(Option::is_none).count(),
        other_ends: count(ends().flatten().filter(|end| **end != SessionEnd::ByTheBook).map(SessionEnd::to_string)),
        violations: count(sessions.into_iter().flat_map(|session| session.violations)),
        refusals: count(server.refusals()),
    }
}

fn count(items: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    items.into_iter().for_each(|item| *counts.entry(item).or_default() += 1);
    counts
}

#[cfg(test)]
mod tests {
    use crate::twilio::url::Url;

    use super::*;

    #[test]
    fn calls_are_spread_over_the_ramp_and_over_the_20_ms() {
        let url = Url::parse("https://voice.example.test").unwrap();
        let load = Load {
            twilio: Settings::new(([127, 0, 0, 1], 3000).into(), &url),
            calls: 4,
            length: Duration::from_secs(1),
            ramp: Duration::from_secs(2),
            hears: Hears::Echo,
            forgeries: false,
            processes: Vec::new(),
            seed: 1,
        };
        let offsets: Vec<_> = (0..4).map(|call| load.offset(call).as_millis()).collect();
        assert_eq!(offsets, [0, 505, 1010, 1515]);
        assert_eq!(frames_in(load.length), 50);
    }
}
