//! What a caller hears who waits: a soft tune, made here, so that nobody has to have rights in it or a server for it.

/// Samples a second, of one channel of 16 bits: Twilio plays it without converting anything but the law.
const RATE: u32 = 8_000;
/// Samples of a note.
const NOTE: u32 = RATE / 2;
/// Samples over which a note comes and goes, so that it does not click.
const FADE: u32 = RATE / 16;
/// Far below full scale: it is heard next to the ear, for minutes.
const LOUDNESS: f64 = 2_400.0;
/// The notes, in Hz: two chords, broken up and down.
const TUNE: [f64; 16] = [
    261.63, 329.63, 392.0, 523.25, 659.26, 523.25, 392.0, 329.63, 220.0, 261.63, 329.63, 440.0, 523.25, 440.0, 329.63,
    261.63,
];

/// Eight seconds, as a WAV file. It goes well after itself.
pub fn hold_music() -> Vec<u8> {
    let samples = TUNE.into_iter().flat_map(|pitch| (0..NOTE).map(move |at| sample(pitch, at)));
    let sound: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
    let size = u32::try_from(sound.len()).expect("it is eight seconds long");
    let mut file = Vec::with_capacity(44 + sound.len());
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + size).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16u32.to_le_bytes());
    // PCM, one channel.
    file.extend_from_slice(&[1, 0, 1, 0]);
    file.extend_from_slice(&RATE.to_le_bytes());
    file.extend_from_slice(&(2 * RATE).to_le_bytes());
    // Two bytes a sample, of 16 bits.
    file.extend_from_slice(&[2, 0, 16, 0]);
    file.extend_from_slice(b"data");
    file.extend_from_slice(&size.to_le_bytes());
    file.extend_from_slice(&sound);
    file
}

fn sample(pitch: f64, at: u32) -> i16 {
    let fade = f64::from(at.min(NOTE - at).min(FADE)) / f64::from(FADE);
    let phase = std::f64::consts::TAU * pitch * f64::from(at) / f64::from(RATE);
    let tone = phase.sin() + 0.25 * (2.0 * phase).sin();
    // Never near the bounds of the type: the loudness times 1.25.
    (LOUDNESS * fade * tone).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(file: &[u8]) -> Vec<i16> {
        file[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn it_is_a_wav_file_of_eight_seconds_that_says_how_long_it_is() {
        let file = hold_music();
        assert_eq!((&file[..4], &file[8..16], &file[36..40]), (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..]));
        assert_eq!(file[4..8], u32::try_from(file.len() - 8).unwrap().to_le_bytes());
        assert_eq!(file[40..44], u32::try_from(file.len() - 44).unwrap().to_le_bytes());
        assert_eq!(sound(&file).len(), 64_000);
    }

    #[test]
    fn it_is_soft_and_does_not_click() {
        let sound = sound(&hold_music());
        assert!(sound.iter().all(|sample| sample.unsigned_abs() < 3_100));
        assert!(sound.iter().any(|sample| sample.unsigned_abs() > 2_000));
        assert!(sound.windows(2).all(|pair| pair[0].abs_diff(pair[1]) < 2_500));
        assert_eq!(sound[0], 0, "it begins where it ends");
        assert!(sound[63_999].unsigned_abs() < 50);
    }

    #[test]
    fn there_is_no_silence_in_it() {
        assert!(sound(&hold_music()).chunks(800).all(|part| part.iter().any(|sample| sample.unsigned_abs() > 500)));
    }
}
