//! A session is lost, and another takes up where it was.

use super::*;

/// Lets the session break and the next one come at once; what the next one is told.
fn next_after(rig: &mut Rig, failure: Failure) -> Vec<Output> {
    let mut asked = rig.ended(Some(failure));
    while !matches!(asked.last(), Some(Output::OpenStream { .. })) {
        asked = rig.reach_deadline(Duration::from_secs(4));
    }
    rig.opened()
}

/// Audio that is sent, in samples, but for the first that only wakes the model.
fn replayed(outputs: &[Output]) -> usize {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let audio = outputs.iter().filter_map(|output| {
        let Output::Send(_, event) = output else { return None };
        let event: Value = serde_json::from_slice(&event.clone().into_bytes()).unwrap();
        Some(STANDARD.decode(event["event"]["audioInput"]["content"].as_str()?).unwrap().len() / 2)
    });
    audio.skip(1).sum()
}

#[test]
fn a_session_lost_while_nobody_speaks_is_followed_by_one_that_waits() {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 160));
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    let outputs = next_after(&mut rig, Failure::Reset);
    assert_eq!(texts(&outputs), ["USER: hi", "ASSISTANT: Hello."]);
    assert_eq!(outputs.last(), Some(&Output::Switched(Cause::Failure(Failure::Reset))));
    assert_eq!(replayed(&outputs), 0);
}

#[test]
fn a_stream_that_ends_as_if_well_has_broken_all_the_same() {
    let mut rig = Rig::live();
    assert!(matches!(&rig.ended(None)[..], [Output::OpenStream { .. }]));
}

#[test]
fn the_callers_last_words_are_no_history_but_to_be_answered() {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 160));
    rig.model(caller_said("cancel it"));
    rig.model(caller_said("please"));
    let outputs = next_after(&mut rig, Failure::Reset);
    assert_eq!(texts(&outputs), ["USER: hi", "ASSISTANT: Hello.", "user: cancel it please"]);
    rig.model(caller_said("Cancel it, please."));
    rig.model(says("Which one?"));
    rig.handle(Input::LegEnded(LegEnd::Stopped));
    assert_eq!(rig.turns().len(), 4, "their echo is nothing that the caller said again");
}

#[test]
fn an_answer_that_was_broken_off_is_gone_on_with_from_where_it_will_have_been_heard() {
    let mut rig = Rig::live();
    let voice = |samples| ServerEvent::Audio(Bytes::from([0, 0x40].repeat(samples)));
    rig.model(says_for("Short and sweet.", 1_600));
    rig.model(caller_said("tell me"));
    let [start, words, end, _] = says("One two three four five.");
    rig.model([start, words, end, voice(1_600)]);
    rig.handle(Input::Heard { sample: 2_000, epoch: 0 });
    let outputs = next_after(&mut rig, Failure::Reset);
    let told = texts(&outputs);
    assert_eq!(told[2..], ["USER: tell me", "ASSISTANT: One two three", "user: Please go on."]);
    rig.model(says_for("four five.", 800));
    rig.handle(Input::Heard { sample: 4_000, epoch: 0 });
    rig.later(6_000);
    let turns = rig.turns();
    let heard: Vec<_> = turns.iter().filter_map(|turn| turn.heard.as_deref()).collect();
    assert_eq!(heard, ["Short and sweet.", "One two three", "four five."]);
    assert!(turns[2].cut_at.is_some() && !turns[2].interrupted, "{turns:?}");
}

#[test]
fn an_answer_of_which_nothing_will_be_heard_is_asked_for_anew() {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 160));
    rig.model(caller_said("tell me"));
    let [start, words, end, _] = says("One two three.");
    rig.model([start, words, end]);
    let told = texts(&next_after(&mut rig, Failure::Reset));
    assert_eq!(told, ["USER: hi", "ASSISTANT: Hello.", "user: tell me"]);
}

#[test]
fn what_the_caller_was_saying_is_heard_by_the_next_session_from_its_beginning() {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 160));
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    rig.caller(SILENCE, 2_000);
    rig.caller(VOICE, 1_000);
    rig.ended(Some(Failure::Reset));
    rig.caller(VOICE, 200);
    let outputs = rig.opened();
    assert_eq!(texts(&outputs), ["USER: hi", "ASSISTANT: Hello."], "nothing else is to be answered");
    assert_eq!(replayed(&outputs), 8 * (300 + 1_200), "from a moment before it");
    rig.caller(SILENCE, 1_000);
    rig.model(caller_said("cancel it"));
    let again = next_after(&mut rig, Failure::Reset);
    assert_eq!(replayed(&again), 0, "what was understood is not heard twice");
}

