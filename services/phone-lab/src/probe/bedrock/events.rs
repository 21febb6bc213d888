//! Input events of a session that is right, for probes to spoil.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::plan::Move;

/// Samples a second, each of two bytes.
const RATE: u64 = 8000;
/// More than the 68 ms of audio without which interactive text is not answered.
const SOME_SILENCE: Duration = Duration::from_millis(200);

/// Session, prompt and system prompt.
pub(super) fn opening() -> Vec<Value> {
    let mut events = vec![session_start(), prompt_start()];
    events.extend(text("S", "SYSTEM", false, "You are brief. When asked to cancel, call the tool cancel at once."));
    events
}

/// The opening, and an audio container that has begun.
pub(super) fn with_audio() -> Vec<Move> {
    let mut moves: Vec<_> = opening().into_iter().map(Move::Send).collect();
    moves.extend([Move::Send(audio_start("A")), Move::Silence(SOME_SILENCE)]);
    moves
}

/// The opening with a change, then audio and a question: whatever is wrong, the model would speak if it were accepted.
pub(super) fn asked_after(opening: Vec<Value>) -> Vec<Move> {
    let mut moves: Vec<_> = opening.into_iter().map(Move::Send).collect();
    moves.extend([Move::Send(audio_start("A")), Move::Silence(SOME_SILENCE)]);
    moves.extend(question("Say hello."));
    moves
}

/// Something wrong once audio flows, then a question.
pub(super) fn asked_in_session(moves: Vec<Move>) -> Vec<Move> {
    let mut all = with_audio();
    all.extend(moves);
    all.extend(question("Say hello."));
    all
}

/// Interactive text.
pub(super) fn question(words: &str) -> Vec<Move> {
    text("Q", "USER", true, words).into_iter().map(Move::Send).collect()
}

/// A session in which the model is asked to use its tool, up to its asking for it.
pub(super) fn until_tool_use() -> Vec<Move> {
    let mut moves = with_audio();
    moves.extend(question("Cancel it."));
    moves.push(Move::UntilToolUse);
    moves
}

/// How a session ends by the book, short of the end of the stream.
pub(super) fn goodbye() -> Vec<Move> {
    [content_end("A"), json!({"promptEnd": {"promptName": "P"}}), json!({"sessionEnd": {}})].map(Move::Send).into()
}

pub(super) fn session_start() -> Value {
    json!({"sessionStart": {"inferenceConfiguration": {"maxTokens": 1024, "topP": 0.9, "temperature": 0.7},
        "turnDetectionConfiguration": {"endpointingSensitivity": "HIGH"}}})
}

pub(super) fn prompt_start() -> Value {
    json!({"promptStart": {"promptName": "P", "textOutputConfiguration": {"mediaType": "text/plain"},
        "audioOutputConfiguration": audio_format(Some("matthew")),
        "toolUseOutputConfiguration": {"mediaType": "application/json"},
        "toolConfiguration": {"tools": [tool("cancel")]}}})
}

pub(super) fn tool(name: &str) -> Value {
    let schema = json!({"type": "object", "properties": {}}).to_string();
    json!({"toolSpec": {"name": name, "description": "cancels it", "inputSchema": {"json": schema}}})
}

/// A whole block of text.
pub(super) fn text(name: &str, role: &str, interactive: bool, words: &str) -> [Value; 3] {
    [
        text_start(name, role, interactive),
        json!({"textInput": {"promptName": "P", "contentName": name, "content": words}}),
        content_end(name),
    ]
}

pub(super) fn text_start(name: &str, role: &str, interactive: bool) -> Value {
    json!({"contentStart": {"promptName": "P", "contentName": name, "type": "TEXT", "interactive": interactive,
        "role": role, "textInputConfiguration": {"mediaType": "text/plain"}}})
}

pub(super) fn audio_start(name: &str) -> Value {
    json!({"contentStart": {"promptName": "P", "contentName": name, "type": "AUDIO", "interactive": true,
        "role": "USER", "audioInputConfiguration": audio_format(None)}})
}

pub(super) fn audio_input(name: &str, content: &str) -> Value {
    json!({"audioInput": {"promptName": "P", "contentName": name, "content": content}})
}

pub(super) fn silence(length: Duration) -> Value {
    let bytes = length.as_millis() as usize * (RATE / 1000) as usize * 2;
    audio_input("A", &STANDARD.encode(vec![0; bytes]))
}

pub(super) fn tool_result(name: &str, tool_use_id: &str, content: &Value) -> [Value; 3] {
    let start = json!({"contentStart": {"promptName": "P", "contentName": name, "interactive": false, "type": "TOOL",
        "role": "TOOL", "toolResultInputConfiguration": {"toolUseId": tool_use_id, "type": "TEXT",
            "textInputConfiguration": {"mediaType": "text/plain"}}}});
    let result = json!({"toolResult": {"promptName": "P", "contentName": name, "content": content}});
    [start, result, content_end(name)]
}

pub(super) fn content_end(name: &str) -> Value {
    json!({"contentEnd": {"promptName": "P", "contentName": name}})
}

/// Sets what a JSON pointer points at, which is there or is a new key of an object that is.
pub(super) fn with(mut event: Value, pointer: &str, value: Value) -> Value {
    if let Some((parent, key)) = pointer.rsplit_once('/')
        && let Some(object) = event.pointer_mut(parent).and_then(Value::as_object_mut)
    {
        object.insert(key.to_owned(), value);
    }
    event
}

/// Takes away what a JSON pointer points at.
pub(super) fn without(mut event: Value, pointer: &str) -> Value {
    if let Some((parent, key)) = pointer.rsplit_once('/')
        && let Some(object) = event.pointer_mut(parent).and_then(Value::as_object_mut)
    {
        object.remove(key);
    }
    event
}

fn audio_format(voice: Option<&str>) -> Value {
    let format = json!({"mediaType": "audio/lpcm", "sampleRateHertz": RATE, "sampleSizeBits": 16, "channelCount": 1,
        "encoding": "base64", "audioType": "SPEECH"});
    match voice {
        Some(voice) => with(format, "/voiceId", voice.into()),
        None => format,
    }
}
