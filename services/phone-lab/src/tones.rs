//! Tone words: text as sound, so that whoever receives it knows exactly what was said.
//!
//! A character is a dual tone of 20 ms (160 samples at 8 kHz): one of eight low and one of eight high frequencies, all
//! multiples of 100 Hz. A 160-sample window resolves 50 Hz, so aligned characters do not leak into each other, and the
//! tones survive mu-law. [`speak`] and [`Ear`] know nothing of how the sound travelled between them.
//!
//! Text is folded to lower case first ([`fold`]); a character outside the alphabet becomes a space.

/// Samples a character lasts.
pub const SAMPLES_PER_CHARACTER: usize = 160;

/// What can be said. The position in the alphabet picks the tones: `index / 8` the low one, `index % 8` the high one.
const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyz0123456789 .,?!'-:;#*@%&()+/=\"$_[]{}<|";
const LOW_HZ: [f32; 8] = [400.0, 500.0, 600.0, 700.0, 800.0, 900.0, 1000.0, 1100.0];
const HIGH_HZ: [f32; 8] = [1500.0, 1700.0, 1900.0, 2100.0, 2300.0, 2500.0, 2700.0, 2900.0];
const SAMPLE_RATE: f32 = 8000.0;
const AMPLITUDE: f32 = 7000.0;

/// A sample louder than this is sound. Digital silence is 0 and mu-law's quietest step is 8.
const SOUND: i16 = 64;
/// A window whose two best tones carry less than this share of its energy is no character.
const PURITY: f32 = 0.75;
/// This many silent samples in a row end an utterance, and the next sound sets the window's alignment anew.
const GAP: usize = 80;

/// The 64 characters that can be said.
pub fn alphabet() -> impl Iterator<Item = char> {
    ALPHABET.iter().map(|&byte| char::from(byte))
}

/// The text as it can be said: lower case, and spaces for what the alphabet lacks.
pub fn fold(text: &str) -> String {
    let fold = |c: char| {
        if c.is_ascii() && ALPHABET.contains(&(c.to_ascii_lowercase() as u8)) { c.to_ascii_lowercase() } else { ' ' }
    };
    text.chars().map(fold).collect()
}

/// The sound of a text: 8 kHz mono PCM16.
pub fn speak(text: &str) -> Vec<i16> {
    fold(text)
        .bytes()
        .flat_map(|byte| {
            let index = ALPHABET.iter().position(|&known| known == byte).expect("folded text is in the alphabet");
            let (low, high) = (LOW_HZ[index / 8], HIGH_HZ[index % 8]);
            (0..SAMPLES_PER_CHARACTER).map(move |n| (AMPLITUDE * (wave(low, n) + wave(high, n))) as i16)
        })
        .collect()
}

/// A cosine, so that a character starts loud and its first sample marks the alignment.
fn wave(hz: f32, n: usize) -> f32 {
    (std::f32::consts::TAU * hz * n as f32 / SAMPLE_RATE).cos()
}

/// What an [`Ear`] made out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A character; its first sample stood at `at_sample` of everything the ear listened to.
    Character {
        /// The character, folded.
        character: char,
        /// Position of its first sample.
        at_sample: u64,
    },
    /// 160 samples of sound that are no character: human speech, or a tone cut short.
    Noise {
        /// Position of the first of them.
        at_sample: u64,
    },
    /// The sound stopped.
    Silence {
        /// Position of the first silent sample.
        at_sample: u64,
    },
}

/// Listens to 8 kHz PCM16, in pieces of any size.
#[derive(Clone, Debug, Default)]
pub struct Ear {
    /// Samples not yet decided on; the first stands at `position`. Empty while it is silent.
    window: Vec<i16>,
    position: u64,
    silent: usize,
    hearing: bool,
}

impl Ear {
    /// An ear that has heard nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many samples this ear has listened to.
    pub fn position(&self) -> u64 {
        self.position + self.window.len() as u64
    }

    /// Listens on and says what it made out.
    pub fn listen(&mut self, pcm: &[i16]) -> Vec<Heard> {
        let mut heard = Vec::new();
        for &sample in pcm {
            self.sample(sample, &mut heard);
        }
        heard
    }

