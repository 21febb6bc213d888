use phone_lab::{
    bedrock::{self, Pace},
    play::{self, Stage},
    report::{Call, timeline::Who},
    scenario::Scenario,
    twilio::CallOptions,
};

use crate::support::{assert_heard_as_said, assert_nothing_left, caller, live_call, pair, play, record, start};

/// Plays one call of the demo. Every word is accounted for, on both sides.
async fn demo_call(name: &str) -> Call {
    let scenario = Scenario::demo();
    let plan = scenario.calls.iter().find(|call| call.name == name).unwrap();
    let (pace, script) = (Pace::new(0.4).unwrap(), scenario.model);
    let pair = start(bedrock::Settings { pace, script, ..bedrock::Settings::default() }).await;
    let stage = Stage { twilio: pair.twilio.clone(), models: pair.models(), live: false, out: None };
    let call = play::place(&stage, &scenario.name, plan).await.unwrap();
    assert!(call.good, "{call}");
    for diff in [call.to_agent.as_ref().unwrap(), call.to_caller.as_ref().unwrap()] {
        assert_eq!((diff.wrong(), diff.same + diff.cut), (0, diff.said), "{diff:?}");
    }
    assert_nothing_left(pair).await;
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recorded_caller_cancels_a_reservation_and_the_agent_hangs_up() {
    let call = demo_call("recorded-caller").await;
    assert_eq!(call.end, "hung_up_by_document");
    let heard: Vec<_> = call.parties[1].heard.iter().flatten().flat_map(|line| &line.words).collect();
    assert_eq!(heard[0].text, "[i_need_to_cancel_my_reservation.wav]", "a recording is recognised by its sound");
    let said: Vec<_> = call.parties[0].said.iter().flat_map(|line| &line.words).collect();
    let apart = said.iter().zip(&heard).map(|(said, heard)| said.at_ms - heard.at_ms);
    assert!(
        apart.clone().all(|apart| apart.abs() <= 20.0),
        "words moved on their way: {:?}",
        apart.collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_interrupting_caller_is_listened_to() {
    let call = demo_call("interrupting-caller").await;
    assert_eq!(call.timeline.iter().filter(|entry| entry.event == "clears").count(), 1);
    assert!(call.to_caller.unwrap().cut > 0, "the story was told to its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_who_wants_a_person_is_connected_to_one() {
    let call = demo_call("caller-who-wants-a-person").await;
    let [dialled] = &call.dialled[..] else { panic!("{:?}", call.dialled) };
    let (address, headers) = dialled.split_once('?').unwrap();
    assert_eq!(address, "sip:desk@pbx.example.test");
    assert!(headers.starts_with("X-Offhook-Call-Sid=CA") && headers.contains("&X-Offhook-Reason="), "{headers}");
    assert_eq!(call.parties.last().unwrap().party, "human");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_who_hangs_up_may() {
    assert_eq!(demo_call("caller-who-hangs-up").await.end, "caller_hung_up");
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
    assert!(record.turns[0].latency.is_none(), "nobody had asked anything: {:?}", record.turns);
    let latency = record.turns[2].latency.unwrap();
    let parts = [latency.endpointing_ms.unwrap_or(0), latency.model_ms, latency.tool_ms, latency.own_ms];
    assert_eq!(parts.iter().sum::<u32>(), latency.total_ms, "{latency:?}");
    assert!(latency.model_ms > 0 && latency.total_ms < 60_000, "{latency:?}");
    assert_eq!((record.tools[0].name.as_str(), record.outcome.as_str()), ("cancel_reservation", "caller_hung_up"));
    assert!(record.usage.unwrap().output_speech_tokens > 0);
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_an_earlier_call_left_open_is_not_held_against_the_next() {
    let pair = pair("greeting: 'good morning'").await;
    let earlier = live_call(&pair, "[{ wait: 1h }]").await;
    let calls = "calls: [{name: next, caller: {from: '+1', to: '+2', steps: [listen, hang_up]}}]";
    let plan = Scenario::from_yaml(calls).unwrap().calls.remove(0);
    let stage = Stage { twilio: pair.twilio.clone(), models: pair.models(), live: false, out: None };
    let call = play::place(&stage, "a", &plan).await.unwrap();
    assert!(pair.bedrock.live_sessions() == 1 && call.good, "{call}");
    assert_eq!(call.sessions.unwrap().len(), 1);
    let stray = call.timeline.iter().filter(|entry| entry.who == Who::Model && entry.session != Some(1));
    assert_eq!(stray.count(), 0, "{:?}", call.timeline);
    earlier.abort();
    assert_nothing_left(pair).await;
}
