//! What a chaos run found.
//!
//! Pure. Percentiles are of the nearest rank.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    fleet::Signal,
    plan::Victim,
    verdict::{Touch, Verdict},
};

/// Everything about a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What the plan was drawn from.
    pub seed: u64,
    /// How many edges there were.
    pub edges: usize,
    /// How many workers.
    pub workers: usize,
    /// How many calls were kept up.
    pub lines: u16,
    /// Seconds from the first call to the last one's end.
    pub lasted_seconds: f64,
    /// Whether the run was stopped before its time.
    pub stopped_early: bool,
    /// What processes were killed with.
    pub signal: Signal,
    /// The kills, in order.
    pub kills: Vec<KillReport>,
    /// Processes that ended without being told.
    pub crashes: Vec<String>,
    /// The calls, in the order of their numbers.
    pub calls: Vec<Verdict>,
    /// Calls that a killed process carried.
    pub carried: Group,
    /// Calls that were being set up when a process was killed, or were placed before it was back.
    pub arriving: Group,
    /// All others.
    pub untouched: Group,
    /// What the services did wrong towards the simulated Bedrock, and how often; none if the model is not the lab's to
    /// ask.
    pub violations: Option<BTreeMap<String, usize>>,
}

/// A process was killed.
#[derive(Clone, Debug, Serialize)]
pub struct KillReport {
    /// Who.
    pub victim: Victim,
    /// When, in seconds since the first call.
    pub at_seconds: f64,
    /// How many calls it said that it carried, just before.
    pub legs: Option<u64>,
    /// How many calls it carried.
    pub carried: usize,
    /// Of these, how many lived.
    pub lived: usize,
    /// Calls that were being set up, or placed before it was back.
    pub arriving: usize,
    /// Until the process was gone, in milliseconds; none if the run was over first.
    pub gone_after_ms: Option<u64>,
    /// Until its successor was ready.
    pub back_after_ms: Option<u64>,
}

/// Calls that have something in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Group {
    /// How many.
    pub calls: usize,
    /// Of these, how many lived.
    pub lived: usize,
    /// Words that did not come back.
    pub lost: usize,
    /// Of these, words that the model did not hear; none if the model is not the lab's to ask.
    pub lost_to_model: Option<usize>,
    /// Words that the caller did not hear; none as above.
    pub lost_to_caller: Option<usize>,
    /// The longest quiet of each call.
    pub longest_quiet: Quiet,
}

/// Some longest quiets, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quiet {
    /// Half of them are no longer.
    pub p50_ms: u64,
    /// 95 of 100.
    pub p95_ms: u64,
    /// All.
    pub max_ms: u64,
}

impl Report {
    /// Whether every call lived, no word was lost, and no process ended by itself.
    pub fn is_good(&self) -> bool {
        !self.calls.is_empty() && self.crashes.is_empty() && self.calls.iter().all(Verdict::is_good)
    }

    /// Whether not one word came back from a model that is not the lab's: then it is one that does not say them.
    pub fn is_mute(&self) -> bool {
        self.violations.is_none() && !self.calls.is_empty() && self.calls.iter().all(|call| call.lost == call.said)
    }

    /// The calls that were touched in this way, or not at all.
    pub fn touched(&self, touch: Option<Touch>) -> impl Iterator<Item = &Verdict> {
        self.calls.iter().filter(move |call| call.touch() == touch)
    }
}

/// Counts and puts together.
pub(super) fn group<'a>(calls: impl Iterator<Item = &'a Verdict>) -> Group {
    let mut group = Group { lost_to_model: Some(0), lost_to_caller: Some(0), ..Group::default() };
    let mut quiets = Vec::new();
    for call in calls {
        group.calls += 1;
        group.lived += usize::from(call.lived);
        group.lost += call.lost;
        group.lost_to_model = add(group.lost_to_model, call.lost_to_model);
        group.lost_to_caller = add(group.lost_to_caller, call.lost_to_caller);
        quiets.push(call.longest_quiet_ms);
    }
    quiets.sort_unstable();
    let rank = |percent: usize| quiets.get((quiets.len() * percent).div_ceil(100).saturating_sub(1)).copied();
    let at = |percent| rank(percent).unwrap_or_default();
    Group { longest_quiet: Quiet { p50_ms: at(50), p95_ms: at(95), max_ms: at(100) }, ..group }
}

/// What is not known of one is not known of all.
fn add(sum: Option<usize>, one: Option<usize>) -> Option<usize> {
    Some(sum? + one?)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::twilio::CallEnd;

    pub(in crate::chaos) fn verdict(call: u32, quiet: u64) -> Verdict {
        Verdict {
            call,
            lived: true,
            end: CallEnd::CallerHungUp,
            codes: Vec::new(),
            lasted_seconds: 10.0,
            carriers: Vec::new(),
            touched: Vec::new(),
            said: 20,
            lost: 0,
            lost_to_model: Some(0),
            lost_to_caller: Some(0),
            longest_quiet_ms: quiet,
        }
    }

    pub(in crate::chaos) fn report(calls: Vec<Verdict>) -> Report {
        let of = |touch| group(calls.iter().filter(move |call| call.touch() == touch));
        Report {
            seed: 1,
            edges: 2,
            workers: 2,
            lines: 2,
            lasted_seconds: 12.0,
            stopped_early: false,
            signal: Signal::Kill,
            kills: Vec::new(),
            crashes: Vec::new(),
            carried: of(Some(Touch::Carried)),
            arriving: of(Some(Touch::Arriving)),
            untouched: of(None),
            violations: Some(BTreeMap::new()),
            calls,
        }
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let calls: Vec<_> = (1..=20).map(|n| verdict(n, u64::from(n) * 10)).collect();
        let quiet = group(calls.iter()).longest_quiet;
        assert_eq!((quiet.p50_ms, quiet.p95_ms, quiet.max_ms), (100, 190, 200));
        assert_eq!((group([].into_iter()).calls, group([].into_iter()).longest_quiet), (0, Quiet::default()));
    }

    #[test]
    fn only_a_run_in_which_every_call_lived_and_no_word_was_lost_is_good() {
        assert!(report(vec![verdict(1, 10), verdict(2, 10)]).is_good());
        assert!(!report(Vec::new()).is_good(), "no call lived");
        assert!(!report(vec![Verdict { lived: false, ..verdict(1, 10) }]).is_good());
        assert!(!report(vec![Verdict { lost: 1, ..verdict(1, 10) }]).is_good());
        assert!(!Report { crashes: vec!["edge 1 ended".into()], ..report(vec![verdict(1, 10)]) }.is_good());
    }
}
