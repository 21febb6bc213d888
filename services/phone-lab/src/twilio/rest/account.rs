//! What an account sets up before its first call: keys, numbers and SIP domains. Made, listed and changed; what belongs
//! to messages, trunks and applications is not there.

use http::Method;
use serde_json::{Value, json};

use super::{
    Inner,
    request::{self, Answer, Form, Refusal, web_url},
};
use crate::twilio::{
    codes,
    holdings::{CredentialList, Domain, Holdings, Key, Number, Route},
    twiml::is_e164,
    url::Url,
};

/// What a domain's name ends with.
const DOMAINS: &str = ".sip.twilio.com";
/// The first number that is for sale, and how many there are.
const FOR_SALE: (u64, u64) = (15_550_199_001, 5);

const NUMBER: &[&str] = &[
    "PhoneNumber",
    "FriendlyName",
    "VoiceUrl",
    "VoiceMethod",
    "VoiceFallbackUrl",
    "VoiceFallbackMethod",
    "StatusCallback",
    "StatusCallbackMethod",
];
const DOMAIN: &[&str] = &[
    "DomainName",
    "FriendlyName",
    "VoiceUrl",
    "VoiceMethod",
    "VoiceFallbackUrl",
    "VoiceFallbackMethod",
    "VoiceStatusCallbackUrl",
    "VoiceStatusCallbackMethod",
    "SipRegistration",
];

impl Inner {
    /// Answers for a resource of the account, if it is one of those here. `is_main` is who came with the account's own
    /// token: keys cannot make keys.
    pub(super) fn account(
        &self,
        rest: &[&str],
        method: &Method,
        (query, form): (&str, &Form),
        is_main: bool,
    ) -> Option<Result<Answer, Refusal>> {
        let books = || self.twilio.ledger.holdings();
        let made = |shown: Result<Value, Refusal>| Some(shown.map(|shown| request::answer(201, &shown)));
        let shown = |shown: Result<Value, Refusal>| Some(shown.map(|shown| request::answer(200, &shown)));
        match (rest, method) {
            (["Keys.json"] | ["Keys", _], _) if !is_main => {
                let message = "keys are made with the account's SID and auth token, not with a key";
                Some(Err(Refusal::new(401, codes::NOT_AUTHENTICATED, message)))
            }
            (["Keys.json"], &Method::POST) => made(Ok(self.make_key(form))),
            (["Keys.json"], &Method::GET) => {
                shown(Ok(json!({ "keys": books().keys.iter().map(Key::json).collect::<Vec<_>>() })))
            }
            (["Keys", file], &Method::DELETE) => Some(delete_key(&mut books(), file)),
            (["IncomingPhoneNumbers.json"], &Method::POST) => made(self.buy(form)),
            (["IncomingPhoneNumbers.json"], &Method::GET) => shown(Ok(self.numbers(query))),
            (["IncomingPhoneNumbers", file], &Method::POST) => shown(self.change_number(file, form)),
            (["AvailablePhoneNumbers", _, "Local.json"], &Method::GET) => shown(Ok(for_sale(&books()))),
            (["SIP", rest @ ..], _) => self.sip(rest, method, form),
            _ => None,
        }
    }

    fn sip(&self, rest: &[&str], method: &Method, form: &Form) -> Option<Result<Answer, Refusal>> {
        let books = || self.twilio.ledger.holdings();
        let account_sid = &self.twilio.settings.account.account_sid;
        let made = |shown: Result<Value, Refusal>| Some(shown.map(|shown| request::answer(201, &shown)));
        let shown = |shown: Result<Value, Refusal>| Some(shown.map(|shown| request::answer(200, &shown)));
        match (rest, method) {
            (["Domains.json"], &Method::POST) => made(self.make_domain(form)),
            (["Domains.json"], &Method::GET) => {
                let domains: Vec<_> = books().domains.iter().map(|domain| domain.json(account_sid)).collect();
                shown(Ok(json!({ "domains": domains })))
            }
            (["Domains", file], &Method::POST) => shown(self.change_domain(file, form)),
            (["Domains", sid, "Auth", kind, "CredentialListMappings.json"], &Method::POST) => {
                made(self.admit(sid, kind, form))
            }
            (["CredentialLists.json"], &Method::POST) => made(self.make_list(form)),
            (["CredentialLists", sid, "Credentials.json"], &Method::POST) => made(self.make_credential(sid, form)),
            _ => None,
        }
    }

