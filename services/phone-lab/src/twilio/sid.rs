//! Twilio's identifiers: two letters and 32 hexadecimal digits.

use std::fmt;

use offhook_hosting::entropy::Entropy;

/// A call, `CA…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSid(String);

/// A media stream, `MZ…`; every connection is one of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSid(String);

impl CallSid {
    /// A new one.
    pub fn draw(entropy: &mut Entropy) -> Self {
        Self(draw("CA", entropy))
    }

    /// As it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl StreamSid {
    /// A new one.
    pub fn draw(entropy: &mut Entropy) -> Self {
        Self(draw("MZ", entropy))
    }

    /// As it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CallSid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for StreamSid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn draw(prefix: &str, entropy: &mut Entropy) -> String {
    format!("{prefix}{:032x}", u128::from_be_bytes(entropy.bytes()))
}