#[test]
fn the_result_of_a_tool_whose_session_is_gone_is_told_in_words() {
    let mut rig = Rig::live();
    rig.model([wants("get_date_and_time", json!({}))]);
    next_after(&mut rig, Failure::Reset);
    let outputs = rig.handle(Input::ToolFinished { id: ToolUseId::from("T1"), result: json!({ "time": "noon" }) });
    assert_eq!(texts(&outputs), [r#"user: The tool get_date_and_time answered: {"time":"noon"}"#]);
}

#[test]
fn a_result_that_comes_while_there_is_no_session_is_told_to_the_next() {
    let mut rig = Rig::live();
    rig.model(caller_said("what time is it"));
    rig.model([wants("get_date_and_time", json!({}))]);
    rig.ended(Some(Failure::Reset));
    rig.handle(Input::ToolFinished { id: ToolUseId::from("T1"), result: json!({ "time": "noon" }) });
    let told = texts(&rig.opened());
    assert_eq!(told[0], "USER: what time is it");
    assert!(told[1].starts_with("ASSISTANT: [Used get_date_and_time"), "{told:?}");
    assert_eq!(told[2..], [r#"user: The tool get_date_and_time answered: {"time":"noon"}"#]);
    assert_eq!(rig.notes.iter().filter(|entry| matches!(entry, Entry::Tool(_))).count(), 1);
}

#[test]
fn a_session_lost_before_its_greeting_is_followed_by_one_that_greets() {
    let mut rig = Rig::live();
    assert_eq!(texts(&next_after(&mut rig, Failure::Reset)), ["user: hi"]);
}

#[test]
fn a_prepared_session_takes_over_at_once() {
    let mut rig = Rig::live();
    let first = rig.session.unwrap();
    rig.model(says_for("Hello.", 160));
    rig.later(359_000);
    rig.model(says("A long story."));
    rig.later(1_000);
    rig.opened();
    let outputs = rig.handle(Input::StreamEnded { session: first, failure: Some(Failure::SessionExpired) });
    assert_eq!(outputs.last(), Some(&Output::Switched(Cause::Failure(Failure::SessionExpired))));
    assert_eq!(texts(&outputs).last().map(String::as_str), Some("user: Please go on."));
}

#[test]
fn after_two_seconds_without_a_session_the_caller_hears_something_until_there_is_one() {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 160));
    rig.ended(Some(Failure::Throttled));
    let mut sounds = Vec::new();
    let lost = rig.now;
    while sounds.len() < 2 {
        for output in rig.reach_deadline(Duration::from_secs(5)) {
            match output {
                Output::Speak { first_sample, .. } => sounds.push((rig.now - lost, first_sample)),
                output => assert!(matches!(output, Output::OpenStream { .. }), "{output:?}"),
            }
        }
    }
    assert_eq!(sounds, [(Duration::from_secs(2), 160), (Duration::from_millis(4_500), 160 + 3_200)]);
    rig.opened();
    rig.model(says_for("Here I am.", 160));
    rig.handle(Input::Heard { sample: 160 + 6_400 + 160, epoch: 0 });
    assert_eq!(rig.later(10_000), []);
    let said: Vec<_> = rig.turns().iter().map(|turn| (turn.text.clone(), turn.heard.clone().unwrap())).collect();
    let both = |text: &str| (text.to_owned(), text.to_owned());
    assert_eq!(said, [both("Hello."), both("Here I am.")], "a sound is nothing that was said");
}

#[test]
fn a_model_that_cannot_be_had_is_tried_so_often_and_then_a_human_is() {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 160));
    let (mut outputs, mut tries) = (rig.ended(Some(Failure::Unavailable)), 0);
    let lost = rig.now;
    while rig.outcome().is_none() {
        if matches!(outputs.last(), Some(Output::OpenStream { .. })) {
            tries += 1;
            outputs = rig.refused(Failure::Unavailable);
        } else {
            outputs = rig.reach_deadline(Duration::from_secs(4));
        }
    }
    assert_eq!(outputs, [Output::Next(Agent::demo().hand_over()), Output::Finished]);
    assert_eq!((tries, rig.outcome().unwrap().0), (3, Outcome::ModelFailed));
    assert!(rig.now - lost < Duration::from_secs(5));
}

#[test]
fn without_a_human_the_caller_hears_an_apology() {
    let now = Rig::opening().now;
    let tools = Tools::built_in(offhook_hosting::clock::Clock).specs(false);
    let mut rig = Rig::with(tools, now);
    rig.outputs();
    rig.opened();
    assert_eq!(rig.ended(Some(Failure::AccessDenied))[0], Output::Next(Agent::demo().apologise()));
}

#[test]
fn a_session_that_works_makes_earlier_failures_forgotten() {
    let mut rig = Rig::live();
    for _ in 0..20 {
        next_after(&mut rig, Failure::Reset);
        rig.model(says_for("Here.", 160));
    }
    assert_eq!(rig.outcome(), None);
}

