use super::*;

fn spoke(text: &str) -> [ServerEvent; 3] {
    let start = ServerEvent::TextStart { role: Role::Assistant, stage: GenerationStage::Final };
    [start, ServerEvent::Text(text.into()), ServerEvent::TextEnd(StopReason::EndTurn)]
}

/// Each turn's text and what was heard of it, and whether the caller interrupted it.
fn heard(rig: &Rig) -> Vec<(&str, &str, bool)> {
    let agents = rig.turns().into_iter().filter(|turn| turn.speaker == Speaker::Agent);
    agents.map(|turn| (turn.text.as_str(), turn.heard.as_deref().unwrap(), turn.interrupted)).collect()
}

#[test]
fn a_turn_is_recorded_once_it_was_heard_out() {
    let mut rig = Rig::live();
    rig.model(says_for("Good morning.", 1_600));
    rig.later(600);
    rig.handle(Input::Heard { sample: 800, epoch: 0 });
    rig.model(caller_said("hello"));
    assert_eq!(rig.turns(), Vec::<&Turn>::new(), "what the caller said waits for what was said before");
    rig.handle(Input::Heard { sample: 1_600, epoch: 0 });
    assert_eq!(heard(&rig), [("Good morning.", "Good morning.", false)]);
    let [agent, caller] = rig.turns()[..] else { panic!("{:?}", rig.turns()) };
    assert_eq!((agent.cut_at, caller.text.as_str(), &caller.heard), (None, "hello", &None));
}

#[test]
fn an_interrupted_turn_is_heard_up_to_the_last_word_that_was_played_whole() {
    let mut rig = Rig::live();
    rig.model(says_for("One two three four.", 1_900));
    rig.now += Duration::from_secs(1);
    rig.handle(Input::Heard { sample: 800, epoch: 0 });
    rig.model(interrupted());
    assert_eq!(rig.later(2_999), []);
    assert_eq!(rig.turns(), Vec::<&Turn>::new(), "the edge may still tell where the audio stopped");
    rig.later(1);
    assert_eq!(heard(&rig), [("One two three four.", "One two", true)]);
    assert_eq!(rig.turns()[0].cut_at, Some(rig.conversation.turns.time().at(rig.now - Duration::from_secs(3))));
}

#[test]
fn the_time_between_the_last_position_and_the_interruption_was_heard_too() {
    let mut rig = Rig::live();
    rig.model(says_for("One two three four.", 1_900));
    rig.now += Duration::from_secs(1);
    rig.handle(Input::Heard { sample: 800, epoch: 0 });
    rig.now += Duration::from_millis(75);
    rig.model(interrupted());
    rig.later(3_000);
    assert_eq!(heard(&rig), [("One two three four.", "One two three", true)]);
}

#[test]
fn positions_that_arrive_after_the_hush_still_count_until_the_new_epoch_is_heard() {
    let mut rig = Rig::live();
    rig.model(says_for("One two three four.", 1_900));
    rig.now += Duration::from_secs(1);
    rig.model(interrupted());
    rig.handle(Input::Heard { sample: 1_400, epoch: 0 });
    rig.model(says("Yes?"));
    rig.handle(Input::Heard { sample: 1_900 + 160, epoch: 1 });
    rig.handle(Input::Heard { sample: 1_900, epoch: 0 });
    assert_eq!(heard(&rig), [("One two three four.", "One two three", true)]);
}

#[test]
fn of_turns_that_wait_to_be_played_an_interruption_cuts_all() {
    let mut rig = Rig::live();
    rig.model(says_for("One moment.", 1_600));
    rig.model(says_for("Here it is.", 1_600));
    rig.now += Duration::from_secs(1);
    rig.handle(Input::Heard { sample: 1_600, epoch: 0 });
    rig.model(interrupted());
    rig.later(3_000);
    assert_eq!(heard(&rig), [("One moment.", "One moment.", false), ("Here it is.", "", true)]);
}

#[test]
fn a_marker_after_all_was_heard_cuts_nothing() {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 1_600));
    rig.now += Duration::from_secs(1);
    rig.handle(Input::Heard { sample: 1_600, epoch: 0 });
    rig.model(interrupted());
    assert_eq!(heard(&rig), [("Hello.", "Hello.", false)]);
}

