//! How far Twilio has played the audio of one epoch: told by its marks, and between two of them by its clock.
//!
//! Twilio plays 20 ms of the agent for every 20 ms of the caller that it sends, and what it sends arrives in order,
//! however late. So the samples of the caller are a clock that no network disturbs: as many of them as come after the echo
//! of a mark, so many of the agent were played meanwhile. Two things have to be watched:
//!
//! - Twilio may have run dry before it was given more. Where that is possible there is a *seam*: how far it has played
//!   beyond it is not known before the first mark behind the seam is back, which is why that mark comes soon.
//! - After a `clear` was written, Twilio goes on playing until it arrives, and then echoes all marks that are pending, as
//!   if they had been played. [`Cleared`] tells the echoes of the `clear` by their coming before they were due.
//!
//! Rather too little than too much is taken for played.

use std::{
    collections::VecDeque,
    ops::Range,
    time::{Duration, Instant},
};

/// Samples that Twilio plays at a time. 20 ms.
pub(super) const FRAME_SAMPLES: usize = 160;
/// Samples of a slice. 100 ms.
pub(super) const SLICE_SAMPLES: usize = 800;

/// Audio that is written this long before Twilio has played what was written earlier gets there in time.
const IN_TIME: Duration = Duration::from_millis(200);
/// What is written within so short a time travels together.
const TOGETHER: Duration = Duration::from_millis(5);
/// Marks from which the way between position and clock is known. The least of them counts, because the caller's audio can
/// only be late; few, because some of it may be missing.
const LEADS: usize = 8;
/// Seams that may wait to be played. More than that only gather where Twilio echoes nothing.
const SEAMS: usize = 256;
/// A mark may come back this much before it is due, if the order of what Twilio does within a frame is not always the same.
const EARLY: i128 = 2 * FRAME_SAMPLES as i128;

/// What was written of an epoch, and what of it was played.
#[derive(Debug, Default)]
pub(super) struct Played {
    written: Option<Range<u64>>,
    heard: Option<u64>,
    wrote_at: Option<Instant>,
    /// When Twilio will have played what was written.
    until: Option<Instant>,
    /// The seam behind which the caller is, and those to come.
    seam: u64,
    seams: VecDeque<u64>,
    /// By how much the last marks behind the seam were ahead of the clock when they came back.
    leads: VecDeque<i128>,
}

impl Played {
    /// How many of the samples from `first` on are to be written with a mark behind them.
    pub(super) fn next_slice(&mut self, first: u64, now: Instant) -> usize {
        let seam = self.newest_seam();
        if self.may_run_dry(first, now) {
            if self.seams.len() < SEAMS {
                self.seams.push_back(first);
            }
            return FRAME_SAMPLES;
        }
        // Twilio plays whole frames: a mark within one would say less than one at its end.
        SLICE_SAMPLES - (first.saturating_sub(seam) % FRAME_SAMPLES as u64) as usize
    }

    fn may_run_dry(&self, first: u64, now: Instant) -> bool {
        let follows = self.written.as_ref().is_some_and(|written| written.end == first);
        let in_time = self.until.is_some_and(|until| now + IN_TIME <= until);
        let together = self.wrote_at.is_some_and(|at| now <= at + TOGETHER);
        !(follows && (in_time || together))
    }

    fn newest_seam(&self) -> u64 {
        self.seams.back().copied().unwrap_or(self.seam)
    }

    /// Audio was written.
    pub(super) fn write(&mut self, span: Range<u64>, now: Instant) {
        let begins = self.until.map_or(now, |until| until.max(now));
        self.until = Some(begins + duration(span.end - span.start));
        self.wrote_at = Some(now);
        match &mut self.written {
            Some(written) => written.end = span.end,
            None => self.written = Some(span),
        }
    }

    /// When Twilio will have played what was written.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Up to where audio was written.
    pub(super) fn written(&self) -> Option<u64> {
        self.written.as_ref().map(|written| written.end)
    }

    /// Whether the caller has heard all that was written.
    pub(super) fn is_heard_out(&self) -> bool {
        self.heard == self.written()
    }

