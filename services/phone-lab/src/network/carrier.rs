//! The network in the middle of one connection: a task that owns the socket and carries bytes both ways on schedule.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use offhook_hosting::clock::Clock;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, WriteHalf, split},
    net::TcpStream,
    time::sleep_until,
};
use tokio_util::sync::CancellationToken;

use super::{
    cut::{How, Moment},
    lane::Lane,
    report::Record,
    schedule::Plan,
};

/// The most that is read in one go.
const READ: usize = 16 * 1024;
/// How long what has arrived may wait for a receiver once the connection is closing.
const LINGER: Duration = Duration::from_secs(5);

/// The socket to what is under test.
pub(super) trait Far: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Ends the connection with a reset.
    fn reset(self);
}

impl Far for TcpStream {
    fn reset(self) {
        // Dropping a socket that does not linger resets the connection. One that cannot be told so is over already.
        let _ = self.set_zero_linger();
    }
}

/// What the lab's end of the connection and the network share.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) record: Arc<Record>,
    /// The lab has dropped its end.
    pub(super) gone: CancellationToken,
    /// Whether that is to reset the connection.
    pub(super) abrupt: Arc<AtomicBool>,
    /// The protocol above is to say goodbye.
    pub(super) goodbye: CancellationToken,
}

pub(super) struct Carrier {
    to: Lane,
    from: Lane,
    cut: Option<(How, Moment)>,
    ends: Ends,
    clock: Clock,
    /// From here on it is only waited for what is on its way, and not for ever.
    closing: Option<Duration>,
    lab_is_gone: bool,
    open: Open,
}

/// Who may still say something.
struct Open {
    near: bool,
    far: bool,
}

/// What happened next.
enum Event {
    Said(io::Result<usize>),
    Answered(io::Result<usize>),
    Delivered(io::Result<usize>),
    Returned(io::Result<usize>),
    LabGone,
    Due,
}

impl Carrier {
    pub(super) fn new(plan: Plan, ends: Ends, clock: Clock) -> Self {
        let Plan { to, from, cut } = plan;
        let open = Open { near: true, far: true };
        Self { to: Lane::new(to), from: Lane::new(from), cut, ends, clock, closing: None, lab_is_gone: false, open }
    }

    /// Carries until both ways have ended, the lab's end is gone and what it said has arrived, or the connection is
    /// cut.
    pub(super) async fn run<S: Far>(mut self, far: S, near: DuplexStream) {
        let ((mut far_reads, mut far_writes), (mut near_reads, mut near_writes)) = (split(far), split(near));
        let (mut said, mut answered) = (vec![0; READ], vec![0; READ]);
        loop {
            let now = self.now();
            if self.strikes(now) == Some(How::Reset) || self.is_dropped_abruptly() {
                self.ends.record.reset.store(true, Ordering::Relaxed);
                far_reads.unsplit(far_writes).reset();
                break;
            }
            self.pass_ends_on(now, &mut far_writes, &mut near_writes).await;
            if self.is_over(now) {
                break;
            }
            let (room, space) = (self.to.room().min(READ), self.from.room().min(READ));
            let (deliver, hand_back) = (self.within_cut(self.to.arrived(now)), self.within_cut(self.from.arrived(now)));
            let wake = self.wake_at(now);
            let wake_up = sleep_until((self.ends.record.opened + wake.unwrap_or_default()).into());
            let event = tokio::select! {
                biased;
                () = self.ends.gone.cancelled(), if !self.lab_is_gone => Event::LabGone,
                written = far_writes.write(deliver), if !deliver.is_empty() => Event::Delivered(written),
                written = near_writes.write(hand_back), if !hand_back.is_empty() => Event::Returned(written),
                read = near_reads.read(&mut said[..room]), if self.open.near && room > 0 => Event::Said(read),
                read = far_reads.read(&mut answered[..space]), if self.open.far && space > 0 => Event::Answered(read),
                () = wake_up, if wake.is_some() => Event::Due,
            };
            self.on(event, &said, &answered);
        }
        let _ = self.ends.record.over.set(self.now());
    }

