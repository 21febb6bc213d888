//! Rules about frames, broken on a real connection by a client that signs what it sends.

use std::time::Duration;

use aws_smithy_types::event_stream::{Header, HeaderValue};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::SignedDuration;
use offhook_hosting::clock::Clock;
use phone_lab::bedrock::{SessionEnd, Settings};
use serde_json::json;
use tokio::time::timeout;

use crate::{raw::*, support::*};

const GENERIC: &str = "Invalid input request, please fix your input and try again.";

async fn lab() -> (Lab, Raw) {
    let lab = Lab::quick().await;
    let raw = Raw::connect(&lab).await;
    (lab, raw)
}

/// An outer frame around a session's first event, of which nothing is right but the frame.
fn frame() -> Vec<u8> {
    outer(Vec::new(), &inner(&session_start()))
}

/// The frame with these bytes in place of others.
fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = frame();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

#[tokio::test]
async fn what_is_no_frame_resets_its_stream_and_no_other() {
    let (lab, mut raw) = lab().await;
    let mut other = raw.open();
    other.send_event(&session_start()).await;
    let last = frame().len() - 1;
    let (lengths, undecodable) = ("frame lengths are inconsistent", "frame does not decode");
    let broken = [
        (vec![0; 64], lengths),
        // Shorter than its headers; headers of one byte, or of more than 128 KiB; a payload of more than 24 MiB.
        (with(0, &[0, 0, 0, 16, 0, 0, 0, 8]), lengths),
        (with(4, &[0, 0, 0, 1]), lengths),
        (with(0, &[0, 4, 0, 0, 0, 2, 0, 1]), lengths),
        (with(0, &[1, 0x80, 0, 0x11]), lengths),
        (with(8, &[1, 2, 3, 4]), undecodable),
        (with(last, &[frame()[last] ^ 1]), undecodable),
    ];
    for (bytes, what) in broken {
        let mut call = raw.open();
        call.send_bytes(bytes).await;
        let error = call.next().await.unwrap_err();
        assert!(error.contains("INTERNAL_ERROR, Remote"), "{error}");
        assert_eq!(lab.report().end, Some(SessionEnd::Violation(format!("malformed input: {what}"))));
    }
    other.send_event(&prompt_start()).await;
    other.send_event(&session_start()).await;
    assert_eq!(other.exception().await.0, "validationException");
}

#[tokio::test]
async fn a_message_without_a_proper_date_or_signature_is_refused() {
    let (_lab, mut raw) = lab().await;
    let now = Clock.wall();
    let text = |name: &'static str| Header::new(name, HeaderValue::String("2026".into()));
    let wrong = [
        vec![],
        vec![dated(now)],
        vec![signed(&[0; 32])],
        vec![dated(now), text(":chunk-signature")],
        vec![text(":date"), signed(&[0; 32])],
    ];
    for headers in wrong {
        let mut call = raw.open();
        call.send_bytes(outer(headers, &inner(&session_start()))).await;
        let (kind, message) = call.exception().await;
        let expected = format!("RequestId={} : the message is not signed", call.id);
        assert_eq!((kind.as_str(), message), ("InvalidSignatureException", expected));
    }
}

#[tokio::test]
async fn messages_have_to_follow_in_their_chain_and_in_time() {
    let (_lab, mut raw) = lab().await;
    let now = Clock.wall();
    let refused = async |call: &mut RawCall| {
        let (kind, message) = call.exception().await;
        assert_eq!(kind, "InvalidSignatureException");
        message.split_once(" : ").unwrap().1.to_owned()
    };
    let mut twice = raw.open();
    let first = twice.sign(&inner(&session_start()), now);
    twice.send_bytes(first.clone()).await;
    twice.send_bytes(first).await;
    assert_eq!(refused(&mut twice).await, "the chunk signature does not match");
    let mut ahead = raw.open();
    let early = ahead.sign(&inner(&session_start()), now + SignedDuration::from_mins(6));
    ahead.send_bytes(early).await;
    assert_eq!(refused(&mut ahead).await, "the message date is more than 5 minutes off");
    let mut back = raw.open();
    let [first, second] = [1, -1].map(|seconds| {
        let event = if seconds == 1 { session_start() } else { prompt_start() };
        back.sign(&inner(&event), now + SignedDuration::from_secs(seconds))
    });
    back.send_bytes(first).await;
    back.send_bytes(second).await;
    // Backwards is fine, as some SDKs do; what is refused is what comes after it.
    let early = back.sign(&inner(&session_start()), now + SignedDuration::from_mins(6));
    back.send_bytes(early).await;
    assert_eq!(refused(&mut back).await, "the message date is more than 5 minutes off");
}

/// The text with which a session ends after this inner frame.
async fn refusal(raw: &mut Raw, inner: &[u8]) -> String {
    let mut call = raw.open();
    call.send_inner(inner).await;
    let (kind, message) = call.exception().await;
    assert_eq!(kind, "validationException");
    message.strip_prefix(&format!("RequestId={} : ", call.id)).unwrap().to_owned()
}

