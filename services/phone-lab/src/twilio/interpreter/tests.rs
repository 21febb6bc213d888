use super::*;
use std::time::Duration;

fn interpreter(body: &str) -> Interpreter {
    let base = Url::parse("https://voice.example.test/calls/incoming").unwrap();
    let mut interpreter = Interpreter::new(base.clone());
    interpreter.load(twiml::parse(&format!("<Response>{body}</Response>")).unwrap(), base);
    interpreter
}

fn stream(attributes: &str) -> String {
    format!("<Connect><Stream {attributes}/></Connect>")
}

fn said(text: &str) -> Action {
    Action::Prompt(Prompt::Say { text: text.into(), times: 1 })
}

fn codes_of(interpreter: &mut Interpreter) -> Vec<u32> {
    interpreter.take_findings().iter().map(|finding| finding.code).collect()
}

fn opened(action: &Action) -> String {
    let Action::OpenStream { url, .. } = action else { panic!("{action:?} opens no stream") };
    url.to_string()
}

#[test]
fn verbs_run_top_to_bottom_and_the_end_of_the_document_ends_the_call() {
    let mut call = interpreter("<Say>hello</Say><Pause length=\"2\"/>");
    assert_eq!(call.next(Ended::Simply), said("hello"));
    assert_eq!(call.next(Ended::Simply), Action::Prompt(Prompt::Pause(Duration::from_secs(2))));
    assert_eq!(call.next(Ended::Simply), Action::EndOfDocument);
}

#[test]
fn a_stream_that_ends_hands_the_call_to_its_action_and_later_verbs_never_run() {
    let mut call = interpreter("<Connect action=\"/next\"><Stream url=\"/media/1\"/></Connect><Say>never</Say>");
    assert_eq!(opened(&call.next(Ended::Simply)), "wss://voice.example.test/media/1");
    let Action::Request(next) = call.next(Ended::Stream) else { panic!("no request") };
    assert_eq!((next.url.to_string().as_str(), next.method), ("https://voice.example.test/next", Method::Post));
}

#[test]
fn without_an_action_the_next_verb_runs() {
    let mut call = interpreter(&format!("{}{}<Hangup/>", stream("url=\"/a\""), stream("url=\"/b\"")));
    assert_eq!(opened(&call.next(Ended::Simply)), "wss://voice.example.test/a");
    assert_eq!(opened(&call.next(Ended::Stream)), "wss://voice.example.test/b");
    assert_eq!(call.next(Ended::Stream), Action::HangUp);
}

#[test]
fn a_dialled_leg_tells_the_action_how_it_ended() {
    let mut call = interpreter("<Dial action=\"done\" method=\"GET\"><Sip>sip:a@b.test</Sip></Dial>");
    assert!(matches!(call.next(Ended::Simply), Action::Dial { .. }));
    let status = vec![("DialCallStatus".to_owned(), "busy".to_owned())];
    let Action::Request(next) = call.next(Ended::With(status.clone())) else { panic!("no request") };
    assert_eq!(next.url.to_string(), "https://voice.example.test/calls/done");
    assert_eq!((next.method, next.parameters), (Method::Get, status));
}

#[test]
fn only_the_first_verb_can_reject() {
    assert_eq!(interpreter("<Reject/>").next(Ended::Simply), Action::Reject { busy: false });
    assert_eq!(interpreter("<Reject reason=\"busy\"/>").next(Ended::Simply), Action::Reject { busy: true });
    let mut call = interpreter("<Say>a</Say><Reject/>");
    call.next(Ended::Simply);
    assert_eq!(call.next(Ended::Simply), Action::HangUp);
}

