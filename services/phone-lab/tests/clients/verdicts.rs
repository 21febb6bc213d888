//! The edge's verdict on random requests, and that of Twilio's helper libraries: they have to be the same.
//!
//! Half of the requests are altered after they were signed; some of these alterations change nothing that is signed.
//! Where a library is known to be of another opinion than Twilio's documentation, a rule says so, and the other library is
//! asked all the same.

use edge::{
    config::PublicUrl,
    twilio::signature::{Body, Verifier},
};
use http::Uri;
use offhook_hosting::entropy::Entropy;
use phone_lab::twilio::signature;
use sha2::{Digest, Sha256};

use crate::{
    client::Language,
    signatures::{Signed, ask, pick},
};

const REQUESTS: usize = 12_000;
/// Each library is asked about so many at least.
const JUDGED: usize = 10_000;

/// A request to an edge.
struct Case {
    /// What the libraries are asked.
    asked: Signed,
    /// What the edge has as `PUBLIC_URL`.
    public: PublicUrl,
    /// The request line's.
    target: String,
    spelling: Spelling,
}

/// How the URL was spelled when it was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    /// As it was configured.
    AsConfigured,
    /// Without a port.
    Portless,
    /// With this port.
    Port(u16),
    /// With a slash behind it.
    Slash,
    /// With another scheme.
    OtherScheme,
}

#[tokio::test]
async fn the_edge_and_both_libraries_judge_random_requests_alike() {
    let mut entropy = Entropy::from_seed(5);
    let cases: Vec<_> = (0..REQUESTS).map(|_| draw(&mut entropy)).collect();
    let ours: Vec<bool> = cases.iter().map(edge_accepts).collect();
    let accepted = ours.iter().filter(|accepted| **accepted).count();
    assert!((REQUESTS / 4..REQUESTS * 3 / 4).contains(&accepted), "{accepted} were accepted");
    assert!(cases.iter().filter(|case| case.is_upgrade()).count() > REQUESTS / 10);
    assert!(cases.iter().filter(|case| case.asked.json.is_some()).count() > REQUESTS / 10);
    let mut judged_by = vec![0; REQUESTS];
    for language in Language::ALL {
        let verdicts = ask(language, cases.iter().map(|case| &case.asked)).await;
        let mut judged = 0;
        for (number, (case, verdict)) in cases.iter().zip(verdicts).enumerate() {
            if case.is_waived() || language == Language::JavaScript && case.is_sorted_by_utf_16() || verdict.rewritten {
                continue;
            }
            judged += 1;
            judged_by[number] += 1;
            let Case { asked, spelling, .. } = case;
            assert_eq!(ours[number], verdict.accepted, "{language:?} is of another opinion: {spelling:?} {asked:?}");
        }
        assert!(judged >= JUDGED, "{language:?} was asked about {judged} only");
    }
    // Some requests are odd in both libraries' ways at once.
    let unjudged = cases.iter().zip(judged_by).filter(|(case, judges)| *judges == 0 && !case.is_waived()).count();
    assert!(unjudged < REQUESTS / 100, "nobody was asked about {unjudged}");
}

/// On media sockets the libraries take `:80` for the standard port and know of no trailing slash; the edge does as
/// Twilio's documentation says.
#[tokio::test]
async fn the_spellings_of_a_media_sockets_url_that_the_libraries_know_otherwise_are_known() {
    let case = |spelling| Case::signed(None, "wss", "/media-stream/x", spelling, "token");
    let cases = [Spelling::Slash, Spelling::Port(443), Spelling::Port(80)].map(case);
    assert!(cases.iter().all(Case::is_waived));
    assert_eq!(cases.each_ref().map(edge_accepts), [true, true, false]);
    for language in Language::ALL {
        let verdicts = ask(language, cases.iter().map(|case| &case.asked)).await;
        assert_eq!(verdicts.iter().map(|verdict| verdict.accepted).collect::<Vec<_>>(), [false, false, true]);
    }
}

impl Case {
    /// A request without a body, signed in that spelling.
    fn signed(port: Option<u16>, scheme: &str, target: &str, spelling: Spelling, token: &str) -> Self {
        let host = "voice.Example.test";
        let authority = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let configured = format!("{scheme}://{authority}{target}");
        let signed = match spelling {
            Spelling::AsConfigured => configured.clone(),
            Spelling::Portless => format!("{scheme}://{host}{target}"),
            Spelling::Port(port) => format!("{scheme}://{host}:{port}{target}"),
            Spelling::Slash => format!("{configured}/"),
            Spelling::OtherScheme if scheme == "wss" => configured.replacen("wss", "https", 1),
            Spelling::OtherScheme => configured.replacen("https", "http", 1),
        };
        let asked = Signed {
            token: token.to_owned(),
            url: configured,
            signature: signature::of_url(token, &signed),
            signed,
            form: None,
            json: None,
        };
        let public = format!("https://{authority}").parse().unwrap();
        Self { asked, public, target: target.to_owned(), spelling }
    }

