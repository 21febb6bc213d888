//! Which agent gets a call, and what the agent is told of it before a word is said.
//!
//! What callers and their telephone systems send is theirs to choose: it is bounded here, and what does not fit is left out
//! and counted.

use std::sync::Arc;

use offhook_agents::{Agent, Agents};

use crate::twilio::twiml::PARAMETER_LIMIT;

/// Parameters beside those that every call has.
pub const MOST_PARAMETERS: usize = 40;
/// Their names and values together. Escaping can make six of one byte, and a document may have 64 kB.
pub const MOST_BYTES: usize = 6 * 1024;

/// How Twilio hands on a header of a SIP call (Twilio docs, `<Sip>`, call parameters).
const SIP_HEADER: &str = "sipheader_";
/// Twilio's names for what is told of any call, and the agent's names for it.
const TOLD: [(&str, &str); 3] =
    [("CallerName", "caller_name"), ("ForwardedFrom", "forwarded_from"), ("StirVerstat", "stir_verstat")];

/// What a call is known by. `None`: not said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Called<'a> {
    /// The agent that was asked for by name.
    pub agent: Option<&'a str>,
    /// Our side's number or SIP address.
    pub line: Option<&'a str>,
    /// The SIP domain at which the call arrived.
    pub sip_domain: Option<&'a str>,
}

/// The agent of a call. Nobody has to be there to decide it: the default agent takes what no other claims.
pub fn agent_of<'a>(agents: &'a Agents, called: Called<'_>) -> &'a Arc<Agent> {
    let named = called.agent.and_then(|name| agents.named(name));
    let by_number = || called.line.and_then(|number| agents.of_number(number));
    let domain = called.sip_domain.or_else(|| called.line.and_then(sip_domain_of));
    let by_domain = || domain.and_then(|domain| agents.of_sip_domain(domain));
    named.or_else(by_number).or_else(by_domain).unwrap_or_else(|| agents.default_agent())
}

/// What an agent is told of a call beside who is on the line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Names and values, each pair short enough for Twilio.
    pub parameters: Vec<(String, String)>,
    /// How many there was no room for.
    pub left_out: usize,
}

impl Context {
    /// Adds what a webhook's parameters tell, in their order: SIP headers as `sip.NAME`, in lower case, and what Twilio
    /// knows of the caller.
    pub fn add_webhook<'a>(&mut self, parameters: impl Iterator<Item = (&'a str, &'a str)>) {
        for (name, value) in parameters {
            let told = TOLD.iter().find(|(twilios, _)| *twilios == name).map(|(_, ours)| (*ours).to_owned());
            if let Some(name) = told.or_else(|| sip_header(name)) {
                self.add(name, value);
            }
        }
    }

    /// Adds one, unless it is empty, there already, or there is no room.
    pub fn add(&mut self, name: String, value: &str) {
        if value.is_empty() {
            return;
        }
        let size = |name: &str, value: &str| name.len() + value.len();
        let taken: usize = self.parameters.iter().map(|(name, value)| size(name, value)).sum();
        let fits = size(&name, value) < PARAMETER_LIMIT
            && taken + size(&name, value) <= MOST_BYTES
            && self.parameters.len() < MOST_PARAMETERS
            && self.parameters.iter().all(|(other, _)| *other != name)
            && is_plain(&name);
        if fits {
            self.parameters.push((name, value.to_owned()));
        } else {
            self.left_out += 1;
        }
    }
}

/// The domain of a SIP address; `None` for anything else.
fn sip_domain_of(line: &str) -> Option<&str> {
    let address = line.strip_prefix("sips:").or_else(|| line.strip_prefix("sip:"))?;
    let host = address.rsplit_once('@').map_or(address, |(_, host)| host);
    host.split([':', ';', '?']).next()
}

fn sip_header(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    name.strip_prefix(SIP_HEADER).filter(|header| !header.is_empty()).map(|header| format!("sip.{header}"))
}