    fn sid(&self, kind: &str) -> String {
        format!("{kind}{:032x}", u128::from_be_bytes(self.twilio.entropy().bytes()))
    }

    fn make_key(&self, form: &Form) -> Value {
        let friendly_name = form.text("FriendlyName").unwrap_or_default().to_owned();
        let (sid, secret) = (self.sid("SK"), self.sid("")[..32].to_owned());
        let key = Key { sid, secret: secret.clone(), friendly_name, created: self.twilio.ledger.wall() };
        let mut shown = key.json();
        shown["secret"] = secret.into();
        self.twilio.ledger.holdings().keys.push(key);
        shown
    }

    fn buy(&self, form: &Form) -> Result<Value, Refusal> {
        let number = form.text("PhoneNumber").filter(|number| is_e164(number));
        let number = number.ok_or_else(|| bad(codes::BAD_PHONE_NUMBER, "PhoneNumber is no phone number"))?;
        let mut number = Number {
            sid: self.sid("PN"),
            phone_number: number.to_owned(),
            route: Route::default(),
            created: self.twilio.ledger.wall(),
        };
        route(&mut number.route, form, "StatusCallback", "StatusCallbackMethod")?;
        self.note_unknown(form, NUMBER);
        let mut books = self.twilio.ledger.holdings();
        if !are_for_sale(&books).any(|offered| offered == number.phone_number) {
            return Err(bad(codes::NOT_FOR_SALE, "PhoneNumber is not available"));
        }
        let shown = number.json(&self.twilio.settings.account.account_sid);
        books.numbers.push(number);
        Ok(shown)
    }

