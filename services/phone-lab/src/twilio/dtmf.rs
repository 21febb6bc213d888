//! The sound of a key (ITU-T Q.23): two tones at once.

use crate::speech::SAMPLE_RATE;

/// How loud each of the two is.
const AMPLITUDE: f32 = 7000.0;
const LOW_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
const HIGH_HZ: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
const KEYS: &str = "123A456B789C*0#D";

/// A key pressed for 100 ms; silence for what is no key.
pub(super) fn sound(key: char) -> Vec<i16> {
    let samples = SAMPLE_RATE as usize / 10;
    let Some(place) = KEYS.find(key) else { return vec![0; samples] };
    let (low, high) = (LOW_HZ[place / 4], HIGH_HZ[place % 4]);
    let wave = |hz: f32, n: usize| (std::f32::consts::TAU * hz * n as f32 / SAMPLE_RATE as f32).sin();
    (0..samples).map(|n| (AMPLITUDE * (wave(low, n) + wave(high, n))) as i16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of a tone there is.
    fn strength(pcm: &[i16], hz: f32) -> f32 {
        let angle = |n: usize| std::f32::consts::TAU * hz * n as f32 / SAMPLE_RATE as f32;
        let sum = |wave: fn(f32) -> f32| -> f32 {
            pcm.iter().enumerate().map(|(n, sample)| f32::from(*sample) * wave(angle(n))).sum()
        };
        sum(f32::sin).hypot(sum(f32::cos))
    }

    #[test]
    fn each_key_sounds_in_its_two_tones_and_in_no_others() {
        for (place, key) in KEYS.chars().enumerate() {
            let pcm = sound(key);
            let loud = |tones: &[f32]| {
                let strengths: Vec<_> = tones.iter().map(|hz| strength(&pcm, *hz)).collect();
                let most = strengths.iter().copied().fold(0.0, f32::max);
                assert_eq!(strengths.iter().filter(|strength| **strength > most / 4.0).count(), 1, "{key}");
                strengths.iter().position(|strength| *strength == most).unwrap()
            };
            assert_eq!((loud(&LOW_HZ), loud(&HIGH_HZ)), (place / 4, place % 4), "{key}");
        }
        assert!(sound('w').iter().all(|sample| *sample == 0));
    }
}
