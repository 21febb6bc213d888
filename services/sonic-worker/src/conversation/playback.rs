use std::time::{Duration, Instant};

const SAMPLES_PER_SECOND: u128 = 8_000;

/// The agent's audio on its way to the caller, by position and epoch, and how far the caller has heard it.
///
/// Between two of the edge's messages the audio plays on in real time, so [`Playback::position`] counts on from the last
/// one: no further than what had been sent when that message came, because what was sent later may have come too late to
/// be played without a gap. That does not count ahead of the caller, and falls short by the time a message takes to the
/// phone and back. Where the audio really stopped, the edge tells after a hush, when it has found out.
#[derive(Debug, Default)]
pub(super) struct Playback {
    epoch: u32,
    sent: u64,
    heard: u64,
    /// When the edge last told a position of this epoch, and what had been sent by then.
    told: Option<(Instant, u64)>,
    plays_until: Option<Instant>,
}

impl Playback {
    /// What audio that is sent now belongs to.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Audio goes to the edge; the position of its first sample.
    pub(super) fn send(&mut self, samples: usize, now: Instant) -> u64 {
        let first_sample = self.sent;
        self.sent += samples as u64;
        self.plays_until = Some(self.plays_until(now) + duration(samples as u64));
        first_sample
    }

    /// How much was sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// When all that was sent will have been played, if nothing holds it up.
    pub(super) fn plays_until(&self, now: Instant) -> Instant {
        self.plays_until.map_or(now, |until| until.max(now))
    }

    /// The caller has heard everything up to a sample. The position, no further than what was sent.
    pub(super) fn handle_heard(&mut self, sample: u64, epoch: u32, now: Instant) -> u64 {
        let sample = sample.min(self.sent);
        if epoch == self.epoch && sample > self.heard {
            self.heard = sample;
            self.told = Some((now, self.sent));
        }
        sample
    }

    /// How far the caller has heard at least, by what was told.
    pub(super) fn heard(&self) -> u64 {
        self.heard
    }

    /// How far the caller has heard at least, by what was told and the time since.
    pub(super) fn position(&self, now: Instant) -> u64 {
        let Some((told_at, sent)) = self.told else { return self.heard };
        let since = now.saturating_duration_since(told_at).as_micros() * SAMPLES_PER_SECOND / 1_000_000;
        self.heard.saturating_add(u64::try_from(since).unwrap_or(u64::MAX)).min(sent)
    }

    /// Nothing that was sent is played any more; the epoch that begins.
    pub(super) fn hush(&mut self) -> u32 {
        *self = Self { epoch: self.epoch + 1, sent: self.sent, heard: self.sent, told: None, plays_until: None };
        self.epoch
    }

    /// Whether the caller has heard all that the agent has said so far. Whether more is to come shows only by its coming:
    /// the end of a turn is not told before every tool request.
    pub(super) fn is_heard_out(&self) -> bool {
        self.heard >= self.sent
    }
}

fn duration(samples: u64) -> Duration {
    Duration::from_micros(samples.saturating_mul(125))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::tests::start;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn between_two_messages_the_position_moves_on_with_the_time() {
        let (mut playback, now) = (Playback::default(), start());
        playback.send(8_000, now);
        assert_eq!(playback.position(now + 500 * MS), 0, "nothing is known to have been played");
        playback.handle_heard(800, 0, now + 200 * MS);
        assert_eq!(playback.position(now + 300 * MS), 1_600);
        assert_eq!(playback.position(now + 5_000 * MS), 8_000, "no more was sent");
    }

    #[test]
    fn audio_that_was_sent_after_the_last_message_may_not_have_been_played_yet() {
        let (mut playback, now) = (Playback::default(), start());
        playback.send(800, now);
        playback.handle_heard(800, 0, now + 200 * MS);
        playback.send(8_000, now + 3_000 * MS);
        assert_eq!(playback.position(now + 3_100 * MS), 800);
    }

    #[test]
    fn a_position_of_an_older_epoch_or_beyond_what_was_sent_moves_nothing() {
        let (mut playback, now) = (Playback::default(), start());
        playback.send(800, now);
        assert_eq!(playback.handle_heard(u64::MAX, 0, now), 800);
        playback.hush();
        playback.send(800, now);
        playback.handle_heard(1_600, 0, now);
        assert!(!playback.is_heard_out());
        playback.handle_heard(1_600, 1, now);
        assert!(playback.is_heard_out());
    }
}
