use std::{
    fmt,
    time::{Duration, Instant},
};

/// Keys that are pressed within this of each other belong together.
const PAUSE: Duration = Duration::from_secs(2);
/// More than any card number; what is pressed beyond them begins anew.
const MOST_KEYS: usize = 32;
/// What agents are told about [`Pressed::told`], after their own prompt.
pub(super) const EXPLAINED: &str = "\n\nWhen the caller presses keys on the phone you get a message such as \"The caller \
    pressed 1 2 3 on the keypad.\" Nobody said it aloud: take the keys as the caller's answer.";
/// Ends what is being pressed, as on any telephone.
const END: char = '#';

/// A key of a telephone. Callers press card numbers and codes, so it shows itself in no log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(char);

/// The text is no key.
#[derive(Debug, thiserror::Error)]
#[error("a key is one of 0-9, A-D, * and #")]
pub struct InvalidKey;

impl TryFrom<&str> for Key {
    type Error = InvalidKey;

    fn try_from(text: &str) -> Result<Self, InvalidKey> {
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(key @ ('0'..='9' | 'A'..='D' | '*' | '#')), None) => Ok(Self(key)),
            (_, _) => Err(InvalidKey),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// Collects the keys that the caller presses, until `#` or a pause ends them.
#[derive(Default)]
pub(super) struct Keypad {
    pressed: String,
    ends_at: Option<Instant>,
}

impl Keypad {
    /// The caller pressed a key.
    pub(super) fn press(&mut self, Key(key): Key, now: Instant) {
        let is_end = key == END && !self.pressed.is_empty();
        if !is_end {
            self.pressed.push(key);
        }
        let is_over = key == END || self.pressed.len() >= MOST_KEYS;
        self.ends_at = Some(if is_over { now } else { now + PAUSE });
    }

    /// When [`Keypad::collected`] has something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ends_at
    }

    /// What was pressed, once it is complete.
    pub(super) fn collected(&mut self, now: Instant) -> Option<Pressed> {
        self.ends_at.take_if(|at| *at <= now)?;
        self.give_up()
    }

    /// What was pressed so far, complete or not.
    pub(super) fn give_up(&mut self) -> Option<Pressed> {
        self.ends_at = None;
        let pressed = std::mem::take(&mut self.pressed);
        (!pressed.is_empty()).then_some(Pressed(pressed))
    }
}

impl fmt::Debug for Keypad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keypad").field("ends_at", &self.ends_at).finish_non_exhaustive()
    }
}

/// Keys that belong together, without the `#` that ended them.
pub(super) struct Pressed(String);

impl Pressed {
    /// As the record has it: the keys, and nothing between them.
    pub(super) fn keys(&self) -> &str {
        &self.0
    }

    /// As the model is told of it.
    pub(super) fn told(&self) -> String {
        told(&self.0)
    }
}

/// What the model is told of these keys.
pub(super) fn told(keys: &str) -> String {
    format!("The caller pressed {} on the keypad.", spaced(keys))
}

/// Single keys, because the model reads a row of digits as a number.
pub(super) fn spaced(keys: &str) -> String {
    keys.chars().map(String::from).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::tests::start;

    const MS: Duration = Duration::from_millis(1);

    /// What has come out by `now`, after these keys 100 ms apart.
    fn after(keypad: &mut Keypad, keys: &str, now: &mut Instant) -> Vec<String> {
        let mut collected = Vec::new();
        for key in keys.chars() {
            *now += 100 * MS;
            keypad.press(Key(key), *now);
            collected.extend(keypad.collected(*now).map(|pressed| pressed.0));
        }
        collected
    }

    #[test]
    fn only_what_is_on_a_telephone_is_a_key() {
        for key in ["0", "9", "A", "D", "*", "#"] {
            assert!(Key::try_from(key).is_ok(), "{key}");
        }
        for wrong in ["", "12", "E", "a", " ", "\u{661}"] {
            assert!(Key::try_from(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn keys_show_themselves_in_no_log() {
        let mut keypad = Keypad::default();
        keypad.press(Key('7'), start());
        assert_eq!(format!("{:?}", Key('7')), "Key");
        assert!(!format!("{keypad:?}").contains("\"7\"") && !format!("{keypad:?}").contains("pressed"), "{keypad:?}");
    }

    #[test]
    fn a_pause_ends_what_is_pressed_and_not_before_two_seconds() {
        let (mut keypad, mut now) = (Keypad::default(), start());
        assert_eq!(after(&mut keypad, "123", &mut now), Vec::<String>::new());
        assert_eq!(keypad.deadline(), Some(now + 2_000 * MS));
        assert!(keypad.collected(now + 1_999 * MS).is_none());
        assert_eq!(keypad.collected(now + 2_000 * MS).unwrap().told(), "The caller pressed 1 2 3 on the keypad.");
        assert_eq!((keypad.deadline(), keypad.collected(now + 9_000 * MS).is_none()), (None, true));
    }

    #[test]
    fn a_hash_ends_at_once_and_is_told_only_where_it_is_all_there_is() {
        let (mut keypad, mut now) = (Keypad::default(), start());
        assert_eq!(after(&mut keypad, "12#3*#", &mut now), ["12", "3*"]);
        assert_eq!(after(&mut keypad, "##", &mut now), ["#", "#"]);
        assert_eq!(keypad.deadline(), None);
    }

    #[test]
    fn a_key_that_is_held_down_does_not_grow_without_bound() {
        let (mut keypad, mut now) = (Keypad::default(), start());
        let collected = after(&mut keypad, &"5".repeat(100), &mut now);
        assert_eq!(collected, vec!["5".repeat(MOST_KEYS); 3]);
        assert_eq!(keypad.give_up().unwrap().keys(), "5555");
    }
}