    fn now(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.ends.record.opened)
    }

    fn is_dropped_abruptly(&self) -> bool {
        self.lab_is_gone && self.ends.abrupt.load(Ordering::Relaxed)
    }

    fn on(&mut self, event: Event, said: &[u8], answered: &[u8]) {
        let now = self.now();
        match event {
            Event::Said(Ok(bytes)) if bytes > 0 => self.to.send(&said[..bytes], now),
            Event::Said(_) => {
                self.open.near = false;
                self.to.end(now);
            }
            Event::Answered(Ok(bytes)) if bytes > 0 => self.from.send(&answered[..bytes], now),
            Event::Answered(ended) => {
                self.open.far = false;
                self.from.end(now);
                if ended.is_err() {
                    self.ends.record.reset.store(true, Ordering::Relaxed);
                    self.to.abandon();
                }
            }
            Event::Delivered(Ok(bytes)) => {
                self.to.taken(bytes);
                self.ends.record.to.fetch_add(bytes as u64, Ordering::Relaxed);
            }
            Event::Delivered(Err(_)) => self.to.abandon(),
            Event::Returned(Ok(bytes)) => {
                self.from.taken(bytes);
                self.ends.record.from.fetch_add(bytes as u64, Ordering::Relaxed);
            }
            Event::Returned(Err(_)) => self.from.abandon(),
            Event::LabGone => {
                self.from.abandon();
                self.lab_is_gone = true;
                self.closing.get_or_insert(now);
            }
            Event::Due => {}
        }
    }

    /// What strikes now, if something does. Once.
    fn strikes(&mut self, now: Duration) -> Option<How> {
        let (how, moment) = self.cut?;
        let due = match moment {
            Moment::At(time) => time <= now,
            Moment::AfterBytes(bytes) => bytes <= self.carried(),
        };
        if !due {
            return None;
        }
        self.cut = None;
        let _ = self.ends.record.cut.set(now);
        match how {
            How::Reset => {}
            How::Finish => {
                self.to.end(now);
                self.from.end(now);
                self.closing.get_or_insert(now);
            }
            How::Close(_) | How::GoAway => self.ends.goodbye.cancel(),
        }
        Some(how)
    }

    fn carried(&self) -> u64 {
        let Record { to, from, .. } = &*self.ends.record;
        to.load(Ordering::Relaxed) + from.load(Ordering::Relaxed)
    }

    /// So much of it as may pass before the cut.
    fn within_cut<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        match self.cut {
            Some((How::Reset | How::Finish, Moment::AfterBytes(limit))) => {
                let left = usize::try_from(limit.saturating_sub(self.carried())).unwrap_or(usize::MAX);
                &bytes[..bytes.len().min(left)]
            }
            Some(_) | None => bytes,
        }
    }

    async fn pass_ends_on<S: Far>(
        &mut self,
        now: Duration,
        far: &mut WriteHalf<S>,
        near: &mut WriteHalf<DuplexStream>,
    ) {
        // An end that cannot be told is known already.
        if self.to.poll_end(now) {
            let _ = far.shutdown().await;
        }
        if self.from.poll_end(now) {
            let _ = near.shutdown().await;
        }
    }

    fn is_over(&self, now: Duration) -> bool {
        let carried = self.to.is_over() && self.from.is_over();
        carried || self.closing.is_some_and(|since| now >= self.patience_ends(since))
    }

    fn patience_ends(&self, since: Duration) -> Duration {
        self.to.empty_at().unwrap_or_default().max(since) + LINGER
    }

    /// When something is due that is not due yet.
    fn wake_at(&self, now: Duration) -> Option<Duration> {
        let cut = match self.cut {
            Some((_, Moment::At(time))) => Some(time),
            Some((_, Moment::AfterBytes(_))) | None => None,
        };
        let closing = self.closing.map(|since| self.patience_ends(since));
        [self.to.due(), self.from.due(), cut, closing].into_iter().flatten().filter(|due| *due > now).min()
    }
}

#[cfg(test)]
mod tests;
