//! A caller who follows a script and knows what it hears.
//!
//! Pure: [`Caller::tick`] takes the 20 ms that the caller hears and gives the 20 ms that the caller says meanwhile, with
//! whatever else the caller did. Ticks are its clock. Until [`Caller::answered`] the caller only listens to the ringing.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    playout::FRAME,
    script::{CallerScript, Sound, Step},
};
use crate::tones::{self, Ear, Heard};

/// What a tick lasts.
pub const TICK: Duration = Duration::from_millis(20);
/// Ticks of silence that end what the agent is saying.
const BREATH: u64 = 10;
/// Ticks from one pressed key to the next.
const KEY: u64 = 10;
/// A sample louder than this is sound.
const SOUND: i16 = 64;

/// Something the caller did, besides speaking and listening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Began to say this.
    Speaks(String),
    /// Is done with saying this, spoken from one sample to another of the call.
    Spoke(Span),
    /// Heard something to its end.
    Heard(Span),
    /// Pressed a key.
    Pressed(char),
    /// Hung up.
    HungUp,
    /// Hung up after waiting in vain.
    GaveUp,
}

/// Words and where they stand in the call, in samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The words.
    pub text: String,
    /// The first sample.
    pub from: u64,
    /// The first sample after.
    pub to: u64,
}

/// What the caller does in 20 ms.
#[derive(Debug)]
pub struct Moment {
    /// What the caller says.
    pub says: [i16; FRAME],
    /// What else.
    pub acts: Vec<Act>,
}

/// The caller's side of one call.
#[derive(Debug)]
pub struct Caller {
    steps: VecDeque<Step>,
    patience: u64,
    ticks: u64,
    on_the_line: bool,
    step_began: u64,
    voice: Option<Voice>,
    agent: Agent,
    /// Agent speech that began before this tick has been answered already.
    attention_from: u64,
}

#[derive(Debug)]
struct Voice {
    text: String,
    pcm: Arc<[i16]>,
    said: usize,
    from: u64,
}

impl Caller {
    /// A caller who has just dialled.
    pub fn new(script: CallerScript) -> Self {
        Self {
            steps: script.steps.into(),
            patience: ticks(script.patience),
            ticks: 0,
            on_the_line: false,
            step_began: 0,
            voice: None,
            agent: Agent::default(),
            attention_from: 0,
        }
    }

    /// The call was answered: the script begins.
    pub fn answered(&mut self) {
        if !self.on_the_line {
            self.on_the_line = true;
            self.step_began = self.ticks;
        }
    }

    /// What the agent was saying was cut off; what comes next is something new.
    pub fn cut_off(&mut self) -> Option<Act> {
        self.agent.break_off()
    }

    /// The call is over: gives what was being said and heard.
    pub fn hang_up(&mut self) -> Vec<Act> {
        let spoke = self.voice.take().map(Voice::span).map(Act::Spoke);
        spoke.into_iter().chain(self.agent.break_off()).collect()
    }

    /// 20 ms go by. What the caller does follows from what was heard before them.
    pub fn tick(&mut self, hears: &[i16; FRAME]) -> Moment {
        let mut acts = Vec::new();
        if self.on_the_line {
            self.follow_script(&mut acts);
        }
        let says = self.speak(&mut acts);
        acts.extend(self.agent.hear(hears, self.ticks));
        self.ticks += 1;
        Moment { says, acts }
    }

    /// Goes through the steps until one is not done yet.
    fn follow_script(&mut self, acts: &mut Vec<Act>) {
        while self.voice.is_none() {
            let waited = self.ticks - self.step_began;
            let Some(step) = self.steps.front_mut() else {
                if waited >= self.patience {
                    acts.push(Act::GaveUp);
                }
                return;
            };
            match step {
                Step::Listen(quiet) => match self.agent.quiet_for(self.attention_from, self.ticks) {
                    Some(silent) if silent >= ticks(*quiet) => self.attention_from = self.ticks,
                    Some(_) | None => return self.wait(waited, acts),
                },
                Step::Interrupt { after, say } => match self.agent.speaking_for(self.attention_from, self.ticks) {
                    Some(speaking) if speaking >= ticks(*after) => {
                        let sound = say.clone();
                        self.begin(&sound, acts);
                    }
                    Some(_) | None => return self.wait(waited, acts),
                },
                Step::Say(sound) => {
                    let sound = sound.clone();
                    self.begin(&sound, acts);
                }
                Step::Press(keys) => {
                    if waited.is_multiple_of(KEY) && !keys.is_empty() {
                        acts.push(Act::Pressed(keys.remove(0)));
                    }
                    if !keys.is_empty() || waited % KEY != KEY - 1 {
                        return;
                    }
                }
                Step::Wait(length) if waited < ticks(*length) => return,
                Step::Wait(_) => {}
                Step::HangUp => return acts.push(Act::HungUp),
            }
            self.steps.pop_front();
            self.step_began = self.ticks;
        }
    }

