//! The lab's signatures and those of Twilio's helper libraries, on the same random requests.

use std::fmt::Write;

use form_urlencoded::Serializer;
use offhook_hosting::entropy::Entropy;
use phone_lab::twilio::{signature, url::Url};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::client::{Language, run};

const REQUESTS: usize = 1000;

/// A request as a server gets it, and what the lab signed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Signed {
    pub(crate) token: String,
    /// As the server knows it: neither the userinfo nor the fragment of what was configured reaches it.
    pub(crate) url: String,
    /// The text of the URL that goes into the signature.
    pub(crate) signed: String,
    pub(crate) form: Option<String>,
    pub(crate) json: Option<String>,
    pub(crate) signature: String,
}

/// What a library says of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) accepted: bool,
    computed: String,
    /// Whether the library writes the URL otherwise than it was given, and signs that.
    #[serde(default)]
    pub(crate) rewritten: bool,
}

#[tokio::test]
async fn both_libraries_accept_and_compute_the_labs_signatures_and_refuse_what_was_altered() {
    let mut entropy = Entropy::from_seed(20);
    let requests: Vec<_> = (0..REQUESTS).map(|_| request(&mut entropy)).collect();
    let altered: Vec<_> = requests.iter().enumerate().map(|(n, request)| altered(request, n, &mut entropy)).collect();
    assert!(requests.iter().filter(|request| request.json.is_some()).count() > 100);
    assert!(requests.iter().filter(|request| request.url.starts_with("wss:")).count() > 100);
    for language in Language::ALL {
        let verdicts = ask(language, requests.iter().chain(&altered)).await;
        let (genuine, forged) = verdicts.split_at(REQUESTS);
        for (request, verdict) in requests.iter().zip(genuine) {
            assert!(verdict.accepted && verdict.computed == request.signature, "{language:?} {request:?} {verdict:?}");
        }
        for (request, verdict) in altered.iter().zip(forged) {
            assert!(!verdict.accepted, "{language:?} takes {request:?}");
        }
    }
}

/// Where a library is not of the documentation's opinion, the lab is.
#[tokio::test]
async fn the_requests_that_a_library_refuses_though_they_are_signed_as_documented_are_known() {
    let question_mark = sign("https://voice.example.test/call?", None, "token");
    let beyond_the_basic_plane = sign("https://voice.example.test/call", Some("～=1&😀=2".to_owned()), "token");
    // Signed with the port as it was configured, which is missing in the Host header that a server may go by.
    let standard_port = sign("wss://voice.example.test:443/media", None, "token");
    let standard_port = Signed { url: "wss://voice.example.test/media".to_owned(), ..standard_port };
    let requests = [question_mark, beyond_the_basic_plane, standard_port];
    let accepted = |verdicts: Vec<Verdict>| verdicts.iter().map(|verdict| verdict.accepted).collect::<Vec<_>>();
    assert_eq!(accepted(ask(Language::JavaScript, &requests).await), [true, false, false]);
    assert_eq!(accepted(ask(Language::Python, &requests).await), [false, true, false]);
}

