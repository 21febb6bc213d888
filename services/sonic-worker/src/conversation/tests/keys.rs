use super::*;
use crate::calls::TurnKind;

#[test]
fn keys_reach_the_model_as_one_text_after_a_pause() {
    let mut rig = Rig::live();
    rig.model([ServerEvent::CompletionStart]);
    for key in ["1", "2", "3"] {
        assert_eq!(rig.handle(press(key)), []);
        assert_eq!(rig.later(1_900), []);
    }
    let outputs = rig.reach_deadline(Duration::from_millis(100));
    assert_eq!(text_sent(&outputs).as_deref(), Some("The caller pressed 1 2 3 on the keypad."));
    let [turn] = rig.turns()[..] else { panic!("{:?}", rig.turns()) };
    assert_eq!(
        (turn.speaker, turn.kind, turn.text.as_str(), &turn.heard),
        (Speaker::Caller, TurnKind::Digits, "123", &None)
    );
}

#[test]
fn a_hash_sends_the_keys_at_once_and_their_echo_is_not_what_the_caller_said() {
    let mut rig = Rig::live();
    rig.handle(press("4"));
    assert_eq!(text_sent(&rig.handle(press("#"))).as_deref(), Some("The caller pressed 4 on the keypad."));
    rig.model(caller_said("The caller pressed 4 on the keypad."));
    rig.now += Duration::from_millis(300);
    rig.model(says_for("Thank you.", 160));
    rig.now += Duration::from_millis(20);
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    rig.handle(Input::LegEnded(LegEnd::Stopped));
    let [keys, answer] = rig.turns()[..] else { panic!("{:?}", rig.turns()) };
    let latency = Latency { total_ms: 300, endpointing_ms: Some(0), model_ms: 300, tool_ms: 0, own_ms: 0 };
    assert_eq!((keys.kind, answer.kind, answer.latency), (TurnKind::Digits, TurnKind::Speech, Some(latency)));
}

#[test]
fn keys_reach_only_a_model_that_has_heard_audio() {
    let mut rig = Rig::opening();
    rig.outputs();
    assert_eq!((rig.handle(press("1")), rig.handle(press("#"))), (vec![], vec![]));
    let opened = sent(&rig.opened());
    assert_eq!(opened, ["contentStart", "audioInput", "contentStart", "textInput", "contentEnd"]);
    assert_eq!(text_sent(&rig.handle(press("#"))).as_deref(), Some("The caller pressed # on the keypad."));
}

#[test]
fn no_audio_comes_between_the_parts_of_a_text_about_keys() {
    let mut rig = Rig::live();
    rig.handle(press("1"));
    let voice = || Input::CallerAudio(Bytes::from_static(&[0xff; 160]));
    rig.now += Duration::from_secs(2);
    // The audio comes at the moment at which the pause is over.
    assert_eq!(sent(&rig.handle(voice())), ["audioInput", "contentStart", "textInput", "contentEnd"]);
    assert_eq!(sent(&rig.handle(voice())), ["audioInput"]);
}

#[test]
fn keys_that_were_not_complete_when_the_caller_hung_up_are_recorded_all_the_same() {
    let mut rig = Rig::live();
    rig.handle(press("9"));
    let outputs = rig.handle(Input::LegEnded(LegEnd::Stopped));
    assert_eq!(sent(&outputs), BY_THE_BOOK);
    assert_eq!((rig.turns()[0].kind, rig.turns()[0].text.as_str()), (TurnKind::Digits, "9"));
    assert_eq!(rig.handle(press("9")), [], "nobody listens any more");
    assert_eq!(rig.turns().len(), 1);
}

#[test]
fn a_caller_who_presses_keys_after_the_goodbye_is_not_hung_up_on() {
    let mut rig = Rig::live();
    rig.model([wants("hang_up", json!({}))]);
    rig.model(says("Goodbye."));
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    rig.later(1_500);
    rig.handle(press("1"));
    assert!(text_sent(&rig.later(2_000)).is_some());
    assert_eq!((rig.later(2_900), rig.outcome()), (vec![], None));
    rig.model(says("You pressed one."));
    assert!(rig.conversation.leaving.is_none());
}

#[test]
fn agents_know_what_a_message_about_keys_means() {
    let mut rig = Rig::opening();
    let [Output::OpenStream { opening: events, .. }] = &rig.outputs()[..] else { panic!() };
    let prompt: String =
        events.iter().map(|event| String::from_utf8_lossy(&event.clone().into_bytes()).into_owned()).collect();
    assert!(prompt.contains("hotel") && prompt.contains("pressed 1 2 3 on the keypad"), "{prompt}");
}
