//! Output events, model to client, as typed values.
//!
//! Shapes: AWS "Handling output events with the bidirectional API" (Nova 2 Sonic user guide). Unknown fields are
//! skipped; an unknown event becomes [`ServerEvent::Unknown`], so that a newer model does not break a call.

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Names one request of the model to use a tool; the result must carry the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ToolUseId(String);

impl ToolUseId {
    /// As on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ToolUseId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

/// Who is speaking in a content block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The caller.
    User,
    /// The agent.
    Assistant,
    /// A tool request, or a role this version does not know.
    Other,
}

/// How final the text of a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerationStage {
    /// What the agent is about to say.
    Speculative,
    /// What was said.
    Final,
}

/// Why a content block ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// More of this turn follows.
    PartialTurn,
    /// The turn is complete. Only on audio does it mean what it says.
    EndTurn,
    /// The caller interrupted.
    Interrupted,
    /// A tool is wanted.
    ToolUse,
    /// A reason this version does not know, or none.
    Other,
}

/// Tokens used so far by one model session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Of what the model heard.
    pub input_speech_tokens: u64,
    /// Of what the model read.
    pub input_text_tokens: u64,
    /// Of what the model spoke.
    pub output_speech_tokens: u64,
    /// Of what the model wrote.
    pub output_text_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_speech_tokens += other.input_speech_tokens;
        self.input_text_tokens += other.input_text_tokens;
        self.output_speech_tokens += other.output_speech_tokens;
        self.output_text_tokens += other.output_text_tokens;
    }
}

/// One output event.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerEvent {
    /// The model is awake: once a session.
    CompletionStart,
    /// A text block begins.
    TextStart {
        /// Whose words.
        role: Role,
        /// Whether they are planned or spoken.
        stage: GenerationStage,
    },
    /// An audio block begins.
    AudioStart,
    /// Words of the open text block.
    Text(String),
    /// Audio of the open block: little-endian PCM16, 8 kHz, of any length, even an odd one.
    Audio(Bytes),
    /// The model wants a tool used.
    ToolUse {
        /// Which request.
        id: ToolUseId,
        /// Which tool.
        name: String,
        /// Its input: a JSON object, or [`Value::Null`] when the model sent something else.
        input: Value,
    },
    /// A text block ended.
    TextEnd(StopReason),
    /// An audio block ended.
    AudioEnd(StopReason),
    /// Totals since the session began.
    Usage(Usage),
    /// The session is complete: only after the client's `promptEnd`.
    CompletionEnd,
    /// A tool block begins or ends; all that matters is in [`ServerEvent::ToolUse`].
    ToolFrame,
    /// An event of a kind that this version does not know, or that it cannot read.
    Unknown,
}

/// The bytes were no output event.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEvent {
    /// Not JSON, or not of the documented shape.
    #[error("the model sent an event of another shape")]
    Shape(#[from] serde_json::Error),
    /// The audio was not base64.
    #[error("the model sent audio that is not base64")]
    Audio(#[from] base64::DecodeError),
}

impl ServerEvent {
    /// Reads one event from its JSON text.
    ///
    /// # Errors
    /// If a documented event lacks a field it cannot do without.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidEvent> {
        let Envelope { event } = serde_json::from_slice(json)?;
        // First, because it is the one that comes by the dozen.
        if let Some(audio) = event.audio_output {
            return Ok(Self::Audio(STANDARD.decode(audio.content.as_bytes())?.into()));
        }
        Ok(event.into())
    }
}

impl From<Event<'_>> for ServerEvent {
    fn from(event: Event<'_>) -> Self {
        if let Some(text) = event.text_output {
            Self::Text(text.content.into_owned())
        } else if let Some(start) = event.content_start {
            start.into()
        } else if let Some(end) = event.content_end {
            end.into()
        } else if let Some(tool) = event.tool_use {
            Self::ToolUse { id: ToolUseId(tool.tool_use_id), name: tool.tool_name, input: object(tool.content) }
        } else if let Some(usage) = event.usage_event {
            Self::Usage(usage.details.total.into())
        } else if event.completion_start.is_some() {
            Self::CompletionStart
        } else if event.completion_end.is_some() {
            Self::CompletionEnd
        } else {
            Self::Unknown
        }
    }
}

/// Tool input is JSON in a string, sometimes encoded twice (livekit/agents PR 5411); an object is taken as it is.
fn object(content: Value) -> Value {
    const MOST_ENCODINGS: usize = 3;
    let mut content = content;
    for _ in 0..MOST_ENCODINGS {
        if let Value::String(inner) = content {
            content = serde_json::from_str(&inner).unwrap_or(Value::Null);
        }
    }
    if content.is_object() { content } else { Value::Null }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    event: Event<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    audio_output: Option<Content<'a>>,
    #[serde(borrow)]
    text_output: Option<Content<'a>>,
    #[serde(borrow)]
    content_start: Option<ContentStart<'a>>,
    #[serde(borrow)]
    content_end: Option<ContentEnd<'a>>,
    tool_use: Option<ToolUse>,
    usage_event: Option<UsageEvent>,
    completion_start: Option<Present>,
    completion_end: Option<Present>,
}

#[derive(Deserialize)]
struct Present {}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    content: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContentStart<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    role: Option<Cow<'a, str>>,
    #[serde(default)]
    additional_model_fields: Value,
}

impl From<ContentStart<'_>> for ServerEvent {
    fn from(start: ContentStart<'_>) -> Self {
        let role = match start.role.as_deref() {
            Some("USER") => Role::User,
            Some("ASSISTANT") => Role::Assistant,
            Some(_) | None => Role::Other,
        };
        match &*start.kind {
            "AUDIO" => Self::AudioStart,
            "TEXT" => Self::TextStart { role, stage: stage(start.additional_model_fields) },
            "TOOL" => Self::ToolFrame,
            _ => Self::Unknown,
        }
    }
}

