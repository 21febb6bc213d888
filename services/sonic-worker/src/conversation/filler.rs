//! What a caller hears while there is no session to speak: a soft sound, made here, so that the line is not dead.

use std::{
    f64::consts::TAU,
    sync::LazyLock,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::mulaw;

/// A caller who waits for longer than this is to hear that somebody is there.
const AFTER: Duration = Duration::from_secs(2);
/// From one sound to the next.
const EVERY: Duration = Duration::from_millis(2_500);
const SAMPLES: u32 = 8 * 400;
const RATE: f64 = 8_000.0;
/// Two notes, low and soft.
const NOTES: [f64; 2] = [330.0, 440.0];
const LOUDNESS: f64 = 1_400.0;

static SOUND: LazyLock<Bytes> = LazyLock::new(sound);

/// When to make the sound.
#[derive(Debug, Default)]
pub(super) struct Filler {
    next: Option<Instant>,
}

impl Filler {
    /// The caller waits, from now on if not before.
    pub(super) fn begin(&mut self, now: Instant) {
        self.next.get_or_insert(now + AFTER);
    }

    /// The caller has an answer.
    pub(super) fn end(&mut self) {
        self.next = None;
    }

    /// When [`Filler::due`] has something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// The sound, when it is time for it; not while the line is `busy` with a voice, and then not before the same time
    /// again.
    pub(super) fn due(&mut self, busy: bool, now: Instant) -> Option<Bytes> {
        let next = self.next.as_mut().filter(|next| **next <= now)?;
        *next = now + if busy { AFTER } else { EVERY };
        (!busy).then(|| SOUND.clone())
    }
}

/// As mu-law. Swells and fades, so that it neither clicks nor is taken for a signal of the telephone network.
fn sound() -> Bytes {
    let sample = |at: u32| {
        let at = f64::from(at);
        let swell = (at / f64::from(SAMPLES) * TAU / 2.0).sin().powi(2);
        let tone: f64 = NOTES.iter().map(|note| (TAU * note * at / RATE).sin()).sum();
        // Stays far within the range of a sample.
        (tone * swell * LOUDNESS) as i16
    };
    let pcm: Vec<u8> = (0..SAMPLES).flat_map(|at| sample(at).to_le_bytes()).collect();
    mulaw::encode_all(&pcm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::tests::start;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_caller_who_waits_hears_something_after_two_seconds_and_then_again() {
        let (mut filler, now) = (Filler::default(), start());
        assert_eq!(filler.deadline(), None);
        filler.begin(now);
        filler.begin(now + 1_000 * MS);
        assert_eq!(filler.due(false, now + 1_999 * MS), None);
        assert!(filler.due(false, now + 2_000 * MS).is_some());
        assert_eq!(filler.deadline(), Some(now + 4_500 * MS));
        filler.end();
        assert_eq!((filler.deadline(), filler.due(false, now + 9_000 * MS)), (None, None));
    }

    #[test]
    fn nothing_sounds_over_a_voice() {
        let (mut filler, now) = (Filler::default(), start());
        filler.begin(now);
        assert_eq!(filler.due(true, now + 2_000 * MS), None);
        assert_eq!(filler.deadline(), Some(now + 4_000 * MS));
    }

    #[test]
    fn the_sound_is_short_soft_and_begins_and_ends_in_silence() {
        let mut pcm = Vec::new();
        mulaw::decode_into(&sound(), &mut pcm);
        let samples: Vec<i16> = pcm.as_chunks().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect();
        assert_eq!(samples.len(), 3_200);
        let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!((1_000..4_000).contains(&loudest), "{loudest}");
        assert!(samples[0].abs() < 20 && samples[3_199].abs() < 20);
    }
}
