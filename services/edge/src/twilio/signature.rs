//! Whether a request comes from Twilio: `X-Twilio-Signature`.
//!
//! Twilio signs the URL it was told to call, followed by the sorted form parameters of a POST, with HMAC-SHA1 under the
//! account's auth token (Twilio docs, "Security"); of another body, such as JSON, the URL carries the hash. Behind a proxy
//! the process cannot see that URL, so it is put together from the configured public origin and the request target exactly
//! as it arrived. Nothing is parsed and written anew: a URL library that re-encodes an apostrophe breaks the signature.
//!
//! Twilio drops the port of an `https` URL before it signs, while its own libraries accept both spellings; a media
//! socket is signed as `wss://`, and Twilio's docs advise to try a trailing slash. Each accepted spelling names the same
//! resource here, so accepting several gives nothing away. Comparison never leaves early.

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::{config::PublicUrl, development::NotPublic};

/// The request header that carries the signature.
pub const HEADER: &str = "x-twilio-signature";

/// Checks signatures against every token that may be in use: while a token is rotated there are two.
pub struct Verifier {
    tokens: Vec<SecretString>,
    skipped: Option<NotPublic>,
    public: PublicUrl,
}

/// What came with a webhook, raw.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// A form, or nothing: its parameters are signed.
    Form(&'a [u8]),
    /// Anything else: its hash is in the URL, and the URL is signed.
    Other(&'a [u8]),
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
    /// The body is no form, and its hash is not in the URL.
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
        Self { tokens, skipped: None, public }
    }

    /// Accepts anything, which only a URL that is not public allows.
    pub fn taking_anything(because: NotPublic, public: PublicUrl) -> Self {
        Self { tokens: Vec::new(), skipped: Some(because), public }
    }

    /// Checks a webhook. `target` is the raw path and query.
    ///
    /// # Errors
    /// If the request is not proven to be Twilio's.
    pub fn webhook(&self, signature: Option<&str>, target: &str, body: Body<'_>) -> Result<(), Refused> {
        if self.skipped.is_some() {
            return Ok(());
        }
        let host = self.public.host();
        let parameters = match body {
            Body::Form(form) => signed_parameters(form),
            Body::Other(bytes) => covered_by_url(bytes, target).then(String::new).ok_or(Refused::UnsignedBody)?,
        };
        let without_port = format!("https://{host}{target}");
        let with_port = format!("https://{host}:{}{target}", self.public.port().unwrap_or(443));
        self.matches(signature, &[without_port, with_port], &parameters)
    }

    /// Checks the upgrade of a media socket. `target` is the raw path.
    ///
    /// # Errors
    /// If the request is not proven to be Twilio's.
    pub fn upgrade(&self, signature: Option<&str>, target: &str) -> Result<(), Refused> {
        if self.skipped.is_some() {
            return Ok(());
        }
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
        f.debug_struct("Verifier")
            .field("tokens", &self.tokens.len())
            .field("public", &self.public)
            .finish_non_exhaustive()
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

/// Whether `bodySHA256` in the query is the body's hash; nothing needs none (Twilio docs, "Security").
fn covered_by_url(body: &[u8], target: &str) -> bool {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let given = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "bodySHA256");
    match given {
        Some((_, hash)) => hash == Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        None => body.is_empty(),
    }
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

    /// V1 to V6, V10 and V13: from the test suites of Twilio's Python and Node libraries and its "Security" page.
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
        assert_eq!(standard.webhook(portless, TARGET, Body::Form(P.as_bytes())), Ok(()));
        assert_eq!(standard.webhook(with_443, TARGET, Body::Form(P.as_bytes())), Ok(()));
        assert_eq!(verifier("https://mycompany.com:1234").webhook(portless, TARGET, Body::Form(P.as_bytes())), Ok(()));
    }

    /// V7, V8 and V9 of Twilio's libraries; the second is signed with the port that the URL does not have.
    #[test]
    fn a_json_body_is_covered_by_its_hash_in_the_url() {
        let company = verifier("https://mycompany.com");
        let check = |signature, target: &str, body: &str| {
            company.webhook(Some(signature), target, Body::Other(body.as_bytes()))
        };
        let (body, signature) = ("{\"property\": \"value\", \"boolean\": true}", "a9nBmqA0ju/hNViExpshrM61xv4=");
        let hash = "bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
        let target = format!("{TARGET}&{hash}");
        assert_eq!(check(signature, &target, body), Ok(()));
        assert_eq!(check("y77kIzt2vzLz71DgmJGsen2scGs=", &format!("/myapp.php?{hash}"), body), Ok(()));
        let empty = format!("{TARGET}&bodySHA256=44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
        assert_eq!(check("Ldidvp12m26NI7eqEvxnEpkd9Hc=", &empty, "{}"), Ok(()));
        assert_eq!(check(signature, &target, "{\"property\": \"other\"}"), Err(Refused::UnsignedBody));
        assert_eq!(check(signature, &target, ""), Err(Refused::UnsignedBody));
        let unhashed = sign(&token(), &format!("https://mycompany.com{TARGET}"), b"");
        assert_eq!(check(&unhashed, TARGET, body), Err(Refused::UnsignedBody));
        assert_eq!(check(&unhashed, &target, body), Err(Refused::Mismatch));
        // A form remains a form, whatever its URL says.
        assert_eq!(company.webhook(Some(signature), &target, Body::Form(P.as_bytes())), Err(Refused::Mismatch));
        let form = sign(&token(), &format!("https://mycompany.com{target}"), P.as_bytes());
        assert_eq!(company.webhook(Some(&form), &target, Body::Form(P.as_bytes())), Ok(()));
    }

    /// V11 and V12, which Twilio itself never signs: a user and a password in the configured URL are taken out first.
    #[test]
    fn a_url_that_was_signed_with_its_password_is_not_ours() {
        let company = verifier("https://mycompany.com");
        for signature in ["CukzLTc1tT5dXEDIHm/tKBanW10=", "2YRLlVAflCqxaNicjMpJcSTgzSs="] {
            assert_eq!(company.webhook(Some(signature), TARGET, Body::Form(P.as_bytes())), Err(Refused::Mismatch));
        }
    }

    /// Pitfall 30: signatures keep to the old token until the new one is promoted.
    #[test]
    fn while_a_token_is_rotated_both_are_taken_and_afterwards_one() {
        let (url, form) = (format!("https://mycompany.com{TARGET}"), Body::Form(P.as_bytes()));
        let by = |token: &str| sign(&token.into(), &url, P.as_bytes());
        let taken = |tokens: &[&str], signature: &str| {
            let tokens = tokens.iter().map(|&token| token.into()).collect();
            Verifier::new(tokens, "https://mycompany.com".parse().unwrap())
                .webhook(Some(signature), TARGET, form)
                .is_ok()
        };
        assert!(taken(&["current"], &by("current")) && !taken(&["current"], &by("next")));
        assert!(taken(&["current", "next"], &by("current")) && taken(&["current", "next"], &by("next")));
        assert!(!taken(&["next"], &by("current")));
        assert!(!taken(&[], &by("")), "no token takes nothing");
    }

    /// Pitfall 24: these come as they are, and a parser of URLs would write some of them differently.
    #[test]
    fn a_target_is_signed_as_it_arrives_whatever_a_url_library_would_make_of_it() {
        let company = verifier("https://mycompany.com");
        for target in
            ["/a'b?c='d'", "/a?b=c@d:e", "/a?b=%2f%2F", "/./a//b/../c", "/a%20b?c=d+e", "/a?", "/a?b=|^`{}", "/~é?ü"]
        {
            let signature = sign(&token(), &format!("https://mycompany.com{target}"), b"");
            assert_eq!(company.webhook(Some(&signature), target, Body::Form(b"")), Ok(()), "{target}");
        }
    }

    /// Pitfall 25: parameters are signed in UTF-8.
    #[test]
    fn a_name_in_any_script_is_signed_as_utf_8() {
        let form = "CallerName=Jos%C3%A9+%C3%91and%C3%BA+%E2%98%8E&CallSid=CA00000000000000000000000000000001";
        let signature = Some("Sh+RNJsDjY8434pPdaSWxIVPVco=");
        let voice = verifier("https://voice.example.com");
        assert_eq!(voice.webhook(signature, "/twilio/voice", Body::Form(form.as_bytes())), Ok(()));
        let latin_1 = form.replace("%C3%A9", "%E9");
        assert_eq!(voice.webhook(signature, "/twilio/voice", Body::Form(latin_1.as_bytes())), Err(Refused::Mismatch));
    }

    #[test]
    fn a_get_is_signed_by_its_query_alone() {
        let target = "/twilio/voice?CallSid=CA00000000000000000000000000000001&From=%2B15005550006&CallStatus=ringing";
        let voice = verifier("https://voice.example.com");
        assert_eq!(voice.webhook(Some("HWM/B5Fn7c1GxQsG1MjryYx6r1k="), target, Body::Form(b"")), Ok(()));
    }

    /// Pitfall 3.
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
        let check = |signature, target, form: &str| company.webhook(signature, target, Body::Form(form.as_bytes()));
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
        assert_eq!(elsewhere.webhook(Some(right), TARGET, Body::Form(P.as_bytes())), Err(Refused::Mismatch));
        let other_token = Verifier::new(vec!["12346".into()], "https://mycompany.com".parse().unwrap());
        assert_eq!(other_token.webhook(Some(right), TARGET, Body::Form(P.as_bytes())), Err(Refused::Mismatch));
    }
}
