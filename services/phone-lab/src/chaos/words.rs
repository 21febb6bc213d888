//! Numbered words: what callers say, and how both ends make them out again.
//!
//! Pure. Word 7 of call 12 is `#12:7.`, in tone words. What is cut at either end is no word any more. Silence within a
//! word, which reads as a space, does not matter: on the way, audio may run dry for a moment and go on.

use std::fmt;

/// A word of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Word {
    /// Which call.
    pub call: u32,
    /// Its number in the call, from 0.
    pub number: u32,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}:{}.", self.call, self.number)
    }
}

/// Finds words in characters that come one by one, each with its position.
#[derive(Clone, Debug)]
pub struct Reader<P> {
    /// Where the word began that is being read, and what was read of it.
    begun: Option<(P, String)>,
}

impl<P> Default for Reader<P> {
    fn default() -> Self {
        Self { begun: None }
    }
}

impl<P> Reader<P> {
    /// The next character. Gives the word that it ends, with the position of the word's first character.
    pub fn read(&mut self, character: char, at: P) -> Option<(Word, P)> {
        match character {
            '#' => {
                self.begun = Some((at, String::new()));
                None
            }
            '.' => {
                let (began, text) = self.begun.take()?;
                let (call, number) = text.split_once(':')?;
                Some((Word { call: call.parse().ok()?, number: number.parse().ok()? }, began))
            }
            '0'..='9' | ':' => {
                if let Some((_, text)) = &mut self.begun {
                    text.push(character);
                }
                None
            }
            ' ' => None,
            _ => {
                self.begun = None;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tones;

    fn words(text: &str) -> Vec<(Word, usize)> {
        let mut reader = Reader::default();
        text.chars().enumerate().filter_map(|(at, character)| reader.read(character, at)).collect()
    }

    #[test]
    fn words_are_found_where_they_begin() {
        let (first, second) = (Word { call: 12, number: 7 }, Word { call: 4_294_967_295, number: 0 });
        let text = format!("hi{first}{second}");
        assert_eq!(words(&text), [(first, 2), (second, 8)]);
        assert_eq!(tones::fold(&text), text, "all of it can be said in tones");
    }

    #[test]
    fn a_word_may_be_torn_by_silence() {
        assert_eq!(words("hello # 1: 2 3."), [(Word { call: 1, number: 23 }, 6)]);
    }

    #[test]
    fn what_is_cut_or_garbled_is_no_word_and_does_no_harm_to_the_next() {
        let good = Word { call: 1, number: 2 };
        for text in ["#1:", "1:1.", "#1:1\u{fffd}.", "#1.", "#1:99999999999.", "#:.", "hello"] {
            let found: Vec<_> = words(&format!("{text}{good}")).into_iter().map(|(word, _)| word).collect();
            assert_eq!(found, [good], "{text}");
        }
    }
}
