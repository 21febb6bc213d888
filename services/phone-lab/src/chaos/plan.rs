//! Who is killed when: a function of the seed and the options, and of nothing else.
//!
//! One kill falls due every so often, up to a quarter of that earlier or later. The victim is drawn among those that
//! are up by the plan and were killed least often, and comes back half a second to three seconds after it is gone. The
//! last five seconds are left in peace, so that every call can show that it lives.

use std::{fmt, time::Duration};

use clap::ValueEnum;
use offhook_hosting::entropy::Entropy;
use serde::{Serialize, Serializer};

/// Nobody is killed in the last stretch of a run.
const PEACE: Duration = Duration::from_secs(5);
/// How long a victim stays gone, in milliseconds.
const GONE_MS: (u64, u64) = (500, 3_000);
/// What a process may take to start before the plan counts it as up again.
pub const PROCESS_STARTS_IN: Duration = Duration::from_secs(1);
/// The same of a service in a compose file, whose health check has to come round to it.
pub const SERVICE_STARTS_IN: Duration = Duration::from_secs(8);

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Takes Twilio's side of calls.
    Edge,
    /// Takes the model's side.
    Worker,
}

/// One process of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Victim {
    /// What it is.
    pub role: Role,
    /// Which of these, from 0.
    pub index: usize,
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::Edge => "edge",
            Role::Worker => "worker",
        };
        write!(f, "{role} {}", self.index + 1)
    }
}

impl Serialize for Victim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Who may be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// Workers only.
    Worker,
    /// Edges only.
    Edge,
    /// Both.
    Any,
    /// Nobody: what the other runs are compared with.
    None,
}

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Outline {
    /// How many edges there are.
    pub edges: usize,
    /// How many workers.
    pub workers: usize,
    /// How long calls are kept up.
    pub lasts: Duration,
    /// Who may be killed.
    pub kill: Target,
    /// How often.
    pub every: Duration,
    /// What a victim may take to start before it counts as up again.
    pub starts_in: Duration,
    /// What is drawn.
    pub seed: u64,
}

/// A kill that is going to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// When, since the first call was placed.
    pub at: Duration,
    /// Who.
    pub victim: Victim,
    /// How long after it is gone the process is started again.
    pub restart_after: Duration,
}

impl Outline {
    /// All kills, in order.
    pub fn plan(&self) -> Vec<Kill> {
        let mut entropy = Entropy::from_seed(self.seed);
        let mut kills: Vec<Kill> = Vec::new();
        let quarter = self.every / 4;
        let mut due = self.every;
        while !self.every.is_zero() && due + quarter + PEACE <= self.lasts {
            let spread = u64::try_from(quarter.as_millis() * 2).unwrap_or(u64::MAX - 1);
            let at = due - quarter + Duration::from_millis(entropy.between(0, spread + 1));
            let restart_after = Duration::from_millis(entropy.between(GONE_MS.0, GONE_MS.1 + 1));
            let candidates = self.candidates(at, &kills);
            let drawn = entropy.between(0, u64::MAX);
            if !candidates.is_empty() {
                let victim = candidates[(drawn % candidates.len() as u64) as usize];
                kills.push(Kill { at, victim, restart_after });
            }
            due += self.every;
        }
        kills
    }

    /// Those who may be killed, are up at this time and were killed least often.
    fn candidates(&self, at: Duration, kills: &[Kill]) -> Vec<Victim> {
        let all = |role, count| (0..count).map(move |index| Victim { role, index });
        let (edges, workers) = match self.kill {
            Target::Edge => (self.edges, 0),
            Target::Worker => (0, self.workers),
            Target::Any => (self.edges, self.workers),
            Target::None => (0, 0),
        };
        let is_down = |victim: &Victim| {
            kills.iter().any(|kill| kill.victim == *victim && kill.at + kill.restart_after + self.starts_in > at)
        };
        let killed = |victim: &Victim| kills.iter().filter(|kill| kill.victim == *victim).count();
        let mut up: Vec<_> = all(Role::Edge, edges).chain(all(Role::Worker, workers)).collect();
        up.retain(|victim| !is_down(victim));
        let least = up.iter().map(killed).min();
        up.retain(|victim| Some(killed(victim)) == least);
        up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn outline() -> Outline {
        Outline { edges: 2, workers: 3, lasts: 600 * S, kill: Target::Any, every: 10 * S, starts_in: S, seed: 1 }
    }

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_seed_another() {
        assert_eq!(outline().plan(), outline().plan());
        assert_ne!(outline().plan(), Outline { seed: 2, ..outline() }.plan());
    }

    #[test]
    fn a_kill_falls_due_every_so_often_up_to_a_quarter_off_and_never_at_the_end() {
        let plan = outline().plan();
        assert_eq!(plan.len(), 59);
        for (number, kill) in plan.iter().enumerate() {
            let due = 10 * S * (number as u32 + 1);
            assert!(kill.at.abs_diff(due) <= 2500 * S / 1000, "{kill:?}");
            assert!((S / 2..=3 * S).contains(&kill.restart_after), "{kill:?}");
        }
        assert!(plan.iter().any(|kill| kill.at.as_millis() % 10_000 != 0), "nothing was drawn");
        assert!(plan.last().unwrap().at <= 595 * S);
        assert_eq!(Outline { lasts: 17 * S, ..outline() }.plan().len(), 0);
        assert_eq!(Outline { lasts: 18 * S, ..outline() }.plan().len(), 1);
    }

    #[test]
    fn only_those_are_killed_who_may_be_and_all_of_them_are() {
        let victims = |kill| {
            let mut names: Vec<_> =
                Outline { kill, ..outline() }.plan().iter().map(|kill| kill.victim.to_string()).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        assert_eq!(victims(Target::Worker), ["worker 1", "worker 2", "worker 3"]);
        assert_eq!(victims(Target::Edge), ["edge 1", "edge 2"]);
        assert_eq!(victims(Target::Any), ["edge 1", "edge 2", "worker 1", "worker 2", "worker 3"]);
        assert_eq!(victims(Target::None), [""; 0]);
    }

    #[test]
    fn everybody_has_had_a_turn_before_anybody_has_a_second() {
        for seed in 0..20 {
            let mut victims: Vec<_> =
                Outline { seed, ..outline() }.plan()[..5].iter().map(|kill| kill.victim.to_string()).collect();
            victims.sort_unstable();
            victims.dedup();
            assert_eq!(victims.len(), 5, "seed {seed}");
        }
    }

    #[test]
    fn who_is_down_is_not_killed_again() {
        for (seed, starts_in) in (0..50).flat_map(|seed| [(seed, S), (seed, 8 * S)]) {
            let plan = Outline { every: S, workers: 1, edges: 1, starts_in, seed, ..outline() }.plan();
            for (number, kill) in plan.iter().enumerate() {
                let mut later = plan[number + 1..].iter().filter(|later| later.victim == kill.victim);
                let up = kill.at + kill.restart_after + starts_in;
                assert!(later.all(|later| later.at >= up), "seed {seed}: {plan:?}");
            }
        }
    }
}
