//! What the bridge did, by its own clock.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// What the bridge takes time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entry {
    /// From having read a webhook to having written the document.
    Webhook,
    /// From having accepted the media socket's connection to having written the 101.
    Socket,
    /// From having read `start` to having written the first audio.
    FirstAudio,
    /// From having read a frame of sound from the caller to its being taken by the SDK.
    There,
    /// From having a frame of sound from the SDK to having written it to the caller.
    Back,
    /// From having read the last frame of sound from the caller, which interrupts, to having written `clear`.
    Clear,
    /// How far the gap between two writes of audio was from 20 ms.
    Jitter,
}

/// The books. Durations are in milliseconds, as in the lab's report.
#[derive(Default)]
pub(crate) struct Books {
    took: Mutex<BTreeMap<Entry, Vec<Duration>>>,
    mangled: Mutex<u64>,
}

impl Books {
    pub(super) fn took(&self, entry: Entry, time: Duration) {
        self.entries().entry(entry).or_default().push(time);
    }

    pub(super) fn took_since(&self, entry: Entry, since: Instant) {
        self.took(entry, now() - since);
    }

    /// One more frame was not passed on as it came.
    pub(super) fn mangled_one(&self) {
        *self.mangled.lock().unwrap() += 1;
    }

    /// Frames that were not passed on as they came.
    pub(crate) fn mangled(&self) -> u64 {
        *self.mangled.lock().unwrap()
    }

    pub(crate) fn count(&self, entry: Entry) -> u64 {
        self.entries().get(&entry).map_or(0, Vec::len) as u64
    }

    /// The median: of an even number, the lower of the two in the middle.
    pub(crate) fn median(&self, entry: Entry) -> f64 {
        let mut times = self.entries().get(&entry).cloned().unwrap_or_default();
        times.sort_unstable();
        times[times.len().div_ceil(2) - 1].as_secs_f64() * 1000.0
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<Entry, Vec<Duration>>> {
        self.took.lock().unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "the bridge has a clock of its own")]
pub(super) fn now() -> Instant {
    Instant::now()
}
