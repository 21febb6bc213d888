//! What a call sounded like: a stereo WAV.

use std::path::Path;

use anyhow::Context;

use crate::{
    bedrock::SessionReport,
    speech,
    twilio::{CallReport, Happening},
};

/// Writes what the agent heard to the left channel, and what the caller heard to the right one.
///
/// # Errors
/// If the file cannot be written.
pub fn write(wav: &Path, call: &CallReport, sessions: &[SessionReport]) -> anyhow::Result<()> {
    speech::write_stereo(wav, &agents_ear(call, sessions), &call.heard_pcm)
        .with_context(|| format!("cannot write {}", wav.display()))
}

/// The caller's audio as the model received it, from where the first stream began. What the caller said instead, where
/// the model's process is another and nothing is known of its ear.
fn agents_ear(call: &CallReport, sessions: &[SessionReport]) -> Vec<i16> {
    if sessions.is_empty() {
        return call.said_pcm.clone();
    }
    let started = call.timeline.iter().find(|event| matches!(event.what, Happening::StreamStarted { .. }));
    let silence = started.map_or(0.0, |event| event.at.as_secs_f64() * f64::from(speech::SAMPLE_RATE));
    let mut track = vec![0; silence as usize];
    track.extend(sessions.iter().flat_map(|session| &session.heard_pcm));
    track
}