#[test]
fn a_model_that_breaks_in_the_middle_of_every_answer_is_given_up() {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 160));
    for _ in 0..3 {
        next_after(&mut rig, Failure::ModelFailed);
        rig.model(says("I"));
    }
    assert_eq!(rig.ended(Some(Failure::ModelFailed))[0], Output::Next(Agent::demo().hand_over()));
}

#[test]
fn another_region_is_tried_where_the_region_is_at_fault() {
    for (failure, expected) in [(Failure::PeerGone, true), (Failure::Reset, false)] {
        let mut rig = Rig::live();
        let [Output::OpenStream { elsewhere, .. }] = rig.ended(Some(failure))[..] else { panic!() };
        assert_eq!(elsewhere, expected, "{failure}");
    }
}

#[test]
fn what_was_blocked_is_left_out_once_and_the_second_time_it_is_over() {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 160));
    rig.model(caller_said("something unspeakable"));
    let told = texts(&next_after(&mut rig, Failure::Filtered));
    assert_eq!(told, ["USER: hi", "ASSISTANT: Hello.", "user: Sorry, could you say that again?"]);
    rig.model(says_for("How can I help?", 160));
    rig.model(caller_said("cancel it"));
    let told = texts(&next_after(&mut rig, Failure::Reset));
    assert_eq!(told.last().map(String::as_str), Some("user: cancel it"), "another failure has nothing to do with it");
    assert!(!told.iter().any(|text| text.contains("unspeakable")), "it would be blocked again: {told:?}");
    rig.model(says_for("It is cancelled.", 160));
    assert_eq!(rig.ended(Some(Failure::Filtered))[0], Output::Next(Agent::demo().hand_over()));
}

#[test]
fn a_history_that_is_too_long_is_halved_once() {
    let mut rig = Rig::live();
    for nth in 0..300 {
        rig.model(says_for(&format!("{nth} is a number that comes after {}.", nth - 1), 8));
        rig.model(caller_said(&format!("and after {nth}?")));
    }
    let bytes = |outputs: &[Output]| texts(outputs).iter().map(String::len).sum::<usize>();
    let whole = bytes(&next_after(&mut rig, Failure::Reset));
    let half = bytes(&next_after(&mut rig, Failure::HistoryTooLong));
    assert!(half < whole * 6 / 10 && half > whole * 3 / 10, "{half} of {whole}");
    assert_eq!(rig.ended(Some(Failure::HistoryTooLong))[0], Output::Next(Agent::demo().hand_over()));
}

#[test]
fn a_model_that_does_not_answer_what_it_understood_is_replaced_and_asked_again() {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 160));
    rig.model(caller_said("cancel it"));
    let deaf = rig.session.unwrap();
    let outputs = rig.reach_deadline(Duration::from_secs(10));
    assert!(outputs.contains(&Output::EndInput(deaf)), "{outputs:?}");
    assert!(matches!(outputs.last(), Some(Output::OpenStream { .. })), "{outputs:?}");
    let told = texts(&rig.opened());
    assert_eq!(told.last().map(String::as_str), Some("user: cancel it"));
}

#[test]
fn a_model_that_says_nothing_at_all_is_replaced() {
    let mut rig = Rig::live();
    assert!(matches!(rig.reach_deadline(Duration::from_secs(10)).last(), Some(Output::OpenStream { .. })));
}

#[test]
fn a_model_that_stops_in_the_middle_of_a_turn_is_replaced() {
    let mut rig = Rig::live();
    rig.model(says("One two"));
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    assert!(matches!(rig.reach_deadline(Duration::from_secs(10)).last(), Some(Output::OpenStream { .. })));
    assert_eq!(texts(&rig.opened()).last().map(String::as_str), Some("user: Please go on."));
}

#[test]
fn a_deaf_session_is_replaced_and_the_next_one_hears_what_it_did_not() {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 160));
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    rig.caller(VOICE, 600);
    let mut outputs = Vec::new();
    for _ in 0..500 {
        outputs.extend(rig.caller(SILENCE, 20));
    }
    assert_eq!(outputs, [], "some models take their time");
    outputs = rig.caller(SILENCE, 1_000);
    assert!(matches!(outputs.last(), Some(Output::OpenStream { .. })), "{outputs:?}");
    assert!(replayed(&rig.opened()) >= 8 * 600);
    rig.caller(SILENCE, 2_000);
    assert_eq!(rig.caller(SILENCE, 30_000), [], "no words then, and nobody is made to answer for a noise for ever");
}

#[test]
fn a_click_on_the_line_replaces_no_session() {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 160));
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    rig.caller(VOICE, 160);
    assert_eq!(rig.caller(SILENCE, 60_000), []);
}

