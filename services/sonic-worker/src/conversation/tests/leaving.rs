//! The agent leaves the line, once it was heard out.

use super::*;

const STALL: Duration = Duration::from_secs(10);

fn hang_up() -> ServerEvent {
    wants("hang_up", json!({}))
}

fn wants_digits(id: &str, digits: &str) -> ServerEvent {
    ServerEvent::ToolUse { id: ToolUseId::from(id), name: "send_digits".into(), input: json!({ "digits": digits }) }
}

/// An agent that has greeted, and was thanked.
fn thanked() -> Rig {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 160));
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    rig.model(caller_said("thanks, that was all"));
    rig
}

fn farewell() -> Output {
    Output::Next(NextStep::HangUp { say: Some("Goodbye.".into()) })
}

fn hung_up() -> Output {
    Output::Next(NextStep::HangUp { say: None })
}

#[test]
fn a_slow_models_goodbye_is_waited_for_and_heard_before_the_line_closes() {
    let mut rig = thanked();
    rig.model([hang_up()]);
    assert_eq!(rig.later(9_900), []);
    let [start, words, end, _] = says("Goodbye.");
    rig.model([start, words, end]);
    assert_eq!(rig.later(1_900), [], "its voice follows its text");
    rig.model([audio(80_000), turn_ends()]);
    assert_eq!(rig.later(12_000), [], "the goodbye is still playing");
    assert_eq!(rig.handle(Input::Heard { sample: 80_160, epoch: 0 })[0], hung_up());
}

#[test]
fn a_goodbye_that_never_comes_is_said_for_the_agent() {
    let mut rig = thanked();
    rig.model([hang_up()]);
    let asked_at = rig.now;
    assert_eq!(rig.reach_deadline(STALL)[0], farewell());
    assert_eq!((rig.now - asked_at, rig.outcome().unwrap().0), (STALL, Outcome::AgentHungUp));
}

#[test]
fn a_session_that_is_lost_before_its_goodbye_does_not_skip_it() {
    let ends: [fn(&mut Rig) -> Vec<Output>; 2] = [|rig| rig.ended(Some(Failure::Reset)), |rig| rig.handle(Input::Stop)];
    for end in ends {
        let mut rig = thanked();
        rig.model([hang_up()]);
        assert_eq!(end(&mut rig)[0], farewell());
        let mut rig = thanked();
        rig.model([hang_up()]);
        rig.model(says_for("Goodbye.", 160));
        assert_eq!(end(&mut rig)[0], hung_up(), "it is on its way to the caller");
    }
}

#[test]
fn an_agent_that_said_goodbye_before_it_hangs_up_is_not_waited_for() {
    let mut rig = thanked();
    rig.model(says_for("Goodbye.", 160));
    rig.handle(Input::Heard { sample: 320, epoch: 0 });
    for _ in 0..2 {
        rig.model([hang_up()]);
    }
    assert_eq!(rig.reach_deadline(Duration::from_secs(2))[0], hung_up());
}

#[test]
fn what_was_said_before_a_tool_is_no_goodbye() {
    let mut rig = thanked();
    rig.model(says_for("One moment.", 160));
    rig.handle(Input::Heard { sample: 320, epoch: 0 });
    rig.model([ServerEvent::ToolUse { id: ToolUseId::from("T0"), name: "get_date_and_time".into(), input: json!({}) }]);
    rig.handle(Input::ToolFinished { id: ToolUseId::from("T0"), result: json!({}) });
    rig.model([hang_up()]);
    assert_eq!(rig.later(9_000), []);
}

#[test]
fn a_caller_who_says_goodbye_while_the_agent_is_slow_to_is_hung_up_on_after_both() {
    let mut rig = thanked();
    rig.model([hang_up()]);
    rig.later(3_000);
    rig.model(caller_said("bye"));
    rig.model(says("Goodbye."));
    rig.model(says_for("Until soon.", 160));
    rig.handle(Input::Heard { sample: 480, epoch: 0 });
    assert_eq!(rig.reach_deadline(Duration::from_secs(5))[0], hung_up());
}

#[test]
fn a_caller_who_asks_something_while_the_agent_is_slow_to_say_goodbye_is_answered_and_keeps_the_line() {
    let mut rig = thanked();
    rig.model([hang_up()]);
    rig.model(caller_said("when is breakfast?"));
    rig.model(says_for("Goodbye.", 160));
    rig.handle(Input::Heard { sample: 320, epoch: 0 });
    rig.model(says("From seven."));
    assert!(rig.conversation.leaving.is_none());
}

#[test]
fn keys_are_sent_once_the_agent_was_heard_out_and_the_conversation_goes_on() {
    let mut rig = thanked();
    rig.model(says_for("I choose reservations.", 800));
    rig.model([wants_digits("T1", "1w2#")]);
    assert_eq!(rig.later(2_000), [], "it is still heard");
    rig.model(caller_said("for reservations press one"));
    assert_eq!(rig.later(2_000), [], "a menu goes on speaking");
    rig.handle(Input::Heard { sample: 960, epoch: 0 });
    let outputs = rig.reach_deadline(Duration::from_secs(5));
    let digits = crate::calls::Digits::try_from("1w2#").unwrap();
    assert_eq!(outputs[0], Output::Next(NextStep::SendDigits { digits }));
    assert_eq!(sent(&outputs), BY_THE_BOOK);
    assert_eq!(rig.outcome().unwrap().0, Outcome::DigitsSent);
}

#[test]
fn what_is_no_sequence_of_keys_is_explained_to_the_model() {
    for wrong in ["", "call me", "1 2 3"] {
        let mut rig = thanked();
        let outputs = rig.model([wants_digits("T1", wrong)]);
        assert_eq!(sent(&outputs), ["contentStart", "toolResult", "contentEnd"]);
        assert!(rig.conversation.leaving.is_none());
        let Some(Entry::Tool(run)) = rig.notes.last() else { panic!("{:?}", rig.notes) };
        assert_eq!(run.result.as_ref().unwrap()["error"], "digits must be 1 to 32 of 0-9, *, # and w");
    }
}

#[test]
fn only_a_human_comes_before_keys_that_are_to_be_sent() {
    let mut rig = thanked();
    rig.model([wants_digits("T1", "1")]);
    rig.model([wants_digits("T2", "2")]);
    let Some(Entry::Tool(run)) = rig.notes.last() else { panic!("{:?}", rig.notes) };
    assert!(run.result.as_ref().unwrap()["error"].is_string(), "{run:?}");
    rig.model([ServerEvent::ToolUse { id: ToolUseId::from("T3"), name: "hang_up".into(), input: json!({}) }]);
    let leaving = rig.conversation.leaving.as_ref().unwrap();
    assert_eq!(leaving.outcome(), Outcome::DigitsSent);
    rig.model([ServerEvent::ToolUse { id: ToolUseId::from("T4"), name: "support".into(), input: json!({}) }]);
    assert!(matches!(rig.reach_deadline(STALL)[0], Output::Next(NextStep::Transfer { .. })));
}
