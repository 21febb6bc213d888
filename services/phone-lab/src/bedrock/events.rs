//! The client's events as they stand on the wire, and the checks that need no memory.
//!
//! Field names, values and limits: AWS, "Handling input events with the bidirectional API" and "Language support"
//! (Nova 2 user guide). Unknown fields are skipped except in `sessionStart`, where the service refuses them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::{rules::Violation, settings::HistoryLimits};

/// Which Nova Sonic answers: they differ in voices, limits and what they accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    V1,
    V2,
}

impl Generation {
    /// `amazon.nova-sonic-v1:0` and `amazon.nova-2-sonic-v1:0`; nothing else is a model here.
    pub(super) fn of_model(id: &str) -> Option<Self> {
        match id {
            "amazon.nova-sonic-v1:0" => Some(Self::V1),
            "amazon.nova-2-sonic-v1:0" => Some(Self::V2),
            _ => None,
        }
    }

    fn has_voice(self, id: &str) -> bool {
        const BOTH: [&str; 10] =
            ["tiffany", "matthew", "amy", "ambre", "florian", "beatrice", "lorenzo", "lennart", "lupe", "carlos"];
        const V2: [&str; 6] = ["olivia", "kiara", "arjun", "tina", "carolina", "leo"];
        BOTH.contains(&id) || if self == Self::V2 { V2.contains(&id) } else { id == "greta" }
    }

    /// How much history the documentation allows.
    pub(super) fn history_limits(self) -> HistoryLimits {
        match self {
            Self::V1 => HistoryLimits { message_bytes: 1024, total_bytes: 40 * 1024, messages: 40 },
            Self::V2 => HistoryLimits { message_bytes: 50 * 1024, total_bytes: 200 * 1024, messages: usize::MAX },
        }
    }
}

/// Samples per second that the service takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SampleRate {
    Hz8000,
    Hz16000,
    Hz24000,
}

impl SampleRate {
    fn of_hertz(hertz: u32) -> Option<Self> {
        match hertz {
            8000 => Some(Self::Hz8000),
            16000 => Some(Self::Hz16000),
            24000 => Some(Self::Hz24000),
            _ => None,
        }
    }

    /// How many samples stand for one at 8 kHz.
    pub(super) fn factor(self) -> usize {
        match self {
            Self::Hz8000 => 1,
            Self::Hz16000 => 2,
            Self::Hz24000 => 3,
        }
    }

    /// Samples per second.
    pub(super) fn hertz(self) -> u32 {
        8000 * self.factor() as u32
    }
}

/// How long a pause ends the caller's turn.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Sensitivity {
    High,
    #[default]
    Medium,
    Low,
}

/// Who speaks in a content block.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Role {
    System,
    SystemSpeech,
    User,
    Assistant,
    Tool,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    event: Event<'a>,
}

