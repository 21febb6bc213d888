//! Which worker gets the next call: the one that serves the fewest legs of this edge.
//!
//! A worker that could not be reached is asked last for a while, so that one dead address does not delay every call.
//! Names are resolved again and again by [`WorkerPool::keep_resolving`]; a name that does not resolve keeps the addresses
//! it had. A worker whose address has left its name gets no new leg, but is still asked about calls for a while.

use std::{
    convert::Infallible,
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
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Connect, Worker, WorkerId, WorkerTarget};

const RESOLVE_EVERY: Duration = Duration::from_secs(5);
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a worker that could not be reached is asked last.
const AVOID_FOR: Duration = Duration::from_secs(5);
/// How long a worker whose address has left its name is asked about calls, counted from the end of its last leg.
const REMEMBER_FOR: Duration = Duration::from_secs(60);

/// All workers that this edge knows.
pub struct WorkerPool {
    targets: Vec<WorkerTarget>,
    connect: Connect,
    clock: Clock,
    state: Mutex<State>,
    /// Cancelled once every name was tried.
    resolved: CancellationToken,
}

#[derive(Default)]
struct State {
    members: Vec<Member>,
    turn: usize,
    /// Whether there ever was a member.
    populated: bool,
}

#[derive(Clone)]
struct Member {
    target: usize,
    id: WorkerId,
    address: Uri,
    worker: Arc<dyn Worker>,
    legs: Arc<AtomicUsize>,
    avoid_until: Option<Instant>,
    /// Set while its name resolves without it: since when, or when it last had legs.
    left_at: Option<Instant>,
}

/// Which worker a leg belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preference {
    /// The one that holds a place for it.
    pub worker: WorkerId,
    /// The leg's ticket, by which the others are put in order.
    pub ticket: String,
}

impl Preference {
    /// Whoever has left its name still serves the calls that it holds.
    fn may_be(&self, member: &Member) -> bool {
        member.left_at.is_none() || member.id == self.worker
    }
}

/// A worker to be asked.
pub(crate) struct Known {
    pub(crate) id: WorkerId,
    pub(crate) worker: Arc<dyn Worker>,
    pub(crate) takes_legs: bool,
}

impl From<&Member> for Known {
    fn from(member: &Member) -> Self {
        Self { id: member.id, worker: member.worker.clone(), takes_legs: member.left_at.is_none() }
    }
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
    /// A pool of `targets`, reached by `connect`. Names resolve while [`WorkerPool::keep_resolving`] runs.
    pub fn new(targets: Vec<WorkerTarget>, connect: Connect, clock: Clock) -> Self {
        let (state, resolved) = (Mutex::default(), CancellationToken::new());
        let pool = Self { targets, connect, clock, state, resolved };
        let fixed = pool.targets.iter().enumerate().filter_map(|(at, target)| match target {
            WorkerTarget::Fixed(address) => Some((at, vec![address.clone()])),
            WorkerTarget::Name { .. } => None,
        });
        pool.adopt(fixed.collect());
        if !pool.has_names() {
            pool.resolved.cancel();
        }
        pool
    }

    /// Resolves names every few seconds, for as long as it is polled.
    pub async fn keep_resolving(&self) -> Infallible {
        if !self.has_names() {
            return std::future::pending().await;
        }
        loop {
            self.resolve_all().await;
            tokio::time::sleep(RESOLVE_EVERY).await;
        }
    }

    /// Whether every name has been tried once, with or without success.
    pub fn is_resolved(&self) -> bool {
        self.resolved.is_cancelled()
    }

    /// Completes when [`WorkerPool::is_resolved`].
    pub async fn resolved(&self) {
        self.resolved.cancelled().await;
    }

    /// Whether a worker is known, or was.
    pub fn was_populated(&self) -> bool {
        self.lock().populated
    }

    /// The next worker to ask for a leg: the one that holds its place, then, whatever the edge, the others in the same
    /// order, because a worker refuses a ticket that it has seen. None whose address is among those `asked`.
    pub fn lease(&self, asked: &[Uri], preference: &Preference) -> Option<Lease> {
        let state = self.lock();
        let is_choice = |member: &&Member| !asked.contains(&member.address) && preference.may_be(member);
        let candidates = state.members.iter().filter(is_choice);
        let rank = |member: &&Member| (member.id != preference.worker, member.id.rank(preference.ticket.as_bytes()));
        let Member { address, worker, legs, .. } = candidates.min_by_key(rank)?;
        legs.fetch_add(1, Ordering::Relaxed);
        Some(Lease { address: address.clone(), worker: worker.clone(), legs: legs.clone() })
    }

