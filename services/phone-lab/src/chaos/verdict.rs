//! What became of a call: judged from what its caller said and heard, what the model heard, and who was killed when.
//!
//! Pure. Positions are those of the caller's tracks, in 20 ms steps since the call was placed.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    balancer::Connection,
    plan::{Role, Victim},
    words::Reader,
};
use crate::{
    oracle::over_at,
    twilio::{CallEnd, CallReport, Utterance},
};

/// What a character lasts.
const CHARACTER: Duration = Duration::from_millis(20);
/// A word of a call that was ended from outside may still have been on its way for so long.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// A call that is over.
#[derive(Debug)]
pub(super) struct Placed {
    /// Its number, as in its words.
    pub(super) call: u32,
    pub(super) placed: Instant,
    pub(super) over: Instant,
    pub(super) connections: Vec<Connection>,
    pub(super) report: CallReport,
}

/// A session of the model that was of one call.
#[derive(Clone, Debug)]
pub(super) struct CallSession {
    pub(super) worker: usize,
    pub(super) opened: Instant,
    pub(super) heard: BTreeSet<u32>,
}

/// A process that was killed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Struck {
    pub(super) victim: Victim,
    pub(super) at: Instant,
    /// When the signal had certainly been sent: what was heard of words that were said later, others heard.
    pub(super) told: Instant,
    /// When its successor was ready; none if the run was over first.
    pub(super) back: Option<Instant>,
}

/// How a kill came upon a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Touch {
    /// The process carried the call.
    Carried,
    /// The call was being set up when the process was killed, or was placed before it was back.
    Arriving,
}

/// What became of a call.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Its number.
    pub call: u32,
    /// Whether it went to its planned end, and words that were said after each kill that touched it were heard.
    pub lived: bool,
    /// How it ended.
    pub end: CallEnd,
    /// Twilio's debugger.
    pub codes: Vec<u32>,
    /// Seconds from placing it to its end.
    pub lasted_seconds: f64,
    /// The processes that carried it, in the order in which they first did.
    pub carriers: Vec<Victim>,
    /// The kills that touched it, by their numbers from 1.
    pub touched: Vec<(usize, Touch)>,
    /// Words that the caller said whole.
    pub said: usize,
    /// Of these, words that did not come back.
    pub lost: usize,
    /// Of these, words that the model heard in no session; none if the model is not the lab's to ask.
    pub lost_to_model: Option<usize>,
    /// Words that the model heard, and therefore said, and the caller did not hear; none as above.
    pub lost_to_caller: Option<usize>,
    /// The longest time from the beginning of a word to the beginning of an answer, this word or a later one, in
    /// milliseconds. What was never answered counts to the end of the call.
    pub longest_quiet_ms: u64,
}

impl Verdict {
    /// Whether a kill came upon the call in this way; one that was carried counts as that alone.
    pub fn touch(&self) -> Option<Touch> {
        let is = |wanted| self.touched.iter().any(|(_, touch)| *touch == wanted);
        if is(Touch::Carried) { Some(Touch::Carried) } else { is(Touch::Arriving).then_some(Touch::Arriving) }
    }

    /// Whether it lived and lost no word.
    pub fn is_good(&self) -> bool {
        self.lived && self.lost == 0
    }
}

/// A word and where it began.
type At = (u32, Duration);

/// Judges a call. `sessions` are none if the model is not the lab's to ask. `stopped`: the run was stopped early, so
/// being ended from outside was planned.
pub(super) fn judge(placed: &Placed, sessions: Option<&[CallSession]>, struck: &[Struck], stopped: bool) -> Verdict {
    let report = &placed.report;
    let ended = over_at(report);
    let cut = stopped && report.end == CallEnd::EndedByRest;
    let counts_until = if cut { ended.saturating_sub(LINGER) } else { ended };
    let mut said = whole_words(&report.said, placed.call);
    said.retain(|(_, at)| *at <= counts_until);
    let heard = words(&report.heard, placed.call);
    let to_caller: BTreeSet<u32> = heard.iter().map(|(number, _)| *number).collect();
    let missed_by_model = sessions.map(|sessions| missed_by_model(&said, sessions));
    let lost_to_model = missed_by_model.as_ref().map(BTreeSet::len);
    let mut lost = missed_by_model.unwrap_or_default();
    lost.extend(said.iter().map(|(number, _)| *number).filter(|number| !to_caller.contains(number)));
    let touched: Vec<_> = (1..).zip(struck).filter_map(|(n, kill)| Some((n, touch(placed, sessions, kill)?))).collect();
    let heard_since = |number: &usize| {
        let at = struck[number - 1].told.saturating_duration_since(placed.placed);
        said.iter().any(|(number, from)| *from > at && to_caller.contains(number))
    };
    let reached_end = report.end == CallEnd::CallerHungUp || cut;
    Verdict {
        call: placed.call,
        lived: reached_end && !to_caller.is_empty() && touched.iter().all(|(number, _)| heard_since(number)),
        end: report.end,
        codes: report.code_numbers(),
        lasted_seconds: ended.as_secs_f64(),
        carriers: carriers(placed, sessions.unwrap_or_default()),
        touched,
        said: said.len(),
        lost: lost.len(),
        lost_to_model,
        lost_to_caller: lost_to_model.map(|to_model| lost.len() - to_model),
        longest_quiet_ms: u64::try_from(longest_quiet(&said, &heard, ended).as_millis()).unwrap_or(u64::MAX),
    }
}

