//! What a connection under conditions went through.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Serialize, Serializer};

use super::{
    conditions::Conditions,
    schedule::{Hold, Plan, holds_before},
};

/// One connection: what it was to go through, which its seed repeats, and what went over it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LineReport {
    /// Under which conditions.
    pub conditions: Conditions,
    /// What its schedule was drawn from.
    pub seed: u64,
    /// How long it has been there.
    #[serde(serialize_with = "seconds")]
    pub lasted: Duration,
    /// What the lab sent.
    pub to: WayReport,
    /// What the lab was sent.
    pub from: WayReport,
    /// When it was cut, if it was.
    #[serde(serialize_with = "seconds_if_any")]
    pub cut: Option<Duration>,
}

/// One direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WayReport {
    /// How much has arrived.
    pub bytes: u64,
    /// When nothing arrived on purpose.
    pub held: Vec<Hold>,
}

/// What is known about a connection while it lasts.
#[derive(Debug)]
pub(crate) struct Record {
    conditions: Conditions,
    seed: u64,
    pub(super) opened: Instant,
    pub(super) to: AtomicU64,
    pub(super) from: AtomicU64,
    pub(super) cut: OnceLock<Duration>,
    /// It ended with a reset.
    pub(super) reset: AtomicBool,
    pub(super) over: OnceLock<Duration>,
}

impl Record {
    pub(super) fn new(conditions: Conditions, seed: u64, opened: Instant) -> Self {
        let (to, from) = (AtomicU64::new(0), AtomicU64::new(0));
        Self {
            conditions,
            seed,
            opened,
            to,
            from,
            cut: OnceLock::new(),
            reset: AtomicBool::new(false),
            over: OnceLock::new(),
        }
    }

    pub(super) fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Relaxed)
    }

    /// As things stand.
    pub(crate) fn report(&self, now: Instant) -> LineReport {
        let lasted = self.over.get().copied().unwrap_or_else(|| now.saturating_duration_since(self.opened));
        let Plan { to, from, cut: _ } = Plan::new(&self.conditions, self.seed);
        let way = |bytes: &AtomicU64, schedule| WayReport {
            bytes: bytes.load(Ordering::Relaxed),
            held: holds_before(schedule, lasted),
        };
        LineReport {
            conditions: self.conditions.clone(),
            seed: self.seed,
            lasted,
            to: way(&self.to, to),
            from: way(&self.from, from),
            cut: self.cut.get().copied(),
        }
    }
}

/// Durations as seconds, which is what a person reads in a report.
pub(super) fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn seconds_if_any<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
}
