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
/// Characters of what was heard that a caller waits for later.
const WORDS: usize = 10_000;
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
    connected: bool,
    /// Keys that were heard and not waited for yet.
    keys: String,
    /// Words that were heard and not waited for yet, without spaces.
    words: String,
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
            connected: false,
            keys: String::new(),
            words: String::new(),
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

    /// Somebody else is on the line now, and not Twilio or a stream.
    pub fn connected(&mut self) {
        self.connected = true;
    }

    /// A key was pressed at the other end.
    pub fn hears_key(&mut self, key: char) {
        self.keys.push(key);
    }

    /// What the agent was saying was cut off; what comes next is something new.
    pub fn cut_off(&mut self) -> Option<Act> {
        let act = self.agent.break_off();
        self.remember(&act);
        act
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
        let heard = self.agent.hear(hears, self.ticks);
        self.remember(&heard);
        acts.extend(heard);
        self.ticks += 1;
        Moment { says, acts }
    }

    fn remember(&mut self, act: &Option<Act>) {
        if let Some(Act::Heard(Span { text, .. })) = act {
            self.words.push_str(&squeezed(text));
            let beyond = self.words.chars().count().saturating_sub(WORDS);
            self.words = self.words.chars().skip(beyond).collect();
        }
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
                Step::AwaitKeys(keys) => match self.keys.find(keys.as_str()) {
                    Some(at) => drop(self.keys.drain(..at + keys.len())),
                    None => return self.wait(waited, acts),
                },
                Step::Hear(words) => match self.words.find(words.as_str()) {
                    Some(at) => {
                        self.words.drain(..at + words.len());
                        self.attention_from = self.ticks;
                    }
                    None => return self.wait(waited, acts),
                },
                // What was said before is not theirs who are on the line now.
                Step::Connected if self.connected => self.attention_from = self.ticks,
                Step::Connected => return self.wait(waited, acts),
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

/// As words are compared: without spaces.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

fn ticks(duration: Duration) -> u64 {
    (duration.as_millis() / TICK.as_millis()) as u64
}

#[cfg(test)]
mod tests;
