//! Twilio's identifiers: two letters and 32 hexadecimal digits (Twilio OpenAPI file, `twilio_api_v2010`).
//!
//! A value of these types is safe in a URL, in XML, in JSON and in a log line.

use std::{fmt, str::FromStr};

macro_rules! sid {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(String);

        impl $name {
            /// As Twilio writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NotASid;

            fn from_str(text: &str) -> Result<Self, NotASid> {
                let digits = text.strip_prefix($prefix).ok_or(NotASid)?;
                let valid = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                if valid { Ok(Self(text.to_owned())) } else { Err(NotASid) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

sid!(
    /// Names an account: `AC…`.
    AccountSid,
    "AC"
);
sid!(
    /// Names a call: `CA…`.
    CallSid,
    "CA"
);
sid!(
    /// Names an API key: `SK…`. Its secret is another matter.
    ApiKeySid,
    "SK"
);
sid!(
    /// Names a media stream, and so one leg of a call: `MZ…`.
    StreamSid,
    "MZ"
);

/// The text is no identifier of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SID of this kind")]
pub struct NotASid;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_documented_form_is_taken() {
        assert!("CA0123456789abcdefABCDEF0123456789".parse::<CallSid>().is_ok());
        for wrong in ["", "CA", "AC0123456789abcdefABCDEF0123456789", "CA0123456789abcdefABCDEF012345678\""] {
            assert_eq!(wrong.parse::<CallSid>(), Err(NotASid), "{wrong}");
        }
    }
}