    /// The worker at `address` could not be reached.
    pub fn avoid(&self, address: &Uri) {
        self.avoid_id(WorkerId::of(address));
    }

    /// The same, of a worker by its name.
    pub(super) fn avoid_id(&self, id: WorkerId) {
        let until = self.clock.now() + AVOID_FOR;
        let mut state = self.lock();
        let affected = state.members.iter_mut().filter(|member| member.id == id);
        affected.for_each(|member| member.avoid_until = Some(until));
    }

    /// All workers that may know a call, whether or not they take new legs.
    pub(super) fn members(&self) -> Vec<Known> {
        self.lock().members.iter().map(Known::from).collect()
    }

    /// The workers that take new legs, the best one first.
    pub(crate) fn candidates(&self) -> Vec<Known> {
        let (now, mut state) = (self.clock.now(), self.lock());
        let turn = state.next_turn();
        let count = state.members.len();
        let takes_legs = |(_, member): &(usize, &Member)| member.left_at.is_none();
        let mut ranked: Vec<_> = state.members.iter().enumerate().filter(takes_legs).collect();
        ranked.sort_by_key(|(at, member)| member.rank(now, at.wrapping_add(turn) % count));
        ranked.into_iter().map(|(_, member)| Known::from(member)).collect()
    }

    fn has_names(&self) -> bool {
        self.targets.iter().any(|target| matches!(target, WorkerTarget::Name { .. }))
    }

    async fn resolve_all(&self) {
        let lookups = self.targets.iter().enumerate().filter_map(|(at, target)| match target {
            WorkerTarget::Name { name, port } => Some(async move { (at, resolve(name, *port).await) }),
            WorkerTarget::Fixed(_) => None,
        });
        let found = join_all(lookups).await;
        self.adopt(found.into_iter().filter_map(|(at, addresses)| Some((at, addresses?))).collect());
        self.resolved.cancel();
    }

    /// Replaces the members of the targets that were found; a worker that stays keeps its connection and its legs, and
    /// one that is gone is remembered for a while.
    fn adopt(&self, found: Vec<(usize, Vec<Uri>)>) {
        let (now, mut state) = (self.clock.now(), self.lock());
        for (target, addresses) in found {
            let (mut known, others): (Vec<_>, Vec<_>) =
                std::mem::take(&mut state.members).into_iter().partition(|member| member.target == target);
            state.members = others;
            for address in addresses {
                let at = known.iter().position(|member| member.address == address);
                let member = at.map_or_else(|| self.join(target, address), |at| known.swap_remove(at));
                state.members.push(Member { left_at: None, ..member });
            }
            state.members.extend(known.into_iter().filter_map(|member| member.remembered(now)));
        }
        state.populated |= !state.members.is_empty();
    }

    fn join(&self, target: usize, address: Uri) -> Member {
        let (id, worker) = (WorkerId::of(&address), (self.connect)(&address));
        Member { target, id, address, worker, legs: Arc::default(), avoid_until: None, left_at: None }
    }

    /// No code that holds the lock can leave the state half changed, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_turn(&mut self) -> usize {
        self.turn = self.turn.wrapping_add(1);
        self.turn
    }
}

impl Member {
    /// Among equals the turn goes round, or all edges would prefer the same worker.
    fn rank(&self, now: Instant, turn: usize) -> impl Ord + use<> {
        (self.is_avoided(now), self.legs.load(Ordering::Relaxed), turn)
    }

    fn is_avoided(&self, now: Instant) -> bool {
        self.avoid_until.is_some_and(|until| now < until)
    }

    /// The member after its name was resolved without it; `None` when that was long ago.
    fn remembered(mut self, now: Instant) -> Option<Self> {
        let is_used = self.legs.load(Ordering::Relaxed) > 0;
        let left_at = self.left_at.filter(|_| !is_used).unwrap_or(now);
        self.left_at = Some(left_at);
        (now < left_at + REMEMBER_FOR).then_some(self)
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
