//! What goes from a leg to its worker, in order.
//!
//! Audio is bounded: when the worker does not take it in time, the oldest is dropped and counted, and the gap shows in
//! the sample positions. Keys are bounded as well: the first ones are kept, in order. Everything else is kept; it cannot
//! become much, because positions heard in a row become one.

use std::{collections::VecDeque, fmt};

use bytes::Bytes;
use offhook_proto::voice::v1::{CallerAudio, Digit, Ended, EndedReason, FromEdge, Heard, from_edge::Message};

use crate::twilio::frame::Key;

/// Three seconds of audio: what a caller says while a worker opens a session, with a retry. Later than that, it no longer
/// is a conversation.
pub const CAPACITY_SAMPLES: usize = 24_000;
/// Keys that may wait: more than any menu or card number asks for.
pub const CAPACITY_KEYS: usize = 64;

/// The queue of one leg. What the caller says and presses shows itself in no log.
#[derive(Default)]
pub struct Uplink {
    queue: VecDeque<Message>,
    queued_samples: usize,
    queued_keys: usize,
    next_sample: u64,
    dropped: u64,
    keys_dropped: u64,
}

impl Uplink {
    /// The caller's next samples. Numbered from 0 by what arrived, whether it is delivered or not.
    pub fn push_audio(&mut self, mulaw: Bytes) {
        if mulaw.is_empty() {
            return;
        }
        let first_sample = self.next_sample;
        self.next_sample += mulaw.len() as u64;
        self.queued_samples += mulaw.len();
        self.queue.push_back(Message::Audio(CallerAudio { first_sample, mulaw }));
        while self.queued_samples > CAPACITY_SAMPLES {
            self.drop_oldest_audio();
        }
    }

    /// The caller pressed a key.
    pub fn push_key(&mut self, key: Key) {
        if self.queued_keys == CAPACITY_KEYS {
            self.keys_dropped += 1;
            return;
        }
        self.queued_keys += 1;
        self.queue.push_back(Message::Digit(Digit { digit: char::from(key).into() }));
    }

    /// The caller has heard the agent this far. Only the newest of several positions of an epoch in a row is kept.
    pub fn push_heard(&mut self, sample: u64, epoch: u32) {
        self.queue.push_back(Message::Heard(Heard { sample, epoch }));
        self.merge_heard(self.queue.len() - 1);
    }

    /// The leg is over: audio that was not delivered is of no use any more.
    pub fn end(&mut self, reason: EndedReason) {
        self.queue.retain(|message| !matches!(message, Message::Audio(_)));
        self.queued_samples = 0;
        self.queue.push_back(Message::Ended(Ended { reason: reason.into() }));
    }

    /// The next message.
    pub fn pop(&mut self) -> Option<FromEdge> {
        let message = self.queue.pop_front()?;
        self.queued_samples -= samples(&message);
        self.queued_keys -= usize::from(matches!(message, Message::Digit(_)));
        Some(FromEdge { message: Some(message) })
    }

    /// Whether there is a next message.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Audio messages dropped since the last time this was asked.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Keys dropped since the last time this was asked.
    pub fn take_keys_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.keys_dropped)
    }

    fn drop_oldest_audio(&mut self) {
        let Some(at) = self.queue.iter().position(|message| matches!(message, Message::Audio(_))) else { return };
        self.queued_samples -= self.queue.remove(at).as_ref().map_or(0, samples);
        self.dropped += 1;
        self.merge_heard(at);
    }

    /// Forgets the message before `at` if both are positions of one epoch: the newer says it all.
    fn merge_heard(&mut self, at: usize) {
        let position = |at: usize| match self.queue.get(at) {
            Some(Message::Heard(heard)) => Some(heard.epoch),
            Some(Message::Start(_) | Message::Audio(_) | Message::Digit(_) | Message::Ended(_)) | None => None,
        };
        if let Some(before) = at.checked_sub(1)
            && position(at).is_some()
            && position(at) == position(before)
        {
            self.queue.remove(before);
        }
    }
}

impl fmt::Debug for Uplink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uplink").field("queued", &self.queue.len()).finish_non_exhaustive()
    }
}