    fn numbers(&self, query: &str) -> Value {
        let wanted = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "PhoneNumber");
        let books = self.twilio.ledger.holdings();
        let found = books.numbers.iter().filter(|number| {
            wanted.as_ref().is_none_or(|(_, wanted)| number.phone_number.contains(wanted.trim_start_matches('+')))
        });
        let shown: Vec<_> = found.map(|number| number.json(&self.twilio.settings.account.account_sid)).collect();
        json!({ "incoming_phone_numbers": shown, "page": 0, "page_size": 50 })
    }

    fn change_number(&self, file: &str, form: &Form) -> Result<Value, Refusal> {
        self.note_unknown(form, NUMBER);
        let mut books = self.twilio.ledger.holdings();
        let sid = file.strip_suffix(".json");
        let number = books.numbers.iter_mut().find(|number| Some(number.sid.as_str()) == sid);
        let number = number.ok_or_else(|| Refusal::not_found(file))?;
        let mut changed = number.route.clone();
        route(&mut changed, form, "StatusCallback", "StatusCallbackMethod")?;
        number.route = changed;
        Ok(number.json(&self.twilio.settings.account.account_sid))
    }

    fn make_domain(&self, form: &Form) -> Result<Value, Refusal> {
        self.note_unknown(form, DOMAIN);
        let name = form.text("DomainName").filter(|name| is_domain(name));
        let name = name.ok_or_else(|| bad(codes::BAD_DOMAIN, "DomainName is no name below .sip.twilio.com"))?;
        let mut domain = Domain {
            sid: self.sid("SD"),
            domain_name: name.to_owned(),
            friendly_name: form.text("FriendlyName").unwrap_or_default().to_owned(),
            registration: form.is_true("SipRegistration"),
            route: Route::default(),
            callers: Vec::new(),
            registered: Vec::new(),
            created: self.twilio.ledger.wall(),
        };
        route(&mut domain.route, form, "VoiceStatusCallbackUrl", "VoiceStatusCallbackMethod")?;
        let mut books = self.twilio.ledger.holdings();
        if books.domains.iter().any(|known| known.domain_name == name) {
            return Err(bad(codes::DOMAIN_TAKEN, "DomainName is taken"));
        }
        let shown = domain.json(&self.twilio.settings.account.account_sid);
        books.domains.push(domain);
        Ok(shown)
    }

    fn change_domain(&self, file: &str, form: &Form) -> Result<Value, Refusal> {
        self.note_unknown(form, DOMAIN);
        let mut books = self.twilio.ledger.holdings();
        let sid = file.strip_suffix(".json");
        let domain = books.domains.iter_mut().find(|domain| Some(domain.sid.as_str()) == sid);
        let domain = domain.ok_or_else(|| Refusal::not_found(file))?;
        let mut changed = domain.route.clone();
        route(&mut changed, form, "VoiceStatusCallbackUrl", "VoiceStatusCallbackMethod")?;
        domain.route = changed;
        if form.text("SipRegistration").is_some() {
            domain.registration = form.is_true("SipRegistration");
        }
        Ok(domain.json(&self.twilio.settings.account.account_sid))
    }

    /// Lets the phones of a list call a domain, or register at it.
    fn admit(&self, sid: &str, kind: &str, form: &Form) -> Result<Value, Refusal> {
        let mut books = self.twilio.ledger.holdings();
        let list = form.text("CredentialListSid").unwrap_or_default();
        let friendly_name = books.lists.iter().find(|known| known.sid == list).map(|list| list.friendly_name.clone());
        let friendly_name =
            friendly_name.ok_or_else(|| bad(codes::BAD_CREDENTIAL_LIST, "no such CredentialListSid"))?;
        let domain = books.domains.iter_mut().find(|domain| domain.sid == sid);
        let domain = domain.ok_or_else(|| Refusal::not_found(sid))?;
        match kind {
            "Calls" => domain.callers.push(list.to_owned()),
            "Registrations" if domain.registration => domain.registered.push(list.to_owned()),
            "Registrations" => return Err(bad(codes::BAD_DOMAIN, "the domain has SipRegistration=false")),
            _ => return Err(Refusal::not_found(kind)),
        }
        let account_sid = &self.twilio.settings.account.account_sid;
        Ok(json!({ "sid": list, "account_sid": account_sid, "friendly_name": friendly_name }))
    }

    fn make_list(&self, form: &Form) -> Result<Value, Refusal> {
        let friendly_name = form.text("FriendlyName");
        let friendly_name = friendly_name.ok_or_else(|| bad(codes::BAD_CREDENTIAL_LIST, "FriendlyName is required"))?;
        let created = self.twilio.ledger.wall();
        let (sid, usernames, friendly_name) = (self.sid("CL"), Vec::new(), friendly_name.to_owned());
        let list = CredentialList { sid, friendly_name, usernames, created };
        let shown = list.json(&self.twilio.settings.account.account_sid);
        self.twilio.ledger.holdings().lists.push(list);
        Ok(shown)
    }

    fn make_credential(&self, list: &str, form: &Form) -> Result<Value, Refusal> {
        let mut books = self.twilio.ledger.holdings();
        let list = books.lists.iter_mut().find(|known| known.sid == list).ok_or_else(|| Refusal::not_found(list))?;
        let username = form.text("Username").ok_or_else(|| bad(codes::BAD_CREDENTIAL, "Username is required"))?;
        if !form.text("Password").is_some_and(is_strong) {
            let rule = "Password has 12 characters or more, among them a digit, a lower-case and an upper-case letter";
            return Err(bad(codes::BAD_CREDENTIAL, rule));
        }
        list.usernames.push(username.to_owned());
        Ok(json!({ "sid": self.sid("CR"), "credential_list_sid": list.sid, "username": username }))
    }

    fn note_unknown(&self, form: &Form, known: &[&str]) {
        form.unknown(known).iter().for_each(|finding| self.twilio.ledger.log(None, None, finding));
    }
}

/// Takes over where calls are to go; a blank URL takes it away.
fn route(route: &mut Route, form: &Form, callback: &str, callback_method: &str) -> Result<(), Refusal> {
    for (target, url, method) in [
        (&mut route.voice, "VoiceUrl", "VoiceMethod"),
        (&mut route.fallback, "VoiceFallbackUrl", "VoiceFallbackMethod"),
        (&mut route.status_callback, callback, callback_method),
    ] {
        let given =
            form.method(method).map_err(|_| bad(codes::BAD_NUMBER_METHOD, &format!("{method} is no method")))?;
        match form.all(url).next() {
            None => {
                if let (Some((_, kept)), Some(_)) = (target.as_mut(), form.text(method)) {
                    *kept = given;
                }
            }
            Some("") => *target = None,
            Some(text) => {
                let parsed: Option<Url> = web_url(text);
                let parsed = parsed.ok_or_else(|| bad(codes::BAD_NUMBER_URL, &format!("{url} is not a valid URL")))?;
                *target = Some((parsed, given));
            }
        }
    }
    if route.voice.is_none() && route.fallback.is_some() {
        return Err(bad(codes::FALLBACK_ALONE, "Cannot set VoiceFallbackUrl without setting Url"));
    }
    Ok(())
}

