//! Carries out a plan: kills processes and starts them again, and keeps the times.

use std::{
    future::Future,
    sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError},
    time::Instant,
};

use offhook_hosting::clock::Clock;
use tokio::{
    sync::Mutex,
    time::{sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    balancer::Balancer,
    fleet::Signal,
    plan::{Kill, Role, Victim},
    verdict::Struck,
};

/// How the victim had ended by itself, if it had.
pub(super) type Killed = Option<String>;

/// What can be killed and started again.
pub(super) trait Mortal: Send + 'static {
    /// Who it is.
    fn victim(&self) -> Victim;

    /// How many calls it says that it carries; none if it cannot be asked.
    fn legs(&mut self) -> impl Future<Output = Option<u64>> + Send;

    /// Sends the signal, unless it has ended by itself.
    fn kill(&mut self, signal: Signal) -> impl Future<Output = anyhow::Result<Killed>> + Send;

    /// Returns when it is gone.
    fn gone(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Starts it, and returns when it is ready.
    fn start(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Leaves it as it is to be after the run.
    fn finish(&mut self) -> impl Future<Output = anyhow::Result<Killed>> + Send;
}

/// A kill that happened.
#[derive(Clone, Debug)]
pub(super) struct Strike {
    pub(super) victim: Victim,
    pub(super) at: Instant,
    /// When the signal had certainly been sent.
    pub(super) told: Instant,
    /// How many calls the process said that it carried.
    pub(super) legs: Option<u64>,
    pub(super) gone: Option<Instant>,
    pub(super) back: Option<Instant>,
}

impl Strike {
    pub(super) fn struck(&self) -> Struck {
        Struck { victim: self.victim, at: self.at, told: self.told, back: self.back }
    }
}

/// The processes, and what was done to them.
pub(super) struct Strikes<M> {
    members: Vec<(Victim, Mutex<M>)>,
    balancer: Arc<Balancer>,
    signal: Signal,
    started: Instant,
    struck: StdMutex<Vec<Strike>>,
    crashes: StdMutex<Vec<String>>,
}

impl<M: Mortal> Strikes<M> {
    /// Of processes that are up.
    pub(super) fn new(members: Vec<M>, balancer: Arc<Balancer>, signal: Signal, started: Instant) -> Self {
        let members = members.into_iter().map(|member| (member.victim(), Mutex::new(member))).collect();
        Self { members, balancer, signal, started, struck: StdMutex::default(), crashes: StdMutex::default() }
    }

    /// The kills so far, in the order of their times.
    pub(super) fn struck(&self) -> Vec<Strike> {
        lock(&self.struck).clone()
    }

    /// Kills when it is time, and returns when the process is back. From `stop` on it is never time.
    ///
    /// # Errors
    /// If it cannot be killed or does not come back.
    pub(super) async fn strike(self: Arc<Self>, kill: Kill, stop: CancellationToken) -> anyhow::Result<()> {
        tokio::select! {
            () = sleep_until((self.started + kill.at).into()) => {}
            () = stop.cancelled() => return Ok(()),
        }
        let Some((_, member)) = self.members.iter().find(|(victim, _)| *victim == kill.victim) else { return Ok(()) };
        // One that drains for long may not be back yet: its turn comes when it is.
        let mut member = member.lock().await;
        if stop.is_cancelled() {
            return Ok(());
        }
        let legs = member.legs().await;
        let number = self.begin(kill.victim, legs);
        let crash = member.kill(self.signal).await?;
        lock(&self.crashes).extend(crash);
        lock(&self.struck)[number].told = Clock.now();
        member.gone().await?;
        lock(&self.struck)[number].gone = Some(Clock.now());
        sleep(kill.restart_after).await;
        member.start().await?;
        self.set_in_service(kill.victim, true);
        lock(&self.struck)[number].back = Some(Clock.now());
        Ok(())
    }

    /// From now on the process is as good as dead: no new connection may go there.
    fn begin(&self, victim: Victim, legs: Option<u64>) -> usize {
        self.set_in_service(victim, false);
        let mut struck = lock(&self.struck);
        let at = Clock.now();
        struck.push(Strike { victim, at, told: at, legs, gone: None, back: None });
        struck.len() - 1
    }

    fn set_in_service(&self, victim: Victim, in_service: bool) {
        match victim.role {
            Role::Edge => self.balancer.set_in_service(victim.index, in_service),
            Role::Worker => {}
        }
    }

    /// Leaves all processes as they are to be. Gives those that ended without being told.
    ///
    /// # Errors
    /// If one cannot be left so; the others are all the same.
    pub(super) async fn finish(&self) -> anyhow::Result<Vec<String>> {
        let mut crashes = std::mem::take(&mut *lock(&self.crashes));
        let mut problem = None;
        for (_, member) in &self.members {
            match member.lock().await.finish().await {
                Ok(crash) => crashes.extend(crash),
                Err(error) => problem = Some(error),
            }
        }
        problem.map_or(Ok(crashes), Err)
    }
}

/// Locks what no panic can leave half done.
fn lock<T>(mutex: &StdMutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