#[test]
fn a_model_that_waits_for_a_tool_has_not_stalled() {
    let mut rig = Rig::live();
    rig.model(caller_said("what time is it"));
    rig.model([wants("get_date_and_time", json!({}))]);
    assert_eq!(rig.later(14_900), []);
}

#[test]
fn a_caller_who_speaks_over_the_words_of_a_lost_session_is_listened_to() {
    let mut rig = Rig::live();
    rig.model(says("A long story."));
    rig.model([audio(40_000)]);
    rig.handle(Input::Heard { sample: 800, epoch: 0 });
    rig.ended(Some(Failure::Throttled));
    rig.caller(SILENCE, 100);
    let outputs = rig.caller(VOICE, 200);
    assert!(outputs.contains(&Output::Hush { epoch: 1 }), "{outputs:?}");
}

#[test]
fn keys_told_while_the_agent_speaks_are_not_answered_by_the_rest_of_what_it_was_saying() {
    let mut rig = Rig::live();
    rig.model(says("One two three"));
    rig.handle(press("4"));
    rig.handle(press("#"));
    rig.model([audio(160)]);
    let told = texts(&next_after(&mut rig, Failure::Reset));
    assert_eq!(told.last().map(String::as_str), Some("user: The caller pressed 4 on the keypad."));
    rig.model(says_for("Four.", 160));
    let told = texts(&next_after(&mut rig, Failure::Reset));
    assert!(told.last().is_some_and(|last| last.starts_with("ASSISTANT:")), "answered: {told:?}");
}

#[test]
fn late_texts_of_the_agent_do_not_make_a_deaf_session_pass_for_one_that_hears() {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 160));
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    rig.caller(VOICE, 600);
    rig.caller(SILENCE, 5_000);
    let start = ServerEvent::TextStart { role: Role::Assistant, stage: GenerationStage::Final };
    rig.model([start, ServerEvent::Text("Hello.".into()), ServerEvent::TextEnd(StopReason::EndTurn)]);
    let outputs = rig.caller(SILENCE, 6_000);
    assert!(matches!(outputs.last(), Some(Output::OpenStream { .. })), "{outputs:?}");
    assert!(replayed(&rig.opened()) >= 8 * 600);
}

#[test]
fn a_caller_who_says_hello_again_and_again_puts_off_no_rescue() {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 160));
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    let began = rig.now;
    let mut outputs = Vec::new();
    while outputs.is_empty() && rig.now < began + Duration::from_secs(60) {
        outputs = rig.caller(VOICE, 400);
        outputs.extend(rig.caller(SILENCE, 3_000));
    }
    assert!(outputs.iter().any(|output| matches!(output, Output::OpenStream { .. })), "{outputs:?}");
    assert!(rig.now <= began + Duration::from_secs(18), "after {:?}", rig.now - began);
}

/// A conversation whose session was lost in the middle of a turn, and just after a noise on the caller's side; with the
/// texts that the next one was told.
fn lost_after_a_noise() -> (Rig, Vec<String>) {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 160));
    let [start, words, end, _] = says("One two three four five.");
    rig.model([start, words, end, ServerEvent::Audio(Bytes::from([0, 0x40].repeat(1_600)))]);
    rig.caller(VOICE, 300);
    rig.caller(SILENCE, 400);
    let outputs = next_after(&mut rig, Failure::Reset);
    assert!(replayed(&outputs) >= 8 * 300);
    (rig, texts(&outputs))
}

#[test]
fn a_session_that_hears_a_noise_again_goes_on_once_it_knows_that_it_was_none() {
    let (mut rig, told) = lost_after_a_noise();
    assert!(told.iter().all(|text| !text.starts_with("user:")), "it first has to hear: {told:?}");
    assert_eq!(texts(&rig.model(caller_said(" "))), ["user: Please go on."]);
    let (mut rig, _) = lost_after_a_noise();
    let session = rig.session;
    assert_eq!(texts(&rig.later(4_000)), ["user: Please go on."], "or says nothing of it");
    assert_eq!(rig.session, session, "it has not stalled");
    let (mut rig, _) = lost_after_a_noise();
    rig.model(caller_said("what"));
    rig.model(says_for("I said one.", 160));
    assert_eq!(texts(&rig.later(9_000)), Vec::<String>::new(), "or answers it");
}

#[test]
fn a_noise_over_the_agents_words_that_stops_nothing_is_forgotten() {
    let mut rig = Rig::live();
    rig.model(says("A long story."));
    rig.model([audio(80_000)]);
    rig.caller(VOICE, 600);
    rig.caller(SILENCE, 5_000);
    rig.model([turn_ends()]);
    assert!(!rig.conversation.voice.is_unheard());
    assert_eq!(rig.later(60_000), []);
}
