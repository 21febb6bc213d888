//! Input events, client to model: built as the JSON text that goes on the wire.
//!
//! Shapes: AWS "Handling input events with the bidirectional API" (Nova 2 Sonic user guide).

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{Setup, ToolUseId};

/// A single text input of about 32 KB was refused in the wild; pieces of 4,000 bytes pass.
const TEXT_PIECE_BYTES: usize = 4_000;
/// The service takes no larger event (Bedrock's service model, `PartBody`).
const MOST_EVENT_BYTES: usize = 1_000_000;

/// One input event as the JSON text of the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientEvent(Bytes);

impl ClientEvent {
    /// The JSON text.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    fn new(name: &str, body: Value) -> Self {
        Self(json!({ "event": { name: body } }).to_string().into())
    }
}

/// A tool as the model is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    /// Unique within a session.
    pub name: &'static str,
    /// When to use it.
    pub description: &'static str,
    /// JSON schema of the input, an object.
    pub input_schema: Value,
}

pub(super) fn session_start(setup: &Setup) -> ClientEvent {
    ClientEvent::new(
        "sessionStart",
        json!({
            "inferenceConfiguration": { "maxTokens": setup.max_tokens, "topP": 0.9, "temperature": 0.7 },
            // Nested: the flat form ends a Nova 2 session (livekit/agents issue 6200).
            "turnDetectionConfiguration": { "endpointingSensitivity": setup.sensitivity.as_str() },
        }),
    )
}

pub(super) fn prompt_start(prompt: &str, setup: &Setup) -> ClientEvent {
    let tool = |tool: &ToolSpec| {
        // The schema is a JSON text inside JSON: an object there fails with "Unable to parse input chunk".
        json!({ "toolSpec": {
            "name": tool.name,
            "description": tool.description,
            "inputSchema": { "json": tool.input_schema.to_string() },
        } })
    };
    let mut body = json!({
        "promptName": prompt,
        "textOutputConfiguration": { "mediaType": "text/plain" },
        "audioOutputConfiguration": {
            "mediaType": "audio/lpcm", "sampleRateHertz": 8000, "sampleSizeBits": 16, "channelCount": 1,
            "voiceId": setup.voice.as_str(), "encoding": "base64", "audioType": "SPEECH",
        },
    });
    if !setup.tools.is_empty() {
        body["toolUseOutputConfiguration"] = json!({ "mediaType": "application/json" });
        body["toolConfiguration"] = json!({ "tools": setup.tools.iter().map(tool).collect::<Vec<_>>() });
    }
    ClientEvent::new("promptStart", body)
}

/// A whole text block: nothing may come between its parts.
pub(super) fn text_block(prompt: &str, content: &str, role: &str, interactive: bool, text: &str) -> Vec<ClientEvent> {
    let start = json!({
        "promptName": prompt, "contentName": content, "type": "TEXT", "interactive": interactive, "role": role,
        "textInputConfiguration": { "mediaType": "text/plain" },
    });
    let piece =
        |text| ClientEvent::new("textInput", json!({ "promptName": prompt, "contentName": content, "content": text }));
    let mut events = vec![ClientEvent::new("contentStart", start)];
    events.extend(pieces(text).map(piece));
    events.push(content_end(prompt, content));
    events
}

/// The text in pieces of at most [`TEXT_PIECE_BYTES`], cut between characters; one empty piece for an empty text,
/// because a block without data is refused.
fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    let mut first = true;
    std::iter::from_fn(move || {
        if text.is_empty() && !std::mem::take(&mut first) {
            return None;
        }
        first = false;
        let (piece, rest) = text.split_at(text.floor_char_boundary(TEXT_PIECE_BYTES));
        text = rest;
        Some(piece)
    })
}

