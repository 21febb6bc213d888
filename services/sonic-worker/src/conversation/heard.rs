//! The heard-text ledger: what the agent said, laid over the audio that speaks it.
//!
//! A [`Speech`] takes in texts and audio in the order of the model's stream: a sentence's planned text, then the audio
//! block that speaks it (AWS, "Event flow"). Asked for a position, it answers with the words that were heard by then.
//!
//! The model does not say where in the audio a word is, so a sentence's characters are spread evenly over its audio,
//! without the silence before and after it. A word counts as heard only once the audio of all its characters was played:
//! of a word that was cut, nothing is claimed. A block that an interruption broke off may be shorter than its text: there,
//! the [`Pace`] of whole sentences says how long it would have been, and the last word is claimed only if it was as long.
//!
//! What was heard is always a prefix of what was said. A text that was never given any audio was not heard, and nothing
//! after it counts.

use std::ops::Range;

/// Quieter samples than this are the silence around a voice.
const QUIET: u16 = 256;
/// Samples a character takes as long as no sentence has shown it: slow speech, so that rather too little is claimed.
const SLOW: u64 = 600;

/// A piece of the agent's audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Where it is on the leg, in samples.
    pub(super) span: Range<u64>,
    /// From the first to the last sample that is not quiet.
    voice: Option<Range<u64>>,
}

impl Piece {
    /// Audio that begins at a position of the leg, as little-endian PCM16.
    pub(super) fn of(first_sample: u64, pcm: &[u8]) -> Self {
        let (samples, _) = pcm.as_chunks();
        let is_voice = |sample: &[u8; 2]| i16::from_le_bytes(*sample).unsigned_abs() >= QUIET;
        let position = |at: usize| first_sample.saturating_add(at as u64);
        let first = samples.iter().position(is_voice);
        let last = samples.iter().rposition(is_voice);
        Self {
            span: first_sample..position(samples.len()),
            voice: first.zip(last).map(|(first, last)| position(first)..position(last + 1)),
        }
    }
}

/// One turn of the agent: sentences, and the audio of each.
#[derive(Debug, Default)]
pub(super) struct Speech {
    sentences: Vec<Sentence>,
}

#[derive(Debug)]
struct Sentence {
    /// Empty for audio that came without text.
    text: String,
    /// Where its audio is on the leg, in samples.
    span: Range<u64>,
    /// Where the voice is in it.
    voice: Option<Range<u64>>,
    block: Block,
    /// Up to which byte of the text the model says that it spoke, once it does.
    spoken: Option<usize>,
}

/// The audio block of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Awaited,
    Open,
    /// All of the sentence is in it.
    Whole,
    BrokenOff,
}

impl Speech {
    /// The model is about to say this. Texts before one block of audio are all spoken by it.
    pub(super) fn says(&mut self, text: &str) {
        match self.sentences.last_mut() {
            Some(Sentence { text: before, block: Block::Awaited, .. }) => {
                before.push(' ');
                before.push_str(text.trim());
            }
            Some(_) | None => {
                self.block_ended();
                self.begin(text.trim().to_owned());
            }
        }
    }

    /// Audio of the current sentence.
    pub(super) fn audio(&mut self, piece: Piece) {
        match self.sentences.last_mut() {
            Some(sentence @ Sentence { block: Block::Awaited, .. }) => {
                (sentence.span, sentence.voice, sentence.block) = (piece.span, piece.voice, Block::Open);
            }
            Some(sentence @ Sentence { block: Block::Open, .. }) => {
                sentence.span.end = piece.span.end;
                sentence.voice = match (sentence.voice.take(), piece.voice) {
                    (Some(before), Some(voice)) => Some(before.start..voice.end),
                    (before, voice) => before.or(voice),
                };
            }
            Some(_) | None => {
                self.begin(String::new());
                self.audio(piece);
            }
        }
    }

    /// The audio block is over, with all of its sentence in it as far as is known.
    pub(super) fn block_ended(&mut self) {
        if let Some(sentence) = self.sentences.last_mut().filter(|sentence| sentence.block != Block::BrokenOff) {
            sentence.block = Block::Whole;
        }
    }

    pub(super) fn is_block_open(&self) -> bool {
        self.sentences.last().is_some_and(|sentence| sentence.block == Block::Open)
    }

    /// The model stopped in the middle of the last block, even if it said that the block was over.
    pub(super) fn broken_off(&mut self) {
        let last = self.sentences.last_mut();
        if let Some(sentence) = last.filter(|sentence| sentence.spoken != Some(sentence.text.len())) {
            sentence.block = Block::BrokenOff;
        }
    }

