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

#[derive(Debug)]
pub(super) struct Silence {
    pub(super) answer: Option<f64>,
    pub(super) at_switches: Option<Spread>,
    pub(super) at_losses: Option<Spread>,
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
    let first_after = |at: Duration| waits.iter().position(|wait| wait.to > at);
    let places = |changes: Vec<Duration>| changes.into_iter().filter_map(first_after).collect::<Vec<_>>();
    let (switches, losses) = (places(lives.switches().collect()), places(lives.losses().collect()));
    let undisturbed = waits
        .iter()
        .enumerate()
        .filter(|(nth, wait)| wait.is_answer && !switches.contains(nth) && !losses.contains(nth));
    let undisturbed: Vec<f64> = undisturbed.map(|(_, wait)| wait.millis()).collect();
    let answer = Spread::of(undisturbed).map(|spread| spread.p50);
    let added = |places: &[usize]| {
        let added = places.iter().filter_map(|&at| {
            let usual = if waits[at].is_answer { answer? } else { 0.0 };
            Some((waits[at].millis() - usual).max(0.0))
        });
        Spread::of(added.collect())
    };
    let of_losses = added(&losses);
    let apart: Vec<usize> = switches.into_iter().filter(|at| !losses.contains(at)).collect();
    Silence { answer, at_switches: added(&apart), at_losses: of_losses }
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
    fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| figures.get(((figures.len() as f64 * share).ceil() as usize).saturating_sub(1)).copied();
        let tenths = |figure: f64| (figure * 10.0).round() / 10.0;
        Some(Self { p50: tenths(at(0.5)?), p95: tenths(at(0.95)?), max: tenths(at(1.0)?) })
    }
}
