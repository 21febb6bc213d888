//! Words and where they stand, in samples.

use serde::Serialize;

use crate::{
    speech::SAMPLE_RATE,
    tones::{self, Ear, Heard},
};

/// Half a character, left where a word was cut; also sound that is no tone words.
pub(super) const CUT: char = '\u{fffd}';

/// A word, or a recording's name in brackets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Word {
    /// As it was said or made out, folded to what tones can say.
    pub text: String,
    /// Its first sample at 8 kHz, on the caller's clock.
    pub sample: u64,
    /// The same in milliseconds.
    pub at_ms: f64,
}

impl Word {
    pub(super) fn new(text: String, sample: u64) -> Self {
        Self { text, sample, at_ms: milliseconds(sample) }
    }

    /// The same word so many samples later.
    pub(super) fn moved(&self, by: i64) -> Self {
        Self::new(self.text.clone(), self.sample.saturating_add_signed(by))
    }
}

pub(super) fn milliseconds(samples: u64) -> f64 {
    samples as f64 * 1000.0 / f64::from(SAMPLE_RATE)
}

/// Something that was said or heard, as words from that sample on. Sound that is no tone words is one word, the text in
/// brackets; without sound the words stand where they would if nothing was between them.
pub(super) fn words(text: &str, pcm: &[i16], from: u64) -> Vec<Word> {
    if pcm.is_empty() {
        return as_said(text, from);
    }
    let items = listen(pcm);
    if is_words(&items) { made_out(&items, from) } else { vec![Word::new(format!("[{text}]"), from)] }
}

/// Whether the sound is tone words.
pub(crate) fn are_words(pcm: &[i16]) -> bool {
    is_words(&listen(pcm))
}

fn listen(pcm: &[i16]) -> Vec<Heard> {
    let mut ear = Ear::new();
    let mut items = ear.listen(pcm);
    // What is left in the ear is made out when silence follows.
    items.extend(ear.listen(&[0; tones::SAMPLES_PER_CHARACTER]));
    items
}

fn is_words(items: &[Heard]) -> bool {
    let count = |is: fn(&Heard) -> bool| items.iter().filter(|item| is(item)).count();
    count(|item| matches!(item, Heard::Character { .. })) > count(|item| matches!(item, Heard::Noise { .. }))
}

/// The words of a text whose characters follow one another.
pub(super) fn as_said(text: &str, from: u64) -> Vec<Word> {
    let characters = tones::fold(text).chars().collect::<Vec<_>>();
    let place = |n: usize| from + (n * tones::SAMPLES_PER_CHARACTER) as u64;
    let characters = characters.into_iter().enumerate().map(|(n, character)| (character, place(n)));
    group(characters.map(|(character, at)| (Some(character).filter(|&character| character != ' '), at)))
}

fn made_out(items: &[Heard], from: u64) -> Vec<Word> {
    group(items.iter().map(|item| match *item {
        Heard::Character { character: ' ', at_sample } | Heard::Silence { at_sample } => (None, from + at_sample),
        Heard::Character { character, at_sample } => (Some(character), from + at_sample),
        Heard::Noise { at_sample } => (Some(CUT), from + at_sample),
    }))
}

/// Words from characters and the gaps between them. Noise in a row is one cut.
fn group(characters: impl Iterator<Item = (Option<char>, u64)>) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut in_word = false;
    for (character, sample) in characters {
        match (character, words.last_mut().filter(|_| in_word)) {
            (Some(CUT), Some(word)) if word.text.ends_with(CUT) => {}
            (Some(character), Some(word)) => word.text.push(character),
            (Some(character), None) => words.push(Word::new(character.to_string(), sample)),
            (None, _) => {}
        }
        in_word = character.is_some();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(words: Vec<Word>) -> Vec<(String, u64)> {
        words.into_iter().map(|word| (word.text, word.sample)).collect()
    }

    #[test]
    fn each_word_has_its_first_sample() {
        let pcm = tones::speak("Hello, you");
        let expected = [("hello,".to_owned(), 1000), ("you".to_owned(), 1000 + 7 * 160)];
        assert_eq!(placed(words("Hello, you", &pcm, 1000)), expected);
        assert_eq!(placed(words("Hello, you", &[], 1000)), expected);
        assert_eq!(words("a", &[], 80)[0].at_ms, 10.0);
    }

    #[test]
    fn silence_parts_words_and_moves_what_follows() {
        let pcm = [tones::speak("one"), vec![0; 500], tones::speak("two")].concat();
        assert_eq!(placed(words("one two", &pcm, 0)), [("one".to_owned(), 0), ("two".to_owned(), 480 + 500)]);
    }

    #[test]
    fn a_word_that_breaks_off_is_seen_to() {
        let pcm = tones::speak("once upon");
        assert_eq!(placed(words("", &pcm[..7 * 160 + 100], 0))[1], ("up\u{fffd}".to_owned(), 5 * 160));
    }

    #[test]
    fn what_is_no_tone_words_is_one_word() {
        let hum: Vec<i16> = (0..1600).map(|n| if n % 40 < 20 { 4000 } else { -4000 }).collect();
        assert_eq!(placed(words("a b.wav", &hum, 5)), [("[a b.wav]".to_owned(), 5)]);
        assert!(!are_words(&hum) && are_words(&tones::speak("yes")));
    }
}
