//! What others were caught by, where no other test is about it.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;

fn wants_as(id: &str, tool: &str, input: Value) -> ServerEvent {
    ServerEvent::ToolUse { id: ToolUseId::from(id), name: tool.into(), input }
}

fn finished(id: &str, result: Value) -> Input {
    Input::ToolFinished { id: ToolUseId::from(id), result }
}

/// The bodies of events of this name among what is sent.
fn bodies(outputs: &[Output], name: &str) -> Vec<Value> {
    let body = |output: &Output| {
        let (Output::Send(_, event) | Output::SendAudio(_, event)) = output else { return None };
        let mut event: Value = serde_json::from_slice(&event.clone().into_bytes()).unwrap();
        event["event"].get_mut(name).map(Value::take)
    };
    outputs.iter().filter_map(body).collect()
}

/// Every request that is answered, with its answer, in order.
fn results(outputs: &[Output]) -> Vec<(String, Value)> {
    let starts = bodies(outputs, "contentStart").into_iter();
    let ids = starts.filter_map(|start| Some(start["toolResultInputConfiguration"]["toolUseId"].as_str()?.to_owned()));
    let told = bodies(outputs, "toolResult").into_iter();
    ids.zip(told.map(|result| serde_json::from_str(result["content"].as_str().unwrap()).unwrap())).collect()
}

#[test]
fn audio_after_a_tool_belongs_to_its_own_sentence_and_an_interruption_cuts_only_that() {
    let mut rig = Rig::live();
    rig.model(says_for("One moment.", 1_600));
    rig.model([wants("get_date_and_time", json!({}))]);
    rig.handle(Input::Heard { sample: 1_600, epoch: 0 });
    rig.later(500);
    rig.handle(finished("T1", json!({ "time": "noon" })));
    rig.model(says_for("It is noon and lunch is served.", 16_000));
    rig.later(300);
    rig.handle(Input::Heard { sample: 1_600 + 8_000, epoch: 0 });
    assert_eq!(rig.model(interrupted()), [Output::Hush { epoch: 1 }]);
    rig.later(3_000);
    let turns = rig.turns();
    let said: Vec<_> = turns.iter().map(|turn| (turn.text.as_str(), turn.heard.as_deref(), turn.interrupted)).collect();
    assert_eq!(said[0], ("One moment.", Some("One moment."), false));
    let (text, heard, interrupted) = said[1];
    assert!(text == "It is noon and lunch is served." && interrupted, "{said:?}");
    let heard = heard.unwrap();
    assert!(text.starts_with(heard) && !heard.is_empty() && heard != text, "{said:?}");
}

#[test]
fn a_result_goes_to_the_model_at_once_although_the_agent_speaks() {
    let mut rig = Rig::live();
    rig.model([wants("get_date_and_time", json!({}))]);
    rig.model(says("Let me see what"));
    let outputs = rig.handle(finished("T1", json!({ "time": "noon" })));
    assert_eq!(results(&outputs), [("T1".to_owned(), json!({ "time": "noon" }))]);
    assert!(matches!(rig.model([audio(160)])[..], [Output::Speak { epoch: 0, .. }]), "and cuts nothing off");
}

#[test]
fn an_interruption_cancels_no_tool_and_its_result_is_told() {
    let mut rig = Rig::live();
    rig.model([wants("get_date_and_time", json!({}))]);
    rig.model(says("Let me see."));
    assert_eq!(rig.model(interrupted()), [Output::Hush { epoch: 1 }], "neither stopped nor answered for");
    rig.model(caller_said("and hurry up"));
    assert_eq!(results(&rig.handle(finished("T1", json!({ "time": "noon" })))).len(), 1);
}

#[test]
fn results_of_tools_in_flight_go_to_their_own_requests_in_any_order() {
    let mut rig = Rig::live();
    for (id, number) in [("A", "R-1"), ("B", "R-2"), ("C", "R-3")] {
        let outputs = rig.model([wants_as(id, "cancel_reservation", json!({ "reservation_id": number }))]);
        assert!(matches!(&outputs[..], [Output::RunTool(call)] if call.input["reservation_id"] == number));
    }
    let mut outputs = Vec::new();
    for (id, number) in [("C", "R-3"), ("A", "R-1"), ("B", "R-2")] {
        outputs.extend(rig.handle(finished(id, json!({ "reservation_id": number }))));
    }
    let expected = [("C", "R-3"), ("A", "R-1"), ("B", "R-2")];
    let expected = expected.map(|(id, number)| (id.to_owned(), json!({ "reservation_id": number })));
    assert_eq!(results(&outputs), expected);
}

