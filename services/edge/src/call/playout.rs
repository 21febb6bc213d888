//! The agent's voice on its way to the caller, and how far the caller has heard it.
//!
//! Audio is cut into slices with a mark behind each, named `{epoch}:{sample_end}`. Twilio echoes a mark when the audio
//! before it was played, and also when a `clear` flushed it (Twilio docs, "Media Streams - WebSocket Messages"): the two
//! echoes look the same. So a `clear` begins a new epoch, and echoes of older ones prove nothing.
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

/// Samples of a slice: how finely it is known what the caller heard. 100 ms.
pub const SLICE_SAMPLES: usize = 800;
/// Samples that may wait for a slow socket. One minute.
pub const CAPACITY_SAMPLES: usize = 60 * SAMPLES_PER_SECOND as usize;

const SAMPLES_PER_SECOND: u64 = 8000;

/// The agent's side of one leg.
#[derive(Debug, Default)]
pub struct Playout {
    epoch: u32,
    clear_due: bool,
    slices: VecDeque<Slice>,
    queued_samples: usize,
    mark_due: Option<u64>,
    /// End of the newest slice written in this epoch.
    sent: Option<u64>,
    /// Newest position of this epoch that the caller has heard.
    heard: Option<u64>,
    /// When Twilio will have played what was written.
    played_at: Option<Instant>,
    dropped: u64,
}

#[derive(Debug)]
struct Slice {
    end: u64,
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
        let (mut rest, mut end) = (speak.mulaw, speak.first_sample);
        while !rest.is_empty() {
            let mulaw = rest.split_to(rest.len().min(SLICE_SAMPLES));
            end = end.saturating_add(mulaw.len() as u64);
            self.queued_samples += mulaw.len();
            self.slices.push_back(Slice { end, mulaw });
        }
        while self.queued_samples > CAPACITY_SAMPLES {
            let oldest = self.slices.pop_front().expect("queued samples are in slices");
            self.queued_samples -= oldest.mulaw.len();
            self.dropped += 1;
        }
    }

    /// The caller interrupted: forgets what is queued and has Twilio forget what it buffers. False, and without effect,
    /// when `epoch` is no new one.
    pub fn hush(&mut self, epoch: u32) -> bool {
        if epoch <= self.epoch {
            return false;
        }
        *self = Self { epoch, clear_due: true, dropped: self.dropped, ..Self::default() };
        true
    }

    /// A mark came back. The position that the caller is now known to have heard, if that is news.
    pub fn echoed(&mut self, name: &str) -> Option<MarkName> {
        let mark = MarkName::parse(name)?;
        let news = mark.epoch == self.epoch && self.sent >= Some(mark.sample) && self.heard < Some(mark.sample);
        news.then(|| {
            self.heard = Some(mark.sample);
            mark
        })
    }

    /// The next thing to write; whoever takes it writes it.
    pub fn poll(&mut self, now: Instant) -> Option<Play> {
        if std::mem::take(&mut self.clear_due) {
            return Some(Play::Clear);
        }
        if let Some(sample) = self.mark_due.take() {
            return Some(Play::Mark(MarkName { epoch: self.epoch, sample }));
        }
        let Slice { end, mulaw } = self.slices.pop_front()?;
        self.queued_samples -= mulaw.len();
        self.mark_due = Some(end);
        self.sent = Some(end);
        let begins = self.played_at.map_or(now, |at| at.max(now));
        self.played_at = Some(begins + duration(mulaw.len()));
        Some(Play::Audio(mulaw))
    }

    /// Whether the caller has heard everything.
    pub fn is_finished(&self) -> bool {
        self.slices.is_empty() && self.mark_due.is_none() && self.heard == self.sent
    }

    /// How long it takes from `now` until all that is known has been played.
    pub fn remaining(&self, now: Instant) -> Duration {
        let buffered = self.played_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        buffered + duration(self.queued_samples)
    }

    /// Pieces of audio dropped since the last time this was asked: overflow, or of a foreign epoch.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

fn duration(samples: usize) -> Duration {
    Duration::from_millis(samples as u64 * 1000 / SAMPLES_PER_SECOND)
}

#[cfg(test)]
#[path = "playout_tests.rs"]
mod tests;
