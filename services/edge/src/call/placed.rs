//! What a call that this edge has placed takes with it: sealed into the URLs that Twilio asks, so that any edge which
//! shares the key can open it and nobody else learns or changes anything.
//!
//! ChaCha20-Poly1305 under a key made from `OFFHOOK_TICKET_KEY`, base64 fit for a query. What was sealed for one door does
//! not open at another. There is no expiry: a call may wait for a day in Twilio's queue, and only URLs that Twilio has
//! signed are opened.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::Sha256;

/// The query parameter that carries a sealed value.
pub const QUERY: &str = "placed";
/// The query parameter that names the worker at which the record of a placed call has begun.
pub const WORKER: &str = "worker";

/// Characters of a sealed value: Twilio takes callback URLs of 4000 (Twilio docs, error 21609).
pub const LONGEST: usize = 3600;

/// The first byte of a sealed value. Another one is another format.
const VERSION: u8 = 1;
const KEY_LABEL: &[u8] = b"offhook placed call, version 1";

/// Who speaks on a placed call, and what they are told about it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The agent's name. `None`: that of the number that it comes from, else the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What the request for the call says of it, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
}

/// What happens when a machine takes a placed call.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMachine {
    /// The call ends.
    HangUp,
    /// This is said after the beep, and the call ends.
    LeaveMessage(String),
}

/// Seals and opens.
pub struct Seals {
    key: LessSafeKey,
}

/// Nothing sealed here for this door, or changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not sealed with this edge's key for this door")]
pub struct NotOurs;

/// Sealed it would be longer than [`LONGEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too long for a URL")]
pub struct TooLong;

/// What a value is sealed for.
#[derive(Clone, Copy)]
enum Door {
    IncomingCall,
    AmdStatus,
}

impl Seals {
    /// Seals under a key that is made from the one for tickets.
    pub fn new(ticket_key: &[u8]) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(ticket_key).expect("HMAC takes keys of any length");
        mac.update(KEY_LABEL);
        let key = mac.finalize().into_bytes();
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key).expect("both have 32 bytes");
        Self { key: LessSafeKey::new(key) }
    }

    /// For `/incoming-call`. `nonce` is drawn for this value alone.
    ///
    /// # Errors
    /// If it is too long for a URL.
    pub fn seal(&self, placed: &Placed, nonce: [u8; NONCE_LEN]) -> Result<String, TooLong> {
        self.close(Door::IncomingCall, placed, nonce)
    }

    /// What was sealed for `/incoming-call`.
    ///
    /// # Errors
    /// If it was not, or was changed.
    pub fn open(&self, sealed: &str) -> Result<Placed, NotOurs> {
        self.unclose(Door::IncomingCall, sealed)
    }

    /// For `/amd-status`. `nonce` is drawn for this value alone.
    ///
    /// # Errors
    /// If it is too long for a URL.
    pub fn seal_on_machine(&self, on_machine: &OnMachine, nonce: [u8; NONCE_LEN]) -> Result<String, TooLong> {
        self.close(Door::AmdStatus, on_machine, nonce)
    }

    /// What was sealed for `/amd-status`.
    ///
    /// # Errors
    /// If it was not, or was changed.
    pub fn open_on_machine(&self, sealed: &str) -> Result<OnMachine, NotOurs> {
        self.unclose(Door::AmdStatus, sealed)
    }

    fn close<T: Serialize>(&self, door: Door, value: &T, nonce: [u8; NONCE_LEN]) -> Result<String, TooLong> {
        let mut text = serde_json::to_vec(value).expect("these are texts by texts");
        let at = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(at, door.aad(), &mut text).map_err(|_| TooLong)?;
        let sealed = URL_SAFE_NO_PAD.encode([&[VERSION], &nonce[..], &text].concat());
        if sealed.len() <= LONGEST { Ok(sealed) } else { Err(TooLong) }
    }

    fn unclose<T: DeserializeOwned>(&self, door: Door, sealed: &str) -> Result<T, NotOurs> {
        if sealed.len() > LONGEST {
            return Err(NotOurs);
        }
        let bytes = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| NotOurs)?;
        let rest = bytes.strip_prefix(&[VERSION]).ok_or(NotOurs)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(NotOurs)?;
        let mut text = text.to_vec();
        let at = Nonce::assume_unique_for_key(*nonce);
        let text = self.key.open_in_place(at, door.aad(), &mut text).map_err(|_| NotOurs)?;
        serde_json::from_slice(text).map_err(|_| NotOurs)
    }
}

impl Door {
    fn aad(self) -> Aad<&'static [u8]> {
        Aad::from(match self {
            Self::IncomingCall => b"incoming-call",
            Self::AmdStatus => b"amd-status",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed() -> Placed {
        let variables = [("name".to_owned(), "Zoë".to_owned()), ("room".to_owned(), "12".to_owned())].into();
        Placed { agent: Some("reminders".to_owned()), variables }
    }

    #[test]
    fn every_edge_with_the_key_opens_what_one_has_sealed() {
        let sealed = Seals::new(b"key").seal(&placed(), [7; NONCE_LEN]).unwrap();
        assert!(Seals::new(b"key").open(&sealed) == Ok(placed()));
        assert!(sealed.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'), "{sealed}");
        let on_machine = OnMachine::LeaveMessage("please call back".to_owned());
        let sealed = Seals::new(b"key").seal_on_machine(&on_machine, [8; NONCE_LEN]).unwrap();
        assert!(Seals::new(b"key").open_on_machine(&sealed) == Ok(on_machine));
    }

    #[test]
    fn nothing_of_it_can_be_read_or_changed_without_the_key() {
        let seals = Seals::new(b"key");
        let sealed = seals.seal(&placed(), [7; NONCE_LEN]).unwrap();
        assert!(!String::from_utf8_lossy(&URL_SAFE_NO_PAD.decode(&sealed).unwrap()).contains("reminders"));
        assert!(Seals::new(b"other").open(&sealed) == Err(NotOurs));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(seals.open(&String::from_utf8(changed).unwrap()) == Err(NotOurs), "character {at}");
        }
        for nothing in ["", "A", "AQ", "not base64!", &"A".repeat(LONGEST + 4)] {
            assert!(seals.open(nothing) == Err(NotOurs), "{nothing}");
        }
    }

    #[test]
    fn what_is_for_one_door_does_not_open_at_another() {
        let seals = Seals::new(b"key");
        let sealed = seals.seal_on_machine(&OnMachine::HangUp, [7; NONCE_LEN]).unwrap();
        assert!(seals.open(&sealed) == Err(NotOurs));
        let sealed = seals.seal(&placed(), [7; NONCE_LEN]).unwrap();
        assert!(seals.open_on_machine(&sealed) == Err(NotOurs));
    }

    #[test]
    fn what_twilio_would_not_take_in_a_url_is_not_sealed() {
        let long = |length| Placed { agent: Some("x".repeat(length)), ..Placed::default() };
        let seals = Seals::new(b"key");
        assert!(seals.seal(&long(2600), [7; NONCE_LEN]).is_ok());
        assert!(seals.seal(&long(2700), [7; NONCE_LEN]) == Err(TooLong));
    }
}
