//! One session follows another while both live.

use super::*;

/// A conversation in which both have said something, a second before its session is to be renewed.
fn before_renewal() -> Rig {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 160));
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    rig.later(1_000);
    rig.model(caller_said("cancel it"));
    rig.model(says_for("Which one?", 160));
    rig.handle(Input::Heard { sample: 320, epoch: 0 });
    assert_eq!(rig.later(358_000), []);
    rig
}

/// Lets the next session be asked for and come.
fn renewed(rig: &mut Rig) -> Vec<Output> {
    assert!(matches!(&rig.reach_deadline(Duration::from_secs(1))[..], [Output::OpenStream { elsewhere: false, .. }]));
    rig.opened()
}

fn switches(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Switched(_))).count()
}

const HISTORY: [&str; 4] = ["USER: hi", "ASSISTANT: Hello.", "USER: cancel it", "ASSISTANT: Which one?"];

#[test]
fn a_session_is_followed_by_another_that_knows_what_was_said() {
    let mut rig = before_renewal();
    let outputs = renewed(&mut rig);
    assert_eq!(texts(&outputs), HISTORY, "and nothing that it would answer");
    assert_eq!(outputs.last(), Some(&Output::Switched(Cause::Renewal)));
}

#[test]
fn the_last_session_hears_on_until_the_new_one_has_shown_that_it_does() {
    let mut rig = before_renewal();
    let first = rig.session.unwrap();
    renewed(&mut rig);
    let second = rig.session.unwrap();
    let heard = rig.handle(Input::CallerAudio(Bytes::from_static(&[SILENCE; 160])));
    let by: Vec<_> =
        heard.iter().map(|output| if let Output::SendAudio(no, _) = output { *no } else { panic!() }).collect();
    assert_eq!(by, [second, first]);
    let outputs = rig.model(caller_said("R-1042"));
    assert_eq!(sent(&outputs), BY_THE_BOOK);
    assert_eq!(outputs.last(), Some(&Output::EndInput(first)));
    assert_eq!(rig.handle(Input::StreamEnded { session: first, failure: None }), []);
    assert_eq!(rig.handle(Input::CallerAudio(Bytes::from_static(&[SILENCE; 160]))).len(), 1);
}

#[test]
fn the_last_session_goes_after_ten_seconds_in_which_nobody_speaks() {
    let mut rig = before_renewal();
    let first = rig.session.unwrap();
    renewed(&mut rig);
    assert_eq!(rig.later(9_999), []);
    assert_eq!(rig.later(1).last(), Some(&Output::EndInput(first)));
    assert_eq!(rig.later(2_000), [Output::AbandonStream(first)], "it does not end by itself");
}

#[test]
fn a_caller_is_answered_once_although_two_sessions_hear() {
    let mut rig = before_renewal();
    let first = rig.session.unwrap();
    renewed(&mut rig);
    assert_eq!(rig.model_of(first, caller_said("R-1042")), []);
    assert_eq!(rig.model_of(first, says_for("Cancelled.", 160)), []);
    assert_eq!(rig.model_of(first, [wants("cancel_reservation", json!({}))]), [], "nor is a tool run twice");
    rig.model(caller_said("R-1042"));
    assert!(matches!(rig.model(says("Cancelled."))[..], [Output::Speak { .. }]));
    rig.handle(Input::LegEnded(LegEnd::Stopped));
    let said: Vec<_> = rig.turns().iter().map(|turn| turn.text.clone()).collect();
    assert_eq!(said[3..], ["R-1042", "Cancelled."]);
}

#[test]
fn a_session_that_turns_out_to_be_deaf_is_replaced_by_the_last_one_and_its_answer() {
    let mut rig = before_renewal();
    let first = rig.session.unwrap();
    renewed(&mut rig);
    let deaf = rig.session.unwrap();
    rig.model_of(first, caller_said("R-1042"));
    rig.model_of(first, says("Cancelled."));
    let outputs = rig.reach_deadline(Duration::from_secs(3));
    assert!(outputs.contains(&Output::EndInput(deaf)), "{outputs:?}");
    assert!(outputs.iter().any(|output| matches!(output, Output::Speak { .. })), "{outputs:?}");
    assert!(matches!(rig.model_of(first, [audio(160)])[..], [Output::Speak { .. }]), "it is the live one again");
    let outputs = rig.later(5_000);
    assert!(matches!(outputs.last(), Some(Output::OpenStream { .. })), "and is renewed: {outputs:?}");
}

#[test]
fn a_session_that_was_taken_back_in_the_middle_of_a_turn_may_stall_like_any_other() {
    let mut rig = before_renewal();
    let first = rig.session.unwrap();
    renewed(&mut rig);
    rig.model_of(first, caller_said("R-1042"));
    rig.model_of(first, says("Cancelled."));
    assert_eq!(rig.ended(Some(Failure::Reset)).len(), 1, "what it has said is heard");
    rig.handle(Input::Heard { sample: 480, epoch: 0 });
    let mut outputs = Vec::new();
    while !outputs.contains(&Output::EndInput(first)) {
        outputs = rig.reach_deadline(Duration::from_secs(11));
    }
}

