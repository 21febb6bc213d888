//! What a caller hears while somebody is being rung: 440 and 480 Hz, two seconds on and four off (ITU-T E.180, the
//! United States).

use super::playout::FRAME;
use crate::speech::SAMPLE_RATE;

const AMPLITUDE: f32 = 3000.0;
const TONES_HZ: [f32; 2] = [440.0, 480.0];
const FRAMES_A_SECOND: u64 = SAMPLE_RATE as u64 / FRAME as u64;
const ON: u64 = 2 * FRAMES_A_SECOND;
const OFF: u64 = 4 * FRAMES_A_SECOND;

/// The nth 20 ms of it.
pub(super) fn frame(nth: u64) -> [i16; FRAME] {
    if nth % (ON + OFF) >= ON {
        return [0; FRAME];
    }
    let began = (nth % (ON + OFF)) as usize * FRAME;
    std::array::from_fn(|sample| {
        let seconds = (began + sample) as f32 / SAMPLE_RATE as f32;
        TONES_HZ.iter().map(|hz| AMPLITUDE * (std::f32::consts::TAU * hz * seconds).sin()).sum::<f32>() as i16
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rings_for_two_seconds_and_rests_for_four() {
        let rings = |nth: u64| frame(nth).iter().any(|sample| sample.unsigned_abs() > 1000);
        let ringing: Vec<_> = (0..900).filter(|nth| rings(*nth)).collect();
        let expected: Vec<_> = (0..100).chain(300..400).chain(600..700).collect();
        assert_eq!(ringing, expected);
    }
}
