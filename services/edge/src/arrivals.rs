//! Calls that were taken and whose media socket is on its way.
//!
//! Between the document that connects a call and the socket that Twilio opens for it, nothing of the call is alive here:
//! an edge that went away in that moment would lose the caller.

use std::time::Duration;

use offhook_hosting::lifecycle::Lifecycle;

use crate::{awaited::Awaited, twilio::sid::CallSid};

/// Twilio opens the socket well within a second. What takes longer has hung up, or opened it at another edge.
pub const HOLD: Duration = Duration::from_secs(5);
/// Calls that a drain waits for. More of them in a few seconds are still taken, but not waited for.
pub const CAPACITY: usize = 1024;

/// The sockets that are due.
#[derive(Clone, Debug, Default)]
pub struct Arrivals(Awaited<()>);

impl Arrivals {
    /// Counts `call` among the lifecycle's live tasks until its socket is opened, for at most [`HOLD`] and not beyond the
    /// hard stop.
    pub fn expect(&self, call: &CallSid, lifecycle: &Lifecycle) {
        if self.0.count() >= CAPACITY {
            return;
        }
        let (mut due, hard_stop) = (self.0.expect(call), lifecycle.hard_stop().clone());
        lifecycle.tasks().spawn(async move {
            tokio::select! {
                () = due.happened() => {}
                () = hard_stop.cancelled() => {}
                () = tokio::time::sleep(HOLD) => {}
            }
        });
    }

    /// How many sockets are due.
    pub fn count(&self) -> usize {
        self.0.count()
    }

    /// The socket of `call` is being opened, and counted as live by itself.
    pub fn opened(&self, call: &CallSid) {
        self.0.happened(call);
    }
}

#[cfg(test)]
mod tests {
    use offhook_hosting::{clock::Clock, lifecycle::Drained};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn call(number: usize) -> CallSid {
        format!("CA{number:032}").parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_waits_for_a_socket_that_is_due_but_not_for_long() {
        let (arrivals, lifecycle, before) = (Arrivals::default(), Lifecycle::default(), Clock.now());
        arrivals.expect(&call(1), &lifecycle);
        lifecycle.soft_stop().cancel();
        assert_eq!(lifecycle.drain(LONG).await, Drained::Whole);
        assert_eq!(Clock.now() - before, HOLD);
        assert_eq!(arrivals.count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_was_opened_or_is_not_wanted_any_more_holds_nothing() {
        for is_opened in [true, false] {
            let (arrivals, lifecycle, before) = (Arrivals::default(), Lifecycle::default(), Clock.now());
            arrivals.expect(&call(1), &lifecycle);
            lifecycle.soft_stop().cancel();
            if is_opened {
                arrivals.opened(&call(1));
            } else {
                lifecycle.hard_stop().cancel();
            }
            lifecycle.drain(LONG).await;
            assert_eq!(Clock.now(), before, "{is_opened}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_calls_does_not_pile_up() {
        let (arrivals, lifecycle) = (Arrivals::default(), Lifecycle::default());
        for number in 0..=CAPACITY {
            arrivals.expect(&call(number), &lifecycle);
        }
        assert_eq!((arrivals.count(), lifecycle.tasks().len()), (CAPACITY, CAPACITY));
    }
}
