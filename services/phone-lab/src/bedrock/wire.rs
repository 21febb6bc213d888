//! The JSON of the service's events (AWS, "Handling output events with the bidirectional API").

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use uuid::Uuid;

use super::{events::SampleRate, report::Usage};

/// What a barge-in's FINAL text says, spaces included.
const INTERRUPTED: &str = r#"{ "interrupted" : true }"#;

const ODDLY_INTERRUPTED: &str = r#"{"interrupted":  true}"#;

/// Why a block ended.
#[derive(Clone, Copy)]
pub(super) enum Stop {
    EndTurn,
    PartialTurn,
    Interrupted,
}

impl Stop {
    fn as_str(self) -> &'static str {
        match self {
            Self::EndTurn => "END_TURN",
            Self::PartialTurn => "PARTIAL_TURN",
            Self::Interrupted => "INTERRUPTED",
        }
    }
}

/// Writes the events of one session.
#[derive(Debug)]
pub(super) struct Writer {
    /// The fields that every event carries, as JSON.
    common: String,
    rate: SampleRate,
}

impl Writer {
    pub(super) fn new(session: Uuid, completion: Uuid, prompt: &str, rate: SampleRate) -> Self {
        let prompt = Value::from(prompt);
        let common = format!(r#""sessionId":"{session}","promptName":{prompt},"completionId":"{completion}""#);
        Self { common, rate }
    }

    pub(super) fn completion_start(&self) -> String {
        format!(r#"{{"event":{{"completionStart":{{{}}}}}}}"#, self.common)
    }

    pub(super) fn completion_end(&self) -> String {
        self.event("completionEnd", r#""stopReason":"END_TURN""#)
    }

    /// What the caller said.
    pub(super) fn user_text(&self, id: Uuid, text: &str) -> [String; 3] {
        self.text(id, "USER", "FINAL", text, Stop::PartialTurn)
    }

    /// What the model is about to say.
    pub(super) fn speculative_text(&self, id: Uuid, text: &str) -> [String; 3] {
        self.text(id, "ASSISTANT", "SPECULATIVE", text, Stop::PartialTurn)
    }

    /// What the model did say.
    pub(super) fn final_text(&self, id: Uuid, text: &str, stop: Stop) -> [String; 3] {
        self.text(id, "ASSISTANT", "FINAL", text, stop)
    }

    /// That the model was interrupted; `odd` if in other spaces than usual.
    pub(super) fn interruption(&self, id: Uuid, odd: bool) -> [String; 3] {
        let marker = if odd { ODDLY_INTERRUPTED } else { INTERRUPTED };
        self.text(id, "ASSISTANT", "FINAL", marker, Stop::Interrupted)
    }

    /// An event that no client of Nova 2 knows; Nova 2.5 has been seen to send it.
    pub(super) fn user_speech_end(&self) -> String {
        format!(r#"{{"event":{{"userSpeechEnd":{{{}}}}}}}"#, self.common)
    }

    fn text(&self, id: Uuid, role: &str, stage: &str, text: &str, stop: Stop) -> [String; 3] {
        let text = Value::from(text);
        [
            self.event(
                "contentStart",
                &format!(
                    r#""contentId":"{id}","type":"TEXT","role":"{role}","additionalModelFields":"{{\"generationStage\":\"{stage}\"}}","textOutputConfiguration":{{"mediaType":"text/plain"}}"#
                ),
            ),
            self.event("textOutput", &format!(r#""contentId":"{id}","role":"{role}","content":{text}"#)),
            self.content_end(id, "TEXT", stop.as_str()),
        ]
    }

    pub(super) fn audio_start(&self, id: Uuid) -> String {
        let hertz = self.rate.hertz();
        self.event(
            "contentStart",
            &format!(
                r#""contentId":"{id}","type":"AUDIO","role":"ASSISTANT","audioOutputConfiguration":{{"mediaType":"audio/lpcm","sampleRateHertz":{hertz},"sampleSizeBits":16,"encoding":"base64","channelCount":1}}"#
            ),
        )
    }

    /// Audio, given at 8 kHz.
    pub(super) fn audio(&self, id: Uuid, pcm: &[i16]) -> String {
        let samples = pcm.iter().flat_map(|&sample| std::iter::repeat_n(sample, self.rate.factor()));
        let bytes: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
        self.event("audioOutput", &format!(r#""contentId":"{id}","content":"{}""#, STANDARD.encode(bytes)))
    }

    pub(super) fn audio_end(&self, id: Uuid, stop: Stop) -> String {
        self.content_end(id, "AUDIO", stop.as_str())
    }

    /// The request for a tool; `input` is JSON as it goes into the string.
    pub(super) fn tool_use(&self, id: Uuid, name: &str, tool_use_id: &str, input: &Value) -> [String; 3] {
        let input = Value::from(input.to_string());
        let (name, tool_use_id) = (Value::from(name), Value::from(tool_use_id));
        [
            self.event(
                "contentStart",
                &format!(
                    r#""contentId":"{id}","type":"TOOL","role":"TOOL","toolUseOutputConfiguration":{{"mediaType":"application/json"}}"#
                ),
            ),
            self.event(
                "toolUse",
                &format!(
                    r#""contentId":"{id}","role":"TOOL","toolName":{name},"toolUseId":{tool_use_id},"content":{input}"#
                ),
            ),
            self.content_end(id, "TOOL", "TOOL_USE"),
        ]
    }

    /// Tokens since the last usage event and since the session began.
    pub(super) fn usage(&self, before: Usage, total: Usage) -> String {
        let counts = |usage: Usage| {
            let Usage { input_speech, input_text, output_speech, output_text } = usage;
            format!(
                r#"{{"input":{{"speechTokens":{input_speech},"textTokens":{input_text}}},"output":{{"speechTokens":{output_speech},"textTokens":{output_text}}}}}"#
            )
        };
        let delta = Usage {
            input_speech: total.input_speech - before.input_speech,
            input_text: total.input_text - before.input_text,
            output_speech: total.output_speech - before.output_speech,
            output_text: total.output_text - before.output_text,
        };
        let (input, output) = (total.input(), total.output());
        let rest = format!(
            r#""details":{{"delta":{},"total":{}}},"totalInputTokens":{input},"totalOutputTokens":{output},"totalTokens":{}"#,
            counts(delta),
            counts(total),
            input + output
        );
        self.event("usageEvent", &rest)
    }

    fn content_end(&self, id: Uuid, kind: &str, stop: &str) -> String {
        self.event("contentEnd", &format!(r#""contentId":"{id}","type":"{kind}","stopReason":"{stop}""#))
    }

    fn event(&self, name: &str, fields: &str) -> String {
        format!(r#"{{"event":{{"{name}":{{{},{fields}}}}}}}"#, self.common)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn writer(rate: SampleRate) -> Writer {
        Writer::new(Uuid::nil(), Uuid::nil(), "say \"P\"", rate)
    }

    fn fields(event: &str, name: &str) -> Value {
        serde_json::from_str::<Value>(event).unwrap()["event"][name].clone()
    }

    #[test]
    fn text_blocks_have_their_stage_in_a_string_of_json() {
        let [start, text, end] = writer(SampleRate::Hz8000).final_text(Uuid::nil(), "a \"b\"", Stop::EndTurn);
        let start = fields(&start, "contentStart");
        assert_eq!(start["additionalModelFields"], r#"{"generationStage":"FINAL"}"#);
        assert_eq!(start["promptName"], "say \"P\"");
        assert_eq!(fields(&text, "textOutput")["content"], "a \"b\"");
        assert_eq!(fields(&end, "contentEnd")["stopReason"], "END_TURN");
    }

    #[test]
    fn tool_input_is_json_in_a_string() {
        let input = json!({"id": "42"});
        let [_, tool, end] = writer(SampleRate::Hz8000).tool_use(Uuid::nil(), "getOrder", "T", &input);
        assert_eq!(fields(&tool, "toolUse")["content"], r#"{"id":"42"}"#);
        assert_eq!(fields(&end, "contentEnd")["stopReason"], "TOOL_USE");
    }

    #[test]
    fn audio_is_little_endian_at_the_rate_asked_for() {
        let content = |rate| {
            let event = fields(&writer(rate).audio(Uuid::nil(), &[1, -2]), "audioOutput");
            STANDARD.decode(event["content"].as_str().unwrap()).unwrap()
        };
        assert_eq!(content(SampleRate::Hz8000), [1, 0, 254, 255]);
        assert_eq!(content(SampleRate::Hz16000), [1, 0, 1, 0, 254, 255, 254, 255]);
        let start = fields(&writer(SampleRate::Hz24000).audio_start(Uuid::nil()), "contentStart");
        assert_eq!(start["audioOutputConfiguration"]["sampleRateHertz"], 24000);
    }

    #[test]
    fn usage_sums_are_consistent() {
        let before = Usage { input_speech: 1, input_text: 2, output_speech: 3, output_text: 4 };
        let total = Usage { input_speech: 11, input_text: 2, output_speech: 33, output_text: 44 };
        let usage = fields(&writer(SampleRate::Hz8000).usage(before, total), "usageEvent");
        assert_eq!(usage["details"]["delta"]["input"], json!({"speechTokens": 10, "textTokens": 0}));
        assert_eq!((&usage["totalInputTokens"], &usage["totalTokens"]), (&json!(13), &json!(90)));
    }
}
