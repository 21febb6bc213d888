//! What a scenario makes go wrong, and that it does so again.

use std::collections::BTreeSet;

use phone_lab::bedrock::{Fault, Probability, SessionEnd, Settings};
use serde_json::{Value, json};

use crate::{kept::Kept, raw::*, support::*};

#[tokio::test]
async fn an_entry_of_the_dialogue_breaks_the_session_when_it_is_reached() {
    let script = r#"
dialogue:
  - heard: crash
    fault: drop
  - heard: late
    reply: "a reply that is long enough."
    fault: "exception=throttling@first-audio"
"#;
    let lab = Lab::start(quick(script)).await;
    let mut call = call(&lab.client().await).await;
    call.say("hello").await;
    assert_eq!(call.turn().await, "you said hello");
    call.say("crash").await;
    assert_eq!(call.ended().await, End::Broken);
    assert_eq!(lab.report().end, Some(SessionEnd::Fault("connection dropped".into())));
    assert_eq!(lab.report().said.len(), 1, "at once, before any answer");
    let mut call = crate::support::call(&lab.client().await).await;
    call.say("late").await;
    call.until("audioOutput", |_| true).await;
    assert!(matches!(call.next().await, Err(End::Exception(kind, _)) if kind == "throttlingException"));
}

#[tokio::test]
async fn what_strikes_before_a_session_strikes_the_next_one() {
    let script = "dialogue: [{ heard: crash, faults: [end, refuse=throttled, slow-answer=1ms] }]";
    let lab = Lab::start(quick(script)).await;
    let client = lab.client().await;
    let mut first = call(&client).await;
    first.say("crash").await;
    assert_eq!(first.ended().await, End::Clean);
    assert!(start(&client, MODEL, vec![session_start()]).await.is_err());
    let refusals = lab.server.refusals();
    assert!(refusals[0].starts_with("429 ThrottlingException"), "{refusals:?}");
    let mut third = call(&client).await;
    third.say("hello").await;
    assert_eq!(third.turn().await, "you said hello");
}

#[tokio::test]
async fn whole_sessions_are_struck_by_chance_and_the_same_ones_with_the_same_seed() {
    let ends = async |seed: u64, injected: bool| {
        let faults: Vec<Fault> = vec!["padding".parse().unwrap()];
        let script = "faults: [{ fault: 'end@read:1', probability: 0.5 }]";
        let fault_probability = Probability::new(0.5).unwrap();
        let lab = Lab::start_with_seed(Settings { faults, fault_probability, ..quick(script) }, seed).await;
        if injected {
            lab.server.inject("padding".parse().unwrap());
        }
        leave_twelve(&lab).await
    };
    let first = ends(1, false).await;
    assert!((1..12).contains(&struck_of(&first)), "{first:?}");
    assert_eq!(ends(1, false).await, first);
    assert_ne!(ends(2, false).await, first);
    assert_eq!(ends(1, true).await[1..], first[1..], "an injected fault changes its own session only");
}

#[tokio::test]
async fn what_an_entry_brings_lasts_from_there_on() {
    let script = "dialogue: [{ heard: odd, reply: odd, faults: [unknown-event, padding, content-filter=bomb] }]";
    let lab = Lab::start(quick(script)).await;
    let mut session = Kept::open(&mut Raw::connect(&lab).await).await;
    let mut seen = Vec::new();
    for (words, answer) in [("the bomb", "you said the bomb"), ("an odd thing", "odd"), ("again", "you said again")] {
        session.say(words).await;
        session.confirmed(answer).await.unwrap();
        let events = std::mem::take(&mut session.seen);
        let padded = events.iter().any(|chunk| chunk.get("p").is_some());
        seen.push((padded, events.iter().any(|chunk| chunk["bytes"].get("userSpeechEnd").is_some())));
    }
    assert_eq!(seen, [(false, false), (true, true), (true, true)]);
    session.say("a bomb").await;
    assert_eq!(session.turn().await, Err("validationException".to_owned()));
}

const ALL_OF_IT: &str = r#"
faults:
  - audio-bursts
  - { fault: padding, probability: 0.5 }
  - { fault: unknown-event, probability: 0.5 }
  - { fault: "end@sent:45", probability: 0.3 }
dialogue:
  - heard: compare
    tools: [{ name: cancel, input: { id: "a" }, filler: "one moment." }, { name: cancel, input: { id: "b" } }]
    meanwhile: "still at it."
    reply: "both are gone, {tool.id}."
  - heard: story
    reply: >-
      once upon a time there was a story that took so long to be told that whoever listened to it had every chance to
      speak up and to make the one who told it fall silent before it was over which is what this is for
  - heard: crash
    reply: "that went well."
    fault: { fault: "exception=throttling@sent:4", probability: 0.5 }
"#;

/// A conversation with two tools, answered the other way round, and a barge-in; an error is how it broke off.
async fn converse(session: &mut Kept) -> Result<(), String> {
    session.say("hello").await;
    session.confirmed("you said hello").await?;
    session.say("compare them").await;
    let mut asked = Vec::new();
    for _ in 0..2 {
        asked.push(session.until("toolUse", |_| true).await?["toolUseId"].as_str().unwrap().to_owned());
    }
    session.confirmed("still at it.").await?;
    for (name, id) in ["T", "U"].into_iter().zip(asked.iter().rev()) {
        session.call.send_event(&tool_start(name, id)).await;
        session.call.send_event(&tool_result(name, json!(format!(r#"{{"id":"{name}"}}"#)))).await;
        session.call.send_event(&end(name)).await;
    }
    session.confirmed("both are gone, U.").await?;
    session.say("tell me a story").await;
    session.turn().await?;
    session.say("crash now").await;
    session.until("contentEnd", |end| end["stopReason"] == "INTERRUPTED").await?;
    session.confirmed("that went well.").await?;
    session.close().await
}

#[tokio::test]
async fn a_scenario_with_faults_repeats_event_for_event_with_the_same_seed() {
    let run = async |seed: u64| {
        let lab = Lab::start_with_seed(quick(ALL_OF_IT), seed).await;
        let mut raw = Raw::connect(&lab).await;
        let mut sessions = Vec::new();
        for _ in 0..6 {
            let mut session = Kept::open(&mut raw).await;
            let end = converse(&mut session).await;
            let Kept { call, seen } = session;
            sessions.push((call.id, seen, end));
        }
        sessions
    };
    let (first, again, other) = tokio::join!(run(3), run(3), run(4));
    assert_eq!(first, again);
    assert_ne!(first, other);
    let ends: BTreeSet<_> = first.iter().map(|(_, _, end)| format!("{end:?}")).collect();
    assert!(ends.len() > 1, "some are struck and some are not: {ends:?}");
    let padded = |(_, seen, _): &&(String, Vec<Value>, _)| seen.iter().all(|chunk| chunk.get("p").is_some());
    assert!((1..6).contains(&first.iter().filter(padded).count()));
}
