//! One direction of a connection: what is on its way, in its order, and when each piece of it is due.
//!
//! Pure: the time since the connection was made is an argument. What is on its way is bounded, so whoever sends faster
//! than it arrives has to wait, as with a TCP window.

use std::{collections::VecDeque, time::Duration};

use bytes::{Buf, Bytes};

use super::schedule::Schedule;

/// The most that is on its way.
const WINDOW: usize = 256 * 1024;
/// The least that may be, however slow the line.
const NARROWEST: usize = 4 * 1024;

#[derive(Debug)]
pub(super) struct Lane {
    schedule: Schedule,
    pieces: VecDeque<Piece>,
    in_flight: usize,
    window: usize,
    /// When the end arrives, once there is one.
    end: Option<Duration>,
    over: bool,
}

#[derive(Debug)]
struct Piece {
    due: Duration,
    bytes: Bytes,
}

impl Lane {
    pub(super) fn new(schedule: Schedule) -> Self {
        // A second's worth.
        let window = schedule.rate().map_or(WINDOW, |rate| rate.bytes_in(Duration::from_secs(1)));
        let window = window.clamp(NARROWEST, WINDOW);
        Self { schedule, pieces: VecDeque::new(), in_flight: 0, window, end: None, over: false }
    }

    /// How much may be sent now. After the end anything may, to be lost.
    pub(super) fn room(&self) -> usize {
        if self.end.is_some() { self.window } else { self.window - self.in_flight.min(self.window) }
    }

    /// Takes what was sent. The sender keeps to [`Lane::room`].
    pub(super) fn send(&mut self, bytes: &[u8], now: Duration) {
        if self.end.is_some() {
            return;
        }
        let mut bytes = Bytes::copy_from_slice(bytes);
        self.in_flight += bytes.len();
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(self.schedule.piece()));
            let due = self.schedule.arrival(now, piece.len());
            self.pieces.push_back(Piece { due, bytes: piece });
        }
    }

    /// The sender will send no more: the end arrives after everything else.
    pub(super) fn end(&mut self, now: Duration) {
        if self.end.is_none() {
            self.end = Some(self.schedule.arrival(now, 0));
        }
    }

    /// The receiver is gone: everything is lost.
    pub(super) fn abandon(&mut self) {
        self.pieces.clear();
        self.in_flight = 0;
        self.end.get_or_insert(Duration::ZERO);
        self.over = true;
    }

    /// What has arrived; empty if nothing has.
    pub(super) fn arrived(&self, now: Duration) -> &[u8] {
        self.pieces.front().filter(|piece| piece.due <= now).map_or(&[], |piece| &piece.bytes)
    }

    /// The receiver took so much of it.
    pub(super) fn taken(&mut self, bytes: usize) {
        let Some(piece) = self.pieces.front_mut() else { return };
        let bytes = bytes.min(piece.bytes.len());
        piece.bytes.advance(bytes);
        self.in_flight -= bytes;
        if piece.bytes.is_empty() {
            self.pieces.pop_front();
        }
    }

    /// Says, once, that the end has arrived.
    pub(super) fn poll_end(&mut self, now: Duration) -> bool {
        let ended = !self.over && self.pieces.is_empty() && self.end.is_some_and(|end| end <= now);
        self.over |= ended;
        ended
    }

    /// Nothing comes any more.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// When the next piece or the end is due.
    pub(super) fn due(&self) -> Option<Duration> {
        let end = self.end.filter(|_| !self.over);
        self.pieces.front().map(|piece| piece.due).or(end)
    }

    /// When everything that is on its way will have arrived.
    pub(super) fn empty_at(&self) -> Option<Duration> {
        self.end.or_else(|| self.pieces.back().map(|piece| piece.due))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prop_assert, prop_assert_eq, proptest};

    use super::{super::schedule::Plan, *};

    const MS: Duration = Duration::from_millis(1);

    fn lane(text: &str) -> Lane {
        Lane::new(Plan::new(&text.parse().unwrap(), 4).to)
    }

    /// Takes everything that has arrived.
    fn take(lane: &mut Lane, now: Duration) -> Vec<u8> {
        let mut taken = Vec::new();
        while !lane.arrived(now).is_empty() {
            let bytes = lane.arrived(now).to_vec();
            lane.taken(bytes.len());
            taken.extend(bytes);
        }
        taken
    }

    #[test]
    fn bytes_arrive_when_they_are_due_and_the_end_after_them() {
        let mut lane = lane("delay=40ms");
        lane.send(b"one", MS * 10);
        lane.end(MS * 20);
        assert_eq!((take(&mut lane, MS * 49), lane.due()), (vec![], Some(MS * 50)));
        assert!(!lane.poll_end(MS * 60), "the end has to wait for what comes before it");
        assert_eq!(take(&mut lane, MS * 50), b"one");
        assert_eq!((lane.poll_end(MS * 59), lane.due()), (false, Some(MS * 60)));
        assert!(lane.poll_end(MS * 60) && !lane.poll_end(MS * 61) && lane.is_over());
        assert_eq!(lane.due(), None);
        lane.send(b"too late", MS * 70);
        assert_eq!(take(&mut lane, MS * 1000), b"");
    }

    #[test]
    fn a_slow_reader_leaves_a_second_of_room_and_takes_no_more_than_its_rate() {
        let mut lane = lane("rate=64kbit");
        assert_eq!(lane.room(), 8000);
        lane.send(&vec![7; lane.room()], Duration::ZERO);
        assert_eq!(lane.room(), 0);
        assert_eq!(take(&mut lane, MS * 100).len(), 800);
        assert_eq!(lane.room(), 800, "what was taken makes room, nothing else does");
        assert_eq!(take(&mut lane, MS * 1000).len(), 7200);
    }

    #[test]
    fn a_receiver_that_is_gone_takes_everything_with_it() {
        let mut lane = lane("delay=40ms");
        lane.send(b"lost", Duration::ZERO);
        lane.abandon();
        assert!(lane.is_over() && !lane.poll_end(MS * 100) && lane.arrived(MS * 100).is_empty());
        assert!(lane.room() > 0, "whoever goes on sending is not held up");
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_invented_or_out_of_its_order(
            sends in vec((0u32..200, 0usize..3000), 1..60),
            takes in vec(1usize..700, 1..40),
        ) {
            let mut lane = lane("delay=20ms,jitter=50ms,burst=100ms/500ms,rate=100kbit");
            let window = lane.room();
            let (mut now, mut sent, mut got) = (Duration::ZERO, Vec::new(), Vec::new());
            let mut takes = takes.into_iter().cycle();
            for (gap, size) in sends {
                now += MS * gap;
                let bytes: Vec<u8> = (0..size.min(lane.room())).map(|n| ((sent.len() + n) % 251) as u8).collect();
                lane.send(&bytes, now);
                sent.extend(bytes);
                let arrived = lane.arrived(now);
                let took = arrived.len().min(takes.next().unwrap());
                got.extend_from_slice(&arrived[..took]);
                lane.taken(took);
                prop_assert!(sent.len() - got.len() + lane.room() == window);
            }
            lane.end(now);
            while let Some(due) = lane.due() {
                now = now.max(due);
                got.extend(take(&mut lane, now));
                lane.poll_end(now);
            }
            prop_assert_eq!(got, sent);
        }
    }
}
