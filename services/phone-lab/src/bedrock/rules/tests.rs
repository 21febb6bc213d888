mod one_by_one;

use offhook_hosting::entropy::Entropy;
use serde_json::json;

use super::{
    super::{events::Generation, probability::Probability, report::Speaker, settings::HistoryLimits, waived::Waived},
    *,
};

const GENERIC: &str = "Invalid input request, please fix your input and try again.";
const UNPARSABLE: &str = "Unable to parse input chunk";

/// What the caller said before the session.
fn history(text: &str) -> Input {
    Input::History(Remembered { by: Speaker::User, text: text.into() })
}

struct Rig(Rules);

impl Rig {
    fn new() -> Self {
        Self::under(Policy::of(Generation::V2))
    }

    fn under(policy: Policy) -> Self {
        Self(Rules::new(policy))
    }

    fn in_session() -> Self {
        let mut rig = Self::new();
        rig.accepts(json!({"sessionStart": {}}));
        rig
    }

    fn in_prompt() -> Self {
        let mut rig = Self::in_session();
        rig.accepts(prompt_start(json!({})));
        rig
    }

    fn with_system() -> Self {
        Self::with_system_under(Policy::of(Generation::V2))
    }

    fn with_system_under(policy: Policy) -> Self {
        let mut rig = Self::under(policy);
        rig.accepts(json!({"sessionStart": {}}));
        rig.accepts(prompt_start(json!({})));
        assert_eq!(rig.says("S", "SYSTEM", false, "be brief"), Ok(Some(Input::SystemPrompt("be brief".into()))));
        rig
    }

    fn with_audio() -> Self {
        Self::with_audio_under(Policy::of(Generation::V2))
    }

    fn with_audio_under(policy: Policy) -> Self {
        let mut rig = Self::with_system_under(policy);
        let opened = rig.send(audio_start("A", json!("USER")));
        assert_eq!(opened, Ok(Some(Input::AudioOpened { rate: SampleRate::Hz8000, answers: true })));
        rig
    }

    fn with_audio_but_without(rule: u8) -> Self {
        Self::with_audio_under(waiving(rule))
    }

    fn send(&mut self, event: Value) -> Result<Option<Input>, Violation> {
        self.0.handle_event(json!({ "event": event }).to_string().as_bytes())
    }

    fn accepts(&mut self, event: Value) {
        assert!(self.send(event.clone()).is_ok(), "{event} refused");
    }

    fn refuses(&mut self, event: Value, message: &str) {
        assert_eq!(self.send(event.clone()), Err(Violation::new(message)), "{event}");
    }

    /// A whole text block.
    fn says(&mut self, name: &str, role: &str, interactive: bool, text: &str) -> Result<Option<Input>, Violation> {
        self.send(text_start(name, role, interactive))?;
        self.send(json!({"textInput": {"promptName": "P", "contentName": name, "content": text}}))?;
        self.send(end(name))
    }

    fn tool_result(&mut self, content: Value) -> Result<Option<Input>, Violation> {
        self.send(tool_start("R", "T1"))?;
        self.send(json!({"toolResult": {"promptName": "P", "contentName": "R", "content": content}}))?;
        self.send(end("R"))
    }
}

fn waiving(rule: u8) -> Policy {
    Policy { waived: Waived::NONE.and(rule).unwrap(), ..Policy::of(Generation::V2) }
}

fn v1() -> Policy {
    Policy::of(Generation::V1)
}

fn without(mut event: Value, path: &str) -> Value {
    let (parent, field) = path.rsplit_once('/').unwrap();
    event.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field).unwrap();
    event
}

fn merged(mut base: Value, change: Value) -> Value {
    match (&mut base, change) {
        (Value::Object(base), Value::Object(change)) => {
            for (key, value) in change {
                let old = base.remove(&key).unwrap_or(Value::Null);
                base.insert(key, merged(old, value));
            }
            Value::Object(base.clone())
        }
        (_, change) => change,
    }
}

fn format(more: Value) -> Value {
    let format = json!({"mediaType": "audio/lpcm", "sampleRateHertz": 8000, "sampleSizeBits": 16, "channelCount": 1,
        "encoding": "base64", "audioType": "SPEECH"});
    merged(format, more)
}

