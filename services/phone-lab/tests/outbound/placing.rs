//! Calls that are placed, each once.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::future::join_all;
use phone_lab::twilio::{CallEnd, Callee, codes, rest::RestSettings};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    network::{Fault, network_at},
    support::{AgentsFile, Answer, CALLEE, ask, callee, configured, pair, post, record, request, send, unanswered},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_placed_and_the_agent_speaks_to_whoever_answers() {
    let script = "{greeting: good morning, dialogue: [{heard: bye, say_first: goodbye then, tool: {name: hang_up}}]}";
    let pair = pair(script, RestSettings::new(callee("[listen, say: bye, listen]"))).await;
    let answer = ask(&pair, &json!({ "to": CALLEE })).await;
    assert_eq!((answer.status, &answer.body["status"]), (201, &"queued".into()));
    let report = pair.rest.report(answer.call_sid()).await;
    let heard: Vec<_> = report.heard.iter().map(|utterance| utterance.text.as_str()).collect();
    assert_eq!((report.end, heard), (CallEnd::HungUpByDocument, vec!["good morning", "goodbye then"]));
    assert_eq!(report.code_numbers(), [codes::STREAM_CLOSED], "the worker has hung up");
    // Every step was reported, and none was refused.
    let record = record(&pair, answer.call_sid()).await;
    assert_eq!((record.call_status.as_str(), record.direction), ("completed", 2));
    pair.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_that_was_asked_for_speaks_and_knows_the_variables() {
    let agents = AgentsFile::new();
    let rest = RestSettings::new(callee("[listen, hang_up]"));
    let pair = configured("greeting: good morning", rest, &[("AGENTS_FILE", &agents.path())]).await;
    let variables = json!({ "guest": "Zoë <&>", "room": "the blue one" });
    let answer = ask(&pair, &json!({ "to": CALLEE, "agent": "reminders", "variables": variables })).await;
    let report = pair.rest.report(answer.call_sid()).await;
    assert_eq!(report.end, CallEnd::CallerHungUp);
    assert!(pair.sessions_end_within(Duration::from_secs(5)).await);
    let prompt = &pair.bedrock.reports()[0].system_prompt;
    assert!(prompt.starts_with("You remind people of their bookings."), "{prompt}");
    assert!(prompt.contains(r#""var.guest":"Zoë <&>","var.room":"the blue one""#), "{prompt}");
    assert_eq!(record(&pair, answer.call_sid()).await.agent, "reminders");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_or_a_post_without_a_body_calls_the_operators_own_number() {
    let own = "+4930555010";
    let rest = RestSettings { callees: vec![(own.to_owned(), Callee::Busy)], ..RestSettings::new(Callee::NoAnswer) };
    let environment = [("TWILIO_VERIFIED_CALLER_ID", own), ("OUTBOUND_CALLS_PER_SECOND", "10")];
    let pair = configured("greeting: hello", rest, &environment).await;
    let get = request("GET").header("authorization", post().headers_ref().unwrap()["authorization"].clone());
    for asked in [get, post()] {
        let answer = send(&pair, asked.body("".into()).unwrap()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        // Whoever else is called lets it ring for 30 s.
        assert_eq!(pair.rest.report(answer.call_sid()).await.end, CallEnd::NotAnswered);
        assert!(pair.twilio.live_calls().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_places_no_call() {
    let pair = unanswered(&[("TWILIO_VERIFIED_CALLER_ID", CALLEE)]).await;
    for method in ["HEAD", "PUT", "DELETE"] {
        let asked = request(method).header("authorization", post().headers_ref().unwrap()["authorization"].clone());
        assert_eq!(send(&pair, asked.body("".into()).unwrap()).await.status, 405, "{method}");
    }
    assert!(pair.twilio.live_calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_requests_at_once_with_one_key_are_one_call() {
    let pair = unanswered(&[]).await;
    let body = json!({ "to": CALLEE, "idempotency_key": "order-12" });
    let answers = join_all((0..10).map(|_| ask(&pair, &body))).await;
    let placed: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    let [placed] = placed.as_slice() else { panic!("{answers:?}") };
    for answer in &answers {
        let same = answer.status < 300 && answer.call_sid() == placed.call_sid();
        let is_late = answer.status == 409 && answer.problem() == "being-placed" && answer.retry_after() > 0;
        assert!(same || is_late, "{answer:?}");
    }
    assert_eq!(pair.twilio.live_calls(), [placed.call_sid()]);
    let again = ask(&pair, &body).await;
    assert_eq!((again.status, again.call_sid()), (200, placed.call_sid()));
    assert_eq!(again.body["status"], "placed_before");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_each_request_is_a_call() {
    let pair = unanswered(&[]).await;
    let body = json!({ "to": CALLEE });
    let calls = [ask(&pair, &body).await, ask(&pair, &body).await];
    assert_ne!(calls[0].call_sid(), calls[1].call_sid());
    assert_eq!(pair.twilio.live_calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_with_another_request_places_nothing() {
    let pair = unanswered(&[]).await;
    let asked = |to| json!({ "to": to, "idempotency_key": "order-12" });
    assert_eq!(ask(&pair, &asked(CALLEE)).await.status, 201);
    let other = ask(&pair, &asked("+15550100002")).await;
    assert_eq!((other.status, other.problem()), (422, "key-reused"));
    assert_eq!(pair.twilio.live_calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_answer_is_lost_is_not_repeated_by_anybody() {
    for fault in [Fault::AnswerLost, Fault::BadGateway] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let pair = unanswered(&[("TWILIO_API_BASE_URL", base.as_str())]).await;
        let seen = network_at(listener, pair.rest.address(), fault, 1);
        let body = json!({ "to": CALLEE, "idempotency_key": "order-12" });
        for _ in 0..2 {
            let answer = ask(&pair, &body).await;
            assert_eq!((answer.status, answer.problem()), (502, "outcome-unknown"));
            assert!(answer.body["detail"].as_str().unwrap().contains("call log"), "{answer:?}");
        }
        assert_eq!((seen.load(Ordering::SeqCst), pair.twilio.live_calls().len()), (1, 1), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_certainly_not_placed_may_be_asked_for_again() {
    let pair = unanswered(&[]).await;
    let body = json!({ "to": CALLEE, "idempotency_key": "order-12" });
    pair.rest.throttle(usize::MAX);
    let answer = ask(&pair, &body).await;
    assert_eq!((answer.status, answer.problem()), (503, "twilio-unavailable"));
    assert!(answer.retry_after() > 0 && pair.twilio.live_calls().is_empty());
    pair.rest.throttle(0);
    assert_eq!(ask(&pair, &body).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_placed_although_nobody_waits_for_the_answer() {
    let pair = unanswered(&[]).await;
    let body = json!({ "to": CALLEE, "idempotency_key": "order-12" });
    // Twilio's REST interface is busy, so that the request is in the middle of being carried out.
    pair.rest.throttle(2);
    let gone = tokio::time::timeout(Duration::from_millis(150), ask(&pair, &body)).await;
    if let Ok(Answer { status, .. }) = gone {
        assert_eq!(status, 201, "it was quicker than the test");
    }
    while !pair.edge_lifecycle.tasks().is_empty() || pair.twilio.live_calls().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let again = ask(&pair, &body).await;
    assert_eq!((again.status, pair.twilio.live_calls().as_slice()), (200, [again.call_sid().to_owned()].as_slice()));
}
