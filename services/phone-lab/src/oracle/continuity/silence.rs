//! How long the caller waits at a switch or a loss, beside how long elsewhere.

use std::time::Duration;

use serde::Serialize;

use super::lives::Lives;
use crate::{
    oracle::CUT,
    twilio::{CallReport, Utterance},
};

/// Some figures of many, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The median.
    pub p50: f64,
    /// Of a hundred, 95 are not above.
    pub p95: f64,
    /// The largest.
    pub max: f64,
}

/// A session gave way to the next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Change {
    /// When.
    pub at_ms: f64,
    /// The session was gone, and not merely replaced.
    pub lost: bool,
    /// How much longer than usual the first sound after it was waited for; none if that cannot be told.
    pub added_ms: Option<f64>,
}

#[derive(Debug)]
pub(super) struct Silence {
    pub(super) answer: Option<f64>,
    pub(super) changes: Vec<Change>,
}

impl Silence {
    /// What losses, or switches, added.
    pub(super) fn added(&self, lost: bool) -> Option<Spread> {
        Spread::of(
            self.changes.iter().filter(|change| change.lost == lost).filter_map(|change| change.added_ms).collect(),
        )
    }
}

/// The caller's wait for a sound of the agent's.
struct Wait {
    /// The last sound before ended.
    from: Duration,
    /// The sound began.
    to: Duration,
    /// That last sound were the caller's words.
    is_answer: bool,
}

pub(super) fn measure(call: &CallReport, lives: &Lives<'_>) -> Silence {
    let waits = waits(call);
    let mut changes: Vec<_> = lives.switches().map(|at| (at, false)).collect();
    changes.extend(lives.losses().map(|at| (at, true)));
    changes.sort_unstable();
    let first_after = |at: Duration| waits.iter().position(|wait| wait.to > at);
    let disturbed: Vec<_> = changes.iter().filter_map(|(at, _)| first_after(*at)).collect();
    let usual = waits.iter().enumerate().filter(|(nth, wait)| wait.is_answer && !disturbed.contains(nth));
    let answer = Spread::of(usual.map(|(_, wait)| wait.millis()).collect()).map(|spread| spread.p50);
    // What a loss adds is not held against a switch beside it.
    let lost: Vec<_> = changes.iter().filter(|(_, lost)| *lost).filter_map(|(at, _)| first_after(*at)).collect();
    let added = |at: Duration, is_loss: bool| {
        let nth = first_after(at).filter(|nth| is_loss || !lost.contains(nth))?;
        let usual = if waits[nth].is_answer { answer? } else { 0.0 };
        Some(tenths((waits[nth].millis() - usual).max(0.0)))
    };
    let changes = changes.iter().map(|&(at, lost)| Change {
        at_ms: tenths(at.as_secs_f64() * 1000.0),
        lost,
        added_ms: added(at, lost),
    });
    Silence { answer, changes: changes.collect() }
}

fn tenths(millis: f64) -> f64 {
    (millis * 10.0).round() / 10.0
}

impl Wait {
    fn millis(&self) -> f64 {
        (self.to.saturating_sub(self.from)).as_secs_f64() * 1000.0
    }
}

/// Before each stretch of the agent's speech. A sound without words, such as one that bridges a gap, is no speech.
fn waits(call: &CallReport) -> Vec<Wait> {
    let speech = call.heard.iter().filter(|heard| heard.text.chars().any(|c| c != CUT && c != ' '));
    let end = |utterance: &Utterance| utterance.at + utterance.lasted;
    let mut agent_until = None;
    let mut waits = Vec::new();
    for heard in speech {
        let caller_until = call.said.iter().filter(|said| said.at < heard.at).map(end).max();
        if let Some(from) = agent_until.max(caller_until) {
            waits.push(Wait { from, to: heard.at, is_answer: caller_until > agent_until });
        }
        agent_until = Some(end(heard));
    }
    waits
}

impl Spread {
    /// Of these; none if there are none.
    pub fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| figures.get(((figures.len() as f64 * share).ceil() as usize).saturating_sub(1)).copied();
        Some(Self { p50: tenths(at(0.5)?), p95: tenths(at(0.95)?), max: tenths(at(1.0)?) })
    }
}
