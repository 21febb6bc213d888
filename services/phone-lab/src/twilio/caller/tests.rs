use super::*;

/// Runs a caller against an agent whose track is given, and collects what the caller did, with the tick.
struct Rig {
    caller: Caller,
    says: Vec<i16>,
    acts: Vec<(u64, Act)>,
}

impl Rig {
    fn new(steps: &str) -> Self {
        let text = format!("from: a\nto: b\npatience: 2s\nsteps:\n{steps}");
        let mut caller = Caller::new(CallerScript::from_yaml(&text).unwrap());
        caller.answered();
        Self { caller, says: Vec::new(), acts: Vec::new() }
    }

    fn hear(&mut self, pcm: &[i16]) {
        for piece in pcm.chunks(FRAME) {
            let mut frame = [0; FRAME];
            frame[..piece.len()].copy_from_slice(piece);
            let tick = self.caller.ticks;
            let moment = self.caller.tick(&frame);
            self.says.extend(moment.says);
            self.acts.extend(moment.acts.into_iter().map(|act| (tick, act)));
        }
    }

    fn quiet(&mut self, ticks: usize) {
        self.hear(&vec![0; ticks * FRAME]);
    }

    fn tick_of(&self, wanted: impl Fn(&Act) -> bool) -> Option<u64> {
        self.acts.iter().find(|(_, act)| wanted(act)).map(|(tick, _)| *tick)
    }

    fn speaks_at(&self, words: &str) -> Option<u64> {
        self.tick_of(|act| *act == Act::Speaks(words.into()))
    }
}

#[test]
fn a_caller_listens_for_speech_and_then_for_quiet() {
    let mut rig = Rig::new("  - listen\n  - say: yes\n");
    rig.quiet(50);
    assert_eq!(rig.acts, []);
    rig.hear(&tones::speak("hello"));
    rig.quiet(40);
    assert_eq!(rig.speaks_at("yes"), Some(50 + 5 + 25), "500 ms after the last sound");
    assert!(
        rig.acts.contains(&(64, Act::Heard(Span { text: "hello".into(), from: 8000, to: 8800 }))),
        "{:?}",
        rig.acts
    );
    assert_eq!(tones::text(&Ear::new().listen(&rig.says)), "yes");
}

#[test]
fn a_caller_interrupts_after_the_agent_has_spoken_for_so_long_and_then_waits_for_new_speech() {
    let mut rig = Rig::new("  - interrupt: { after: 200ms, say: stop }\n  - listen\n  - say: bye\n");
    rig.quiet(3);
    rig.hear(&tones::speak("once upon a time there was"));
    assert_eq!(rig.speaks_at("stop"), Some(3 + 10));
    rig.quiet(60);
    assert_eq!(rig.speaks_at("bye"), None, "the tail of the old speech is no answer");
    rig.hear(&tones::speak("sorry"));
    rig.quiet(30);
    assert!(rig.speaks_at("bye").is_some());
}

#[test]
fn speech_that_was_cut_off_ends_there_and_what_follows_at_once_is_new() {
    let mut rig = Rig::new("  - interrupt: { after: 100ms, say: stop }\n  - listen\n  - hang_up\n");
    let misaligned = [vec![0; 50], tones::speak("once upon")].concat();
    rig.hear(&misaligned[..FRAME * 8]);
    let cut = rig.caller.cut_off();
    assert_eq!(cut, Some(Act::Heard(Span { text: "once up".into(), from: 50, to: 50 + 7 * 160 })));
    rig.hear(&tones::speak("what is it"));
    rig.quiet(30);
    let heard = Act::Heard(Span { text: "what is it".into(), from: 8 * 160, to: 18 * 160 });
    assert!(rig.acts.iter().any(|(_, act)| *act == heard), "{:?}", rig.acts);
    assert!(rig.tick_of(|act| *act == Act::HungUp).is_some());
}

