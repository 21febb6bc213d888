use super::*;
use crate::calls::Latency;

/// How long the caller waited for each turn of the agent.
fn latencies(rig: &Rig) -> Vec<Option<Latency>> {
    rig.turns().iter().filter(|turn| turn.speaker == Speaker::Agent).map(|turn| turn.latency).collect()
}

#[test]
fn what_a_tool_took_of_the_wait_is_told_apart_from_what_the_model_took() {
    let mut rig = Rig::live();
    let stopped = rig.now;
    rig.conversation.turns.caller_stopped(stopped);
    rig.later(1_750);
    rig.model(caller_said("what time is it"));
    rig.later(200);
    rig.model([wants("get_date_and_time", json!({}))]);
    rig.later(1_000);
    rig.handle(Input::ToolFinished { id: ToolUseId::from("T1"), result: json!({ "time": "noon" }) });
    rig.later(300);
    rig.model(says_for("Noon.", 800));
    rig.later(150);
    rig.handle(Input::Heard { sample: 800, epoch: 0 });
    rig.later(500);
    let whole = Latency { total_ms: 3_300, endpointing_ms: Some(1_750), model_ms: 500, tool_ms: 1_000, own_ms: 50 };
    assert_eq!(latencies(&rig), [Some(whole)]);
}

#[test]
fn an_answer_that_was_not_played_has_no_latency_and_neither_has_what_answers_nothing() {
    let mut rig = Rig::live();
    rig.model(says_for("Good morning.", 160));
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    rig.model(caller_said("hello"));
    rig.model(says_for("How can I help?", 160));
    rig.handle(Input::LegEnded(LegEnd::ConnectionLost));
    assert_eq!(latencies(&rig), [None, None]);
}

#[test]
fn words_before_a_tool_end_the_wait_and_words_after_it_answer_nothing_new() {
    let mut rig = Rig::live();
    rig.model(caller_said("what time is it"));
    rig.later(400);
    rig.model(says_for("One moment.", 160));
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    rig.model([wants("get_date_and_time", json!({}))]);
    rig.later(2_000);
    rig.handle(Input::ToolFinished { id: ToolUseId::from("T1"), result: json!({}) });
    rig.model(says_for("Noon.", 160));
    rig.handle(Input::Heard { sample: 320, epoch: 0 });
    rig.later(500);
    let [moment, noon] = latencies(&rig)[..] else { panic!() };
    assert_eq!((moment.unwrap().tool_ms, moment.unwrap().total_ms, noon), (0, 400, None));
}
