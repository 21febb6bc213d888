//! What goes to the model has the documented form to the last field (AWS, "Handling input events with the bidirectional
//! API"): the service ends a session for one field too many.

use base64::{Engine, engine::general_purpose::STANDARD};
use offhook_hosting::{clock::Clock, entropy::Entropy};
use serde_json::{Value, json};

use super::*;
use crate::{agent::Agent, tools::Tools};

/// What the service takes in one event.
const MOST_EVENT_BYTES: usize = 1_000_000;

fn setup() -> Setup {
    let input_schema = json!({ "type": "object", "properties": { "id": { "type": "string" } } });
    Setup {
        system_prompt: "You answer the phone.".into(),
        voice: VoiceId::from("matthew"),
        sensitivity: Sensitivity::High,
        max_tokens: 4_096,
        tools: vec![ToolSpec { name: "find", description: "Finds a booking.", input_schema }],
    }
}

fn tool_used(session: &mut Session, id: &str, result: &Value) -> Vec<ClientEvent> {
    let id = ToolUseId::from(id);
    session.handle_event(ServerEvent::ToolUse { id: id.clone(), name: "find".into(), input: json!({}) });
    session.tool_result(&id, result)
}

/// A session with everything in it that a session can have.
fn with_everything(setup: &Setup, text: &str, result: &Value) -> Vec<ClientEvent> {
    let (mut session, mut events) = Session::open(setup, Entropy::from_seed(1));
    let history = vec![Message::user("hi"), Message::assistant("Hello.")];
    events.extend(session.begin(Beginning { history, caller_audio: vec![1; 320], text: Some("hi".into()) }));
    events.extend(session.text(text));
    events.extend(tool_used(&mut session, "T", result));
    events.extend(session.close());
    events
}

/// The event's name and body.
fn read(event: ClientEvent) -> (String, Value) {
    let mut event: Value = serde_json::from_slice(&event.into_bytes()).unwrap();
    let outer = event.as_object().unwrap();
    assert_eq!(outer.len(), 1, "{event}");
    let (name, body) = event["event"].as_object_mut().unwrap().iter_mut().next().unwrap();
    (name.clone(), body.take())
}

/// The events with short names in the place of those that were made up, and the number of its bytes in the place of audio.
fn legible(events: Vec<ClientEvent>) -> Vec<Value> {
    let mut names = Vec::new();
    let mut legible = Vec::new();
    for (event, mut body) in events.into_iter().map(read) {
        for field in ["promptName", "contentName"] {
            if let Some(name) = body[field].as_str().map(str::to_owned) {
                if !names.contains(&name) {
                    names.push(name.clone());
                }
                body[field] = names.iter().position(|known| *known == name).into();
            }
        }
        if event == "audioInput" {
            body["content"] = STANDARD.decode(body["content"].as_str().unwrap()).unwrap().len().into();
        }
        legible.push(json!({ "event": { event: body } }));
    }
    legible
}

fn text_block(content: u8, role: &str, interactive: bool, text: &str) -> [Value; 3] {
    [
        json!({ "event": { "contentStart": {
            "promptName": 0, "contentName": content, "type": "TEXT", "interactive": interactive, "role": role,
            "textInputConfiguration": { "mediaType": "text/plain" },
        } } }),
        json!({ "event": { "textInput": { "promptName": 0, "contentName": content, "content": text } } }),
        content_end(content),
    ]
}

fn content_end(content: u8) -> Value {
    json!({ "event": { "contentEnd": { "promptName": 0, "contentName": content } } })
}

fn audio_input(content: u8, bytes: u16) -> Value {
    json!({ "event": { "audioInput": { "promptName": 0, "contentName": content, "content": bytes } } })
}

