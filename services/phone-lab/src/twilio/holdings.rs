//! What an account has besides its calls: API keys, phone numbers, and SIP domains with who may call them; each with where
//! its calls go (Twilio docs, "IncomingPhoneNumber resource", "SIP Domain resource", "Key resource").
//!
//! Pure: times and identifiers are handed in. An account that was told nothing has none of it, and every call goes where
//! [`super::Settings`] says.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{resource::rfc2822, twiml::Method, url::Url};

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    pub(super) keys: Vec<Key>,
    pub(super) numbers: Vec<Number>,
    pub(super) domains: Vec<Domain>,
    pub(super) lists: Vec<CredentialList>,
}

/// An API key.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) sid: String,
    pub(super) secret: String,
    pub(super) friendly_name: String,
    pub(super) created: Timestamp,
}

/// Where the calls to a number or domain go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) voice: Option<(Url, Method)>,
    pub(super) fallback: Option<(Url, Method)>,
    pub(super) status_callback: Option<(Url, Method)>,
}

/// A phone number of the account.
#[derive(Clone, Debug)]
pub(super) struct Number {
    pub(super) sid: String,
    pub(super) phone_number: String,
    pub(super) route: Route,
    pub(super) created: Timestamp,
}

/// A SIP domain of the account.
#[derive(Clone, Debug)]
pub(super) struct Domain {
    pub(super) sid: String,
    pub(super) domain_name: String,
    pub(super) friendly_name: String,
    pub(super) registration: bool,
    pub(super) route: Route,
    /// Lists of those who may call it, and register at it.
    pub(super) callers: Vec<String>,
    pub(super) registered: Vec<String>,
    pub(super) created: Timestamp,
}

/// Names and passwords of SIP phones; the passwords are nobody's to see.
#[derive(Clone, Debug)]
pub(super) struct CredentialList {
    pub(super) sid: String,
    pub(super) friendly_name: String,
    pub(super) usernames: Vec<String>,
    pub(super) created: Timestamp,
}

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To no number or domain of the account: wherever the lab's settings say.
    Unknown,
    /// There; with the domain, if it is one.
    To(Box<Route>, Option<String>),
    /// To a domain that lets nobody call.
    Closed,
}

impl Holdings {
    /// The way of a call to this number or SIP address.
    pub(super) fn way(&self, to: &str) -> Way {
        if let Some(number) = self.numbers.iter().find(|number| number.phone_number == to) {
            return Way::To(Box::new(number.route.clone()), None);
        }
        let host = to.strip_prefix("sip:").and_then(|rest| rest.split_once('@')).map(|(_, host)| host);
        let host = host.and_then(|host| host.split([';', '?', ':']).next());
        match self.domains.iter().find(|domain| Some(domain.domain_name.as_str()) == host) {
            Some(domain) if domain.callers.iter().any(|list| self.has_phones(list)) => {
                Way::To(Box::new(domain.route.clone()), Some(domain.sid.clone()))
            }
            Some(_) => Way::Closed,
            None => Way::Unknown,
        }
    }

    fn has_phones(&self, list: &str) -> bool {
        self.lists.iter().any(|known| known.sid == list && !known.usernames.is_empty())
    }
}

/// URL and method, each null without the other.
fn told(what: &Option<(Url, Method)>) -> (Value, Value) {
    let (url, method) = what.as_ref().map(|(url, method)| (url.to_string(), method.as_str())).unzip();
    (json!(url), json!(method))
}

