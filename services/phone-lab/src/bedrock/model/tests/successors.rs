//! Sessions that go on where another was: from its history, with the caller's latest audio in a burst.

use super::*;

/// A session with this history whose audio is open.
fn after(script: &str, messages: &[(Speaker, &str)]) -> Rig {
    let settings = Settings { script: Script::from_yaml(script).unwrap(), ..Settings::default() };
    let mut rig = Rig::set_up(settings, Generation::V2, &[]);
    rig.remember(messages);
    rig.listen()
}

impl Rig {
    /// All of this audio at the same moment, in frames.
    fn burst(&mut self, pcm: &[i16]) {
        pcm.chunks(FRAME).for_each(|frame| self.input(Input::Audio(frame.to_vec())));
    }

    fn heard(&self) -> Vec<&str> {
        let notes = self.notes.iter();
        notes.filter_map(|note| if let Note::Heard(heard) = note { Some(heard.text.as_str()) } else { None }).collect()
    }
}

fn with_silence(text: &str, after: Duration) -> Vec<i16> {
    let mut pcm = tones::speak(text);
    pcm.resize(pcm.len() + after.as_millis() as usize * 8, 0);
    pcm
}

#[test]
fn a_session_with_history_says_the_rest_of_an_answer_that_broke_off() {
    let mut rig = after(SCRIPT, &[(Speaker::User, "blue and green"), (Speaker::Assistant, "You said")]);
    rig.silence(100 * MS);
    rig.input(Input::LiveText("Please go on.".into()));
    rig.wait(2000 * MS);
    assert_eq!(rig.events()[1..3], ["ASSISTANT SPECULATIVE", "blue and green"]);
}

#[test]
fn words_that_had_no_answer_are_answered_when_the_model_is_asked_to_go_on() {
    let mut rig = after(SCRIPT, &[(Speaker::User, "cancel it")]);
    rig.silence(100 * MS);
    rig.input(Input::LiveText("Please go on.".into()));
    rig.wait(2000 * MS);
    assert_eq!(rig.events()[2], "one moment.");
}

#[test]
fn the_result_of_a_tool_of_another_session_is_answered() {
    let mut rig = after(SCRIPT, &[(Speaker::User, "cancel it"), (Speaker::Assistant, "one moment.")]);
    rig.silence(100 * MS);
    rig.input(Input::LiveText(r#"The tool cancel answered: {"id": "R-1"}"#.into()));
    rig.wait(2000 * MS);
    assert_eq!(rig.events()[2], "R-1 is gone.");
}

#[test]
fn speeches_that_are_in_the_history_or_come_as_text_are_used() {
    const TWO: &str = "dialogue: [{ speech: 'I am one', reply: 'first.' }, { speech: 'I am two', reply: 'second.' }]";
    let hum: Vec<i16> = (0..8000).map(|n| if n % 40 < 20 { 4000 } else { -4000 }).collect();
    let answer = |rig: &mut Rig| {
        rig.hear(&hum);
        rig.silence(4000 * MS);
        rig.events().into_iter().rfind(|event| event.ends_with('.')).unwrap_or_default()
    };
    let mut rig = after(TWO, &[(Speaker::User, "i am one"), (Speaker::Assistant, "first.")]);
    assert_eq!(answer(&mut rig), "second.");
    let mut rig = after(TWO, &[]);
    rig.silence(100 * MS);
    rig.input(Input::LiveText("I am one".into()));
    rig.wait(2000 * MS);
    assert_eq!(rig.events()[2], "first.");
    assert_eq!(answer(&mut rig), "second.");
}

#[test]
fn a_burst_of_several_seconds_is_heard_as_it_was_said() {
    let mut rig = after(SCRIPT, &[]);
    let said = [with_silence("one two three", 2000 * MS), with_silence("four five six", 200 * MS)].concat();
    rig.burst(&said);
    assert_eq!(rig.heard(), ["one two three"], "its pause was in the burst");
    rig.say("seven");
    rig.silence(4000 * MS);
    assert_eq!(rig.heard(), ["one two three", "four five six seven"]);
    assert!(rig.events().contains(&"you said four five six seven".into()));
}

#[test]
fn a_burst_that_begins_in_the_middle_of_a_word_is_heard_from_there() {
    let mut rig = after(SCRIPT, &[]);
    rig.burst(&with_silence("reservation r-1042", 300 * MS)[4 * FRAME..]);
    rig.silence(2000 * MS);
    assert_eq!(rig.heard(), ["rvation r-1042"]);
}

#[test]
fn a_session_may_be_closed_while_it_speaks_and_while_the_caller_does() {
    let mut rig = Rig::listening();
    rig.say("tell me a very long story, please");
    rig.silence(2200 * MS);
    assert_eq!(rig.events().last().unwrap(), "audio");
    rig.say("and");
    rig.input(Input::AudioClosed);
    rig.input(Input::PromptEnded);
    assert_eq!(rig.heard().last(), Some(&"and"));
    let events = rig.events();
    assert!(events.contains(&"AUDIO END_TURN".into()), "the open block is closed: {events:?}");
    rig.wait(20_000 * MS);
    assert_eq!(rig.events(), [""; 0], "nothing follows");
}
