//! G.711 mu-law, computed from the standard's definition rather than looked up, so that a wrong table in the product
//! does not meet the same wrong table here.
//!
//! ITU-T G.711 codes a 14-bit sample as sign, segment and step: the magnitude plus 33 is `1ssss` shifted left by the
//! segment, and all bits are inverted on the line. PCM16 is 14 bit scaled by four.

/// What a line that carries nothing carries: positive zero.
pub const SILENCE: u8 = 0xff;

const BIAS: u16 = 33;
const LOUDEST: u16 = 8191;

/// The code for a sample.
pub fn encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = ((sample.unsigned_abs() >> 2) + BIAS).min(LOUDEST);
    // BIAS keeps the magnitude at 33 or more, so its highest bit is bit 5 to bit 12.
    let segment = 15 - magnitude.leading_zeros() as u16 - 5;
    let step = (magnitude >> (segment + 1)) & 0x0f;
    !(sign | (segment << 4 | step) as u8)
}

/// The sample a code stands for.
pub fn decode(code: u8) -> i16 {
    let bits = !code;
    let (segment, step) = ((bits >> 4) & 0x07, i16::from(bits & 0x0f));
    let magnitude = (((2 * step + BIAS as i16) << segment) - BIAS as i16) * 4;
    if bits & 0x80 == 0 { magnitude } else { -magnitude }
}

/// The samples that a run of codes stands for.
pub fn decode_all(codes: &[u8]) -> impl Iterator<Item = i16> + '_ {
    codes.iter().map(|&code| decode(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_round_trip_and_negative_zero_becomes_zero() {
        for code in 0..=u8::MAX {
            let expected = if code == 0x7f { SILENCE } else { code };
            assert_eq!(encode(decode(code)), expected, "code {code:#04x}");
        }
    }

    #[test]
    fn known_codes_stand_for_the_standards_values() {
        let known =
            [(0xff, 0), (0x7f, 0), (0xfe, 8), (0x7e, -8), (0x80, 32124), (0x00, -32124), (0xef, 132), (0x8f, 16764)];
        for (code, sample) in known {
            assert_eq!(decode(code), sample, "code {code:#04x}");
        }
    }

    #[test]
    fn the_loudest_samples_clip_instead_of_wrapping() {
        assert_eq!(encode(i16::MAX), 0x80);
        assert_eq!(encode(i16::MIN), 0x00);
    }

    #[test]
    fn a_sample_is_off_by_at_most_half_its_segments_step() {
        for sample in (-32124..=32124).step_by(7) {
            let error = (i32::from(decode(encode(sample as i16))) - sample).abs();
            assert!(error <= 4 + sample.abs() / 32 + 4, "sample {sample} is off by {error}");
        }
    }
}
