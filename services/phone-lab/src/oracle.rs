//! Compares what each side of a call said with what the other side heard, without asking the system between them.
//!
//! Tone words are compared as text, recordings sample by sample, after one pass through mu-law, which is all that a phone
//! line does to them.

use crate::{
    bedrock::{HeardUtterance, SessionEnd, SessionReport},
    mulaw, tones,
    twilio::{CallEnd, CallReport, Utterance, codes},
};

/// Of a recording's sound, the part that energy detection may miss at its quiet edges.
const QUIET_EDGES: f64 = 0.1;
/// A sample that is louder belongs to a recording's sound.
const LOUD: u16 = 300;

/// Everything that was not heard as said, in words; empty if all was.
///
/// `sessions` are the model's sessions of this call, in order; `others` is what else could be heard on the line besides
/// `<Say>`: the words of a human who was dialled.
pub fn differences(call: &CallReport, sessions: &[SessionReport], others: &[String]) -> Vec<String> {
    let mut differences = Vec::new();
    agent_heard(call, sessions, &mut differences);
    caller_heard(call, sessions, others, &mut differences);
    for session in sessions {
        if session.end != Some(SessionEnd::ByTheBook) {
            differences.push(format!("the model's session did not end by the book: {:?}", session.end));
        }
        differences.extend(session.violations.iter().map(|violation| format!("the model was told wrong: {violation}")));
    }
    differences.extend(logged(call));
    differences
}

/// What Twilio would log that it should not have to. It logs 31921 whenever the server closes the stream, also on
/// purpose.
pub fn logged(call: &CallReport) -> impl Iterator<Item = String> {
    let odd = call.codes.iter().filter(|entry| entry.code != codes::STREAM_CLOSED);
    odd.map(|entry| format!("twilio would log {}: {}", entry.code, entry.detail))
}

/// What the caller was to hear, in this order, and did not.
pub fn missing(call: &CallReport, hears: &[String]) -> Vec<String> {
    let heard = line(&call.heard);
    let mut from = 0;
    let mut missing = Vec::new();
    for sentence in hears {
        match heard[from..].find(&squeezed(sentence)) {
            Some(at) => from += at + squeezed(sentence).len(),
            None => missing.push(format!("the caller did not hear {sentence:?} (in this place)")),
        }
    }
    missing
}

fn agent_heard(call: &CallReport, sessions: &[SessionReport], differences: &mut Vec<String>) {
    let mut heard = sessions.iter().flat_map(|session| &session.heard);
    for (nth, said) in call.said.iter().enumerate() {
        let last = nth + 1 == call.said.len();
        match heard.next() {
            Some(heard) if same_sound(said, heard) => {}
            // A caller who hangs up while speaking is heard in part, or not at all.
            Some(_) | None if last && left_early(call) => {}
            Some(heard) => {
                differences.push(format!("the caller said {:?}, the agent heard {:?}", said.text, heard.text))
            }
            None => differences.push(format!("the caller said {:?}, the agent heard nothing", said.text)),
        }
    }
    differences.extend(heard.map(|heard| format!("the agent heard {:?}, which nobody said", heard.text)));
}

fn same_sound(said: &Utterance, heard: &HeardUtterance) -> bool {
    if squeezed(&said.text) == squeezed(&heard.text) {
        return true;
    }
    let line: Vec<i16> = said.pcm.iter().map(|&sample| mulaw::decode(mulaw::encode(sample))).collect();
    let enough = heard.pcm.len() as f64 >= sound(&line) as f64 * (1.0 - QUIET_EDGES);
    enough && !heard.pcm.is_empty() && line.windows(heard.pcm.len()).any(|window| window == heard.pcm)
}

/// How long a recording sounds, from its first loud sample to its last.
fn sound(pcm: &[i16]) -> usize {
    let loud = |sample: &i16| sample.unsigned_abs() > LOUD;
    let first = pcm.iter().position(loud).unwrap_or(0);
    pcm.iter().rposition(loud).map_or(0, |last| last + 1 - first)
}

fn caller_heard(call: &CallReport, sessions: &[SessionReport], others: &[String], differences: &mut Vec<String>) {
    let heard = line(&call.heard);
    let left_early = left_early(call);
    let mut rest = heard.as_str();
    for sentence in sessions.iter().flat_map(|session| &session.said) {
        let words = squeezed(&sentence.text);
        let common = common_prefix(rest, &words);
        if common < words.len() && !left_early && sentence.interrupted_at_sample.is_none() {
            let heard = rest.get(..words.len()).unwrap_or(rest);
            differences.push(format!("the agent said {:?}, the caller heard {heard:?}", sentence.text));
            return;
        }
        // Where a sentence was cut, half a character may be left.
        rest = &rest[common..];
        rest = if common < words.len() { rest.trim_start_matches('\u{fffd}') } else { rest };
    }
    let others: Vec<String> = call.spoken_by_twilio.iter().chain(others).map(|words| squeezed(words)).collect();
    while let Some(next) =
        others.iter().find_map(|words| rest.strip_prefix(words.as_str()).filter(|_| !words.is_empty()))
    {
        rest = next;
    }
    if !rest.is_empty() {
        differences.push(format!("the caller heard {rest:?}, which nobody said"));
    }
}

/// Whether the caller stopped listening while somebody may have been speaking.
fn left_early(call: &CallReport) -> bool {
    matches!(call.end, CallEnd::CallerHungUp | CallEnd::PatienceEnded)
}

fn common_prefix(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

fn line(heard: &[Utterance]) -> String {
    heard.iter().map(|utterance| squeezed(&utterance.text)).collect()
}

/// Words as they can be said, without spaces: silence between sentences is not compared.
fn squeezed(text: &str) -> String {
    text.split('\u{fffd}').map(|part| tones::fold(part).replace(' ', "")).collect::<Vec<_>>().join("\u{fffd}")
}