fn prompt_start(change: Value) -> Value {
    let start = json!({"promptName": "P", "textOutputConfiguration": {"mediaType": "text/plain"},
        "audioOutputConfiguration": format(json!({"voiceId": "matthew"}))});
    json!({ "promptStart": merged(start, change) })
}

fn tools(schema: Value) -> Value {
    prompt_start(
        json!({"toolConfiguration": {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": schema}}}]}}),
    )
}

fn text_start(name: &str, role: &str, interactive: bool) -> Value {
    json!({"contentStart": {"promptName": "P", "contentName": name, "type": "TEXT", "role": role,
        "interactive": interactive, "textInputConfiguration": {"mediaType": "text/plain"}}})
}

fn audio_start(name: &str, role: Value) -> Value {
    json!({"contentStart": {"promptName": "P", "contentName": name, "type": "AUDIO", "role": role, "interactive": true,
        "audioInputConfiguration": format(json!({}))}})
}

fn tool_start(name: &str, id: &str) -> Value {
    json!({"contentStart": {"promptName": "P", "contentName": name, "type": "TOOL", "role": "TOOL", "interactive": false,
        "toolResultInputConfiguration": {"toolUseId": id, "type": "TEXT",
            "textInputConfiguration": {"mediaType": "text/plain"}}}})
}

fn audio(content: &str) -> Value {
    json!({"audioInput": {"promptName": "P", "contentName": "A", "content": content}})
}

fn end(name: &str) -> Value {
    json!({"contentEnd": {"promptName": "P", "contentName": name}})
}

fn prompt_end() -> Value {
    json!({"promptEnd": {"promptName": "P"}})
}

#[test]
fn a_session_by_the_book_is_understood() {
    let mut rig = Rig::with_audio();
    assert_eq!(rig.send(audio("AQD+/w==")), Ok(Some(Input::Audio(vec![1, -2]))));
    assert_eq!(rig.says("L", "USER", true, "hi"), Ok(Some(Input::LiveText("hi".into()))));
    rig.0.tool_asked("T1".into());
    let result = serde_json::from_str(r#"{"a":1}"#).unwrap();
    let answered = Input::ToolAnswered { tool_use_id: "T1".into(), result };
    assert_eq!(rig.tool_result(json!(r#"{"a":1}"#)), Ok(Some(answered)));
    assert_eq!(rig.send(end("A")), Ok(Some(Input::AudioClosed)));
    assert_eq!(rig.send(prompt_end()), Ok(Some(Input::PromptEnded)));
    assert!(!rig.0.is_over());
    assert_eq!(rig.send(json!({"sessionEnd": {}})), Ok(Some(Input::SessionEnded)));
    assert!(rig.0.is_over());
    assert_eq!(rig.0.take_remarks(), [""; 0]);
}

#[test]
fn what_is_no_json_and_what_is_no_event_are_told_apart() {
    let refused = |json: &str| Rig::new().0.handle_event(json.as_bytes()).unwrap_err();
    assert_eq!(refused("{\"event\":"), Violation::unparsable());
    assert_eq!(refused("{}"), Violation::generic());
    assert_eq!(refused(r#"{"event":{"sessionBegin":{}}}"#), Violation::generic());
    assert_eq!(refused(r#"{"event":{"sessionStart":{},"promptEnd":{"promptName":"P"}}}"#), Violation::generic());
}

#[test]
fn events_have_their_order() {
    Rig::new().refuses(prompt_start(json!({})), GENERIC);
    Rig::in_session().refuses(json!({"sessionStart": {}}), GENERIC);
    Rig::in_session().refuses(text_start("S", "SYSTEM", false), GENERIC);
    Rig::in_prompt().refuses(prompt_start(json!({})), GENERIC);
    Rig::in_prompt().refuses(json!({"sessionEnd": {}}), GENERIC);
    let mut rig = Rig::with_audio();
    rig.accepts(audio("AAA="));
    rig.accepts(end("A"));
    rig.accepts(prompt_end());
    rig.refuses(text_start("L", "USER", true), GENERIC);
    rig.accepts(json!({"sessionEnd": {}}));
    rig.refuses(json!({"sessionEnd": {}}), GENERIC);
}

#[test]
fn session_settings_are_checked() {
    let start = |settings: Value| json!({ "sessionStart": settings });
    let nested = |value: &str| json!({"turnDetectionConfiguration": {"endpointingSensitivity": value}});
    let high = Input::SessionStarted { sensitivity: Sensitivity::High };
    assert_eq!(Rig::new().send(start(nested("HIGH"))), Ok(Some(high)));
    Rig::new().refuses(start(nested("high")), GENERIC);
    Rig::new().refuses(start(json!({"endpointingSensitivity": "HIGH"})), GENERIC);
    Rig::new().accepts(start(json!({"inferenceConfiguration": {"maxTokens": 1024, "topP": 0.9, "temperature": 1}})));
    for wrong in [json!({"maxTokens": 0}), json!({"maxTokens": 1.5}), json!({"topP": 1.1}), json!({"temperature": -1})]
    {
        Rig::new().refuses(start(json!({"inferenceConfiguration": wrong})), GENERIC);
    }
}

#[test]
fn prompt_settings_are_checked() {
    let output = |change: Value| prompt_start(json!({"audioOutputConfiguration": change}));
    Rig::in_session().refuses(output(json!({"voiceId": "Carlos"})), "Received invalid id: 'Carlos'");
    Rig::in_session().refuses(output(json!({"voiceId": "greta"})), "Received invalid id: 'greta'");
    Rig::in_session().refuses(output(json!({"sampleRateHertz": 44100})), GENERIC);
    Rig::in_session().refuses(output(json!({"sampleSizeBits": 8})), GENERIC);
    Rig::in_session().refuses(prompt_start(json!({"promptName": ""})), GENERIC);
}

#[test]
fn tool_schemas_are_objects_inside_strings() {
    Rig::in_session().accepts(tools(json!("{\"type\":\"object\"}")));
    Rig::in_session().refuses(tools(json!({"type": "object"})), UNPARSABLE);
    Rig::in_session().refuses(tools(json!("[]")), GENERIC);
    let choice = json!({"toolConfiguration": {"toolChoice": {"tool": {"name": "unknown"}}}});
    Rig::in_session().refuses(prompt_start(choice), GENERIC);
}

#[test]
fn the_system_prompt_comes_first_and_once() {
    Rig::in_prompt().refuses(text_start("U", "USER", false), GENERIC);
    Rig::in_prompt().refuses(audio_start("A", json!("USER")), GENERIC);
    let twice = "Duplicate SYSTEM content. SYSTEM content can only be provided once per prompt";
    Rig::with_system().refuses(text_start("S2", "SYSTEM", false), twice);
}

#[test]
fn history_starts_with_the_user_and_ends_before_audio() {
    Rig::with_system().refuses(text_start("H", "ASSISTANT", false), GENERIC);
    let mut rig = Rig::with_system();
    assert_eq!(rig.says("H1", "USER", false, "hello"), Ok(Some(history("hello"))));
    assert_eq!(rig.says("H2", "USER", false, "again"), Ok(Some(history("again"))));
    assert_eq!(rig.0.take_remarks(), ["history roles do not alternate"]);
    rig.accepts(audio_start("A", json!("USER")));
    rig.accepts(audio("AAA="));
    let late = "Chat history should be sent completely before streaming audio.";
    rig.refuses(text_start("H3", "ASSISTANT", false), late);
}

#[test]
fn history_has_a_limit() {
    let over = "Chat history is over max limit. Trim chat history and try again.";
    let said = Rig::with_system().says("H", "USER", false, &"x".repeat(51_201));
    assert_eq!(said, Err(Violation::new(over)));
    let mut rig = Rig::with_system();
    for n in 0..4 {
        assert!(rig.says(&format!("H{n}"), "USER", false, &"x".repeat(51_200)).is_ok());
    }
    assert_eq!(rig.says("H4", "USER", false, "x"), Err(Violation::new(over)));
}

#[test]
fn audio_may_not_slip_into_a_text_block() {
    let mut rig = Rig::with_audio();
    rig.accepts(text_start("L", "USER", true));
    rig.refuses(audio("AAA="), "Chat history should be sent completely before streaming audio.");
}

#[test]
fn data_belongs_to_an_open_block_of_its_kind() {
    Rig::with_audio().refuses(json!({"textInput": {"promptName": "P", "contentName": "A", "content": "x"}}), GENERIC);
    Rig::with_audio().refuses(json!({"audioInput": {"promptName": "P", "contentName": "B", "content": ""}}), GENERIC);
    Rig::with_audio().refuses(json!({"audioInput": {"promptName": "Q", "contentName": "A", "content": ""}}), GENERIC);
    Rig::with_audio().refuses(audio("AAAA"), GENERIC);
    Rig::with_audio().refuses(audio("?"), GENERIC);
    Rig::with_audio().refuses(audio_start("A2", json!("USER")), GENERIC);
    Rig::with_audio().refuses(text_start("S", "USER", true), GENERIC);
}

#[test]
fn audio_without_a_role_is_accepted_and_remarked() {
    let mut rig = Rig::with_system();
    let opened = rig.send(audio_start("A", Value::Null));
    assert_eq!(opened, Ok(Some(Input::AudioOpened { rate: SampleRate::Hz8000, answers: false })));
    assert_eq!(rig.0.take_remarks().len(), 1);
}

#[test]
fn the_old_place_of_a_role_is_accepted_and_remarked() {
    let mut rig = Rig::in_prompt();
    let mut start = text_start("S", "SYSTEM", false);
    start["contentStart"].as_object_mut().unwrap().remove("role");
    rig.accepts(start);
    rig.accepts(json!({"textInput": {"promptName": "P", "contentName": "S", "content": "x", "role": "SYSTEM"}}));
    assert_eq!(rig.send(end("S")), Ok(Some(Input::SystemPrompt("x".into()))));
    assert_eq!(rig.0.take_remarks().len(), 1);
}

#[test]
fn tool_results_are_objects_for_open_questions() {
    for wrong in [json!({"a": 1}), json!("done"), json!("[1]"), json!("3")] {
        let mut rig = Rig::with_audio();
        rig.0.tool_asked("T1".into());
        assert_eq!(rig.tool_result(wrong), Err(Violation::new("Tool Response parsing error")));
    }
    Rig::with_audio().refuses(tool_start("R", "T1"), GENERIC);
    let mut rig = Rig::with_audio();
    rig.0.tool_asked("T1".into());
    assert!(rig.tool_result(json!("{}")).is_ok());
    rig.refuses(tool_start("R2", "T1"), GENERIC);
}

#[test]
fn prompts_end_when_everything_in_them_has() {
    Rig::with_audio().refuses(end("A"), "Cannot end content [A] as no content data was received");
    Rig::with_audio().refuses(prompt_end(), "All contents must be closed before ending prompt");
    Rig::with_system().refuses(prompt_end(), "Prompt [P] must have at least one audio content");
}

proptest::proptest! {
    #[test]
    fn events_in_any_order_are_taken_or_refused_without_panic(picks in proptest::collection::vec(0usize..14, 0..40)) {
        let events = [
            json!({"sessionStart": {}}),
            prompt_start(json!({})),
            text_start("S", "SYSTEM", false),
            text_start("U", "USER", true),
            text_start("H", "ASSISTANT", false),
            audio_start("A", json!("USER")),
            tool_start("R", "T1"),
            audio("AAA="),
            json!({"textInput": {"promptName": "P", "contentName": "S", "content": "x"}}),
            json!({"toolResult": {"promptName": "P", "contentName": "R", "content": "{}"}}),
            end("S"),
            end("A"),
            prompt_end(),
            json!({"sessionEnd": {}}),
        ];
        let mut rig = Rig::with_system();
        for pick in picks {
            rig.0.tool_asked("T1".into());
            if rig.send(events[pick].clone()).is_err() {
                break;
            }
        }
    }
}