#[test]
fn a_session_is_found_deaf_also_when_the_caller_spoke_just_before_the_last_one_would_have_gone() {
    let mut rig = before_renewal();
    let first = rig.session.unwrap();
    renewed(&mut rig);
    let deaf = rig.session.unwrap();
    rig.later(9_000);
    rig.model_of(first, caller_said("R-1042"));
    rig.model_of(first, says("Cancelled."));
    assert_eq!(rig.later(2_999), []);
    let outputs = rig.later(1);
    assert!(outputs.contains(&Output::EndInput(deaf)), "{outputs:?}");
    assert!(outputs.iter().any(|output| matches!(output, Output::Speak { .. })), "{outputs:?}");
}

#[test]
fn a_new_session_that_breaks_leaves_the_call_with_the_last_one() {
    let mut rig = before_renewal();
    let first = rig.session.unwrap();
    renewed(&mut rig);
    assert_eq!(rig.ended(Some(Failure::Reset)), []);
    assert!(matches!(rig.model_of(first, says("Still here."))[..], [Output::Speak { .. }]));
    rig.later(5_000);
    assert_eq!(switches(&rig.opened()), 0, "not in the middle of a turn");
    rig.handle(Input::Heard { sample: 480, epoch: 0 });
    assert_eq!(switches(&rig.model_of(first, [turn_ends()])), 1);
}

#[test]
fn a_successor_that_cannot_be_had_is_asked_for_again_and_costs_nothing() {
    let mut rig = before_renewal();
    let first = rig.session.unwrap();
    rig.later(1_000);
    for failure in [Failure::Throttled, Failure::AccessDenied, Failure::TimedOut] {
        assert_eq!(rig.refused(failure), []);
        let elsewhere = failure == Failure::TimedOut;
        let [Output::OpenStream { elsewhere: asked, .. }] = rig.reach_deadline(Duration::from_secs(4))[..] else {
            panic!()
        };
        assert_eq!(asked, elsewhere, "{failure}");
    }
    assert!(matches!(rig.model_of(first, says("Still here."))[..], [Output::Speak { .. }]));
}

#[test]
fn a_session_is_not_left_while_anything_is_open() {
    type Open = fn(&mut Rig);
    type Close = fn(&mut Rig, SessionNo) -> Vec<Output>;
    let heard = |rig: &mut Rig, first| {
        rig.model_of(first, [turn_ends()]);
        rig.handle(Input::Heard { sample: 480, epoch: 0 })
    };
    let cases: [(&str, Open, Close); 5] = [
        ("the agent speaks", |rig| drop(rig.model(says("Well."))), heard),
        (
            "the agent is still heard",
            |rig| drop(rig.model(says_for("Well.", 160))),
            |rig, _| rig.handle(Input::Heard { sample: 480, epoch: 0 }),
        ),
        (
            "the caller speaks",
            |rig| drop(rig.caller(VOICE, 400)),
            |rig, first| {
                rig.caller(SILENCE, 400);
                rig.model_of(first, caller_said("R-1042"));
                rig.model_of(first, says_for("Well.", 160));
                rig.handle(Input::Heard { sample: 480, epoch: 0 })
            },
        ),
        (
            "a tool runs",
            |rig| drop(rig.model([wants("get_date_and_time", json!({}))])),
            |rig, first| {
                let mut outputs = rig.handle(Input::ToolFinished { id: ToolUseId::from("T1"), result: json!({}) });
                outputs.extend(rig.model_of(first, says_for("Well.", 160)));
                outputs.extend(rig.handle(Input::Heard { sample: 480, epoch: 0 }));
                outputs
            },
        ),
        (
            "keys are being pressed",
            |rig| drop(rig.handle(press("7"))),
            |rig, first| {
                rig.later(2_000);
                rig.model_of(first, says_for("Well.", 160));
                rig.handle(Input::Heard { sample: 480, epoch: 0 })
            },
        ),
    ];
    for (case, open, close) in cases {
        let mut rig = before_renewal();
        let first = rig.session.unwrap();
        open(&mut rig);
        rig.later(1_000);
        assert_eq!(switches(&rig.opened()), 0, "{case}");
        assert_eq!(switches(&close(&mut rig, first)), 1, "{case}");
    }
}

/// Lets the agent speak on and on, next sessions come, and the time pass, until there is a switch.
fn until_switched(rig: &mut Rig) -> Vec<Output> {
    let first = rig.session.unwrap();
    for _ in 0..200 {
        rig.model_of(first, [audio(8)]);
        let outputs = rig.later(1_000);
        if matches!(outputs.last(), Some(Output::OpenStream { .. })) {
            rig.opened();
        }
        if switches(&outputs) > 0 {
            return outputs;
        }
    }
    panic!("no switch")
}