/// Names reach the model and logs of other systems: nothing but what a header's name may have.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENTS: &str = "
default: reception
agents:
  reception: {prompt: Hello.}
  night: {prompt: Hello.}
  sales: {prompt: Hello., numbers: ['+15005550006']}
  lab: {prompt: Hello., sip_domains: [lab.sip.twilio.com]}
";

    fn chosen(agent: Option<&str>, line: Option<&str>, sip_domain: Option<&str>) -> String {
        let agents = Agents::parse(AGENTS).unwrap();
        agent_of(&agents, Called { agent, line, sip_domain }).name.to_string()
    }

    fn told(parameters: &[(&str, &str)]) -> Context {
        let mut context = Context::default();
        context.add_webhook(parameters.iter().copied());
        context
    }

    #[test]
    fn a_call_belongs_to_the_agent_asked_for_then_to_its_number_then_to_its_domain_then_to_the_default() {
        let (sales, lab) = (Some("+15005550006"), Some("lab.sip.twilio.com"));
        assert_eq!(chosen(Some("night"), sales, lab), "night");
        assert_eq!(chosen(Some("nobody"), sales, lab), "sales", "an unknown name is passed over");
        assert_eq!(chosen(None, sales, lab), "sales");
        assert_eq!(chosen(None, Some("+15005550009"), lab), "lab");
        assert_eq!(chosen(None, Some("+15005550009"), None), "reception");
        assert_eq!(chosen(None, None, None), "reception");
    }

    #[test]
    fn a_sip_address_names_its_domain_where_twilio_does_not() {
        for line in
            ["sip:desk@lab.sip.twilio.com", "sips:LAB.sip.twilio.com:5061;transport=tls", "sip:a@b@lab.sip.twilio.com"]
        {
            assert_eq!(chosen(None, Some(line), None), "lab", "{line}");
        }
        assert_eq!(chosen(None, Some("client:lab.sip.twilio.com"), None), "reception");
    }

    #[test]
    fn sip_headers_are_told_whatever_their_case_and_other_parameters_are_not() {
        let context = told(&[
            ("SipHeader_X-Tenant", "t-42"),
            ("SIPHEADER_User-to-User", "3132"),
            ("CallerName", "Jane"),
            ("StirVerstat", "TN-Validation-Passed-A"),
            ("ForwardedFrom", ""),
            ("FromCity", "Springfield"),
            ("SipHeader_", "no name"),
        ]);
        let pairs = [
            ("sip.x-tenant", "t-42"),
            ("sip.user-to-user", "3132"),
            ("caller_name", "Jane"),
            ("stir_verstat", "TN-Validation-Passed-A"),
        ];
        assert_eq!(context.parameters, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(context.left_out, 0);
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_counted() {
        let long = "x".repeat(PARAMETER_LIMIT - "sip.x-a".len());
        let context = told(&[("SipHeader_X-A", &long), ("SipHeader_X-B", "b"), ("sipheader_x-b", "again")]);
        assert_eq!((context.parameters.len(), context.left_out), (1, 2));
        assert_eq!(told(&[("SipHeader_X-A", &long[1..])]).parameters.len(), 1);
        assert_eq!(told(&[("SipHeader_X\" onload", "a")]).left_out, 1);
    }

    #[test]
    fn a_caller_with_a_thousand_headers_gets_a_document_that_twilio_takes() {
        let names: Vec<_> = (0..1_000).map(|number| format!("SipHeader_X-{number}")).collect();
        for value in ["\"".repeat(400), "a".to_owned()] {
            let mut context = Context::default();
            context.add_webhook(names.iter().map(|name| (name.as_str(), value.as_str())));
            let bytes: usize = context.parameters.iter().map(|(name, value)| name.len() + value.len()).sum();
            assert!(bytes <= MOST_BYTES && context.parameters.len() <= MOST_PARAMETERS);
            assert_eq!(context.parameters.len() + context.left_out, 1_000);
        }
    }
}