pub(crate) async fn ask(language: Language, requests: impl IntoIterator<Item = &Signed>) -> Vec<Verdict> {
    let lines = requests.into_iter().fold(String::new(), |mut lines, request| {
        writeln!(lines, "{}", serde_json::to_string(request).unwrap()).unwrap();
        lines
    });
    let verdicts = run(language.client("signatures"), &lines).await;
    assert_eq!(verdicts.lines().count(), lines.lines().count());
    verdicts.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Signs a request for a URL as it is configured.
fn sign(configured: &str, form: Option<String>, token: &str) -> Signed {
    let configured = Url::parse(configured).unwrap();
    let pairs: Vec<_> = form_urlencoded::parse(form.as_deref().unwrap_or_default().as_bytes()).into_owned().collect();
    let signed = configured.signed();
    Signed {
        token: token.to_owned(),
        url: if configured.scheme() == "https" { configured.to_string() } else { signed.clone() },
        signature: signature::of_form(token, &signed, &pairs),
        signed,
        form,
        json: None,
    }
}

fn request(entropy: &mut Entropy) -> Signed {
    let token = format!("{:x}", u128::from_be_bytes(entropy.bytes()));
    let scheme = pick(entropy, &["https", "https", "https", "http", "wss"]);
    let userinfo = pick(entropy, &["", "", "name:pass%20word@", "name@"]);
    let host = pick(entropy, &["voice.example.test", "example.test", "a-b.c.example.test", "192.0.2.7"]);
    let port = pick(entropy, &["", "", ":8443", ":3000", ":443", ":80"]);
    let path = pick(entropy, &["", "/", "/call", "/call/", "/a%20b/it's;x=1/~c", "/%C3%A9(1)*!,"]);
    let fragment = pick(entropy, &["", "", "#rc=2&rp=all"]);
    let mut query = encoded(entropy, 4);
    let kind = if scheme == "wss" { "upgrade" } else { pick(entropy, &["form", "form", "form", "get", "json"]) };
    let json = (kind == "json").then(|| serde_json::json!({ "text": word(entropy), "n": 1 }).to_string());
    // A form's URL may have such a parameter too.
    let hashed = json.clone().or_else(|| (kind == "form" && entropy.between(0, 10) == 0).then(String::new));
    if let Some(body) = hashed {
        let hash: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
        let parts = [query, format!("bodySHA256={hash}")];
        query = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("&");
    }
    let question = if query.is_empty() { "" } else { "?" };
    let configured = format!("{scheme}://{userinfo}{host}{port}{path}{question}{query}{fragment}");
    let form = (kind == "form").then(|| encoded(entropy, 8));
    Signed { json, ..sign(&configured, form, &token) }
}

/// Up to so many pairs; some names come twice, some values are empty.
fn encoded(entropy: &mut Entropy, most: u64) -> String {
    let mut pairs = Serializer::new(String::new());
    for _ in 0..entropy.between(0, most + 1) {
        let name = match entropy.between(0, 3) {
            0 => word(entropy),
            _ => pick(entropy, &["CallSid", "From", "FromCity", "Digits", "digits", "_x"]).to_owned(),
        };
        let value = if entropy.between(0, 4) == 0 { String::new() } else { word(entropy) };
        pairs.append_pair(&name, &value);
        if entropy.between(0, 8) == 0 {
            pairs.append_pair(&name, &value);
        }
    }
    pairs.finish()
}

/// At least one character: letters, what URLs and forms escape, other scripts.
fn word(entropy: &mut Entropy) -> String {
    const CHARACTERS: [&str; 22] = [
        "a", "B", "z", "0", "9", "_", "-", ".", " ", "+", "&", "=", "%", "'", "\"", "/", "?", "#", "\n", "é", "☎", "😀",
    ];
    (0..entropy.between(1, 13)).map(|_| pick(entropy, &CHARACTERS)).collect()
}

/// The same with one thing changed, which the signature covers.
fn altered(request: &Signed, number: usize, entropy: &mut Entropy) -> Signed {
    let mut altered = request.clone();
    match number % 6 {
        0 => altered.token.push('0'),
        1 => {
            let other = if altered.signature.starts_with('A') { "B" } else { "A" };
            altered.signature.replace_range(..1, other);
        }
        2 => altered.url = altered.url.replacen("example.test", "example.text", 1).replacen("192.0", "192.1", 1),
        3 => {
            let (scheme, rest) = altered.url.split_once("://").unwrap();
            altered.url = format!("{}://{rest}", if scheme == "https" { "http" } else { "https" });
        }
        4 => {
            let separator = if altered.url.contains('?') { '&' } else { '?' };
            altered.url.push(separator);
            altered.url.push_str("added=1");
        }
        _ => match (&mut altered.form, &mut altered.json) {
            (Some(form), _) => *form = format!("{form}&added={}", entropy.between(0, 10)),
            (None, Some(json)) => json.push(' '),
            (None, None) => altered.signature.clear(),
        },
    }
    altered
}

pub(crate) fn pick<'a>(entropy: &mut Entropy, of: &[&'a str]) -> &'a str {
    let index = entropy.between(0, of.len() as u64);
    of[index as usize]
}
