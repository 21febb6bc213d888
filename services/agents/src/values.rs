//! What may stand in an agents file, checked once. Numbers and addresses may be people's: they show themselves in no log.

use std::{borrow::Borrow, fmt, str::FromStr};

/// A SIP address without its headers stays under this (Twilio docs, `<Sip>`).
const SIP_ADDRESS_LIMIT: usize = 255;
/// The headers of a SIP address stay under this (Twilio docs, `<Sip>`).
const SIP_HEADERS_LIMIT: usize = 1024;
/// Headers that Twilio sends on although they do not begin with `x-` (Twilio docs, `<Sip>`).
const SIP_HEADERS: &[&str] = &["user-to-user", "remote-party-id", "p-preferred-identity", "p-called-party-id"];
/// Characters of an agent's name or a voice's.
const LONGEST_NAME: usize = 64;

/// The text is not what is wanted there; displays what is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct NotThat(pub(crate) &'static str);

macro_rules! value {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $parse:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// As it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NotThat;

            fn from_str(text: &str) -> Result<Self, NotThat> {
                let parse: fn(&str) -> Option<String> = $parse;
                parse(text).map(Self).ok_or(NotThat($expected))
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

macro_rules! shows_itself {
    ($name:ident) => {
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

macro_rules! hides_itself {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

value!(
    /// What an agent is called, in URLs, records and metrics.
    AgentName,
    "a name of up to 64 lower-case letters, digits, hyphens and underscores that begins with a letter",
    |text| is_name(text).then(|| text.to_owned())
);
shows_itself!(AgentName);

value!(
    /// A voice's id. Whether the model has such a voice is not known here.
    VoiceName,
    "a voice's id in lower case, such as matthew",
    |text| is_name(text).then(|| text.to_owned())
);
shows_itself!(VoiceName);

value!(
    /// A telephone number in E.164 form.
    PhoneNumber,
    "a number such as +15005550006: a plus, the country code, and up to 15 digits in all",
    |text| is_e164(text).then(|| text.to_owned())
);
hides_itself!(PhoneNumber);

value!(
    /// A SIP domain at which calls arrive, in lower case.
    SipDomain,
    "a SIP domain such as example.sip.twilio.com",
    |text| is_domain(text).then(|| text.to_ascii_lowercase())
);
shows_itself!(SipDomain);

value!(
    /// A SIP address that Twilio can dial: under 255 characters, its headers under 1024 (Twilio docs, `<Sip>`).
    SipUri,
    "a SIP URI such as sip:help@example.com, under 255 characters and without spaces, with X- headers under 1024",
    |text| is_sip(text).then(|| text.to_owned())
);
hides_itself!(SipUri);

fn is_name(text: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    text.len() <= LONGEST_NAME && text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(rest)
}

fn is_e164(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    (2..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').count() > 1 && text.split('.').all(label)
}

fn is_sip(text: &str) -> bool {
    let (address, headers) = text.split_once('?').unwrap_or((text, ""));
    let Some(who) = address.strip_prefix("sips:").or_else(|| address.strip_prefix("sip:")) else { return false };
    let host = who.rsplit_once('@').map_or(who, |(_, host)| host);
    address.len() < SIP_ADDRESS_LIMIT
        && headers.len() < SIP_HEADERS_LIMIT
        && host.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && headers.split('&').filter(|header| !header.is_empty()).all(is_header)
}

fn is_header(header: &str) -> bool {
    let name = header.split('=').next().unwrap_or_default().to_ascii_lowercase();
    name.starts_with("x-") || SIP_HEADERS.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_e164() {
        for number in ["+15005550006", "+4930123456", "+123456789012345"] {
            assert_eq!(number.parse::<PhoneNumber>().unwrap().as_str(), number);
        }
        for wrong in ["", "+", "15005550006", "+0123", "+1234567890123456", "+1 500", "+1500555000x", "+1"] {
            assert!(wrong.parse::<PhoneNumber>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sip_addresses_are_such_as_twilio_dials() {
        let headers = |length: usize| format!("sip:a@example.com?X-A={}", "b".repeat(length - 4));
        let address = |length: usize| format!("sip:{}@b", "a".repeat(length - 6));
        for sip in ["sip:help@example.com", "sips:a@b:5061;transport=tls?X-A=b", "sip:[::1]:5060"] {
            assert_eq!(sip.parse::<SipUri>().unwrap().as_str(), sip);
        }
        assert!(address(254).parse::<SipUri>().is_ok() && headers(1023).parse::<SipUri>().is_ok());
        for wrong in [
            &address(255),
            &headers(1024),
            "tel:+1",
            "sip:",
            "sip:a@",
            "sip:a b@c",
            "sip:a@b\n",
            "sip:ä@b",
            "sip:a@b?Y=1",
        ] {
            assert!(wrong.parse::<SipUri>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_sip_domain_is_told_apart_by_its_letters_and_not_by_their_case() {
        assert_eq!("Acme.SIP.twilio.com".parse::<SipDomain>().unwrap().as_str(), "acme.sip.twilio.com");
        for wrong in ["", "acme", "acme..com", "-a.com", "sip:a@b.com", "a.com/"] {
            assert!(wrong.parse::<SipDomain>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_are_safe_wherever_they_are_shown() {
        assert!("front-desk_2".parse::<AgentName>().is_ok());
        for wrong in ["", "2nd", "Front", "a b", "a/b", &"a".repeat(65)] {
            assert!(wrong.parse::<AgentName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_and_addresses_show_themselves_in_no_log() {
        let (number, sip) = ("+15005550006".parse::<PhoneNumber>(), "sip:jane@example.com".parse::<SipUri>());
        assert_eq!(format!("{number:?} {sip:?}"), "Ok(PhoneNumber(..)) Ok(SipUri(..))");
    }
}
