//! The agent's voice on its way to the caller, and how far the caller has heard it.
//!
//! Audio is cut into slices with a mark behind each, named `{epoch}:{sample_end}`. Twilio echoes a mark when the audio
//! before it was played, and also when a `clear` flushed it (Twilio docs, "Media Streams - WebSocket Messages"): the two
//! echoes look the same. So a `clear` begins a new epoch, and is followed by a mark of its own; which echoes of the epoch
//! before it were played is found out in `played`.
//!
//! Everything is handed on at once, because Twilio buffers minutes of audio and plays it in real time. Only a slow socket
//! makes a queue here; it is bounded, and the oldest audio is dropped.

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use bytes::Bytes;
use offhook_proto::voice::v1::Speak;

use super::played::{Cleared, Late, Played, SLICE_SAMPLES, duration};

/// Samples that may wait for a slow socket. One minute.
pub const CAPACITY_SAMPLES: usize = 60 * SAMPLES_PER_SECOND;

const SAMPLES_PER_SECOND: usize = 8000;

/// The agent's side of one leg.
#[derive(Debug, Default)]
pub struct Playout {
    epoch: u32,
    /// The position that the mark behind the `clear` names.
    begins: u64,
    clear_due: bool,
    pieces: VecDeque<Piece>,
    queued_samples: usize,
    mark_due: Option<u64>,
    played: Played,
    /// The epoch before this one, until Twilio has shown what of it was played.
    cleared: Option<Cleared>,
    /// Samples of the caller that Twilio has sent.
    clock: u64,
    dropped: u64,
}

#[derive(Debug)]
struct Piece {
    first_sample: u64,
    mulaw: Bytes,
}

/// What to write to the socket next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Play {
    /// Empty Twilio's buffer.
    Clear,
    /// Play this after what was written before.
    Audio(Bytes),
    /// Tell when it has been played.
    Mark(MarkName),
}

/// The name of a mark: the epoch in which, and the position up to which, audio was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkName {
    /// See `Hush` in the contract.
    pub epoch: u32,
    /// End of the audio before the mark.
    pub sample: u64,
}

impl MarkName {
    /// The name read back; `None` for a name that is not ours.
    pub fn parse(name: &str) -> Option<Self> {
        let (epoch, sample) = name.split_once(':')?;
        Some(Self { epoch: epoch.parse().ok()?, sample: sample.parse().ok()? })
    }
}

impl fmt::Display for MarkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.sample)
    }
}

impl Playout {
    /// Queues the agent's audio. What belongs to another epoch than the current one is dropped.
    pub fn speak(&mut self, speak: Speak) {
        if speak.epoch != self.epoch {
            self.dropped += u64::from(!speak.mulaw.is_empty());
            return;
        }
        if speak.mulaw.is_empty() {
            return;
        }
        self.queued_samples += speak.mulaw.len();
        self.pieces.push_back(Piece { first_sample: speak.first_sample, mulaw: speak.mulaw });
        while self.queued_samples > CAPACITY_SAMPLES {
            self.take(SLICE_SAMPLES).expect("queued samples are in pieces");
            self.dropped += 1;
        }
    }

    /// The caller interrupted: forgets what is queued and has Twilio forget what it buffers. False, and without effect,
    /// when `epoch` is no new one.
    pub fn hush(&mut self, epoch: u32) -> bool {
        if epoch <= self.epoch {
            return false;
        }
        let (played, before) = (std::mem::take(&mut self.played), self.epoch);
        let begins = played.written().unwrap_or(self.begins);
        let (clock, dropped) = (self.clock, self.dropped);
        let (cleared, mark_due) = (Some(Cleared::new(before, played)), Some(begins));
        *self = Self { epoch, clear_due: true, begins, mark_due, cleared, clock, dropped, ..Self::default() };
        true
    }

    /// Twilio sent so many samples of the caller.
    pub fn caller_sent(&mut self, samples: usize) {
        self.clock += samples as u64;
    }

    /// A mark came back. The positions that the caller is now known to have heard, if that is news. The one at which an
    /// epoch begins says that nothing more is to come of those before it.
    pub fn echoed(&mut self, name: &str) -> impl Iterator<Item = MarkName> + use<> {
        let mark = MarkName::parse(name);
        let late = mark.and_then(|mark| self.echoed_late(mark));
        let in_time = mark.filter(|mark| mark.epoch == self.epoch).filter(|mark| self.echoed_in_time(mark.sample));
        late.into_iter().chain(in_time)
    }

    /// What the echo says of the epoch before this one.
    fn echoed_late(&mut self, mark: MarkName) -> Option<MarkName> {
        let cleared = self.cleared.as_mut()?;
        let epoch = cleared.epoch;
        let late = if mark.epoch == epoch {
            cleared.echoed(mark.sample, self.clock)
        } else if mark.epoch == self.epoch {
            cleared.flushed(self.clock)
        } else {
            Late::Unclear
        };
        let sample = match late {
            Late::Over(sample) => {
                self.cleared = None;
                sample
            }
            Late::Played(sample) => Some(sample),
            Late::Unclear => None,
        };
        sample.map(|sample| MarkName { epoch, sample })
    }

    fn echoed_in_time(&mut self, sample: u64) -> bool {
        let is_behind_the_clear = self.epoch > 0 && sample == self.begins;
        is_behind_the_clear || self.played.echoed(sample, self.clock)
    }

    /// The stream is over: the position that the caller has heard beyond what the marks have told.
    pub fn stopped(&mut self) -> Option<MarkName> {
        let sample = self.played.position(self.clock)?;
        Some(MarkName { epoch: self.epoch, sample })
    }

    /// The next thing to write; whoever takes it writes it.
    pub fn poll(&mut self, now: Instant) -> Option<Play> {
        if std::mem::take(&mut self.clear_due) {
            return Some(Play::Clear);
        }
        if let Some(sample) = self.mark_due.take() {
            return Some(Play::Mark(MarkName { epoch: self.epoch, sample }));
        }
        let first = self.pieces.front()?.first_sample;
        let most = self.played.next_slice(first, now);
        let mulaw = self.take(most)?;
        let end = first.saturating_add(mulaw.len() as u64);
        self.played.write(first..end, now);
        self.mark_due = Some(end);
        Some(Play::Audio(mulaw))
    }

    /// Takes up to so many samples off the oldest piece.
    fn take(&mut self, most: usize) -> Option<Bytes> {
        let piece = self.pieces.front_mut()?;
        let mulaw = piece.mulaw.split_to(piece.mulaw.len().min(most));
        piece.first_sample = piece.first_sample.saturating_add(mulaw.len() as u64);
        self.queued_samples -= mulaw.len();
        self.pieces.pop_front_if(|piece| piece.mulaw.is_empty());
        Some(mulaw)
    }

    /// Whether the caller has heard everything.
    pub fn is_finished(&self) -> bool {
        self.pieces.is_empty() && self.mark_due.is_none() && self.played.is_heard_out()
    }

    /// How long it takes from `now` until all that is known has been played.
    pub fn remaining(&self, now: Instant) -> Duration {
        let buffered = self.played.until().map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        buffered + duration(self.queued_samples as u64)
    }

    /// Pieces of audio dropped since the last time this was asked: overflow, or of a foreign epoch.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
#[path = "playout_tests.rs"]
mod tests;
