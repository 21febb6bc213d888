//! What a client that plays audio as it arrives has played: the service cannot know more than that.
//!
//! Pure. Decides whether sound of the caller is a barge-in, and which sentences are confirmed by a FINAL text.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Where an interruption struck a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The sentence's number in the session.
    pub(super) sentence: usize,
    /// How many of its samples were played.
    pub(super) at_sample: usize,
}

#[derive(Debug)]
struct Sentence {
    number: usize,
    text: String,
    /// When its first sample is played; none before there is one.
    begins: Option<Instant>,
    samples: usize,
    /// When its last sample was sent.
    sent: Option<Instant>,
}

/// The playout of one client, at 8 kHz.
#[derive(Debug)]
pub(super) struct Playout {
    /// From the end of a sentence's audio to its FINAL text, at least.
    confirm_after: Duration,
    until: Option<Instant>,
    /// Sentences without a FINAL text, oldest first.
    sentences: VecDeque<Sentence>,
}

impl Playout {
    pub(super) fn new(confirm_after: Duration) -> Self {
        Self { confirm_after, until: None, sentences: VecDeque::new() }
    }

    /// A sentence begins.
    pub(super) fn begin(&mut self, number: usize, text: String) {
        self.sentences.push_back(Sentence { number, text, begins: None, samples: 0, sent: None });
    }

    /// Audio of the current sentence was sent.
    pub(super) fn extend(&mut self, samples: usize, now: Instant) {
        let start = self.until.map_or(now, |until| until.max(now));
        self.until = Some(start + duration(samples));
        if let Some(sentence) = self.sentences.back_mut() {
            sentence.begins.get_or_insert(start);
            sentence.samples += samples;
        }
    }

    /// The current sentence is complete.
    pub(super) fn end(&mut self, now: Instant) {
        if let Some(sentence) = self.sentences.back_mut() {
            sentence.sent = Some(now);
        }
    }

    /// Says whether audio is being played.
    pub(super) fn is_playing(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// When the next sentence is to be confirmed.
    pub(super) fn poll_deadline(&self) -> Option<Instant> {
        let sentence = self.sentences.front()?;
        sentence.played_at().zip(sentence.sent).map(|(played, sent)| played.max(sent + self.confirm_after))
    }

    /// A sentence that is to be confirmed by now.
    pub(super) fn poll_confirmed(&mut self, now: Instant) -> Option<String> {
        self.poll_deadline().filter(|due| *due <= now)?;
        self.sentences.pop_front().map(|sentence| sentence.text)
    }

    /// A sentence that was played, confirmed early because the conversation goes on.
    pub(super) fn poll_played(&mut self, now: Instant) -> Option<String> {
        self.sentences.front()?.played_at().filter(|played| *played <= now)?;
        self.sentences.pop_front().map(|sentence| sentence.text)
    }

    /// The client stops playing. Sentences that were not played are never confirmed.
    pub(super) fn interrupt(&mut self, now: Instant) -> Vec<Cut> {
        self.until = None;
        self.sentences.drain(..).map(|sentence| sentence.cut(now)).collect()
    }
}

impl Sentence {
    /// When its last sample is played; none as long as more may come.
    fn played_at(&self) -> Option<Instant> {
        self.sent?;
        Some(self.begins? + duration(self.samples))
    }

    fn cut(&self, now: Instant) -> Cut {
        let played = self.begins.map_or(Duration::ZERO, |begins| now.saturating_duration_since(begins));
        let at_sample = (played.as_micros() as usize * 8 / 1000).min(self.samples);
        Cut { sentence: self.number, at_sample }
    }
}

/// How long samples at 8 kHz last.
fn duration(samples: usize) -> Duration {
    Duration::from_micros(samples as u64 * 125)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant cannot be invented; the tests only add to it")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Two sentences of 1 s each, sent within 500 ms.
    fn two_sentences() -> (Playout, Instant) {
        let now = Instant::now();
        let mut playout = Playout::new(3000 * MS);
        playout.begin(4, "a".into());
        playout.extend(8000, now);
        playout.end(now + 250 * MS);
        playout.begin(5, "b".into());
        playout.extend(8000, now + 250 * MS);
        playout.end(now + 500 * MS);
        (playout, now)
    }

    #[test]
    fn audio_plays_as_long_as_it_lasts_however_fast_it_came() {
        let (playout, now) = two_sentences();
        assert!(playout.is_playing(now + 1999 * MS));
        assert!(!playout.is_playing(now + 2000 * MS));
    }

    #[test]
    fn sentences_are_confirmed_late_and_in_order() {
        let (mut playout, now) = two_sentences();
        assert_eq!(playout.poll_deadline(), Some(now + 3250 * MS));
        assert_eq!(playout.poll_confirmed(now + 3249 * MS), None);
        assert_eq!(playout.poll_confirmed(now + 3250 * MS).as_deref(), Some("a"));
        assert_eq!(playout.poll_confirmed(now + 3250 * MS), None);
        assert_eq!(playout.poll_confirmed(now + 3500 * MS).as_deref(), Some("b"));
    }

    #[test]
    fn what_is_still_playing_is_not_confirmed_however_fast_the_model() {
        let now = Instant::now();
        let mut playout = Playout::new(MS);
        playout.begin(0, "a".into());
        playout.extend(8000, now);
        assert_eq!(playout.poll_deadline(), None);
        playout.end(now);
        assert_eq!(playout.poll_deadline(), Some(now + 1000 * MS));
    }

    #[test]
    fn an_interruption_cuts_what_was_not_played() {
        let (mut playout, now) = two_sentences();
        let at = now + 1500 * MS;
        assert_eq!(playout.poll_played(at).as_deref(), Some("a"));
        assert_eq!(playout.poll_played(at), None);
        assert_eq!(playout.interrupt(at), [Cut { sentence: 5, at_sample: 4000 }]);
        assert!(!playout.is_playing(at));
        assert_eq!(playout.poll_deadline(), None);
    }
}