    fn sample(&mut self, sample: i16, heard: &mut Vec<Heard>) {
        let sound = sample.saturating_abs() > SOUND;
        self.silent = if sound { 0 } else { self.silent + 1 };
        if !self.hearing && !sound {
            self.position += 1;
            return;
        }
        self.hearing = true;
        self.window.push(sample);
        if self.silent >= GAP {
            self.fall_silent(heard);
        } else if self.window.len() == SAMPLES_PER_CHARACTER {
            heard.push(match character(&self.window) {
                Some(character) => Heard::Character { character, at_sample: self.position },
                None => Heard::Noise { at_sample: self.position },
            });
            self.position += self.window.len() as u64;
            self.window.clear();
        }
    }

    fn fall_silent(&mut self, heard: &mut Vec<Heard>) {
        let end = self.position() - self.silent as u64;
        if end > self.position {
            heard.push(Heard::Noise { at_sample: self.position });
        }
        heard.push(Heard::Silence { at_sample: end });
        self.position = self.position();
        self.window.clear();
        self.hearing = false;
    }
}

/// The character whose two tones make up the window, if any do.
fn character(window: &[i16]) -> Option<char> {
    let (low, low_power) = loudest(window, &LOW_HZ);
    let (high, high_power) = loudest(window, &HIGH_HZ);
    let energy: f32 = window.iter().map(|&s| f32::from(s) * f32::from(s)).sum();
    // A pure tone of the window's length has |correlation|² = energy × length / 2.
    let pure = (low_power + high_power) * 2.0 / window.len() as f32 > PURITY * energy;
    let balanced = low_power < 4.0 * high_power && high_power < 4.0 * low_power;
    (pure && balanced).then(|| char::from(ALPHABET[low * 8 + high]))
}

/// The strongest of some frequencies and its squared correlation with the window.
fn loudest(window: &[i16], frequencies: &[f32; 8]) -> (usize, f32) {
    let power = |hz: f32| {
        // Goertzel's recurrence.
        let coefficient = 2.0 * (std::f32::consts::TAU * hz / SAMPLE_RATE).cos();
        let (last, before) = window.iter().fold((0.0, 0.0), |(s1, s2), &x| (f32::from(x) + coefficient * s1 - s2, s1));
        last * last + before * before - coefficient * last * before
    };
    frequencies.iter().map(|&hz| power(hz)).enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).expect("eight frequencies")
}

/// The text in what an ear heard: characters in order, `\u{fffd}` for noise, silences as a single space.
pub fn text(heard: &[Heard]) -> String {
    let mut text = String::new();
    for item in heard {
        match item {
            Heard::Character { character, .. } => text.push(*character),
            Heard::Noise { .. } if !text.ends_with('\u{fffd}') => text.push('\u{fffd}'),
            Heard::Noise { .. } => {}
            Heard::Silence { .. } if !text.ends_with(' ') => text.push(' '),
            Heard::Silence { .. } => {}
        }
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(pcm: &[i16]) -> Vec<Heard> {
        Ear::new().listen(pcm)
    }

    #[test]
    fn every_character_is_heard_as_said() {
        let all = String::from_utf8(ALPHABET.to_vec()).unwrap();
        assert_eq!(text(&hear(&speak(&format!("x{all}x")))), format!("x{all}x"));
    }

    #[test]
    fn alignment_and_piece_size_do_not_matter() {
        let mut pcm = vec![0; 777];
        pcm.extend(speak("hello, world"));
        pcm.extend([0; 300]);
        let whole = hear(&pcm);
        let mut ear = Ear::new();
        let pieces: Vec<_> = pcm.chunks(37).flat_map(|piece| ear.listen(piece)).collect();
        assert_eq!(whole, pieces);
        assert_eq!(text(&whole), "hello, world");
        assert_eq!(whole[0], Heard::Character { character: 'h', at_sample: 777 });
        assert_eq!(whole.last(), Some(&Heard::Silence { at_sample: 777 + 12 * 160 }));
    }

    #[test]
    fn what_is_no_tone_is_noise() {
        let hum: Vec<i16> = (0..1600).map(|n| (9000.0 * wave(230.0, n)) as i16).collect();
        let heard = hear(&hum);
        assert!(heard.iter().all(|heard| matches!(heard, Heard::Noise { .. })), "{heard:?}");
        assert_eq!(heard.len(), 10);
    }

    #[test]
    fn a_character_cut_short_is_noise_and_the_next_utterance_is_clear() {
        let mut pcm = speak("ab")[..240].to_vec();
        pcm.extend([0; 200]);
        pcm.extend(speak("cd"));
        assert_eq!(text(&hear(&pcm)), "a\u{fffd} cd");
    }

    #[test]
    fn text_is_folded_to_what_can_be_said() {
        assert_eq!(fold("Caf\u{e9} No 7"), "caf  no 7");
    }
}
