//! What the sessions heard of what the caller said.

use std::time::Duration;

use super::lives::{Life, Lives};
use crate::{
    bedrock::HeardUtterance,
    mulaw,
    oracle::{CUT, ends_with_the_call, recording_in, said_to_somebody_else},
    report::words::are_words,
    tones,
    twilio::{CallReport, Utterance},
};

/// More than the usual time from the end of words to their being heard, before a session is called deaf.
const MARGIN: Duration = Duration::from_millis(500);
/// Of a recording so many samples are enough to know a part of it by.
const PART: usize = 800;

/// What was heard, by whom.
#[derive(Debug, Default)]
pub(super) struct Ears {
    /// For each session, and in it for each utterance that it heard, which utterance of the caller that is, the last if
    /// it is several.
    pub(super) causes: Vec<Vec<Option<usize>>>,
    pub(super) lost: usize,
    /// Utterances that a session heard of which it had heard some already.
    pub(super) again: usize,
    pub(super) deaf: usize,
    pub(super) reasons: Vec<String>,
}

/// A word of the caller.
struct Said {
    utterance: usize,
    /// It is a whole recording.
    recorded: bool,
    text: String,
    /// The last session that heard it.
    heard_by: Option<usize>,
    /// A session heard it before it was replaced, or whose successor was lost.
    in_time: bool,
    /// The other sessions that heard it.
    late: Vec<usize>,
}

impl Said {
    /// Whether nobody heard it, or only a session that nobody listens to any more: its successor answers, and heard another
    /// part of the utterance.
    fn is_lost(&self, causes: &[Vec<Option<usize>>]) -> bool {
        let heard_a_part = |session: usize| causes.get(session).is_some_and(|own| own.contains(&Some(self.utterance)));
        !self.in_time && (self.late.is_empty() || self.late.iter().any(|session| heard_a_part(session + 1)))
    }
}

/// A session that hears something.
#[derive(Clone, Copy)]
struct Listener {
    nth: usize,
    at: Duration,
    in_time: bool,
}

/// What was heard, among what was said.
struct Found {
    /// The utterance in which it ends.
    cause: usize,
    /// The session had heard some of it already.
    again: bool,
}

pub(super) fn compare(call: &CallReport, lives: &Lives<'_>) -> Ears {
    let mut ears = Ears::default();
    let mut said = words_said(call);
    // From the end of an utterance to its being heard.
    let mut pauses = Vec::new();
    for (nth_life, life) in lives.current.iter().enumerate() {
        let successor_is_lost = lives.current.get(nth_life + 1).is_some_and(|next| next.lost.is_some());
        let mut causes = Vec::new();
        for (nth, heard) in life.session.heard.iter().enumerate() {
            let at = life.heard.get(nth).copied().unwrap_or(Duration::MAX);
            let in_time = life.replaced.is_none_or(|replaced| at < replaced) || successor_is_lost;
            let found = find(call, &mut said, heard, Listener { nth: nth_life, at, in_time });
            let wrong = match &found {
                None => Some("which nobody said"),
                Some(Found { again: true, .. }) => Some("which it had heard already"),
                Some(Found { again: false, .. }) => None,
            };
            ears.again += usize::from(found.as_ref().is_some_and(|found| found.again));
            ears.reasons.extend(wrong.map(|wrong| format!("session {} heard {:?}, {wrong}", life.number, heard.text)));
            let cause = found.map(|found| found.cause);
            pauses.extend(cause.and_then(|cause| at.checked_sub(end(&call.said[cause]))));
            causes.push(cause);
        }
        ears.causes.push(causes);
    }
    pauses.sort_unstable();
    let pause = pauses.get(pauses.len() / 2).copied().unwrap_or_default() + MARGIN;
    for (life, causes) in lives.current.iter().zip(&ears.causes) {
        let unheard = deaf_to(call, life, causes, pause);
        if let Some(unheard) = unheard {
            ears.deaf += 1;
            ears.reasons.push(format!("session {} was deaf: it did not hear {:?}", life.number, unheard.text));
        }
    }
    for (nth, utterance) in call.said.iter().enumerate() {
        let lost: Vec<_> = said.iter().filter(|word| word.utterance == nth && word.is_lost(&ears.causes)).collect();
        if !lost.is_empty() && !ends_with_the_call(utterance, call) && !said_to_somebody_else(utterance, call) {
            ears.lost += lost.len();
            let words: Vec<_> = lost.iter().map(|word| word.text.as_str()).collect();
            ears.reasons.push(format!(
                "the caller said {:?}, no session that could answer heard {:?} of it",
                utterance.text,
                words.join(" ")
            ));
        }
    }
    ears
}

