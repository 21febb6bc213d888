//! The last segment of a media socket's path: proof that this edge, or one that shares its key, connected the call.
//!
//! A ticket names the call, its account and the worker that holds a place for it, and is good for a minute. It makes the
//! URL that Twilio signs a different one for each call: without it a signature seen once would open the socket for ever,
//! since the scheme has no time stamp.
//!
//! A ticket opens one leg. Each edge remembers the tickets that it has taken; what another edge has taken is known to the
//! worker, which is told each leg's ticket by [`Admitted::ticket`].

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{
    twilio::sid::{AccountSid, CallSid},
    worker::WorkerId,
};

/// Twilio opens the socket within seconds of the webhook's answer.
pub const LIFETIME: Duration = Duration::from_secs(60);

/// Tickets remembered as used. Only ones that this edge's key has signed get here: 68 calls a second for a minute. Beyond
/// that the oldest are forgotten before they expire.
pub const USED_CAPACITY: usize = 4096;

const SID_BYTES: usize = 34;
const NONCE_BYTES: usize = 16;
const CLAIM_BYTES: usize = 2 * SID_BYTES + size_of::<u64>() + NONCE_BYTES + WorkerId::BYTES;

/// Issues tickets and takes them back.
pub struct Tickets {
    key: Vec<u8>,
    /// Drawn at random, so that no two edges issue the same ticket.
    issuer: [u8; 8],
    issued: AtomicU64,
    /// By ticket, when it expires.
    used: Mutex<HashMap<String, u64>>,
}

/// What a ticket says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The call that was connected.
    pub call: CallSid,
    /// The account it belongs to.
    pub account: AccountSid,
    /// The worker that holds a place for it.
    pub worker: WorkerId,
}

/// What a good ticket opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// What the ticket says.
    pub claims: Claims,
    /// The ticket's own name, which nobody can guess another ticket from.
    pub ticket: String,
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
    /// It has opened a socket of this edge.
    #[error("the ticket was used")]
    Used,
}

impl BadTicket {
    /// The reason as a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Forged => "forged_ticket",
            Self::Expired => "expired_ticket",
            Self::Used => "used_ticket",
        }
    }
}

impl Tickets {
    /// Issues and takes tickets under `key`. `issuer` is drawn at random for each process.
    pub fn new(key: impl Into<Vec<u8>>, issuer: [u8; 8]) -> Self {
        Self { key: key.into(), issuer, issued: AtomicU64::default(), used: Mutex::default() }
    }

