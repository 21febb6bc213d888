//! What Twilio does with the audio a server sends: play it, first in first out, at 8000 samples a second.
//!
//! Pure. [`Playout::tick`] is called every 20 ms, and that is its clock. A mark is echoed once everything queued before
//! it has been played, at once if nothing is; `clear` empties the queue and has every pending mark echoed, in order
//! (Twilio docs, "Media Streams - WebSocket Messages"). So an echo alone does not prove that anybody heard anything.

use std::collections::VecDeque;

use crate::mulaw;

/// Samples in the 20 ms that a tick plays.
pub const FRAME: usize = 160;
/// Audio beyond this much is thrown away (error 31931).
pub const LIMIT_SAMPLES: usize = 10 * 60 * 8000;

/// The audio and the marks that wait to be played.
#[derive(Debug, Default)]
pub struct Playout {
    queue: VecDeque<u8>,
    /// Samples handed to the caller's ear, and of these the ones that are over: the last tick's are still sounding.
    played: u64,
    over: u64,
    marks: VecDeque<(u64, String)>,
}

/// More was queued than Twilio keeps; the excess is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow {
    /// How much of it.
    pub lost_samples: usize,
}

/// What a `clear` did.
#[derive(Debug, PartialEq, Eq)]
pub struct Cleared {
    /// Samples that nobody will hear.
    pub dropped_samples: usize,
    /// The marks to echo.
    pub marks: Vec<String>,
}

impl Playout {
    /// Nothing queued, nothing played.
    pub fn new() -> Self {
        Self::default()
    }

    /// Queues mu-law audio.
    pub fn media(&mut self, mulaw: &[u8]) -> Result<(), Overflow> {
        let taken = mulaw.len().min(LIMIT_SAMPLES - self.queue.len());
        self.queue.extend(&mulaw[..taken]);
        if taken < mulaw.len() { Err(Overflow { lost_samples: mulaw.len() - taken }) } else { Ok(()) }
    }

    /// Queues a mark; gives it back if it is to be echoed at once.
    pub fn mark(&mut self, name: String) -> Option<String> {
        let position = self.played + self.queue.len() as u64;
        if position <= self.over {
            return Some(name);
        }
        self.marks.push_back((position, name));
        None
    }

    /// Empties the queue.
    pub fn clear(&mut self) -> Cleared {
        let dropped_samples = self.queue.len();
        self.queue.clear();
        Cleared { dropped_samples, marks: self.marks.drain(..).map(|(_, name)| name).collect() }
    }

    /// The next mark whose audio is over.
    pub fn poll_mark(&mut self) -> Option<String> {
        self.marks.pop_front_if(|(position, _)| *position <= self.over).map(|(_, name)| name)
    }

    /// 20 ms have passed: gives what sounds in the next 20 ms, silence where nothing is queued. Drain
    /// [`Playout::poll_mark`] afterwards.
    pub fn tick(&mut self) -> [i16; FRAME] {
        self.over = self.played;
        let mut frame = [0; FRAME];
        let length = self.queue.len().min(FRAME);
        for (sample, code) in frame.iter_mut().zip(self.queue.drain(..length)) {
            *sample = mulaw::decode(code);
        }
        self.played += length as u64;
        frame
    }

    /// Samples that wait to be played.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echoes(playout: &mut Playout) -> Vec<String> {
        std::iter::from_fn(|| playout.poll_mark()).collect()
    }

    #[test]
    fn a_mark_is_echoed_when_the_play_head_has_passed_what_was_queued_before_it() {
        let mut playout = Playout::new();
        playout.media(&[0x80; 200]).unwrap();
        assert_eq!(playout.mark("a".into()), None);
        playout.media(&[0x80; 60]).unwrap();
        assert_eq!(playout.mark("b".into()), None);
        playout.tick();
        assert!(echoes(&mut playout).is_empty());
        playout.tick();
        assert!(echoes(&mut playout).is_empty(), "sample 200 sounds until the next tick");
        playout.tick();
        assert_eq!(echoes(&mut playout), ["a", "b"]);
    }

    #[test]
    fn a_mark_is_echoed_at_once_when_nothing_is_queued_or_sounding() {
        let mut playout = Playout::new();
        assert_eq!(playout.mark("first".into()), Some("first".into()));
        playout.media(&[0x80; 160]).unwrap();
        playout.tick();
        assert_eq!(playout.mark("sounding".into()), None);
        playout.tick();
        assert_eq!(echoes(&mut playout), ["sounding"]);
        assert_eq!(playout.mark("over".into()), Some("over".into()));
    }

    #[test]
    fn clear_drops_what_was_not_played_and_echoes_every_pending_mark_in_order() {
        let mut playout = Playout::new();
        playout.media(&[0x80; 400]).unwrap();
        playout.mark("a".into());
        playout.media(&[0x80; 400]).unwrap();
        playout.mark("b".into());
        playout.tick();
        assert_eq!(playout.clear(), Cleared { dropped_samples: 640, marks: vec!["a".into(), "b".into()] });
        assert_eq!(playout.tick(), [0; FRAME]);
        assert!(echoes(&mut playout).is_empty(), "an echoed mark is not echoed again");
        playout.media(&[0x80; 160]).unwrap();
        playout.mark("c".into());
        playout.tick();
        playout.tick();
        assert_eq!(echoes(&mut playout), ["c"], "positions go on after a clear");
    }

    #[test]
    fn pieces_of_any_size_are_played_without_a_seam() {
        let mut playout = Playout::new();
        let sent: Vec<u8> = (0..=255).cycle().take(480).collect();
        for piece in sent.chunks(37) {
            playout.media(piece).unwrap();
        }
        let heard: Vec<i16> = (0..3).flat_map(|_| playout.tick()).collect();
        assert_eq!(heard, mulaw::decode_all(&sent).collect::<Vec<_>>());
        assert_eq!(playout.tick(), [0; FRAME]);
    }

    #[test]
    fn what_exceeds_ten_minutes_is_lost() {
        let mut playout = Playout::new();
        playout.media(&vec![0x80; LIMIT_SAMPLES - 1]).unwrap();
        assert_eq!(playout.media(&[0x80; 3]), Err(Overflow { lost_samples: 2 }));
        assert_eq!(playout.queued(), LIMIT_SAMPLES);
    }
}
