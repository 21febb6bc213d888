//! When each 20 ms of the caller leave for the server: at once, or as unevenly as networks have it.
//!
//! Pure: times since the call was placed are handed in. Frames stay in order, and none is lost.

use std::{collections::VecDeque, time::Duration};

use offhook_hosting::entropy::Entropy;

use crate::twilio::playout::FRAME;

/// How evenly the caller's audio is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MediaTiming {
    /// A message every 20 ms.
    #[default]
    Steady,
    /// Each message up to so much late, and never before the one that it follows.
    Jittered(Duration),
    /// Nothing, and then up to so many messages at once.
    Bunched(usize),
}

/// 20 ms of the caller.
pub(super) type Frame = [u8; FRAME];

/// Holds frames until they are due.
#[derive(Debug)]
pub(super) struct Pacing {
    timing: MediaTiming,
    entropy: Entropy,
    due: VecDeque<(Duration, Frame)>,
    bunch: Vec<Frame>,
    /// How many the next bunch has.
    bunch_size: u64,
}

impl Pacing {
    pub(super) fn new(timing: MediaTiming, entropy: Entropy) -> Self {
        let mut pacing = Self { timing, entropy, due: VecDeque::new(), bunch: Vec::new(), bunch_size: 0 };
        pacing.draw_bunch();
        pacing
    }

    /// The caller said this just now.
    pub(super) fn push(&mut self, frame: Frame, now: Duration) {
        match self.timing {
            MediaTiming::Steady => self.due.push_back((now, frame)),
            MediaTiming::Jittered(most) => {
                let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX - 1);
                let late = now + Duration::from_micros(self.entropy.between(0, most + 1));
                let last = self.due.back().map_or(Duration::ZERO, |(due, _)| *due);
                self.due.push_back((late.max(last), frame));
            }
            MediaTiming::Bunched(_) => {
                self.bunch.push(frame);
                if self.bunch.len() as u64 >= self.bunch_size {
                    self.due.extend(self.bunch.drain(..).map(|frame| (now, frame)));
                    self.draw_bunch();
                }
            }
        }
    }

    fn draw_bunch(&mut self) {
        if let MediaTiming::Bunched(most) = self.timing {
            self.bunch_size = self.entropy.between(1, (most as u64).max(1) + 1);
        }
    }

    /// The next frame that is due.
    pub(super) fn poll(&mut self, now: Duration) -> Option<Frame> {
        self.due.pop_front_if(|(due, _)| *due <= now).map(|(_, frame)| frame)
    }

    /// When to come back, unless a frame is pushed before.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.due.front().map(|(due, _)| *due)
    }

    /// Everything that is held back, now.
    pub(super) fn flush(&mut self) -> impl Iterator<Item = Frame> {
        self.due.drain(..).map(|(_, frame)| frame).chain(self.bunch.drain(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When each of so many frames, 20 ms apart, leaves; with its number.
    fn departures(timing: MediaTiming, frames: u8) -> Vec<(u64, u8)> {
        let mut pacing = Pacing::new(timing, Entropy::from_seed(5));
        let mut left = Vec::new();
        for ms in 0..u64::from(frames) * 20 {
            let now = Duration::from_millis(ms);
            if ms % 20 == 0 {
                pacing.push([(ms / 20) as u8; FRAME], now);
            }
            left.extend(std::iter::from_fn(|| pacing.poll(now)).map(|frame| (ms, frame[0])));
        }
        left.extend(pacing.flush().map(|frame| (u64::from(frames) * 20, frame[0])));
        left
    }

    fn in_order(left: &[(u64, u8)], frames: u8) {
        let numbers: Vec<_> = left.iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers, (0..frames).collect::<Vec<_>>(), "all, in order");
    }

    #[test]
    fn steady_frames_leave_when_they_come() {
        let left = departures(MediaTiming::Steady, 10);
        in_order(&left, 10);
        assert!(left.iter().all(|(ms, number)| *ms == u64::from(*number) * 20));
    }

    #[test]
    fn jittered_frames_are_late_by_no_more_than_told_and_not_all_alike() {
        let left = departures(MediaTiming::Jittered(Duration::from_millis(55)), 100);
        in_order(&left, 100);
        let late: Vec<_> = left.iter().map(|(ms, number)| ms - u64::from(*number) * 20).collect();
        assert!(late.iter().all(|late| *late <= 56) && late.iter().any(|late| *late > 30), "{late:?}");
        assert!(late.iter().any(|late| *late < 25), "{late:?}");
    }

    #[test]
    fn bunched_frames_leave_several_at_once() {
        let left = departures(MediaTiming::Bunched(8), 100);
        in_order(&left, 100);
        let most = left.chunk_by(|one, other| one.0 == other.0).map(<[_]>::len).max().unwrap();
        assert!((4..=8).contains(&most), "{most}");
    }

    #[test]
    fn the_same_seed_gives_the_same_times() {
        for timing in [MediaTiming::Jittered(Duration::from_millis(80)), MediaTiming::Bunched(5)] {
            assert_eq!(departures(timing, 50), departures(timing, 50));
        }
    }
}
