//! What comes from the model is understood in the documented form and in those that have been seen beside it (AWS, "Handling
//! output events with the bidirectional API", "Event flow", "Barge-in").

use bytes::Bytes;
use offhook_hosting::entropy::Entropy;
use serde_json::{Value, json};

use super::*;

/// An event as the service sends it: every one names its session, prompt and completion, and those of a block the block.
fn event(name: &str, body: Value) -> Value {
    let mut event = json!({ "sessionId": "S", "promptName": "P", "completionId": "C", "contentId": "K" });
    event.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    json!({ "event": { name: event } })
}

fn parse(event: &Value) -> ServerEvent {
    ServerEvent::parse(event.to_string().as_bytes()).unwrap()
}

fn text_start(role: &str, stage: &str) -> Value {
    let fields = json!({ "generationStage": stage }).to_string();
    let format = json!({ "mediaType": "text/plain" });
    let body =
        json!({ "type": "TEXT", "role": role, "additionalModelFields": fields, "textOutputConfiguration": format });
    event("contentStart", body)
}

fn text_output(role: &str, text: &str) -> Value {
    event("textOutput", json!({ "role": role, "content": text }))
}

fn content_end(kind: &str, reason: &str) -> Value {
    event("contentEnd", json!({ "type": kind, "stopReason": reason }))
}

fn audio_start() -> Value {
    let format = json!({ "mediaType": "audio/lpcm", "sampleRateHertz": 8000, "sampleSizeBits": 16,
        "encoding": "base64", "channelCount": 1 });
    event("contentStart", json!({ "type": "AUDIO", "role": "ASSISTANT", "audioOutputConfiguration": format }))
}

fn audio_output() -> Value {
    event("audioOutput", json!({ "content": "AQIDBA==" }))
}

fn pcm() -> Bytes {
    Bytes::from_static(&[1, 2, 3, 4])
}

fn usage_event() -> Value {
    let delta =
        json!({ "input": { "speechTokens": 0, "textTokens": 3 }, "output": { "speechTokens": 20, "textTokens": 0 } });
    let total = json!({ "input": { "speechTokens": 288, "textTokens": 3443 },
        "output": { "speechTokens": 694, "textTokens": 203 } });
    event(
        "usageEvent",
        json!({ "details": { "delta": delta, "total": total }, "totalInputTokens": 3731, "totalOutputTokens": 897,
            "totalTokens": 4628 }),
    )
}

/// What these events tell in a session of their own.
fn told(events: &[Value]) -> Vec<Told> {
    let setup = Setup {
        system_prompt: "You answer the phone.".into(),
        voice: VoiceId::from("matthew"),
        sensitivity: Sensitivity::Medium,
        max_tokens: 4_096,
        tools: Vec::new(),
    };
    let (mut session, _) = Session::open(&setup, Entropy::from_seed(1));
    session.begin(Beginning::default());
    events.iter().filter_map(|event| session.handle_event(parse(event))).collect()
}

