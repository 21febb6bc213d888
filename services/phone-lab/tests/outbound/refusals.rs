//! Calls that are not placed, and what whoever asks is told.

use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use phone_lab::twilio::{Callee, rest::RestSettings};
use serde_json::json;

use crate::support::{CALLEE, ask, configured, post, request, send, unanswered};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_in_the_environment_the_door_is_not_there() {
    let pair = unanswered(&[("OFFHOOK_OUTBOUND_TOKEN", "")]).await;
    assert_eq!(ask(&pair, &json!({ "to": CALLEE })).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_no_token_is_told_nothing_else_and_soon_nothing_more() {
    // The listener's own limit would speak first.
    let pair = unanswered(&[("MAX_REQUESTS_PER_SOURCE", "100000")]).await;
    let no_token = send(&pair, request("POST").body("not even JSON".into()).unwrap()).await;
    assert_eq!((no_token.status, no_token.problem()), (401, "unauthorized"));
    assert_eq!(no_token.headers[WWW_AUTHENTICATE], "Bearer");
    let guess = || request("POST").header(AUTHORIZATION, "Bearer a guess").body("".into()).unwrap();
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(send(&pair, guess()).await);
    }
    let last = answers.last().unwrap();
    assert_eq!((last.status, last.problem()), (429, "too-many-attempts"));
    assert!((1..=60).contains(&last.retry_after()), "{last:?}");
    assert_eq!(ask(&pair, &json!({ "to": CALLEE })).await.status, 201, "the right token always passes");
    assert_eq!(pair.twilio.live_calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_understood_places_nothing() {
    let pair = unanswered(&[]).await;
    let json = |body: String| post().header(CONTENT_TYPE, "application/json; charset=utf-8").body(body.into()).unwrap();
    for (asked, status, problem) in [
        (json("{".to_owned()), 422, "invalid-request"),
        (json(json!({ "to": CALLEE, "variabels": {} }).to_string()), 422, "invalid-request"),
        (json(json!({ "to": CALLEE, "agent": "nobody" }).to_string()), 422, "invalid-request"),
        (json(json!({ "to": CALLEE, "machine_detection": "leave_message" }).to_string()), 422, "invalid-request"),
        (json("{}".to_owned()), 422, "invalid-request"),
        (json(json!({ "to": "+4930555010" }).to_string()), 422, "callee-not-allowed"),
        (json(json!({ "to": "sip:desk@pbx.example.com" }).to_string()), 422, "callee-not-allowed"),
        (json(" ".repeat(20_000)), 413, "body-too-large"),
        (post().header(CONTENT_TYPE, "text/plain").body("{}".into()).unwrap(), 415, "not-json"),
        (post().body("to=%2B15550100001".into()).unwrap(), 415, "not-json"),
    ] {
        let answer = send(&pair, asked).await;
        assert_eq!((answer.status, answer.problem()), (status, problem), "{answer:?}");
    }
    assert!(pair.twilio.live_calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_beside_the_body_of_a_post_places_nothing() {
    let pair = unanswered(&[("TWILIO_VERIFIED_CALLER_ID", CALLEE)]).await;
    let asked = |method: &str, query: &str, body: &'static str| {
        let request = post().method(method).uri(format!("/outbound-call{query}"));
        request.header(CONTENT_TYPE, "application/json").body(body.into()).unwrap()
    };
    for (method, query, body) in [("GET", "?to=%2B15550100009", ""), ("POST", "?to=x", ""), ("GET", "", "{}")] {
        let answer = send(&pair, asked(method, query, body)).await;
        assert_eq!((answer.status, answer.problem()), (422, "invalid-request"), "{method} {query} {body}");
    }
    assert!(pair.twilio.live_calls().is_empty());
    assert_eq!(send(&pair, asked("GET", "", "")).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn further_countries_and_sip_addresses_are_called_where_that_is_allowed() {
    let environment = [("OUTBOUND_COUNTRY_PREFIXES", "+49"), ("OUTBOUND_SIP_HOSTS", "pbx.example.com")];
    let pair = unanswered(&environment).await;
    for to in ["+4930555010", "sip:desk@pbx.example.com"] {
        assert_eq!(ask(&pair, &json!({ "to": to })).await.status, 201, "{to}");
    }
    assert_eq!(ask(&pair, &json!({ "to": CALLEE })).await.problem(), "callee-not-allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_the_days_number_are_refused_and_say_until_when() {
    let pair = unanswered(&[("OUTBOUND_CALLS_PER_DAY", "2")]).await;
    let body = |key: &str| json!({ "to": CALLEE, "idempotency_key": key });
    for key in ["a", "b"] {
        assert_eq!(ask(&pair, &body(key)).await.status, 201);
    }
    let refused = ask(&pair, &body("c")).await;
    assert_eq!((refused.status, refused.problem()), (429, "too-many-calls"));
    assert!((1..=86_400).contains(&refused.retry_after()), "{refused:?}");
    // A call that exists costs nothing.
    assert_eq!(ask(&pair, &body("a")).await.status, 200);
    assert_eq!(pair.twilio.live_calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_twilio_refuses_is_told_by_its_code() {
    for (callee, from, status, problem, code) in [
        (Callee::Refused(21215), "+15550100100", 422, "callee-refused", 21215),
        (Callee::Refused(21217), "+15550100100", 422, "callee-refused", 21217),
        (Callee::NoAnswer, "+15550100177", 502, "twilio-misconfigured", 21210),
    ] {
        let rest = RestSettings { owned_numbers: vec!["+15550100100".to_owned()], ..RestSettings::new(callee) };
        let pair = configured("greeting: hello", rest, &[("TWILIO_FROM_NUMBER", from)]).await;
        let answer = ask(&pair, &json!({ "to": CALLEE, "idempotency_key": "order-12" })).await;
        assert_eq!((answer.status, answer.problem()), (status, problem), "{answer:?}");
        assert_eq!(answer.body["twilio_code"], code);
        assert!(pair.twilio.live_calls().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_could_serve_the_call_none_is_placed() {
    let pair = unanswered(&[("SONIC_WORKERS", "http://127.0.0.1:9")]).await;
    for body in [json!({ "to": CALLEE }), json!({ "to": CALLEE, "idempotency_key": "order-12" })] {
        let answer = ask(&pair, &body).await;
        assert_eq!((answer.status, answer.problem()), (503, "no-worker"));
        assert!(answer.retry_after() > 0);
    }
    assert!(pair.twilio.live_calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_is_about_to_stop_places_no_call() {
    let pair = unanswered(&[]).await;
    let live_call = pair.edge_lifecycle.tasks().token();
    pair.edge_lifecycle.soft_stop().cancel();
    let answer = ask(&pair, &json!({ "to": CALLEE })).await;
    assert_eq!((answer.status, answer.problem()), (503, "draining"));
    assert!(pair.twilio.live_calls().is_empty());
    drop(live_call);
    pair.stop().await.unwrap();
}
