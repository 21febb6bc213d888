//! The media socket: its opening, its messages both ways, and each of its ends.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use phone_lab::twilio::{CallEnd, CallOptions, Happening, RawMessage, Signing, codes};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, time::sleep};

use crate::edge::{Edge, Line, TOKEN, signature, twiml};

/// Where a test's server leaves what it got.
#[derive(Clone, Default)]
struct Got(Arc<Mutex<Vec<Value>>>);

impl Got {
    fn keep(&self, line: Line) {
        *self.0.lock().unwrap() = line.got;
    }

    fn all(&self) -> Vec<Value> {
        self.0.lock().unwrap().clone()
    }

    fn events(&self) -> Vec<String> {
        self.all().iter().map(|message| message["event"].as_str().unwrap().to_owned()).collect()
    }
}

/// An edge whose server keeps what it got after this talk.
macro_rules! keeping {
    ($got:ident, |$line:ident| $talk:expr) => {{
        let got = $got.clone();
        Edge::talking(move |mut $line| {
            let got = got.clone();
            async move {
                $talk;
                got.keep($line);
            }
        })
    }};
}

fn is_about(value: Duration, expected_ms: u64) -> bool {
    (expected_ms.saturating_sub(100)..=expected_ms + 100).contains(&(value.as_millis() as u64))
}