pub(super) fn audio_start(prompt: &str, content: &str) -> ClientEvent {
    ClientEvent::new(
        "contentStart",
        json!({
            // Without a role the model never answers and gives no error (generative-ai-cdk-constructs-samples issue 240).
            "promptName": prompt, "contentName": content, "type": "AUDIO", "interactive": true, "role": "USER",
            "audioInputConfiguration": {
                "mediaType": "audio/lpcm", "sampleRateHertz": 8000, "sampleSizeBits": 16, "channelCount": 1,
                "audioType": "SPEECH", "encoding": "base64",
            },
        }),
    )
}

/// A whole tool result block. `result` is sent as a JSON object in a string, the only form the model takes; one that is too
/// large for an event is told to be so.
pub(super) fn tool_result(prompt: &str, content: &str, id: &ToolUseId, result: &Value) -> [ClientEvent; 3] {
    let object = if result.is_object() { result.clone() } else { json!({ "result": result }) };
    let told = |object: &Value| {
        let body = json!({ "promptName": prompt, "contentName": content, "content": object.to_string() });
        ClientEvent::new("toolResult", body)
    };
    let fitting = Some(told(&object)).filter(|event| event.0.len() <= MOST_EVENT_BYTES);
    [
        ClientEvent::new(
            "contentStart",
            json!({
                "promptName": prompt, "contentName": content, "interactive": false, "type": "TOOL", "role": "TOOL",
                "toolResultInputConfiguration": {
                    "toolUseId": id.as_str(), "type": "TEXT", "textInputConfiguration": { "mediaType": "text/plain" },
                },
            }),
        ),
        fitting.unwrap_or_else(|| told(&json!({ "error": "the result is too long" }))),
        content_end(prompt, content),
    ]
}

pub(super) fn content_end(prompt: &str, content: &str) -> ClientEvent {
    ClientEvent::new("contentEnd", json!({ "promptName": prompt, "contentName": content }))
}

pub(super) fn prompt_end(prompt: &str) -> ClientEvent {
    ClientEvent::new("promptEnd", json!({ "promptName": prompt }))
}

pub(super) fn session_end() -> ClientEvent {
    ClientEvent::new("sessionEnd", json!({}))
}

/// Builds `audioInput` events: fifty a second for each call, so all but the audio is made once.
#[derive(Debug)]
pub(super) struct AudioInput {
    prefix: String,
}

impl AudioInput {
    const SUFFIX: &str = "\"}}}";

    /// Names are UUIDs, which need no escaping in JSON.
    pub(super) fn new(prompt: &str, content: &str) -> Self {
        let head = r#"{"event":{"audioInput":{"promptName":""#;
        Self { prefix: format!(r#"{head}{prompt}","contentName":"{content}","content":""#) }
    }

    /// `pcm` is little-endian PCM16.
    pub(super) fn event(&self, pcm: &[u8]) -> ClientEvent {
        let mut json = String::with_capacity(self.prefix.len() + pcm.len().div_ceil(3) * 4 + Self::SUFFIX.len());
        json.push_str(&self.prefix);
        STANDARD.encode_string(pcm, &mut json);
        json.push_str(Self::SUFFIX);
        ClientEvent(json.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_way_of_building_audio_input_gives_the_same_json_as_the_plain_one() {
        let pcm: Vec<u8> = (0..=255).chain(0..64).collect();
        let fast: Value = serde_json::from_slice(&AudioInput::new("p", "c").event(&pcm).into_bytes()).unwrap();
        let body = json!({ "promptName": "p", "contentName": "c", "content": STANDARD.encode(&pcm) });
        assert_eq!(fast, json!({ "event": { "audioInput": body } }));
    }

    #[test]
    fn a_tool_result_is_always_a_json_object_in_a_string() {
        for (result, told) in [(json!({"a": 1}), r#"{"a":1}"#), (json!("x"), r#"{"result":"x"}"#)] {
            let [_, data, _] = tool_result("p", "c", &ToolUseId::from("t"), &result);
            let event: Value = serde_json::from_slice(&data.into_bytes()).unwrap();
            assert_eq!(event["event"]["toolResult"]["content"], told);
        }
    }
}
