use std::time::{Duration, Instant};

/// The model knows what the caller said only after a pause of up to 2 s and some time to understand; what comes later than
/// this is about something else.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);

/// Tells an interruption by nothing, such as a cough or an echo, from one by words.
///
/// The model stops for both (AWS, "Barge-in"), and after an interruption by nothing its transcript of the caller is empty
/// and it waits. An empty transcript alone means nothing: the model sends one before it answers a text, too.
#[derive(Debug, Default)]
pub(super) struct FalseAlarm {
    /// When the agent was cut off and has not been answered by anybody since.
    cut_off_at: Option<Instant>,
}

impl FalseAlarm {
    /// The model stopped because of the caller. `cut_off`: there was something left that the caller has not heard.
    pub(super) fn interrupted(&mut self, cut_off: bool, now: Instant) {
        // The signal may come twice; the second finds nothing left to cut off.
        if cut_off {
            self.cut_off_at = Some(now);
        }
    }

    /// The model has something else to say: the caller said words, it was told something, it speaks, or is another.
    pub(super) fn is_over(&mut self) {
        self.cut_off_at = None;
    }

    /// The model's transcript of the caller is empty. Whether the agent is to take up what it was saying; once.
    pub(super) fn caller_said_nothing(&mut self, now: Instant) -> bool {
        self.cut_off_at.take().is_some_and(|at| now.saturating_duration_since(at) < KNOWN_WITHIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[expect(clippy::disallowed_methods, reason = "an arbitrary point from which a test's time starts")]
    fn start() -> Instant {
        Instant::now()
    }

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
}
