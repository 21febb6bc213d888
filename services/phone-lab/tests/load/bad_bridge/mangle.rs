//! What a bridge does to frames that it should have passed on.

use std::time::Instant;

use super::{Books, sound};

/// Of the frames of sound, each of which number divides by this is mistreated.
const EVERY: u64 = 4;
/// So many frames go together, where they go in bunches.
const BUNCH: usize = 3;

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    Drop,
    /// A bit of its last code changes.
    Alter,
    Repeat,
    /// It goes after the next.
    Swap,
    /// Every frame waits until three can go together.
    Bunch,
}

/// A frame, and when it was read.
type Read = (Instant, Vec<u8>);

pub(super) struct Mangler {
    mischief: Option<Mischief>,
    sounds: u64,
    held: Vec<Read>,
}

impl Mangler {
    pub(super) fn new(mischief: Option<Mischief>) -> Self {
        Self { mischief, sounds: 0, held: Vec::new() }
    }

    /// What is to be passed on instead of this frame, in order.
    pub(super) fn pass(&mut self, mut read: Read, books: &Books) -> Vec<Read> {
        if self.mischief == Some(Mischief::Bunch) {
            self.held.push(read);
            return if self.held.len() < BUNCH { Vec::new() } else { std::mem::take(&mut self.held) };
        }
        let sounds = sound::is_any(&read.1);
        self.sounds += u64::from(sounds);
        let Some(mischief) = self.mischief.filter(|_| sounds && self.sounds.is_multiple_of(EVERY)) else {
            let mut passed = vec![read];
            passed.append(&mut self.held);
            return passed;
        };
        books.mangled_one();
        match mischief {
            Mischief::Alter => {
                *read.1.last_mut().unwrap() ^= 1;
                vec![read]
            }
            Mischief::Repeat => vec![read.clone(), read],
            Mischief::Swap => {
                self.held.push(read);
                Vec::new()
            }
            Mischief::Drop | Mischief::Bunch => Vec::new(),
        }
    }
}
