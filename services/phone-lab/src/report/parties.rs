//! Who took part in a call, what each said and heard, and how the two compare.
//!
//! All positions are on the caller's clock. What the caller said and heard stands where its samples do. What the model
//! heard is counted in its own audio; it is put where the first word stands that both agree on, session by session, so
//! that a later word that stands elsewhere was moved on its way. What the model said stands where it began to say it:
//! it speaks faster than it is heard.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::{
    Modelled,
    diff::{self, Diff, Said},
    words::{self, Word, milliseconds},
};
use crate::{
    bedrock::{HeardUtterance, ModelEventKind, SessionId},
    oracle,
    speech::SAMPLE_RATE,
    twilio::{CallEnd, CallReport, Happening, Utterance},
};

/// Somebody, or something, that speaks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Party {
    /// `caller`, `agent`, `twilio` or `human`.
    pub party: &'static str,
    /// What it said.
    pub said: Vec<Line>,
    /// What it heard; none if that is not known.
    pub heard: Option<Vec<Line>>,
}

/// A sentence, or a stretch of speech between silences.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// The words; for a recording its file name, or the text that the scenario gives to it.
    pub text: String,
    /// Its first sample at 8 kHz, on the caller's clock.
    pub sample: u64,
    /// The same in milliseconds.
    pub at_ms: f64,
    /// The agent was interrupted in it, or before it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// Its words and where they stand.
    pub words: Vec<Word>,
}

/// All parties of a call.
pub(super) struct Parties {
    pub(super) parties: Vec<Party>,
    pub(super) to_agent: Option<Diff>,
    pub(super) to_caller: Option<Diff>,
}

/// Something said, and whether it may have been broken off.
struct Spoken {
    line: Line,
    may_break_off: bool,
}

impl Line {
    fn new(text: &str, sample: u64, words: Vec<Word>) -> Self {
        Self { text: text.to_owned(), sample, at_ms: milliseconds(sample), interrupted: false, words }
    }

    fn of(utterance: &Utterance) -> Self {
        let from = samples(utterance.at);
        Self::new(&utterance.text, from, words::words(&utterance.text, &utterance.pcm, from))
    }

    fn moved(self, by: i64) -> Self {
        let words = self.words.iter().map(|word| word.moved(by)).collect();
        Self { interrupted: self.interrupted, ..Self::new(&self.text, self.sample.saturating_add_signed(by), words) }
    }
}

impl Parties {
    pub(super) fn new(call: &CallReport, model: Option<&Modelled>, placed: Instant) -> Self {
        let caller_said: Vec<_> = call.said.iter().map(Line::of).collect();
        let caller_heard: Vec<_> = call.heard.iter().map(Line::of).collect();
        let twilio = twilio_said(call);
        let human = human(call);
        let (mut agent, mut to_agent, mut to_caller) = (None, None, None);
        if let Some(model) = model {
            let said = agent_said(model, call, placed);
            to_caller = Some(compare_to_caller(&said, &twilio, &human.said, &caller_heard, call));
            let (heard, diff) = agent_heard(model, call, &caller_said, placed);
            to_agent = Some(diff);
            let said = said.into_iter().map(|spoken| spoken.line).collect();
            agent = Some(Party { party: "agent", said, heard: Some(heard) });
        }
        let silent = |party: &Party| party.said.is_empty();
        let others = [Party { party: "twilio", said: twilio, heard: None }, human];
        let caller = Party { party: "caller", said: caller_said, heard: Some(caller_heard) };
        let parties = [caller].into_iter().chain(agent).chain(others.into_iter().filter(|party| !silent(party)));
        Self { parties: parties.collect(), to_agent, to_caller }
    }

    /// Whether any word is wrong, either way.
    pub(super) fn wrong_words(&self) -> Option<String> {
        let wrong = |diff: &Option<Diff>| diff.as_ref().map_or(0, Diff::wrong);
        let (agent, caller) = (wrong(&self.to_agent), wrong(&self.to_caller));
        (agent + caller > 0).then(|| format!("{agent} word(s) reached the agent wrong, {caller} the caller"))
    }
}

fn samples(duration: Duration) -> u64 {
    (duration.as_secs_f64() * f64::from(SAMPLE_RATE)).round() as u64
}

/// What the model said, in the order it did.
fn agent_said(model: &Modelled, call: &CallReport, placed: Instant) -> Vec<Spoken> {
    let lines = model.sessions.iter().flat_map(|session| {
        let begun = model.events.iter().filter(|event| event.session == session.id);
        let mut begun = begun.filter(|event| matches!(event.kind, ModelEventKind::Said(_)));
        session.said.iter().map(move |said| {
            let at = begun.next().map_or(Duration::ZERO, |event| event.at.saturating_duration_since(placed));
            let from = samples(at);
            let mut line = Line::new(&said.text, from, words::as_said(&said.text, from));
            line.interrupted = said.interrupted_at_sample.is_some();
            let may_break_off = line.interrupted || oracle::was_struck(session) || call.end == CallEnd::CallerHungUp;
            Spoken { line, may_break_off }
        })
    });
    lines.collect()
}

fn twilio_said(call: &CallReport) -> Vec<Line> {
    let said = call.timeline.iter().filter_map(|event| {
        if let Happening::TwilioSays { text } = &event.what { Some((samples(event.at), text)) } else { None }
    });
    said.map(|(from, text)| Line::new(text, from, words::as_said(text, from))).collect()
}

