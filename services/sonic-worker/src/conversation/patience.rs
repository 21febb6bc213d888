use std::time::{Duration, Instant};

use super::Limits;

/// Decides about a line on which nobody says anything, and about a call that goes on for too long.
///
/// [`Patience::due`] answers once for everything that is due; what is asked of the caller and what the caller does come in
/// by [`Patience::quiet_since`] and [`Patience::caller_is_there`].
#[derive(Debug)]
pub(super) struct Patience {
    ask_after: Duration,
    end_after: Duration,
    /// Since when nobody has said or done anything; `None` while somebody does.
    quiet_since: Option<Instant>,
    /// When the caller was asked; `None` once they have answered.
    asked_at: Option<Instant>,
    warning: Option<Warning>,
    time_up_at: Option<Instant>,
    is_over: bool,
}

/// When to tell that the time is nearly over: text that reaches the model while it speaks interrupts it.
#[derive(Clone, Copy, Debug)]
struct Warning {
    at: Instant,
    /// Whoever is speaking then.
    at_latest: Instant,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Have the agent ask whether the caller is still there.
    Ask,
    /// Nobody answered: end the call.
    End,
    /// Have the agent tell that the call ends soon.
    Warn {
        /// How soon.
        left: Duration,
    },
    /// The call has been as long as it may be: end it.
    TimeUp,
}

impl Patience {
    /// For a call that began at `started`. A duration too long to be reached switches its rule off.
    pub(super) fn new(limits: &Limits, started: Instant) -> Self {
        let Limits { silence_ask_after, silence_end_after, call_limit, call_limit_warning, .. } = *limits;
        let time_up_at = started.checked_add(call_limit);
        let warning = time_up_at.filter(|_| !call_limit_warning.is_zero()).map(|_| {
            let at = started + call_limit.saturating_sub(call_limit_warning);
            Warning { at, at_latest: at + call_limit.min(call_limit_warning) / 2 }
        });
        Self {
            ask_after: silence_ask_after,
            end_after: silence_end_after,
            quiet_since: None,
            asked_at: None,
            warning,
            time_up_at,
            is_over: false,
        }
    }

    /// Nobody says anything any more: the agent has been heard out, the caller is silent, no tool runs. Of times that come
    /// without a `None` between them, the first counts. `None`: somebody speaks, or something is being done.
    pub(super) fn quiet_since(&mut self, since: Option<Instant>) {
        self.quiet_since = since.map(|since| self.quiet_since.unwrap_or(since));
    }

    /// The caller said something or pressed a key. Noise without words is no sign of a caller.
    pub(super) fn caller_is_there(&mut self, now: Instant) {
        self.asked_at = None;
        self.quiet_since = self.quiet_since.map(|since| since.max(now));
    }

    /// When [`Patience::due`] has something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let silence = self.silence_is_due_at();
        let next = [silence, self.warning_is_due_at(), self.time_up_at];
        next.into_iter().flatten().min().filter(|_| !self.is_over)
    }

    /// What is due, the most pressing first; nothing after the end of the call is.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if self.is_over {
            return None;
        }
        if is_due(self.time_up_at) {
            self.is_over = true;
            return Some(Due::TimeUp);
        }
        if is_due(self.warning_is_due_at()) {
            self.warning = None;
            return self.time_up_at.map(|at| Due::Warn { left: at - now });
        }
        if !is_due(self.silence_is_due_at()) {
            return None;
        }
        if self.asked_at.is_some() {
            self.is_over = true;
            return Some(Due::End);
        }
        self.asked_at = Some(now);
        Some(Due::Ask)
    }

    fn silence_is_due_at(&self) -> Option<Instant> {
        let since = self.quiet_since?;
        match self.asked_at {
            None => since.checked_add(self.ask_after),
            Some(asked_at) => since.max(asked_at).checked_add(self.end_after),
        }
    }

    fn warning_is_due_at(&self) -> Option<Instant> {
        self.warning.map(|warning| if self.quiet_since.is_some() { warning.at } else { warning.at_latest })
    }
}

