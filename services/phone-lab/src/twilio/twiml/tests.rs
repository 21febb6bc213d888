use proptest::proptest;

use super::*;

fn verbs(body: &str) -> Vec<Verb> {
    let document = parse(&format!("<Response>{body}</Response>")).unwrap();
    assert_eq!(document.findings, []);
    document.verbs
}

fn findings(body: &str) -> Vec<u32> {
    let document = parse(&format!("<Response>{body}</Response>")).unwrap();
    document.findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn a_stream_is_read_with_its_parameters_and_action() {
    let body = r#"
        <!-- hello -->
        <Connect action="/stream-ended">
          <Stream url="wss://voice.example.test/m/1"><Parameter name="a" value="1 &amp; 2"/></Stream>
        </Connect>
        <Hangup/>"#;
    let stream = Stream {
        url: "wss://voice.example.test/m/1".into(),
        parameters: vec![("a".into(), "1 & 2".into())],
        ..Stream::default()
    };
    let action = Some(Request { url: "/stream-ended".into(), method: Method::Post });
    assert_eq!(verbs(body), [Verb::Connect(Connect { action, stream }), Verb::Hangup]);
}

#[test]
fn the_other_verbs_are_read() {
    let body = r#"<Say voice="Polly.Amy">One <break time="1s"/>moment</Say><Pause length="3"/>
        <Dial timeout="20"><Sip>sip:agent@pbx.example.test?X-A=b&amp;X-C=d</Sip><Number>+15550100</Number></Dial>
        <Redirect method="GET">/next</Redirect><Reject reason="busy"/>"#;
    let targets = [Target::Sip("sip:agent@pbx.example.test?X-A=b&X-C=d".into()), Target::Number("+15550100".into())];
    let expected = [
        Verb::Prompt(Prompt::Say { text: "One moment".into(), times: 1 }),
        Verb::Prompt(Prompt::Pause(Duration::from_secs(3))),
        Verb::Redirect(Request { url: "/next".into(), method: Method::Get }),
        Verb::Reject { busy: true },
    ];
    let (dials, others): (Vec<_>, Vec<_>) = verbs(body).into_iter().partition(|verb| matches!(verb, Verb::Dial(_)));
    assert_eq!(others, expected);
    let [Verb::Dial(dial)] = &dials[..] else { panic!("{dials:?}") };
    assert_eq!((dial.terms.timeout, dial.terms.time_limit), (Duration::from_secs(20), Duration::from_secs(4 * 3600)));
    assert_eq!((dial.terms.answer_on_bridge, dial.terms.hangup_on_star, dial.terms.sequential), (false, false, false));
    assert_eq!(dial.targets.iter().map(|leg| leg.target.clone()).collect::<Vec<_>>(), targets);
    assert!(dial.targets.iter().all(|leg| leg.events == ["completed"] && leg.screen.is_none()));
}

#[test]
fn what_twilio_cannot_parse_is_refused() {
    for text in [
        "",
        "\n<?xml version=\"1.0\"?><Response/>",
        "\u{feff}<Response/>",
        "<!DOCTYPE Response><Response/>",
        "<?xml version=\"1.0\"?><?xml version=\"1.0\"?><Response/>",
        "<response/>",
        "<Response><Say>a & b</Say></Response>",
        "<Response>",
    ] {
        assert_eq!(parse(text).unwrap_err().code, codes::PARSE_FAILURE, "{text:?}");
    }
    assert!(parse("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response/>").is_ok());
}

proptest! {
    #[test]
    fn nothing_an_edge_answers_can_panic(body in r#"(<|>|/|=|"|&|</?(Connect|Stream|Say|Dial|Sip|Pause)>| |.)*"#) {
        let _ = parse(&format!("<Response>{body}</Response>"));
        let _ = parse(&body);
    }
}

#[test]
fn what_the_schema_lacks_is_skipped_and_noted() {
    assert_eq!(findings("<say>hello</say>"), [codes::SCHEMA]);
    assert_eq!(findings("<Hangup now=\"yes\"/>"), [codes::SCHEMA]);
    assert_eq!(findings("text"), [codes::SCHEMA]);
    assert_eq!(findings("<Connect/>"), [codes::SCHEMA]);
    assert_eq!(findings("<Connect><Stream url=\"/a\"><Parameter name=\"a\"/></Stream></Connect>"), [codes::SCHEMA]);
    let long =
        format!("<Connect><Stream url=\"/a\"><Parameter name=\"a\" value=\"{}\"/></Stream></Connect>", "x".repeat(499));
    assert_eq!(findings(&long), [codes::SCHEMA]);
    assert_eq!(findings("<Say/>"), [codes::EMPTY_SAY]);
    assert_eq!(findings("<Pause length=\"0\"/>"), [codes::BAD_PAUSE]);
    assert_eq!(findings("<Dial><Sip>agent</Sip></Dial>"), [codes::BAD_SIP_ADDRESS]);
    assert_eq!(findings("<Dial>5550100</Dial>"), [codes::NOT_E164]);
    assert_eq!(findings("<Gather><Say loop=\"x\">a</Say></Gather>"), [codes::GATHER_SAY_LOOP]);
    assert_eq!(findings("<Gather digits=\"1\"/>"), [codes::SCHEMA]);
    let event = "<Dial><Number statusCallback=\"/leg\" statusCallbackEvent=\"rang\">+15550100</Number></Dial>";
    assert_eq!(findings(event), [codes::SCHEMA]);
}

#[test]
fn files_keys_and_queues_are_read() {
    let body = r#"<Play loop="3">/music.wav</Play><Play digits="1w2#"/><Say loop="0">on and on</Say>
        <Enqueue waitUrl="/wait" waitUrlMethod="GET" action="/left" maxQueueSize="5">support</Enqueue><Leave/>"#;
    let expected = [
        Verb::Prompt(Prompt::Play { url: "/music.wav".into(), times: 3 }),
        Verb::Prompt(Prompt::Keys("1w2#".into())),
        Verb::Prompt(Prompt::Say { text: "on and on".into(), times: 1000 }),
        Verb::Enqueue(Enqueue {
            name: "support".into(),
            action: Some(Request { url: "/left".into(), method: Method::Post }),
            wait: Some(Request { url: "/wait".into(), method: Method::Get }),
            most: 5,
        }),
        Verb::Leave,
    ];
    assert_eq!(verbs(body), expected);
}

#[test]
fn a_leg_is_read_with_its_screening_its_keys_and_its_detection() {
    let body = r#"<Dial answerOnBridge="true" hangupOnStar="true" timeLimit="60" sequential="true" callerId="+15550100">
        <Number url="/whisper" method="GET" sendDigits="ww12" machineDetection="DetectMessageEnd"
            amdStatusCallback="/amd">+15550101</Number></Dial>"#;
    let [Verb::Dial(dial)] = &verbs(body)[..] else { panic!("no dial") };
    assert_eq!((dial.terms.answer_on_bridge, dial.terms.hangup_on_star, dial.terms.sequential), (true, true, true));
    assert_eq!((dial.terms.time_limit, dial.terms.caller_id.as_deref()), (Duration::from_secs(60), Some("+15550100")));
    let leg = &dial.targets[0];
    assert_eq!(leg.screen, Some(Request { url: "/whisper".into(), method: Method::Get }));
    let callback = Some(Request { url: "/amd".into(), method: Method::Post });
    assert_eq!(
        (leg.send_digits.as_str(), &leg.detection),
        ("ww12", &Some(LegDetection { message_end: true, callback }))
    );
}

#[test]
fn each_verb_that_is_wrong_has_its_own_code() {
    let sip = |address: &str| format!("<Dial><Sip>sip:a@b.test{address}</Sip></Dial>");
    let eleven = format!("<Dial>{}</Dial>", "<Sip>sip:a@b.test</Sip>".repeat(11));
    for (body, code) in [
        ("<Say loop=\"-1\">a</Say>".to_owned(), codes::BAD_SAY_LOOP),
        (format!("<Say>{}</Say>", "a".repeat(4097)), codes::SAY_TOO_LONG),
        ("<Play loop=\"x\">/a</Play>".to_owned(), codes::BAD_PLAY_LOOP),
        ("<Play digits=\"12x\"/>".to_owned(), codes::SCHEMA),
        ("<Play/>".to_owned(), codes::SCHEMA),
        ("<Redirect method=\"PUT\">/a</Redirect>".to_owned(), codes::BAD_REDIRECT_METHOD),
        ("<Reject reason=\"tired\"/>".to_owned(), codes::SCHEMA),
        ("<Enqueue/>".to_owned(), codes::SCHEMA),
        (format!("<Enqueue>{}</Enqueue>", "q".repeat(65)), codes::SCHEMA),
        ("<Enqueue maxQueueSize=\"0\">q</Enqueue>".to_owned(), codes::SCHEMA),
        ("<Leave now=\"1\"/>".to_owned(), codes::SCHEMA),
        (sip("?Subject=hello"), codes::SIP_HEADER_NAME),
        (sip(&format!("?X-A={}", "a".repeat(1024))), codes::SIP_HEADERS_TOO_LONG),
        (sip(&"x".repeat(255)), codes::BAD_SIP_ADDRESS),
        (eleven, codes::TOO_MANY_LEGS),
        ("<Dial callerId=\"me\">+15550100</Dial>".to_owned(), codes::BAD_CALLER_ID),
        ("<Dial callerId=\"a b\"><Sip>sip:a@b.test</Sip></Dial>".to_owned(), codes::CALLER_ID_CHARACTERS),
        ("<Dial method=\"PUT\">+15550100</Dial>".to_owned(), codes::DIAL_METHOD),
        ("<Dial timeout=\"2\">+15550100</Dial>".to_owned(), codes::DIAL_TIMEOUT),
        ("<Dial hangupOnStar=\"1\">+15550100</Dial>".to_owned(), codes::DIAL_HANGUP_ON_STAR),
        ("<Dial><Client>joey</Client></Dial>".to_owned(), codes::DIAL_NESTED),
        ("<Dial><Number url=\"/a\" method=\"PUT\">+15550100</Number></Dial>".to_owned(), codes::NUMBER_METHOD),
        ("<Dial><Sip url=\"/a\" method=\"PUT\">sip:a@b.test</Sip></Dial>".to_owned(), codes::SIP_METHOD),
        ("<Dial><Sip sendDigits=\"x\">sip:a@b.test</Sip></Dial>".to_owned(), codes::SIP_SEND_DIGITS),
        ("<Gather method=\"PUT\"/>".to_owned(), codes::GATHER_METHOD),
        ("<Gather input=\"speech\"/>".to_owned(), codes::GATHER_INPUT),
        ("<Gather timeout=\"x\"/>".to_owned(), codes::GATHER_TIMEOUT),
        ("<Gather numDigits=\"0\"/>".to_owned(), codes::GATHER_NUM_DIGITS),
        ("<Gather finishOnKey=\"12\"/>".to_owned(), codes::GATHER_FINISH_ON_KEY),
        ("<Gather><Dial>+15550100</Dial></Gather>".to_owned(), codes::GATHER_NESTED),
        ("<Dial><Number machineDetectionTimeout=\"2\">+15550100</Number></Dial>".to_owned(), codes::SCHEMA),
        ("<Dial answerOnBridge=\"maybe\">+15550100</Dial>".to_owned(), codes::SCHEMA),
        ("<Dial timeLimit=\"0\">+15550100</Dial>".to_owned(), codes::DIAL_TIME_LIMIT),
        ("<Dial><Number machineDetection=\"Yes\">+15550100</Number></Dial>".to_owned(), codes::SCHEMA),
        ("<Dial><Number sendDigits=\"x\">+15550100</Number></Dial>".to_owned(), codes::NUMBER_SEND_DIGITS),
    ] {
        assert_eq!(findings(&body), [code], "{body}");
    }
    for fine in ["?X-A=b&amp;User-to-User=31&amp;x-b=c", ";transport=tls?Remote-Party-ID=a", ""] {
        assert!(findings(&sip(fine)).is_empty(), "{fine}");
    }
}

#[test]
fn a_document_may_be_nested_as_deeply_as_it_is_long() {
    let document = format!("<Response><Say>{}deep{}</Say></Response>", "<s>".repeat(9000), "</s>".repeat(9000));
    let said = parse(&document).map(|document| document.verbs);
    assert_eq!(said.unwrap().len(), 1);
}