#[test]
fn a_stream_that_twilio_refuses_is_noted_and_the_call_goes_on() {
    for (attributes, code) in [
        ("url=\"ws://voice.example.test/a\"", codes::STREAM_SCHEME),
        ("url=\"https://voice.example.test/a\"", codes::STREAM_SCHEME),
        ("url=\"wss:///a\"", codes::STREAM_URL),
        ("track=\"inbound_track\"", codes::STREAM_URL),
        ("url=\"/a\" track=\"both_tracks\"", codes::STREAM_TRACK),
    ] {
        let mut call = interpreter(&format!("{}<Hangup/>", stream(attributes)));
        assert_eq!(call.next(Ended::Simply), Action::HangUp, "{attributes}");
        assert_eq!(codes_of(&mut call), [code], "{attributes}");
    }
}

#[test]
fn a_streams_query_is_taken_off_and_noted() {
    let mut call = interpreter(&stream("url=\"wss://voice.example.test/a?token=1\""));
    assert_eq!(opened(&call.next(Ended::Simply)), "wss://voice.example.test/a");
    assert_eq!(codes_of(&mut call), [codes::STREAM_HANDSHAKE]);
}

#[test]
fn a_name_is_unique_and_a_status_callback_absolute() {
    let mut call = interpreter(&stream("url=\"/a\" name=\"x\" statusCallback=\"/s\"").repeat(2));
    opened(&call.next(Ended::Simply));
    assert_eq!(codes_of(&mut call), [codes::MALFORMED_URL]);
    assert_eq!(call.next(Ended::Stream), Action::EndOfDocument);
    assert!(codes_of(&mut call).contains(&codes::SCHEMA));
}

#[test]
fn an_action_that_is_no_url_fails_the_document() {
    let mut call = interpreter("<Redirect>https://a b/</Redirect>");
    let Action::Fail(finding) = call.next(Ended::Simply) else { panic!("no failure") };
    assert_eq!(finding.code, codes::MALFORMED_URL);
}

#[test]
fn who_was_dialled_cannot_dial_and_who_waits_in_a_queue_can_only_listen_or_leave() {
    let url = || Url::parse("https://voice.example.test/whisper").unwrap();
    let document = || {
        let verbs = "<Dial>+15550100</Dial><Connect><Stream url=\"/a\"/></Connect><Leave/><Say>still here</Say>";
        twiml::parse(&format!("<Response>{verbs}</Response>")).unwrap()
    };
    let mut leg = Interpreter::new(url()).in_place(Place::Leg);
    leg.load(document(), url());
    assert_eq!(leg.next(Ended::Simply), said("still here"));
    assert_eq!(codes_of(&mut leg), [codes::NESTED_DIAL, codes::SCHEMA, codes::SCHEMA]);
    let mut queue = Interpreter::new(url()).in_place(Place::Queue);
    queue.load(document(), url());
    assert_eq!(queue.next(Ended::Simply), Action::Leave);
    assert_eq!(codes_of(&mut queue), [codes::SCHEMA, codes::SCHEMA]);
}

#[test]
fn a_queue_is_left_for_its_action_or_the_next_verb() {
    let mut call = interpreter("<Enqueue action=\"/left\" waitUrl=\"wait\">support</Enqueue><Say>never</Say>");
    let Action::Enqueue { name, wait, most } = call.next(Ended::Simply) else { panic!("no queue") };
    let (wait, method) = wait.unwrap();
    assert_eq!((name.as_str(), most, method), ("support", 1000, Method::Post));
    assert_eq!(wait.to_string(), "https://voice.example.test/calls/wait");
    let result = vec![("QueueResult".to_owned(), "leave".to_owned())];
    let Action::Request(next) = call.next(Ended::With(result.clone())) else { panic!("no request") };
    assert_eq!((next.url.path(), next.parameters), ("/left", result));
    let mut call = interpreter("<Enqueue>support</Enqueue><Say>next</Say>");
    assert!(matches!(call.next(Ended::Simply), Action::Enqueue { wait: None, .. }));
    assert_eq!(call.next(Ended::With(Vec::new())), said("next"));
}

#[test]
fn any_number_of_verbs_can_be_skipped() {
    let mut call = interpreter(&"<Leave/>".repeat(8000));
    assert_eq!(call.next(Ended::Simply), Action::EndOfDocument);
    assert_eq!(codes_of(&mut call).len(), 8000);
}