impl Due {
    /// What the model is told, which then says it to the caller in its own words. `None`: it has nothing to say any more.
    pub(super) fn told(self) -> Option<String> {
        match self {
            Self::Ask => Some("The caller has been silent for a while.".to_owned()),
            Self::Warn { left } => Some(format!("The call ends in {}.", in_words(left))),
            Self::End | Self::TimeUp => None,
        }
    }
}

fn in_words(left: Duration) -> String {
    match left.as_secs() {
        0..50 => "less than a minute".to_owned(),
        50..90 => "one minute".to_owned(),
        seconds => format!("{} minutes", (seconds + 30) / 60),
    }
}

#[cfg(test)]
mod tests {
    use offhook_hosting::entropy::Entropy;

    use super::*;
    use crate::conversation::tests::start;

    const S: Duration = Duration::from_secs(1);

    fn limits(ask_after: Duration, end_after: Duration, call_limit: Duration, call_limit_warning: Duration) -> Limits {
        Limits {
            silence_ask_after: ask_after,
            silence_end_after: end_after,
            call_limit,
            call_limit_warning,
            ..Limits::default()
        }
    }

    /// Asks after 10 s and ends after 15 s more; a call may last 600 s and is warned of it 60 s before.
    fn patience(started: Instant) -> Patience {
        Patience::new(&limits(10 * S, 15 * S, 600 * S, 60 * S), started)
    }

    #[test]
    fn after_a_while_the_caller_is_asked_once_and_then_the_call_ends() {
        let now = start();
        let mut patience = patience(now);
        patience.quiet_since(Some(now));
        assert_eq!((patience.deadline(), patience.due(now + 9 * S)), (Some(now + 10 * S), None));
        assert_eq!(patience.due(now + 10 * S), Some(Due::Ask));
        assert_eq!((patience.deadline(), patience.due(now + 10 * S)), (Some(now + 25 * S), None));
        assert_eq!(patience.due(now + 25 * S), Some(Due::End));
        assert_eq!((patience.deadline(), patience.due(now + 700 * S)), (None, None));
    }

    #[test]
    fn the_agent_that_asks_gets_its_time_but_does_not_begin_anew() {
        let now = start();
        let mut patience = patience(now);
        patience.quiet_since(Some(now));
        assert_eq!(patience.due(now + 10 * S), Some(Due::Ask));
        patience.quiet_since(None);
        assert_eq!(patience.due(now + 60 * S), None, "it is speaking");
        patience.quiet_since(Some(now + 60 * S));
        assert_eq!(patience.deadline(), Some(now + 75 * S));
        assert_eq!(patience.due(now + 75 * S), Some(Due::End));
    }

    #[test]
    fn a_word_or_a_key_of_the_caller_begins_anew_and_a_noise_does_not() {
        let now = start();
        let mut patience = patience(now);
        patience.quiet_since(Some(now));
        assert_eq!(patience.due(now + 10 * S), Some(Due::Ask));
        patience.quiet_since(None);
        patience.quiet_since(Some(now + 12 * S));
        assert_eq!(patience.deadline(), Some(now + 27 * S), "there was no word in it");
        patience.caller_is_there(now + 20 * S);
        assert_eq!(patience.deadline(), Some(now + 30 * S));
        assert_eq!(patience.due(now + 30 * S), Some(Due::Ask));
    }

    #[test]
    fn who_tells_again_and_again_that_it_is_quiet_puts_nothing_off() {
        let now = start();
        let mut patience = patience(now);
        (0..10).for_each(|second| patience.quiet_since(Some(now + second * S)));
        assert_eq!(patience.due(now + 10 * S), Some(Due::Ask));
    }