#[tokio::test]
async fn an_inner_frame_has_to_be_the_chunk_of_an_event() {
    let (_lab, mut raw) = lab().await;
    let start = r#"{"bytes":"eyJldmVudCI6eyJzZXNzaW9uU3RhcnQiOnt9fX0="}"#;
    for wrong in [chunk("exception", "chunk", start), chunk("event", "other", start), b"no frame at all".to_vec()] {
        assert_eq!(refusal(&mut raw, &wrong).await, GENERIC);
    }
    let mut call = raw.open();
    call.send_inner(&chunk("event", "chunk", start)).await;
    call.send_event(&prompt_start()).await;
    call.send_event(&json!({"promptEnd": {"promptName": "P"}})).await;
    let message = "Prompt [P] must have at least one audio content";
    assert!(call.exception().await.1.ends_with(message), "the right one was taken");
}

#[tokio::test]
async fn a_chunk_that_holds_no_json_cannot_be_parsed() {
    let (_lab, mut raw) = lab().await;
    for payload in ["no json", "{}", r#"{"bytes":7}"#, r#"{"bytes":"?"}"#, r#"{"bytes":"bm8ganNvbg=="}"#] {
        assert_eq!(refusal(&mut raw, &chunk("event", "chunk", payload)).await, "Unable to parse input chunk");
    }
}

#[tokio::test]
async fn an_event_of_more_than_a_million_bytes_is_too_large() {
    let (_lab, mut raw) = lab().await;
    let padded = |bytes: usize| {
        let json = r#"{"event":{"sessionStart":{}}}"#;
        let json = format!("{json}{}", " ".repeat(bytes - json.len()));
        chunk("event", "chunk", &json!({"bytes": STANDARD.encode(json)}).to_string())
    };
    assert_eq!(refusal(&mut raw, &padded(1_000_001)).await, GENERIC);
    let mut call = raw.open();
    call.send_inner(&padded(1_000_000)).await;
    let mut prompt = prompt_start();
    prompt["promptStart"]["audioOutputConfiguration"]["voiceId"] = json!("nobody");
    call.send_event(&prompt).await;
    assert!(call.exception().await.1.ends_with("Received invalid id: 'nobody'"), "a million bytes were taken");
}

/// Everything of a session but the frame that ends its events.
async fn say_all(call: &mut RawCall) {
    let opening = [session_start(), prompt_start(), system_start(), system_text("S"), end("S"), audio_start()];
    let closing = [audio(&[0; 160]), end("A"), json!({"promptEnd": {"promptName": "P"}}), json!({"sessionEnd": {}})];
    for event in opening.iter().chain(&closing) {
        call.send_event(event).await;
    }
}

#[tokio::test]
async fn a_stream_ends_with_one_empty_frame() {
    let lab = Lab::start(Settings { answer_immediately: true, ..quick("{}") }).await;
    let mut raw = Raw::connect(&lab).await;
    let mut endings = Vec::new();
    for (empty_frames, more) in [(1, false), (0, false), (1, true)] {
        let mut call = raw.open();
        say_all(&mut call).await;
        for _ in 0..empty_frames {
            call.send_inner(&[]).await;
        }
        if more {
            call.send_event(&session_start()).await;
        }
        call.end_body();
        while call.next().await.unwrap().is_some() {}
        let report = lab.report();
        endings.push((report.end.unwrap(), report.violations));
    }
    let (without, after) =
        ("the stream ended without the empty frame", "a frame follows the empty frame that ends the events");
    assert_eq!(endings[0], (SessionEnd::ByTheBook, vec![]));
    assert_eq!(endings[1], (SessionEnd::ClientVanished(without.into()), vec![without.to_owned()]));
    assert_eq!(endings[2], (SessionEnd::ByTheBook, vec![after.to_owned()]));
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_frame_is_put_on_record() {
    let (lab, mut raw) = lab().await;
    let mut call = raw.open();
    call.send_event(&session_start()).await;
    call.send_bytes(frame()[..20].to_vec()).await;
    call.end_body();
    assert!(call.next().await.unwrap().is_none());
    assert_eq!(lab.report().end, Some(SessionEnd::ClientVanished("stream ends inside a frame".into())));
}

#[tokio::test]
async fn a_stream_stays_open_after_its_completion_until_the_clients_half_is_closed() {
    let (lab, mut raw) = lab().await;
    let mut call = raw.open();
    say_all(&mut call).await;
    while call.next_event().await.0 != "completionEnd" {}
    let early = timeout(Duration::from_millis(200), call.next()).await;
    assert!(early.is_err() && lab.server.live_sessions() == 1, "{early:?}");
    call.send_inner(&[]).await;
    call.end_body();
    assert!(call.next().await.unwrap().is_none());
    assert_eq!(lab.report().end, Some(SessionEnd::ByTheBook));
}
