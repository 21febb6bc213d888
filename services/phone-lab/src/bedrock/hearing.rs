//! Turns caller audio into utterances: energy decides where they begin and end, an [`Ear`] what they say.
//!
//! Pure, and timed by the audio itself: a pause is so many samples of silence, however fast they arrive.

use crate::tones::{self, Ear};

/// Energy is judged over 10 ms at 8 kHz.
const FRAME: usize = 80;
/// Mean amplitude above which a frame is sound. Mu-law's quietest steps are 8 and 24.
const LOUD: u32 = 100;
/// People pause between words: what is no tone words needs this much silence (600 ms) to end, at any pace.
const SPEECH_PAUSE: usize = 4800;
/// Frames of sound that make the caller someone who speaks: 100 ms.
const SPEAKING: usize = 10;

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The caller has been making sound for 100 ms: they are speaking. Once per utterance.
    Speaking,
    /// The caller was silent for the pause that ends a turn.
    Utterance(Utterance),
}

/// Sound between two pauses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Utterance {
    /// Tone words, or none if it is other sound.
    pub(super) words: Option<String>,
    /// It was long enough to be [`Heard::Speaking`].
    pub(super) interrupts: bool,
    pub(super) at_sample: usize,
    pub(super) pcm: Vec<i16>,
}

#[derive(Debug)]
pub(super) struct Hearing {
    pause: usize,
    ear: Ear,
    /// Samples that do not fill a frame yet.
    frame: Vec<i16>,
    /// Where `frame` begins.
    position: usize,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    at_sample: usize,
    pcm: Vec<i16>,
    /// Length of `pcm` up to the last sound.
    sound_until: usize,
    loud_frames: usize,
    heard: Vec<tones::Heard>,
}

impl Hearing {
    /// Hears utterances that are so many samples of silence apart.
    pub(super) fn new(pause: usize) -> Self {
        // Below two frames the ear itself would not have noticed the silence.
        let pause = pause.max(2 * FRAME);
        Self { pause, ear: Ear::new(), frame: Vec::with_capacity(FRAME), position: 0, current: None }
    }

    /// Says whether the caller is in the middle of an utterance.
    pub(super) fn is_hearing(&self) -> bool {
        self.current.is_some()
    }

    /// Listens on.
    pub(super) fn listen(&mut self, mut pcm: &[i16]) -> Vec<Heard> {
        let mut heard = Vec::new();
        while !pcm.is_empty() {
            let (piece, rest) = pcm.split_at(pcm.len().min(FRAME - self.frame.len()));
            self.frame.extend_from_slice(piece);
            pcm = rest;
            if self.frame.len() == FRAME {
                self.handle_frame(&mut heard);
            }
        }
        heard
    }

    /// The audio is over, and with it the utterance.
    pub(super) fn finish(&mut self) -> Option<Utterance> {
        let mut tail = self.ear.listen(&self.frame);
        tail.extend(self.ear.listen(&[0; 2 * FRAME]));
        let mut current = self.current.take()?;
        current.heard.extend(tail);
        current.pcm.append(&mut self.frame);
        current.sound_until = current.pcm.len();
        current.utterance()
    }

    fn handle_frame(&mut self, heard: &mut Vec<Heard>) {
        let tones = self.ear.listen(&self.frame);
        let loud = self.frame.iter().map(|&s| u32::from(s.unsigned_abs())).sum::<u32>() > LOUD * FRAME as u32;
        if loud && self.current.is_none() {
            self.current = Some(Current::new(self.position));
        }
        self.position += FRAME;
        if let Some(current) = &mut self.current {
            current.pcm.extend_from_slice(&self.frame);
            current.heard.extend(tones);
            if loud {
                current.sound_until = current.pcm.len();
                current.loud_frames += 1;
                if current.loud_frames == SPEAKING {
                    heard.push(Heard::Speaking);
                }
            } else if current.has_ended(self.pause) {
                heard.extend(self.current.take().and_then(Current::utterance).map(Heard::Utterance));
            }
        }
        self.frame.clear();
    }
}

impl Current {
    fn new(at_sample: usize) -> Self {
        Self { at_sample, pcm: Vec::new(), sound_until: 0, loud_frames: 0, heard: Vec::new() }
    }

    fn has_ended(&self, pause: usize) -> bool {
        let silence = self.pcm.len() - self.sound_until;
        silence >= pause && (silence >= SPEECH_PAUSE || self.is_words())
    }

    fn is_words(&self) -> bool {
        let count = |is: fn(&tones::Heard) -> bool| self.heard.iter().filter(|heard| is(heard)).count();
        let characters = count(|heard| matches!(heard, tones::Heard::Character { .. }));
        characters > count(|heard| matches!(heard, tones::Heard::Noise { .. }))
    }

