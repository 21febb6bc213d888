//! What goes from a leg to its worker, in order.
//!
//! Audio is bounded: when the worker does not take it in time, the oldest is dropped and counted, and the gap shows in
//! the sample positions. Everything else is kept.

use std::collections::VecDeque;

use bytes::Bytes;
use offhook_proto::voice::v1::{CallerAudio, Digit, Ended, EndedReason, FromEdge, Heard, from_edge::Message};

/// One second of audio: later than that, it no longer is a conversation.
pub const CAPACITY_SAMPLES: usize = 8000;

/// The queue of one leg.
#[derive(Debug, Default)]
pub struct Uplink {
    queue: VecDeque<Message>,
    queued_samples: usize,
    next_sample: u64,
    dropped: u64,
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
    pub fn push_digit(&mut self, digit: String) {
        self.queue.push_back(Message::Digit(Digit { digit }));
    }

    /// The caller has heard the agent this far. Only the newest of several positions in a row is kept.
    pub fn push_heard(&mut self, sample: u64, epoch: u32) {
        if let Some(Message::Heard(last)) = self.queue.back_mut() {
            *last = Heard { sample, epoch };
        } else {
            self.queue.push_back(Message::Heard(Heard { sample, epoch }));
        }
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

    fn drop_oldest_audio(&mut self) {
        let oldest = self.queue.iter().position(|message| matches!(message, Message::Audio(_)));
        if let Some(message) = oldest.and_then(|at| self.queue.remove(at)) {
            self.queued_samples -= samples(&message);
            self.dropped += 1;
        }
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
        uplink.push_digit("1".to_owned());
        for fill in 0..53 {
            uplink.push_audio(frame(fill));
        }
        assert_eq!((uplink.take_dropped(), uplink.take_dropped()), (3, 0));
        let messages = drain(&mut uplink);
        assert_eq!(messages[0], Message::Digit(Digit { digit: "1".to_owned() }));
        assert_eq!(messages[1], Message::Audio(CallerAudio { first_sample: 480, mulaw: frame(3) }));
        assert_eq!(messages.len(), 51);
    }

    #[test]
    fn positions_heard_in_a_row_become_one() {
        let mut uplink = Uplink::default();
        uplink.push_heard(800, 0);
        uplink.push_heard(1600, 0);
        uplink.push_digit("2".to_owned());
        uplink.push_heard(2400, 0);
        let heard = |sample| Message::Heard(Heard { sample, epoch: 0 });
        assert_eq!(drain(&mut uplink), [heard(1600), Message::Digit(Digit { digit: "2".to_owned() }), heard(2400)]);
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
