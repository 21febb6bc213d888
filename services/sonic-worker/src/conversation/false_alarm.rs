use std::time::{Duration, Instant};

/// The model knows what the caller said only after a pause of up to 2 s and some time to understand; what comes later than
/// this is about something else.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);

/// A text that was told is answered within this, and its answer may begin with an empty transcript of the caller.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// Tells an interruption by nothing, such as a cough or an echo, from one by words.
///
/// The model stops for both (AWS, "Barge-in"). After an interruption by nothing its transcript of the caller is empty, and it
/// waits. It stops for a text that it is told as well, and may give an empty transcript before it answers that.
#[derive(Debug, Default)]
pub(super) struct FalseAlarm {
    /// When the agent was cut off, as long as nobody has said anything since.
    cut_off_at: Option<Instant>,
    told_at: Option<Instant>,
}

impl FalseAlarm {
    /// The model stopped because of the caller. `cut_off`: there was something left that the caller has not heard.
    pub(super) fn interrupted(&mut self, cut_off: bool, now: Instant) {
        // The signal may come twice; the second finds nothing left to cut off.
        if cut_off {
            self.cut_off_at = Some(now);
        }
    }

    /// The caller's words are known, or the agent speaks again.
    pub(super) fn is_over(&mut self) {
        self.cut_off_at = None;
    }

    /// The model was told a text that it is to answer.
    pub(super) fn told(&mut self, now: Instant) {
        self.told_at = Some(now);
    }

    /// The model's transcript of the caller is empty. Whether the agent is to take up what it was saying; once.
    pub(super) fn caller_said_nothing(&mut self, now: Instant) -> bool {
        let since = |at: Instant| now.saturating_duration_since(at);
        let was_told = self.told_at.is_some_and(|at| since(at) < ANSWERED_WITHIN);
        self.cut_off_at.take().is_some_and(|at| since(at) < KNOWN_WITHIN) && !was_told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::tests::start;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn an_agent_that_was_cut_off_by_nothing_goes_on_once() {
        let (mut alarm, now) = (FalseAlarm::default(), start());
        alarm.interrupted(true, now);
        alarm.interrupted(false, now);
        assert!(alarm.caller_said_nothing(now + 2 * S));
        assert!(!alarm.caller_said_nothing(now + 2 * S));
    }

    #[test]
    fn an_empty_transcript_without_an_interruption_means_nothing() {
        let (mut alarm, now) = (FalseAlarm::default(), start());
        assert!(!alarm.caller_said_nothing(now));
        alarm.interrupted(false, now);
        assert!(!alarm.caller_said_nothing(now), "the caller had heard all there was");
    }

    #[test]
    fn words_an_answer_or_a_long_time_make_it_no_false_alarm() {
        let (mut alarm, now) = (FalseAlarm::default(), start());
        alarm.interrupted(true, now);
        alarm.is_over();
        assert!(!alarm.caller_said_nothing(now + S));
        alarm.interrupted(true, now);
        assert!(!alarm.caller_said_nothing(now + KNOWN_WITHIN));
    }

    #[test]
    fn who_stops_for_a_text_has_that_to_answer() {
        let (mut alarm, now) = (FalseAlarm::default(), start());
        alarm.told(now);
        alarm.interrupted(true, now + S / 10);
        assert!(!alarm.caller_said_nothing(now + S / 5));
        alarm.interrupted(true, now + 8 * S);
        assert!(alarm.caller_said_nothing(now + 10 * S), "that was answered long ago");
    }
}
