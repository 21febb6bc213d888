//! What the caller's audio means to the model.

use std::time::Instant;

use super::{
    super::{
        hearing::{Heard, Utterance},
        report::HeardUtterance,
        speaking::Step,
    },
    Model, Note,
};

/// Tokens of speech per second, heard, in hundredths.
const TOKENS_IN: u64 = 500;

impl Model {
    pub(super) fn listen(&mut self, samples: Vec<i16>, now: Instant) {
        let Some(ear) = &mut self.ear else { return };
        self.last_input = now;
        let (factor, phase) = (ear.rate.factor(), ear.received);
        let is_first = phase == 0 && self.heard_before == 0;
        ear.received += samples.len();
        let pcm = if factor == 1 {
            samples
        } else {
            let keep = |(n, sample)| ((phase + n) % factor == 0).then_some(sample);
            samples.into_iter().enumerate().filter_map(keep).collect()
        };
        if is_first {
            self.note(Note::Listening);
        }
        if self.echo(&pcm, now) {
            return;
        }
        let Some(ear) = &mut self.ear else { return };
        let answers = ear.answers;
        let heard = ear.hearing.listen(&pcm);
        self.note(Note::CallerAudio(pcm));
        for heard in heard {
            match heard {
                Heard::Speaking if answers => self.barge_in(now),
                Heard::Speaking => {}
                Heard::Utterance(utterance) => self.hear(utterance, answers, now),
            }
        }
    }

    pub(super) fn stop_listening(&mut self, now: Instant) {
        let Some(mut ear) = self.ear.take() else { return };
        let utterance = ear.hearing.finish();
        if let Some(utterance) = utterance {
            self.hear(utterance, ear.answers, now);
        }
        self.heard_before += ear.received / ear.rate.factor();
    }

    /// The caller has said something.
    fn hear(&mut self, utterance: Utterance, answers: bool, now: Instant) {
        let Utterance { words, interrupts, at_sample, pcm } = utterance;
        self.usage.input_speech += (pcm.len() as u64 * TOKENS_IN).div_ceil(800_000);
        let (text, reaction) = match words {
            Some(words) => (words.clone(), self.settings.script.react_to_words(&words)),
            None => {
                let n = self.speeches;
                self.speeches += 1;
                let text = self.settings.script.speech(n).unwrap_or_default();
                (text.to_owned(), self.settings.script.react_to_speech(n))
            }
        };
        let heard = HeardUtterance { text: text.clone(), at_sample: self.heard_before + at_sample, pcm };
        self.note(Note::Heard(heard));
        // Too short to interrupt, and over: nobody answers an "mhm".
        let ignored = self.is_talking(now) && !interrupts;
        if answers && !ignored {
            self.barge_in(now);
            self.confirm_played(now);
            self.begun = true;
            self.pass_memory();
            let mut steps = vec![Step::Transcript(text)];
            steps.extend(self.react(reaction));
            self.begin_turn(steps, self.timing.transcribe(), now);
        }
    }
}
