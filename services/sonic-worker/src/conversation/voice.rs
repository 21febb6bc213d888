//! What comes out of the caller's mouth: where there is voice, and the audio that no session has understood yet.
//!
//! The model says nothing when a caller begins to speak, and what was said only after a pause. When a session is lost or
//! replaced in between, the next one has to hear it again from the beginning, and only that: what has been understood
//! would be answered twice.

use std::{collections::VecDeque, time::Duration, time::Instant};

/// 20 ms, the length over which loudness is measured.
const FRAME: usize = 160;
/// Bytes of a frame as PCM16.
const FRAME_BYTES: usize = FRAME * 2;
/// A frame whose samples are on average quieter than this is silence, however quiet the line is otherwise.
const QUIET: u32 = 200;
/// Voice is this much louder than the line without it.
const ABOVE_NOISE: u32 = 3;
/// Shorter sounds are clicks.
const SHORTEST_FRAMES: u32 = 3;
/// With less voice than this nobody has asked for anything: 200 ms, a short "yes".
const WORTH_AN_ANSWER_FRAMES: u32 = 10;
/// A caller who is silent for so long has stopped, for now.
const STOPPED_AFTER: u64 = 300 * 8;
/// The beginning of a word may be too soft to be noticed.
const BEFORE: u64 = 300 * 8;
/// What is kept of a caller who says nothing: 3 s.
const KEPT: u64 = 3_000 * 8;
/// What is kept of one who speaks: 20 s, 160 KB. Longer than a stall takes to be noticed, or the words before it would be
/// lost.
const KEPT_OF_VOICE: u64 = 20_000 * 8;

/// The caller's voice on a leg.
#[derive(Debug, Default)]
pub(super) struct CallerVoice {
    /// Samples received.
    position: u64,
    /// The newest audio, as mu-law; copied, because a piece as it came holds on to more than itself.
    kept: VecDeque<u8>,
    /// Where `kept` begins.
    kept_from: u64,
    /// Loudness of the line without voice, in 65,536ths of a sample's step.
    noise: u64,
    run: Option<Run>,
    /// When the last voice came.
    last: Option<Instant>,
    /// Where the first voice begins that no session has understood.
    unheard_from: Option<u64>,
    /// How much voice there has been since, in frames.
    unheard_frames: u32,
}

/// Voice without a longer pause.
#[derive(Clone, Copy, Debug)]
struct Run {
    from: u64,
    frames: u32,
    /// Where its last voiced frame ends, and when that came.
    until: u64,
    until_at: Instant,
}

/// What a piece of audio changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The caller began to speak.
    Began,
    /// The caller has been silent for a moment.
    Stopped,
}

impl CallerVoice {
    /// Takes in audio, as mu-law and as little-endian PCM16.
    pub(super) fn hear(&mut self, mulaw: &[u8], pcm: &[u8], now: Instant) -> Option<Change> {
        let mut change = None;
        for frame in pcm.chunks(FRAME_BYTES) {
            let from = self.position;
            self.position += (frame.len() / 2) as u64;
            if self.is_voiced(frame) {
                change = self.voiced(from, now).or(change);
            } else {
                change = self.silent().or(change);
            }
        }
        self.kept.extend(mulaw);
        self.forget();
        change
    }

    /// No session needs to hear again what was said, other than what is being said now.
    pub(super) fn understood(&mut self) {
        let is_going_on = |run: &Run| run.until + FRAME as u64 * 2 > self.position;
        self.unheard_from =
            self.run.filter(|run| is_going_on(run) && run.frames >= SHORTEST_FRAMES).map(|run| run.from);
        self.unheard_frames = self.unheard_from.and(self.run).map_or(0, |run| run.frames);
        let needed_from = self.run.filter(is_going_on).map_or(self.position, |run| run.from.saturating_sub(BEFORE));
        self.forget_before(needed_from);
    }

    /// Whether the caller has said something that no session has understood.
    pub(super) fn is_unheard(&self) -> bool {
        self.unheard_from.is_some()
    }

    /// Whether what nobody has understood can have been words.
    pub(super) fn is_worth_an_answer(&self) -> bool {
        self.is_unheard() && self.unheard_frames >= WORTH_AN_ANSWER_FRAMES
    }

