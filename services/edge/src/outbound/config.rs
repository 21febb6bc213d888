//! Who may have calls placed, and which, from the environment.

use offhook_agents::PhoneNumber;
use offhook_hosting::env::Reader;
use secrecy::{ExposeSecret, SecretString};

use super::callee::{Allowed, Callee, is_host};

/// A shorter token could be guessed.
const SHORTEST_TOKEN: usize = 32;
const DEFAULT_CALLS_PER_SECOND: u32 = 1;
const DEFAULT_CALLS_PER_DAY: u32 = 500;

/// What an edge that places calls needs to know.
#[derive(Clone, Debug)]
pub struct OutboundConfig {
    /// `OFFHOOK_OUTBOUND_TOKEN`: who may ask; a comma list while one is replaced.
    pub tokens: Vec<SecretString>,
    /// `TWILIO_FROM_NUMBER`: a number of the account's.
    pub from: PhoneNumber,
    /// `TWILIO_VERIFIED_CALLER_ID`: who is called where a request does not say.
    pub default_to: Option<Callee>,
    /// `OUTBOUND_COUNTRY_PREFIXES`, `OUTBOUND_SIP_HOSTS`: who may be called.
    pub allowed: Allowed,
    /// `OUTBOUND_CALLS_PER_SECOND`, default 1, of this edge.
    pub calls_per_second: u32,
    /// `OUTBOUND_CALLS_PER_DAY`, default 500, of this edge.
    pub calls_per_day: u32,
}

impl OutboundConfig {
    /// Reads the variables; `None` without a token, which is fine, or when something is wrong.
    pub(crate) fn read(reader: &mut Reader<'_>, has_rest: bool) -> Option<Self> {
        let tokens =
            reader.secret("OFFHOOK_OUTBOUND_TOKEN").map(|list| crate::config::split(&list)).unwrap_or_default();
        let number = "a number in E.164 form, such as +15005550006";
        let from: Option<PhoneNumber> = reader.optional("TWILIO_FROM_NUMBER", number);
        let default_to: Option<PhoneNumber> = reader.optional("TWILIO_VERIFIED_CALLER_ID", number);
        let prefixes = reader.parsed("OUTBOUND_COUNTRY_PREFIXES", |list| each(list, is_prefix, "+1,+44"));
        let sip_hosts = reader.parsed("OUTBOUND_SIP_HOSTS", |list| each(list, is_host, "pbx.example.com"));
        let calls_per_second = count(reader, "OUTBOUND_CALLS_PER_SECOND", DEFAULT_CALLS_PER_SECOND);
        let calls_per_day = count(reader, "OUTBOUND_CALLS_PER_DAY", DEFAULT_CALLS_PER_DAY);
        if tokens.is_empty() {
            return None;
        }
        if tokens.iter().any(|token| token.expose_secret().len() < SHORTEST_TOKEN) {
            reader.mistake("OFFHOOK_OUTBOUND_TOKEN", format!("expected at least {SHORTEST_TOKEN} characters"));
        }
        if !has_rest {
            reader.mistake("TWILIO_API_SID", "required with OFFHOOK_OUTBOUND_TOKEN: SK and 32 hexadecimal digits");
        }
        let Some(from) = from else {
            reader.mistake("TWILIO_FROM_NUMBER", format!("required with OFFHOOK_OUTBOUND_TOKEN: {number}"));
            return None;
        };
        let mut allowed = Allowed::country_of(&from).sip_hosts(sip_hosts.unwrap_or_default());
        if let Some(prefixes) = prefixes {
            allowed = allowed.prefixes(prefixes);
        }
        let default_to = default_to.as_ref().map(Callee::trusted);
        Some(Self { tokens, from, default_to, allowed, calls_per_second, calls_per_day })
    }
}

fn count(reader: &mut Reader<'_>, name: &'static str, default: u32) -> u32 {
    let most =
        |text: &str| text.parse().ok().filter(|&most| most > 0).ok_or_else(|| "expected a number above 0".to_owned());
    reader.parsed(name, most).unwrap_or(default)
}

fn each(list: &str, is_right: fn(&str) -> bool, example: &str) -> Result<Vec<String>, String> {
    let entries: Vec<_> = list.split(',').map(|entry| entry.trim().to_ascii_lowercase()).collect();
    let right = entries.iter().all(|entry| is_right(entry));
    if right { Ok(entries) } else { Err(format!("expected a comma list such as {example}")) }
}

fn is_prefix(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    (1..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use offhook_hosting::env::Env;

    use super::*;

    const TOKEN: (&str, &str) = ("OFFHOOK_OUTBOUND_TOKEN", "a token that is long enough to be one");
    const FROM: (&str, &str) = ("TWILIO_FROM_NUMBER", "+442071838750");

    fn read(pairs: &[(&str, &str)], has_rest: bool) -> Result<Option<OutboundConfig>, Vec<&'static str>> {
        let env: Env = pairs.iter().copied().collect();
        let mut reader = Reader::new(&env);
        let config = OutboundConfig::read(&mut reader, has_rest);
        reader.finish(Some(config)).map_err(|error| error.names().collect())
    }

    #[test]
    fn a_token_and_a_number_place_calls_in_the_numbers_country() {
        let config = read(&[TOKEN, FROM], true).unwrap().unwrap();
        assert_eq!((config.calls_per_second, config.calls_per_day), (1, 500));
        assert!(config.allowed.callee("+447400555010").is_ok() && config.allowed.callee("+15550100001").is_err());
        let wider = [TOKEN, FROM, ("OUTBOUND_COUNTRY_PREFIXES", "+1, +353"), ("OUTBOUND_SIP_HOSTS", "PBX.example.com")];
        let allowed = read(&wider, true).unwrap().unwrap().allowed;
        assert!(allowed.callee("+353155501000").is_ok() && allowed.callee("+447400555010").is_err());
        assert!(allowed.callee("sip:desk@pbx.example.com").is_ok());
    }

    #[test]
    fn without_a_token_no_calls_are_placed() {
        assert!(read(&[FROM], true).unwrap().is_none());
    }

    #[test]
    fn a_token_alone_says_what_is_missing() {
        assert_eq!(read(&[TOKEN], false).unwrap_err(), ["TWILIO_API_SID", "TWILIO_FROM_NUMBER"]);
        assert_eq!(read(&[("OFFHOOK_OUTBOUND_TOKEN", "short"), FROM], true).unwrap_err(), ["OFFHOOK_OUTBOUND_TOKEN"]);
    }

    #[test]
    fn every_wrong_value_is_reported_with_or_without_a_token() {
        let wrong = [
            ("TWILIO_FROM_NUMBER", "555"),
            ("TWILIO_VERIFIED_CALLER_ID", "me"),
            ("OUTBOUND_COUNTRY_PREFIXES", "1,44"),
            ("OUTBOUND_SIP_HOSTS", "sip:x@y"),
            ("OUTBOUND_CALLS_PER_SECOND", "0"),
            ("OUTBOUND_CALLS_PER_DAY", "many"),
        ];
        assert_eq!(read(&wrong, true).unwrap_err(), wrong.map(|(name, _)| name));
    }

    #[test]
    fn debug_shows_no_token_and_no_number() {
        let config = read(&[TOKEN, FROM, ("TWILIO_VERIFIED_CALLER_ID", "+15550100001")], true).unwrap().unwrap();
        let shown = format!("{config:?}");
        assert!(!shown.contains("long enough") && !shown.contains("2071838750") && !shown.contains("5550100001"));
    }
}
