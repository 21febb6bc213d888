//! What the account's REST interface knows: its calls, as they stand, and the debugger's list.
//!
//! Every call of a [`super::Twilio`] is entered here, however it came about, and leaves its codes. Only the newest are
//! kept. Times of day count on from when the ledger was opened with the monotonic clock, so that paused time moves them.

mod queues;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use offhook_hosting::{clock::Clock, entropy::Entropy};
use serde::Serialize;
use tokio::sync::{Notify, mpsc};

pub(super) use self::queues::QueueView;
use self::queues::Queues;
use super::{
    holdings::Holdings,
    report::{CallReport, Finding},
    resource::{CallStatus, Entry, Identity, rfc2822},
    sid::CallSid,
    twiml::Method,
    url::Url,
    webhook::AudioCache,
};

/// Calls that are remembered.
const CALLS: usize = 10_000;
/// Lines of the debugger that are remembered.
const LINES: usize = 10_000;
/// Reports that wait to be taken; each may hold a call's sound.
const REPORTS: usize = 100;

/// TwiML, or where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Url { url: Url, method: Method },
    Twiml(String),
}

/// What a live call is to do instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redirection {
    pub(super) source: Source,
    /// Takes the place of the fallback that the call had.
    pub(super) fallback: Option<(Url, Method)>,
}

/// What the REST interface does to a live call.
#[derive(Clone, Debug)]
pub(super) enum Update {
    /// What the call is doing is abandoned for this.
    Redirect(Box<Redirection>),
    /// The call is to end: what has not been answered is taken back.
    End,
    /// The call is taken back unless it was answered.
    Cancel,
    /// This media stream is to stop; the call goes on.
    StopStream(String),
}

/// A media stream that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StreamUp {
    pub(super) sid: String,
    pub(super) name: Option<String>,
}

/// A line of the account's debugger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoggedCode {
    /// See [`super::codes`].
    pub code: u32,
    /// When, as Twilio writes it: RFC 2822.
    pub date: String,
    /// Which call, if it is about one.
    pub call_sid: Option<String>,
    /// Which of its streams, if it is about one.
    pub stream_sid: Option<String>,
    /// What exactly.
    pub detail: String,
}

struct Record {
    entry: Entry,
    updates: mpsc::Sender<Update>,
    stream: Option<StreamUp>,
}

#[derive(Default)]
struct Books {
    calls: BTreeMap<String, Record>,
    order: VecDeque<String>,
    debugger: VecDeque<LoggedCode>,
    reports: VecDeque<CallReport>,
    queues: Queues,
}

/// The account's books.
pub(super) struct Ledger {
    clock: Clock,
    opened: (Instant, Timestamp),
    books: Mutex<Books>,
    holdings: Mutex<Holdings>,
    changed: Notify,
    /// What its calls have played.
    pub(super) audio: AudioCache,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("calls", &self.books().calls.len()).finish_non_exhaustive()
    }
}

impl Ledger {
    pub(super) fn open(clock: Clock) -> Self {
        Self {
            clock,
            opened: (clock.now(), clock.wall()),
            books: Mutex::default(),
            holdings: Mutex::default(),
            changed: Notify::new(),
            audio: AudioCache::default(),
        }
    }

    /// The time of day.
    pub(super) fn wall(&self) -> Timestamp {
        let since = self.clock.now().duration_since(self.opened.0);
        let since = SignedDuration::try_from(since).unwrap_or(SignedDuration::MAX);
        self.opened.1.saturating_add(since).unwrap_or(Timestamp::MAX)
    }

    /// Enters a call. What comes back is how it learns of updates.
    pub(super) fn enter(&self, identity: Identity, status: CallStatus, queue_time: Duration) -> mpsc::Receiver<Update> {
        // Nobody updates a call more often than it looks, every 20 ms; who does is told to come back.
        let (updates, receiver) = mpsc::channel(8);
        let now = self.wall();
        let sid = identity.call_sid.to_string();
        let entry = Entry::new(identity, status, queue_time, now);
        let mut books = self.books();
        if books.order.len() == CALLS
            && let Some(oldest) = books.order.pop_front()
        {
            books.calls.remove(&oldest);
        }
        books.order.push_back(sid.clone());
        books.calls.insert(sid, Record { entry, updates, stream: None });
        receiver
    }

    /// Every call that is not over is to end.
    pub(super) fn end_all(&self) {
        // A call whose updates are all waiting to be seen, or that is over, is left alone.
        self.books().calls.values().for_each(|record| drop(record.updates.try_send(Update::End)));
    }

