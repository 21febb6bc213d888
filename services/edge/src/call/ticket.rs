//! The last segment of a media socket's path: proof that this edge, or one that shares its key, connected the call.
//!
//! A ticket names call and account and is good for a minute. It makes the URL that Twilio signs a different one for each
//! call: without it a signature seen once would open the socket for ever, since the scheme has no time stamp.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::twilio::sid::{AccountSid, CallSid};

/// Twilio opens the socket within seconds of the webhook's answer.
pub const LIFETIME: Duration = Duration::from_secs(60);

const SID_BYTES: usize = 34;
const CLAIM_BYTES: usize = 2 * SID_BYTES + size_of::<u64>();

/// Issues tickets and takes them back.
pub struct Tickets {
    key: Vec<u8>,
}

/// What a ticket says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The call that was connected.
    pub call: CallSid,
    /// The account it belongs to.
    pub account: AccountSid,
}

/// Why a ticket is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTicket {
    /// It was not issued with this key, or was changed.
    #[error("the ticket is forged")]
    Forged,
    /// It was good once.
    #[error("the ticket has expired")]
    Expired,
}

impl BadTicket {
    /// The reason as a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Forged => "forged_ticket",
            Self::Expired => "expired_ticket",
        }
    }
}

impl Tickets {
    /// Issues and takes tickets under `key`.
    pub fn new(key: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into() }
    }

    /// A ticket, fit for a URL's path, that is good until `now_unix` plus [`LIFETIME`].
    pub fn issue(&self, claims: &Claims, now_unix: u64) -> String {
        let expiry = now_unix.saturating_add(LIFETIME.as_secs());
        let mut bytes = Vec::with_capacity(CLAIM_BYTES + 32);
        bytes.extend_from_slice(claims.call.as_str().as_bytes());
        bytes.extend_from_slice(claims.account.as_str().as_bytes());
        bytes.extend_from_slice(&expiry.to_be_bytes());
        let mac = self.mac(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What the ticket says, if it is good.
    ///
    /// # Errors
    /// If it was not issued with this key, or has expired.
    pub fn verify(&self, ticket: &str, now_unix: u64) -> Result<Claims, BadTicket> {
        let bytes = URL_SAFE_NO_PAD.decode(ticket).map_err(|_| BadTicket::Forged)?;
        let (claims, mac) = bytes.split_at_checked(CLAIM_BYTES).ok_or(BadTicket::Forged)?;
        self.mac(claims).verify_slice(mac).map_err(|_| BadTicket::Forged)?;
        let (sids, expiry) = claims.split_at(2 * SID_BYTES);
        let expiry = u64::from_be_bytes(expiry.try_into().map_err(|_| BadTicket::Forged)?);
        if now_unix >= expiry {
            return Err(BadTicket::Expired);
        }
        let sids = std::str::from_utf8(sids).map_err(|_| BadTicket::Forged)?;
        let (call, account) = sids.split_at_checked(SID_BYTES).ok_or(BadTicket::Forged)?;
        let parsed = call.parse().ok().zip(account.parse().ok());
        parsed.map(|(call, account)| Claims { call, account }).ok_or(BadTicket::Forged)
    }

    fn mac(&self, claims: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(claims);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn claims() -> Claims {
        Claims {
            call: "CA00000000000000000000000000000002".parse().unwrap(),
            account: "AC00000000000000000000000000000001".parse().unwrap(),
        }
    }

    #[test]
    fn a_ticket_is_good_for_a_minute() {
        let tickets = Tickets::new([7; 32]);
        let ticket = tickets.issue(&claims(), NOW);
        assert_eq!(tickets.verify(&ticket, NOW), Ok(claims()));
        assert_eq!(tickets.verify(&ticket, NOW + 59), Ok(claims()));
        assert_eq!(tickets.verify(&ticket, NOW + 60), Err(BadTicket::Expired));
    }

    #[test]
    fn a_ticket_needs_no_escaping_in_a_path() {
        let ticket = Tickets::new([7; 32]).issue(&claims(), NOW);
        assert!(ticket.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'), "{ticket}");
    }

    #[test]
    fn a_ticket_of_another_key_or_with_a_changed_character_is_forged() {
        let tickets = Tickets::new([7; 32]);
        let ticket = tickets.issue(&claims(), NOW);
        assert_eq!(Tickets::new([8; 32]).verify(&ticket, NOW), Err(BadTicket::Forged));
        for at in 0..ticket.len() {
            let mut changed = ticket.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(tickets.verify(&changed, NOW), Err(BadTicket::Forged), "character {at}");
        }
    }

    #[test]
    fn rubbish_is_forged() {
        for rubbish in ["", "AA", "?", "AAAA AAAA", &"A".repeat(4096)] {
            assert_eq!(Tickets::new([7; 32]).verify(rubbish, NOW), Err(BadTicket::Forged));
        }
    }
}
