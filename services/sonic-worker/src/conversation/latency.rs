//! How long the caller waits for an answer, and for whom: from the last sound of what the caller said, over the words that
//! the model recognised in it and the first audio of the answer, to the first sample of it that the caller heard.

use std::time::{Duration, Instant};

use crate::calls::Latency;

/// What is known before the agent answers.
#[derive(Debug, Default)]
pub(super) struct Waits {
    stopped: Option<Instant>,
    question: Option<Question>,
    /// When words or keys were complete last. A sound from before that belongs to them.
    complete: Option<Instant>,
    tool_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Question {
    /// When the caller's last sound of it was, where that is known.
    stopped: Option<Instant>,
    /// When its words were recognised, or its keys complete.
    complete: Instant,
    /// For how long tools have run since.
    tools: Duration,
}

impl Waits {
    /// The caller's last sound so far, or key.
    pub(super) fn caller_stopped(&mut self, at: Instant) {
        self.stopped = self.stopped.max(Some(at));
    }

    /// The caller's words or keys are complete. More of them before the answer makes one question of both.
    pub(super) fn asked(&mut self, now: Instant) {
        let before = self.question.take().and_then(|question| question.stopped);
        let sound = self.stopped.take().filter(|stopped| Some(*stopped) > self.complete);
        let stopped = sound.map(|stopped| stopped.min(now)).or(before);
        self.complete = Some(now);
        self.question = Some(Question { stopped, complete: now, tools: Duration::ZERO });
    }

    /// Whether any tool runs now.
    pub(super) fn tools_run(&mut self, any: bool, now: Instant) {
        if any {
            self.tool_since.get_or_insert(now);
        } else if let Some(since) = self.tool_since.take()
            && let Some(question) = &mut self.question
        {
            question.tools += question.since_complete(since, now);
        }
    }

    /// The agent's first audio after a question; `None` if it answers none.
    pub(super) fn answered(&mut self, now: Instant) -> Option<Wait> {
        let mut question = self.question.take()?;
        if let Some(since) = self.tool_since {
            question.tools += question.since_complete(since, now);
        }
        Some(Wait { question, first_audio: now, played: None })
    }
}

impl Question {
    fn since_complete(&self, since: Instant, now: Instant) -> Duration {
        now.saturating_duration_since(since.max(self.complete))
    }
}

/// The wait for one answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    question: Question,
    first_audio: Instant,
    played: Option<Instant>,
}

impl Wait {
    /// By now so many samples of the answer have been played. What tells that first tells most exactly when it began.
    pub(super) fn heard(&mut self, samples: u64, now: Instant) {
        if samples > 0 && self.played.is_none() {
            let lasted = Duration::from_micros(samples.saturating_mul(125));
            let began = now.checked_sub(lasted).unwrap_or(self.first_audio);
            self.played = Some(began.max(self.first_audio));
        }
    }

    /// `None` as long as nothing of the answer is known to have been played.
    pub(super) fn latency(&self) -> Option<Latency> {
        let Self { question, first_audio, played } = *self;
        let start = question.stopped.unwrap_or(question.complete);
        // Counted from the start, so that the parts add up to the millisecond.
        let until = |at: Instant| milliseconds(at.saturating_duration_since(start));
        let (complete, answered, total_ms) = (until(question.complete), until(first_audio), until(played?));
        let thought = answered.saturating_sub(complete);
        let tool_ms = milliseconds(question.tools).min(thought);
        Some(Latency {
            total_ms,
            endpointing_ms: question.stopped.map(|_| complete),
            model_ms: thought - tool_ms,
            tool_ms,
            own_ms: total_ms.saturating_sub(answered),
        })
    }
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::tests::start;

    const MS: Duration = Duration::from_millis(1);

    /// Total, endpointing, model, tool, own.
    fn parts(wait: &Wait) -> Option<(u32, Option<u32>, u32, u32, u32)> {
        let latency = wait.latency()?;
        Some((latency.total_ms, latency.endpointing_ms, latency.model_ms, latency.tool_ms, latency.own_ms))
    }

    #[test]
    fn a_wait_has_parts_that_add_up_to_what_the_caller_felt() {
        let (mut waits, now) = (Waits::default(), start());
        waits.caller_stopped(now);
        waits.asked(now + 1_800 * MS);
        waits.tools_run(true, now + 2_000 * MS);
        waits.tools_run(false, now + 2_300 * MS);
        let mut wait = waits.answered(now + 2_500 * MS).unwrap();
        assert_eq!(parts(&wait), None, "nobody has heard it");
        wait.heard(0, now + 2_600 * MS);
        wait.heard(800, now + 2_720 * MS);
        wait.heard(8_000, now + 9_000 * MS);
        assert_eq!(parts(&wait), Some((2_620, Some(1_800), 400, 300, 120)));
    }

    #[test]
    fn without_a_last_sound_the_wait_begins_with_the_words() {
        let (mut waits, now) = (Waits::default(), start());
        waits.asked(now);
        let mut wait = waits.answered(now + 450 * MS).unwrap();
        wait.heard(80, now + 500 * MS);
        assert_eq!(parts(&wait), Some((490, None, 450, 0, 40)));
        assert!(waits.answered(now + 600 * MS).is_none(), "a question is answered once");
    }

    #[test]
    fn words_that_come_in_two_pieces_are_one_question() {
        let (mut waits, now) = (Waits::default(), start());
        waits.caller_stopped(now);
        waits.asked(now + 1_000 * MS);
        waits.asked(now + 1_100 * MS);
        let mut wait = waits.answered(now + 1_500 * MS).unwrap();
        wait.heard(8, now + 1_501 * MS);
        assert_eq!(parts(&wait), Some((1_500, Some(1_100), 400, 0, 0)));
    }

    #[test]
    fn words_so_soft_that_no_sound_of_them_was_noticed_have_not_waited_since_the_last_question() {
        let (mut waits, now) = (Waits::default(), start());
        for asked_at in [now + 1_000 * MS, now + 60_000 * MS] {
            waits.caller_stopped(now);
            waits.asked(asked_at);
            let mut wait = waits.answered(asked_at + 500 * MS).unwrap();
            wait.heard(8, asked_at + 501 * MS);
            let endpointing = (asked_at == now + 1_000 * MS).then_some(1_000);
            assert_eq!(parts(&wait), Some((500 + endpointing.unwrap_or(0), endpointing, 500, 0, 0)));
        }
    }

    #[test]
    fn only_the_time_of_tools_that_the_answer_waited_for_is_theirs() {
        let (mut waits, now) = (Waits::default(), start());
        waits.tools_run(true, now);
        waits.asked(now + 1_000 * MS);
        waits.tools_run(true, now + 1_100 * MS);
        let mut wait = waits.answered(now + 1_300 * MS).unwrap();
        waits.tools_run(false, now + 5_000 * MS);
        wait.heard(8, now + 1_301 * MS);
        assert_eq!(parts(&wait), Some((300, None, 0, 300, 0)));
    }

    #[test]
    fn an_answer_is_never_played_before_it_is_there_nor_a_question_over_before_it_is_heard() {
        let (mut waits, now) = (Waits::default(), start());
        waits.caller_stopped(now + 1_500 * MS);
        waits.caller_stopped(now + 200 * MS);
        waits.asked(now + 1_000 * MS);
        let mut wait = waits.answered(now + 1_200 * MS).unwrap();
        wait.heard(u64::MAX, now + 1_210 * MS);
        assert_eq!(parts(&wait), Some((200, Some(0), 200, 0, 0)));
    }
}
