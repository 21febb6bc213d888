//! Rules that clients are known to break, as the SDK sees what comes of it. All rules: the unit tests of `rules`.

use phone_lab::bedrock::{SessionEnd, SessionReport};
use serde_json::{Value, json};

use crate::support::*;

const GENERIC: &str = "Invalid input request, please fix your input and try again.";
const UNPARSABLE: &str = "Unable to parse input chunk";

/// Sends these events and checks that the last ends the session with this text.
async fn refused(events: Vec<Value>, expected: &str) -> SessionReport {
    let lab = Lab::quick().await;
    let client = lab.client().await;
    let mut call = start(&client, MODEL, events).await.unwrap();
    let end = call.ended().await;
    let message = format!("RequestId={} : {expected}", call.request_id);
    assert_eq!(end, End::Exception("validationException".into(), message));
    let report = lab.report();
    assert_eq!(report.end, Some(SessionEnd::Violation(expected.into())));
    assert_eq!(report.violations, [expected]);
    assert_eq!(lab.server.live_sessions(), 0);
    report
}

fn with_system() -> Vec<Value> {
    vec![session_start(), prompt_start(), system_start(), system_text("S"), end("S")]
}

#[tokio::test]
async fn endpointing_sensitivity_must_be_nested() {
    refused(vec![json!({"sessionStart": {"endpointingSensitivity": "HIGH"}})], GENERIC).await;
}

#[tokio::test]
async fn the_first_event_must_start_the_session() {
    refused(vec![prompt_start()], GENERIC).await;
}

#[tokio::test]
async fn tool_schemas_must_be_strings() {
    let mut prompt = prompt_start();
    prompt["promptStart"]["toolConfiguration"]["tools"][0]["toolSpec"]["inputSchema"]["json"] =
        json!({"type": "object"});
    refused(vec![session_start(), prompt], UNPARSABLE).await;
}

#[tokio::test]
async fn voices_must_be_spelt_right() {
    let mut prompt = prompt_start();
    prompt["promptStart"]["audioOutputConfiguration"]["voiceId"] = json!("Matthew");
    refused(vec![session_start(), prompt], "Received invalid id: 'Matthew'").await;
}

#[tokio::test]
async fn there_can_be_only_one_system_prompt() {
    let events = [with_system(), vec![text_start("S2", "SYSTEM", false)]].concat();
    refused(events, "Duplicate SYSTEM content. SYSTEM content can only be provided once per prompt").await;
}

#[tokio::test]
async fn audio_must_not_slip_into_a_text_block() {
    let events = vec![audio_start(), audio(&[0; 160]), text_start("L", "USER", true), audio(&[0; 160])];
    let message = "Chat history should be sent completely before streaming audio.";
    refused([with_system(), events].concat(), message).await;
}

#[tokio::test]
async fn a_prompt_must_not_end_around_an_open_block() {
    let events = vec![audio_start(), audio(&[0; 160]), json!({"promptEnd": {"promptName": "P"}})];
    refused([with_system(), events].concat(), "All contents must be closed before ending prompt").await;
}

#[tokio::test]
async fn a_prompt_must_have_audio() {
    let events = [with_system(), vec![json!({"promptEnd": {"promptName": "P"}})]].concat();
    refused(events, "Prompt [P] must have at least one audio content").await;
}

#[tokio::test]
async fn a_block_must_not_be_empty() {
    let events = [with_system(), vec![audio_start(), end("A")]].concat();
    refused(events, "Cannot end content [A] as no content data was received").await;
}

#[tokio::test]
async fn a_tool_result_must_be_an_object_in_a_string() {
    let lab = Lab::start(quick("dialogue: [{ heard: cancel, tool: { name: cancel }, reply: done }]")).await;
    let client = lab.client().await;
    let mut call = call(&client).await;
    call.say("cancel").await;
    let tool = call.until("toolUse", |_| true).await;
    call.send(tool_start("T", tool["toolUseId"].as_str().unwrap())).await;
    call.send(tool_result("T", json!("done"))).await;
    let End::Exception(kind, message) = call.ended().await else { panic!("no exception") };
    assert_eq!(kind, "validationException");
    assert!(message.ends_with(" : Tool Response parsing error"), "{message}");
}

#[tokio::test]
async fn a_result_for_a_tool_that_was_not_asked_for_is_refused() {
    let events = vec![audio_start(), audio(&[0; 160]), tool_start("T", "unknown")];
    refused([with_system(), events].concat(), GENERIC).await;
}