fn samples(message: &Message) -> usize {
    match message {
        Message::Audio(audio) => audio.mulaw.len(),
        Message::Start(_) | Message::Digit(_) | Message::Heard(_) | Message::Ended(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(fill: u8) -> Bytes {
        Bytes::from(vec![fill; 160])
    }

    fn key(digit: &str) -> Key {
        digit.parse().unwrap()
    }

    fn heard(sample: u64, epoch: u32) -> Message {
        Message::Heard(Heard { sample, epoch })
    }

    fn drain(uplink: &mut Uplink) -> Vec<Message> {
        std::iter::from_fn(|| uplink.pop()?.message).collect()
    }

    #[test]
    fn audio_is_numbered_from_zero_in_the_order_it_came() {
        let mut uplink = Uplink::default();
        uplink.push_audio(frame(1));
        uplink.push_audio(Bytes::new());
        uplink.push_audio(frame(2));
        let audio = |first_sample, fill| Message::Audio(CallerAudio { first_sample, mulaw: frame(fill) });
        assert_eq!(drain(&mut uplink), [audio(0, 1), audio(160, 2)]);
    }

    #[test]
    fn a_worker_that_does_not_listen_loses_the_oldest_audio_but_no_control() {
        let mut uplink = Uplink::default();
        uplink.push_key(key("1"));
        for fill in 0..153 {
            uplink.push_audio(frame(fill));
        }
        assert_eq!((uplink.take_dropped(), uplink.take_dropped()), (3, 0));
        let messages = drain(&mut uplink);
        assert_eq!(messages[0], Message::Digit(Digit { digit: "1".to_owned() }));
        assert_eq!(messages[1], Message::Audio(CallerAudio { first_sample: 480, mulaw: frame(3) }));
        assert_eq!(messages.len(), 151);
    }

    #[test]
    fn positions_heard_in_a_row_become_one() {
        let mut uplink = Uplink::default();
        uplink.push_heard(800, 0);
        uplink.push_heard(1600, 0);
        uplink.push_key(key("2"));
        uplink.push_heard(2400, 0);
        let pressed = Message::Digit(Digit { digit: "2".to_owned() });
        assert_eq!(drain(&mut uplink), [heard(1600, 0), pressed, heard(2400, 0)]);
    }

    #[test]
    fn what_was_heard_before_a_hush_is_not_replaced_by_what_was_heard_after_it() {
        let mut uplink = Uplink::default();
        uplink.push_heard(800, 0);
        uplink.push_heard(1600, 1);
        uplink.push_heard(2400, 1);
        assert_eq!(drain(&mut uplink), [heard(800, 0), heard(2400, 1)]);
    }

    #[test]
    fn positions_become_one_when_the_audio_between_them_is_dropped() {
        let mut uplink = Uplink::default();
        for position in 0..500 {
            uplink.push_audio(frame(0));
            uplink.push_heard(position, 0);
        }
        let messages = drain(&mut uplink);
        assert_eq!(messages.iter().filter(|message| matches!(message, Message::Heard(_))).count(), 151);
        assert_eq!((&messages[0], messages.last()), (&heard(349, 0), Some(&heard(499, 0))));
    }

    #[test]
    fn of_too_many_keys_the_first_are_kept_in_order() {
        let mut uplink = Uplink::default();
        uplink.push_key(key("#"));
        for _ in 0..CAPACITY_KEYS {
            uplink.push_key(key("1"));
        }
        assert_eq!((uplink.take_keys_dropped(), uplink.take_keys_dropped()), (1, 0));
        let first = uplink.pop().unwrap().message;
        assert_eq!(first, Some(Message::Digit(Digit { digit: "#".to_owned() })));
        uplink.push_key(key("2"));
        assert_eq!(uplink.take_keys_dropped(), 0, "there is room again");
        let keys = drain(&mut uplink);
        assert_eq!((keys.len(), keys.last()), (64, Some(&Message::Digit(Digit { digit: "2".to_owned() }))));
    }

    #[test]
    fn debug_shows_no_key() {
        let mut uplink = Uplink::default();
        uplink.push_key(key("7"));
        assert!(!format!("{uplink:?}").contains('7'), "{uplink:?}");
    }

    #[test]
    fn the_end_overtakes_audio_but_not_what_was_heard() {
        let mut uplink = Uplink::default();
        uplink.push_audio(frame(1));
        uplink.push_heard(800, 0);
        uplink.end(EndedReason::Stopped);
        let ended = Message::Ended(Ended { reason: EndedReason::Stopped.into() });
        assert_eq!(drain(&mut uplink), [Message::Heard(Heard { sample: 800, epoch: 0 }), ended]);
        assert!(uplink.is_empty());
    }
}
