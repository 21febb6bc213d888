//! Mu-law as ITU-T G.711 has it.

const SILENCE: u8 = 0xff;
const BIAS: i32 = 0x84;

pub(super) fn is_any(mulaw: &[u8]) -> bool {
    mulaw.iter().any(|code| *code != SILENCE)
}

pub(super) fn decode(code: u8) -> i16 {
    let code = i32::from(!code);
    let magnitude = (((code & 0x0f) << 3) + BIAS) << ((code & 0x70) >> 4);
    let sample = if code & 0x80 == 0 { magnitude - BIAS } else { BIAS - magnitude };
    i16::try_from(sample).unwrap()
}

pub(super) fn encode(sample: i16) -> u8 {
    let sample = i32::from(sample);
    let magnitude = sample.abs().min(32_635) + BIAS;
    let exponent = magnitude.ilog2() - 7;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let code = sign | i32::try_from(exponent).unwrap() << 4 | mantissa;
    !u8::try_from(code).unwrap()
}
