//! A network between Twilio and the server: what arrives late, in bunches, slowly or not at all.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use offhook_hosting::{clock::Clock, entropy::Entropy};
use phone_lab::{
    network::Conditions,
    tones,
    twilio::{CallEnd, CallOptions, CallReport, Happening, Settings, Twilio, codes, url::Url},
};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::edge::{Edge, Line, caller, connect, pcm, twiml};

const ROUGH: &str = "delay=80ms,jitter=60ms,burst=300ms/1s";
const WORDS: &str = "the quick brown fox jumps over the lazy dog";

/// A call over such a network.
fn over(conditions: &str) -> CallOptions {
    CallOptions { network: Some(Conditions::of_twilio(conditions).unwrap()), ..CallOptions::default() }
}

/// An edge that keeps each message with the time at which it came.
fn noting_times(notes: &Arc<Mutex<Vec<(Instant, Value)>>>) -> Edge {
    let notes = notes.clone();
    Edge::talking(move |mut line: Line| {
        let notes = notes.clone();
        async move {
            while let Some(message) = line.receive().await {
                notes.lock().unwrap().push((Clock.now(), message));
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn every_frame_arrives_in_order_however_the_network_bunches_them() {
    let notes = Arc::default();
    let edge = noting_times(&notes);
    let report =
        edge.call_with(&format!("{{ wait: 2s }}, {{ say: '{WORDS}' }}, {{ wait: 4s }}, hang_up"), over(ROUGH)).await;
    let notes = notes.lock().unwrap();
    let counted = |message: &Value| message["sequenceNumber"].as_str().and_then(|number| number.parse::<usize>().ok());
    let numbers: Vec<_> = notes.iter().filter_map(|(_, message)| counted(message)).collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
    assert_eq!(notes.last().unwrap().1["event"], "stop", "the last words arrive as well");
    let media: Vec<_> = notes.iter().filter(|(_, message)| message["event"] == "media").collect();
    let mut ear = tones::Ear::new();
    let heard: Vec<_> = media.iter().flat_map(|(_, message)| ear.listen(&pcm(message))).collect();
    assert_eq!(tones::text(&heard), WORDS);
    let gaps: Vec<_> = media.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(gaps.iter().filter(|gap| **gap > Duration::from_millis(250)).count() >= 2, "holds: {gaps:?}");
    assert!(gaps.iter().filter(|gap| gap.is_zero()).count() > 30, "and what follows them at once: {gaps:?}");
    assert_eq!((report.end, report.code_numbers()), (CallEnd::CallerHungUp, vec![]));
    assert!(report.network[0].to.held.len() >= 3, "{:?}", report.network);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_says_is_heard_whole_and_later() {
    let edge = Edge::talking(|mut line: Line| async move {
        line.next("start").await;
        line.say(WORDS).await;
        line.mark("end").await;
        line.next("mark").await;
        line.close().await;
    });
    let (straight, rough) = (edge.call("").await, edge.call_with("", over(ROUGH)).await);
    let text = |report: &CallReport| report.heard.iter().map(|heard| heard.text.clone()).collect::<Vec<_>>();
    assert_eq!((text(&rough), rough.code_numbers()), (vec![WORDS.to_owned()], vec![codes::STREAM_CLOSED]));
    assert_eq!(text(&straight), text(&rough));
    let first = |report: &CallReport| report.heard[0].at - report.timeline[1].at;
    let later = first(&rough).saturating_sub(first(&straight));
    assert!((Duration::from_millis(150)..Duration::from_millis(1000)).contains(&later), "there and back: {later:?}");
}

#[tokio::test(start_paused = true)]
async fn a_webhook_takes_its_time_as_well() {
    let edge = Edge::answering(|_| twiml("<Hangup/>"));
    let report = edge.call_with("", over("delay=300ms")).await;
    let ended = report.timeline.iter().find(|event| matches!(event.what, Happening::Ended { .. })).unwrap().at;
    assert!(ended >= Duration::from_millis(600), "{report:?}");
    assert_eq!(edge.call_with("", over("delay=20s")).await.code_numbers(), [codes::RETRIEVAL], "nobody waits for ever");
}

#[tokio::test(start_paused = true)]
async fn a_calls_own_network_carries_its_callbacks_and_those_of_its_legs_too() {
    let leg = "<Dial><Number statusCallback=\"/leg\">+15550100</Number></Dial>";
    let edge = Edge::answering(move |seen| twiml(if seen.target == "/incoming-call" { leg } else { "" }));
    let status_callback = Some(Url::parse("https://voice.example.test/call").unwrap());
    let settings = Settings { status_callback, ..edge.settings() };
    let twilio = Twilio::new(settings, Clock, Entropy::from_seed(7));
    let report = twilio.call(caller(""), over("delay=300ms")).await;
    let took = report.timeline.iter().filter_map(|event| {
        let Happening::CalledBack { path, took, .. } = &event.what else { return None };
        Some((path.as_str(), *took >= Duration::from_millis(600)))
    });
    let mut took: Vec<_> = took.collect();
    took.sort_unstable();
    assert_eq!(took, [("/call", true), ("/leg", true)]);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_repeats_what_the_network_does() {
    let edge = Edge::talking(|mut line: Line| async move { line.drain().await });
    let steps = "{ wait: 10s }, hang_up";
    let rough = |seed| {
        let settings = Settings { network: over(ROUGH).network, ..edge.settings() };
        let twilio = Twilio::new(settings, Clock, Entropy::from_seed(seed));
        async move { twilio.call(caller(steps), CallOptions::default()).await.network }
    };
    let (first, again, other) = (rough(1).await, rough(1).await, rough(2).await);
    assert_eq!((first[0].seed, &first[0].to.held), (again[0].seed, &again[0].to.held));
    assert_eq!(first[0].from.held, again[0].from.held);
    assert!(first[0].to.held.len() > 6 && first[0].to.held != other[0].to.held, "{first:?}");
    assert_eq!(serde_json::to_value(&first[0]).unwrap()["conditions"], "delay=80ms,jitter=60ms,burst=300ms/1s");
}

/// A call that the network cuts: its report, and how the server saw its stream end.
async fn cut(conditions: &str) -> (CallReport, String) {
    let seen = Arc::new(Mutex::new(String::new()));
    let last = seen.clone();
    let edge = Edge::talking(move |mut line: Line| {
        let last = last.clone();
        async move {
            let end = loop {
                match line.socket.next().await {
                    Some(Ok(Message::Close(Some(frame)))) => break format!("close {}", u16::from(frame.code)),
                    Some(Ok(Message::Text(text))) if text.contains("\"stop\"") => break "stop".to_owned(),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break error.to_string(),
                    None => break "nothing".to_owned(),
                }
            };
            *last.lock().unwrap() = end;
            line.drain().await;
        }
    });
    let report = edge.call_with("", over(conditions)).await;
    let cut = report.network[0].cut.unwrap();
    assert!((Duration::from_millis(500)..Duration::from_millis(550)).contains(&cut), "{cut:?}");
    assert_eq!(report.end, CallEnd::HungUpByDocument, "the call goes on with what the server wants next");
    assert_eq!(edge.seen().last().unwrap().target, "/stream-ended");
    let end = seen.lock().unwrap().clone();
    (report, end)
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_a_broken_stream_to_both_sides() {
    let (report, end) = cut("delay=20ms,cut=rst@500ms").await;
    assert_eq!(report.code_numbers(), [codes::STREAM_CUT]);
    assert!(end.contains("reset by peer"), "{end}");
}

#[tokio::test(start_paused = true)]
async fn an_end_without_a_close_frame_is_a_broken_stream_to_both_sides() {
    let (report, end) = cut("delay=20ms,cut=fin@500ms").await;
    assert_eq!(report.code_numbers(), [codes::STREAM_CUT]);
    assert!(end.contains("without closing handshake"), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_close_frame_is_to_either_side_as_if_the_other_had_sent_it() {
    let (report, end) = cut("delay=20ms,cut=close:1001@500ms").await;
    assert_eq!(report.code_numbers(), [codes::STREAM_CLOSED]);
    assert_eq!(end, "close 1001");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_the_lab_itself_cuts_is_reset_through_the_network_as_well() {
    let ended = Arc::new(Mutex::new(String::new()));
    let note = ended.clone();
    let edge = Edge::talking(move |mut line: Line| {
        let note = note.clone();
        async move {
            let error = loop {
                if let Err(error) = line.socket.next().await.unwrap() {
                    break error;
                }
            };
            *note.lock().unwrap() = error.to_string();
        }
    });
    let options = CallOptions { cut_after: Some(Duration::from_millis(300)), ..over("delay=20ms") };
    assert_eq!(edge.call_with("", options).await.code_numbers(), [codes::STREAM_CUT]);
    assert!(ended.lock().unwrap().contains("reset by peer"), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_line_too_slow_for_the_caller_costs_audio_and_nothing_else() {
    let notes = Arc::default();
    let edge = noting_times(&notes);
    let report = edge.call_with("{ wait: 30s }, { press: '1' }, { wait: 12s }, hang_up", over("to.rate=64kbit")).await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::CallerHungUp, vec![codes::STREAM_OVERFLOW]));
    let notes = notes.lock().unwrap();
    let bytes: usize = notes.iter().map(|(_, message)| message.to_string().len()).sum();
    let took = notes.last().unwrap().0 - notes[0].0;
    assert!(bytes as f64 <= 8000.0 * took.as_secs_f64() * 1.05, "{bytes} bytes in {took:?} are more than 64 kbit/s");
    assert!(notes.iter().any(|(_, message)| message["event"] == "dtmf"), "what is no audio waits its turn");
}

/// How many bytes of audio a server gets rid of within ten seconds of such a call, of 900 kB.
async fn sent_in_ten_seconds(conditions: Option<&str>) -> usize {
    let sent = Arc::new(Mutex::new(0));
    let count = sent.clone();
    let edge = Edge::start(
        |seen| if seen.target == "/incoming-call" { connect() } else { twiml("<Hangup/>") },
        move |mut line: Line| {
            let count = count.clone();
            async move {
                let start = line.next("start").await.unwrap();
                let media = json!({ "payload": STANDARD.encode([0xff; 160]) });
                let message = json!({ "event": "media", "streamSid": start["streamSid"], "media": media }).to_string();
                let sending = async {
                    for _ in 0..900_000 / message.len() {
                        line.socket.send(Message::text(message.clone())).await.unwrap();
                        *count.lock().unwrap() += message.len();
                    }
                };
                let _ = timeout(Duration::from_secs(10), sending).await;
            }
        },
    );
    let options = CallOptions { network: conditions.map(|text| text.parse().unwrap()), ..CallOptions::default() };
    edge.call_with("{ wait: 11s }, hang_up", options).await;
    *sent.lock().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_reads_slowly_holds_the_server_up() {
    assert!(sent_in_ten_seconds(None).await > 890_000);
    let held_up = sent_in_ten_seconds(Some("from.rate=64kbit")).await;
    assert!((80_000..500_000).contains(&held_up), "80 kB read, little more under way: {held_up}");
}