    fn with_form(mut self, form: String) -> Self {
        let pairs: Vec<_> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        self.asked.signature = signature::of_form(&self.asked.token, &self.asked.signed, &pairs);
        self.asked.form = Some(form);
        self
    }

    fn is_upgrade(&self) -> bool {
        self.asked.url.starts_with("wss:")
    }

    /// See the test above.
    fn is_waived(&self) -> bool {
        let standard = self.public.port().is_none() && !self.asked.url.contains(":443/");
        let port_is_disputed = standard && matches!(self.spelling, Spelling::Port(80 | 443));
        self.is_upgrade() && (self.spelling == Spelling::Slash || port_is_disputed)
    }

    /// Whether sorting by UTF-16, as JavaScript does, gives another order than sorting by bytes.
    fn is_sorted_by_utf_16(&self) -> bool {
        let form = self.asked.form.as_deref().unwrap_or_default();
        let mut pairs: Vec<_> = form_urlencoded::parse(form.as_bytes()).collect();
        pairs.sort();
        !pairs.is_sorted_by_key(|(name, value)| [name, value].map(|text| text.encode_utf16().collect::<Vec<_>>()))
    }

    /// Changes the target; the URL that the libraries are asked about changes with it.
    fn retarget(&mut self, target: String) {
        if arrives(&target) {
            self.asked.url.truncate(self.asked.url.len() - self.target.len());
            self.asked.url.push_str(&target);
            self.target = target;
        }
    }
}

fn edge_accepts(case: &Case) -> bool {
    let Signed { token, signature, form, json, .. } = &case.asked;
    let verifier = Verifier::new(vec!["another".into(), token.as_str().into()], case.public.clone());
    let uri: Uri = case.target.parse().unwrap();
    let target = uri.path_and_query().unwrap().as_str();
    let verdict = match (json, form) {
        _ if case.is_upgrade() => verifier.upgrade(Some(signature), target),
        (Some(json), _) => verifier.webhook(Some(signature), target, Body::Other(json.as_bytes())),
        (None, form) => {
            verifier.webhook(Some(signature), target, Body::Form(form.as_deref().unwrap_or_default().as_bytes()))
        }
    };
    verdict.is_ok()
}

/// Whether a request line with this target gets as far as the edge's routes, and unchanged.
fn arrives(target: &str) -> bool {
    target.parse::<Uri>().is_ok_and(|uri| uri.path_and_query().is_some_and(|same| same.as_str() == target))
}

fn draw(entropy: &mut Entropy) -> Case {
    let token = format!("{:x}", u128::from_be_bytes(entropy.bytes()));
    let scheme = pick(entropy, &["https", "https", "https", "wss"]);
    let port = [None, None, Some(443), Some(8443), Some(80)][entropy.between(0, 5) as usize];
    let spelling = match entropy.between(0, 12) {
        0 => Spelling::Portless,
        1 => Spelling::Port(443),
        2 => Spelling::Port(8443),
        3 => Spelling::Port(80),
        4 => Spelling::Slash,
        5 => Spelling::OtherScheme,
        _ => Spelling::AsConfigured,
    };
    let kind = if scheme == "wss" { "upgrade" } else { pick(entropy, &["form", "form", "get", "json"]) };
    let json = (kind == "json").then(|| serde_json::json!({ "text": word(entropy), "n": 1 }).to_string());
    let mut target = draw_target(entropy);
    if json.is_some() && entropy.between(0, 8) > 0 || kind == "form" && entropy.between(0, 20) == 0 {
        let hash = hex_of(json.as_deref().unwrap_or_default());
        target = format!("{target}{}bodySHA256={hash}", if target.contains('?') { '&' } else { '?' });
    }
    let mut case = Case::signed(port, scheme, &target, spelling, &token);
    if kind == "form" {
        case = case.with_form(draw_form(entropy));
    }
    case.asked.json = json;
    if entropy.between(0, 2) == 0 {
        alter(&mut case, entropy);
    }
    case
}

