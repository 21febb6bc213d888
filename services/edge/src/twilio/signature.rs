//! Whether a request comes from Twilio: `X-Twilio-Signature`.
//!
//! Twilio signs the URL it was told to call, followed by the sorted form parameters of a POST, with HMAC-SHA1 under the
//! account's auth token (Twilio docs, "Security"). Behind a proxy the process cannot see that URL, so it is put together
//! from the configured public origin and the request target exactly as it arrived. Nothing is parsed and written anew:
//! a URL library that re-encodes an apostrophe breaks the signature.
//!
//! Twilio drops the port of an `https` URL before it signs, while its own libraries accept both spellings; a media
//! socket is signed as `wss://`, and Twilio's docs advise to try a trailing slash. Each accepted spelling names the same
//! resource here, so accepting several gives nothing away. Comparison never leaves early.

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;

use crate::config::PublicUrl;

/// The request header that carries the signature.
pub const HEADER: &str = "x-twilio-signature";

/// Checks signatures against every token that may be in use: while a token is rotated there are two.
pub struct Verifier {
    tokens: Vec<SecretString>,
    public: PublicUrl,
}

/// Why a request was refused. Stable words, used as a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No signature came with the request.
    #[error("the signature is missing")]
    Missing,
    /// The signature is not base64 of 20 bytes.
    #[error("the signature is malformed")]
    Malformed,
    /// No token and no spelling of the URL gives this signature.
    #[error("the signature does not match")]
    Mismatch,
    /// The body is of a type that Twilio does not sign.
    #[error("the body is not covered by the signature")]
    UnsignedBody,
    /// The signature is right, but the account is not the configured one.
    #[error("the request belongs to another account")]
    OtherAccount,
}

impl Refused {
    /// The reason as a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Mismatch => "mismatch",
            Self::UnsignedBody => "unsigned_body",
            Self::OtherAccount => "other_account",
        }
    }
}

impl Verifier {
    /// Accepts what one of `tokens` signed for `public`.
    pub fn new(tokens: Vec<SecretString>, public: PublicUrl) -> Self {
        Self { tokens, public }
    }

    /// Checks a webhook. `target` is the raw path and query, `form` the raw body of a form POST, empty otherwise.
    ///
    /// # Errors
    /// If the request is not proven to be Twilio's.
    pub fn webhook(&self, signature: Option<&str>, target: &str, form: &[u8]) -> Result<(), Refused> {
        let host = self.public.host();
        let parameters = signed_parameters(form);
        let without_port = format!("https://{host}{target}");
        let with_port = format!("https://{host}:{}{target}", self.public.port().unwrap_or(443));
        self.matches(signature, &[without_port, with_port], &parameters)
    }

    /// Checks the upgrade of a media socket. `target` is the raw path.
    ///
    /// # Errors
    /// If the request is not proven to be Twilio's.
    pub fn upgrade(&self, signature: Option<&str>, target: &str) -> Result<(), Refused> {
        let told = format!("{}{target}", self.public.socket_origin());
        let mut spellings = vec![format!("{told}/"), told];
        let host = self.public.host();
        spellings.push(match self.public.port() {
            Some(_) => format!("wss://{host}{target}"),
            None => format!("wss://{host}:443{target}"),
        });
        self.matches(signature, &spellings, "")
    }

    fn matches(&self, signature: Option<&str>, urls: &[String], parameters: &str) -> Result<(), Refused> {
        let given = STANDARD.decode(signature.ok_or(Refused::Missing)?).map_err(|_| Refused::Malformed)?;
        if given.len() != 20 {
            return Err(Refused::Malformed);
        }
        // Every candidate is tried whatever matched before, so that the time taken tells nothing.
        let mut matched = false;
        for token in &self.tokens {
            for url in urls {
                matched |= mac(token, url, parameters).verify_slice(&given).is_ok();
            }
        }
        if matched { Ok(()) } else { Err(Refused::Mismatch) }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("tokens", &self.tokens.len()).field("public", &self.public).finish()
    }
}

/// The signature Twilio puts on a request to `url` with the raw form body `form`.
pub fn sign(token: &SecretString, url: &str, form: &[u8]) -> String {
    STANDARD.encode(mac(token, url, &signed_parameters(form)).finalize().into_bytes())
}

