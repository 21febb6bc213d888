//! Frames that say which they are: 20 ms of a tone character, with a stamp at the beginning.
//!
//! Pure. The stamp is 24 mu-law codes, a nibble each, quiet enough for the character to be heard as one: kind, call,
//! sequence number and a checksum. The character counts through the alphabet. So a whole frame is known from its
//! stamp, and one code that changed on the way is seen. [`Cutter`] finds the frames again in audio cut into pieces of
//! any size.

use std::time::Instant;

use crate::{mulaw, tones};

/// Mu-law codes in a frame, 20 ms.
pub const FRAME: usize = 160;
/// The audio of a caller who says nothing.
pub const SILENCE: [u8; FRAME] = [mulaw::SILENCE; FRAME];

const STAMP: usize = 24;
/// Codes from this on stand for nibbles. None of them is a silence.
const NIBBLE: u8 = 0xd0;
const CHARACTERS: usize = 64;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To be echoed.
    Echo,
    /// To interrupt the model.
    Interrupt,
}

/// Which frame it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// What for.
    pub kind: Kind,
    /// Of which call of the run.
    pub call: u16,
    /// Its number in the call, from 0.
    pub sequence: u32,
}

/// Builds frames. The tones are computed once.
#[derive(Clone, Debug)]
pub struct Frames(Vec<[u8; FRAME]>);

impl Default for Frames {
    fn default() -> Self {
        let alphabet: String = tones::alphabet().collect();
        let tone = |pcm: &[i16]| -> [u8; FRAME] { std::array::from_fn(|at| mulaw::encode(pcm[at])) };
        Self(tones::speak(&alphabet).chunks_exact(FRAME).map(tone).collect())
    }
}

impl Frames {
    /// The frame of a stamp.
    pub fn build(&self, stamp: Stamp) -> [u8; FRAME] {
        let mut frame = self.0[stamp.sequence as usize % CHARACTERS];
        let bytes = stamp.to_bytes();
        for (codes, byte) in frame[..STAMP].chunks_exact_mut(2).zip(bytes) {
            codes.copy_from_slice(&[NIBBLE | byte >> 4, NIBBLE | byte & 0x0f]);
        }
        frame
    }
}

impl Stamp {
    /// The stamp at the beginning of a frame, if one can be read there.
    pub fn read(codes: &[u8]) -> Option<Self> {
        let codes = codes.get(..STAMP)?;
        if codes.iter().any(|code| code & 0xf0 != NIBBLE) {
            return None;
        }
        let bytes: [u8; STAMP / 2] = std::array::from_fn(|at| codes[2 * at] << 4 | codes[2 * at + 1] & 0x0f);
        let kind = match bytes[0] {
            1 => Kind::Echo,
            2 => Kind::Interrupt,
            _ => return None,
        };
        let [_, c0, c1, s0, s1, s2, s3, ..] = bytes;
        let stamp = Self { kind, call: u16::from_be_bytes([c0, c1]), sequence: u32::from_be_bytes([s0, s1, s2, s3]) };
        (stamp.to_bytes() == bytes).then_some(stamp)
    }