#[test]
fn keys_are_pressed_one_after_the_other_before_the_next_step() {
    let mut rig = Rig::new("  - press: \"1#\"\n  - wait: 100ms\n  - hang_up\n");
    rig.quiet(40);
    let acts = [(0, Act::Pressed('1')), (10, Act::Pressed('#')), (24, Act::HungUp)];
    assert_eq!(rig.acts[..3], acts);
}

#[test]
fn a_caller_gives_up_when_nobody_speaks_and_when_nobody_hangs_up() {
    let mut listening = Rig::new("  - listen\n");
    listening.quiet(110);
    assert_eq!(listening.tick_of(|act| *act == Act::GaveUp), Some(100));
    let mut done = Rig::new("  - say: bye\n");
    done.quiet(110);
    assert_eq!(done.tick_of(|act| *act == Act::GaveUp), Some(103), "patience counts from the last step's end");
}

#[test]
fn nothing_is_said_before_the_call_is_answered() {
    let script = CallerScript::from_yaml("from: a\nto: b\nsteps: [{ say: hello }]").unwrap();
    let mut caller = Caller::new(script);
    assert!(caller.tick(&[0; FRAME]).acts.is_empty());
    caller.answered();
    assert_eq!(caller.tick(&[0; FRAME]).acts, [Act::Speaks("hello".into())]);
}

#[test]
fn hanging_up_gives_what_was_under_way() {
    let mut rig = Rig::new("  - say: hello\n");
    rig.hear(&tones::speak("hey"));
    let expected = [
        Act::Spoke(Span { text: "hello".into(), from: 0, to: 480 }),
        Act::Heard(Span { text: "hey".into(), from: 0, to: 480 }),
    ];
    assert_eq!(rig.caller.hang_up(), expected);
}

#[test]
fn keys_that_are_waited_for_may_come_early_and_count_once() {
    let mut rig = Rig::new("  - await_keys: \"12\"\n  - say: got it\n  - await_keys: \"2\"\n  - hang_up\n");
    "01".chars().for_each(|key| rig.caller.hears_key(key));
    rig.quiet(5);
    assert_eq!(rig.acts, []);
    rig.caller.hears_key('2');
    rig.quiet(20);
    assert_eq!(rig.speaks_at("got it"), Some(5));
    assert!(rig.tick_of(|act| *act == Act::HungUp).is_none(), "the 2 was used up");
    rig.caller.hears_key('2');
    rig.quiet(1);
    assert!(rig.tick_of(|act| *act == Act::HungUp).is_some());
}

#[test]
fn who_waits_to_be_connected_says_nothing_before_that() {
    let mut rig = Rig::new("  - connected\n  - listen\n  - say: hello\n");
    rig.hear(&tones::speak("hold on"));
    rig.quiet(3);
    rig.caller.connected();
    rig.quiet(40);
    assert_eq!(rig.speaks_at("hello"), None, "the one on the line now has not spoken");
    rig.hear(&tones::speak("yes?"));
    rig.quiet(26);
    assert_eq!(rig.speaks_at("hello"), Some(7 + 3 + 40 + 4 + 25));
}

#[test]
fn a_caller_waits_for_words_among_others_and_each_is_waited_for_once() {
    let mut rig = Rig::new("  - hear: welcome back\n  - say: thanks\n  - hear: back\n  - say: again\n");
    rig.hear(&tones::speak("please hold"));
    rig.quiet(60);
    assert_eq!(rig.speaks_at("thanks"), None);
    rig.hear(&tones::speak("you are welcome"));
    rig.quiet(15);
    rig.hear(&tones::speak("back with me"));
    rig.quiet(15);
    assert!(rig.speaks_at("thanks").is_some(), "words may be torn: {:?}", rig.acts);
    rig.quiet(20);
    assert_eq!(rig.speaks_at("again"), None, "what was waited for is gone");
    rig.hear(&tones::speak("back"));
    rig.quiet(15);
    assert!(rig.speaks_at("again").is_some());
}
