use phone_lab::{
    bedrock::{ModelEventKind, SessionEnd},
    tones,
};
use serde_json::json;

use crate::support::*;

const SCRIPT: &str = r#"
greeting: "hello, this is offhook. how can i help you?"
dialogue:
  - heard: cancel
    tool: { name: cancel, input: { id: "R-1" }, filler: "one moment please." }
    reply: "reservation {tool.number} is cancelled."
  - heard: story
    reply: "once upon a time there was a very long story that went on and on and on and on and on and on."
"#;

#[tokio::test]
async fn a_conversation_is_held_and_closed_by_the_book() {
    let lab = Lab::start(quick(SCRIPT)).await;
    let client = lab.client().await;
    let mut call = call(&client).await;

    call.hear(&[0; 800]).await;
    call.write("L", "hi").await;
    assert_eq!(call.turn().await, "hello, this is offhook. how can i help you?");

    // Only when the greeting has been played, which its FINAL text says: before that it would be a barge-in.
    call.until("textOutput", |text| text["content"] == "how can i help you?").await;
    call.say("please cancel it").await;
    let transcript = call.until("textOutput", |text| text["role"] == "USER").await;
    assert_eq!(transcript["content"], "please cancel it");
    assert_eq!(call.turn().await, "one moment please.");
    let tool = call.until("toolUse", |_| true).await;
    assert_eq!((&tool["toolName"], &tool["content"]), (&json!("cancel"), &json!(r#"{"id":"R-1"}"#)));
    call.send(tool_start("T", tool["toolUseId"].as_str().unwrap())).await;
    call.send(tool_result("T", json!(r#"{"number":"R-1"}"#))).await;
    call.send(end("T")).await;
    assert_eq!(call.turn().await, "reservation r-1 is cancelled.");

    let id = call.request_id.clone();
    assert_eq!(call.close().await, End::Clean);
    assert_eq!(lab.server.live_sessions(), 0);
    let report = lab.report();
    assert_eq!(report.id.to_string(), id);
    assert_eq!(report.end, Some(SessionEnd::ByTheBook));
    assert_eq!(report.violations, [""; 0]);
    assert_eq!(report.system_prompt, "be brief");
    assert_eq!((report.read.as_slice(), report.heard.len()), (&["hi".to_owned()][..], 1));
    let heard = &report.heard[0];
    assert_eq!((heard.text.as_str(), heard.at_sample), ("please cancel it", 800));
    assert_eq!(heard.pcm, tones::speak("please cancel it"));
    assert_eq!(&report.heard_pcm[800..800 + heard.pcm.len()], heard.pcm);
    let said: Vec<_> = report.said.iter().map(|said| said.text.as_str()).collect();
    let sentences = ["hello, this is offhook.", "how can i help you?", "one moment please."];
    assert_eq!(said[..3], sentences);
    assert!(report.said[0].pcm.starts_with(&tones::speak(sentences[0])));
    assert_eq!(report.tools[0].result, Some(json!({"number": "R-1"})));
    assert!(report.usage.input() > 0 && report.usage.output() > 0);
}

#[tokio::test]
async fn a_caller_who_speaks_up_after_a_tool_was_used_interrupts_and_is_answered() {
    let lab = Lab::start(quick(SCRIPT)).await;
    let client = lab.client().await;
    let mut call = call(&client).await;
    call.say("please cancel it").await;
    let tool = call.until("toolUse", |_| true).await;
    call.send(tool_start("T", tool["toolUseId"].as_str().unwrap())).await;
    call.send(tool_result("T", json!(r#"{"number":"R-1"}"#))).await;
    call.send(end("T")).await;
    // The second time is the FINAL text, after which speaking is no barge-in.
    for _ in 0..2 {
        call.until("textOutput", |text| text["content"] == "reservation R-1 is cancelled.").await;
    }
    call.say("tell me a story").await;
    call.until("audioOutput", |_| true).await;
    call.hear(&tones::speak("stop that")).await;
    let ended = call.until("contentEnd", |_| true).await;
    assert_eq!((&ended["type"], &ended["stopReason"]), (&json!("AUDIO"), &json!("END_TURN")));
    let marker = call.until("textOutput", |_| true).await;
    assert_eq!(marker["content"], r#"{ "interrupted" : true }"#);
    let ended = call.until("contentEnd", |_| true).await;
    assert_eq!((&ended["type"], &ended["stopReason"]), (&json!("TEXT"), &json!("INTERRUPTED")));
    call.hear(&[0; 1600]).await;
    let transcript = call.until("textOutput", |text| text["role"] == "USER").await;
    assert_eq!(transcript["content"], "stop that");
    let reply = call.until("textOutput", |_| true).await;
    assert_eq!(reply["content"], "you said stop that");
    assert_eq!(call.close().await, End::Clean);
    let report = lab.report();
    assert_eq!((&report.violations[..], report.end), (&[][..], Some(SessionEnd::ByTheBook)));
    let [filler, answer, story, reply] = &report.said[..] else { panic!("{:?}", report.said) };
    let cut = story.interrupted_at_sample.unwrap();
    assert!(cut <= story.pcm.len(), "{cut}");
    assert!(story.pcm.len() < tones::speak(&story.text).len());
    assert!([filler, answer, reply].iter().all(|said| said.interrupted_at_sample.is_none()));
}

#[tokio::test]
async fn sessions_on_one_connection_do_not_disturb_each_other() {
    let lab = Lab::quick().await;
    let client = lab.client().await;
    let mut calls = Vec::new();
    for n in 0..5 {
        let call = call(&client).await;
        call.say(&format!("caller number {n}")).await;
        calls.push(call);
    }
    assert_eq!((lab.server.live_sessions(), lab.server.open_connections()), (5, 1));
    for (n, call) in calls.iter_mut().enumerate() {
        assert_eq!(call.turn().await, format!("you said caller number {n}"));
    }
    for call in calls {
        assert_eq!(call.close().await, End::Clean);
    }
    assert!(lab.server.reports().iter().all(|report| report.end == Some(SessionEnd::ByTheBook)));
}

#[tokio::test]
async fn a_watcher_sees_what_happens_in_order() {
    let lab = Lab::quick().await;
    let mut events = lab.server.watch();
    let client = lab.client().await;
    let mut call = call(&client).await;
    call.say("hello").await;
    call.turn().await;
    call.close().await;
    let mut seen = Vec::new();
    while let Ok(event) = events.try_recv() {
        assert_eq!(event.session, lab.report().id);
        seen.push(event.kind);
    }
    let (heard, said) = ("hello".to_owned(), "you said hello".to_owned());
    let expected =
        [ModelEventKind::Opened, ModelEventKind::Listens, ModelEventKind::Heard(heard), ModelEventKind::Said(said)];
    assert_eq!(seen, [&expected[..], &[ModelEventKind::Closed(SessionEnd::ByTheBook)]].concat());
}

#[tokio::test]
async fn a_client_that_leaves_without_goodbye_is_noticed() {
    let lab = Lab::quick().await;
    let client = lab.client().await;
    let mut half = call(&client).await;
    half.hang_up();
    assert_eq!(half.ended().await, End::Clean);
    let missing = "the stream ended without promptEnd and sessionEnd".to_owned();
    assert_eq!(lab.report().end, Some(SessionEnd::ClientVanished(missing)));
    let mut gone = call(&client).await;
    gone.hang_up();
    drop((gone, client));
    lab.until(|server| server.live_sessions() == 0).await;
    assert!(matches!(lab.report().end, Some(SessionEnd::ClientVanished(_))));
}

#[tokio::test]
async fn stopping_the_server_ends_what_is_open() {
    let lab = Lab::quick().await;
    let client = lab.client().await;
    let mut call = call(&client).await;
    lab.server.clone().stop().await;
    assert_eq!((lab.server.live_sessions(), lab.server.open_connections()), (0, 0));
    assert_eq!(lab.report().end, Some(SessionEnd::Stopped));
    call.ended().await;
}