    /// Whether the caller is speaking, or has stopped only just now.
    pub(super) fn is_speaking(&self, now: Instant) -> bool {
        let pause = Duration::from_millis(STOPPED_AFTER / 8);
        self.run.is_some_and(|run| now.saturating_duration_since(run.until_at) < pause)
    }

    /// When the caller's last sound came.
    pub(super) fn last(&self) -> Option<Instant> {
        self.last
    }

    /// What the next session has to hear, as mu-law: what nobody has understood, and the moment before it.
    pub(super) fn unheard(&self) -> [&[u8]; 2] {
        let from = self.unheard_from.unwrap_or(self.position).saturating_sub(BEFORE);
        let known = usize::try_from(from.saturating_sub(self.kept_from)).unwrap_or(usize::MAX);
        let (older, newer) = self.kept.as_slices();
        let of_newer = known.saturating_sub(older.len()).min(newer.len());
        [&older[known.min(older.len())..], &newer[of_newer..]]
    }

    /// Whether a pause of the caller is not yet long enough to be one.
    #[cfg(test)]
    pub(super) fn is_in_a_run(&self) -> bool {
        self.run.is_some()
    }

    fn is_voiced(&mut self, frame: &[u8]) -> bool {
        let (samples, _) = frame.as_chunks();
        let sum: u32 = samples.iter().map(|sample| u32::from(i16::from_le_bytes(*sample).unsigned_abs())).sum();
        let level = sum / samples.len().max(1) as u32;
        let scaled = u64::from(level) << 16;
        // Falls quickly in a pause, and rises so slowly that a long sentence does not pass for noise.
        self.noise = if scaled < self.noise {
            self.noise - (self.noise - scaled) / 8
        } else {
            self.noise + (scaled - self.noise) / 2_048
        };
        level > QUIET.max(ABOVE_NOISE * (self.noise >> 16) as u32)
    }

    fn voiced(&mut self, from: u64, now: Instant) -> Option<Change> {
        let run = self.run.get_or_insert(Run { from, frames: 0, until: from, until_at: now });
        run.frames += 1;
        self.unheard_frames += 1;
        (run.until, run.until_at) = (self.position, now);
        if run.frames >= SHORTEST_FRAMES {
            self.last = Some(now);
        }
        let began = run.frames == SHORTEST_FRAMES;
        if self.unheard_from.is_none() && run.frames >= SHORTEST_FRAMES {
            // What was before it in the same run has been understood.
            (self.unheard_from, self.unheard_frames) =
                if began { (Some(run.from), run.frames) } else { (Some(from), 1) };
        }
        began.then_some(Change::Began)
    }

    fn silent(&mut self) -> Option<Change> {
        let run = self.run.take_if(|run| run.until + STOPPED_AFTER <= self.position)?;
        (run.frames >= SHORTEST_FRAMES).then_some(Change::Stopped)
    }

    fn forget(&mut self) {
        let kept = if self.is_unheard() { KEPT_OF_VOICE } else { KEPT };
        self.forget_before(self.position.saturating_sub(kept));
    }

