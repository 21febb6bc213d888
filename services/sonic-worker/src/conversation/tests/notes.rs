use super::*;
use crate::calls::TurnKind;

fn told(text: &str) -> Input {
    Input::Told(text.into())
}

/// A conversation whose agent has greeted the caller and is still heard.
fn greeting() -> Rig {
    let mut rig = Rig::live();
    rig.model(says_for("Good morning.", 8_000));
    rig
}

/// The speaker, kind and text of each turn.
fn noted(rig: &Rig) -> Vec<(Speaker, TurnKind, &str)> {
    rig.turns().into_iter().map(|turn| (turn.speaker, turn.kind, turn.text.as_str())).collect()
}

#[test]
fn a_note_reaches_the_model_once_the_agent_was_heard_out_and_the_record_says_that_nobody_said_it() {
    let mut rig = greeting();
    assert_eq!(rig.handle(told("The caller is a regular.")), []);
    let outputs = rig.handle(Input::Heard { sample: 8_000, epoch: 0 });
    assert_eq!(text_sent(&outputs).as_deref(), Some("Note: The caller is a regular."));
    rig.later(500);
    let expected = [
        (Speaker::Agent, TurnKind::Speech, "Good morning."),
        (Speaker::System, TurnKind::Note, "The caller is a regular."),
    ];
    assert_eq!(noted(&rig), expected);
}

#[test]
fn an_agent_that_never_stops_is_told_all_the_same_and_everything_at_once() {
    let mut rig = greeting();
    rig.handle(told("One."));
    rig.later(4_000);
    rig.handle(told("Two."));
    assert_eq!(rig.later(5_999), []);
    let outputs = rig.later(1);
    assert_eq!(text_sent(&outputs).as_deref(), Some("Note: One.\nNote: Two."));
}

#[test]
fn echoes_of_what_was_told_are_not_what_the_caller_said() {
    let mut rig = greeting();
    rig.handle(Input::Heard { sample: 8_000, epoch: 0 });
    rig.handle(press("7"));
    rig.handle(press("#"));
    rig.handle(told("The manager offers a free night."));
    rig.later(10_000);
    rig.model(caller_said("The caller pressed 7 on the keypad."));
    rig.model(caller_said("note, the manager offers a free night"));
    rig.handle(Input::LegEnded(LegEnd::Stopped));
    let kinds: Vec<_> = noted(&rig).into_iter().map(|(_, kind, _)| kind).collect();
    assert_eq!(kinds, [TurnKind::Speech, TurnKind::Digits, TurnKind::Note]);
}

#[test]
fn nobody_has_waited_for_what_the_agent_says_because_of_a_note() {
    let mut rig = greeting();
    rig.handle(Input::Heard { sample: 8_000, epoch: 0 });
    rig.handle(told("The caller has been silent for a while."));
    rig.model(says_for("Are you still there?", 800));
    rig.handle(Input::Heard { sample: 8_800, epoch: 0 });
    rig.later(500);
    assert_eq!((rig.turns().len(), rig.turns()[2].latency), (3, None));
}

#[test]
fn what_is_told_while_the_agent_owes_an_answer_waits_for_that() {
    let mut rig = Rig::opening();
    rig.outputs();
    assert_eq!(rig.handle(told("The caller is a regular.")), []);
    let opened = rig.opened();
    assert_eq!(text_sent(&opened).as_deref(), Some("hi"));
    let spoken = |rig: &mut Rig, sample| -> Option<String> {
        let outputs = rig.model(says_for("Good morning.", 800));
        assert_eq!(text_sent(&outputs), None);
        text_sent(&rig.handle(Input::Heard { sample, epoch: 0 }))
    };
    assert_eq!(spoken(&mut rig, 800).as_deref(), Some("Note: The caller is a regular."));
    assert_eq!(spoken(&mut rig, 1_600), None);
    rig.model(caller_said("hello"));
    assert_eq!(rig.handle(told("The caller is in a hurry.")), []);
    assert_eq!(spoken(&mut rig, 2_400).as_deref(), Some("Note: The caller is in a hurry."));
}

#[test]
fn a_note_that_was_not_answered_is_told_to_the_next_session_once_and_not_as_history() {
    let mut rig = greeting();
    rig.handle(Input::Heard { sample: 8_000, epoch: 0 });
    rig.handle(told("The caller is a regular."));
    rig.ended(Some(Failure::PeerGone));
    rig.later(2_000);
    let texts: Vec<String> = rig.opened().iter().filter_map(text_of).collect();
    assert_eq!(texts, ["hi", "Good morning.", "Note: The caller is a regular."]);
}

#[test]
fn a_call_that_is_over_is_told_nothing() {
    let mut rig = greeting();
    rig.handle(Input::LegEnded(LegEnd::Stopped));
    assert_eq!((rig.handle(told("Too late.")), rig.later(1_000)), (vec![], vec![]));
    assert_eq!(noted(&rig).len(), 1);
}
