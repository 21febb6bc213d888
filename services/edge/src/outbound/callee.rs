//! Who may be called.

use std::fmt;

use offhook_agents::PhoneNumber;

use super::{
    countries::calling_code,
    problem::{Kind, Problem},
};

/// Characters of a SIP address that may be called.
const SIP_LIMIT: usize = 255;

/// Somebody who may be called. Names a person, so it shows itself in no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Callee(String);

impl Callee {
    /// As Twilio is told.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whom the operator has named, wherever that is.
    pub fn trusted(number: &PhoneNumber) -> Self {
        Self(number.as_str().to_owned())
    }
}

impl fmt::Debug for Callee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callee(..)")
    }
}

/// What is allowed: beginnings of numbers, and hosts of SIP addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    prefixes: Vec<String>,
    sip_hosts: Vec<String>,
}

impl Allowed {
    /// Numbers in the country of this one, and no SIP addresses.
    pub fn country_of(number: &PhoneNumber) -> Self {
        Self { prefixes: vec![calling_code(number.as_str()).to_owned()], sip_hosts: Vec::new() }
    }

    /// Numbers that begin like this, instead.
    #[must_use]
    pub fn prefixes(self, prefixes: Vec<String>) -> Self {
        Self { prefixes, ..self }
    }

    /// SIP addresses at these hosts, in lower case, as well.
    #[must_use]
    pub fn sip_hosts(self, sip_hosts: Vec<String>) -> Self {
        Self { sip_hosts, ..self }
    }

    /// The callee, if they may be called.
    ///
    /// # Errors
    /// If this is no number and no address, or not an allowed one.
    pub fn callee(&self, to: &str) -> Result<Callee, Problem> {
        if to.starts_with("sip:") || to.starts_with("sips:") { self.sip(to) } else { self.number(to) }
    }

    fn number(&self, to: &str) -> Result<Callee, Problem> {
        let well_formed = to.parse::<PhoneNumber>().is_ok() && to.len() > "+123456".len();
        if !well_formed {
            return Err(Problem::of(Kind::InvalidRequest, "to: expected a number in E.164 form, such as +15005550006"));
        }
        if !self.prefixes.iter().any(|prefix| to.starts_with(prefix)) {
            let allowed = self.prefixes.join(", ");
            let detail =
                format!("to: only numbers that begin with {allowed} may be called (OUTBOUND_COUNTRY_PREFIXES)");
            return Err(Problem::of(Kind::CalleeNotAllowed, detail));
        }
        Ok(Callee(to.to_owned()))
    }

    fn sip(&self, to: &str) -> Result<Callee, Problem> {
        let malformed = || {
            Problem::of(Kind::InvalidRequest, "to: expected a SIP address such as sip:user@host, and nothing after it")
        };
        let rest = to.strip_prefix("sips:").or_else(|| to.strip_prefix("sip:")).unwrap_or_default();
        let (user, host) = rest.split_once('@').ok_or_else(malformed)?;
        let user_character = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+~".contains(&byte);
        let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
        let well_formed = !user.is_empty()
            && user.bytes().all(user_character)
            && is_host(name)
            && port.is_none_or(|port| port.parse::<u16>().is_ok())
            && to.len() < SIP_LIMIT;
        if !well_formed {
            return Err(malformed());
        }
        if !self.sip_hosts.iter().any(|allowed| name.eq_ignore_ascii_case(allowed)) {
            let detail = "to: SIP addresses at this host may not be called (OUTBOUND_SIP_HOSTS)";
            return Err(Problem::of(Kind::CalleeNotAllowed, detail));
        }
        Ok(Callee(to.to_owned()))
    }
}

/// Whether this is a host's name or an IPv4 address.
pub(super) fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(number: &str) -> Allowed {
        Allowed::country_of(&number.parse().unwrap())
    }

    fn refused(allowed: &Allowed, to: &str) -> Kind {
        allowed.callee(to).unwrap_err().kind
    }

    #[test]
    fn without_a_word_only_the_callers_own_country_may_be_called() {
        let british = from("+442071838750");
        assert_eq!(british.callee("+447400555010").unwrap().as_str(), "+447400555010");
        for abroad in ["+15550100001", "+4930555010", "+353155501000", "+881655501000"] {
            assert_eq!(refused(&british, abroad), Kind::CalleeNotAllowed, "{abroad}");
        }
        assert_eq!(refused(&british, "sip:desk@pbx.example.com"), Kind::CalleeNotAllowed);
    }

    #[test]
    fn countries_are_allowed_by_the_beginnings_of_their_numbers() {
        let two = from("+15550100100").prefixes(vec!["+1555".to_owned(), "+49".to_owned()]);
        assert!(two.callee("+15550100001").is_ok() && two.callee("+4930555010").is_ok());
        assert_eq!(refused(&two, "+18765550100"), Kind::CalleeNotAllowed);
    }

    #[test]
    fn what_is_no_number_is_not_dialled() {
        for wrong in [
            "",
            "+",
            "15550100001",
            "+05550100001",
            "+1555010000a",
            "+1 555 010 0001",
            "+1234567890123456",
            "+12345",
            "911",
            "client:jenny",
            " +15550100001",
            "+15550100001,123",
            "+15550100001;postd=1",
        ] {
            assert_eq!(refused(&from("+15550100100"), wrong), Kind::InvalidRequest, "{wrong}");
        }
    }

    #[test]
    fn sip_addresses_are_allowed_by_host_and_carry_nothing_else() {
        let allowed = from("+15550100100").sip_hosts(vec!["pbx.example.com".to_owned()]);
        for right in ["sip:desk@pbx.example.com", "sips:desk@PBX.example.com:5061", "sip:+1.2~3_4-5@pbx.example.com"] {
            assert!(allowed.callee(right).is_ok(), "{right}");
        }
        assert_eq!(refused(&allowed, "sip:desk@pbx.example.com.evil.example"), Kind::CalleeNotAllowed);
        for wrong in [
            "sip:desk@evil.example;x=@pbx.example.com",
            "sip:desk@evil.example?x@pbx.example.com",
            "sip:desk@pbx.example.com;transport=tls",
            "sip:desk@pbx.example.com?X-Header=1",
            "sip:desk@pbx.example.com:sixty",
            "sip:@pbx.example.com",
            "sip:desk",
            "sip:de sk@pbx.example.com",
        ] {
            assert_eq!(refused(&allowed, wrong), Kind::InvalidRequest, "{wrong}");
        }
    }
}
