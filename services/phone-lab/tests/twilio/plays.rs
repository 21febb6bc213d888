//! `<Play>`: files that are fetched, kept and heard, and keys that are sent; `<Say>` that repeats.

use std::io::Cursor;

use bytes::Bytes;
use http::{Method, Response, header};
use http_body_util::Full;
use phone_lab::{
    mulaw, tones,
    twilio::{CallEnd, CallOptions, CallReport, Happening, codes},
};

use crate::edge::{Answer, Edge, PUBLIC_URL, Seen, TOKEN, answer, caller, signature, twiml};

fn wav(text: &str, rate: u32) -> Vec<u8> {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: rate, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    tones::speak(text).into_iter().for_each(|sample| writer.write_sample(sample).unwrap());
    writer.finalize().unwrap();
    bytes.into_inner()
}

fn file(kind: &str, bytes: Vec<u8>, headers: &[(&'static str, &'static str)]) -> Answer {
    let response = Response::builder().header(header::CONTENT_TYPE, kind);
    let response = headers.iter().fold(response, |response, (name, value)| response.header(*name, *value));
    response.body(Full::from(Bytes::from(bytes))).unwrap()
}

/// An edge with this document, and this file at every other URL.
fn playing(document: &'static str, file: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Edge {
    Edge::answering(move |seen| if seen.target == "/incoming-call" { twiml(document) } else { file(seen) })
}

fn texts(report: &CallReport) -> Vec<&str> {
    report.heard.iter().map(|utterance| utterance.text.as_str()).collect()
}

fn fetched(edge: &Edge) -> Vec<Seen> {
    edge.seen().into_iter().filter(|seen| seen.target.starts_with("/files/")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_file_is_fetched_and_heard_as_often_as_told() {
    let edge = playing("<Play loop=\"2\">/files/hello.wav</Play><Say>done</Say>", |_| {
        file("audio/wav", wav("hello from a file", 8000), &[])
    });
    let report = edge.call("").await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::DocumentEnded, vec![]));
    assert_eq!(texts(&report), ["hello from a file", "hello from a file", "done"]);
    let [seen] = &fetched(&edge)[..] else { panic!("fetched once: {:?}", fetched(&edge)) };
    assert_eq!((&seen.method, seen.form.len()), (&Method::GET, 0));
    let signed = signature(TOKEN, &format!("{PUBLIC_URL}/files/hello.wav"), &[]);
    assert_eq!(seen.header("x-twilio-signature"), Some(signed.as_str()));
    assert!(report.timeline.iter().any(|event| event.what == Happening::Plays { path: "/files/hello.wav".into() }));
}

