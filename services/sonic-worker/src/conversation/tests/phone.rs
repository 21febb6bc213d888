//! Conversations with a phone whose ear is known sample by sample, over a line that takes its time.

use std::ops::Range;

use super::*;

const STEP: Duration = Duration::from_millis(5);
const STEP_SAMPLES: u64 = 40;
const SLICE: u64 = 800;
const CHARACTER: u64 = 160;
/// Silence after a sentence.
const REST: u64 = 480;

/// The edge and the phone behind it: plays in real time, confirms each slice, and when it is cleared, tells how far it has
/// played and forgets the rest. How the edge finds that out is tested where both are, in the lab.
struct Phone {
    rig: Rig,
    dice: Entropy,
    /// The longest that a message takes one way, in milliseconds.
    slowest: u64,
    down: VecDeque<(Instant, Output)>,
    up: VecDeque<(Instant, Input)>,
    epoch: u32,
    buffer: VecDeque<Range<u64>>,
    /// What reached the ear.
    played: Vec<Range<u64>>,
    cleared_at: Option<u64>,
}

impl Phone {
    fn new(seed: u64) -> Self {
        let mut dice = Entropy::from_seed(seed);
        let slowest = dice.between(1, 150);
        let (down, up, buffer, played) = Default::default();
        Self { rig: Rig::live(), dice, slowest, down, up, epoch: 0, buffer, played, cleared_at: None }
    }

    /// When a message arrives that leaves now; none overtakes another.
    fn arrival(&mut self, before: Option<Instant>) -> Instant {
        let at = self.rig.now + Duration::from_millis(self.dice.between(0, self.slowest));
        before.map_or(at, |before| at.max(before))
    }

    fn handle(&mut self, input: Input) {
        for output in self.rig.handle(input) {
            if matches!(output, Output::Speak { .. } | Output::Hush { .. }) {
                let at = self.arrival(self.down.back().map(|(at, _)| *at));
                self.down.push_back((at, output));
            }
        }
    }

    /// Lets the model say these events, and the time pass after them.
    fn model(&mut self, events: impl IntoIterator<Item = ServerEvent>, then: Duration) {
        let session = self.rig.session.unwrap();
        events.into_iter().for_each(|event| self.handle(Input::Model { session, event }));
        let until = self.rig.now + then;
        while self.rig.now < until {
            self.rig.now += STEP;
            while let Some((_, output)) = self.down.pop_front_if(|(at, _)| *at <= self.rig.now) {
                self.take(output);
            }
            self.play();
            while let Some((_, input)) = self.up.pop_front_if(|(at, _)| *at <= self.rig.now) {
                self.handle(input);
            }
            self.handle(Input::Deadline);
        }
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Speak { first_sample, epoch, mulaw } if epoch == self.epoch => {
                let end = first_sample + mulaw.len() as u64;
                let starts = (first_sample..end).step_by(SLICE as usize);
                self.buffer.extend(starts.map(|start| start..end.min(start + SLICE)));
            }
            Output::Hush { epoch } => {
                if let Some(sample) = self.played.last().map(|played| played.end) {
                    self.tell_heard(sample);
                }
                self.epoch = epoch;
                self.buffer.clear();
                self.cleared_at = self.played.last().map(|played| played.end);
            }
            _ => {}
        }
    }

    fn play(&mut self) {
        let mut left = STEP_SAMPLES;
        while let Some(slice) = self.buffer.front_mut().filter(|_| left > 0) {
            let end = slice.end.min(slice.start + left);
            left -= end - slice.start;
            match self.played.last_mut().filter(|played| played.end == slice.start) {
                Some(played) => played.end = end,
                None => self.played.push(slice.start..end),
            }
            slice.start = end;
            if slice.is_empty() {
                self.buffer.pop_front();
                self.tell_heard(end);
            }
        }
    }

    fn tell_heard(&mut self, sample: u64) {
        let at = self.arrival(self.up.back().map(|(at, _)| *at));
        self.up.push_back((at, Input::Heard { sample, epoch: self.epoch }));
    }

    /// One to three sentences of two to eight words.
    fn sentences(&mut self) -> Vec<String> {
        let mut word = || "abcdefgh"[..self.dice.between(1, 8) as usize].to_owned();
        let mut words: Vec<String> = (0..24).map(|_| word()).collect();
        let sentences = self.dice.between(1, 4);
        (0..sentences).map(|_| words.split_off(words.len() - self.dice.between(2, 9) as usize).join(" ")).collect()
    }

    /// Says the sentences at four times real time, until `budget` is used up. Whether it was enough.
    fn say(&mut self, sentences: &[String], mut budget: Duration) -> bool {
        for (nth, sentence) in sentences.iter().enumerate() {
            let [start, words, end, _] = says(sentence);
            self.model([start, words, end], Duration::ZERO);
            let voice = [0, 0x40].repeat(sentence.len() * CHARACTER as usize);
            let pcm = [voice, vec![0; REST as usize * 2]].concat();
            for piece in pcm.chunks(SLICE as usize * 2) {
                let Some(left) = budget.checked_sub(5 * STEP) else { return false };
                budget = left;
                self.model([ServerEvent::Audio(Bytes::copy_from_slice(piece))], 5 * STEP);
            }
            let last = nth + 1 == sentences.len();
            let reason = if last { StopReason::EndTurn } else { StopReason::PartialTurn };
            self.model([ServerEvent::AudioEnd(reason)], Duration::ZERO);
        }
        self.model([], budget);
        true
    }
}