#[test]
fn a_prepared_session_is_used_while_it_is_fresh() {
    let mut rig = before_renewal();
    let first = rig.session.unwrap();
    rig.model(says("A long story."));
    rig.later(1_000);
    rig.opened();
    let second = rig.session.unwrap();
    let mut outputs = Vec::new();
    for _ in 0..32 {
        rig.model_of(first, [audio(8)]);
        outputs.extend(rig.later(1_000));
    }
    let at = outputs.iter().position(|output| *output == Output::EndInput(second)).expect("it is too old");
    assert!(matches!(outputs[at + 1], Output::OpenStream { .. }), "{outputs:?}");
    assert_ne!(rig.session, Some(second));
}

#[test]
fn a_session_is_left_at_the_last_moment_whatever_is_being_said_and_the_next_goes_on_with_it() {
    let mut rig = before_renewal();
    let voice = |samples| ServerEvent::Audio(Bytes::from([0, 0x40].repeat(samples)));
    rig.model([says_for("Short and sweet.", 0)[0].clone()]);
    let [_, words, end, _] = says("Short and sweet.");
    rig.model([words, end, voice(1_600), turn_ends()]);
    rig.handle(Input::Heard { sample: 1_920, epoch: 0 });
    let [start, words, end, _] = says("One two three four five.");
    rig.model([start, words, end, voice(1_600)]);
    let outputs = until_switched(&mut rig);
    assert_eq!(rig.now, rig.conversation.turns.time().started + Duration::from_secs(450));
    let told = texts(&outputs);
    assert_eq!(
        told[told.len() - 2..],
        ["ASSISTANT: Which one? Short and sweet. One two three four five.", "user: Please go on."]
    );
}

#[test]
fn in_haste_a_session_is_left_as_soon_as_the_model_has_said_all() {
    let mut rig = before_renewal();
    rig.model(says_for("A long story.", 8_000 * 60));
    let outputs = rig.later(1_000);
    assert!(matches!(outputs.last(), Some(Output::OpenStream { .. })), "{outputs:?}");
    rig.opened();
    let mut outputs = Vec::new();
    while switches(&outputs) == 0 {
        outputs = rig.reach_deadline(Duration::from_secs(31));
        if matches!(outputs.last(), Some(Output::OpenStream { .. })) {
            rig.opened();
        }
    }
    assert_eq!(rig.now, rig.conversation.turns.time().started + Duration::from_secs(405));
    // The new session does not know that the agent is still heard, and so not that it is interrupted.
    assert_eq!(rig.caller(VOICE, 100), [Output::Hush { epoch: 1 }]);
}

#[test]
fn a_session_is_left_before_its_credentials_expire() {
    for (life, renewed_after) in [(900, 720), (60, 45)] {
        let mut rig = Rig::opening();
        rig.outputs();
        let session = rig.session.unwrap();
        let credentials_expire = Some(rig.now + Duration::from_secs(life));
        rig.handle(Input::StreamOpened { session, credentials_expire });
        rig.model(says_for("Hello.", 160));
        rig.handle(Input::Heard { sample: 160, epoch: 0 });
        let expected = rig.now + Duration::from_secs(renewed_after.min(360));
        assert!(matches!(&rig.reach_deadline(Duration::from_secs(400))[..], [Output::OpenStream { .. }]));
        assert_eq!(rig.now, expected, "{life}");
    }
}

#[test]
fn a_session_that_was_left_is_closed_before_its_credentials_expire() {
    let mut rig = Rig::opening();
    rig.outputs();
    let first = rig.session.unwrap();
    let expire = rig.now + Duration::from_secs(8);
    rig.handle(Input::StreamOpened { session: first, credentials_expire: Some(expire) });
    rig.model(says_for("Hello.", 160));
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    rig.reach_deadline(Duration::from_secs(8));
    let mut outputs = rig.opened();
    assert_eq!(switches(&outputs), 1, "{outputs:?}");
    while !outputs.contains(&Output::EndInput(first)) {
        outputs = rig.reach_deadline(Duration::from_secs(8));
    }
    assert!(rig.now < expire, "{:?} too late", rig.now - expire);
}

#[test]
fn nothing_is_renewed_while_the_agent_says_goodbye() {
    let mut rig = before_renewal();
    rig.model([wants("hang_up", json!({}))]);
    rig.model(says("Goodbye."));
    let outputs = rig.later(3_000);
    assert!(!outputs.iter().any(|output| matches!(output, Output::OpenStream { .. })), "{outputs:?}");
}

#[test]
fn a_caller_who_hangs_up_during_a_switch_leaves_both_sessions_closed_by_the_book() {
    let mut rig = before_renewal();
    let first = rig.session.unwrap();
    renewed(&mut rig);
    let outputs = rig.handle(Input::LegEnded(LegEnd::Stopped));
    assert_eq!(sent(&outputs), [BY_THE_BOOK, BY_THE_BOOK].concat());
    assert_eq!(rig.handle(Input::StreamEnded { session: first, failure: None }), []);
    assert_eq!(rig.ended(None), [Output::Finished]);
}