fn delete_key(books: &mut Holdings, file: &str) -> Result<Answer, Refusal> {
    let before = books.keys.len();
    books.keys.retain(|key| Some(key.sid.as_str()) != file.strip_suffix(".json"));
    if books.keys.len() == before { Err(Refusal::not_found(file)) } else { Ok(request::no_content()) }
}

fn are_for_sale(books: &Holdings) -> impl Iterator<Item = String> {
    let (first, count) = FOR_SALE;
    let offered = (first..first + count).map(|number| format!("+{number}"));
    offered.filter(|offered| books.numbers.iter().all(|number| number.phone_number != *offered))
}

fn for_sale(books: &Holdings) -> Value {
    let offered = are_for_sale(books).map(|number| {
        let capabilities = json!({ "voice": true, "SMS": false, "MMS": false });
        json!({ "phone_number": number, "friendly_name": number, "iso_country": "US", "capabilities": capabilities })
    });
    json!({ "available_phone_numbers": offered.collect::<Vec<_>>() })
}

fn is_domain(name: &str) -> bool {
    let label = name.strip_suffix(DOMAINS).unwrap_or_default();
    let fits = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    label.split('.').all(fits)
}

/// Twilio docs, "SIP Credential resource", `Password`.
fn is_strong(password: &str) -> bool {
    let has = |fits: fn(&char) -> bool| password.chars().any(|letter| fits(&letter));
    password.chars().count() >= 12
        && has(char::is_ascii_digit)
        && has(char::is_ascii_lowercase)
        && has(char::is_ascii_uppercase)
}

fn bad(code: u32, message: &str) -> Refusal {
    Refusal::new(400, code, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twilio::twiml;

    #[test]
    fn urls_of_a_number_are_taken_over_one_by_one_and_a_bad_one_changes_nothing() {
        let changed = |route_before: &Route, pairs: &[(&str, &str)]| {
            let mut changed = route_before.clone();
            route(&mut changed, &Form::of(pairs), "StatusCallback", "StatusCallbackMethod").map(|()| changed)
        };
        let code = |route_before: &Route, pairs: &[(&str, &str)]| changed(route_before, pairs).unwrap_err().code;
        let none = Route::default();
        let url = "https://voice.example.test/incoming-call";
        let voice = changed(&none, &[("VoiceUrl", url), ("VoiceMethod", "GET")]).unwrap();
        assert_eq!(voice.voice, Some((Url::parse(url).unwrap(), twiml::Method::Get)));
        assert_eq!(changed(&voice, &[("VoiceMethod", "POST")]).unwrap().voice.unwrap().1, twiml::Method::Post);
        assert_eq!(changed(&voice, &[("VoiceUrl", "")]).unwrap(), none);
        assert_eq!(code(&none, &[("VoiceUrl", "/incoming-call")]), codes::BAD_NUMBER_URL);
        assert_eq!(code(&none, &[("VoiceUrl", url), ("VoiceMethod", "PUT")]), codes::BAD_NUMBER_METHOD);
        assert_eq!(code(&none, &[("VoiceFallbackUrl", url)]), codes::FALLBACK_ALONE);
        assert_eq!(code(&voice, &[("StatusCallback", "nowhere")]), codes::BAD_NUMBER_URL);
    }

    #[test]
    fn a_domain_is_a_name_below_twilios_and_a_password_is_not_easily_guessed() {
        for (name, fine) in [
            ("acme.sip.twilio.com", true),
            ("acme-1.sip.twilio.com", true),
            ("acme.example.com", false),
            (".sip.twilio.com", false),
            ("-acme.sip.twilio.com", false),
            ("a_b.sip.twilio.com", false),
        ] {
            assert_eq!(is_domain(name), fine, "{name}");
        }
        for (password, fine) in [
            ("Correct4horse", true),
            ("Correct4hor", false),
            ("correct4horse", false),
            ("CORRECT4HORSE", false),
            ("Correcthorse", false),
        ] {
            assert_eq!(is_strong(password), fine, "{password}");
        }
    }
}