fn opening() -> Vec<Value> {
    let session_start = json!({ "event": { "sessionStart": {
        "inferenceConfiguration": { "maxTokens": 4096, "topP": 0.9, "temperature": 0.7 },
        "turnDetectionConfiguration": { "endpointingSensitivity": "HIGH" },
    } } });
    let prompt_start = json!({ "event": { "promptStart": {
        "promptName": 0,
        "textOutputConfiguration": { "mediaType": "text/plain" },
        "audioOutputConfiguration": {
            "mediaType": "audio/lpcm", "sampleRateHertz": 8000, "sampleSizeBits": 16, "channelCount": 1,
            "voiceId": "matthew", "encoding": "base64", "audioType": "SPEECH",
        },
        "toolUseOutputConfiguration": { "mediaType": "application/json" },
        "toolConfiguration": { "tools": [{ "toolSpec": {
            "name": "find", "description": "Finds a booking.",
            "inputSchema": { "json": r#"{"properties":{"id":{"type":"string"}},"type":"object"}"# },
        } }] },
    } } });
    [vec![session_start, prompt_start], text_block(1, "SYSTEM", false, "You answer the phone.").into()].concat()
}

fn audio_start(content: u8) -> Value {
    json!({ "event": { "contentStart": {
        "promptName": 0, "contentName": content, "type": "AUDIO", "interactive": true, "role": "USER",
        "audioInputConfiguration": {
            "mediaType": "audio/lpcm", "sampleRateHertz": 8000, "sampleSizeBits": 16, "channelCount": 1,
            "audioType": "SPEECH", "encoding": "base64",
        },
    } } })
}

fn tool_block(content: u8) -> [Value; 3] {
    [
        json!({ "event": { "contentStart": {
            "promptName": 0, "contentName": content, "interactive": false, "type": "TOOL", "role": "TOOL",
            "toolResultInputConfiguration": {
                "toolUseId": "T", "type": "TEXT", "textInputConfiguration": { "mediaType": "text/plain" },
            },
        } } }),
        json!({ "event": { "toolResult": { "promptName": 0, "contentName": content, "content": r#"{"id":"42"}"# } } }),
        content_end(content),
    ]
}

#[test]
fn every_input_event_has_the_documented_fields_and_no_other() {
    let expected = [
        opening(),
        text_block(2, "USER", false, "hi").into(),
        text_block(3, "ASSISTANT", false, "Hello.").into(),
        vec![audio_start(4), audio_input(4, 1_600), audio_input(4, 320)],
        text_block(5, "USER", true, "hi").into(),
        text_block(6, "USER", true, "The caller pressed 1.").into(),
        tool_block(7).into(),
        vec![content_end(4)],
        vec![json!({ "event": { "promptEnd": { "promptName": 0 } } }), json!({ "event": { "sessionEnd": {} } })],
    ]
    .concat();
    let events = legible(with_everything(&setup(), "The caller pressed 1.", &json!({ "id": "42" })));
    for (nth, expected) in expected.iter().enumerate() {
        assert_eq!(events.get(nth), Some(expected), "event {nth}");
    }
    assert_eq!(events.len(), expected.len());
}

#[test]
fn a_session_without_tools_says_nothing_of_tools() {
    let (_, events) = Session::open(&Setup { tools: Vec::new(), ..setup() }, Entropy::from_seed(1));
    let (name, body) = read(events.into_iter().nth(1).unwrap());
    assert_eq!(name, "promptStart");
    assert!(body.as_object().unwrap().keys().all(|key| !key.contains("tool")), "{body}");
}

#[test]
fn each_sensitivity_is_nested_and_spelt_as_documented() {
    for (sensitivity, spelt) in
        [(Sensitivity::High, "HIGH"), (Sensitivity::Medium, "MEDIUM"), (Sensitivity::Low, "LOW")]
    {
        let (_, events) = Session::open(&Setup { sensitivity, ..setup() }, Entropy::from_seed(1));
        let (_, body) = read(events.into_iter().next().unwrap());
        assert_eq!(body["turnDetectionConfiguration"], json!({ "endpointingSensitivity": spelt }));
    }
}

#[test]
fn no_name_is_used_twice_and_the_system_prompt_is_told_once_however_long_a_session_is() {
    let (mut session, mut events) = Session::open(&setup(), Entropy::from_seed(1));
    events.extend(session.begin(Beginning { history: vec![Message::user("hi")], ..Beginning::default() }));
    for nth in 0..200 {
        events.extend(session.text("well"));
        events.extend(tool_used(&mut session, &format!("T{nth}"), &json!({})));
    }
    events.extend(session.close());
    let starts: Vec<Value> =
        events.into_iter().map(read).filter(|(name, _)| name == "contentStart").map(|(_, body)| body).collect();
    let mut names: Vec<_> = starts.iter().map(|start| start["contentName"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 3 + 2 * 200);
    assert!(starts.iter().all(|start| start["promptName"] == starts[0]["promptName"]));
    assert_eq!(starts.iter().filter(|start| start["role"] == "SYSTEM").count(), 1);
    assert_eq!(starts.iter().filter(|start| start["type"] == "AUDIO").count(), 1);
}

#[test]
fn a_block_without_words_still_has_data() {
    let mut data = false;
    for (name, body) in with_everything(&Setup { system_prompt: String::new(), ..setup() }, "", &Value::Null)
        .into_iter()
        .map(read)
        .filter(|(name, _)| name.starts_with("content") || name.ends_with("Input") || name == "toolResult")
    {
        assert!(name != "contentEnd" || data, "{body}");
        data = name != "contentStart";
    }
}

#[test]
fn no_event_is_larger_than_the_service_takes() {
    let long = "\"\u{e9}\n".repeat(500_000);
    let setup = Setup { system_prompt: long.clone(), ..setup() };
    let mut events = with_everything(&setup, &long, &json!({ "found": &long }));
    let (mut session, _) = Session::open(&setup, Entropy::from_seed(1));
    events.extend(session.begin(Beginning { caller_audio: vec![0; 2_000_000], ..Beginning::default() }));
    for event in events {
        assert!(event.clone().into_bytes().len() <= MOST_EVENT_BYTES, "{}", read(event).0);
    }
}

#[test]
fn a_result_that_is_too_large_to_be_told_is_told_to_be_so() {
    let (mut session, _) = Session::open(&setup(), Entropy::from_seed(1));
    session.begin(Beginning::default());
    let [_, told, _] = &tool_used(&mut session, "T", &json!({ "found": "x".repeat(MOST_EVENT_BYTES) }))[..] else {
        panic!("a result is a block");
    };
    assert_eq!(read(told.clone()).1["content"], r#"{"error":"the result is too long"}"#);
}

#[test]
fn the_built_in_agent_asks_for_nothing_that_the_model_refuses_or_is_slow_to_start_with() {
    // AWS, "Language support", for Nova 2 Sonic.
    let voices = [
        "tiffany", "matthew", "amy", "olivia", "kiara", "arjun", "ambre", "florian", "beatrice", "lorenzo", "tina",
        "lennart", "lupe", "carlos", "carolina", "leo",
    ];
    let setup = Agent::demo().setup(Tools::built_in(Clock).specs(true));
    assert!(voices.contains(&setup.voice.as_str()));
    assert!(setup.max_tokens >= 4_096, "fewer leave replies without any speech");
    let mut names: Vec<_> = setup.tools.iter().map(|tool| tool.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), setup.tools.len());
    for tool in &setup.tools {
        assert!(tool.input_schema.is_object() && !tool.name.is_empty(), "{tool:?}");
    }
    let (_, opening) = Session::open(&setup, Entropy::from_seed(1));
    let bytes: usize = opening.into_iter().map(|event| event.into_bytes().len()).sum();
    assert!(bytes < 10_000, "{bytes} bytes to be read before the first word");
}
