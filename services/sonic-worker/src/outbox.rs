//! What waits to be sent: control is kept, audio only as much as is of use.

use std::collections::VecDeque;

/// A queue that drops its oldest audio when there is too much, and never anything else.
#[derive(Debug)]
pub(crate) struct Outbox<T> {
    items: VecDeque<Item<T>>,
    audio: usize,
    most_audio: usize,
}

#[derive(Debug)]
enum Item<T> {
    Control(T),
    Audio { item: T, weight: usize },
}

impl<T> Outbox<T> {
    /// `most_audio` bounds the sum of the audio's weights.
    pub(crate) fn new(most_audio: usize) -> Self {
        Self { items: VecDeque::new(), audio: 0, most_audio }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Queues what must arrive.
    pub(crate) fn push(&mut self, item: T) {
        self.items.push_back(Item::Control(item));
    }

    /// Queues audio of a weight and says how many pieces had to go for it.
    pub(crate) fn push_audio(&mut self, item: T, weight: usize) -> usize {
        self.items.push_back(Item::Audio { item, weight });
        self.audio += weight;
        let mut dropped = 0;
        while self.audio > self.most_audio && self.drop_oldest_audio() {
            dropped += 1;
        }
        dropped
    }

    /// Forgets all audio.
    pub(crate) fn drop_audio(&mut self) {
        self.items.retain(|item| matches!(item, Item::Control(_)));
        self.audio = 0;
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        match self.items.pop_front()? {
            Item::Control(item) => Some(item),
            Item::Audio { item, weight } => {
                self.audio -= weight;
                Some(item)
            }
        }
    }

    fn drop_oldest_audio(&mut self) -> bool {
        let oldest = self.items.iter().position(|item| matches!(item, Item::Audio { .. }));
        match oldest.and_then(|at| self.items.remove(at)) {
            Some(Item::Audio { weight, .. }) => {
                self.audio -= weight;
                true
            }
            Some(Item::Control(_)) | None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut outbox: Outbox<&str>) -> Vec<&str> {
        std::iter::from_fn(|| outbox.pop()).collect()
    }

    #[test]
    fn the_oldest_audio_goes_first_and_control_never() {
        let mut outbox = Outbox::new(2);
        assert_eq!(outbox.push_audio("one", 1), 0);
        outbox.push("control");
        assert_eq!(outbox.push_audio("two", 1), 0);
        assert_eq!(outbox.push_audio("three", 1), 1);
        assert_eq!(all(outbox), ["control", "two", "three"]);
    }

    #[test]
    fn hushing_keeps_the_control() {
        let mut outbox = Outbox::new(9);
        outbox.push("accepted");
        outbox.push_audio("hello", 5);
        outbox.drop_audio();
        assert_eq!(outbox.push_audio("yes", 9), 0, "the hushed audio weighs nothing");
        assert_eq!(all(outbox), ["accepted", "yes"]);
    }
}
