//! Which worker gets the next leg: of those not asked yet, the one that serves the fewest legs of this edge.
//!
//! A worker that could not be reached is asked last for a while, so that one dead address does not delay every call.
//! Names are resolved again when a call needs a worker, at most every few seconds; a name that does not resolve keeps
//! the addresses it had.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use http::Uri;
use offhook_hosting::clock::Clock;
use offhook_proto::voice::v1::NextStep;
use tokio::time::timeout;
use tonic::Code;
use tracing::{Span, warn};

use super::{Connect, Worker, WorkerTarget};
use crate::twilio::sid::CallSid;

const RESOLVE_EVERY: Duration = Duration::from_secs(5);
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a worker that could not be reached is asked last.
const AVOID_FOR: Duration = Duration::from_secs(5);
/// One worker's time to say what comes next.
const STEP_TIMEOUT: Duration = Duration::from_secs(2);
/// All workers' time: Twilio gives up on a webhook after 15 s (Twilio docs, "Connection Overrides").
const STEPS_TIMEOUT: Duration = Duration::from_secs(8);

/// All workers that this edge knows.
pub struct WorkerPool {
    targets: Vec<WorkerTarget>,
    connect: Connect,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    members: Vec<Member>,
    resolved_at: Option<Instant>,
    turn: usize,
}

#[derive(Clone)]
struct Member {
    target: usize,
    address: Uri,
    worker: Arc<dyn Worker>,
    legs: Arc<AtomicUsize>,
    avoid_until: Option<Instant>,
}

/// A worker that one leg uses; counts as a live leg until dropped.
#[derive(Debug)]
pub struct Lease {
    address: Uri,
    worker: Arc<dyn Worker>,
    legs: Arc<AtomicUsize>,
}

impl Lease {
    /// Where the worker is.
    pub fn address(&self) -> &Uri {
        &self.address
    }

    /// The worker.
    pub fn worker(&self) -> &dyn Worker {
        self.worker.as_ref()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.legs.fetch_sub(1, Ordering::Relaxed);
    }
}

impl WorkerPool {
    /// A pool of `targets`, reached by `connect`. Names resolve at the first [`WorkerPool::refresh`].
    pub fn new(targets: Vec<WorkerTarget>, connect: Connect, clock: Clock) -> Self {
        let pool = Self { targets, connect, clock, state: Mutex::default() };
        let fixed = pool.targets.iter().enumerate().filter_map(|(at, target)| match target {
            WorkerTarget::Fixed(address) => Some((at, vec![address.clone()])),
            WorkerTarget::Name { .. } => None,
        });
        pool.adopt(fixed.collect());
        pool
    }

    /// Resolves names, unless that was done a moment ago or someone else is doing it.
    pub async fn refresh(&self) {
        if !self.claim_refresh() {
            return;
        }
        let lookups = self.targets.iter().enumerate().filter_map(|(at, target)| match target {
            WorkerTarget::Name { name, port } => Some(async move { (at, resolve(name, *port).await) }),
            WorkerTarget::Fixed(_) => None,
        });
        let found = join_all(lookups).await;
        self.adopt(found.into_iter().filter_map(|(at, addresses)| Some((at, addresses?))).collect());
    }

    /// The best worker whose address is not among those `asked`.
    pub fn lease(&self, asked: &[Uri]) -> Option<Lease> {
        let (now, mut state) = (self.clock.now(), self.lock());
        state.turn = state.turn.wrapping_add(1);
        let (turn, count) = (state.turn, state.members.len());
        let candidates = state.members.iter().enumerate().filter(|(_, member)| !asked.contains(&member.address));
        // Among equals the turn goes round, or all edges would prefer the same worker.
        let rank = |(at, member): &(usize, &Member)| {
            (member.is_avoided(now), member.legs.load(Ordering::Relaxed), at.wrapping_add(turn) % count)
        };
        let (_, Member { address, worker, legs, .. }) = candidates.min_by_key(rank)?;
        legs.fetch_add(1, Ordering::Relaxed);
        Some(Lease { address: address.clone(), worker: worker.clone(), legs: legs.clone() })
    }

    /// The worker at `address` could not be reached.
    pub fn avoid(&self, address: &Uri) {
        let until = self.clock.now() + AVOID_FOR;
        let mut state = self.lock();
        let affected = state.members.iter_mut().filter(|member| member.address == *address);
        affected.for_each(|member| member.avoid_until = Some(until));
    }

    /// Asks one worker after the other what Twilio should do with a call; `None` when none of them knows it.
    pub async fn next_step(&self, span: &Span, call: &CallSid) -> Option<NextStep> {
        self.refresh().await;
        timeout(STEPS_TIMEOUT, self.ask_in_turn(span, call)).await.ok().flatten()
    }

    async fn ask_in_turn(&self, span: &Span, call: &CallSid) -> Option<NextStep> {
        let now = self.clock.now();
        let mut members = self.lock().members.clone();
        members.sort_by_key(|member| member.is_avoided(now));
        for Member { worker, address, .. } in members {
            match timeout(STEP_TIMEOUT, worker.next_step(span, call)).await {
                Ok(Ok(step)) => return Some(step),
                Ok(Err(status)) if status.code() == Code::NotFound => {}
                Ok(Err(status)) => warn!(call.sid = %call, %address, code = ?status.code(), "no next step"),
                Err(_) => warn!(call.sid = %call, %address, "no next step in time"),
            }
        }
        None
    }

    fn claim_refresh(&self) -> bool {
        let named = self.targets.iter().any(|target| matches!(target, WorkerTarget::Name { .. }));
        let (now, mut state) = (self.clock.now(), self.lock());
        let due = named && state.resolved_at.is_none_or(|at| at + RESOLVE_EVERY <= now);
        if due {
            state.resolved_at = Some(now);
        }
        due
    }

    /// Replaces the members of the targets that were found; a worker that stays keeps its connection and its legs.
    fn adopt(&self, found: Vec<(usize, Vec<Uri>)>) {
        let mut state = self.lock();
        for (target, addresses) in found {
            let (known, others): (Vec<_>, Vec<_>) =
                std::mem::take(&mut state.members).into_iter().partition(|member| member.target == target);
            state.members = others;
            for address in addresses {
                let kept = known.iter().find(|member| member.address == address).cloned();
                state.members.push(kept.unwrap_or_else(|| self.join(target, address)));
            }
        }
    }

    fn join(&self, target: usize, address: Uri) -> Member {
        let worker = (self.connect)(&address);
        Member { target, address, worker, legs: Arc::default(), avoid_until: None }
    }

    /// No code that holds the lock can leave the state half changed, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    fn is_avoided(&self, now: Instant) -> bool {
        self.avoid_until.is_some_and(|until| now < until)
    }
}

impl fmt::Debug for WorkerPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerPool").field("targets", &self.targets).finish_non_exhaustive()
    }
}

async fn resolve(name: &str, port: u16) -> Option<Vec<Uri>> {
    let host = name.trim_start_matches('[').trim_end_matches(']');
    let addresses = match timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => {
            warn!(name, %error, "workers cannot be resolved");
            return None;
        }
        Err(_) => {
            warn!(name, "workers cannot be resolved in time");
            return None;
        }
    };
    let mut uris: Vec<Uri> = Vec::new();
    for uri in addresses.filter_map(|address| format!("http://{address}").parse().ok()) {
        if !uris.contains(&uri) {
            uris.push(uri);
        }
    }
    Some(uris)
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
