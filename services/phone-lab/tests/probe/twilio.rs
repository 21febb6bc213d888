//! `phone-lab probe twilio`.

use offhook_hosting::clock::Clock;
use phone_lab::{
    probe::twilio::{Comparison, simulated, simulated_with},
    twilio::{CallOptions, Signing, url::Url},
};

const TOKEN: &str = "phone-lab-auth-token";

fn url() -> Url {
    Url::parse("https://voice.example.test").unwrap()
}

#[tokio::test]
async fn every_question_is_answered_and_twice_the_same() {
    let url = url();
    let (once, again) = tokio::try_join!(simulated(&url, TOKEN, Clock), simulated(&url, TOKEN, Clock)).unwrap();
    let comparison = Comparison::new(&once, &again);
    assert!(comparison.agrees(), "{comparison}");
    for (question, answer) in [
        ("signature of a webhook is over", "the URL as it is written"),
        ("signature of an upgrade is over", "the URL as it is written"),
        ("after a 302 the method is", "GET, without parameters in its body"),
        ("a ping is", "answered"),
        ("a mark with nothing to play is", "echoed at once: idle"),
        ("marks behind audio that is not played are", "not echoed"),
        ("marks that are cleared are", "echoed at once: a b c"),
        ("after media that is no base64 the stream", "goes on"),
        ("after a stream closed with 1000 comes", "the action"),
        ("after a stream cut by the server comes", "the action"),
        ("after a stream refused with 403 comes", "the action"),
        ("callbacks of a stream refused with 403", "stream-error"),
        ("attempts at a stream that is refused", "one"),
    ] {
        assert_eq!(once.answer(question), Some(answer), "{once:#?}");
    }
}

#[tokio::test]
async fn a_twilio_that_differs_is_found_out_by_question() {
    let other = CallOptions { stream_error_on_close: true, stream_signing: Signing::Missing, ..CallOptions::default() };
    let url = url();
    let (usual, other) =
        tokio::try_join!(simulated(&url, TOKEN, Clock), simulated_with(&url, TOKEN, other, Clock)).unwrap();
    let comparison = Comparison::new(&usual, &other);
    let expected = [
        "signature of an upgrade is over",
        "callbacks of a stream closed with 1000",
        "callbacks of a stream closed with 1011",
        "callbacks of a stream cut by the server",
    ];
    for question in comparison.differing() {
        assert!(expected.contains(&question), "{comparison}");
    }
    assert!(comparison.differing().any(|question| question == expected[0]), "{comparison}");
    assert!(comparison.differing().any(|question| question == expected[1]), "{comparison}");
}