/// The field is JSON in a string; without it the text counts as final, as on models that do not speculate.
fn stage(fields: Value) -> GenerationStage {
    match object(fields)["generationStage"].as_str() {
        Some("SPECULATIVE") => GenerationStage::Speculative,
        Some(_) | None => GenerationStage::Final,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContentEnd<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    stop_reason: Option<Cow<'a, str>>,
}

impl From<ContentEnd<'_>> for ServerEvent {
    fn from(end: ContentEnd<'_>) -> Self {
        let reason = match end.stop_reason.as_deref() {
            Some("PARTIAL_TURN") => StopReason::PartialTurn,
            Some("END_TURN") => StopReason::EndTurn,
            Some("INTERRUPTED") => StopReason::Interrupted,
            Some("TOOL_USE") => StopReason::ToolUse,
            Some(_) | None => StopReason::Other,
        };
        match &*end.kind {
            "AUDIO" => Self::AudioEnd(reason),
            "TEXT" => Self::TextEnd(reason),
            "TOOL" => Self::ToolFrame,
            _ => Self::Unknown,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse {
    tool_name: String,
    tool_use_id: String,
    #[serde(default)]
    content: Value,
}

#[derive(Deserialize)]
struct UsageEvent {
    details: UsageDetails,
}

#[derive(Deserialize)]
struct UsageDetails {
    total: TokenTotals,
}

#[derive(Deserialize)]
struct TokenTotals {
    input: TokenKinds,
    output: TokenKinds,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct TokenKinds {
    speech_tokens: u64,
    text_tokens: u64,
}

impl From<TokenTotals> for Usage {
    fn from(TokenTotals { input, output }: TokenTotals) -> Self {
        Self {
            input_speech_tokens: input.speech_tokens,
            input_text_tokens: input.text_tokens,
            output_speech_tokens: output.speech_tokens,
            output_text_tokens: output.text_tokens,
        }
    }
}

impl fmt::Display for ToolUseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(event: Value) -> ServerEvent {
        ServerEvent::parse(json!({ "event": event }).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_sentence_about_to_be_spoken_is_told_from_one_that_was() {
        let start = |fields: Value| {
            parse(
                json!({"contentStart": {"contentId": "K", "type": "TEXT", "role": "ASSISTANT", "additionalModelFields": fields}}),
            )
        };
        let text = |stage| ServerEvent::TextStart { role: Role::Assistant, stage };
        assert_eq!(start(json!(r#"{"generationStage":"SPECULATIVE"}"#)), text(GenerationStage::Speculative));
        assert_eq!(start(json!(r#"{"generationStage":"FINAL"}"#)), text(GenerationStage::Final));
        assert_eq!(start(json!({"generationStage": "SPECULATIVE"})), text(GenerationStage::Speculative));
        assert_eq!(start(json!("not json")), text(GenerationStage::Final));
        assert_eq!(start(Value::Null), text(GenerationStage::Final));
    }

    #[test]
    fn a_tool_request_whose_input_cannot_be_read_is_still_a_request_to_be_answered() {
        for content in [json!("not json"), json!(7), json!([1]), Value::Null] {
            let event = parse(json!({"toolUse": {"toolName": "find", "toolUseId": "T", "content": content}}));
            assert!(matches!(event, ServerEvent::ToolUse { input: Value::Null, .. }), "{event:?}");
        }
    }

    #[test]
    fn audio_comes_as_raw_samples() {
        assert_eq!(
            parse(json!({"audioOutput": {"content": "AQID"}})),
            ServerEvent::Audio(Bytes::from_static(&[1, 2, 3]))
        );
        let bad = json!({"event": {"audioOutput": {"content": "***"}}}).to_string();
        assert!(matches!(ServerEvent::parse(bad.as_bytes()), Err(InvalidEvent::Audio(_))));
    }

    #[test]
    fn tool_input_is_read_even_when_encoded_twice() {
        for content in [json!(r#"{"id":"42"}"#), json!(r#""{\"id\":\"42\"}""#), json!({"id": "42"})] {
            let event = parse(json!({"toolUse": {"toolName": "find", "toolUseId": "T", "content": content}}));
            let ServerEvent::ToolUse { id, name, input } = event else { panic!("{event:?}") };
            assert_eq!((id.as_str(), name.as_str(), input), ("T", "find", json!({"id": "42"})));
        }
    }

    #[test]
    fn unknown_events_and_fields_are_skipped() {
        assert_eq!(parse(json!({"userSpeechEnd": {"at": 7}})), ServerEvent::Unknown);
        assert_eq!(parse(json!({"completionStart": {"novel": true}})), ServerEvent::CompletionStart);
        assert_eq!(parse(json!({"contentStart": {"type": "HOLOGRAM"}})), ServerEvent::Unknown);
    }

    #[test]
    fn a_documented_event_without_its_content_is_an_error() {
        for broken in [r#"{"event":{"textOutput":{}}}"#, r#"{"event":3}"#, "", "null"] {
            assert!(ServerEvent::parse(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn usage_counts_totals() {
        let totals = json!({"input": {"speechTokens": 288, "textTokens": 3443}, "output": {"speechTokens": 694, "textTokens": 203}});
        let expected = Usage {
            input_speech_tokens: 288,
            input_text_tokens: 3443,
            output_speech_tokens: 694,
            output_text_tokens: 203,
        };
        assert_eq!(
            parse(json!({"usageEvent": {"details": {"delta": {}, "total": totals}}})),
            ServerEvent::Usage(expected)
        );
    }
}