fn end(utterance: &Utterance) -> Duration {
    utterance.at + utterance.lasted
}

/// A recording is one word.
fn words_said(call: &CallReport) -> Vec<Said> {
    let mut words = Vec::new();
    for (utterance, said) in call.said.iter().enumerate() {
        let recorded = !said.pcm.is_empty() && !are_words(&said.pcm);
        let mut add = |text: &str| {
            let (text, late) = (text.to_owned(), Vec::new());
            words.push(Said { utterance, recorded, text, heard_by: None, in_time: false, late });
        };
        if recorded {
            add(&said.text);
        } else {
            tones::fold(&said.text).split_whitespace().for_each(add);
        }
    }
    words
}

/// Finds what this session heard among what was said by then, the latest first, what it has not heard yet before what it
/// has, and marks it.
fn find(call: &CallReport, said: &mut [Said], heard: &HeardUtterance, by: Listener) -> Option<Found> {
    let begun = |word: &Said| call.said[word.utterance].at <= by.at;
    let known = said.iter().position(|word| !begun(word)).unwrap_or(said.len());
    if !heard.pcm.is_empty() && !are_words(&heard.pcm) {
        let words = (0..known).rev().filter(|&word| said[word].recorded);
        let whole = |&word: &usize| recording_in(&call.said[said[word].utterance], heard).is_some();
        let is_new = |word: &usize| said[*word].heard_by != Some(by.nth);
        let mut wholes = words.clone().filter(whole);
        if let Some(word) = wholes.clone().find(is_new).or_else(|| wholes.next()) {
            return Some(mark(&mut said[word..=word], &[], by));
        }
        let mut parts = words.filter(|&word| is_part(&call.said[said[word].utterance], heard));
        return parts.next().map(|word| Found { cause: said[word].utterance, again: false });
    }
    let text = heard.text.trim_matches([CUT, ' ']).to_owned();
    let words: Vec<&str> = text.split_whitespace().collect();
    let last = words.len().checked_sub(1)?;
    let mut places = (0..known.checked_sub(words.len())? + 1).rev().filter(|&from| stands_at(&said[from..], &words));
    let is_new = |from: &usize| said[*from..=from + last].iter().all(|word| word.heard_by != Some(by.nth));
    let from = places.clone().find(is_new).or_else(|| places.next())?;
    Some(mark(&mut said[from..=from + last], &words, by))
}

/// This session heard these words, the first and the last maybe in part. No words are a whole recording.
fn mark(said: &mut [Said], words: &[&str], by: Listener) -> Found {
    let mut found = Found { cause: 0, again: false };
    for (nth, said) in said.iter_mut().enumerate() {
        found.cause = said.utterance;
        if words.get(nth).is_none_or(|word| said.text == *word) {
            found.again |= said.heard_by.replace(by.nth) == Some(by.nth);
            said.in_time |= by.in_time;
            said.late.extend((!by.in_time).then_some(by.nth));
        }
    }
    found
}

/// Whether the words stand there; the first and the last may be part of a word.
fn stands_at(said: &[Said], words: &[&str]) -> bool {
    let last = words.len().saturating_sub(1);
    let mut pairs = said.iter().zip(words).enumerate();
    pairs.all(|(nth, (said, word))| {
        let said = said.text.as_str();
        match (nth == 0, nth == last) {
            (true, true) => said.contains(word),
            (true, false) => said.ends_with(word),
            (false, true) => said.starts_with(word),
            (false, false) => said == *word,
        }
    })
}

/// Whether the sound is a part of this recording, after its way over the line.
fn is_part(said: &Utterance, heard: &HeardUtterance) -> bool {
    let line: Vec<i16> = said.pcm.iter().map(|&sample| mulaw::decode(mulaw::encode(sample))).collect();
    let part = &heard.pcm[..heard.pcm.len().min(PART)];
    part.len() <= line.len() && line.windows(part.len().max(1)).any(|window| window == part)
}

/// What the session should have heard, if it heard nothing of what it should have.
fn deaf_to<'a>(
    call: &'a CallReport,
    life: &Life<'_>,
    causes: &[Option<usize>],
    pause: Duration,
) -> Option<&'a Utterance> {
    let its_own = |said: &Utterance| said.at >= life.from && end(said) + pause <= life.until;
    let mut own = call.said.iter().enumerate().filter(|(_, said)| its_own(said) && !said_to_somebody_else(said, call));
    let first = own.clone().next()?.1;
    let heard_any = own.any(|(nth, _)| causes.contains(&Some(nth)));
    (!heard_any).then_some(first)
}