    fn to_bytes(self) -> [u8; STAMP / 2] {
        let mut bytes = [0; STAMP / 2];
        bytes[0] = match self.kind {
            Kind::Echo => 1,
            Kind::Interrupt => 2,
        };
        bytes[1..3].copy_from_slice(&self.call.to_be_bytes());
        bytes[3..7].copy_from_slice(&self.sequence.to_be_bytes());
        let checksum = checksum(&bytes[..7]);
        bytes[7..11].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Cuts audio into frames again.
#[derive(Debug, Default)]
pub struct Cutter {
    buffer: Vec<u8>,
    /// Since when what stands first is as long as a frame, and not judged.
    whole_since: Option<Instant>,
}

/// What stands in the audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A frame whose stamp could be read.
    Frame {
        /// The stamp.
        stamp: Stamp,
        /// Whether every code of the frame is as it was built.
        intact: bool,
    },
    /// Sound, at most a frame of it, that is no frame.
    Sound,
}

impl Cutter {
    /// Takes mu-law audio that arrived at this time, and tells what is in it and when its last code arrived. What may
    /// still become a frame is kept for the next call.
    pub fn push(&mut self, mulaw: &[u8], arrived: Instant, frames: &Frames, mut found: impl FnMut(Cut, Instant)) {
        self.buffer.extend_from_slice(mulaw);
        let mut at = 0;
        loop {
            at += self.buffer[at..].iter().take_while(|code| is_silent(**code)).count();
            let rest = &self.buffer[at..];
            let Some(frame) = rest.first_chunk::<FRAME>() else { break };
            let stamp = Stamp::read(frame);
            if let Some(stamp) = stamp
                && *frame == frames.build(stamp)
            {
                self.whole_since = None;
                found(Cut::Frame { stamp, intact: true }, arrived);
                at += FRAME;
                continue;
            }
            let whole_since = *self.whole_since.get_or_insert(arrived);
            // Cut short, perhaps: then the next frame begins within this one.
            let Some(searched) = rest.get(..FRAME + STAMP) else { break };
            let next = (1..FRAME).find(|from| Stamp::read(&searched[*from..]).is_some());
            self.whole_since = None;
            found(stamp.map_or(Cut::Sound, |stamp| Cut::Frame { stamp, intact: false }), whole_since);
            at += next.unwrap_or(FRAME);
        }
        self.buffer.drain(..at);
    }
}

fn is_silent(code: u8) -> bool {
    code & 0x7f == 0x7f
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use offhook_hosting::clock::Clock;
    use proptest::prelude::*;

    use super::*;

    fn stamp(sequence: u32) -> Stamp {
        Stamp { kind: Kind::Echo, call: 7, sequence }
    }

    fn cuts(pieces: &[&[u8]]) -> Vec<Cut> {
        timed_cuts(pieces).into_iter().map(|(cut, _)| cut).collect()
    }

    /// With the number of the piece with which each arrived.
    fn timed_cuts(pieces: &[&[u8]]) -> Vec<(Cut, u128)> {
        let (mut cutter, mut cuts, start) = (Cutter::default(), Vec::new(), Clock.now());
        let frames = Frames::default();
        for (number, piece) in pieces.iter().enumerate() {
            let at = start + Duration::from_millis(number as u64);
            cutter.push(piece, at, &frames, |cut, at| cuts.push((cut, (at - start).as_millis())));
        }
        cuts
    }

    fn sequences(cuts: &[Cut]) -> Vec<Option<u32>> {
        let sequence = |cut: &Cut| match cut {
            Cut::Frame { stamp, .. } => Some(stamp.sequence),
            Cut::Sound => None,
        };
        cuts.iter().map(sequence).collect()
    }

    #[test]
    fn a_frame_is_heard_as_the_tone_character_that_it_is() {
        let frames = Frames::default();
        for (sequence, character) in tones::alphabet().enumerate() {
            let pcm: Vec<i16> = mulaw::decode_all(&frames.build(stamp(sequence as u32))).collect();
            let expected = [tones::Heard::Character { character, at_sample: 0 }];
            assert_eq!(tones::Ear::new().listen(&pcm), expected);
        }
    }

    #[test]
    fn frames_survive_pcm_and_say_which_they_are() {
        let frames = Frames::default();
        for stamp in [stamp(0), stamp(70_000), Stamp { kind: Kind::Interrupt, call: 65_535, sequence: 3 }] {
            let frame = frames.build(stamp);
            let travelled: Vec<u8> = mulaw::decode_all(&frame).map(mulaw::encode).collect();
            assert_eq!(travelled, frame);
            assert_eq!(Stamp::read(&travelled), Some(stamp));
        }
    }

    #[test]
    fn a_code_that_changed_after_the_stamp_is_seen() {
        let mut frame = Frames::default().build(stamp(9));
        frame[FRAME - 1] ^= 1;
        assert_eq!(cuts(&[&frame, &SILENCE]), [Cut::Frame { stamp: stamp(9), intact: false }]);
    }

    #[test]
    fn a_frame_arrives_with_its_last_code_however_long_it_takes_to_judge_it() {
        let frames = Frames::default();
        let (mut altered, next) = (frames.build(stamp(1)), frames.build(stamp(2)));
        altered[FRAME - 1] ^= 1;
        let [first, second] = [(1, false), (2, true)].map(|(n, intact)| Cut::Frame { stamp: stamp(n), intact });
        let pieces: [&[u8]; 5] = [&altered[..80], &altered[80..], &SILENCE, &next[..1], &next[1..]];
        assert_eq!(timed_cuts(&pieces), [(first, 1), (second, 4)]);
        let noise: [&[u8]; 3] = [&[0x20; FRAME], &[0x20; FRAME], &next];
        assert_eq!(timed_cuts(&noise), [(Cut::Sound, 0), (Cut::Sound, 1), (second, 2)]);
    }

    #[test]
    fn a_code_that_changed_in_the_stamp_makes_it_unreadable() {
        let frame = Frames::default().build(stamp(9));
        for at in 0..STAMP - 2 {
            let mut changed = frame;
            changed[at] ^= 1;
            assert_eq!(Stamp::read(&changed), None, "code {at}");
        }
    }

    #[test]
    fn sound_that_is_no_frame_is_told_and_the_next_frame_is_found() {
        let frames = Frames::default();
        let (first, second) = (frames.build(stamp(1)), frames.build(stamp(2)));
        for length in [10, 100, 150] {
            let torn = [&first[..length], &second[..]].concat();
            let (stamp1, stamp2) = (stamp(1), stamp(2));
            let expected = [Cut::Frame { stamp: stamp1, intact: false }, Cut::Frame { stamp: stamp2, intact: true }];
            let sound = [Cut::Sound, expected[1]];
            let pieces: Vec<&[u8]> = torn.chunks(80).chain([&SILENCE[..]]).collect();
            assert_eq!(cuts(&pieces), if length < STAMP { sound } else { expected }, "{length}");
        }
        assert_eq!(sequences(&cuts(&[&[0x20; 320], &first])), [None, None, Some(1)]);
    }

    proptest! {
        #[test]
        fn frames_are_found_in_pieces_of_any_size_with_silence_anywhere_between(
            pieces in prop::collection::vec(1..400_usize, 1..40),
            silences in prop::collection::vec(0..300_usize, 6),
        ) {
            let frames = Frames::default();
            let mut audio = Vec::new();
            for (sequence, silence) in silences.iter().enumerate() {
                audio.extend(std::iter::repeat_n(mulaw::SILENCE, *silence));
                audio.extend(frames.build(stamp(sequence as u32)));
            }
            let mut rest = &audio[..];
            let mut parts = Vec::new();
            for length in pieces.into_iter().cycle() {
                let (part, after) = rest.split_at(length.min(rest.len()));
                parts.push(part);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(sequences(&cuts(&parts)), (0..6).map(Some).collect::<Vec<_>>());
        }

        #[test]
        fn no_audio_can_panic(audio in prop::collection::vec(any::<u8>(), 0..2000)) {
            cuts(&[&audio]);
        }
    }
}