fn missed_by_model(said: &[At], sessions: &[CallSession]) -> BTreeSet<u32> {
    let missed = |number: &u32| !sessions.iter().any(|session| session.heard.contains(number));
    said.iter().map(|(number, _)| *number).filter(missed).collect()
}

fn carriers(placed: &Placed, sessions: &[CallSession]) -> Vec<Victim> {
    let edge = |open: &Connection| (open.opened, Victim { role: Role::Edge, index: open.edge });
    let worker = |session: &CallSession| (session.opened, Victim { role: Role::Worker, index: session.worker });
    let mut carried: Vec<_> = placed.connections.iter().map(edge).chain(sessions.iter().map(worker)).collect();
    carried.sort_by_key(|(opened, _)| *opened);
    let mut carriers = Vec::new();
    for (_, victim) in carried {
        if !carriers.contains(&victim) {
            carriers.push(victim);
        }
    }
    carriers
}

/// How a kill came upon a call, if it did.
fn touch(placed: &Placed, sessions: Option<&[CallSession]>, kill: &Struck) -> Option<Touch> {
    let began_later = placed.placed > kill.at;
    if began_later || placed.over <= kill.at {
        let was_down = began_later && kill.back.is_none_or(|back| placed.placed < back);
        return was_down.then_some(Touch::Arriving);
    }
    let worker = worker_at(placed, sessions, kill.at);
    match kill.victim.role {
        Role::Edge => {
            let mut up = placed.connections.iter().filter(|connection| connection.was_up(kill.at)).peekable();
            let arriving = (up.peek().is_none() && worker.is_none()).then_some(Touch::Arriving);
            if up.any(|connection| connection.edge == kill.victim.index) { Some(Touch::Carried) } else { arriving }
        }
        Role::Worker => match worker {
            Some(worker) => (worker == kill.victim.index).then_some(Touch::Carried),
            None => Some(Touch::Arriving),
        },
    }
}

/// The worker that had the call at this time, if one had. Where nobody tells, there is one, and it had the call from
/// the first that the caller heard.
fn worker_at(placed: &Placed, sessions: Option<&[CallSession]>, at: Instant) -> Option<usize> {
    let Some(sessions) = sessions else {
        return placed.report.heard.first().is_some_and(|first| placed.placed + first.at <= at).then_some(0);
    };
    let opened = sessions.iter().filter(|session| session.opened <= at);
    Some(opened.max_by_key(|session| session.opened)?.worker)
}

/// The longest time that the caller waited for an answer.
///
/// A word is owed an answer from its first sample on. The first that is heard of the words with its number or a higher
/// one is the answer; without any the caller waited until the end.
fn longest_quiet(said: &[At], heard: &[At], end: Duration) -> Duration {
    let waited = |(number, from): &At| {
        let answers = heard.iter().filter(|(answer, _)| answer >= number);
        answers.map(|(_, at)| *at).min().unwrap_or(end).saturating_sub(*from)
    };
    said.iter().map(waited).max().unwrap_or(end)
}

/// The words of this call that were said to their end.
fn whole_words(said: &[Utterance], call: u32) -> Vec<At> {
    let is_whole = |utterance: &&Utterance| {
        let characters = u32::try_from(utterance.text.chars().count()).unwrap_or(u32::MAX);
        utterance.lasted >= CHARACTER.saturating_mul(characters)
    };
    said.iter().filter(is_whole).flat_map(|utterance| words(std::slice::from_ref(utterance), call)).collect()
}

/// The words of this call in stretches of speech, which may tear them apart.
fn words(speech: &[Utterance], call: u32) -> Vec<At> {
    let mut reader = Reader::default();
    let characters = speech.iter().flat_map(|utterance| {
        let positions = (0..).map(|n| utterance.at + CHARACTER * n);
        utterance.text.chars().zip(positions)
    });
    let found = characters.filter_map(|(character, at)| reader.read(character, at));
    found.filter(|(word, _)| word.call == call).map(|(word, at)| (word.number, at)).collect()
}

#[cfg(test)]
mod tests;