    /// The model says that it has spoken `text`, all or the beginning of one of its sentences. `whole`: look for a
    /// sentence of just these words; otherwise for one that begins with them. False if there is none.
    pub(super) fn confirm(&mut self, text: &str, whole: bool) -> bool {
        let confirmed = letters(text).count();
        let open = self.sentences.iter_mut().filter(|sentence| sentence.spoken.is_none());
        let mut alike = open.filter(|sentence| {
            let mut planned = letters(&sentence.text);
            letters(text).all(|letter| planned.next() == Some(letter)) && (!whole || planned.next().is_none())
        });
        let Some(sentence) = alike.next().filter(|_| confirmed > 0) else { return false };
        sentence.spoken = Some(end_of_letters(&sentence.text, confirmed));
        if whole && sentence.block == Block::BrokenOff {
            sentence.block = Block::Whole;
        }
        true
    }

    /// All that was said, or would have been.
    pub(super) fn said(&self) -> String {
        join(self.sentences.iter().map(|sentence| sentence.text.as_str()))
    }

    /// The words that were heard by the time the leg's audio had been played up to `position`.
    pub(super) fn heard(&self, position: u64, mut pace: Pace) -> String {
        pace.learn(self);
        let mut cut = false;
        let heard = self.sentences.iter().map_while(|sentence| {
            let heard = sentence.heard(position, pace);
            let goes_on = !std::mem::replace(&mut cut, heard.len() < sentence.text.len());
            goes_on.then_some(heard)
        });
        join(heard)
    }

    /// Whether all that was said had been heard at `position`, and nothing is left to come.
    pub(super) fn is_heard_out(&self, position: u64) -> bool {
        let heard_out = |sentence: &Sentence| sentence.block == Block::Whole && sentence.span.end <= position;
        self.sentences.iter().all(heard_out)
    }

    fn begin(&mut self, text: String) {
        self.sentences.push(Sentence { text, span: 0..0, voice: None, block: Block::Awaited, spoken: None });
    }
}

impl Sentence {
    /// The audio that the text is spread over.
    fn voice(&self) -> &Range<u64> {
        self.voice.as_ref().unwrap_or(&self.span)
    }

    fn heard(&self, position: u64, pace: Pace) -> &str {
        let (voice, chars) = (self.voice(), self.text.chars().count() as u64);
        let (played, spoken) = (position.min(voice.end).saturating_sub(voice.start), voice.end - voice.start);
        let samples = match self.block {
            Block::Whole if spoken > 0 && played == spoken => return &self.text,
            Block::Whole if spoken > 0 => spoken,
            Block::Open | Block::BrokenOff => spoken.max(pace.samples(chars)),
            Block::Awaited | Block::Whole => return "",
        };
        let is_heard = |until: u64| u128::from(until) * u128::from(samples) <= u128::from(played) * u128::from(chars);
        let ends = word_ends(&self.text).take_while(|(_, chars)| is_heard(*chars));
        let is_whole = self.block == Block::BrokenOff && spoken >= samples && played == spoken;
        let end = if is_whole { self.text.len() } else { ends.map(|(end, _)| end).last().unwrap_or(0) };
        &self.text[..end.min(self.spoken.unwrap_or(self.text.len()))]
    }
}

/// How many samples the agent's characters take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    chars: u64,
    samples: u64,
}

impl Pace {
    /// Takes the whole sentences of a speech into account.
    pub(super) fn learn(&mut self, speech: &Speech) {
        let whole = speech.sentences.iter().filter(|sentence| sentence.block == Block::Whole);
        for sentence in whole.filter(|sentence| !sentence.text.is_empty() && !sentence.voice().is_empty()) {
            self.chars += sentence.text.chars().count() as u64;
            self.samples += sentence.voice().end - sentence.voice().start;
        }
    }

    fn samples(self, chars: u64) -> u64 {
        match self.chars {
            0 => chars.saturating_mul(SLOW),
            known => {
                let samples = (u128::from(chars) * u128::from(self.samples)).div_ceil(u128::from(known));
                u64::try_from(samples).unwrap_or(u64::MAX)
            }
        }
    }
}

/// Where each word but the last ends, in bytes and in characters.
fn word_ends(text: &str) -> impl Iterator<Item = (usize, u64)> {
    let mut in_gap = false;
    text.char_indices().enumerate().filter_map(move |(chars, (at, c))| {
        let was_in_gap = std::mem::replace(&mut in_gap, c.is_whitespace());
        (in_gap && !was_in_gap).then_some((at, chars as u64))
    })
}

/// What of a text is spoken, whatever its punctuation.
fn letters(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase)
}

/// The end of the last whole word, in bytes, that begins within the first `count` letters of a text.
fn end_of_letters(text: &str, count: usize) -> usize {
    let (mut seen, mut end) = (0, 0);
    for next in word_ends(text).map(|(end, _)| end).chain([text.len()]) {
        seen += letters(&text[end..next]).count();
        if seen > count {
            break;
        }
        end = next;
    }
    end
}

fn join<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut joined = String::new();
    for text in texts.filter(|text| !text.is_empty()) {
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(text);
    }
    joined
}

#[cfg(test)]
#[path = "heard_tests.rs"]
mod tests;