    /// A ticket, fit for a URL's path, that is good until `now_unix` plus [`LIFETIME`]. No two are the same: a call that
    /// is connected twice in a second gets two sockets.
    pub fn issue(&self, claims: &Claims, now_unix: u64) -> String {
        let expiry = now_unix.saturating_add(LIFETIME.as_secs());
        let mut bytes = Vec::with_capacity(CLAIM_BYTES + 32);
        bytes.extend_from_slice(claims.call.as_str().as_bytes());
        bytes.extend_from_slice(claims.account.as_str().as_bytes());
        bytes.extend_from_slice(&claims.worker.to_bytes());
        bytes.extend_from_slice(&expiry.to_be_bytes());
        bytes.extend_from_slice(&self.issuer);
        bytes.extend_from_slice(&self.issued.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let mac = self.mac(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What the ticket says, if it is good; from then on it is used.
    ///
    /// # Errors
    /// If it was not issued with this key, has expired, or was redeemed here before.
    pub fn redeem(&self, ticket: &str, now_unix: u64) -> Result<Admitted, BadTicket> {
        let (admitted, expiry) = self.verify(ticket, now_unix)?;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= USED_CAPACITY {
            used.retain(|_, expiry| now_unix < *expiry);
        }
        if used.len() >= USED_CAPACITY
            && let Some(oldest) = used.iter().min_by_key(|(_, expiry)| **expiry).map(|(ticket, _)| ticket.clone())
        {
            used.remove(&oldest);
        }
        // The encoding is canonical, so that a ticket has only one spelling.
        if used.insert(ticket.to_owned(), expiry).is_some() { Err(BadTicket::Used) } else { Ok(admitted) }
    }

    fn verify(&self, ticket: &str, now_unix: u64) -> Result<(Admitted, u64), BadTicket> {
        let bytes = URL_SAFE_NO_PAD.decode(ticket).map_err(|_| BadTicket::Forged)?;
        let (signed, mac) = bytes.split_at_checked(CLAIM_BYTES).ok_or(BadTicket::Forged)?;
        self.mac(signed).verify_slice(mac).map_err(|_| BadTicket::Forged)?;
        let (admitted, expiry) = read(signed).ok_or(BadTicket::Forged)?;
        if now_unix < expiry { Ok((admitted, expiry)) } else { Err(BadTicket::Expired) }
    }

    fn mac(&self, claims: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(claims);
        mac
    }
}

/// What was signed, and when it expires. `None`: nothing that this version has signed.
fn read(signed: &[u8]) -> Option<(Admitted, u64)> {
    let (sids, rest) = signed.split_at_checked(2 * SID_BYTES)?;
    let (call, account) = std::str::from_utf8(sids).ok()?.split_at_checked(SID_BYTES)?;
    let (worker, rest) = rest.split_first_chunk()?;
    let (expiry, nonce) = rest.split_first_chunk()?;
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
    let claims =
        Claims { call: call.parse().ok()?, account: account.parse().ok()?, worker: WorkerId::from_bytes(*worker) };
    let ticket = format!("{:032x}", u128::from_be_bytes(nonce));
    Some((Admitted { claims, ticket }, u64::from_be_bytes(*expiry)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn claims() -> Claims {
        Claims {
            call: "CA00000000000000000000000000000002".parse().unwrap(),
            account: "AC00000000000000000000000000000001".parse().unwrap(),
            worker: WorkerId::from_bytes(*b"worker 1"),
        }
    }

    fn claims_of(tickets: &Tickets, ticket: &str, now: u64) -> Result<Claims, BadTicket> {
        tickets.redeem(ticket, now).map(|admitted| admitted.claims)
    }

    #[test]
    fn each_ticket_has_a_name_of_its_own_that_every_edge_reads_alike() {
        let (one, other) = (Tickets::new([7; 32], [1; 8]), Tickets::new([7; 32], [2; 8]));
        let tickets = [one.issue(&claims(), NOW), one.issue(&claims(), NOW), other.issue(&claims(), NOW)];
        let names = |reader: &Tickets| tickets.each_ref().map(|ticket| reader.redeem(ticket, NOW).unwrap().ticket);
        let [first, second, third] = names(&one);
        assert!(first != second && second != third && first != third);
        assert_eq!(names(&other), [first, second, third]);
    }

    #[test]
    fn a_ticket_is_good_for_a_minute() {
        let tickets = Tickets::new([7; 32], [1; 8]);
        let ticket = tickets.issue(&claims(), NOW);
        for (after, claims) in [(0, Ok(claims())), (59, Ok(claims())), (60, Err(BadTicket::Expired))] {
            assert_eq!(claims_of(&Tickets::new([7; 32], [2; 8]), &ticket, NOW + after), claims, "{after}");
        }
    }

    #[test]
    fn a_ticket_is_good_for_one_socket() {
        let tickets = Tickets::new([7; 32], [1; 8]);
        let (ticket, later) = (tickets.issue(&claims(), NOW), tickets.issue(&claims(), NOW));
        assert_eq!(claims_of(&tickets, &ticket, NOW), Ok(claims()));
        assert_eq!(tickets.redeem(&ticket, NOW + 59), Err(BadTicket::Used));
        assert_eq!(tickets.redeem(&ticket, NOW + 60), Err(BadTicket::Expired));
        assert_eq!(claims_of(&tickets, &later, NOW + 59), Ok(claims()), "the call was connected anew");
    }

    #[test]
    fn used_tickets_do_not_pile_up() {
        let tickets = Tickets::new([7; 32], [1; 8]);
        let redeem = |number: usize, now| {
            let call = format!("CA{number:032}").parse().unwrap();
            let ticket = tickets.issue(&Claims { call, ..claims() }, now);
            tickets.redeem(&ticket, now).unwrap();
        };
        (0..=USED_CAPACITY).for_each(|number| redeem(number, NOW));
        assert_eq!(tickets.used.lock().unwrap().len(), USED_CAPACITY);
        redeem(0, NOW + 60);
        assert_eq!(tickets.used.lock().unwrap().len(), 1, "what has expired needs no memory");
    }

    #[test]
    fn a_ticket_needs_no_escaping_in_a_path() {
        let ticket = Tickets::new([7; 32], [1; 8]).issue(&claims(), NOW);
        assert!(ticket.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'), "{ticket}");
    }

    #[test]
    fn a_ticket_of_another_key_or_with_a_changed_character_is_forged() {
        let tickets = Tickets::new([7; 32], [1; 8]);
        let ticket = tickets.issue(&claims(), NOW);
        assert_eq!(Tickets::new([8; 32], [1; 8]).redeem(&ticket, NOW), Err(BadTicket::Forged));
        for at in 0..ticket.len() {
            let mut changed = ticket.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(tickets.redeem(&changed, NOW), Err(BadTicket::Forged), "character {at}");
        }
    }

    #[test]
    fn rubbish_is_forged() {
        for rubbish in ["", "AA", "?", "AAAA AAAA", &"A".repeat(4096)] {
            assert_eq!(Tickets::new([7; 32], [1; 8]).redeem(rubbish, NOW), Err(BadTicket::Forged));
        }
    }
}