/// How many words of sentences, the first of which begins at a position, are over at another.
fn words_over(sentences: &[String], mut first: u64, position: u64) -> usize {
    let mut over = 0;
    for sentence in sentences {
        let mut at = first;
        for word in sentence.split(' ') {
            at += word.len() as u64 * CHARACTER;
            over += usize::from(at <= position);
            at += CHARACTER;
        }
        first += sentence.len() as u64 * CHARACTER + REST;
    }
    over
}

fn samples(sentences: &[String]) -> u64 {
    sentences.iter().map(|sentence| sentence.len() as u64 * CHARACTER + REST).sum()
}

fn lasts(sentences: &[String]) -> Duration {
    Duration::from_micros(samples(sentences) * 125)
}

#[test]
fn of_a_thousand_interrupted_turns_as_many_words_are_claimed_as_the_ear_heard() {
    let (mut right, mut heard_in_part) = (0, 0);
    for seed in 0..1_000 {
        let mut phone = Phone::new(seed);
        let (greeting, story, answer) = (phone.sentences(), phone.sentences(), phone.sentences());
        phone.say(&greeting, lasts(&greeting) + Duration::from_secs(1));
        let after = Duration::from_millis(phone.dice.between(0, lasts(&story).as_millis() as u64 + 200));
        if !phone.say(&story, after) {
            phone.model([turn_ends()], Duration::ZERO);
        }
        phone.model(interrupted(), Duration::from_secs(1));
        let (first, position) = (samples(&greeting), phone.cleared_at.unwrap());
        phone.say(&answer, lasts(&answer) + Duration::from_secs(1));

        let turns = phone.rig.turns();
        let [greeted, told, answered] = turns[..] else { panic!("seed {seed}: {turns:?}") };
        for (turn, sentences) in [(greeted, &greeting), (answered, &answer)] {
            assert_eq!((turn.text.as_str(), turn.interrupted), (sentences.join(" ").as_str(), false), "seed {seed}");
            assert_eq!(turn.heard.as_deref(), Some(turn.text.as_str()), "seed {seed}");
        }
        let heard = told.heard.as_deref().unwrap();
        let claimed = heard.split_whitespace().count();
        assert!(story.join(" ").starts_with(heard), "seed {seed}");
        let by_ear = words_over(&story, first, position);
        assert!(claimed <= by_ear, "seed {seed}: {claimed} claimed, {by_ear} heard at {position} of {told:?}");
        right += usize::from(claimed == by_ear);
        heard_in_part += usize::from(0 < by_ear && heard.len() < told.text.len());
    }
    assert!(right >= 990, "{right} of 1000");
    assert!(heard_in_part > 500, "{heard_in_part} of 1000 are heard in part: the test shows little");
}