    /// What it was; none if it was but a click.
    fn utterance(mut self) -> Option<Utterance> {
        let words = self.is_words().then(|| tones::text(&self.heard));
        self.pcm.truncate(self.sound_until);
        let interrupts = self.loud_frames >= SPEAKING;
        let is_utterance = words.is_some() || interrupts;
        is_utterance.then_some(Utterance { words, interrupts, at_sample: self.at_sample, pcm: self.pcm })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: usize = 8000;

    fn hum(samples: usize) -> Vec<i16> {
        (0..samples).map(|n| if n % 40 < 20 { 4000 } else { -4000 }).collect()
    }

    fn hear(pcm: &[i16]) -> Vec<Heard> {
        Hearing::new(PAUSE).listen(pcm)
    }

    #[test]
    fn tone_words_are_an_utterance_after_the_pause() {
        let mut pcm = vec![0; 800];
        pcm.extend(tones::speak("hello there"));
        let end = pcm.len();
        pcm.resize(end + PAUSE - FRAME, 0);
        assert_eq!(hear(&pcm), [Heard::Speaking]);
        pcm.resize(end + PAUSE, 0);
        let heard = hear(&pcm);
        let said = Utterance {
            words: Some("hello there".into()),
            interrupts: true,
            at_sample: 800,
            pcm: tones::speak("hello there"),
        };
        assert_eq!(heard, [Heard::Speaking, Heard::Utterance(said)]);
    }

    #[test]
    fn the_pieces_it_arrives_in_do_not_matter() {
        let mut pcm = vec![0; 333];
        pcm.extend(tones::speak("hello, world"));
        pcm.resize(pcm.len() + PAUSE + FRAME, 0);
        let mut hearing = Hearing::new(PAUSE);
        let pieces: Vec<_> = pcm.chunks(37).flat_map(|piece| hearing.listen(piece)).collect();
        assert_eq!(pieces, hear(&pcm));
        assert_eq!(pieces.len(), 2);
    }

    #[test]
    fn short_words_are_heard_but_are_not_yet_speaking() {
        let mut pcm = tones::speak("yes");
        pcm.resize(pcm.len() + PAUSE, 0);
        let [Heard::Utterance(yes)] = &hear(&pcm)[..] else { panic!("nothing heard") };
        assert_eq!((yes.words.as_deref(), yes.interrupts), (Some("yes"), false));
    }

    #[test]
    fn other_sound_is_an_utterance_without_words_and_a_click_is_none() {
        let mut pcm = hum(1600);
        pcm.resize(1600 + PAUSE, 0);
        let heard = hear(&pcm);
        assert!(
            matches!(&heard[..], [Heard::Speaking, Heard::Utterance(Utterance { words: None, pcm, .. })] if pcm.len() == 1600)
        );
        let mut click = hum(240);
        click.resize(240 + PAUSE, 0);
        assert_eq!(hear(&click), []);
    }

    #[test]
    fn people_may_pause_between_words_however_quick_the_model() {
        let mut pcm = [hum(1600), vec![0; 4000], hum(1600)].concat();
        pcm.resize(pcm.len() + SPEECH_PAUSE, 0);
        let heard = Hearing::new(700).listen(&pcm);
        assert!(matches!(&heard[..], [Heard::Speaking, Heard::Utterance(said)] if said.pcm.len() == 7200), "{heard:?}");
    }

    #[test]
    fn a_short_pause_does_not_end_the_utterance() {
        let mut pcm = tones::speak("one");
        pcm.resize(pcm.len() + PAUSE - 2 * FRAME, 0);
        pcm.extend(tones::speak("two"));
        pcm.resize(pcm.len() + PAUSE, 0);
        let heard = hear(&pcm);
        assert!(
            matches!(&heard[..], [.., Heard::Utterance(Utterance { words: Some(words), .. })] if words == "one two")
        );
    }

    #[test]
    fn the_end_of_the_audio_ends_the_utterance() {
        let mut hearing = Hearing::new(PAUSE);
        hearing.listen(&tones::speak("bye"));
        assert!(hearing.is_hearing());
        assert_eq!(hearing.finish().unwrap().words.as_deref(), Some("bye"));
        assert!(!hearing.is_hearing());
        assert_eq!(hearing.finish(), None);
    }

    #[test]
    fn the_hiss_of_an_idle_line_is_silence() {
        let hiss: Vec<i16> = (0..16_000).map(|n| if n % 3 == 0 { 24 } else { -8 }).collect();
        assert_eq!(hear(&hiss), []);
    }
}