    #[test]
    fn a_call_is_warned_of_its_end_once_and_ended() {
        let now = start();
        let mut patience = patience(now);
        patience.quiet_since(Some(now + 539 * S));
        assert_eq!(patience.deadline(), Some(now + 540 * S));
        assert_eq!(patience.due(now + 540 * S), Some(Due::Warn { left: 60 * S }));
        patience.quiet_since(None);
        assert_eq!((patience.deadline(), patience.due(now + 599 * S)), (Some(now + 600 * S), None));
        assert_eq!(patience.due(now + 600 * S), Some(Due::TimeUp));
        assert_eq!((patience.deadline(), patience.due(now + 600 * S)), (None, None));
    }

    #[test]
    fn a_warning_waits_for_a_pause_but_not_for_long() {
        let now = start();
        let (mut paused, mut never) = (patience(now), patience(now));
        assert_eq!(paused.due(now + 545 * S), None, "somebody speaks");
        paused.quiet_since(Some(now + 550 * S));
        assert_eq!(paused.due(now + 550 * S), Some(Due::Warn { left: 50 * S }));
        assert_eq!(never.deadline(), Some(now + 570 * S));
        assert_eq!(never.due(now + 570 * S), Some(Due::Warn { left: 30 * S }));
    }

    #[test]
    fn rules_can_be_switched_off_and_a_warning_longer_than_the_call_comes_at_once() {
        let now = start();
        let mut endless = Patience::new(&limits(Duration::MAX, Duration::MAX, Duration::MAX, 60 * S), now);
        endless.quiet_since(Some(now));
        assert_eq!((endless.deadline(), endless.due(now + 1_000_000 * S)), (None, None));
        let mut unwarned = Patience::new(&limits(Duration::MAX, Duration::MAX, 60 * S, Duration::ZERO), now);
        assert_eq!((unwarned.deadline(), unwarned.due(now + 60 * S)), (Some(now + 60 * S), Some(Due::TimeUp)));
        let mut short = Patience::new(&limits(10 * S, 10 * S, 30 * S, 60 * S), now);
        short.quiet_since(Some(now));
        assert_eq!(short.due(now), Some(Due::Warn { left: 30 * S }));
    }

    #[test]
    fn the_model_is_told_what_is_the_case() {
        assert_eq!(Due::Ask.told().as_deref(), Some("The caller has been silent for a while."));
        for (seconds, words) in
            [(20, "less than a minute"), (60, "one minute"), (89, "one minute"), (90, "2 minutes"), (300, "5 minutes")]
        {
            let told = Due::Warn { left: seconds * S }.told().unwrap();
            assert_eq!(told, format!("The call ends in {words}."), "{seconds}");
        }
        assert_eq!((Due::End.told(), Due::TimeUp.told()), (None, None));
    }

    #[test]
    fn whatever_happens_there_is_something_to_do_at_the_deadline_and_nothing_before_it() {
        for seed in 0..2_000 {
            let mut dice = Entropy::from_seed(seed);
            let started = start();
            let mut duration = || S * dice.between(0, 30) as u32;
            let limits = limits(duration(), duration(), duration() * 4, duration());
            let mut patience = Patience::new(&limits, started);
            let mut now = started;
            let mut due = Vec::new();
            while let Some(deadline) = patience.deadline() {
                match dice.between(0, 6) {
                    0 => patience.quiet_since(Some(now)),
                    1 => patience.quiet_since(None),
                    2 => patience.caller_is_there(now),
                    3 if deadline > now => assert_eq!(patience.due(deadline.min(now + S) - S / 2), None, "seed {seed}"),
                    _ => {
                        now = now.max(deadline);
                        due.push(patience.due(now).unwrap_or_else(|| panic!("seed {seed}: nothing is due")));
                    }
                }
                now += S / 4;
            }
            let count = |what: fn(&Due) -> bool| due.iter().filter(|due| what(due)).count();
            assert_eq!(count(|due| matches!(due, Due::End | Due::TimeUp)), 1, "seed {seed}: {due:?}");
            assert!(count(|due| matches!(due, Due::Warn { .. })) <= 1, "seed {seed}: {due:?}");
        }
    }
}