fn mac(token: &SecretString, url: &str, parameters: &str) -> Hmac<Sha1> {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(token.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(url.as_bytes());
    mac.update(parameters.as_bytes());
    mac
}

/// Names sorted by bytes, the distinct values of a name sorted, each written as name and value without separators.
fn signed_parameters(form: &[u8]) -> String {
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = form_urlencoded::parse(form).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs.iter().flat_map(|(name, value)| [name.as_ref(), value.as_ref()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "/myapp.php?foo=1&bar=2";
    const P: &str = "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212";

    fn token() -> SecretString {
        "12345".into()
    }

    fn verifier(origin: &str) -> Verifier {
        Verifier::new(vec!["of-last-year".into(), token()], origin.parse().unwrap())
    }

    fn signs(url: &str, form: &str, signature: &str) {
        assert_eq!(sign(&token(), url, form.as_bytes()), signature, "{url}");
    }

    /// From the test suites of Twilio's Python and Node libraries and its "Security" page.
    #[test]
    fn published_vectors_are_signed_alike() {
        let p2 = P.replace("4158675309", "4158675310");
        let u = "https://mycompany.com/myapp.php?foo=1&bar=2";
        signs(u, P, "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
        signs("https://example.com/myapp.php?foo=1&bar=2", &p2, "L/OH5YylLD5NRKLltdqwSvS0BnU=");
        let repeated = "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234";
        signs(u, repeated, "IK+Dwps556ElfBT0I3Rgjkr1wJU=");
        signs("http://mycompany.com:1234/myapp.php?foo=1&bar=2", P, "Zmvh+3yNM1Phv2jhDCwEM3q5ebU=");
        signs("https://mycompany.com:443/myapp.php?foo=1&bar=2", P, "kvajT1Ptam85bY51eRf/AJRuM3w=");
        signs("http://mycompany.com:80/myapp.php?foo=1&bar=2", P, "0ZXoZLH/DfblKGATFgpif+LLRf4=");
        let addresses = "MessagingBinding.Address=%2B1415xxxxxxx&MessagingBinding.Address=%2B1325xxxxxxx";
        signs(u, addresses, "83O6e2vORAoJHUNzJjDWN1jz+BA=");
        signs(&format!("{u}&Body=It%27s+amazing"), P, "TfZzewPq8wqrGlMfyAud8+/IvJ0=");
    }

    /// Made with an independent implementation of the same algorithm.
    #[test]
    fn derived_vectors_are_signed_alike() {
        let voice = "https://voice.example.com/twilio/voice";
        signs("wss://voice.example.com/media", "", "jFDHVhI8XO69C49uXR3xmdZPylY=");
        signs("wss://voice.example.com/media/", "", "BXF4dPv/qKwfALEQ/o2fVPPvK/c=");
        signs("https://voice.example.com/media", "", "2A768no+sGy6/ZLDxHITQfda/E8=");
        signs("wss://voice.example.com:443/media", "", "zT3E7J41/O0MIJ8mFRuffODYWF4=");
        signs("wss://voice.example.com:8443/media", "", "v5v5K44oP2LP16SojRpsMcloC/I=");
        signs(voice, "", "bzRjwRX9HXMr3YLXbRw0Tn4DXSQ=");
        let blanks = "CallSid=CA00000000000000000000000000000001&AccountSid=AC00000000000000000000000000000001\
            &FromCity=&FromZip=&CallStatus=ringing&From=%2B15005550006&To=%2B15005550009";
        signs(voice, blanks, "ouIclJWcZEqBZnJCy3C3a7cIfkU=");
        let unicode = "CallerName=Jos%C3%A9+%C3%91and%C3%BA+%E2%98%8E&CallSid=CA00000000000000000000000000000001";
        signs(voice, unicode, "Sh+RNJsDjY8434pPdaSWxIVPVco=");
        let padded = "Body=++padded++&CallSid=CA00000000000000000000000000000001";
        signs(voice, padded, "5l1Aa2rdRtiAu0SVhOWCsBEjjqI=");
        signs(voice, "a=1&B=2&A=3&_z=4", "nTFrza8Kb/5I1b+D1Y9HEUkqLKI=");
    }

    #[test]
    fn a_webhook_may_be_signed_with_the_port_or_without() {
        let (portless, with_443) = (Some("RSOYDt4T1cUTdK1PDd93/VVr8B8="), Some("kvajT1Ptam85bY51eRf/AJRuM3w="));
        let standard = verifier("https://mycompany.com");
        assert_eq!(standard.webhook(portless, TARGET, P.as_bytes()), Ok(()));
        assert_eq!(standard.webhook(with_443, TARGET, P.as_bytes()), Ok(()));
        assert_eq!(verifier("https://mycompany.com:1234").webhook(portless, TARGET, P.as_bytes()), Ok(()));
    }

    #[test]
    fn a_get_is_signed_by_its_query_alone() {
        let target = "/twilio/voice?CallSid=CA00000000000000000000000000000001&From=%2B15005550006&CallStatus=ringing";
        let voice = verifier("https://voice.example.com");
        assert_eq!(voice.webhook(Some("HWM/B5Fn7c1GxQsG1MjryYx6r1k="), target, b""), Ok(()));
    }

    #[test]
    fn a_media_socket_is_signed_as_wss_with_a_few_spellings() {
        let voice = verifier("https://voice.example.com");
        for right in ["jFDHVhI8XO69C49uXR3xmdZPylY=", "BXF4dPv/qKwfALEQ/o2fVPPvK/c=", "zT3E7J41/O0MIJ8mFRuffODYWF4="] {
            assert_eq!(voice.upgrade(Some(right), "/media"), Ok(()), "{right}");
        }
        let as_https = Some("2A768no+sGy6/ZLDxHITQfda/E8=");
        assert_eq!(voice.upgrade(as_https, "/media"), Err(Refused::Mismatch));
        let other_port = Some("v5v5K44oP2LP16SojRpsMcloC/I=");
        assert_eq!(voice.upgrade(other_port, "/media"), Err(Refused::Mismatch));
        let on_8443 = verifier("https://voice.example.com:8443");
        let portless = Some("jFDHVhI8XO69C49uXR3xmdZPylY=");
        assert_eq!(on_8443.upgrade(other_port, "/media"), Ok(()));
        assert_eq!(on_8443.upgrade(portless, "/media"), Ok(()));
        assert_eq!(on_8443.upgrade(as_https, "/media"), Err(Refused::Mismatch));
        let ticketed = Some("d8XhW6ZZpxYV+mjcBPfLOORn1NI=");
        assert_eq!(voice.upgrade(ticketed, "/media/6f1d2c3b4a5968778695a4b3c2d1e0f1"), Ok(()));
    }

    #[test]
    fn any_changed_byte_is_refused() {
        let right = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
        let company = verifier("https://mycompany.com");
        let check = |signature, target, form: &str| company.webhook(signature, target, form.as_bytes());
        assert_eq!(check(Some(right), TARGET, P), Ok(()));
        assert_eq!(check(None, TARGET, P), Err(Refused::Missing));
        assert_eq!(check(Some("not base64!"), TARGET, P), Err(Refused::Malformed));
        assert_eq!(check(Some(""), TARGET, P), Err(Refused::Malformed));
        assert_eq!(check(Some("RSOYDt4T1cUTdK1PDd93/VVr8B9="), TARGET, P), Err(Refused::Malformed));
        assert_eq!(check(Some("SSOYDt4T1cUTdK1PDd93/VVr8B8="), TARGET, P), Err(Refused::Mismatch));
        assert_eq!(check(Some(right), "/myapp.php?foo=1&bar=3", P), Err(Refused::Mismatch));
        assert_eq!(check(Some(right), TARGET, &P.replace("1234", "1235")), Err(Refused::Mismatch));
        assert_eq!(check(Some(right), TARGET, &P.replace("Digits", "Digit")), Err(Refused::Mismatch));
        assert_eq!(check(Some(right), TARGET, &format!("{P}&Extra=")), Err(Refused::Mismatch));
        let elsewhere = verifier("https://mycompany.org");
        assert_eq!(elsewhere.webhook(Some(right), TARGET, P.as_bytes()), Err(Refused::Mismatch));
        let other_token = Verifier::new(vec!["12346".into()], "https://mycompany.com".parse().unwrap());
        assert_eq!(other_token.webhook(Some(right), TARGET, P.as_bytes()), Err(Refused::Mismatch));
    }
}
