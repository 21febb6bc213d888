//! Recorded sound in and out: 8 kHz WAV files.

use std::{io::Cursor, io::Read, path::Path};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

/// Samples a second, everywhere on a phone line.
pub const SAMPLE_RATE: u32 = 8000;

const BUNDLED: [(&str, &[u8]); 3] = [
    ("i_need_to_cancel_my_reservation.wav", include_bytes!("../assets/i_need_to_cancel_my_reservation.wav")),
    ("thank_you_goodbye.wav", include_bytes!("../assets/thank_you_goodbye.wav")),
    ("yes_please.wav", include_bytes!("../assets/yes_please.wav")),
];

/// Why a recording cannot be played or kept.
#[derive(Debug, thiserror::Error)]
pub enum SpeechError {
    /// The file is missing, unreadable or no WAV file.
    #[error("cannot read or write the WAV file")]
    Wav(#[from] hound::Error),
    /// The file is not what a phone line carries.
    #[error("expected 8000 Hz, 1 channel, 16 bit; found {rate} Hz, {channels} channel(s), {bits} bit")]
    Format {
        /// Samples a second.
        rate: u32,
        /// Channels.
        channels: u16,
        /// Bits per sample.
        bits: u16,
    },
}

/// The samples of a recording that comes with the lab, by its file name.
pub fn bundled(name: &str) -> Option<Vec<i16>> {
    let (_, bytes) = BUNDLED.iter().find(|(known, _)| *known == name)?;
    Some(read(WavReader::new(Cursor::new(*bytes)).ok()?).expect("the lab's own recordings are 8 kHz mono"))
}

/// The names that [`bundled`] knows.
pub fn bundled_names() -> impl Iterator<Item = &'static str> {
    BUNDLED.iter().map(|(name, _)| *name)
}

/// The samples of an 8 kHz mono 16-bit WAV file.
pub fn load(path: &Path) -> Result<Vec<i16>, SpeechError> {
    read(WavReader::open(path)?)
}

/// The samples of an 8 kHz mono 16-bit WAV file that somebody sent.
pub fn from_bytes(bytes: impl Read) -> Result<Vec<i16>, SpeechError> {
    read(WavReader::new(bytes)?)
}

/// Writes two tracks as a stereo WAV file: what the agent heard on the left, what the caller heard on the right. The
/// shorter track is filled up with silence.
pub fn write_stereo(path: &Path, left: &[i16], right: &[i16]) -> Result<(), SpeechError> {
    let spec = WavSpec { channels: 2, sample_rate: SAMPLE_RATE, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut writer = WavWriter::create(path, spec)?;
    let length = left.len().max(right.len());
    let mut samples = writer.get_i16_writer(2 * length as u32);
    for at in 0..length {
        samples.write_sample(left.get(at).copied().unwrap_or(0));
        samples.write_sample(right.get(at).copied().unwrap_or(0));
    }
    samples.flush()?;
    Ok(writer.finalize()?)
}

fn read<R: Read>(reader: WavReader<R>) -> Result<Vec<i16>, SpeechError> {
    let spec = reader.spec();
    if (spec.sample_rate, spec.channels, spec.bits_per_sample) != (SAMPLE_RATE, 1, 16) {
        let (rate, channels, bits) = (spec.sample_rate, spec.channels, spec.bits_per_sample);
        return Err(SpeechError::Format { rate, channels, bits });
    }
    Ok(reader.into_samples().collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bundled_recording_is_audible_speech_of_a_phone_line() {
        for name in bundled_names() {
            let pcm = bundled(name).unwrap();
            assert!((4000..30_000).contains(&pcm.len()), "{name} has {} samples", pcm.len());
            assert!(pcm.iter().any(|sample| sample.abs() > 8000), "{name} is too quiet");
        }
        assert!(bundled("nobody.wav").is_none());
    }

    #[test]
    fn a_stereo_file_holds_both_tracks_and_fills_up_the_shorter_one() {
        let directory = std::env::temp_dir().join(format!("phone-lab-speech-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("stereo.wav");
        write_stereo(&path, &[1, 2, 3], &[-1]).unwrap();
        let samples: Vec<i16> = WavReader::open(&path).unwrap().into_samples().map(Result::unwrap).collect();
        assert_eq!(samples, [1, -1, 2, 0, 3, 0]);
        let refused = load(&path).unwrap_err();
        assert!(refused.to_string().ends_with("found 8000 Hz, 2 channel(s), 16 bit"), "{refused}");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
