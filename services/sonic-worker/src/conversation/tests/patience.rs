//! Callers who say nothing, calls that do not end, and alarms that are false.

use super::*;

fn rig() -> Rig {
    let tools = Tools::built_in(offhook_hosting::clock::Clock).specs(true);
    let mut rig = Rig::with_limits(tools, Limits::default(), Rig::opening().now);
    rig.outputs();
    rig.opened();
    rig.model(says_for("Hello.", 160));
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    rig
}

#[test]
fn a_caller_who_says_nothing_is_asked_and_then_let_go() {
    let mut rig = rig();
    assert_eq!(rig.later(19_900), []);
    assert_eq!(texts(&rig.later(200)), ["user: Note: The caller has been silent for a while."]);
    rig.model(caller_said("Note: The caller has been silent for a while."));
    rig.model(says_for("Are you still there?", 160));
    rig.handle(Input::Heard { sample: 320, epoch: 0 });
    assert_eq!(rig.outcome(), None);
    let outputs = rig.later(21_000);
    let say = Some(Agent::demo().farewell_silence);
    assert_eq!(outputs[0], Output::Next(NextStep::HangUp { say }));
    assert_eq!(rig.outcome().unwrap().0, Outcome::CallerSilent);
    let speakers: Vec<_> = rig.turns().iter().map(|turn| turn.speaker).collect();
    assert_eq!(speakers, [Speaker::Agent, Speaker::System, Speaker::Agent], "the caller said nothing");
}

#[test]
fn a_caller_who_answers_is_not_let_go() {
    let mut rig = rig();
    rig.later(21_000);
    rig.model(caller_said("yes, wait"));
    rig.model(says_for("Take your time.", 160));
    rig.handle(Input::Heard { sample: 320, epoch: 0 });
    assert_eq!(rig.later(19_900), []);
    assert_eq!(texts(&rig.later(200)).len(), 1, "and is asked again after another while");
}

#[test]
fn a_model_that_does_not_say_the_note_aloud_has_not_stalled() {
    let mut rig = rig();
    rig.later(21_000);
    assert_eq!(rig.later(15_000), []);
}

#[test]
fn a_call_that_is_too_long_ends_with_a_warning_and_a_sentence() {
    let mut rig = rig();
    rig.conversation.limits.renew_after = Duration::MAX / 4;
    let (mut told, mut heard) = (Vec::new(), 160);
    for _ in 0..360 {
        if rig.outcome().is_some() {
            break;
        }
        rig.model(caller_said("and then?"));
        rig.model(says_for("Then this.", 160));
        heard += 160;
        rig.handle(Input::Heard { sample: heard, epoch: 0 });
        told.extend(rig.later(10_000));
    }
    assert_eq!(texts(&told), ["user: Note: The call ends in one minute."]);
    let (outcome, next) = rig.outcome().unwrap();
    assert_eq!((outcome, next), (Outcome::TimeUp, &NextStep::HangUp { say: Some(Agent::demo().farewell_time_up) }));
    let elapsed = rig.now - rig.conversation.turns.time().started;
    assert!(elapsed <= Duration::from_secs(3_611), "{elapsed:?}");
}

#[test]
fn a_line_without_audio_gives_the_model_silence_in_real_time() {
    let mut rig = Rig::live();
    rig.model(says_for("Hello.", 160));
    rig.handle(Input::Heard { sample: 160, epoch: 0 });
    let (mut longest, mut sent_at, mut samples) = (Duration::ZERO, rig.now, 0);
    let until = rig.now + Duration::from_secs(300);
    while rig.now < until {
        rig.now = rig.conversation.poll_deadline().unwrap();
        for output in rig.handle(Input::Deadline) {
            if let Output::SendAudio(..) = output {
                longest = longest.max(rig.now - sent_at);
                (sent_at, samples) = (rig.now, samples + 1_600);
            }
        }
    }
    assert!(longest <= Duration::from_secs(1), "{longest:?} without audio: the service ends a session after 55 s");
    assert!((298 * 8_000..=300 * 8_000).contains(&samples), "{samples}");
}

#[test]
fn a_line_with_audio_gets_no_silence_between_its_words() {
    let mut rig = Rig::live();
    for _ in 0..100 {
        rig.now += Duration::from_millis(900);
        assert_eq!(rig.handle(Input::Deadline), []);
        assert_eq!(sent(&rig.handle(Input::CallerAudio(Bytes::from_static(&[VOICE; 160])))).len(), 1);
        rig.model(says_for("Well.", 8));
    }
}

#[test]
fn an_interruption_without_words_lets_the_agent_go_on() {
    let mut rig = Rig::live();
    rig.model(says("A long story."));
    assert_eq!(rig.model(interrupted()), [Output::Hush { epoch: 1 }]);
    let outputs = rig.model(caller_said(" "));
    assert_eq!(texts(&outputs), ["user: Please go on."]);
    assert_eq!(rig.model(caller_said(" ")), [], "once");
    rig.model(interrupted());
    rig.model(caller_said("stop"));
    assert_eq!(rig.model(caller_said("")), [], "the caller meant it");
}

#[test]
fn an_empty_transcript_alone_interrupts_nobody() {
    let mut rig = Rig::live();
    rig.model(says("A long story."));
    assert_eq!(rig.model(caller_said("")), []);
    assert!(matches!(rig.model([audio(160)])[..], [Output::Speak { epoch: 0, .. }]));
}

#[test]
fn an_agent_that_stopped_for_what_the_caller_pressed_answers_that_and_is_not_told_to_go_on() {
    let mut rig = Rig::live();
    rig.model(says_for("One two three four.", 8_000));
    rig.handle(press("7"));
    assert!(text_sent(&rig.handle(press("#"))).is_some());
    rig.model(interrupted());
    rig.now += Duration::from_millis(100);
    assert_eq!(text_sent(&rig.model(caller_said(""))), None);
}