    /// Whether the echo of the mark behind `sample` could tell anything new.
    fn awaits(&self, sample: u64) -> bool {
        let written = self.written.as_ref().is_some_and(|written| written.start < sample && sample <= written.end);
        written && self.heard < Some(sample)
    }

    /// The mark behind `sample` came back because it was played. False if that is no news.
    pub(super) fn echoed(&mut self, sample: u64, clock: u64) -> bool {
        if !self.awaits(sample) {
            return false;
        }
        self.heard = Some(sample);
        while let Some(seam) = self.seams.pop_front_if(|seam| *seam < sample) {
            self.seam = seam;
            self.leads.clear();
        }
        if (sample - self.seam).is_multiple_of(FRAME_SAMPLES as u64) {
            if self.leads.len() == LEADS {
                self.leads.pop_front();
            }
            self.leads.push_back(i128::from(sample) - i128::from(clock));
        }
        true
    }

    /// By how much the mark behind `sample` comes before it is due; none if it is not known when it is due.
    fn early(&self, sample: u64, clock: u64) -> Option<i128> {
        let lead = self.leads.iter().min().filter(|_| self.seams.front().is_none_or(|seam| sample <= *seam))?;
        Some(i128::from(sample) - i128::from(clock) - lead)
    }

    /// Up to where Twilio has played when its clock shows this; none if no more is known than by the marks.
    pub(super) fn position(&mut self, clock: u64) -> Option<u64> {
        let last = self.seams.front().copied().or(self.written())?;
        let early = self.early(last, clock)?;
        let position = u64::try_from(i128::from(last) - early.max(0)).ok()?;
        let is_news = Some(position) > self.heard;
        is_news.then(|| *self.heard.insert(position))
    }
}

/// An epoch for which a `clear` was written and may not have arrived yet.
#[derive(Debug)]
pub(super) struct Cleared {
    pub(super) epoch: u32,
    played: Played,
    /// A mark of which it is not known yet whether it was played, and what the clock showed when it came back.
    doubted: Option<(u64, u64)>,
}

/// What an echo after a `clear` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// Nothing yet.
    Unclear,
    /// The audio was played up to here, and goes on.
    Played(u64),
    /// The `clear` has arrived. The audio was played up to here, if that is news.
    Over(Option<u64>),
}

impl Cleared {
    pub(super) fn new(epoch: u32, played: Played) -> Self {
        Self { epoch, played, doubted: None }
    }

    /// A mark of this epoch came back. One that was played comes when it is due; those that the `clear` flushed come all at
    /// once, and before.
    pub(super) fn echoed(&mut self, sample: u64, clock: u64) -> Late {
        if !self.played.awaits(sample) {
            return Late::Unclear;
        }
        let sure = self.settle_doubt(clock);
        if self.doubted.is_some() {
            return self.flushed(clock);
        }
        match self.played.early(sample, clock) {
            Some(early) if early <= 0 => {
                self.played.echoed(sample, clock);
                Late::Played(sample)
            }
            Some(early) if early > EARLY => self.flushed(clock).or(sure),
            Some(_) | None => {
                self.doubted = Some((sample, clock));
                sure.map_or(Late::Unclear, Late::Played)
            }
        }
    }

    /// The `clear` has arrived, at the latest now.
    pub(super) fn flushed(&mut self, clock: u64) -> Late {
        let sure = self.settle_doubt(clock);
        Late::Over(self.played.position(clock)).or(sure)
    }

    /// Twilio has gone on since the doubted mark came back, so it was not the `clear` that made it come.
    fn settle_doubt(&mut self, clock: u64) -> Option<u64> {
        let (sample, at) = self.doubted.take_if(|(_, at)| *at < clock)?;
        self.played.echoed(sample, at).then_some(sample)
    }
}

impl Late {
    /// What was learned on the way counts where nothing newer is known.
    fn or(self, sure: Option<u64>) -> Self {
        match self {
            Self::Over(position) => Self::Over(position.or(sure)),
            Self::Unclear | Self::Played(_) => self,
        }
    }
}

/// How long samples last.
pub(super) fn duration(samples: u64) -> Duration {
    Duration::from_micros(samples.saturating_mul(125))
}

#[cfg(test)]
#[path = "played_tests.rs"]
mod tests;