    fn forget_before(&mut self, needed_from: u64) {
        let forgotten = usize::try_from(needed_from.saturating_sub(self.kept_from)).unwrap_or(usize::MAX);
        let forgotten = forgotten.min(self.kept.len());
        self.kept.drain(..forgotten);
        self.kept_from += forgotten as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mulaw;

    const FRAME_TIME: Duration = Duration::from_millis(20);

    /// A caller, 20 ms at a time.
    struct Caller {
        voice: CallerVoice,
        now: Instant,
        said: u8,
    }

    impl Caller {
        #[expect(clippy::disallowed_methods, reason = "an arbitrary point from which a test's time starts")]
        fn new() -> Self {
            Self { voice: CallerVoice::default(), now: Instant::now(), said: 0 }
        }

        /// Sounds for so many frames at a level; each frame is another one. What changed, and after how many frames.
        fn sounds(&mut self, level: i16, frames: usize) -> Vec<(usize, Change)> {
            let mut changes = Vec::new();
            for frame in 0..frames {
                let pcm = level.to_le_bytes().repeat(FRAME);
                self.said = self.said.wrapping_add(1);
                self.now += FRAME_TIME;
                let mulaw = vec![self.said; FRAME];
                changes.extend(self.voice.hear(&mulaw, &pcm, self.now).map(|change| (frame, change)));
            }
            changes
        }

        /// The frames that are to be heard again, by number.
        fn unheard(&self) -> Vec<u8> {
            self.voice.unheard().concat().into_iter().step_by(FRAME).collect()
        }
    }

    #[test]
    fn a_word_is_noticed_after_60_ms_and_its_end_after_300() {
        let mut caller = Caller::new();
        assert_eq!(caller.sounds(0, 10), []);
        assert_eq!(caller.sounds(3_000, 20), [(2, Change::Began)]);
        let stopped = caller.now;
        assert!(caller.voice.is_speaking(caller.now));
        assert_eq!(caller.sounds(10, 30), [(14, Change::Stopped)]);
        assert!(!caller.voice.is_speaking(caller.now));
        assert_eq!(caller.voice.last(), Some(stopped));
    }

    #[test]
    fn clicks_and_an_even_noise_are_no_voice() {
        let mut caller = Caller::new();
        assert_eq!(caller.sounds(20_000, 2), []);
        assert_eq!(caller.sounds(0, 50), []);
        assert!(!caller.voice.is_unheard());
        caller.sounds(900, 3_000);
        caller.voice.understood();
        assert_eq!(caller.sounds(900, 100), [], "the line has this noise");
        assert_eq!(caller.sounds(6_000, 3), [(2, Change::Began)], "a voice is above it");
    }

    #[test]
    fn a_sentence_of_ten_seconds_without_a_pause_does_not_become_noise() {
        let mut caller = Caller::new();
        caller.sounds(0, 50);
        assert_eq!(caller.sounds(4_000, 500), [(2, Change::Began)]);
        assert!(caller.voice.is_speaking(caller.now));
    }

    #[test]
    fn what_nobody_understood_is_to_be_heard_again_from_before_it_began() {
        let mut caller = Caller::new();
        caller.sounds(0, 100);
        caller.sounds(3_000, 20);
        caller.sounds(0, 40);
        caller.sounds(3_000, 5);
        let expected: Vec<u8> = (101 - 15..=165).collect();
        assert_eq!(caller.unheard(), expected, "both words and the pause between them");
    }

    #[test]
    fn what_was_understood_is_not_heard_again_but_what_is_being_said_since_is() {
        let mut caller = Caller::new();
        caller.sounds(3_000, 20);
        caller.sounds(0, 80);
        caller.voice.understood();
        assert!(!caller.voice.is_unheard());
        assert_eq!(caller.unheard(), Vec::<u8>::new());
        caller.sounds(3_000, 20);
        caller.sounds(0, 60);
        caller.sounds(3_000, 10);
        caller.voice.understood();
        assert_eq!(caller.unheard(), (181 - 15..=190).collect::<Vec<u8>>());
        // Between two words of it.
        caller.sounds(0, 10);
        caller.voice.understood();
        caller.sounds(3_000, 10);
        assert_eq!(caller.unheard(), (201..=210).collect::<Vec<u8>>());
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let mut caller = Caller::new();
        caller.sounds(0, 1_000);
        assert_eq!(caller.voice.kept.len() as u64, KEPT);
        caller.sounds(5_000, 50);
        caller.sounds(0, 5_000);
        assert_eq!(caller.voice.kept.len() as u64, KEPT_OF_VOICE);
    }

    #[test]
    fn pieces_of_any_length_are_taken_as_they_come() {
        let mut caller = Caller::new();
        let mut pcm = Vec::new();
        mulaw::decode_into(&[0x80; 333], &mut pcm);
        assert_eq!(caller.voice.hear(&[0x80; 333], &pcm, caller.now), Some(Change::Began));
        assert_eq!(caller.voice.hear(&[], &[], caller.now), None);
        assert_eq!(caller.voice.unheard().concat(), [0x80; 333]);
    }
}