    /// The call got on. What is over stays as it is.
    pub(super) fn move_to(&self, call_sid: &CallSid, status: CallStatus) {
        let now = self.wall();
        if let Some(record) = self.books().calls.get_mut(call_sid.as_str()) {
            record.entry.move_to(status, now);
        }
        self.changed.notify_waiters();
    }

    pub(super) fn answered_by(&self, call_sid: &CallSid, who: &'static str) {
        if let Some(record) = self.books().calls.get_mut(call_sid.as_str()) {
            record.entry.answered_by(who);
        }
    }

    /// The call, and where updates of it go.
    pub(super) fn find(&self, call_sid: &str) -> Option<(Entry, mpsc::Sender<Update>)> {
        self.books().calls.get(call_sid).map(|record| (record.entry.clone(), record.updates.clone()))
    }

    /// All calls that are remembered, the newest first.
    pub(super) fn newest_first(&self) -> Vec<Entry> {
        let books = self.books();
        books.order.iter().rev().filter_map(|sid| Some(books.calls.get(sid)?.entry.clone())).collect()
    }

    /// Forgets a call.
    pub(super) fn delete(&self, call_sid: &str) {
        let mut books = self.books();
        books.calls.remove(call_sid);
        books.order.retain(|sid| sid != call_sid);
    }

    /// The media stream of a call.
    pub(super) fn stream_of(&self, call_sid: &str) -> Option<StreamUp> {
        self.books().calls.get(call_sid)?.stream.clone()
    }

    /// A call's media stream is up, or over.
    pub(super) fn set_stream(&self, call_sid: &str, stream: Option<StreamUp>) {
        if let Some(record) = self.books().calls.get_mut(call_sid) {
            record.stream = stream;
        }
        self.changed.notify_waiters();
    }

    /// Returns when this stream is not up any longer.
    pub(super) async fn stream_over(&self, call_sid: &str, stream_sid: &str) {
        let up = |books: &Books| books.calls.get(call_sid)?.stream.as_ref().map(|stream| stream.sid == stream_sid);
        self.until(|books| (up(books) != Some(true)).then_some(())).await;
    }

    /// Returns when the call is over, or not known.
    pub(super) async fn over(&self, call_sid: &str) {
        self.until(|books| books.calls.get(call_sid).is_none_or(|record| record.entry.status.is_over()).then_some(()))
            .await;
    }

    /// Enters a queue; an error if it is full.
    pub(super) fn enter_queue(
        &self,
        name: &str,
        call_sid: &CallSid,
        most: usize,
        entropy: &mut Entropy,
    ) -> Result<(), QueueView> {
        self.books().queues.enter(name, call_sid.as_str(), most, self.clock.now(), entropy)
    }

    /// How a queue stands for a call.
    pub(super) fn view_queue(&self, name: &str, call_sid: &CallSid) -> Option<QueueView> {
        self.books().queues.view(name, call_sid.as_str(), self.clock.now())
    }

    /// Leaves a queue. Gives how it stood.
    pub(super) fn leave_queue(&self, name: &str, call_sid: &CallSid) -> Option<QueueView> {
        self.books().queues.leave(name, call_sid.as_str(), self.clock.now())
    }

    /// What the account has besides its calls.
    pub(super) fn holdings(&self) -> MutexGuard<'_, Holdings> {
        self.holdings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line into the debugger.
    pub(super) fn log(&self, call_sid: Option<&str>, stream_sid: Option<&str>, finding: &Finding) {
        let line = LoggedCode {
            code: finding.code,
            date: rfc2822(self.wall()),
            call_sid: call_sid.map(str::to_owned),
            stream_sid: stream_sid.map(str::to_owned),
            detail: finding.detail.clone(),
        };
        let mut books = self.books();
        if books.debugger.len() == LINES {
            books.debugger.pop_front();
        }
        books.debugger.push_back(line);
    }

    /// The debugger's list, oldest first.
    pub(super) fn debugger(&self) -> Vec<LoggedCode> {
        self.books().debugger.iter().cloned().collect()
    }

    /// Leaves the report of a call for whoever asks for it.
    pub(super) fn leave_report(&self, report: CallReport) {
        let mut books = self.books();
        if books.reports.len() == REPORTS {
            books.reports.pop_front();
        }
        books.reports.push_back(report);
        drop(books);
        self.changed.notify_waiters();
    }

    /// Waits for a report and takes it.
    pub(super) async fn take_report(&self, call_sid: &str) -> CallReport {
        self.until(|books| {
            let position = books.reports.iter().position(|report| report.call_sid == call_sid)?;
            books.reports.remove(position)
        })
        .await
    }

    async fn until<T>(&self, mut found: impl FnMut(&mut Books) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            if let Some(found) = found(&mut self.books()) {
                return found;
            }
            changed.await;
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
