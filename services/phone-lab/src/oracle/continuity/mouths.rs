//! What the caller heard of what the sessions said.

use std::{collections::BTreeMap, time::Duration};

use super::{
    ears::Ears,
    lives::{Life, Lives},
};
use crate::{
    bedrock::{SaidUtterance, SessionEnd},
    oracle::{CUT, TOGETHER, squeezed},
    tones,
    twilio::{CallEnd, CallReport, Happening, Utterance},
};

/// Samples in a millisecond.
const SAMPLES: u64 = 8;
/// What was begun so shortly before a replacement may have been on its way still.
const ON_ITS_WAY: Duration = Duration::from_millis(300);
/// By this much later than it could have been a sentence may be played.
const PLAYED_LATE: Duration = Duration::from_secs(1);

/// What was heard of what was said.
#[derive(Debug, Default)]
pub(super) struct Mouths {
    pub(super) lost: usize,
    pub(super) resumed: usize,
    pub(super) talked_over: usize,
    pub(super) late: usize,
    pub(super) twice: usize,
    pub(super) reasons: Vec<String>,
}

/// A sentence of some session.
struct Sentence<'a> {
    life: usize,
    number: usize,
    said: &'a SaidUtterance,
    at: Duration,
    /// As it is heard, without spaces.
    text: String,
    excuse: Excuse,
    /// What made the session say it.
    cause: Cause,
}

/// Why a sentence need not be heard to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Excuse {
    None,
    /// The caller interrupted it: it breaks off where an utterance ends.
    Interrupted,
    /// The caller hung up.
    HungUp,
    /// Its session was replaced or lost: somebody has to go on with it.
    Gone,
    /// Its session had been replaced when it was begun, or the content filter does not let it be said.
    Late,
}

