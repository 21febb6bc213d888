//! What the agent says: sentences of which it is known where in their audio each word is.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use offhook_hosting::entropy::Entropy;
use sonic_worker::nova::{GenerationStage, Role, ServerEvent, StopReason};

/// Samples of one `audioOutput`. 100 ms.
const CHUNK: usize = 800;
/// Silence after a sentence.
const REST: usize = 480;
/// How long the model takes for 100 ms of audio.
const EVERY: Duration = Duration::from_millis(25);

/// One turn of the agent, spoken evenly.
pub(crate) struct Story {
    sentences: Vec<String>,
    samples_per_character: usize,
}

impl Story {
    /// So many sentences of three to eight words of one to seven letters. A character takes so many milliseconds.
    pub(crate) fn draw(sentences: Range<u64>, character: u64, dice: &mut Entropy) -> Self {
        let sentence = |dice: &mut Entropy| {
            let words: Vec<_> = (0..dice.between(3, 9)).map(|_| &"abcdefg"[..dice.between(1, 8) as usize]).collect();
            words.join(" ")
        };
        let sentences = (0..dice.between(sentences.start, sentences.end)).map(|_| sentence(dice)).collect();
        Self { sentences, samples_per_character: character as usize * 8 }
    }

    pub(crate) fn text(&self) -> String {
        self.sentences.join(" ")
    }

    pub(crate) fn lasts(&self) -> Duration {
        let samples: usize = self.sentences.iter().map(|sentence| self.samples(sentence)).sum();
        Duration::from_micros(samples as u64 * 125)
    }

    /// How many words are over when so many samples were played.
    pub(crate) fn words_over(&self, played: u64) -> usize {
        let (mut over, mut first) = (0, 0);
        for sentence in &self.sentences {
            let mut end = first;
            for word in sentence.split(' ') {
                end += word.len() * self.samples_per_character;
                over += usize::from(end as u64 <= played);
                end += self.samples_per_character;
            }
            first += self.samples(sentence);
        }
        over
    }

    /// What the model sends, and after how long.
    pub(crate) fn events(&self) -> Vec<(Duration, ServerEvent)> {
        let (mut events, mut at) = (Vec::new(), Duration::ZERO);
        for (nth, sentence) in self.sentences.iter().enumerate() {
            let start = ServerEvent::TextStart { role: Role::Assistant, stage: GenerationStage::Speculative };
            let text = ServerEvent::Text(sentence.as_str().into());
            events.extend([start, text, ServerEvent::TextEnd(StopReason::PartialTurn)].map(|event| (at, event)));
            let voice = [0, 0x40].repeat(sentence.len() * self.samples_per_character);
            let pcm = Bytes::from([voice, vec![0; REST * 2]].concat());
            for begin in (0..pcm.len()).step_by(CHUNK * 2) {
                at += EVERY;
                events.push((at, ServerEvent::Audio(pcm.slice(begin..pcm.len().min(begin + CHUNK * 2)))));
            }
            let is_last = nth + 1 == self.sentences.len();
            let reason = if is_last { StopReason::EndTurn } else { StopReason::PartialTurn };
            events.push((at, ServerEvent::AudioEnd(reason)));
        }
        events
    }

    fn samples(&self, sentence: &str) -> usize {
        sentence.len() * self.samples_per_character + REST
    }
}
