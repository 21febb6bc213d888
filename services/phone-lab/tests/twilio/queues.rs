//! `<Enqueue>`: what a caller who waits hears, and how the queue is left.

use std::time::Duration;

use phone_lab::twilio::{CallEnd, CallOptions, CallReport, Human, codes};
use tokio::time::sleep;

use crate::{
    edge::{Edge, Seen, answer, caller, twiml},
    rest::{Client, answers, uri},
};

/// An edge that lets callers wait like this, and says what became of it.
fn line(wait: &'static str) -> Edge {
    Edge::answering(move |seen| match seen.target.as_str() {
        "/wait" => twiml(wait),
        "/left" => twiml(&format!("<Say>{}</Say>", seen.parameter("QueueResult").unwrap())),
        "/elsewhere" => twiml("<Say>another document</Say>"),
        _ => twiml("<Enqueue waitUrl=\"/wait\" action=\"/left\" maxQueueSize=\"1\">support</Enqueue><Say>never</Say>"),
    })
}

fn asked(edge: &Edge, target: &str) -> Vec<Seen> {
    edge.seen().into_iter().filter(|seen| seen.target == target).collect()
}

fn texts(report: &CallReport) -> Vec<&str> {
    report.heard.iter().map(|utterance| utterance.text.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn who_waits_hears_the_wait_url_over_and_over_and_it_is_told_of_the_queue() {
    let edge = line("<Say>please hold</Say><Pause length=\"2\"/>");
    let report = edge.call("{ wait: 6s }, hang_up").await;
    assert_eq!((report.end, texts(&report)), (CallEnd::CallerHungUp, vec!["please hold"; 3]));
    let waits = asked(&edge, "/wait");
    let values = |name: &str| waits.iter().map(|seen| seen.parameter(name).unwrap()).collect::<Vec<_>>();
    assert_eq!(values("QueueTime"), ["0", "2", "4"]);
    assert_eq!((values("QueuePosition"), values("CurrentQueueSize")), (vec!["1"; 3], vec!["1"; 3]));
    assert_eq!((values("MaxQueueSize"), values("AvgQueueTime")), (vec!["1"; 3], vec!["0"; 3]));
    let [left] = &asked(&edge, "/left")[..] else { panic!("one action") };
    assert_eq!((left.parameter("QueueResult"), left.parameter("CallStatus")), (Some("hangup"), Some("completed")));
    assert_eq!(left.parameter("QueueSid"), Some(values("QueueSid")[0]));
    assert_eq!(left.parameter("QueueTime"), Some("6"));
}

#[tokio::test(start_paused = true)]
async fn leave_ends_the_waiting_and_keys_may_bring_it_about() {
    let edge = line("<Say>hold</Say><Leave/><Say>never</Say>");
    let report = edge.call("").await;
    assert_eq!((texts(&report), report.code_numbers()), (vec!["hold", "leave"], vec![]));
    let edge = Edge::answering(|seen| match (seen.target.as_str(), seen.parameter("Digits")) {
        ("/wait", None) => twiml("<Gather numDigits=\"1\"><Say>press any key to leave a message</Say></Gather>"),
        ("/wait", Some(_)) => twiml("<Leave/>"),
        _ => twiml("<Enqueue waitUrl=\"/wait\">support</Enqueue><Say>leave a message</Say>"),
    });
    let report = edge.call("listen, { press: '5' }").await;
    assert_eq!(texts(&report).last(), Some(&"leave a message"), "without an action the next verb runs");
}

#[tokio::test(start_paused = true)]
async fn an_agent_takes_the_caller_out_and_the_action_is_asked_when_they_part() {
    let edge = line("<Say>please hold</Say><Pause length=\"20\"/>");
    let steps = "[connected, { say: agent here }, listen, hang_up]";
    let agent = Human::acts(Duration::from_secs(5), steps).unwrap();
    let options = CallOptions { queue_agent: Some(agent), ..CallOptions::default() };
    let report = edge.call_with("connected, listen, { say: at last }", options).await;
    assert_eq!(texts(&report), ["please hold", "agent here", "bridged"]);
    assert_eq!(texts(&report.parties[0]), ["at last"]);
    assert!((Duration::from_secs(5)..Duration::from_millis(5500)).contains(&report.heard[1].at));
    assert_eq!((report.end, report.code_numbers()), (CallEnd::DocumentEnded, vec![]));
    let left = &asked(&edge, "/left")[0];
    assert!(left.parameter("QueueTime").unwrap().parse::<u64>().unwrap() >= 5);
}

#[tokio::test(start_paused = true)]
async fn without_a_wait_url_there_is_music_and_a_full_queue_takes_nobody() {
    let report = Edge::answering(|_| twiml("<Enqueue>support</Enqueue>")).call("{ wait: 5s }, hang_up").await;
    assert!(texts(&report).iter().all(|text| *text == "la la la") && report.heard.len() >= 2, "{:?}", report.heard);
    let edge = line("<Pause length=\"60\"/>");
    let twilio = edge.twilio();
    let first = tokio::spawn({
        let twilio = twilio.clone();
        async move { twilio.call(caller("{ wait: 10s }, hang_up"), CallOptions::default()).await }
    });
    sleep(Duration::from_secs(2)).await;
    let second = twilio.call(caller(""), CallOptions::default()).await;
    assert_eq!(texts(&second), ["queue-full"]);
    assert_eq!(first.await.unwrap().end, CallEnd::CallerHungUp);
    let third = twilio.call(caller("{ wait: 1s }, hang_up"), CallOptions::default()).await;
    assert_eq!((third.end, asked(&edge, "/wait").len()), (CallEnd::CallerHungUp, 2), "there is room again");
    assert_eq!(asked(&edge, "/wait")[1].parameter("AvgQueueTime"), Some("10"));
}

#[tokio::test(start_paused = true)]
async fn a_redirect_takes_the_caller_out_and_asks_for_the_action_too() {
    let edge = line("<Pause length=\"60\"/>");
    let client = Client::of(&edge, answers("{ wait: 60s }")).await;
    let call = client.create(&[]).await;
    client.until(uri(&call), "in-progress").await;
    sleep(Duration::from_secs(2)).await;
    client.post(uri(&call), &[("Url", "https://voice.example.test/elsewhere")]).await;
    let report = client.report(&call).await;
    assert_eq!(asked(&edge, "/left")[0].parameter("QueueResult"), Some("redirected"));
    assert_eq!((texts(&report), report.end), (vec!["another document"], CallEnd::DocumentEnded));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_in_a_queue_is_skipped_and_a_wait_url_that_fails_ends_it() {
    let edge = line("<Dial>+15550100009</Dial><Leave/>");
    let report = edge.call("").await;
    assert_eq!((texts(&report), report.code_numbers()), (vec!["leave"], vec![codes::SCHEMA]));
    assert!(report.dialled.is_empty());
    let edge = Edge::answering(|seen| match seen.target.as_str() {
        "/wait" => answer(500, "text/xml", ""),
        "/left" => twiml(&format!("<Say>{}</Say>", seen.parameter("QueueResult").unwrap())),
        _ => twiml("<Enqueue waitUrl=\"/wait\" action=\"/left\">support</Enqueue>"),
    });
    let report = edge.call("").await;
    assert_eq!((texts(&report), report.code_numbers()), (vec!["error"], vec![codes::RETRIEVAL]));
}