/// One event of the client.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Event<'a> {
    SessionStart(SessionStart),
    PromptStart(PromptStart),
    ContentStart(ContentStart),
    #[serde(borrow)]
    TextInput(Data<'a>),
    #[serde(borrow)]
    AudioInput(Data<'a>),
    ToolResult(ToolResult),
    ContentEnd(Named),
    PromptEnd(PromptEnd),
    SessionEnd(SessionEnd),
}

impl<'a> Event<'a> {
    /// Reads an event. What is no JSON and what is no event are refused in different words.
    pub(super) fn parse(json: &'a [u8]) -> Result<Self, Violation> {
        serde_json::from_slice(json).map(|Envelope { event }| event).map_err(|_| {
            let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(json).is_ok();
            if is_json { Violation::generic() } else { Violation::unparsable() }
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SessionStart {
    inference_configuration: Option<Inference>,
    turn_detection_configuration: Option<TurnDetection>,
    /// Where a client put it for v1, which does not mind.
    endpointing_sensitivity: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Inference {
    max_tokens: Option<u32>,
    top_p: Option<f64>,
    temperature: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TurnDetection {
    endpointing_sensitivity: Option<Sensitivity>,
}

impl SessionStart {
    /// What to listen with; `v1_detects` if v1 is to take what only v2 documents.
    pub(super) fn sensitivity(&self, model: Generation, v1_detects: bool) -> Result<Sensitivity, Violation> {
        if let Some(inference) = &self.inference_configuration {
            let share = |value: Option<f64>| value.is_none_or(|value| (0.0..=1.0).contains(&value));
            require(inference.max_tokens != Some(0) && share(inference.top_p) && share(inference.temperature))?;
        }
        require(self.endpointing_sensitivity.is_none() || model == Generation::V1)?;
        let Some(detection) = &self.turn_detection_configuration else { return Ok(Sensitivity::default()) };
        require(model == Generation::V2 || v1_detects)?;
        Ok(detection.endpointing_sensitivity.unwrap_or_default())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromptStart {
    pub(super) prompt_name: String,
    text_output_configuration: MediaType,
    audio_output_configuration: AudioOutput,
    tool_use_output_configuration: Option<MediaType>,
    tool_configuration: Option<ToolConfiguration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MediaType {
    media_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AudioFormat {
    media_type: String,
    sample_rate_hertz: u32,
    sample_size_bits: u32,
    channel_count: u32,
    encoding: String,
    audio_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AudioOutput {
    #[serde(flatten)]
    format: AudioFormat,
    voice_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfiguration {
    #[serde(default)]
    tools: Vec<Tool>,
    tool_choice: Option<ToolChoice>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tool {
    tool_spec: ToolSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolSpec {
    name: String,
    input_schema: InputSchema,
}

#[derive(Deserialize)]
struct InputSchema {
    #[serde(default)]
    json: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum ToolChoice {
    Auto {},
    Any {},
    Tool { name: String },
}

impl AudioFormat {
    fn rate(&self) -> Result<SampleRate, Violation> {
        let fixed = self.media_type == "audio/lpcm" && self.sample_size_bits == 16 && self.channel_count == 1;
        require(fixed && self.encoding == "base64" && self.audio_type == "SPEECH")?;
        SampleRate::of_hertz(self.sample_rate_hertz).ok_or_else(Violation::generic)
    }
}

impl PromptStart {
    pub(super) fn output_rate(&self, model: Generation) -> Result<SampleRate, Violation> {
        require(!self.prompt_name.is_empty() && self.text_output_configuration.media_type == "text/plain")?;
        require(
            self.tool_use_output_configuration.as_ref().is_none_or(|media| media.media_type == "application/json"),
        )?;
        let voice = &self.audio_output_configuration.voice_id;
        if !model.has_voice(voice) {
            return Err(Violation::new(format!("Received invalid id: '{voice}'")));
        }
        self.audio_output_configuration.format.rate()
    }

    /// The names of the tools on offer.
    pub(super) fn tools(&self) -> Result<Vec<String>, Violation> {
        let Some(configuration) = &self.tool_configuration else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for Tool { tool_spec } in &configuration.tools {
            // A nested object, as one page of the documentation shows it, is refused in the field.
            let Value::String(schema) = &tool_spec.input_schema.json else { return Err(Violation::unparsable()) };
            require(serde_json::from_str(schema).is_ok_and(|schema: Value| schema.is_object()))?;
            require(!tool_spec.name.is_empty() && !names.contains(&tool_spec.name))?;
            names.push(tool_spec.name.clone());
        }
        match &configuration.tool_choice {
            Some(ToolChoice::Tool { name }) => require(names.contains(name))?,
            Some(ToolChoice::Auto {} | ToolChoice::Any {}) | None => {}
        }
        Ok(names)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContentStart {
    pub(super) prompt_name: String,
    pub(super) content_name: String,
    #[serde(rename = "type")]
    kind: ContentType,
    pub(super) role: Option<Role>,
    #[serde(default)]
    pub(super) interactive: bool,
    text_input_configuration: Option<MediaType>,
    audio_input_configuration: Option<AudioFormat>,
    tool_result_input_configuration: Option<ToolResultInput>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum ContentType {
    Text,
    Audio,
    Tool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolResultInput {
    tool_use_id: String,
    #[serde(rename = "type")]
    kind: ContentType,
    text_input_configuration: Option<MediaType>,
}

/// What a content block holds.
pub(super) enum Block {
    Text,
    Audio(SampleRate),
    Tool(String),
}

impl ContentStart {
    /// The block's kind, if its configuration is there and fits.
    pub(super) fn block(&self) -> Result<Block, Violation> {
        let plain = |media: &Option<MediaType>| media.as_ref().is_some_and(|media| media.media_type == "text/plain");
        match self.kind {
            ContentType::Text => {
                require(plain(&self.text_input_configuration))?;
                Ok(Block::Text)
            }
            ContentType::Audio => {
                require(matches!(self.role, Some(Role::User) | None))?;
                self.audio_input_configuration.as_ref().ok_or_else(Violation::generic)?.rate().map(Block::Audio)
            }
            ContentType::Tool => {
                require(matches!(self.role, Some(Role::Tool) | None))?;
                let result = self.tool_result_input_configuration.as_ref().ok_or_else(Violation::generic)?;
                require(matches!(result.kind, ContentType::Text) && plain(&result.text_input_configuration))?;
                Ok(Block::Tool(result.tool_use_id.clone()))
            }
        }
    }
}

/// `textInput` and `audioInput`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Data<'a> {
    #[serde(borrow)]
    pub(super) prompt_name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) content_name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) content: Cow<'a, str>,
    /// Where old samples put what belongs into `contentStart`.
    pub(super) role: Option<Role>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolResult {
    pub(super) prompt_name: String,
    pub(super) content_name: String,
    #[serde(default)]
    pub(super) content: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    pub(super) prompt_name: String,
    pub(super) content_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromptEnd {
    pub(super) prompt_name: String,
}

#[derive(Deserialize)]
pub(super) struct SessionEnd {}

/// The generic refusal unless the condition holds.
pub(super) fn require(condition: bool) -> Result<(), Violation> {
    if condition { Ok(()) } else { Err(Violation::generic()) }
}
