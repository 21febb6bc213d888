//! The account's queues (Twilio docs, `<Enqueue>`): made when the first call enters, first in first out.
//!
//! Pure: times are handed in.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use offhook_hosting::entropy::Entropy;

/// All queues of an account, by their names.
#[derive(Debug, Default)]
pub(super) struct Queues(BTreeMap<String, Queue>);

#[derive(Debug)]
struct Queue {
    sid: String,
    most: usize,
    waiting: Vec<(String, Instant)>,
    /// How many have left it, and how long they waited altogether.
    left: u32,
    waited: Duration,
}

/// What one who waits, or has left, is told of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::twilio) struct QueueView {
    /// `QU…`.
    pub(in crate::twilio) sid: String,
    /// From 1; 0 for who is not in it.
    pub(in crate::twilio) position: usize,
    pub(in crate::twilio) waited: Duration,
    /// Of those who have left.
    pub(in crate::twilio) average: Duration,
    pub(in crate::twilio) size: usize,
    pub(in crate::twilio) most: usize,
}

impl Queues {
    /// Enters a queue; an error if it is full.
    pub(super) fn enter(
        &mut self,
        name: &str,
        call_sid: &str,
        most: usize,
        now: Instant,
        entropy: &mut Entropy,
    ) -> Result<(), QueueView> {
        let queue = self.0.entry(name.to_owned()).or_insert_with(|| Queue {
            sid: format!("QU{:032x}", u128::from_be_bytes(entropy.bytes())),
            most,
            waiting: Vec::new(),
            left: 0,
            waited: Duration::ZERO,
        });
        queue.most = most;
        if queue.waiting.len() >= most {
            return Err(queue.view(call_sid, now));
        }
        queue.waiting.push((call_sid.to_owned(), now));
        Ok(())
    }

    /// How it stands for a call.
    pub(super) fn view(&self, name: &str, call_sid: &str, now: Instant) -> Option<QueueView> {
        Some(self.0.get(name)?.view(call_sid, now))
    }

    /// Leaves a queue. Gives how it stood.
    pub(super) fn leave(&mut self, name: &str, call_sid: &str, now: Instant) -> Option<QueueView> {
        let queue = self.0.get_mut(name)?;
        let view = queue.view(call_sid, now);
        if view.position > 0 {
            queue.waiting.retain(|(waiting, _)| waiting != call_sid);
            queue.left += 1;
            queue.waited += view.waited;
        }
        Some(view)
    }
}

impl Queue {
    fn view(&self, call_sid: &str, now: Instant) -> QueueView {
        let place = self.waiting.iter().position(|(waiting, _)| waiting == call_sid);
        let waited = place.map_or(Duration::ZERO, |place| now.duration_since(self.waiting[place].1));
        let average = if self.left == 0 { Duration::ZERO } else { self.waited / self.left };
        let (sid, size, most) = (self.sid.clone(), self.waiting.len(), self.most);
        QueueView { sid, position: place.map_or(0, |place| place + 1), waited, average, size, most }
    }
}

#[cfg(test)]
mod tests {
    use offhook_hosting::clock::Clock;

    use super::*;

    #[test]
    fn who_comes_first_stands_first_and_a_full_queue_takes_nobody() {
        let (mut queues, mut entropy, began) = (Queues::default(), Entropy::from_seed(1), Clock.now());
        let second = |seconds| began + Duration::from_secs(seconds);
        queues.enter("a", "one", 2, second(0), &mut entropy).unwrap();
        queues.enter("a", "two", 2, second(4), &mut entropy).unwrap();
        let full = queues.enter("a", "three", 2, second(5), &mut entropy).unwrap_err();
        assert_eq!((full.position, full.size, full.most), (0, 2, 2));
        let two = queues.view("a", "two", second(10)).unwrap();
        assert_eq!((two.position, two.waited.as_secs(), two.average.as_secs()), (2, 6, 0));
        assert_eq!(queues.leave("a", "one", second(10)).unwrap().waited.as_secs(), 10);
        let two = queues.view("a", "two", second(10)).unwrap();
        assert_eq!((two.position, two.size, two.average.as_secs()), (1, 1, 10));
        assert!(queues.enter("b", "three", 2, second(5), &mut entropy).is_ok(), "another queue is another");
        assert_eq!(queues.view("c", "one", began), None);
    }
}