#[test]
fn every_output_event_is_understood_in_its_documented_form() {
    let text = |role, stage| ServerEvent::TextStart { role, stage };
    let usage =
        Usage { input_speech_tokens: 288, input_text_tokens: 3443, output_speech_tokens: 694, output_text_tokens: 203 };
    let tool_start = json!({ "type": "TOOL", "role": "TOOL",
        "toolUseOutputConfiguration": { "mediaType": "application/json" } });
    let tool_use = json!({ "role": "TOOL", "toolName": "getOrder", "toolUseId": "T", "content": r#"{"id":"42"}"# });
    let wanted =
        ServerEvent::ToolUse { id: ToolUseId::from("T"), name: "getOrder".into(), input: json!({ "id": "42" }) };
    let cases = [
        (event("completionStart", json!({})), ServerEvent::CompletionStart),
        (text_start("USER", "FINAL"), text(Role::User, GenerationStage::Final)),
        (text_start("ASSISTANT", "SPECULATIVE"), text(Role::Assistant, GenerationStage::Speculative)),
        (text_start("ASSISTANT", "FINAL"), text(Role::Assistant, GenerationStage::Final)),
        (text_output("USER", "cancel it"), ServerEvent::Text("cancel it".into())),
        (audio_start(), ServerEvent::AudioStart),
        (audio_output(), ServerEvent::Audio(pcm())),
        (event("contentStart", tool_start), ServerEvent::ToolFrame),
        (event("toolUse", tool_use), wanted),
        (content_end("TOOL", "TOOL_USE"), ServerEvent::ToolFrame),
        (usage_event(), ServerEvent::Usage(usage)),
        (event("completionEnd", json!({ "stopReason": "END_TURN" })), ServerEvent::CompletionEnd),
    ];
    for (event, expected) in cases {
        assert_eq!(parse(&event), expected, "{event}");
    }
}

#[test]
fn every_stop_reason_is_understood_and_a_new_one_is_no_error() {
    let reasons = [
        ("PARTIAL_TURN", StopReason::PartialTurn),
        ("END_TURN", StopReason::EndTurn),
        ("INTERRUPTED", StopReason::Interrupted),
        ("TOOL_USE", StopReason::ToolUse),
        ("TIRED", StopReason::Other),
    ];
    for (reason, expected) in reasons {
        assert_eq!(parse(&content_end("TEXT", reason)), ServerEvent::TextEnd(expected));
        assert_eq!(parse(&content_end("AUDIO", reason)), ServerEvent::AudioEnd(expected));
    }
    assert_eq!(parse(&event("contentEnd", json!({ "type": "AUDIO" }))), ServerEvent::AudioEnd(StopReason::Other));
}

#[test]
fn what_a_newer_model_adds_is_skipped_wherever_it_stands() {
    let new = |name: &str| event(name, json!({ "at": 7, "more": [{ "deep": null }] }));
    for name in ["userSpeechEnd", "userSpeechStart", "audioOutputV2"] {
        assert_eq!(parse(&new(name)), ServerEvent::Unknown, "{name}");
    }
    let beside = json!({ "event": { "completionStart": {}, }, "p": "abcdefgh", "trace": { "id": 1 } });
    assert_eq!(parse(&beside), ServerEvent::CompletionStart);
    let known = [
        text_start("USER", "FINAL"),
        text_output("USER", "cancel it"),
        content_end("TEXT", "PARTIAL_TURN"),
        audio_output(),
    ];
    let mut with_new = Vec::new();
    for mut known in known {
        with_new.push(new("userSpeechEnd"));
        let body = known["event"].as_object_mut().unwrap().values_mut().next().unwrap();
        body["novel"] = json!({ "deep": [1] });
        with_new.push(known);
    }
    assert_eq!(told(&with_new), [Told::CallerSaid("cancel it".into()), Told::AgentAudio(pcm())]);
}

#[test]
fn a_turn_is_told_sentence_by_sentence_and_ends_with_its_audio_and_not_with_a_completion() {
    let says = |text: &str, reason| {
        let words = [text_start("ASSISTANT", "SPECULATIVE"), text_output("ASSISTANT", text)];
        let voice = [content_end("TEXT", "PARTIAL_TURN"), audio_start(), audio_output(), content_end("AUDIO", reason)];
        [words.to_vec(), voice.to_vec()].concat()
    };
    let mut events = vec![usage_event(), event("completionStart", json!({}))];
    events.extend(says("Hello.", "PARTIAL_TURN"));
    events.extend(says("How are you?", "END_TURN"));
    let expected = |sentence: &str, end| [Told::AgentSays(sentence.into()), Told::AgentAudio(pcm()), end];
    let first = expected("Hello.", Told::AgentSentenceEnded);
    let last = expected("How are you?", Told::AgentTurnEnded);
    assert_eq!(told(&events)[1..], [first, last].concat());
    let completed = [event("completionEnd", json!({ "stopReason": "END_TURN" }))];
    assert_eq!(told(&completed), [], "it comes when the prompt was ended, and says nothing of turns");
}

#[test]
fn the_stop_reasons_of_final_texts_mean_nothing() {
    for reason in ["END_TURN", "PARTIAL_TURN"] {
        let spoken =
            [text_start("ASSISTANT", "FINAL"), text_output("ASSISTANT", "Hello."), content_end("TEXT", reason)];
        assert_eq!(told(&spoken), [Told::AgentSpoke("Hello.".into())], "{reason}");
    }
}

const MARKERS: [&str; 4] = [
    r#"{ "interrupted" : true }"#,
    r#"{"interrupted":true}"#,
    "{\n  \"interrupted\":  true\n}",
    r#"  {"interrupted" : true, "reason": "barge-in"} "#,
];

#[test]
fn the_marker_of_an_interruption_is_known_in_any_spacing_and_never_becomes_words() {
    let start = || text_start("ASSISTANT", "FINAL");
    let end = || content_end("TEXT", "INTERRUPTED");
    for text in MARKERS {
        let marker = || text_output("ASSISTANT", text);
        let alone = [content_end("AUDIO", "END_TURN"), start(), marker(), end()];
        assert_eq!(told(&alone), [Told::AgentTurnEnded, Told::Interrupted], "{text}");
        let spoken = Told::AgentSpoke("I was".into());
        let in_one_block = [start(), text_output("ASSISTANT", "I was"), marker(), end()];
        assert_eq!(told(&in_one_block), [Told::Interrupted, spoken.clone()], "{text}");
        let words_before =
            [start(), text_output("ASSISTANT", "I was"), content_end("TEXT", "END_TURN"), start(), marker(), end()];
        assert_eq!(told(&words_before), [spoken, Told::Interrupted], "{text}");
    }
    let no_marker = [start(), text_output("ASSISTANT", r#"{"interrupted":false}"#), content_end("TEXT", "END_TURN")];
    assert_eq!(told(&no_marker), [Told::AgentSpoke(r#"{"interrupted":false}"#.into())]);
}

#[test]
fn tool_input_keeps_its_nesting_however_often_it_was_encoded() {
    let input = json!({ "guests": [{ "name": "\"Q\"", "nights": [1, 2] }], "paid": null });
    let mut content = input.clone();
    for times in 0..3 {
        let body = json!({ "role": "TOOL", "toolName": "book", "toolUseId": "T", "content": content });
        let wanted = Told::ToolWanted { id: ToolUseId::from("T"), name: "book".into(), input: input.clone() };
        assert_eq!(told(&[event("toolUse", body)]), [wanted], "encoded {times} times");
        content = Value::String(content.to_string());
    }
}
