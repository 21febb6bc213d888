use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use offhook_hosting::clock::Clock;

/// No edge takes a ticket that is older than a minute; clocks differ.
const REMEMBER: Duration = Duration::from_secs(180);
/// Beyond so many in three minutes the oldest are forgotten.
const CAPACITY: usize = 16_384;

/// The tickets that have opened a leg here, at whichever edge.
#[derive(Debug)]
pub(super) struct UsedTickets {
    clock: Clock,
    used: Mutex<HashMap<String, Instant>>,
}

impl UsedTickets {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, used: Mutex::default() }
    }

    /// Whether the ticket opens a leg; it opens no other one then. A leg without a ticket is not checked.
    pub(super) fn admit(&self, ticket: &str) -> bool {
        if ticket.is_empty() {
            return true;
        }
        let now = self.clock.now();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.contains_key(ticket) {
            return false;
        }
        if used.len() >= CAPACITY {
            used.retain(|_, since| now.saturating_duration_since(*since) < REMEMBER);
        }
        if used.len() >= CAPACITY
            && let Some(oldest) = used.iter().min_by_key(|(_, since)| **since).map(|(ticket, _)| ticket.clone())
        {
            used.remove(&oldest);
        }
        used.insert(ticket.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ticket_opens_one_leg_and_tickets_do_not_pile_up() {
        let tickets = UsedTickets::new(Clock);
        assert!(tickets.admit("a") && !tickets.admit("a"));
        assert!(tickets.admit("") && tickets.admit(""), "not checked");
        tokio::time::advance(Duration::from_secs(1)).await;
        (0..CAPACITY).for_each(|nth| assert!(tickets.admit(&nth.to_string())));
        assert_eq!(tickets.used.lock().unwrap().len(), CAPACITY);
        assert!(tickets.admit("a"), "the oldest was forgotten");
        tokio::time::advance(REMEMBER).await;
        assert!(tickets.admit("b"));
        assert_eq!(tickets.used.lock().unwrap().len(), 1);
    }
}
