use std::{fmt, str::FromStr};

use http::Uri;
use sha2::{Digest, Sha256};

/// A worker's name in what leaves the edge: made from its address, which it does not give away. All edges that know a
/// worker by the same address give it the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId([u8; WorkerId::BYTES]);

/// The text names no worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 16 hexadecimal digits")]
pub struct NotAWorkerId;

impl WorkerId {
    /// How many bytes a name has.
    pub const BYTES: usize = 8;

    /// The name of the worker at `address`.
    pub fn of(address: &Uri) -> Self {
        Self::hashed(&[address.to_string().as_bytes()])
    }

    /// As in a ticket.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// For a ticket.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0
    }

    /// Where this worker stands in the order in which all edges ask about `what`: any, but the same everywhere.
    pub(super) fn rank(self, what: &[u8]) -> impl Ord + use<> {
        Self::hashed(&[what, &self.0])
    }

    fn hashed(parts: &[&[u8]]) -> Self {
        let hash = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize();
        Self(hash.first_chunk().copied().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl FromStr for WorkerId {
    type Err = NotAWorkerId;

    fn from_str(text: &str) -> Result<Self, NotAWorkerId> {
        let is_hex = text.len() == 2 * Self::BYTES && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten().ok_or(NotAWorkerId)?;
        Ok(Self(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_for_the_same_address_and_survives_being_written() {
        let (one, other) = (Uri::from_static("http://10.0.0.1:50051"), Uri::from_static("http://10.0.0.2:50051"));
        let id = WorkerId::of(&one);
        assert_eq!(WorkerId::of(&one), id);
        assert_ne!(WorkerId::of(&other), id);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(WorkerId::from_bytes(id.to_bytes()), id);
        for wrong in ["", "1", "+00000000000000a", "zzzzzzzzzzzzzzzz"] {
            assert_eq!(wrong.parse::<WorkerId>(), Err(NotAWorkerId), "{wrong}");
        }
    }
}
