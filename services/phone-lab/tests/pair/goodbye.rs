//! The line closes once the goodbye was heard, however long the model takes for it.

use phone_lab::{
    bedrock::{self, Pace, Script},
    twilio::{CallEnd, CallOptions, CallReport},
};

use crate::support::{assert_nothing_left, caller, play, record, start};

/// A call whose agent hangs up; in the same moment this goes wrong.
async fn thanked(fault: &str) -> CallReport {
    let entry = format!("{{ heard: thanks, tool: {{ name: hang_up }}, reply: 'goodbye then'{fault} }}");
    let script = Script::from_yaml(&format!("greeting: 'good morning'\ndialogue: [{entry}]")).unwrap();
    // It begins to answer a result after 2.5 s at least.
    let pace = Pace::new(4.0).unwrap();
    let pair = start(bedrock::Settings { pace, script, ..bedrock::Settings::default() }).await;
    let steps = "[listen, say: thanks, {listen: {quiet: 20s}}, hang_up]";
    let (call, _) = play(&pair, caller(steps), CallOptions::default()).await;
    assert_eq!(call.end, CallEnd::HungUpByDocument, "{call:?}");
    assert_eq!(record(&pair, &call).await.outcome, "agent_hung_up", "{call:?}");
    assert_nothing_left(pair).await;
    call
}

fn heard(call: &CallReport) -> Vec<&str> {
    call.heard.iter().map(|utterance| utterance.text.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_slow_to_say_goodbye_is_heard_out_before_the_line_closes() {
    let call = thanked("").await;
    assert_eq!(heard(&call), ["good morning", "goodbye then"]);
    assert!(call.spoken_by_twilio.is_empty(), "{call:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_lost_before_its_goodbye_does_not_leave_the_caller_without_one() {
    let call = thanked(", fault: 'reset@sent:6'").await;
    assert_eq!(heard(&call).last(), Some(&"goodbye."), "{call:?}");
    assert!(!heard(&call).contains(&"goodbye then"), "{call:?}");
    assert_eq!(call.spoken_by_twilio, ["Goodbye."]);
}
