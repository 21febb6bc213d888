//! Other profiles than the real one, and what is odd but legal.

use super::*;

/// What the words of the events were, from the first that holds.
fn from(events: &[String], first: &str) -> Vec<String> {
    events.iter().skip_while(|event| *event != first).cloned().collect()
}

#[test]
fn the_slow_profile_answers_late_and_the_fast_one_soon() {
    let first_audio = |profile, pause: u64| {
        let mut rig = Rig::with(Generation::V2, profile, &[]).listen();
        rig.say("hi there");
        let quiet = rig.now;
        let mut first = Duration::ZERO;
        for _ in 0..600 {
            rig.silence(20 * MS);
            if first.is_zero() && rig.events().contains(&"audio".into()) {
                first = rig.now - quiet - Duration::from_millis(pause);
            }
        }
        first
    };
    assert!((600 * MS..700 * MS).contains(&first_audio(Profile::Real, 1500)));
    assert!((50 * MS..100 * MS).contains(&first_audio(Profile::Fast, 150)));
    assert!((2500 * MS..9930 * MS).contains(&first_audio(Profile::Slow, 1500)));
}

#[test]
fn usage_can_come_before_anything_else() {
    let first = |mut rig: Rig| {
        rig.say("hi there");
        rig.silence(4000 * MS);
        rig.sent.first().cloned().unwrap()
    };
    assert!(first(Rig::odd(Quirk::EarlyUsage)).contains("usageEvent"));
    assert!(first(Rig::listening()).contains("completionStart"));
}

#[test]
fn an_event_that_nobody_knows_follows_what_the_caller_says() {
    let mut rig = Rig::odd(Quirk::UnknownEvent);
    rig.say("hi there");
    rig.silence(4000 * MS);
    assert_eq!(rig.sent.iter().filter(|event| event.contains(r#"{"userSpeechEnd":{"#)).count(), 1);
    assert!(rig.events().contains(&"you said hi there".to_owned()));
}

#[test]
fn the_input_of_a_tool_can_be_encoded_twice() {
    let mut rig = Rig::odd(Quirk::DoubleEncodedTool);
    rig.say("cancel it");
    rig.silence(4000 * MS);
    assert!(rig.events().contains(&r#"cancel("{\"id\":\"7\"}")"#.to_owned()));
}

#[test]
fn an_empty_transcript_can_come_before_the_answer_to_text() {
    let mut rig = Rig::odd(Quirk::EmptyTranscript);
    rig.silence(100 * MS);
    rig.input(Input::LiveText("hi".into()));
    rig.wait(3000 * MS);
    assert_eq!(rig.events()[..5], ["completionStart", "USER FINAL", "", "ASSISTANT SPECULATIVE", "hello."]);
}

#[test]
fn audio_can_come_all_at_once() {
    let mut rig = Rig::odd(Quirk::AudioBursts);
    rig.say("tell me a very long story, please");
    // The pause, the transcript, the text and the first audio: 1.5 s and 650 ms.
    rig.silence(2160 * MS);
    assert_eq!(rig.events().last().unwrap(), "AUDIO END_TURN");
    assert!(rig.samples >= 42 * FRAME, "{}", rig.samples);
}

#[test]
fn the_marker_of_a_barge_in_can_have_other_spaces() {
    let mut rig = Rig::odd(Quirk::OddMarker);
    rig.say("tell me a very long story, please");
    rig.silence(2200 * MS);
    rig.say("stop this now");
    assert!(rig.events().contains(&r#"{"interrupted":  true}"#.to_owned()));
}

#[test]
fn final_texts_can_be_late_by_a_turn() {
    let mut rig = Rig::odd(Quirk::LateFinalTexts);
    rig.say("one two");
    rig.silence(12_000 * MS);
    assert!(!rig.events().contains(&"ASSISTANT FINAL".to_owned()));
    rig.say("three four");
    rig.silence(12_000 * MS);
    let events = rig.events();
    assert_eq!(from(&events, "AUDIO END_TURN"), ["AUDIO END_TURN", "ASSISTANT FINAL", "you said one two"]);
    rig.input(Input::AudioClosed);
    rig.input(Input::PromptEnded);
    assert_eq!(rig.events(), ["ASSISTANT FINAL", "you said three four", "completionEnd"]);
}

#[test]
fn the_same_seed_says_the_same_to_the_last_identifier() {
    let run = |profile| {
        let mut rig = Rig::with(Generation::V2, profile, &[Quirk::UnknownEvent, Quirk::EmptyTranscript]).listen();
        rig.say("cancel it");
        rig.silence(20_000 * MS);
        rig.input(Input::LiveText("hi".into()));
        rig.silence(20_000 * MS);
        (rig.sent, rig.audio_at)
    };
    assert_eq!(run(Profile::Slow), run(Profile::Slow));
    assert_ne!(run(Profile::Slow), run(Profile::Real));
}
