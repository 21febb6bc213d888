//! What Twilio's helper libraries build is TwiML to the lab, word for word.

use std::{collections::BTreeMap, time::Duration};

use phone_lab::twilio::twiml::{Connect, Dial, Gather, Leg, Method, Prompt, Request, Stream, Target, Verb, parse};

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
    let leg = |target| Leg { target, status_callback: None, events: vec!["completed".into()] };
    let number = || Target::Number("+15550100001".into());
    let watched =
        Leg { status_callback: post("/leg"), events: vec!["ringing".into(), "answered".into()], ..leg(number()) };
    let sip = leg(Target::Sip("sip:agent@pbx.example.test?X-A=b&X-C=d".into()));
    let action = Some(Request { url: "/dialled".into(), method: Method::Get });
    let dial = Dial { action, timeout: Duration::from_secs(20), targets: vec![sip, watched] };
    let dial_number = Dial { action: None, timeout: Duration::from_secs(30), targets: vec![leg(number())] };
    let gather = Gather {
        action: Request { url: "/keys".into(), method: Method::Post },
        action_on_empty: false,
        timeout: Duration::from_secs(3),
        num_digits: Some(4),
        finish_on_key: "*".into(),
        prompts: vec![Prompt::Say("Your number, please.".into()), Prompt::Pause(Duration::from_secs(1))],
    };
    let stream = Stream {
        url: "wss://voice.example.test/media/1".into(),
        name: Some("main".into()),
        track: Some("inbound_track".into()),
        status_callback: post("/stream-status"),
        parameters: vec![("ticket".into(), "a \"b\" & 'c' <é>".into())],
    };
    let verbs = [
        ("say", Verb::Say("Déjà vu & <more>".into())),
        ("pause", Verb::Pause(Duration::from_secs(3))),
        ("dial", Verb::Dial(dial)),
        ("dialNumber", Verb::Dial(dial_number)),
        ("redirect", Verb::Redirect(Request { url: "/next?a=1&b=2".into(), method: Method::Get })),
        ("hangup", Verb::Hangup),
        ("reject", Verb::Reject),
        ("gather", Verb::Gather(gather)),
        ("connect", Verb::Connect(Connect { action: post("/stream-ended"), stream })),
    ];
    verbs.into_iter().map(|(name, verb)| (name.to_owned(), verb)).collect()
}

fn post(url: &str) -> Option<Request> {
    Some(Request { url: url.into(), method: Method::Post })
}
