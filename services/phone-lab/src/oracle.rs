//! Compares what each side of a call said with what the other side heard, without asking the system between them.
//!
//! Tone words are compared as text, recordings sample by sample, after one pass through mu-law, which is all that a phone
//! line does to them. What was cut is excused only by what cut it: an interrupted sentence by a `clear` at the moment it
//! broke off, a last one by the caller's hanging up in it.

pub mod continuity;
mod expected;

use std::time::Duration;

pub use self::expected::{answer_times, longest_silence, longest_unheard, unmet};
use crate::{
    bedrock::{HeardUtterance, SaidUtterance, SessionEnd, SessionReport},
    mulaw, tones,
    twilio::{CallEnd, CallReport, Happening, Utterance, codes},
};

/// Of a recording's sound, the part that energy detection may miss at its quiet edges.
const QUIET_EDGES: f64 = 0.1;
/// A sample that is louder belongs to a recording's sound.
const LOUD: u16 = 300;
/// What ends together on the same line is noted at most this far apart.
const TOGETHER: Duration = Duration::from_millis(300);
/// Half a character, left where a sentence was cut.
const CUT: char = '\u{fffd}';

/// Everything that was not heard as said, in words; empty if all was.
///
/// `sessions` are the model's sessions of this call, in order; `others` is what else could be heard on the line besides
/// `<Say>`: the words of a human who was dialled.
pub fn differences(call: &CallReport, sessions: &[SessionReport], others: &[String]) -> Vec<String> {
    let mut differences: Vec<String> = bad_end(call).into_iter().collect();
    differences.extend(conversation(call, sessions, others));
    differences.extend(logged(call));
    differences
}

/// Same, of the words and the model's sessions alone.
///
/// A session that an injected fault ended was not ended by its client: nothing is held against it but what it was told
/// wrong. Its last words may break off, on the caller's side anywhere, and what the caller said before the next session
/// heard something may be lost.
pub fn conversation(call: &CallReport, sessions: &[SessionReport], others: &[String]) -> Vec<String> {
    let mut differences = Vec::new();
    agent_heard(call, sessions, &mut differences);
    differences.extend(caller_heard(call, sessions, others).err());
    for session in sessions {
        match &session.end {
            Some(SessionEnd::ByTheBook | SessionEnd::Fault(_)) => {}
            Some(end) => differences.push(format!("the model's session did not end by the book: {end}")),
            None => differences.push("a session of the model is still open".to_owned()),
        }
        differences.extend(session.violations.iter().map(|violation| format!("the model was told wrong: {violation}")));
    }
    differences
}

/// Whether an injected fault ended it.
pub(crate) fn was_struck(session: &SessionReport) -> bool {
    matches!(session.end, Some(SessionEnd::Fault(_)))
}

/// What those said who were brought into the call.
pub fn human_words(call: &CallReport) -> Vec<String> {
    call.parties.iter().flat_map(|party| &party.said).map(|utterance| utterance.text.clone()).collect()
}

/// An end that no caller wants.
pub fn bad_end(call: &CallReport) -> Option<String> {
    match call.end {
        CallEnd::PatienceEnded => Some("the caller waited in vain".to_owned()),
        CallEnd::ApplicationError => Some("the caller heard Twilio's application error".to_owned()),
        CallEnd::TimeLimit => Some("the call reached its time limit".to_owned()),
        CallEnd::NotAnswered => Some("nobody answered".to_owned()),
        CallEnd::CallerHungUp
        | CallEnd::OtherSideHungUp
        | CallEnd::HungUpByDocument
        | CallEnd::DocumentEnded
        | CallEnd::Rejected
        | CallEnd::EndedByRest => None,
    }
}

/// What Twilio would log that it should not have to. It logs 31921 whenever the server closes the stream, also on
/// purpose.
pub fn logged(call: &CallReport) -> impl Iterator<Item = String> {
    let odd = call.codes.iter().filter(|entry| entry.code != codes::STREAM_CLOSED);
    odd.map(|entry| format!("twilio would log {}: {}", entry.code, entry.detail))
}

/// What the caller was to hear, in this order, and did not.
pub fn missing(call: &CallReport, hears: &[String]) -> Vec<String> {
    let heard: String = call.heard.iter().map(|utterance| squeezed(&utterance.text)).collect();
    let mut rest = heard.as_str();
    let mut missing = Vec::new();
    for sentence in hears {
        match rest.split_once(squeezed(sentence).as_str()) {
            Some((_, after)) => rest = after,
            None => missing.push(format!("the caller did not hear {sentence:?} (in this place)")),
        }
    }
    missing
}

