//! How long the model takes for what it does.
//!
//! The figures of [`Profile::Real`] and [`Profile::Slow`] are what public measurements of the real service report.

use std::{ops::Range, str::FromStr, time::Duration};

use offhook_hosting::entropy::Entropy;

use super::settings::Pace;

/// Which of the measured services the simulated one is as quick as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// A small prompt: first audio 650 ms after the pause.
    #[default]
    Real,
    /// Ten times faster than that, pauses included.
    Fast,
    /// A large prompt with hundreds of tools: first audio 2.5 to 9.9 s after the pause, late FINAL texts.
    Slow,
}

impl FromStr for Profile {
    type Err = NoProfile;

    fn from_str(text: &str) -> Result<Self, NoProfile> {
        match text {
            "real" => Ok(Self::Real),
            "fast" => Ok(Self::Fast),
            "slow" => Ok(Self::Slow),
            _ => Err(NoProfile),
        }
    }
}

/// The text names no profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected real, fast or slow")]
pub struct NoProfile;

/// The delays of one profile at one pace. Those that vary are drawn each time.
#[derive(Clone, Debug)]
pub(super) struct Timing {
    pace: Pace,
    millis: &'static Millis,
}

/// A profile's delays, at real pace, in milliseconds.
#[derive(Debug)]
struct Millis {
    connect: Range<u64>,
    think: Range<u64>,
    read: Range<u64>,
    confirm: Range<u64>,
}

const REAL: Millis = Millis { connect: 80..141, think: 450..451, read: 620..1021, confirm: 3000..3001 };
const SLOW: Millis = Millis { connect: 500..3001, think: 2300..9701, read: 2400..9801, confirm: 2600..9001 };
const TRANSCRIBE: u64 = 100;
const VOICE: u64 = 100;

impl Timing {
    pub(super) fn new(profile: Profile, pace: Pace) -> Self {
        match profile {
            Profile::Real => Self { pace, millis: &REAL },
            Profile::Fast => Self { pace: pace.tenth(), millis: &REAL },
            Profile::Slow => Self { pace, millis: &SLOW },
        }
    }

    /// From the request to the response.
    pub(super) fn connect(&self, entropy: &mut Entropy) -> Duration {
        self.draw(&self.millis.connect, entropy)
    }

    /// The pause that ends a turn of the caller, of so many milliseconds at real pace.
    pub(super) fn pause(&self, millis: u64) -> Duration {
        self.pace.millis(millis)
    }

    /// From the end of that pause to the transcript.
    pub(super) fn transcribe(&self) -> Duration {
        self.pace.millis(TRANSCRIBE)
    }

    /// From the transcript, or a tool's result, to the first text about it.
    pub(super) fn think(&self, entropy: &mut Entropy) -> Duration {
        self.draw(&self.millis.think, entropy)
    }

    /// From interactive text to the first text of the answer.
    pub(super) fn read(&self, entropy: &mut Entropy) -> Duration {
        self.draw(&self.millis.read, entropy)
    }

    /// From the first text to the first audio.
    pub(super) fn voice(&self) -> Duration {
        self.pace.millis(VOICE)
    }

    /// From the end of a sentence's audio to its FINAL text, at least; one draw for the session.
    pub(super) fn confirm(&self, entropy: &mut Entropy) -> Duration {
        self.draw(&self.millis.confirm, entropy)
    }

    fn draw(&self, range: &Range<u64>, entropy: &mut Entropy) -> Duration {
        self.pace.millis(entropy.between(range.start, range.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_audio(profile: &str) -> impl Iterator<Item = u128> {
        let timing = Timing::new(profile.parse().unwrap(), Pace::REAL);
        let mut entropy = Entropy::from_seed(1);
        (0..200).map(move |_| (timing.transcribe() + timing.think(&mut entropy) + timing.voice()).as_millis())
    }

    #[test]
    fn the_real_profile_is_as_measured_and_the_fast_one_a_tenth_of_it() {
        assert!(first_audio("real").all(|millis| millis == 650));
        assert!(first_audio("fast").all(|millis| millis == 65));
        let pause = |profile| Timing::new(profile, Pace::REAL).pause(1500);
        assert_eq!(pause(Profile::Real), 10 * pause(Profile::Fast));
    }

    #[test]
    fn the_slow_profile_takes_from_two_and_a_half_to_ten_seconds() {
        assert!(first_audio("slow").all(|millis| (2500..9901).contains(&millis)));
        assert!(first_audio("slow").max() > first_audio("slow").min().map(|least| least + 3000));
        assert_eq!(Timing::new(Profile::Slow, Pace::REAL).pause(1500), Duration::from_millis(1500));
    }

    #[test]
    fn the_response_takes_80_to_140_ms() {
        let (timing, mut entropy) = (Timing::new(Profile::Real, Pace::REAL), Entropy::from_seed(1));
        let drawn: Vec<_> = (0..200).map(|_| timing.connect(&mut entropy).as_millis()).collect();
        assert!(drawn.iter().all(|millis| (80..=140).contains(millis)), "{drawn:?}");
        assert!(drawn.iter().any(|millis| *millis < 95) && drawn.iter().any(|millis| *millis > 125), "{drawn:?}");
    }

    #[test]
    fn there_are_three_profiles() {
        assert_eq!("instant".parse::<Profile>(), Err(NoProfile));
    }
}
