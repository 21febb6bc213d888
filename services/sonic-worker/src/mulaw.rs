//! G.711 mu-law to and from 16-bit linear PCM, both at 8 kHz: the bridge between the phone's audio and the model's.
//!
//! Both directions are table look-ups, because they run for every sample of every call.

use std::sync::LazyLock;

use bytes::Bytes;

/// Added to the magnitude before the segment is found (ITU-T G.711).
const BIAS: i32 = 0x84;
const CLIP: i32 = 32_635;

static DECODE: [[u8; 2]; 256] = decode_table();
static ENCODE: LazyLock<Box<[u8; 65_536]>> = LazyLock::new(|| {
    let table: Vec<u8> = (0..=u16::MAX).map(|sample| encode(sample.cast_signed())).collect();
    table.into_boxed_slice().try_into().expect("one entry for each of 65,536 samples")
});

/// Appends the samples as little-endian PCM16.
pub fn decode_into(mulaw: &[u8], pcm: &mut Vec<u8>) {
    pcm.reserve(mulaw.len() * 2);
    for &code in mulaw {
        pcm.extend_from_slice(&DECODE[usize::from(code)]);
    }
}

/// The mu-law codes of little-endian PCM16. An odd last byte is ignored.
pub fn encode_all(pcm: &[u8]) -> Bytes {
    let table = &**ENCODE;
    pcm.chunks_exact(2).map(|sample| table[usize::from(u16::from_le_bytes([sample[0], sample[1]]))]).collect()
}

const fn decode_table() -> [[u8; 2]; 256] {
    let mut table = [[0; 2]; 256];
    let mut code = 0;
    while code < 256 {
        let bits = !(code as u8);
        let (exponent, mantissa) = ((bits >> 4) & 7, (bits & 15) as i32);
        let magnitude = (((mantissa << 3) + BIAS) << exponent) - BIAS;
        let sample = if bits & 0x80 == 0 { magnitude } else { -magnitude };
        table[code] = (sample as i16).to_le_bytes();
        code += 1;
    }
    table
}

fn encode(sample: i16) -> u8 {
    let sample = i32::from(sample);
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.abs().min(CLIP) + BIAS;
    let exponent = (magnitude.ilog2() - 7) as u8;
    let mantissa = ((magnitude >> (exponent + 3)) & 15) as u8;
    !(sign | (exponent << 4) | mantissa)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pcm(code: u8) -> i16 {
        let mut bytes = Vec::new();
        decode_into(&[code], &mut bytes);
        i16::from_le_bytes([bytes[0], bytes[1]])
    }

    #[test]
    fn every_code_survives_the_round_trip() {
        for code in 0..=u8::MAX {
            let back = encode_all(&pcm(code).to_le_bytes())[0];
            // 0x7f is minus zero; it comes back as plus zero.
            assert_eq!(back, if code == 0x7f { 0xff } else { code });
        }
    }

    #[test]
    fn known_values_of_the_standard_hold() {
        assert_eq!([pcm(0xff), pcm(0x00), pcm(0x80), pcm(0xfe)], [0, -32_124, 32_124, 8]);
        assert_eq!(encode_all(&[i16::MIN.to_le_bytes(), i16::MAX.to_le_bytes()].concat())[..], [0x00, 0x80]);
    }

    #[test]
    fn an_odd_last_byte_is_ignored() {
        assert_eq!(encode_all(&[0, 0, 7]).len(), 1);
    }
}
