//! How documents travel: packed, and behind a name and a password.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{Response, header};
use http_body_util::Full;
use md5::{Digest, Md5};
use offhook_hosting::{clock::Clock, entropy::Entropy};
use phone_lab::twilio::{CallEnd, CallOptions, CallReport, Settings, Twilio, codes, url::Url};

use crate::edge::{Answer, Edge, PUBLIC_URL, Seen, TOKEN, answer, caller, signature, twiml};

fn packed(encoding: &str, body: &[u8]) -> Answer {
    let response = Response::builder().header(header::CONTENT_TYPE, "text/xml");
    response.header(header::CONTENT_ENCODING, encoding).body(Full::from(Bytes::copy_from_slice(body))).unwrap()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_document_may_come_packed_as_offered() {
    let edge = Edge::answering(|_| packed("gzip", &gzip("<Response><Say>packed</Say></Response>")));
    let report = edge.call("").await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::DocumentEnded, vec![]));
    assert_eq!(report.heard[0].text, "packed");
    assert_eq!(edge.seen()[0].header("accept-encoding"), Some("gzip"));
}

#[tokio::test(start_paused = true)]
async fn a_packed_document_is_refused_for_what_it_is_unpacked() {
    let bomb = format!("<Response><!--{}--></Response>", "x".repeat(64 * 1024));
    let whole = gzip("<Response/>");
    for (encoding, body, code) in [
        ("gzip", gzip(&bomb), codes::TOO_LARGE),
        ("gzip", gzip("<Response>"), codes::PARSE_FAILURE),
        ("gzip", b"<Response/>".to_vec(), codes::HTTP_VIOLATION),
        ("gzip", whole[..whole.len() - 6].to_vec(), codes::HTTP_VIOLATION),
        ("br", b"<Response/>".to_vec(), codes::HTTP_VIOLATION),
    ] {
        let report = Edge::answering(move |_| packed(encoding, &body)).call("").await;
        assert_eq!((report.end, report.code_numbers()), (CallEnd::ApplicationError, vec![code]), "{:?}", report.codes);
    }
}

/// What stands behind a name in an `Authorization`.
fn part<'a>(authorization: &'a str, name: &str) -> &'a str {
    let (_, rest) = authorization.split_once(&format!(" {name}=")).unwrap();
    rest.split(',').next().unwrap().trim_matches('"')
}

fn md5(text: &str) -> String {
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn challenge(challenge: &'static str) -> Answer {
    let mut response = answer(401, "text/plain", "");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.parse().unwrap());
    response
}

async fn call_behind_a_password(edge: &Edge) -> CallReport {
    let voice_url = Url::parse("https://twilio:secret@voice.example.test/incoming-call").unwrap();
    let settings = Settings { voice_url, ..edge.settings() };
    Twilio::new(settings, Clock, Entropy::from_seed(7)).call(caller(""), CallOptions::default()).await
}

#[tokio::test(start_paused = true)]
async fn a_digest_challenge_is_met_for_each_request_anew() {
    let edge = Edge::answering(|seen: &Seen| match (seen.header("authorization"), seen.target.as_str()) {
        (None, _) => challenge("Digest realm=\"edge\", qop=\"auth\", nonce=\"n1\", opaque=\"o\""),
        (Some(_), "/incoming-call") => twiml("<Redirect method=\"GET\">/next</Redirect>"),
        (Some(_), _) => twiml("<Hangup/>"),
    });
    let report = call_behind_a_password(&edge).await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::HungUpByDocument, vec![]));
    let seen = edge.seen();
    assert_eq!(seen.len(), 3, "one request is repeated");
    assert_eq!(seen[0].header("authorization"), None);
    for (seen, count) in seen[1..].iter().zip(["00000001", "00000002"]) {
        let given = seen.header("authorization").unwrap();
        let (secret, request) = (md5("twilio:edge:secret"), md5(&format!("{}:{}", seen.method, seen.target)));
        let expected = md5(&format!("{secret}:n1:{count}:{}:auth:{request}", part(given, "cnonce")));
        assert_eq!((part(given, "response"), part(given, "nc")), (expected.as_str(), count));
        assert_eq!((part(given, "uri"), part(given, "opaque")), (seen.target.as_str(), "o"));
    }
    let signed = signature(TOKEN, &format!("{PUBLIC_URL}/incoming-call"), &seen[1].form);
    assert_eq!(seen[1].header("x-twilio-signature"), Some(signed.as_str()), "credentials are not signed");
}

#[tokio::test(start_paused = true)]
async fn a_stale_nonce_is_followed_and_refused_credentials_are_not_tried_again() {
    let edge = Edge::answering(|seen: &Seen| match seen.header("authorization") {
        None => challenge("Digest realm=\"edge\", nonce=\"n1\""),
        Some(given) if given.contains("\"n1\"") => challenge("Digest realm=\"edge\", nonce=\"n2\", stale=true"),
        Some(_) => twiml("<Hangup/>"),
    });
    assert_eq!(call_behind_a_password(&edge).await.end, CallEnd::HungUpByDocument);
    assert_eq!(edge.seen().len(), 3);
    for (asked, requests) in [
        ("Digest realm=\"edge\", nonce=\"n1\"", 2),
        ("Digest realm=\"edge\", nonce=\"n1\", algorithm=SHA-512-256", 1),
        ("Digest nonce=\"n1\"", 1),
    ] {
        let edge = Edge::answering(move |_| challenge(asked));
        let report = call_behind_a_password(&edge).await;
        assert_eq!((report.code_numbers(), edge.seen().len()), (vec![codes::RETRIEVAL], requests), "{asked}");
    }
}