impl Excuse {
    /// Of two sentences of which one was not heard it is rather the one that nobody has to go on with.
    fn weight(self) -> usize {
        match self {
            Self::Gone => 2,
            Self::None | Self::Interrupted | Self::HungUp | Self::Late => 1,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// This utterance of the caller, by sound or as text.
    Utterance(usize),
    /// Something else that was said after this utterance had begun, if any had.
    Since(Option<usize>),
}

impl Cause {
    /// The utterance after which it was said.
    fn after(self) -> Option<usize> {
        match self {
            Self::Utterance(utterance) => Some(utterance),
            Self::Since(utterance) => utterance,
        }
    }
}

pub(super) fn compare(call: &CallReport, lives: &Lives<'_>, ears: &Ears, others: &[String]) -> Mouths {
    let sentences = sentences(call, lives, ears);
    let heard = Heard::new(call, others);
    let mut mouths = Mouths::default();
    let lengths = match heard.follow(&sentences) {
        Ok(lengths) => lengths,
        Err(reason) => {
            mouths.reasons.push(reason);
            return mouths;
        }
    };
    for (nth, sentence) in sentences.iter().enumerate() {
        let is_whole = lengths[nth] == sentence.text.len();
        match sentence.excuse {
            Excuse::Gone if !is_whole => {
                let life = &lives.current[sentence.life];
                let went_on = |said: &Utterance| said.at > sentence.at && Some(said.at) < life.replaced;
                mouths.note_broken(&sentences, nth, lengths[nth], call.said.iter().any(went_on));
            }
            Excuse::Late if !is_whole => mouths.late += 1,
            Excuse::None | Excuse::Interrupted | Excuse::HungUp | Excuse::Gone | Excuse::Late => {}
        }
    }
    mouths.note_repetitions(&sentences, &lengths);
    mouths
}

impl Mouths {
    /// `went_on` is whether the caller did not wait for who should have gone on.
    fn note_broken(&mut self, sentences: &[Sentence<'_>], nth: usize, heard: usize, went_on: bool) {
        let broken = &sentences[nth];
        let rest = unheard_words(&broken.said.text, heard);
        let later = sentences[nth + 1..].iter().filter(|later| later.life > broken.life);
        let goes_on = |later: &Sentence<'_>| words(&later.said.text).ends_with(&rest);
        if later.into_iter().any(goes_on) {
            self.resumed += 1;
        } else if went_on {
            self.talked_over += 1;
        } else {
            self.lost += 1;
            self.reasons.push(format!(
                "session {} said {:?}, the caller did not hear {:?} of it, and no later session said that",
                broken.number,
                broken.said.text,
                rest.join(" ")
            ));
        }
    }

    fn note_repetitions(&mut self, sentences: &[Sentence<'_>], lengths: &[usize]) {
        let whole = || sentences.iter().zip(lengths).filter(|(sentence, length)| sentence.text.len() == **length);
        // Which session was the first to answer, and to say.
        let mut answered: BTreeMap<usize, usize> = BTreeMap::new();
        let mut said: BTreeMap<(Option<usize>, &str), usize> = BTreeMap::new();
        let mut twice: Vec<(usize, &str)> = Vec::new();
        for (sentence, _) in whole() {
            let same = *said.entry((sentence.cause.after(), &sentence.text)).or_insert(sentence.life);
            let first = match sentence.cause {
                Cause::Utterance(utterance) => *answered.entry(utterance).or_insert(sentence.life),
                Cause::Since(_) => same,
            };
            if first != sentence.life || same != sentence.life {
                twice.push((sentence.number, &sentence.said.text));
            }
        }
        self.twice = twice.len();
        let told =
            twice.iter().map(|(number, text)| format!("session {number} said {text:?}, which had been answered"));
        self.reasons.extend(told);
    }
}

/// All sentences in the order in which they were begun.
fn sentences<'a>(call: &CallReport, lives: &Lives<'a>, ears: &Ears) -> Vec<Sentence<'a>> {
    let hung_up = hung_up(call);
    let mut sentences = Vec::new();
    for (nth, life) in lives.current.iter().enumerate() {
        // Sentences are played one after the other, the first not before it was begun.
        let mut played = Duration::ZERO;
        for (said, &at) in life.session.said.iter().zip(&life.said) {
            played = played.max(at) + Duration::from_millis(tones::speak(&said.text).len() as u64 / SAMPLES);
            let excuse = excuse(said, life, at, played, hung_up);
            let cause = cause(call, life, &ears.causes[nth], at);
            let text = squeezed(&said.text);
            sentences.push(Sentence { life: nth, number: life.number, said, at, text, excuse, cause });
        }
    }
    sentences.sort_by_key(|sentence| sentence.at);
    sentences
}

fn excuse(said: &SaidUtterance, life: &Life<'_>, at: Duration, played: Duration, hung_up: Option<Duration>) -> Excuse {
    let late = played + PLAYED_LATE;
    if said.interrupted_at_sample.is_some() {
        Excuse::Interrupted
    } else if life.replaced.is_some_and(|replaced| at >= replaced) || is_blocked(life) {
        Excuse::Late
    } else if hung_up.is_some_and(|hung_up| late >= hung_up) {
        Excuse::HungUp
    } else if life.lost.is_some_and(|lost| late >= lost)
        || life.replaced.is_some_and(|replaced| played + ON_ITS_WAY >= replaced)
    {
        Excuse::Gone
    } else {
        Excuse::None
    }
}

fn is_blocked(life: &Life<'_>) -> bool {
    matches!(&life.session.end, Some(SessionEnd::Fault(what)) if what == SessionEnd::CONTENT_FILTER)
}

fn hung_up(call: &CallReport) -> Option<Duration> {
    let event = call.timeline.iter().find(|event| event.what == Happening::HungUp);
    event.filter(|_| call.end == CallEnd::CallerHungUp).map(|event| event.at)
}

/// What the session had heard or read last when it began to speak.
fn cause(call: &CallReport, life: &Life<'_>, causes: &[Option<usize>], at: Duration) -> Cause {
    let heard = life.heard.iter().zip(causes).rev().find(|(heard, _)| **heard <= at);
    let read = life.read.iter().rev().find(|(read, _)| *read <= at);
    let said = |text: &str| {
        let is_it = |nth: &usize| call.said[*nth].at <= at && squeezed(&call.said[*nth].text) == squeezed(text);
        (0..call.said.len()).rev().find(is_it)
    };
    let cause = match (heard, read) {
        (Some((heard, cause)), Some((read, _))) if heard > read => *cause,
        (_, Some((_, text))) => said(text),
        (Some((_, cause)), None) => *cause,
        (None, None) => None,
    };
    let since = || Cause::Since((0..call.said.len()).rev().find(|nth| call.said[*nth].at <= at));
    cause.map_or_else(since, Cause::Utterance)
}

fn words(text: &str) -> Vec<String> {
    tones::fold(text).split_whitespace().map(str::to_owned).collect()
}

/// The words of a text from the one on in which this many characters, without spaces, end.
fn unheard_words(text: &str, heard: usize) -> Vec<String> {
    let mut so_far = 0;
    let mut is_heard = |word: &String| {
        so_far += word.len();
        so_far <= heard
    };
    let all = words(text);
    let known = all.iter().take_while(|word| is_heard(word)).count();
    all[known..].to_vec()
}

/// Everything that the caller heard, without spaces.
struct Heard {
    text: String,
    /// Where an utterance ends, and whether the line was cleared there.
    ends: BTreeMap<usize, bool>,
    others: Vec<String>,
}

/// How a place in what was heard was reached: from where, and how much of the sentence was heard.
#[derive(Clone, Copy)]
struct Step {
    from: usize,
    heard: usize,
    /// Characters that are missing so far, weighed.
    missing: usize,
}

impl Heard {
    fn new(call: &CallReport, others: &[String]) -> Self {
        let (mut text, mut ends) = (String::new(), BTreeMap::new());
        for utterance in &call.heard {
            // A sound that is no word bridges a gap, or is left where a sentence broke off.
            text.extend(squeezed(&utterance.text).chars().filter(|c| *c != CUT));
            let end = utterance.at + utterance.lasted;
            ends.insert(text.len(), call.clears.iter().any(|clear| end.abs_diff(clear.at) < TOGETHER));
        }
        let others = call.spoken_by_twilio.iter().chain(others).map(|words| squeezed(words));
        Self { text, ends, others: others.filter(|words| !words.is_empty()).collect() }
    }

    /// How much of each sentence was heard, if all that was heard is sentences in this order, each to its end or as far
    /// as it is excused; of several ways the one that misses least.
    fn follow(&self, sentences: &[Sentence<'_>]) -> Result<Vec<usize>, String> {
        let mut steps: Vec<BTreeMap<usize, Step>> = Vec::with_capacity(sentences.len());
        let mut here: BTreeMap<usize, usize> = [(0, 0)].into();
        self.skip_others(&mut here);
        for sentence in sentences {
            let mut next: BTreeMap<usize, Step> = BTreeMap::new();
            for (&from, &missing) in &here {
                for heard in self.ways(sentence, from) {
                    let to = from + heard;
                    let unheard = (sentence.text.len() - heard) * sentence.excuse.weight();
                    let step = Step { from, heard, missing: missing + unheard };
                    let best = next.entry(to).or_insert(step);
                    if step.missing < best.missing {
                        *best = step;
                    }
                }
            }
            let Some(&furthest) = here.keys().max().filter(|_| next.is_empty()) else {
                here = next.iter().map(|(to, step)| (*to, step.missing)).collect();
                self.skip_others(&mut here);
                steps.push(next);
                continue;
            };
            return Err(self.lost_at(sentence, furthest));
        }
        self.way_back(&steps, &here)
    }

    /// The places from which the next sentence may be heard: behind what others said as well.
    fn skip_others(&self, here: &mut BTreeMap<usize, usize>) {
        let mut new: Vec<(usize, usize)> = here.iter().map(|(at, missing)| (*at, *missing)).collect();
        while let Some((at, missing)) = new.pop() {
            for other in self.others.iter().filter(|other| self.text[at..].starts_with(other.as_str())) {
                let to = at + other.len();
                if here.get(&to).is_none_or(|known| *known > missing) {
                    here.insert(to, missing);
                    new.push((to, missing));
                }
            }
        }
    }

    /// How much of the sentence may be heard from here.
    fn ways(&self, sentence: &Sentence<'_>, from: usize) -> Vec<usize> {
        let pairs = self.text[from..].bytes().zip(sentence.text.bytes());
        let common = pairs.take_while(|(heard, said)| heard == said).count();
        let whole = sentence.text.len();
        let may = |heard: &usize| match sentence.excuse {
            Excuse::None => *heard == whole,
            // It breaks off with a clear, or nothing of it was played before.
            Excuse::Interrupted => {
                [0, whole].contains(heard) || self.ends.get(&(from + heard)).is_some_and(|cleared| *cleared)
            }
            Excuse::HungUp => [0, whole].contains(heard) || from + heard == self.text.len(),
            Excuse::Gone | Excuse::Late => true,
        };
        (0..=common).filter(may).collect()
    }

    fn way_back(&self, steps: &[BTreeMap<usize, Step>], last: &BTreeMap<usize, usize>) -> Result<Vec<usize>, String> {
        let mut at = self.text.len();
        if !last.contains_key(&at) {
            let furthest = last.keys().max().copied().unwrap_or_default();
            return Err(format!("the caller heard {:?}, which nobody said", self.shown(furthest)));
        }
        let mut lengths = Vec::with_capacity(steps.len());
        for reached in steps.iter().rev() {
            // What others said stands behind the sentence.
            let Some((_, step)) = reached.range(..=at).rev().find(|(to, _)| self.is_others(**to, at)) else {
                return Err("what was heard cannot be followed back".to_owned());
            };
            lengths.push(step.heard);
            at = step.from;
        }
        lengths.reverse();
        Ok(lengths)
    }

    /// Whether what was heard between these places is what others said, or nothing.
    fn is_others(&self, from: usize, to: usize) -> bool {
        let mut places = [(from, 0)].into();
        self.skip_others(&mut places);
        places.contains_key(&to)
    }

    fn lost_at(&self, sentence: &Sentence<'_>, at: usize) -> String {
        let heard = self.shown(at);
        format!("session {} said {:?}, the caller heard {heard:?}", sentence.number, sentence.said.text)
    }

    fn shown(&self, at: usize) -> String {
        self.text[at..].chars().take(60).collect()
    }
}
