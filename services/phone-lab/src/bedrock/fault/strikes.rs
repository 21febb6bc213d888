//! When the faults of one session strike.
//!
//! Pure: tell it what the session sent, read and heard; what strikes then is handed out, once each.

use std::time::{Duration, Instant};

use super::{ExceptionKind, Fault, Moment, Quirk, texts::CONTENT_FILTER};

/// The faults that one session has ahead of it.
#[derive(Debug, Default)]
pub(in super::super) struct Strikes {
    ahead: Vec<Ahead>,
    sent: u32,
    read: u32,
}

/// A fault, and where its moment counts from.
#[derive(Debug)]
struct Ahead {
    fault: Fault,
    /// None before the response.
    since: Option<Instant>,
    sent: u32,
    read: u32,
}

impl Strikes {
    /// These faults' moments count from the start of the session.
    pub(in super::super) fn new(faults: Vec<Fault>) -> Self {
        let ahead = faults.into_iter().map(|fault| Ahead { fault, since: None, sent: 0, read: 0 });
        Self { ahead: ahead.collect(), ..Self::default() }
    }

    /// One more fault, whose moment counts from now.
    pub(in super::super) fn add(&mut self, fault: Fault, now: Instant) {
        self.ahead.push(Ahead { fault, since: Some(now), sent: self.sent, read: self.read });
    }

    /// The session is never answered.
    pub(in super::super) fn never_answers(&self) -> bool {
        self.faults().any(|fault| *fault == Fault::NeverAnswer)
    }

    /// How much later than usual it is answered.
    pub(in super::super) fn answer_delay(&self) -> Duration {
        let delay = |fault: &Fault| if let Fault::SlowAnswer(delay) = fault { Some(*delay) } else { None };
        self.faults().filter_map(delay).sum()
    }

    /// How the whole session is odd.
    pub(in super::super) fn quirks(&self) -> Vec<Quirk> {
        let quirk = |fault: &Fault| if let Fault::Quirk(quirk) = fault { Some(*quirk) } else { None };
        self.faults().filter_map(quirk).collect()
    }

    /// The response has begun.
    pub(in super::super) fn answered(&mut self, now: Instant) {
        self.ahead.iter_mut().for_each(|ahead| ahead.since = ahead.since.or(Some(now)));
    }

    /// One more event was sent; says what strikes right after it.
    pub(in super::super) fn sent(&mut self, is_audio: bool) -> Option<Fault> {
        self.sent += 1;
        let sent = self.sent;
        self.take(|ahead, moment| match moment {
            Moment::AfterSent(count) => sent - ahead.sent == count,
            Moment::FirstAudio => is_audio,
            Moment::After(_) | Moment::AfterRead(_) => false,
        })
    }

    /// One more event of the client was read.
    pub(in super::super) fn read(&mut self) -> Option<Fault> {
        self.read += 1;
        let read = self.read;
        self.take(|ahead, moment| matches!(moment, Moment::AfterRead(count) if read - ahead.read == count))
    }

    /// The caller said, or the client wrote, something.
    pub(in super::super) fn understood(&mut self, text: &str) -> Option<Fault> {
        let text = text.to_lowercase();
        let blocks = |fault: &Fault| matches!(fault, Fault::ContentFilter(word) if text.contains(&word.to_lowercase()));
        let at = self.faults().position(blocks)?;
        self.ahead.remove(at);
        let (kind, message) = (ExceptionKind::Validation, CONTENT_FILTER.into());
        Some(Fault::Exception { kind, message, at: Moment::After(Duration::ZERO) })
    }

    /// When the next strikes by the clock.
    pub(in super::super) fn poll_deadline(&self) -> Option<Instant> {
        self.ahead.iter().filter_map(Ahead::due).min()
    }

    /// What strikes by now, by the clock.
    pub(in super::super) fn poll_due(&mut self, now: Instant) -> Option<Fault> {
        self.take(|ahead, _| ahead.due().is_some_and(|due| due <= now))
    }

    fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.ahead.iter().map(|ahead| &ahead.fault)
    }

    fn take(&mut self, strikes: impl Fn(&Ahead, Moment) -> bool) -> Option<Fault> {
        let strikes = |ahead: &Ahead| ahead.fault.moment().is_some_and(|moment| strikes(ahead, moment));
        let at = self.ahead.iter().position(strikes)?;
        Some(self.ahead.remove(at).fault)
    }
}

impl Ahead {
    /// When it strikes, if the clock says that.
    fn due(&self) -> Option<Instant> {
        match self.fault.moment()? {
            Moment::After(delay) => self.since?.checked_add(delay),
            Moment::FirstAudio | Moment::AfterSent(_) | Moment::AfterRead(_) => None,
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant cannot be invented; the tests only add to it")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_fault_strikes_once_at_its_moment() {
        let faults = ["reset@sent:2", "end@read:3", "freeze@10ms", "drop"].map(|fault| fault.parse().unwrap());
        let mut strikes = Strikes::new(faults.into());
        let now = Instant::now();
        assert_eq!((strikes.poll_deadline(), strikes.poll_due(now)), (None, None));
        strikes.answered(now);
        assert_eq!(strikes.poll_deadline(), Some(now + 10 * MS));
        assert_eq!((strikes.sent(false), strikes.sent(true)), (None, Some(Fault::ResetStream(Moment::AfterSent(2)))));
        assert_eq!(strikes.sent(true), Some(Fault::DropConnection(Moment::FirstAudio)));
        assert_eq!((strikes.read(), strikes.read()), (None, None));
        assert_eq!(strikes.read(), Some(Fault::EndStream(Moment::AfterRead(3))));
        assert_eq!(strikes.poll_due(now + 9 * MS), None);
        assert_eq!(strikes.poll_due(now + 10 * MS), Some(Fault::Freeze(Moment::After(10 * MS))));
        assert_eq!(strikes.poll_deadline(), None);
    }

    #[test]
    fn the_moment_of_a_fault_that_is_added_counts_from_there() {
        let mut strikes = Strikes::default();
        let now = Instant::now();
        strikes.answered(now);
        assert_eq!((strikes.sent(true), strikes.read()), (None, None));
        for fault in ["reset@sent:2", "end@read:1", "freeze@10ms", "drop@first-audio"] {
            strikes.add(fault.parse().unwrap(), now + 5 * MS);
        }
        assert_eq!(strikes.read(), Some(Fault::EndStream(Moment::AfterRead(1))));
        assert_eq!(strikes.sent(true), Some(Fault::DropConnection(Moment::FirstAudio)));
        assert_eq!(strikes.sent(false), Some(Fault::ResetStream(Moment::AfterSent(2))));
        assert_eq!(strikes.poll_due(now + 14 * MS), None);
        assert_eq!(strikes.poll_due(now + 15 * MS), Some(Fault::Freeze(Moment::After(10 * MS))));
    }

    #[test]
    fn the_content_filter_strikes_on_its_word_in_whatever_case() {
        let mut strikes = Strikes::new(vec!["content-filter=Bomb".parse().unwrap()]);
        assert_eq!(strikes.understood("a balloon"), None);
        let Some(Fault::Exception { message, .. }) = strikes.understood("a BOMB!") else { panic!("no exception") };
        assert_eq!(message, CONTENT_FILTER);
        assert_eq!(strikes.understood("a bomb"), None);
    }

    #[test]
    fn answers_are_late_or_missing_and_sessions_odd() {
        let faults = ["slow-answer=2s", "padding", "odd-marker"].map(|fault| fault.parse().unwrap());
        let strikes = Strikes::new(faults.into());
        assert_eq!((strikes.answer_delay(), strikes.never_answers()), (2000 * MS, false));
        assert_eq!(strikes.quirks(), [Quirk::Padding, Quirk::OddMarker]);
        assert!(Strikes::new(vec![Fault::NeverAnswer]).never_answers());
    }
}