#[tokio::test(start_paused = true)]
async fn bare_mu_law_is_heard_and_what_the_lab_cannot_play_is_silence_with_a_note() {
    let mulaw = |_: &Seen| file("audio/ulaw", tones::speak("raw").into_iter().map(mulaw::encode).collect(), &[]);
    assert_eq!(texts(&playing("<Play>/files/a</Play>", mulaw).call("").await), ["raw"]);
    for (kind, bytes) in [("audio/mpeg", vec![0; 100]), ("audio/wav", wav("too fast", 16_000))] {
        let edge = playing("<Play>/files/a</Play><Say>next</Say>", move |_| file(kind, bytes.clone(), &[]));
        let report = edge.call("").await;
        assert_eq!((texts(&report), report.code_numbers()), (vec!["next"], vec![codes::LAB]), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_sound_fails_the_document_with_its_code() {
    let say = "<Play>/files/a</Play><Say>never</Say>";
    let gather = "<Gather><Play>/files/a</Play></Gather>";
    for (document, kind, status, body, code) in [
        (say, "text/html", 200, b"<html/>".to_vec(), codes::PLAY_CONTENT_TYPE),
        (gather, "text/html", 200, b"<html/>".to_vec(), codes::GATHER_PLAY_CONTENT_TYPE),
        (say, "audio/wav", 200, b"RIFF but no more".to_vec(), codes::PLAY_CONTENT_TYPE),
        (say, "audio/wav", 404, Vec::new(), codes::RETRIEVAL),
    ] {
        let edge = playing(document, move |_| {
            let mut answer = file(kind, body.clone(), &[]);
            *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
            answer
        });
        let report = edge.call("").await;
        assert_eq!((report.end, report.code_numbers()), (CallEnd::ApplicationError, vec![code]), "{kind} {status}");
    }
    let report = playing("<Play>https://elsewhere.example.test/a.wav</Play>", |_| answer(200, "", "")).call("").await;
    assert_eq!(report.code_numbers(), [codes::NO_SUCH_HOST]);
}

/// What three calls that play the same file ask for, when it comes with these headers: `If-None-Match`, each time.
async fn asked_for(headers: &'static [(&'static str, &'static str)]) -> Vec<Option<String>> {
    let edge = playing("<Play>/files/a</Play>", move |seen| match seen.header("if-none-match") {
        Some(_) => Response::builder().status(304).body(Full::default()).unwrap(),
        None => file("audio/wav", wav("kept", 8000), headers),
    });
    let twilio = edge.twilio();
    for _ in 0..3 {
        let report = twilio.call(caller(""), CallOptions::default()).await;
        assert_eq!((texts(&report), report.code_numbers()), (vec!["kept"], vec![]));
    }
    fetched(&edge).iter().map(|seen| seen.header("if-none-match").map(str::to_owned)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_file_is_kept_as_its_server_allows() {
    assert_eq!(asked_for(&[]).await, [None, None, None], "nothing tells whether it has changed");
    let tag = || Some("\"1\"".to_owned());
    assert_eq!(asked_for(&[("etag", "\"1\"")]).await, [None, tag(), tag()]);
    assert_eq!(asked_for(&[("etag", "\"1\""), ("cache-control", "no-cache, max-age=60")]).await, [None, tag(), tag()]);
    assert_eq!(asked_for(&[("cache-control", "public, max-age=60")]).await, [None]);
    assert_eq!(asked_for(&[("cache-control", "no-store"), ("etag", "\"1\"")]).await, [None, None, None]);
}

#[tokio::test(start_paused = true)]
async fn a_sound_file_instead_of_a_document_is_played_and_that_is_all() {
    let report = Edge::answering(|_| file("audio/wav", wav("no twiml at all", 8000), &[])).call("").await;
    assert_eq!(
        (texts(&report), report.end, report.code_numbers()),
        (vec!["no twiml at all"], CallEnd::DocumentEnded, vec![])
    );
    let report = Edge::answering(|_| file("audio/mpeg", vec![0; 10], &[])).call("").await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::ApplicationError, vec![codes::LAB]));
}

#[tokio::test(start_paused = true)]
async fn keys_are_heard_as_keys_and_lie_on_the_line_as_tones() {
    let edge = Edge::answering(|_| twiml("<Play digits=\"1w2#\"/><Say>dialled</Say>"));
    let report = edge.call("{ await_keys: '12#' }, { say: menu two }").await;
    assert_eq!((report.keys_heard.as_str(), texts(&report)), ("12#", vec!["dialled"]));
    assert_eq!(report.said[0].text, "menu two");
    let first = report.heard_pcm.iter().position(|sample| *sample != 0).unwrap();
    assert!(report.heard_pcm[first..first + 800].iter().any(|sample| sample.abs() > 8000), "the tone of a key");
    let keys: Vec<_> = report
        .timeline
        .iter()
        .filter_map(|event| if let Happening::KeyHeard { digit } = event.what { Some((digit, event.at)) } else { None })
        .collect();
    let pause = (keys[1].1 - keys[0].1).as_millis();
    assert!((680..=720).contains(&pause), "0.5 s more than between other keys: {pause}");
}

#[tokio::test(start_paused = true)]
async fn what_repeats_for_ever_ends_with_the_call() {
    let edge = playing("<Play loop=\"0\">/files/a</Play>", |_| file("audio/wav", wav("on hold", 8000), &[]));
    let report = edge.call("{ wait: 3s }, hang_up").await;
    assert_eq!(report.end, CallEnd::CallerHungUp);
    assert!(report.heard.len() > 10, "{}", report.heard.len());
    let report = Edge::answering(|_| twiml("<Say loop=\"3\">again</Say>")).call("").await;
    assert_eq!(texts(&report), ["again", "again", "again"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_cuts_off_a_file_that_prompts_for_it() {
    let edge = Edge::answering(|seen| match (seen.target.as_str(), seen.parameter("Digits")) {
        ("/files/menu", _) => file("audio/x-wav", wav("for the weather press one, for the news press two", 8000), &[]),
        (_, Some(digits)) => twiml(&format!("<Say>you pressed {digits}</Say>")),
        (_, None) => twiml("<Gather numDigits=\"1\"><Play loop=\"5\">/files/menu</Play></Gather>"),
    });
    let report = edge.call("{ wait: 500ms }, { press: '2' }").await;
    let [menu, reply] = &texts(&report)[..] else { panic!("{:?}", report.heard) };
    assert!("for the weather press one, for the news".starts_with(menu.trim_end_matches('\u{fffd}')), "{menu}");
    assert_eq!((*reply, report.code_numbers()), ("you pressed 2", vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_pause_may_be_as_long_as_it_can_be_written() {
    for document in ["<Pause length=\"4294967295\"/>", "<Gather><Pause length=\"4294967295\"/></Gather>"] {
        let edge = Edge::answering(move |_| twiml(document));
        let report = edge.call("{ wait: 2s }, hang_up").await;
        assert_eq!((report.end, report.code_numbers()), (CallEnd::CallerHungUp, vec![]), "{document}");
    }
}