#[test]
fn after_a_loss_one_session_is_read_and_written_and_the_lost_one_is_heard_no_more() {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 160));
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    let lost = rig.session.unwrap();
    for _ in 0..3 {
        let outputs = rig.ended(Some(Failure::ModelFailed));
        let asked = if outputs.is_empty() { rig.reach_deadline(Duration::from_secs(4)) } else { outputs };
        let opened = asked.iter().filter(|output| matches!(output, Output::OpenStream { .. })).count();
        assert_eq!(opened, 1, "{asked:?}");
        rig.opened();
        rig.model(says_for("Still here.", 160));
    }
    let live = rig.session.unwrap();
    let outputs = rig.handle(Input::CallerAudio(Bytes::from_static(&[VOICE; 160])));
    assert!(matches!(outputs[..], [Output::SendAudio(to, _)] if to == live), "{outputs:?}");
    assert_eq!(rig.model_of(lost, says_for("I am back.", 160)), []);
    assert!(matches!(rig.model_of(live, says("Yes?"))[..], [Output::Speak { .. }]));
}

#[test]
fn no_prompt_is_ended_while_an_answer_is_due() {
    type Asks = fn(&mut Rig) -> Vec<Output>;
    let cases: [(&str, Asks); 5] = [
        ("greeting", |_| Vec::new()),
        ("words", |rig| rig.model(caller_said("cancel it"))),
        ("keys", |rig| [rig.handle(press("7")), rig.handle(press("#"))].concat()),
        ("a result", |rig| {
            rig.model([wants("get_date_and_time", json!({}))]);
            rig.handle(finished("T1", json!({ "time": "noon" })))
        }),
        ("a goodbye", |rig| rig.model([wants("hang_up", json!({}))])),
    ];
    for (case, ask) in cases {
        let mut rig = Rig::live();
        if case != "greeting" {
            rig.model(says_for("Hello.", 160));
            rig.handle(Input::Heard { sample: 160, epoch: 0 });
        }
        let mut outputs = ask(&mut rig);
        // As long as the real model needs for its first word, unless it is slow.
        outputs.extend(rig.later(1_900));
        let ended = sent(&outputs).into_iter().filter(|name| name == "promptEnd" || name == "sessionEnd").count();
        assert_eq!(ended, 0, "{case}: {outputs:?}");
        assert!(matches!(rig.model(says("Well."))[..], [Output::Speak { .. }]), "{case}: the answer is heard");
    }
}

#[test]
fn a_session_in_which_nobody_ever_speaks_is_renewed_too() {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 160));
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    let mut renewed = 0;
    for _ in 0..3 {
        let first = rig.session.unwrap();
        let outputs = rig.reach_deadline(Limits::default().session_limit);
        assert!(matches!(outputs[..], [Output::OpenStream { .. }]), "{outputs:?}");
        renewed += rig.opened().iter().filter(|output| matches!(output, Output::Switched(Cause::Renewal))).count();
        let outputs = rig.later(10_000);
        assert!(outputs.contains(&Output::EndInput(first)), "{outputs:?}");
        rig.handle(Input::StreamEnded { session: first, failure: None });
    }
    assert_eq!(renewed, 3);
}

#[test]
fn audio_of_any_length_reaches_the_model_as_whole_samples() {
    let mut rig = Rig::live();
    for length in [1, 3, 159, 160, 161, 8_001, 1_000_000] {
        let outputs = rig.handle(Input::CallerAudio(Bytes::from(vec![SILENCE; length])));
        let pieces = bodies(&outputs, "audioInput").into_iter().map(|audio| {
            let pcm = STANDARD.decode(audio["content"].as_str().unwrap()).unwrap();
            assert!(pcm.len() % 2 == 0 && pcm.len() <= 16_000, "an event takes so much and no more");
            pcm.len()
        });
        assert_eq!(pieces.sum::<usize>(), 2 * length);
    }
}
