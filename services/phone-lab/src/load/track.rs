//! What became of a call's frames in one direction: matched by their stamps, judged by simple rules.
//!
//! Pure. A frame that arrives after one with a higher number is reordered; one that arrives again is repeated; one
//! whose stamp is another call's has strayed; one whose codes are not all as sent is altered. Sound without a stamp is
//! taken for a frame that was altered beyond recognition, as long as one is missing. What never arrived is lost.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::stamp::{Cut, Kind, Stamp};

/// The frames of one call that arrived at one place.
#[derive(Clone, Debug)]
pub struct Track {
    call: u16,
    /// When each arrived, by its number.
    arrived: Vec<Option<Instant>>,
    highest: Option<u32>,
    sounds: u64,
    faults: Faults,
}

/// What is wrong with frames, in numbers. A frame that strayed counts where it arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Never arrived.
    pub lost: u64,
    /// Arrived with other codes.
    pub altered: u64,
    /// Arrived after a later one.
    pub reordered: u64,
    /// Arrived again.
    pub repeated: u64,
    /// Arrived in a call that they are not of, or were never sent.
    pub strayed: u64,
}

impl Faults {
    /// Whether nothing is wrong.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong besides what was wrong before, at an earlier place.
    pub fn beyond(self, before: Self) -> Self {
        Self {
            lost: self.lost.saturating_sub(before.lost),
            altered: self.altered.saturating_sub(before.altered),
            reordered: self.reordered.saturating_sub(before.reordered),
            repeated: self.repeated.saturating_sub(before.repeated),
            strayed: self.strayed.saturating_sub(before.strayed),
        }
    }

    /// Counts these as well.
    pub fn add(&mut self, other: Self) {
        let Self { lost, altered, reordered, repeated, strayed } = other;
        self.lost += lost;
        self.altered += altered;
        self.reordered += reordered;
        self.repeated += repeated;
        self.strayed += strayed;
    }
}

impl Track {
    /// Nothing has arrived yet of a call's frames, about so many.
    pub fn new(call: u16, frames: usize) -> Self {
        let arrived = Vec::with_capacity(frames);
        Self { call, arrived, highest: None, sounds: 0, faults: Faults::default() }
    }

    /// Something arrived.
    pub fn arrived(&mut self, cut: Cut, at: Instant) {
        match cut {
            Cut::Sound => self.sounds += 1,
            Cut::Frame { stamp, .. } if stamp.kind == Kind::Interrupt => {}
            Cut::Frame { stamp, intact } => self.frame(stamp, intact, at),
        }
    }

    fn frame(&mut self, stamp: Stamp, intact: bool, at: Instant) {
        if stamp.call != self.call || stamp.sequence as usize >= MOST_FRAMES {
            self.faults.strayed += 1;
            return;
        }
        let index = stamp.sequence as usize;
        if self.arrived.len() <= index {
            self.arrived.resize(index + 1, None);
        }
        if self.arrived[index].is_some() {
            self.faults.repeated += 1;
            return;
        }
        self.arrived[index] = Some(at);
        if self.highest > Some(stamp.sequence) {
            self.faults.reordered += 1;
        }
        self.highest = self.highest.max(Some(stamp.sequence));
        self.faults.altered += u64::from(!intact);
    }

    /// How many different frames arrived.
    pub fn count(&self) -> usize {
        self.arrived.iter().flatten().count()
    }

    /// When the frame of this number arrived.
    pub fn at(&self, sequence: usize) -> Option<Instant> {
        self.arrived.get(sequence).copied().flatten()
    }

    /// The verdict, if so many frames were sent.
    pub fn faults(&self, sent: usize) -> Faults {
        let known = self.arrived.iter().take(sent).flatten().count();
        let missing = (sent - known) as u64;
        let unrecognisable = self.sounds.min(missing);
        let mut faults = self.faults;
        faults.lost += missing - unrecognisable;
        faults.altered += unrecognisable;
        // Sound beyond the frames that are missing, and frames beyond those that were sent, came from nowhere.
        faults.strayed += self.sounds - unrecognisable + (self.count() - known) as u64;
        faults
    }
}

/// A number beyond this is no frame's: more than a day of them.
const MOST_FRAMES: usize = 5_000_000;

/// How many latencies are a frame's length or more above the median: late for a listener who buffers no more than that.
pub fn late(latencies: &[Duration]) -> u64 {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let Some(median) = sorted.get(sorted.len() / 2) else { return 0 };
    let limit = *median + Duration::from_millis(20);
    sorted.iter().filter(|latency| **latency >= limit).count() as u64
}

#[cfg(test)]
mod tests {
    use offhook_hosting::clock::Clock;

    use super::*;

    const CALL: u16 = 3;

    fn echo(sequence: u32) -> Stamp {
        Stamp { kind: Kind::Echo, call: CALL, sequence }
    }

    fn judge(cuts: &[Cut], sent: usize) -> Faults {
        let mut track = Track::new(CALL, sent);
        cuts.iter().for_each(|cut| track.arrived(*cut, Clock.now()));
        track.faults(sent)
    }

    fn good(stamp: Stamp) -> Cut {
        Cut::Frame { stamp, intact: true }
    }

    fn goods(sequences: &[u32]) -> Vec<Cut> {
        sequences.iter().map(|sequence| good(echo(*sequence))).collect()
    }

    #[test]
    fn frames_that_arrive_as_sent_are_no_fault() {
        assert!(judge(&goods(&[0, 1, 2]), 3).is_none());
    }

    #[test]
    fn a_frame_that_never_arrives_is_lost() {
        assert_eq!(judge(&goods(&[0, 2]), 4), Faults { lost: 2, ..Faults::default() });
    }

    #[test]
    fn a_frame_that_arrives_after_a_later_one_is_reordered() {
        assert_eq!(judge(&goods(&[0, 2, 1, 3]), 4), Faults { reordered: 1, ..Faults::default() });
    }

    #[test]
    fn a_frame_that_arrives_again_is_repeated() {
        assert_eq!(judge(&goods(&[0, 1, 1]), 2), Faults { repeated: 1, ..Faults::default() });
    }

    #[test]
    fn a_frame_with_another_code_is_altered_even_beyond_recognition() {
        let readable = [good(echo(0)), Cut::Frame { stamp: echo(1), intact: false }];
        assert_eq!(judge(&readable, 2), Faults { altered: 1, ..Faults::default() });
        assert_eq!(judge(&[good(echo(0)), Cut::Sound], 2), Faults { altered: 1, ..Faults::default() });
    }

    #[test]
    fn what_is_no_frame_of_the_call_has_strayed() {
        let other = good(Stamp { call: CALL + 1, ..echo(0) });
        let cuts = [good(echo(0)), other, Cut::Sound, good(echo(1))];
        assert_eq!(judge(&cuts, 1), Faults { strayed: 3, ..Faults::default() });
    }

    #[test]
    fn an_interruption_is_no_frame_of_the_conversation() {
        assert!(judge(&[good(Stamp { kind: Kind::Interrupt, ..echo(0) })], 0).is_none());
    }

    #[test]
    fn a_latency_a_frame_above_the_median_is_late() {
        let ms = Duration::from_millis;
        assert_eq!(late(&[ms(5), ms(6), ms(5), ms(24), ms(25), ms(5), ms(5)]), 1);
        assert_eq!(late(&[]), 0);
    }
}