#[test]
fn a_sentence_that_the_model_itself_broke_off_is_not_taken_for_whole() {
    let mut rig = Rig::live();
    rig.model(says_for("One two three four.", 1_900));
    rig.handle(Input::Heard { sample: 1_900, epoch: 0 });
    rig.later(500);
    rig.model(says_for("Five six seven eight.", 1_000));
    rig.handle(Input::Heard { sample: 2_900, epoch: 0 });
    rig.model(interrupted());
    rig.later(3_000);
    assert_eq!(heard(&rig)[1], ("Five six seven eight.", "Five six", true));
}

#[test]
fn a_block_that_ends_only_after_the_marker_is_not_taken_for_whole_either() {
    let mut rig = Rig::live();
    rig.model(says_for("One two three four.", 1_900));
    rig.handle(Input::Heard { sample: 1_900, epoch: 0 });
    rig.later(500);
    let [start, words, end, voice, turn_ends] = says_for("Five six seven eight.", 1_000);
    rig.model([start, words, end, voice]);
    rig.now += Duration::from_secs(1);
    rig.handle(Input::Heard { sample: 2_900, epoch: 0 });
    rig.model(interrupted());
    rig.model([turn_ends]);
    rig.later(3_000);
    assert_eq!(heard(&rig)[1], ("Five six seven eight.", "Five six", true));
}

#[test]
fn a_late_final_text_changes_no_other_turn() {
    let mut rig = Rig::live();
    rig.model(says_for("One two.", 800));
    rig.handle(Input::Heard { sample: 800, epoch: 0 });
    rig.later(500);
    rig.model(says_for("Three four.", 800));
    rig.model(spoke("One two."));
    rig.model(spoke("Three four."));
    rig.later(500);
    rig.handle(Input::Heard { sample: 1_600, epoch: 0 });
    assert_eq!(heard(&rig), [("One two.", "One two.", false), ("Three four.", "Three four.", false)]);
}

#[test]
fn a_caller_who_hangs_up_heard_what_was_played_until_then() {
    for (end, expected) in [(LegEnd::Stopped, "One two three"), (LegEnd::ConnectionLost, "One two")] {
        let mut rig = Rig::live();
        rig.model(says_for("One two three four.", 1_900));
        rig.now += Duration::from_secs(1);
        rig.handle(Input::Heard { sample: 800, epoch: 0 });
        rig.now += Duration::from_millis(75);
        rig.handle(Input::LegEnded(end));
        assert_eq!(heard(&rig), [("One two three four.", expected, false)], "{end:?}");
        assert!(rig.turns()[0].cut_at.is_some(), "{end:?}");
    }
}

#[test]
fn an_edge_that_tells_no_positions_holds_the_record_up_only_so_long() {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 8_000));
    rig.model(caller_said("hello"));
    rig.later(6_000);
    assert_eq!(heard(&rig), [("Hello.", "", false)]);
    assert_eq!((rig.turns().len(), rig.turns()[0].cut_at), (2, None));
}

#[test]
fn what_is_not_settled_yet_is_told_as_far_as_it_will_have_been_heard() {
    let mut rig = Rig::live();
    rig.model(says_for("One two three four.", 1_900));
    rig.now += Duration::from_secs(1);
    rig.handle(Input::Heard { sample: 400, epoch: 0 });
    rig.model(caller_said("hello"));
    rig.model(says("Not yet heard."));
    let texts = |rig: &Rig, position| -> Vec<String> {
        let unsettled = rig.conversation.turns.unsettled(position);
        unsettled.into_iter().map(|turn| turn.heard.unwrap_or(turn.text)).collect()
    };
    assert_eq!(texts(&rig, 0), ["One", "hello", ""]);
    assert_eq!(texts(&rig, 800), ["One two", "hello", ""]);
    assert_eq!(texts(&rig, 1_900), ["One two three four.", "hello", ""]);
    rig.model(interrupted());
    assert_eq!(texts(&rig, 1_900), ["One", "hello", ""], "what was cut is not played any more");
    rig.later(3_000);
    assert_eq!((texts(&rig, 1_900), rig.turns().len()), (vec![], 3), "it was not taken out before");
}
