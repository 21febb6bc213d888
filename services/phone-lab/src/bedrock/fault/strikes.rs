//! When the faults of one session strike.
//!
//! Pure: tell it what the session sent, read and heard; what strikes then is handed out, once each.

use std::time::{Duration, Instant};

use super::{ExceptionKind, Fault, Moment, Quirk, texts::CONTENT_FILTER};

/// The faults that one session has ahead of it.
#[derive(Debug, Default)]
pub(in super::super) struct Strikes {
    faults: Vec<Fault>,
    sent: u32,
    read: u32,
    answered: Option<Instant>,
}

impl Strikes {
    pub(in super::super) fn new(faults: Vec<Fault>) -> Self {
        Self { faults, ..Self::default() }
    }

    /// The session is never answered.
    pub(in super::super) fn never_answers(&self) -> bool {
        self.faults.contains(&Fault::NeverAnswer)
    }

    /// How much later than usual it is answered.
    pub(in super::super) fn answer_delay(&self) -> Duration {
        let delay = |fault: &Fault| if let Fault::SlowAnswer(delay) = fault { Some(*delay) } else { None };
        self.faults.iter().filter_map(delay).sum()
    }

    /// How the whole session is odd.
    pub(in super::super) fn quirks(&self) -> Vec<Quirk> {
        let quirk = |fault: &Fault| if let Fault::Quirk(quirk) = fault { Some(*quirk) } else { None };
        self.faults.iter().filter_map(quirk).collect()
    }

    /// The response has begun.
    pub(in super::super) fn answered(&mut self, now: Instant) {
        self.answered = Some(now);
    }

    /// One more event was sent; says what strikes right after it.
    pub(in super::super) fn sent(&mut self, is_audio: bool) -> Option<Fault> {
        self.sent += 1;
        let sent = self.sent;
        self.take(|moment| moment == Moment::AfterSent(sent) || is_audio && moment == Moment::FirstAudio)
    }

    /// One more event of the client was read.
    pub(in super::super) fn read(&mut self) -> Option<Fault> {
        self.read += 1;
        let read = self.read;
        self.take(|moment| moment == Moment::AfterRead(read))
    }

    /// The caller said, or the client wrote, something.
    pub(in super::super) fn understood(&mut self, text: &str) -> Option<Fault> {
        let text = text.to_lowercase();
        let blocks = |fault: &Fault| matches!(fault, Fault::ContentFilter(word) if text.contains(&word.to_lowercase()));
        let at = self.faults.iter().position(blocks)?;
        self.faults.remove(at);
        let (kind, message) = (ExceptionKind::Validation, CONTENT_FILTER.into());
        Some(Fault::Exception { kind, message, at: Moment::After(Duration::ZERO) })
    }

    /// When the next strikes by the clock.
    pub(in super::super) fn poll_deadline(&self) -> Option<Instant> {
        let answered = self.answered?;
        let delay = |fault: &Fault| match fault.moment()? {
            Moment::After(delay) => Some(answered + delay),
            Moment::FirstAudio | Moment::AfterSent(_) | Moment::AfterRead(_) => None,
        };
        self.faults.iter().filter_map(delay).min()
    }

    /// What strikes by now, by the clock.
    pub(in super::super) fn poll_due(&mut self, now: Instant) -> Option<Fault> {
        let since = now.checked_duration_since(self.answered?)?;
        self.take(|moment| matches!(moment, Moment::After(delay) if delay <= since))
    }

    fn take(&mut self, strikes: impl Fn(Moment) -> bool) -> Option<Fault> {
        let at = self.faults.iter().position(|fault| fault.moment().is_some_and(&strikes))?;
        Some(self.faults.remove(at))
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