impl Number {
    pub(super) fn json(&self, account_sid: &str) -> Value {
        let Self { sid, phone_number, route, created } = self;
        let ((voice_url, voice_method), (fallback_url, fallback_method)) = (told(&route.voice), told(&route.fallback));
        let (status_callback, status_callback_method) = told(&route.status_callback);
        json!({
            "sid": sid,
            "account_sid": account_sid,
            "friendly_name": phone_number,
            "phone_number": phone_number,
            "capabilities": { "voice": true, "sms": false, "mms": false },
            "voice_url": voice_url,
            "voice_method": voice_method,
            "voice_fallback_url": fallback_url,
            "voice_fallback_method": fallback_method,
            "status_callback": status_callback,
            "status_callback_method": status_callback_method,
            "date_created": rfc2822(*created),
            "date_updated": rfc2822(*created),
            "uri": format!("/2010-04-01/Accounts/{account_sid}/IncomingPhoneNumbers/{sid}.json"),
        })
    }
}

impl Domain {
    pub(super) fn json(&self, account_sid: &str) -> Value {
        let Self { sid, domain_name, friendly_name, registration, route, created, .. } = self;
        let ((voice_url, voice_method), (fallback_url, fallback_method)) = (told(&route.voice), told(&route.fallback));
        let (status_callback, status_callback_method) = told(&route.status_callback);
        json!({
            "sid": sid,
            "account_sid": account_sid,
            "domain_name": domain_name,
            "friendly_name": friendly_name,
            "sip_registration": registration,
            "voice_url": voice_url,
            "voice_method": voice_method,
            "voice_fallback_url": fallback_url,
            "voice_fallback_method": fallback_method,
            "voice_status_callback_url": status_callback,
            "voice_status_callback_method": status_callback_method,
            "date_created": rfc2822(*created),
            "date_updated": rfc2822(*created),
            "uri": format!("/2010-04-01/Accounts/{account_sid}/SIP/Domains/{sid}.json"),
        })
    }
}

impl Key {
    /// The secret is shown once, when the key is made.
    pub(super) fn json(&self) -> Value {
        let Self { sid, friendly_name, created, .. } = self;
        let date = rfc2822(*created);
        json!({ "sid": sid, "friendly_name": friendly_name, "date_created": date, "date_updated": date })
    }
}

impl CredentialList {
    pub(super) fn json(&self, account_sid: &str) -> Value {
        let Self { sid, friendly_name, created, .. } = self;
        let date = rfc2822(*created);
        json!({
            "sid": sid,
            "account_sid": account_sid,
            "friendly_name": friendly_name,
            "date_created": date,
            "date_updated": date,
            "uri": format!("/2010-04-01/Accounts/{account_sid}/SIP/CredentialLists/{sid}.json"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str) -> Route {
        let url = Url::parse(&format!("https://voice.example.test{path}")).unwrap();
        Route { voice: Some((url, Method::Post)), ..Route::default() }
    }

    #[test]
    fn a_call_goes_where_its_number_or_domain_says_and_a_domain_that_knows_nobody_is_closed() {
        let (created, sid) = (Timestamp::UNIX_EPOCH, |sid: &str| sid.to_owned());
        let mut holdings = Holdings::default();
        assert_eq!(holdings.way("+15550100100"), Way::Unknown);
        let phone_number = "+15550100100".to_owned();
        holdings.numbers.push(Number { sid: sid("PN1"), phone_number, route: route("/number"), created });
        assert_eq!(holdings.way("+15550100100"), Way::To(Box::new(route("/number")), None));
        assert_eq!(holdings.way("+15550100101"), Way::Unknown);
        holdings.domains.push(Domain {
            sid: sid("SD1"),
            domain_name: "acme.sip.twilio.com".to_owned(),
            friendly_name: String::new(),
            registration: false,
            route: route("/sip"),
            callers: vec![sid("CL1")],
            registered: Vec::new(),
            created,
        });
        let to = "sip:sales@acme.sip.twilio.com;transport=tls";
        assert_eq!(holdings.way(to), Way::Closed);
        let (friendly_name, usernames) = (String::new(), vec!["desk".to_owned()]);
        holdings.lists.push(CredentialList { sid: sid("CL1"), friendly_name, usernames, created });
        assert_eq!(holdings.way(to), Way::To(Box::new(route("/sip")), Some(sid("SD1"))));
    }
}
