use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use super::*;

fn setup() -> Setup {
    Setup {
        system_prompt: "You answer the phone.".into(),
        voice: VoiceId::from("matthew"),
        sensitivity: Sensitivity::Medium,
        max_tokens: 4096,
        tools: Vec::new(),
    }
}

fn speaks_first() -> Beginning {
    Beginning { text: Some("hi".into()), ..Beginning::default() }
}

fn opened() -> Session {
    let (mut session, _) = Session::open(&setup(), Entropy::from_seed(1));
    session.begin(speaks_first());
    session
}

fn names(events: Vec<ClientEvent>) -> Vec<String> {
    let name = |event: ClientEvent| {
        let event: Value = serde_json::from_slice(&event.into_bytes()).unwrap();
        event["event"].as_object().unwrap().keys().next().unwrap().clone()
    };
    events.into_iter().map(name).collect()
}

fn told(session: &mut Session, events: impl IntoIterator<Item = ServerEvent>) -> Vec<Told> {
    events.into_iter().filter_map(|event| session.handle_event(event)).collect()
}

fn final_text(role: Role) -> ServerEvent {
    ServerEvent::TextStart { role, stage: GenerationStage::Final }
}

#[test]
fn a_session_opens_listens_and_closes_in_the_order_the_model_demands() {
    let (mut session, opening) = Session::open(&setup(), Entropy::from_seed(1));
    assert_eq!(names(opening), ["sessionStart", "promptStart", "contentStart", "textInput", "contentEnd"]);
    let audio_then_text = ["contentStart", "audioInput", "contentStart", "textInput", "contentEnd"];
    assert_eq!(names(session.begin(speaks_first())), audio_then_text);
    assert_eq!(session.begin(speaks_first()), []);
    assert_eq!(names(session.audio(&[0; 320]).into_iter().collect()), ["audioInput"]);
    assert_eq!(names(session.close()), ["contentEnd", "promptEnd", "sessionEnd"]);
    assert_eq!(session.close(), []);
    assert_eq!(session.audio(&[0; 320]), None);
}

#[test]
fn a_session_closed_before_it_opened_still_ends_a_prompt_that_has_audio() {
    let (mut session, _) = Session::open(&setup(), Entropy::from_seed(1));
    assert_eq!(names(session.close()), ["contentStart", "audioInput", "contentEnd", "promptEnd", "sessionEnd"]);
    assert_eq!(session.begin(speaks_first()), []);
}

#[test]
fn a_session_that_takes_over_is_told_what_was_before_any_audio_and_hears_what_was_kept_back() {
    let (mut session, _) = Session::open(&setup(), Entropy::from_seed(1));
    let history = vec![Message::user("hi"), Message::assistant("Hello.")];
    let events = session.begin(Beginning { history, caller_audio: vec![1; 7_000], text: None });
    let block = ["contentStart", "textInput", "contentEnd"];
    let audio = ["contentStart", "audioInput", "audioInput", "audioInput", "audioInput"];
    assert_eq!(names(events.clone()), [&block[..], &block, &audio].concat());
    let starts: Vec<Value> = events
        .into_iter()
        .map(|event| serde_json::from_slice::<Value>(&event.into_bytes()).unwrap()["event"]["contentStart"].take())
        .filter(|start| start["type"] == "TEXT")
        .collect();
    let roles: Vec<_> = starts.iter().map(|start| (&start["role"], &start["interactive"])).collect();
    assert_eq!(roles, [(&json!("USER"), &json!(false)), (&json!("ASSISTANT"), &json!(false))]);
    assert_ne!(starts[0]["contentName"], starts[1]["contentName"]);
}

#[test]
fn a_long_prompt_goes_out_in_pieces_that_the_model_accepts() {
    let prompt = "\u{e9}".repeat(5_000);
    let (_, opening) = Session::open(&Setup { system_prompt: prompt.clone(), ..setup() }, Entropy::from_seed(1));
    let texts: Vec<String> = opening
        .into_iter()
        .map(|event| serde_json::from_slice::<Value>(&event.into_bytes()).unwrap())
        .filter_map(|event| Some(event["event"]["textInput"]["content"].as_str()?.to_owned()))
        .collect();
    assert_eq!(texts.len(), 3);
    assert_eq!(texts.concat(), prompt);
}

