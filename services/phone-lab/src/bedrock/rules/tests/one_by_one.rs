//! Rule by rule, each broken and, where it may be, waived.

use super::*;

#[test]
fn turn_detection_is_refused_on_v1_unless_that_is_waived() {
    let nested = json!({"sessionStart": {"turnDetectionConfiguration": {"endpointingSensitivity": "HIGH"}}});
    Rig::under(v1()).refuses(nested.clone(), GENERIC);
    Rig::under(Policy { waived: Waived::NONE.and(24).unwrap(), ..v1() }).accepts(nested);
    // Where a framework puts it for v1, which is fatal on v2.
    Rig::under(v1()).accepts(json!({"sessionStart": {"endpointingSensitivity": "HIGH"}}));
}

#[test]
fn an_event_has_one_known_name() {
    let refused = |json: &str| assert_eq!(Rig::new().0.handle_event(json.as_bytes()), Err(Violation::generic()));
    refused("{}");
    refused(r#"{"event":{}}"#);
    refused(r#"{"event":{"sessionBegin":{}}}"#);
    refused(r#"{"event":{"sessionStart":{},"promptEnd":{"promptName":"P"}}}"#);
}

#[test]
fn names_of_prompt_and_content_are_required_and_match() {
    Rig::in_session().refuses(without(prompt_start(json!({})), "/promptStart/promptName"), GENERIC);
    Rig::in_session().refuses(prompt_start(json!({"promptName": ""})), GENERIC);
    Rig::in_prompt().refuses(text_start("", "SYSTEM", false), GENERIC);
    Rig::in_prompt().refuses(without(text_start("S", "SYSTEM", false), "/contentStart/contentName"), GENERIC);
    Rig::in_prompt().refuses(without(text_start("S", "SYSTEM", false), "/contentStart/promptName"), GENERIC);
    let mut other = text_start("S", "SYSTEM", false);
    other["contentStart"]["promptName"] = json!("Q");
    Rig::in_prompt().refuses(other, GENERIC);
    Rig::with_audio().refuses(json!({"promptEnd": {"promptName": "Q"}}), GENERIC);
}

#[test]
fn audio_formats_are_the_documented_ones() {
    let wrong = [
        json!({"mediaType": "audio/wav"}),
        json!({"sampleRateHertz": 44100}),
        json!({"sampleSizeBits": 8}),
        json!({"channelCount": 2}),
        json!({"encoding": "hex"}),
        json!({"audioType": "MUSIC"}),
    ];
    for change in wrong {
        Rig::in_session().refuses(prompt_start(json!({"audioOutputConfiguration": change})), GENERIC);
        let input = json!({"contentStart": {"audioInputConfiguration": change}});
        Rig::with_system().refuses(merged(audio_start("A", json!("USER")), input), GENERIC);
    }
}

#[test]
fn voices_belong_to_their_model() {
    let voice = |id: &str| prompt_start(json!({"audioOutputConfiguration": {"voiceId": id}}));
    let v1_session = || {
        let mut rig = Rig::under(v1());
        rig.accepts(json!({"sessionStart": {}}));
        rig
    };
    Rig::in_session().refuses(voice("Tina"), "Received invalid id: 'Tina'");
    Rig::in_session().refuses(voice("greta"), "Received invalid id: 'greta'");
    Rig::in_session().accepts(voice("tina"));
    v1_session().refuses(voice("tina"), "Received invalid id: 'tina'");
    v1_session().accepts(voice("greta"));
}

#[test]
fn tools_have_names_of_their_own_and_schemas() {
    let tool = |name: &str| json!({"toolSpec": {"name": name, "inputSchema": {"json": "{}"}}});
    let offer = |tools: Value| prompt_start(json!({"toolConfiguration": {"tools": tools}}));
    Rig::in_session().accepts(offer(json!([tool("a"), tool("b")])));
    Rig::in_session().refuses(offer(json!([tool("a"), tool("a")])), GENERIC);
    Rig::in_session().refuses(offer(json!([tool("")])), GENERIC);
    Rig::in_session().refuses(offer(json!([without(tool("a"), "/toolSpec/name")])), GENERIC);
    Rig::in_session().refuses(offer(json!([without(tool("a"), "/toolSpec/inputSchema/json")])), UNPARSABLE);
    let chosen = json!({"toolConfiguration": {"tools": [tool("a")], "toolChoice": {"tool": {"name": "b"}}}});
    Rig::in_session().refuses(prompt_start(chosen), GENERIC);
}

#[test]
fn content_names_are_used_once_unless_that_is_waived() {
    Rig::with_system().refuses(text_start("S", "USER", false), GENERIC);
    let mut rig = Rig::with_system_under(waiving(31));
    rig.accepts(text_start("S", "USER", false));
    assert_eq!(rig.0.take_remarks(), ["a content name is used again"]);
}

#[test]
fn contents_have_a_known_type_and_role_and_their_configuration() {
    Rig::in_prompt()
        .refuses(without(text_start("S", "SYSTEM", false), "/contentStart/textInputConfiguration"), GENERIC);
    let audio = audio_start("A", json!("USER"));
    Rig::with_system().refuses(without(audio, "/contentStart/audioInputConfiguration"), GENERIC);
    let change = |name: &str, value: &str| {
        let mut start = text_start("S", "SYSTEM", false);
        start["contentStart"][name] = json!(value);
        start
    };
    Rig::in_prompt().refuses(change("type", "VIDEO"), GENERIC);
    Rig::in_prompt().refuses(change("role", "NARRATOR"), GENERIC);
    Rig::with_system().refuses(audio_start("A", json!("ASSISTANT")), GENERIC);
    Rig::with_system().accepts(text_start("H", "SYSTEM_SPEECH", false));
    Rig::with_system_under(v1()).refuses(text_start("H", "SYSTEM_SPEECH", false), GENERIC);
    let mut rig = Rig::with_audio();
    rig.0.tool_asked("T1".into());
    rig.refuses(without(tool_start("R", "T1"), "/contentStart/toolResultInputConfiguration"), GENERIC);
}

#[test]
fn history_that_does_not_alternate_is_refused_in_strict_mode_only() {
    let twice = |policy: Policy| {
        let mut rig = Rig::with_system_under(policy);
        assert!(rig.says("H1", "USER", false, "hello").is_ok());
        let said = rig.says("H2", "USER", false, "again");
        (said, rig.0.take_remarks().len())
    };
    let of = || Policy::of(Generation::V2);
    assert_eq!(twice(of()), (Ok(Some(history("again"))), 1));
    assert_eq!(twice(waiving(36)), (Ok(Some(history("again"))), 0));
    assert_eq!(twice(Policy { strict_history: true, ..of() }), (Err(Violation::generic()), 0));
}

#[test]
fn history_on_v1_has_limits_of_its_own_and_all_limits_can_be_set() {
    let over = Err(Violation::over_limit());
    assert_eq!(Rig::with_system_under(v1()).says("H", "USER", false, &"x".repeat(1025)), over);
    let mut rig = Rig::with_system_under(v1());
    for n in 0..40 {
        assert!(rig.says(&format!("H{n}"), ["USER", "ASSISTANT"][n % 2], false, "x").is_ok());
    }
    assert_eq!(rig.says("H40", "USER", false, "x"), over);
    let history = HistoryLimits { message_bytes: 5, total_bytes: 8, messages: 9 };
    let mut rig = Rig::with_system_under(Policy { history, ..Policy::of(Generation::V2) });
    assert!(rig.says("H1", "USER", false, "12345").is_ok());
    assert_eq!(rig.says("H2", "ASSISTANT", false, "6789"), over);
}

#[test]
fn text_of_the_assistant_after_audio_is_dropped_where_that_is_waived() {
    let late = "Chat history should be sent completely before streaming audio.";
    for (role, expected) in [("USER", Err(Violation::new(late))), ("ASSISTANT", Ok(None))] {
        let mut rig = Rig::with_audio_but_without(38);
        rig.accepts(audio("AAA="));
        assert_eq!(rig.says("H", role, false, "x"), expected);
    }
}

#[test]
fn interactive_text_can_be_refused_by_chance_as_if_audio_had_slipped_in() {
    let refused = |seed: u64| {
        (0..200).filter(move |n| {
            let slipped_audio = Some((Probability::new(0.05).unwrap(), Entropy::from_seed(seed * 1000 + n)));
            let mut rig = Rig::with_audio_under(Policy { slipped_audio, ..Policy::of(Generation::V2) });
            rig.says("L", "USER", true, "hi") == Err(Violation::late_history())
        })
    };
    assert!((1..30).contains(&refused(1).count()));
    assert!(refused(1).eq(refused(1)) && !refused(1).eq(refused(2)));
}

#[test]
fn there_is_one_audio_container_at_a_time_unless_that_is_waived() {
    Rig::with_audio().refuses(audio_start("A2", json!("USER")), GENERIC);
    let mut rig = Rig::with_audio_but_without(43);
    rig.accepts(audio_start("A2", json!("USER")));
    assert_eq!(rig.0.take_remarks(), ["a second audio container is open"]);
}

#[test]
fn audio_is_base64_of_whole_samples_unless_that_is_waived() {
    for (wrong, kept) in [("?", vec![]), ("AAAA", vec![0])] {
        Rig::with_audio().refuses(audio(wrong), GENERIC);
        let mut rig = Rig::with_audio_but_without(45);
        assert_eq!(rig.send(audio(wrong)), Ok(Some(Input::Audio(kept))));
        assert_eq!(rig.0.take_remarks(), ["audio is no base64 of whole samples"]);
    }
}

#[test]
fn results_for_no_open_tool_use_are_refused_unless_that_is_waived() {
    Rig::with_audio().refuses(tool_start("R", "T1"), GENERIC);
    let mut answered = Rig::with_audio();
    answered.0.tool_asked("T1".into());
    assert!(answered.tool_result(json!("{}")).is_ok());
    answered.refuses(tool_start("R2", "T1"), GENERIC);
    let mut rig = Rig::with_audio_but_without(48);
    assert!(rig.tool_result(json!("{}")).is_ok());
    assert_eq!(rig.0.take_remarks(), ["a tool result is for no open tool use"]);
}

#[test]
fn the_session_ends_after_its_prompt_and_finally_unless_that_is_waived() {
    let end = || json!({"sessionEnd": {}});
    Rig::with_audio().refuses(end(), GENERIC);
    let mut rig = Rig::with_audio_but_without(51);
    assert_eq!(rig.send(end()), Ok(Some(Input::PromptEnded)));
    assert_eq!(rig.send(end()), Ok(None));
    assert_eq!(rig.0.take_remarks(), ["sessionEnd comes without promptEnd", "an event follows sessionEnd"]);
    assert!(rig.0.is_over());
}