fn agent_heard(call: &CallReport, sessions: &[SessionReport], differences: &mut Vec<String>) {
    let heard: Vec<_> = sessions.iter().flat_map(|session| &session.heard).collect();
    let mut next = 0;
    for said in call.said.iter().filter(|said| !said_to_somebody_else(said, call)) {
        match heard.get(next) {
            Some(heard) if same_sound(said, heard) => next += 1,
            // A caller who hangs up while speaking is heard in part, or not at all.
            Some(_) | None if ends_with_the_call(said, call) => next += 1,
            Some(_) | None if is_after_a_fault(sessions, next) => {}
            Some(heard) => {
                differences.push(format!("the caller said {:?}, the agent heard {:?}", said.text, heard.text));
                next += 1;
            }
            None => differences.push(format!("the caller said {:?}, the agent heard nothing", said.text)),
        }
    }
    let ghosts = heard.iter().skip(next);
    differences.extend(ghosts.map(|heard| format!("the agent heard {:?}, which nobody said", heard.text)));
}

/// Whether a fault ended a session after so many utterances had been heard, in it and before.
fn is_after_a_fault(sessions: &[SessionReport], heard: usize) -> bool {
    let mut so_far = 0;
    sessions.iter().any(|session| {
        so_far += session.heard.len();
        was_struck(session) && so_far == heard
    })
}

/// Whether somebody who had been brought into the call heard it.
pub(crate) fn said_to_somebody_else(said: &Utterance, call: &CallReport) -> bool {
    let connected = call.timeline.iter().find(|event| event.what == Happening::Connected);
    let words = squeezed(&said.text);
    connected.is_some_and(|connected| connected.at <= said.at)
        && call.parties.iter().any(|party| {
            let heard: String = party.heard.iter().map(|utterance| squeezed(&utterance.text)).collect();
            heard.contains(&words)
        })
}

fn same_sound(said: &Utterance, heard: &HeardUtterance) -> bool {
    squeezed(&said.text) == squeezed(&heard.text) || recording_in(said, heard).is_some()
}

/// Where in a recording that was said stands what was heard, if that is all of its sound.
pub(crate) fn recording_in(said: &Utterance, heard: &HeardUtterance) -> Option<usize> {
    let line: Vec<i16> = said.pcm.iter().map(|&sample| mulaw::decode(mulaw::encode(sample))).collect();
    let enough = heard.pcm.len() as f64 >= sound(&line) as f64 * (1.0 - QUIET_EDGES);
    let is_there = enough && !heard.pcm.is_empty();
    line.windows(heard.pcm.len().max(1)).position(|window| is_there && window == heard.pcm)
}

/// How long a recording sounds, from its first loud sample to its last.
fn sound(pcm: &[i16]) -> usize {
    let loud = |sample: &i16| sample.unsigned_abs() > LOUD;
    let first = pcm.iter().position(loud).unwrap_or(0);
    pcm.iter().rposition(loud).map_or(0, |last| last + 1 - first)
}

fn caller_heard(call: &CallReport, sessions: &[SessionReport], others: &[String]) -> Result<(), String> {
    let (mut said, mut struck) = (Vec::new(), Vec::new());
    for session in sessions {
        said.extend(&session.said);
        struck.resize(said.len(), was_struck(session).then_some(said.len()));
    }
    let others = call.spoken_by_twilio.iter().chain(others).map(|words| squeezed(words)).collect();
    let mut listening = Listening { call, said, struck, next: 0, others };
    for utterance in &call.heard {
        listening.follow(utterance)?;
    }
    listening.finish()
}

/// Follows what the caller heard along what was said.
struct Listening<'a> {
    call: &'a CallReport,
    said: Vec<&'a SaidUtterance>,
    /// For each sentence of a session that a fault ended, the first sentence of the next session.
    struck: Vec<Option<usize>>,
    next: usize,
    others: Vec<String>,
}