/// All who were brought into the call. When they answered is not on the caller's record: their lines count from when the
/// first of them was dialled.
fn human(call: &CallReport) -> Party {
    let dialled = call.timeline.iter().find(|event| matches!(event.what, Happening::Dialled { .. }));
    let from = samples(dialled.map_or(Duration::ZERO, |event| event.at)) as i64;
    let lines = |of: fn(&CallReport) -> &Vec<Utterance>| {
        call.parties.iter().flat_map(of).map(|utterance| Line::of(utterance).moved(from)).collect::<Vec<_>>()
    };
    Party { party: "human", said: lines(|party| &party.said), heard: Some(lines(|party| &party.heard)) }
}

fn compare_to_caller(agent: &[Spoken], twilio: &[Line], human: &[Line], heard: &[Line], call: &CallReport) -> Diff {
    // Twilio's own sentences end with the call, too, and in a `<Gather>` with a key.
    let hung_up = call.end == CallEnd::CallerHungUp;
    let keyed = call.timeline.iter().any(|event| matches!(event.what, Happening::Pressed { .. }));
    let mut said: Vec<(&Line, bool)> = agent.iter().map(|spoken| (&spoken.line, spoken.may_break_off)).collect();
    said.extend(twilio.iter().map(|line| (line, hung_up || keyed)));
    said.extend(human.iter().map(|line| (line, hung_up)));
    said.sort_by_key(|(line, _)| line.sample);
    compare(&said, heard).0
}

/// What the model heard, and how that compares with what the caller said.
fn agent_heard(model: &Modelled, call: &CallReport, said: &[Line], placed: Instant) -> (Vec<Line>, Diff) {
    let heard: Vec<_> =
        model.sessions.iter().flat_map(|session| session.heard.iter().map(move |h| (session, h))).collect();
    let own: Vec<Line> = heard.iter().map(|(_, heard)| in_own_clock(heard, call)).collect();
    let may_break_off = |at: usize| {
        model.sessions.iter().any(oracle::was_struck)
            || call.said.get(at).is_some_and(|said| oracle::ends_with_the_call(said, call))
    };
    let for_it = |at: &usize| call.said.get(*at).is_none_or(|said| !oracle::said_to_somebody_else(said, call));
    let spoken = said.iter().enumerate().filter(|(at, _)| for_it(at));
    let spoken: Vec<_> = spoken.map(|(at, line)| (line, may_break_off(at))).collect();
    let (_, anchors) = compare(&spoken, &own);
    let lines = own.into_iter().zip(&heard).map(|(line, (session, _))| {
        let same = |(at, _): &&(usize, i64)| heard[*at].0.id == session.id;
        let by = anchors.iter().find(same).map_or_else(|| opened(model, session.id, placed), |(_, by)| *by);
        line.moved(by)
    });
    let lines: Vec<_> = lines.collect();
    let diff = compare(&spoken, &lines).0;
    (lines, diff)
}

/// An utterance where it stands in its session's audio. A recording that arrived bears its name, and begins where its
/// quiet first samples would stand.
fn in_own_clock(heard: &HeardUtterance, call: &CallReport) -> Line {
    let from = heard.at_sample as u64;
    let recordings = call.said.iter().filter(|said| !words::are_words(&said.pcm));
    let mut arrived = recordings.filter_map(|said| Some((said, oracle::recording_in(said, heard)? as u64)));
    let words = match arrived.next() {
        Some((said, into)) => vec![Word::new(format!("[{}]", said.text), from.saturating_sub(into))],
        None => words::words(&heard.text, &heard.pcm, from),
    };
    Line::new(&heard.text, from, words)
}

/// When a session was opened, for one in which nothing was understood.
fn opened(model: &Modelled, session: SessionId, placed: Instant) -> i64 {
    let opened = model.events.iter().find(|event| event.session == session);
    opened.map_or(0, |event| samples(event.at.saturating_duration_since(placed)) as i64)
}

/// The difference, and for each word heard as said, in which heard line it is and how far apart both are.
fn compare(said: &[(&Line, bool)], heard: &[Line]) -> (Diff, Vec<(usize, i64)>) {
    let words: Vec<Said> = said
        .iter()
        .enumerate()
        .flat_map(|(sentence, &(line, may_break_off))| {
            line.words.iter().map(move |word| Said { word: word.clone(), sentence, may_break_off })
        })
        .collect();
    let of: Vec<usize> = heard.iter().enumerate().flat_map(|(n, line)| line.words.iter().map(move |_| n)).collect();
    let heard: Vec<Word> = heard.iter().flat_map(|line| line.words.iter().cloned()).collect();
    let texts: Vec<_> = words.iter().map(|said| said.word.text.as_str()).collect();
    let ears: Vec<_> = heard.iter().map(|word| word.text.as_str()).collect();
    let pairs = diff::align(&texts, &ears);
    let same = pairs.iter().filter_map(|&(said, heard)| said.zip(heard)).filter(|&(s, h)| texts[s] == ears[h]);
    let apart = same.map(|(s, h)| (of[h], words[s].word.sample as i64 - heard[h].sample as i64));
    let apart = apart.collect();
    (Diff::new(&words, &heard, &pairs), apart)
}