#[test]
fn an_interruption_is_told_once_whether_marker_or_stop_reason_comes_first() {
    let marker = || ServerEvent::Text("{ \"interrupted\" : true }".into());
    let end = || ServerEvent::TextEnd(StopReason::Interrupted);
    let events = [final_text(Role::Assistant), ServerEvent::Text("I was".into()), marker(), end()];
    assert_eq!(told(&mut opened(), events), [Told::Interrupted, Told::AgentSpoke("I was".into())]);
    assert_eq!(told(&mut opened(), [final_text(Role::Assistant), end()]), [Told::Interrupted]);
}

#[test]
fn an_audio_end_turn_alone_is_no_interruption() {
    assert_eq!(told(&mut opened(), [ServerEvent::AudioEnd(StopReason::EndTurn)]), [Told::AgentTurnEnded]);
}

#[test]
fn the_callers_words_are_told_whole_and_empty_ones_as_none() {
    let partial = || ServerEvent::TextEnd(StopReason::PartialTurn);
    let said = |pieces: &[&str]| {
        let mut events = vec![final_text(Role::User)];
        events.extend(pieces.iter().map(|piece| ServerEvent::Text((*piece).into())));
        events.push(partial());
        told(&mut opened(), events)
    };
    assert_eq!(said(&["cancel ", "it"]), [Told::CallerSaid("cancel it".into())]);
    assert_eq!(said(&[""]), [Told::CallerSaidNothing]);
}

#[test]
fn a_sample_split_over_two_events_is_put_together() {
    let audio = |bytes: &'static [u8]| ServerEvent::Audio(Bytes::from_static(bytes));
    let heard = told(&mut opened(), [audio(&[1, 2, 3]), audio(&[4]), audio(&[5])]);
    assert_eq!(heard, [Told::AgentAudio(Bytes::from_static(&[1, 2])), Told::AgentAudio(Bytes::from_static(&[3, 4]))]);
}

#[test]
fn text_for_the_model_is_a_block_of_its_own_and_only_goes_to_a_session_that_listens() {
    let (mut session, _) = Session::open(&setup(), Entropy::from_seed(1));
    assert_eq!(session.text("hello"), []);
    let opened = session.begin(Beginning::default()).pop().unwrap();
    let opened: Value = serde_json::from_slice(&opened.into_bytes()).unwrap();
    let primed = STANDARD.decode(opened["event"]["audioInput"]["content"].as_str().unwrap()).unwrap();
    assert!(primed.len() >= 1_600, "100 ms of audio go before any text");
    let block: Vec<Value> = session
        .text("hello")
        .into_iter()
        .map(|event| serde_json::from_slice::<Value>(&event.into_bytes()).unwrap()["event"].take())
        .collect();
    let [start, text, end] = &block[..] else { panic!("{block:?}") };
    assert_eq!((&start["contentStart"]["role"], &start["contentStart"]["interactive"]), (&json!("USER"), &json!(true)));
    assert_eq!(text["textInput"]["content"], "hello");
    assert_eq!(end["contentEnd"]["contentName"], start["contentStart"]["contentName"]);
    session.close();
    assert_eq!(session.text("hello"), []);
}

#[test]
fn each_tool_request_is_answered_once() {
    let mut session = opened();
    let id = ToolUseId::from("T");
    assert_eq!(session.tool_result(&id, &json!({})), []);
    session.handle_event(ServerEvent::ToolUse { id: id.clone(), name: "find".into(), input: json!({}) });
    assert_eq!(names(session.tool_result(&id, &json!({}))), ["contentStart", "toolResult", "contentEnd"]);
    assert_eq!(session.tool_result(&id, &json!({})), []);
}
