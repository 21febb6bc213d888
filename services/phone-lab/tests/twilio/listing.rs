//! The REST interface's list of calls, their deletion, and their streams.

use std::time::Duration;

use phone_lab::twilio::{CallEnd, CallOptions, Happening, codes, rest::RestSettings};
use serde_json::Value;

use crate::{
    edge::{Edge, Line, caller, twiml},
    rest::{CALLS, Client, answers, says_hello, uri},
};

fn sids(page: &Value) -> Vec<&str> {
    page["calls"].as_array().unwrap().iter().map(|call| call["sid"].as_str().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn calls_are_listed_newest_first_filtered_and_in_pages() {
    let edge = says_hello();
    let client = Client::of(&edge, RestSettings { call_interval: Duration::ZERO, ..answers("") }).await;
    let mut calls = Vec::new();
    for to in ["+15550100001", "+15550100002", "+15550100002"] {
        let call = client.create(&[("To", to)]).await;
        client.report(&call).await;
        calls.push(call["sid"].as_str().unwrap().to_owned());
    }
    calls.reverse();
    let (status, all) = client.get(CALLS).await;
    assert_eq!((status, sids(&all)), (200, calls.iter().map(String::as_str).collect::<Vec<_>>()));
    assert_eq!(all["page_size"], 50);
    let (_, first) = client.get(&format!("{CALLS}?To=%2B15550100001&Status=completed&PageSize=1")).await;
    assert_eq!(first["calls"].as_array().unwrap().len(), 1);
    let (_, page) = client.get(&format!("{CALLS}?Status=completed&PageSize=2")).await;
    let (_, rest) = client.get(page["next_page_uri"].as_str().unwrap()).await;
    assert_eq!([sids(&page), sids(&rest)].concat(), calls);
    assert_eq!(sids(&client.get(&format!("{CALLS}?Status=busy")).await.1).len(), 0);
    let (status, refused) = client.get(&format!("{CALLS}?StartTime=tomorrow")).await;
    assert_eq!((status, &refused["status"]), (400, &400.into()));
}

#[tokio::test(start_paused = true)]
async fn only_a_call_that_is_over_can_be_deleted_and_is_gone_then() {
    let edge = Edge::answering(|_| twiml("<Pause length=\"10\"/>"));
    let client = Client::of(&edge, answers("{ wait: 60s }")).await;
    let call = client.create(&[]).await;
    client.until(uri(&call), "in-progress").await;
    let (status, refused) = client.delete(uri(&call)).await;
    assert_eq!((status, &refused["code"]), (409, &codes::NOT_FINISHED.into()));
    client.report(&call).await;
    assert_eq!(client.delete(uri(&call)).await, (204, Value::Null));
    assert_eq!(client.get(uri(&call)).await.0, 404);
    assert_eq!(client.delete(uri(&call)).await.0, 404);
    assert!(sids(&client.get(CALLS).await.1).is_empty());
}

/// Stops the stream of a live call under this name: what is answered, and the call's report and messages.
async fn stopped(lenient: bool, by_name: bool, form: &[(&str, &str)]) -> (u16, Value, phone_lab::twilio::CallReport) {
    let edge = Edge::start(
        |seen| match seen.target.as_str() {
            "/incoming-call" => twiml("<Connect action=\"/next\"><Stream name=\"agent\" url=\"/media/1\"/></Connect>"),
            _ => twiml("<Say>the stream is over</Say>"),
        },
        |mut line: Line| async move { line.drain().await },
    );
    let twilio = edge.twilio();
    let client = Client::with(twilio.clone(), RestSettings { stops_two_way_streams: lenient, ..answers("") }).await;
    let (events, mut watched) = tokio::sync::mpsc::channel(64);
    let call =
        tokio::spawn(async move { twilio.call_watched(caller("{ wait: 3s }"), CallOptions::default(), events).await });
    let stream_sid = loop {
        if let Happening::StreamStarted { stream_sid } = watched.recv().await.unwrap().what {
            break stream_sid;
        }
    };
    let call_sid = edge.seen()[0].parameter("CallSid").unwrap().to_owned();
    let stream = if by_name { "agent" } else { &stream_sid };
    let path = CALLS.replace(".json", &format!("/{call_sid}/Streams/{stream}.json"));
    let (status, body) = client.post(&path, form).await;
    let (none, _) = client.post(&path.replace(stream, "nobody"), form).await;
    assert_eq!(none, 404);
    let report = call.await.unwrap();
    assert_eq!(client.post(&path, form).await.0, 404, "the stream is over");
    (status, body, report)
}

#[tokio::test(start_paused = true)]
async fn a_two_way_stream_is_stopped_as_a_resource_only_if_the_lab_is_lenient() {
    let stop = [("Status", "stopped")];
    let (status, refused, report) = stopped(false, false, &stop).await;
    assert_eq!((status, &refused["code"]), (400, &codes::BAD_CALL_STATE.into()));
    assert_eq!((report.end, report.heard.len()), (CallEnd::PatienceEnded, 0));
    let (status, _, _) = stopped(true, false, &[("Status", "started")]).await;
    assert_eq!(status, 400);
    for by_name in [false, true] {
        let (status, stream, report) = stopped(true, by_name, &stop).await;
        assert_eq!((status, &stream["status"], &stream["name"]), (200, &"stopped".into(), &"agent".into()));
        assert_eq!(stream["sid"], report.stream_sids[0]);
        assert_eq!((report.end, report.heard[0].text.as_str()), (CallEnd::DocumentEnded, "the stream is over"));
        assert!(report.code_numbers().is_empty(), "nobody closed it");
    }
}