/// One thing is changed; not all of it is signed.
fn alter(case: &mut Case, entropy: &mut Entropy) {
    let target = case.target.clone();
    match entropy.between(0, 14) {
        0 => case.asked.token.push('0'),
        1 => {
            let other = if case.asked.signature.starts_with('A') { "B" } else { "A" };
            case.asked.signature.replace_range(..1, other);
        }
        // The same bytes, in another spelling of base64.
        2 => case.asked.signature = case.asked.signature.trim_end_matches('=').to_owned(),
        3 => case.asked.signature = case.asked.signature.replace('+', "-").replace('/', "_"),
        4 => case.asked.signature.insert(0, ' '),
        5 => case.asked.signature.clear(),
        6 => case.retarget(format!("{target}{}", pick(entropy, &["/", "?", "&", ";", "%00", "#", "x"]))),
        7 => case.retarget(target.replacen('/', pick(entropy, &["//", "/./", "/%2e/", "/%2F"]), 1)),
        8 => case.retarget(target.replace("%2f", "%2F").replace('\'', "%27").replace('@', "%40").replace('+', "%20")),
        9 => case.retarget(target.to_ascii_uppercase()),
        _ => alter_body(case, entropy),
    }
}

fn alter_body(case: &mut Case, entropy: &mut Entropy) {
    match (&mut case.asked.form, &mut case.asked.json) {
        (Some(form), _) => {
            let mut pairs: Vec<_> = form.split('&').map(str::to_owned).collect();
            match entropy.between(0, 6) {
                0 => pairs.reverse(),
                1 => pairs.push(pairs[0].clone()),
                2 => drop(pairs.pop()),
                3 => pairs.push(format!("{}=", word(entropy).replace(['&', '%'], ""))),
                4 => pairs[0] = pairs[0].replace('+', "%20").replace('a', "%61"),
                _ => pairs[0] = pairs[0].replacen('=', "", 1),
            }
            *form = pairs.join("&");
        }
        (None, Some(json)) => match entropy.between(0, 3) {
            0 => json.push(' '),
            1 => *json = json.replacen("\"n\":1", "\"n\":2", 1),
            _ => {
                let target = case.target.replace("bodySHA256=", "bodySHA256=0&bodySHA256=");
                case.retarget(target);
            }
        },
        (None, None) => case.asked.token.insert(0, '0'),
    }
}

/// A path and query as a server might be configured under, odd ones among them.
fn draw_target(entropy: &mut Entropy) -> String {
    loop {
        let path = pick(
            entropy,
            &[
                "/",
                "/incoming-call",
                "/a%20b/it's;x=1/~c",
                "/é(1)*!,",
                "//a/../b/",
                "/a%2fb%2Fc",
                "/a;",
                "/%zz/%",
                "/a:b@c",
            ],
        );
        let mut target = path.to_owned();
        for number in 0..entropy.between(0, 4) {
            target.push(if number == 0 { '?' } else { '&' });
            target.push_str(&raw_word(entropy));
            target.push_str(pick(entropy, &["=", "=", "=", ""]));
            target.push_str(&raw_word(entropy));
        }
        if arrives(&target) {
            return target;
        }
    }
}

/// Up to seven pairs; some names come twice, some values are empty, some escapes are none.
fn draw_form(entropy: &mut Entropy) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for _ in 0..entropy.between(0, 8) {
        let name = match entropy.between(0, 4) {
            0 => word(entropy),
            _ => pick(entropy, &["CallSid", "From", "FromCity", "Digits", "digits", "_x", "10", "9"]).to_owned(),
        };
        let value = if entropy.between(0, 4) == 0 { String::new() } else { word(entropy) };
        form.append_pair(&name, &value);
    }
    let form = form.finish();
    match entropy.between(0, 12) {
        0 => format!("{form}&{}", pick(entropy, &["%", "%zz=1", "a=%e9", "name", "=value", "&", "a==b", "%F0%9F=x"])),
        _ => form,
    }
}

fn word(entropy: &mut Entropy) -> String {
    const CHARACTERS: [&str; 25] = [
        "a", "B", "z", "0", "9", "_", "-", ".", " ", "+", "&", "=", "%", "'", "\"", "/", "?", "#", "\n", "é", "☎",
        "😀", "～", "ß", "\u{0}",
    ];
    (0..entropy.between(1, 10)).map(|_| pick(entropy, &CHARACTERS)).collect()
}

/// As it stands in a URL, escaped or not.
fn raw_word(entropy: &mut Entropy) -> String {
    const PIECES: [&str; 26] = [
        "a", "B", "7", "_", "-", ".", "~", "'", "(", ")", "*", "!", "@", ":", "$", ",", ";", "/", "+", "%20", "%2f",
        "%C3%A9", "%zz", "%", "|", "é",
    ];
    (0..entropy.between(0, 7)).map(|_| pick(entropy, &PIECES)).collect()
}

fn hex_of(body: &str) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}
