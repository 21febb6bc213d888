//! Logging in where a URL holds a name and a password: Basic, or Digest with MD5 (Twilio docs, "Security").
//!
//! Pure: what makes each answer unlike the last is handed in.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use md5::{Digest as _, Md5};

/// How a client that was challenged answers from then on.
#[derive(Clone)]
pub(super) enum Login {
    Basic(HeaderValue),
    Digest(Digest),
}

/// A Digest challenge and who meets it.
#[derive(Clone)]
pub(super) struct Digest {
    name: String,
    password: String,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    /// Whether the server protects against replays by counting (`qop="auth"`).
    counts: bool,
    count: u32,
}

impl Login {
    /// Meets a challenge, if it names a realm and asks for something that Twilio can do.
    pub(super) fn meet(challenge: &str, userinfo: &str) -> Option<Self> {
        let (scheme, rest) = challenge.trim().split_once(' ')?;
        let parameters = parameters(rest);
        let find = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let realm = find("realm")?;
        if scheme.eq_ignore_ascii_case("basic") {
            let value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(userinfo)));
            return Some(Self::Basic(value.expect("base64 is a header value")));
        }
        let md5 = find("algorithm").is_none_or(|algorithm| algorithm.eq_ignore_ascii_case("md5"));
        let qop = find("qop");
        let counts = qop.as_deref().map(|qop| qop.split(',').any(|offered| offered.trim() == "auth"));
        if !scheme.eq_ignore_ascii_case("digest") || !md5 || counts == Some(false) {
            return None;
        }
        let (name, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        Some(Self::Digest(Digest {
            name: name.to_owned(),
            password: password.to_owned(),
            realm,
            nonce: find("nonce")?,
            opaque: find("opaque"),
            counts: counts.is_some(),
            count: 0,
        }))
    }

    /// Whether a server that challenges once more only wants its newer nonce used.
    pub(super) fn is_stale(&self, next: &Self, challenge: &str) -> bool {
        match (self, next) {
            (Self::Digest(now), Self::Digest(next)) => {
                now.nonce != next.nonce && challenge.to_ascii_lowercase().contains("stale=true")
            }
            (Self::Basic(_), _) | (_, Self::Basic(_)) => false,
        }
    }

    /// The `Authorization` of the next request.
    pub(super) fn header(&mut self, method: &str, target: &str, client_nonce: &str) -> HeaderValue {
        match self {
            Self::Basic(value) => value.clone(),
            Self::Digest(digest) => digest.header(method, target, client_nonce),
        }
    }
}

impl Digest {
    fn header(&mut self, method: &str, target: &str, client_nonce: &str) -> HeaderValue {
        self.count += 1;
        let Self { name, password, realm, nonce, opaque, counts, count } = self;
        let secret = md5_hex(&format!("{name}:{realm}:{password}"));
        let request = md5_hex(&format!("{method}:{target}"));
        let mut text = format!("Digest username=\"{name}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{target}\"");
        if *counts {
            let response = md5_hex(&format!("{secret}:{nonce}:{count:08x}:{client_nonce}:auth:{request}"));
            let counted = format!(", qop=auth, nc={count:08x}, cnonce=\"{client_nonce}\", response=\"{response}\"");
            text.push_str(&counted);
        } else {
            text.push_str(&format!(", response=\"{}\"", md5_hex(&format!("{secret}:{nonce}:{request}"))));
        }
        if let Some(opaque) = opaque {
            text.push_str(&format!(", opaque=\"{opaque}\""));
        }
        HeaderValue::try_from(text).expect("its parts came from headers and a URL")
    }
}

fn md5_hex(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `name=value` pairs between commas; a value may be quoted and hold commas then.
fn parameters(mut text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some((name, rest)) = text.split_once('=') {
        let (value, rest) = match rest.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
            Some((value, rest)) => (value, rest.split_once(',').map_or("", |(_, rest)| rest)),
            None => rest.split_once(',').unwrap_or((rest, "")),
        };
        found.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        text = rest;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: &str = "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
                             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";

    #[test]
    fn the_digest_of_rfc_2617_comes_out_and_requests_are_counted() {
        let mut login = Login::meet(CHALLENGE, "Mufasa:Circle Of Life").unwrap();
        let first = login.header("GET", "/dir/index.html", "0a4f113b");
        let first = first.to_str().unwrap();
        assert!(first.contains("response=\"6629fae49393a05397450978507c4ef1\""), "{first}");
        assert!(first.contains("nc=00000001") && first.contains("opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""));
        let second = login.header("GET", "/dir/index.html", "0a4f113b");
        assert!(second.to_str().unwrap().contains("nc=00000002"));
    }

    #[test]
    fn without_qop_the_older_digest_is_used() {
        let mut login = Login::meet("Digest realm=\"a\", nonce=\"b\"", "u:p").unwrap();
        let expected = md5_hex(&format!("{}:b:{}", md5_hex("u:a:p"), md5_hex("POST:/x")));
        let header = login.header("POST", "/x", "never used");
        assert!(header.to_str().unwrap().ends_with(&format!("response=\"{expected}\"")));
    }

    #[test]
    fn a_challenge_that_cannot_be_met_is_none() {
        for challenge in [
            "Basic",
            "Basic charset=\"UTF-8\"",
            "Bearer realm=\"a\"",
            "Digest realm=\"a\"",
            "Digest realm=\"a\", nonce=\"b\", algorithm=SHA-256",
            "Digest realm=\"a\", nonce=\"b\", qop=\"auth-int\"",
        ] {
            assert!(Login::meet(challenge, "u:p").is_none(), "{challenge}");
        }
    }

    #[test]
    fn only_a_newer_nonce_makes_a_challenge_stale() {
        let meet = |nonce: &str| Login::meet(&format!("Digest realm=\"a\", nonce=\"{nonce}\""), "u:p").unwrap();
        assert!(meet("1").is_stale(&meet("2"), "Digest stale=TRUE, nonce=\"2\""));
        assert!(!meet("1").is_stale(&meet("1"), "Digest stale=true, nonce=\"1\""));
        assert!(!meet("1").is_stale(&meet("2"), "Digest nonce=\"2\""));
    }
}