    fn wait(&self, waited: u64, acts: &mut Vec<Act>) {
        if waited >= self.patience {
            acts.push(Act::GaveUp);
        }
    }

    fn begin(&mut self, sound: &Sound, acts: &mut Vec<Act>) {
        acts.push(Act::Speaks(sound.text().to_owned()));
        self.attention_from = self.ticks;
        let from = self.ticks * FRAME as u64;
        self.voice = Some(Voice { text: sound.text().to_owned(), pcm: sound.pcm().clone(), said: 0, from });
    }

    fn speak(&mut self, acts: &mut Vec<Act>) -> [i16; FRAME] {
        let mut says = [0; FRAME];
        if let Some(voice) = &mut self.voice {
            let rest = &voice.pcm[voice.said..];
            let length = rest.len().min(FRAME);
            says[..length].copy_from_slice(&rest[..length]);
            voice.said += length;
        }
        if let Some(voice) = self.voice.take_if(|voice| voice.said == voice.pcm.len()) {
            acts.push(Act::Spoke(voice.span()));
            self.step_began = self.ticks + 1;
        }
        says
    }
}

impl Voice {
    fn span(self) -> Span {
        Span { text: self.text, from: self.from, to: self.from + self.said as u64 }
    }
}

/// What the caller hears of the other side.
#[derive(Debug, Default)]
struct Agent {
    ear: Ear,
    /// Where the ear's first sample stands in the call.
    ear_from: u64,
    heard: Vec<Heard>,
    /// The tick the current speech began and the tick it was last heard. Stays until the next speech.
    speech: Option<(u64, u64)>,
    /// The speech was cut off; any sound begins another.
    broken_off: bool,
}

impl Agent {
    fn hear(&mut self, pcm: &[i16; FRAME], tick: u64) -> Option<Act> {
        self.heard.extend(self.ear.listen(pcm));
        if pcm.iter().any(|sample| sample.saturating_abs() > SOUND) {
            self.speech = match self.speech {
                Some((began, last)) if !self.broken_off && tick - last <= BREATH => Some((began, tick)),
                Some(_) | None => Some((tick, tick)),
            };
            self.broken_off = false;
        }
        let quiet = self.speech.is_some_and(|(_, last)| tick - last == BREATH);
        if quiet { self.utterance() } else { None }
    }

    /// How long the agent has been quiet after speech that began at `from` or later.
    fn quiet_for(&self, from: u64, now: u64) -> Option<u64> {
        self.speech.filter(|(began, _)| *began >= from).map(|(_, last)| now - last - 1)
    }

    /// How long the agent has been speaking, if it began at `from` or later and still is.
    fn speaking_for(&self, from: u64, now: u64) -> Option<u64> {
        let (began, last) = self.speech.filter(|(began, _)| *began >= from)?;
        (!self.broken_off && now - last <= BREATH).then_some(now - began)
    }

    /// Ends the speech here. A character that was not heard to its end is not heard.
    fn break_off(&mut self) -> Option<Act> {
        let heard = self.utterance();
        self.ear_from += self.ear.position();
        self.ear = Ear::new();
        self.broken_off = true;
        heard
    }

    fn utterance(&mut self) -> Option<Act> {
        let heard = std::mem::take(&mut self.heard);
        let text = tones::text(&heard);
        let starts = |item: &Heard| match item {
            Heard::Character { at_sample, .. } | Heard::Noise { at_sample } => Some(*at_sample),
            Heard::Silence { .. } => None,
        };
        let ends = |item: &Heard| match item {
            Heard::Character { at_sample, .. } | Heard::Noise { at_sample } => at_sample + FRAME as u64,
            Heard::Silence { at_sample } => *at_sample,
        };
        let from = heard.iter().find_map(starts)?;
        let to = heard.last().map(ends)?;
        Some(Act::Heard(Span { text, from: self.ear_from + from, to: self.ear_from + to }))
    }
}

fn ticks(duration: Duration) -> u64 {
    (duration.as_millis() / TICK.as_millis()) as u64
}

#[cfg(test)]
mod tests {
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
}
