use std::collections::VecDeque;

use bytes::Bytes;

/// Three seconds at 8 kHz: what the caller says while a session opens.
const LONGEST_SAMPLES: usize = 24_000;

/// The caller's newest audio, kept until the model listens.
#[derive(Debug, Default)]
pub(super) struct WaitingAudio {
    frames: VecDeque<Bytes>,
    samples: usize,
}

impl WaitingAudio {
    /// Keeps a frame; the oldest go when it gets too much.
    pub(super) fn push(&mut self, mulaw: Bytes) {
        self.samples += mulaw.len();
        self.frames.push_back(mulaw);
        while self.samples > LONGEST_SAMPLES {
            let Some(oldest) = self.frames.pop_front() else { break };
            self.samples -= oldest.len();
        }
    }

    /// All of it, oldest first.
    pub(super) fn take(&mut self) -> VecDeque<Bytes> {
        self.samples = 0;
        std::mem::take(&mut self.frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_three_seconds_are_kept() {
        let mut waiting = WaitingAudio::default();
        for frame in 0..200_u8 {
            waiting.push(Bytes::from(vec![frame; 160]));
        }
        let kept = waiting.take();
        assert_eq!((kept.len(), kept[0][0], kept[149][0]), (150, 50, 199));
        assert_eq!(waiting.take().len(), 0);
    }

    #[test]
    fn one_frame_longer_than_all_that_may_be_kept_does_not_stay() {
        let mut waiting = WaitingAudio::default();
        waiting.push(Bytes::from(vec![0; LONGEST_SAMPLES + 1]));
        assert_eq!(waiting.take().len(), 0);
    }
}