#[tokio::test(start_paused = true)]
async fn the_upgrade_carries_twilios_headers_and_a_signature_over_the_wss_url() {
    let edge = Edge::talking(Line::close);
    edge.call("").await;
    let seen = edge.seen();
    let upgrade = &seen[1];
    assert_eq!(upgrade.target, "/media/7");
    for (name, value) in [
        ("host", "voice.example.test"),
        ("user-agent", "Twilio.TmeWs/1.0"),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("x-twilio-signature", &signature(TOKEN, "wss://voice.example.test/media/7", &[])),
    ] {
        assert_eq!(upgrade.header(name), Some(value), "{name}");
    }
    for absent in ["origin", "cookie", "sec-websocket-protocol", "sec-websocket-extensions", "authorization"] {
        assert_eq!(upgrade.header(absent), None, "{absent}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_begins_with_connected_and_start_and_then_carries_silence() {
    let got = Got::default();
    let edge = keeping!(got, |line| for _ in 0..12 {
        line.receive().await;
    });
    let report = edge.call("").await;
    let got = got.all();
    assert_eq!(got[0], json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" }));
    assert_eq!(got[1]["start"]["callSid"], report.call_sid);
    assert_eq!(got[1]["start"]["streamSid"], report.stream_sids[0]);
    assert_eq!(got[1]["start"]["customParameters"], json!({}));
    for (index, media) in got[2..].iter().enumerate() {
        assert_eq!(media["event"], "media");
        assert_eq!(media["sequenceNumber"], (index + 2).to_string());
        assert_eq!(media["media"]["chunk"], (index + 1).to_string());
        assert!(crate::edge::pcm(media).iter().all(|&sample| sample == 0));
    }
    let first: u64 = got[2]["media"]["timestamp"].as_str().unwrap().parse().unwrap();
    assert!((5..=200).contains(&first));
}

#[tokio::test(start_paused = true)]
async fn marks_come_back_when_played_and_all_at_once_on_clear() {
    let got = Got::default();
    let edge = keeping!(got, |line| {
        line.next("start").await;
        line.say("0123456789").await;
        line.mark("played").await;
        line.next("mark").await;
        line.say(&"x".repeat(50)).await;
        line.mark("cut").await;
        line.say(&"y".repeat(50)).await;
        line.mark("never begun").await;
        sleep(Duration::from_millis(500)).await;
        line.clear().await;
        line.mark("after").await;
        for _ in 0..3 {
            line.next("mark").await;
        }
    });
    let report = edge.call("").await;
    let marks: Vec<_> = report.marks.iter().map(|mark| (mark.name.as_str(), mark.cleared)).collect();
    assert_eq!(marks, [("played", false), ("cut", true), ("never begun", true), ("after", false)]);
    assert_eq!(report.marks_echoed, 4);
    let got = got.all();
    let echoed: Vec<_> =
        got.iter().filter(|message| message["event"] == "mark").map(|message| &message["mark"]["name"]).collect();
    assert_eq!(echoed, ["played", "cut", "never begun", "after"]);
    assert!(is_about(report.marks[0].at - report.heard[0].at, 200), "{:?}", report.marks);
    let [clear] = &report.clears[..] else { panic!("one clear") };
    assert!((11_000..=13_000).contains(&clear.dropped_samples), "{clear:?}");
    assert_eq!(report.marks[1].at, report.marks[2].at, "a clear echoes all it clears at once");
    let [heard] = &report.heard[..] else { panic!("{:?}", report.heard) };
    let cut = heard.text.strip_prefix("0123456789 ").unwrap();
    assert!(cut.chars().all(|character| character == 'x') && (20..=30).contains(&cut.len()), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn each_wrong_message_is_ignored_and_each_kind_noted_once() {
    let edge = Edge::talking(|mut line: Line| async move {
        line.next("start").await;
        for _ in 0..2 {
            line.binary(b"\x00\x01").await;
            line.send(json!({ "type": "hello" })).await;
            line.send(json!({ "event": "clear", "streamSid": "MZ00000000000000000000000000000000" })).await;
            line.media(b"RIFF\xff\xff\xff\xff").await;
        }
        sleep(Duration::from_millis(500)).await;
        line.say("still here").await;
        line.mark("end").await;
        line.next("mark").await;
        line.close().await;
    });
    let report = edge.call("").await;
    let expected = [codes::MALFORMED_MESSAGE, codes::INVALID_MESSAGE, codes::LAB, codes::STREAM_CLOSED];
    assert_eq!(report.code_numbers(), expected);
    let heard: Vec<_> = report.heard.iter().map(|utterance| utterance.text.as_str()).collect();
    assert_eq!(heard, ["\u{fffd}", "still here"], "a file's header is a crackle");
    assert_eq!(report.clears, [], "another stream's clear clears nothing");
}

#[tokio::test(start_paused = true)]
async fn more_than_ten_minutes_of_audio_is_discarded_and_noted_once() {
    let edge = Edge::talking(|mut line: Line| async move {
        line.next("start").await;
        for _ in 0..3 {
            line.media(&vec![0xff; 5 * 60 * 8000]).await;
        }
        line.media(&[0xff; 160]).await;
        line.mark("far away").await;
        line.clear().await;
        line.next("mark").await;
        line.close().await;
    });
    let report = edge.call("").await;
    assert_eq!(report.code_numbers(), [codes::AUDIO_DISCARDED, codes::STREAM_CLOSED]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_is_noted_and_the_action_asked() {
    let edge = Edge::talking(|mut line: Line| async move {
        line.next("start").await;
        line.say("bye").await;
        line.mark("end").await;
        line.next("mark").await;
        line.close().await;
    });
    let report = edge.call("").await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::HungUpByDocument, vec![codes::STREAM_CLOSED]));
    let requested = report.timeline.iter().filter(|event| matches!(event.what, Happening::Requested { .. })).nth(1);
    let gap = requested.unwrap().at - report.codes[0].at;
    assert!((Duration::from_millis(100)..Duration::from_millis(800)).contains(&gap), "{gap:?}");
    let action = &edge.seen()[2];
    assert_eq!((action.target.as_str(), action.parameter("CallStatus")), ("/stream-ended", Some("in-progress")));
}

#[tokio::test(start_paused = true)]
async fn audio_that_was_not_played_when_the_server_closes_is_never_heard() {
    let edge = Edge::talking(|mut line: Line| async move {
        line.next("start").await;
        line.say("one two three four five six seven eight nine ten").await;
        sleep(Duration::from_millis(300)).await;
        line.close().await;
    });
    let report = edge.call("").await;
    let heard = &report.heard[0].text;
    assert!("one two three four five six seven".starts_with(heard) && heard.len() > 5, "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_hangs_up_sends_stop_last_and_then_a_close() {
    let got = Got::default();
    let edge = keeping!(got, |line| line.drain().await);
    let report = edge.call("{ wait: 200ms }, hang_up").await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::CallerHungUp, vec![]));
    let events = got.events();
    assert_eq!(events.last().map(String::as_str), Some("stop"));
    assert_eq!(events.iter().filter(|event| *event == "stop").count(), 1);
    let stop = got.all().pop().unwrap();
    assert_eq!(stop["stop"], json!({ "accountSid": format!("AC{:032}", 0), "callSid": report.call_sid }));
    assert_eq!(stop["sequenceNumber"], (events.len() - 1).to_string(), "all but connected are counted");
    assert_eq!(edge.seen().len(), 2, "no verb runs after the caller is gone");
}

#[tokio::test(start_paused = true)]
async fn a_caller_may_be_gone_before_the_stream_starts() {
    let got = Got::default();
    let edge = keeping!(got, |line| line.drain().await);
    let options = CallOptions { hang_up_before_start: true, ..CallOptions::default() };
    let report = edge.call_with("", options).await;
    assert_eq!((report.end, report.stream_sids), (CallEnd::CallerHungUp, vec![]));
    tokio::task::yield_now().await;
    assert_eq!(got.events(), ["connected"]);
}

#[tokio::test(start_paused = true)]
async fn a_cut_stream_ends_without_stop_and_the_call_goes_on() {
    let got = Got::default();
    let edge = keeping!(got, |line| line.drain().await);
    let options = CallOptions { cut_after: Some(Duration::from_millis(300)), ..CallOptions::default() };
    let report = edge.call_with("", options).await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::HungUpByDocument, vec![codes::STREAM_CUT]));
    let events = got.events();
    assert!((10..=20).contains(&events.len()) && !events.contains(&"stop".to_owned()), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_vanishes_is_told_from_one_that_closes() {
    let edge = Edge::talking(|mut line: Line| async move {
        line.next("media").await;
    });
    assert_eq!(edge.call("").await.code_numbers(), [codes::STREAM_CUT]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_breaks_the_websocket_protocol_is_noted_as_such() {
    let long_ping = [&[0x89, 126, 0, 126][..], &[0; 126]].concat();
    // A reserved opcode, a reserved bit, a ping in fragments, a ping of 126 bytes, a masked frame.
    let broken: [&[u8]; 5] = [&[0x83, 0], &[0xc1, 0], &[0x09, 0], &long_ping, &[0x81, 0x80, 0, 0, 0, 0]];
    for bytes in broken.map(<[u8]>::to_vec) {
        let sent = bytes.clone();
        let edge = Edge::talking(move |mut line: Line| {
            let sent = sent.clone();
            async move {
                line.next("start").await;
                line.socket.get_mut().write_all(&sent).await.unwrap();
                line.drain().await;
            }
        });
        assert_eq!(edge.call("").await.code_numbers(), [codes::STREAM_PROTOCOL], "{bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn audio_that_is_no_base64_is_dropped_and_noted() {
    let edge = Edge::talking(|mut line: Line| async move {
        let start = line.next("start").await.unwrap();
        line.send(json!({ "event": "media", "streamSid": start["streamSid"], "media": { "payload": "no base64" } }))
            .await;
        line.say("fine").await;
        line.mark("end").await;
        line.next("mark").await;
        line.close().await;
    });
    let report = edge.call("").await;
    assert_eq!(report.code_numbers(), [codes::INVALID_MESSAGE, codes::STREAM_CLOSED]);
    assert_eq!(report.heard[0].text, "fine");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_opened_is_noted_and_the_call_goes_on() {
    let edge = Edge::answering(|seen| match seen.target.as_str() {
        "/incoming-call" => twiml("<Connect action=\"/next\"><Stream url=\"/nowhere\"/></Connect>"),
        _ => twiml("<Hangup/>"),
    });
    let report = edge.call("").await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::HungUpByDocument, vec![codes::STREAM_HANDSHAKE]));
    assert!(report.codes[0].detail.contains("404"), "{:?}", report.codes);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_can_be_signed_wrongly() {
    let edge = Edge::talking(Line::close);
    edge.call_with("", CallOptions { stream_signing: Signing::WrongToken, ..CallOptions::default() }).await;
    let right = signature(TOKEN, "wss://voice.example.test/media/7", &[]);
    let upgrade = &edge.seen()[1];
    assert!(upgrade.header("x-twilio-signature").is_some_and(|sent| sent != right));
}

#[tokio::test(start_paused = true)]
async fn mangled_messages_reach_the_server_when_asked_for_in_order_of_their_times() {
    let got = Got::default();
    let edge = keeping!(got, |line| line.drain().await);
    let extra = |ms, text: &str| (Duration::from_millis(ms), RawMessage::Text(text.to_owned()));
    let messages = vec![extra(200, r#"{"event":"second"}"#), extra(100, r#"{"event":"first"}"#)];
    let options = CallOptions { extra_messages: messages, ..CallOptions::default() };
    edge.call_with("{ wait: 300ms }, hang_up", options).await;
    let events = got.events();
    let at = |name: &str| events.iter().position(|event| event == name).unwrap();
    assert!(at("first") > 4 && at("second") > at("first") + 3, "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_read_loses_caller_audio_and_the_clock_goes_on() {
    let edge = Edge::talking(|mut line: Line| async move {
        line.next("start").await;
        std::future::pending::<()>().await;
    });
    let report = edge.call("{ wait: 10min }, hang_up").await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::CallerHungUp, vec![codes::STREAM_OVERFLOW]));
}
