use phone_lab::{
    bedrock::{self, Pace},
    oracle,
    scenario::Scenario,
    twilio::{CallEnd, CallOptions, CallReport},
};

use crate::support::{assert_heard_as_said, assert_nothing_left, caller, pair, play, record, start};

/// Plays one call of the demo.
async fn demo_call(name: &str) -> CallReport {
    let Scenario { model, calls, .. } = Scenario::demo();
    let call = calls.into_iter().find(|call| call.name == name).unwrap();
    let bedrock = bedrock::Settings { pace: Pace::new(0.4).unwrap(), script: model, ..bedrock::Settings::default() };
    let pair = start(bedrock).await;
    let (report, sessions) = play(&pair, call.caller, CallOptions::default()).await;
    assert_heard_as_said(&report, &sessions);
    assert_eq!(oracle::missing(&report, &call.hears), Vec::<String>::new());
    assert_nothing_left(pair).await;
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recorded_caller_cancels_a_reservation_and_the_agent_hangs_up() {
    assert_eq!(demo_call("recorded-caller").await.end, CallEnd::HungUpByDocument);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_interrupting_caller_is_listened_to() {
    assert_eq!(demo_call("interrupting-caller").await.clears.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_who_wants_a_person_is_connected_to_one() {
    assert_eq!(demo_call("caller-who-wants-a-person").await.dialled, ["sip:desk@pbx.example.test"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_who_hangs_up_may() {
    assert_eq!(demo_call("caller-who-hangs-up").await.end, CallEnd::CallerHungUp);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_speaks_first() {
    let pair = pair("greeting: 'good morning'").await;
    let (call, sessions) = play(&pair, caller("[listen, hang_up]"), CallOptions::default()).await;
    assert_eq!(call.said, []);
    assert_eq!(call.heard[0].text, "good morning");
    assert_heard_as_said(&call, &sessions);
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_call_s_record_says_what_was_said_and_done() {
    use offhook_proto::voice::v1::Speaker;
    let script = "
greeting: 'good morning'
dialogue:
  - heard: cancel
    tool: { name: cancel_reservation, input: { reservation_id: R-7 } }
    reply: 'cancelled, {tool.confirmation}'
";
    let pair = pair(script).await;
    let (call, _) = play(&pair, caller("[listen, say: cancel r-7, listen, hang_up]"), CallOptions::default()).await;
    let record = record(&pair, &call).await;
    let turns: Vec<_> = record.turns.iter().map(|turn| (turn.speaker(), turn.text.as_str())).collect();
    let expected =
        [(Speaker::Agent, "good morning"), (Speaker::Caller, "cancel r-7"), (Speaker::Agent, "cancelled, C-7")];
    assert_eq!(turns, expected);
    assert!(record.turns[2].latency_ms.is_some());
    assert_eq!((record.tools[0].name.as_str(), record.outcome.as_str()), ("cancel_reservation", "caller_hung_up"));
    assert!(record.usage.unwrap().output_speech_tokens > 0);
    assert_nothing_left(pair).await;
}