impl Listening<'_> {
    /// A stretch of speech is whole sentences, and at its end at most the beginning of one that was cut there.
    fn follow(&mut self, utterance: &Utterance) -> Result<(), String> {
        let heard = squeezed(&utterance.text);
        let mut rest = heard.as_str();
        while !rest.is_empty() {
            let words =
                self.said.get(self.next).map(|sentence| squeezed(&sentence.text)).filter(|words| !words.is_empty());
            if let Some(after) = words.as_deref().and_then(|words| rest.strip_prefix(words)) {
                rest = after;
                self.next += 1;
            } else if let Some(after) = self.others.iter().find_map(|words| strip(rest, words)) {
                rest = after;
            } else if self.was_keyed(utterance)
                && self.others.iter().any(|words| words.starts_with(rest.trim_end_matches(CUT)))
            {
                return Ok(());
            } else if let Some(words) = words
                && (self.was_cut(self.next, utterance) || self.is_struck(self.next))
                && words.starts_with(rest.trim_end_matches(CUT))
            {
                self.next = self.after_cut(self.next);
                return Ok(());
            } else if self.is_interrupted(self.next) || self.is_struck(self.next) {
                // Nothing of it was played before the clear, or before the session was lost.
                self.next = self.after_cut(self.next);
            } else {
                return Err(match self.said.get(self.next) {
                    Some(sentence) => format!("the agent said {:?}, the caller heard {rest:?}", sentence.text),
                    None => format!("the caller heard {rest:?}, which nobody said"),
                });
            }
        }
        Ok(())
    }

    /// What was not heard at all was interrupted, or the caller left before it.
    fn finish(self) -> Result<(), String> {
        let interrupted =
            (0..self.said.len()).filter(|&at| self.is_interrupted(at) && !self.is_interrupted(at.wrapping_sub(1)));
        let interruptions = interrupted.count();
        if self.call.clears.len() + usize::from(self.caller_left_before_the_clear()) < interruptions {
            return Err(format!(
                "{interruptions} interruption(s), but the line was cleared {} time(s)",
                self.call.clears.len()
            ));
        }
        let unheard = (self.next..self.said.len()).find(|&at| !self.is_interrupted(at) && !self.is_struck(at));
        match unheard {
            Some(at) if !self.caller_left_unanswered() => {
                Err(format!("the agent said {:?}, the caller heard nothing of it", self.said[at].text))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the sentence may end where the utterance does.
    fn was_cut(&self, sentence: usize, utterance: &Utterance) -> bool {
        let end = utterance.at + utterance.lasted;
        let cleared = self.call.clears.iter().any(|clear| end.abs_diff(clear.at) < TOGETHER);
        (self.is_interrupted(sentence) && cleared) || ends_with_the_call(utterance, self.call)
    }

    /// Whether a key was pressed where the utterance ends: it cuts what Twilio says in a `<Gather>`.
    fn was_keyed(&self, utterance: &Utterance) -> bool {
        let end = utterance.at + utterance.lasted;
        let mut keys = self.call.timeline.iter().filter(|event| matches!(event.what, Happening::Pressed { .. }));
        keys.any(|key| end.abs_diff(key.at) < TOGETHER)
    }

    fn is_interrupted(&self, sentence: usize) -> bool {
        self.said.get(sentence).is_some_and(|sentence| sentence.interrupted_at_sample.is_some())
    }

    /// Whether the caller hung up in a sentence that was being interrupted, so that the clear was still on the network.
    fn caller_left_before_the_clear(&self) -> bool {
        let interrupted = self.said.len().checked_sub(1).is_some_and(|last| self.is_interrupted(last));
        let in_it = self.call.heard.last().is_some_and(|heard| ends_with_the_call(heard, self.call));
        !self.call.network.is_empty() && interrupted && in_it
    }

    fn is_struck(&self, sentence: usize) -> bool {
        self.struck.get(sentence).is_some_and(Option::is_some)
    }

    /// The sentence that may be heard next: a session that was lost says no more.
    fn after_cut(&self, sentence: usize) -> usize {
        self.struck.get(sentence).copied().flatten().unwrap_or(sentence + 1)
    }

    /// Whether the caller hung up while the agent was speaking, or before it had begun.
    fn caller_left_unanswered(&self) -> bool {
        let last_heard = self.call.heard.last();
        let spoke_last = self.call.said.last().map(|said| said.at) >= last_heard.map(|heard| heard.at);
        self.call.end == CallEnd::CallerHungUp
            && (spoke_last || last_heard.is_none_or(|heard| ends_with_the_call(heard, self.call)))
    }
}

fn strip<'a>(rest: &'a str, words: &str) -> Option<&'a str> {
    rest.strip_prefix(words).filter(|_| !words.is_empty())
}

/// Whether the caller hung up in the middle of it.
pub(crate) fn ends_with_the_call(utterance: &Utterance, call: &CallReport) -> bool {
    let hung_up = call.timeline.iter().find(|event| event.what == Happening::HungUp);
    let over = hung_up.map_or(over_at(call), |event| event.at);
    call.end == CallEnd::CallerHungUp && utterance.at + utterance.lasted + TOGETHER >= over
}

/// When the call was over: callbacks may be told of it later.
pub(crate) fn over_at(call: &CallReport) -> Duration {
    let ended = call.timeline.iter().find(|event| matches!(event.what, Happening::Ended { .. }));
    ended.or(call.timeline.last()).map_or(Duration::ZERO, |event| event.at)
}

/// Words as they can be said, without spaces: silence between sentences is not compared.
fn squeezed(text: &str) -> String {
    text.split(CUT).map(|part| tones::fold(part).replace(' ', "")).collect::<Vec<_>>().join("\u{fffd}")
}

#[cfg(test)]
mod tests;
