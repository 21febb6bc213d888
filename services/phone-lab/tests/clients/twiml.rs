//! What Twilio's helper libraries build is TwiML to the lab, word for word.

use std::{collections::BTreeMap, time::Duration};

use phone_lab::twilio::twiml::{
    Connect, Dial, DialTerms, Enqueue, Gather, Leg, LegDetection, Method, Prompt, Request, Stream, Target, Verb, parse,
};

use crate::client::{Language, run};

#[tokio::test]
async fn what_the_libraries_build_for_each_verb_is_read_as_it_was_meant() {
    let expected = expected();
    for language in Language::ALL {
        let printed = run(language.client("twiml"), "").await;
        let documents: BTreeMap<String, String> = serde_json::from_str(&printed).unwrap();
        assert!(documents.keys().eq(expected.keys()), "{language:?}: {:?}", documents.keys());
        for (name, text) in &documents {
            let document = parse(text).unwrap();
            assert_eq!(
                (&document.verbs[..], &document.findings[..]),
                (&[expected[name].clone()][..], &[][..]),
                "{text}"
            );
        }
    }
}

fn expected() -> BTreeMap<String, Verb> {
    let verbs = [
        ("say", Verb::Prompt(Prompt::Say { text: "Déjà vu & <more>".into(), times: 1 })),
        ("pause", Verb::Prompt(Prompt::Pause(Duration::from_secs(3)))),
        ("play", Verb::Prompt(Prompt::Play { url: "/hello.wav?a=1&b=2".into(), times: 2 })),
        ("playDigits", Verb::Prompt(Prompt::Keys("ww12#".into()))),
        ("dial", Verb::Dial(dial())),
        ("dialNumber", Verb::Dial(dial_number())),
        ("redirect", Verb::Redirect(get("/next?a=1&b=2"))),
        ("hangup", Verb::Hangup),
        ("reject", Verb::Reject { busy: true }),
        ("gather", Verb::Gather(gather())),
        ("enqueue", Verb::Enqueue(enqueue())),
        ("leave", Verb::Leave),
        ("connect", Verb::Connect(Connect { action: post("/stream-ended"), stream: stream() })),
    ];
    verbs.into_iter().map(|(name, verb)| (name.to_owned(), verb)).collect()
}

fn dial() -> Dial {
    let watched = Leg {
        screen: post("/screen"),
        send_digits: "w7".into(),
        status_callback: post("/leg"),
        events: vec!["ringing".into(), "answered".into()],
        detection: Some(LegDetection { message_end: true, callback: post("/detected") }),
        ..leg(number())
    };
    Dial {
        action: Some(get("/dialled")),
        terms: DialTerms {
            timeout: Duration::from_secs(20),
            time_limit: Duration::from_secs(60),
            answer_on_bridge: true,
            hangup_on_star: true,
            sequential: true,
            caller_id: Some("+15550100100".into()),
        },
        targets: vec![leg(Target::Sip("sip:agent@pbx.example.test?X-A=b&X-C=d".into())), watched],
        recording: None,
    }
}

/// All that is not said is as Twilio has it.
fn dial_number() -> Dial {
    Dial {
        action: None,
        terms: DialTerms {
            timeout: Duration::from_secs(30),
            time_limit: Duration::from_hours(4),
            answer_on_bridge: false,
            hangup_on_star: false,
            sequential: false,
            caller_id: None,
        },
        targets: vec![leg(number())],
        recording: None,
    }
}

fn leg(target: Target) -> Leg {
    Leg {
        target,
        screen: None,
        send_digits: String::new(),
        status_callback: None,
        events: vec!["completed".into()],
        detection: None,
    }
}

fn number() -> Target {
    Target::Number("+15550100001".into())
}

fn gather() -> Gather {
    Gather {
        action: Request { url: "/keys".into(), method: Method::Post },
        action_on_empty: false,
        timeout: Duration::from_secs(3),
        num_digits: Some(4),
        finish_on_key: "*".into(),
        prompts: vec![
            Prompt::Say { text: "Your number, please.".into(), times: 1 },
            Prompt::Play { url: "/beep.wav".into(), times: 1 },
            Prompt::Pause(Duration::from_secs(1)),
        ],
    }
}

fn enqueue() -> Enqueue {
    Enqueue { name: "support".into(), action: post("/left"), wait: Some(get("/wait")), most: 5 }
}

fn stream() -> Stream {
    Stream {
        url: "wss://voice.example.test/media/1".into(),
        name: Some("main".into()),
        track: Some("inbound_track".into()),
        status_callback: post("/stream-status"),
        parameters: vec![("ticket".into(), "a \"b\" & 'c' <é>".into())],
    }
}

fn get(url: &str) -> Request {
    Request { url: url.into(), method: Method::Get }
}

fn post(url: &str) -> Option<Request> {
    Some(Request { url: url.into(), method: Method::Post })
}
