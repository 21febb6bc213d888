//! What a call leaves behind: a stereo WAV and a JSON transcript.

use std::{fs, path::Path, time::Duration};

use anyhow::Context;
use serde::Serialize;

use crate::{
    bedrock::SessionReport,
    speech,
    twilio::{CallReport, Happening, Utterance},
};

/// A call as a conversation, with everything it was made from.
#[derive(Debug, Serialize)]
pub struct Transcript<'a> {
    /// The scenario's name for the call.
    pub name: &'a str,
    /// What was not as it should be; empty for a good call.
    pub differences: &'a [String],
    /// Who said what, in the order it began.
    pub turns: Vec<Turn<'a>>,
    /// The tools the model asked for.
    pub tools: Vec<ToolUse<'a>>,
    /// How the model was interrupted, sentence by sentence.
    pub interrupted: Vec<&'a str>,
    /// Twilio's side, in full.
    pub call: &'a CallReport,
}

/// Something that was said, as the caller's ear knows it.
#[derive(Debug, Serialize)]
pub struct Turn<'a> {
    /// Seconds since the call was placed.
    pub at: f64,
    /// `caller` or `line` (the agent, Twilio's own voice or a human).
    pub speaker: &'static str,
    /// The words.
    pub text: &'a str,
    /// From the end of the caller's words to the first sound heard in answer, in milliseconds.
    pub latency_ms: Option<u64>,
}

/// A tool that the model asked for.
#[derive(Debug, Serialize)]
pub struct ToolUse<'a> {
    /// Which.
    pub name: &'a str,
    /// With what.
    pub input: &'a serde_json::Value,
    /// What it was told.
    pub result: Option<&'a serde_json::Value>,
}

impl<'a> Transcript<'a> {
    /// Puts a call together from what both sides know.
    pub fn new(name: &'a str, call: &'a CallReport, sessions: &'a [SessionReport], differences: &'a [String]) -> Self {
        let tool = |tool: &'a crate::bedrock::ToolReport| ToolUse {
            name: &tool.name,
            input: &tool.input,
            result: tool.result.as_ref(),
        };
        Self {
            name,
            differences,
            turns: turns(call),
            tools: sessions.iter().flat_map(|session| &session.tools).map(tool).collect(),
            interrupted: sessions
                .iter()
                .flat_map(|session| &session.said)
                .filter(|said| said.interrupted_at_sample.is_some())
                .map(|said| said.text.as_str())
                .collect(),
            call,
        }
    }

    /// Writes `NAME.wav` (left: what the agent heard, right: what the caller heard) and `NAME.json`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path, sessions: &[SessionReport]) -> anyhow::Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let wav = folder.join(format!("{}.wav", self.name));
        speech::write_stereo(&wav, &agents_ear(self.call, sessions), &self.call.heard_pcm)
            .with_context(|| format!("cannot write {}", wav.display()))?;
        let json = folder.join(format!("{}.json", self.name));
        fs::write(&json, serde_json::to_vec_pretty(self)?).with_context(|| format!("cannot write {}", json.display()))
    }
}

fn turns(call: &CallReport) -> Vec<Turn<'_>> {
    let turn = |speaker| move |said: &'_ Utterance| (said.at, speaker, said.lasted);
    let mut order: Vec<_> = call.said.iter().map(turn("caller")).zip(&call.said).collect();
    order.extend(call.heard.iter().map(turn("line")).zip(&call.heard));
    order.sort_by_key(|((at, ..), _)| *at);
    let mut caller_ended: Option<Duration> = None;
    let mut turns = Vec::new();
    for ((at, speaker, lasted), utterance) in order {
        let mut latency_ms = None;
        if speaker == "caller" {
            caller_ended = Some(at + lasted);
        } else if let Some(waited) = caller_ended.and_then(|ended| at.checked_sub(ended)) {
            latency_ms = Some(waited.as_millis() as u64);
            caller_ended = None;
        }
        turns.push(Turn { at: at.as_secs_f64(), speaker, text: &utterance.text, latency_ms });
    }
    turns
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
