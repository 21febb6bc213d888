//! Carries out a plan: kills processes and starts them again, and keeps the times.

use std::{
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
    fleet::{Member, Signal},
    plan::{Kill, Role, Victim},
    verdict::Struck,
};

/// A kill that happened.
#[derive(Clone, Debug)]
pub(super) struct Strike {
    pub(super) victim: Victim,
    pub(super) at: Instant,
    /// How many calls the process said that it carried.
    pub(super) legs: Option<u64>,
    pub(super) gone: Option<Instant>,
    pub(super) back: Option<Instant>,
}

impl Strike {
    pub(super) fn struck(&self) -> Struck {
        Struck { victim: self.victim, at: self.at, back: self.back }
    }
}

/// The processes, and what was done to them.
pub(super) struct Strikes {
    members: Vec<(Victim, Mutex<Member>)>,
    balancer: Arc<Balancer>,
    signal: Signal,
    started: Instant,
    struck: StdMutex<Vec<Strike>>,
    crashes: StdMutex<Vec<String>>,
}

impl Strikes {
    /// Of processes that are up.
    pub(super) fn new(members: Vec<Member>, balancer: Arc<Balancer>, signal: Signal, started: Instant) -> Self {
        let members = members.into_iter().map(|member| (member.victim, Mutex::new(member))).collect();
        Self { members, balancer, signal, started, struck: StdMutex::default(), crashes: StdMutex::default() }
    }

    /// The kills so far, in the order of their times.
    pub(super) fn struck(&self) -> Vec<Strike> {
        lock(&self.struck).clone()
    }

    /// Kills when it is time, and returns when the process is back.
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
        let legs = member.legs().await;
        let number = self.begin(kill.victim, legs);
        if let Some(status) = member.ended()? {
            lock(&self.crashes).push(format!("{} ended by itself: {status}", kill.victim));
        } else {
            member.signal(self.signal)?;
        }
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
        struck.push(Strike { victim, at: Clock.now(), legs, gone: None, back: None });
        struck.len() - 1
    }

    fn set_in_service(&self, victim: Victim, in_service: bool) {
        match victim.role {
            Role::Edge => self.balancer.set_in_service(victim.index, in_service),
            Role::Worker => {}
        }
    }

    /// Stops all processes. Gives those that ended without being told.
    ///
    /// # Errors
    /// If one cannot be stopped.
    pub(super) async fn stop_all(&self) -> anyhow::Result<Vec<String>> {
        let mut crashes = std::mem::take(&mut *lock(&self.crashes));
        for (_, member) in &self.members {
            crashes.extend(member.lock().await.stop().await?);
        }
        Ok(crashes)
    }
}

/// Locks what no panic can leave half done.
fn lock<T>(mutex: &StdMutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
