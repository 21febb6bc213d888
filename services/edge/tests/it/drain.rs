use hyper::StatusCode;
use offhook_hosting::lifecycle::Drained;
use offhook_proto::voice::v1::{
    Ended, EndedReason, HangUp, Next, NextStep, from_edge::Message as ToWorker, next_step::Step, to_edge::Message,
};

use crate::support::{
    CALL, Edge,
    twilio::{Sent, Stream, arrive, form, get, post},
    worker::Worker,
};

#[tokio::test]
async fn an_idle_edge_goes_at_once() {
    let edge = Edge::with_env(&[]).await;
    assert_eq!(get(edge.public, "/").await.0, StatusCode::OK);
    edge.lifecycle.soft_stop().cancel();
    assert_eq!(edge.ends().await, Drained::Whole);
}

#[tokio::test]
async fn a_draining_edge_hands_calls_to_the_human_and_lets_live_ones_end_well() {
    let mut worker = Worker::willing().await;
    worker.decides(NextStep { step: Some(Step::HangUp(HangUp { say: String::new() })) });
    let edge = Edge::with_workers(&[worker.address]).await;
    let mut caller = Stream::started(edge.public).await;
    let mut leg = worker.accepted().await;
    edge.lifecycle.soft_stop().cancel();

    assert!(post(edge.public, "/incoming-call", &form(&[])).await.1.contains("<Response><Dial "));
    assert_eq!(get(edge.admin, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(edge.admin, "/healthz").await.0, StatusCode::OK);

    caller.media(&[1; 160]).await;
    assert!(matches!(leg.hears().await, Some(ToWorker::Audio(_))));
    leg.send(Message::Next(Next { step: None })).await;
    leg.finish();
    assert_eq!(caller.hears().await, Sent::Close);
    drop(caller);
    let (status, document) = post(edge.public, "/stream-ended", &form(&[])).await;
    assert_eq!(status, StatusCode::OK);
    assert!(document.ends_with("<Response><Hangup/></Response>"));
    assert_eq!(edge.ends().await, Drained::Whole);
}

#[tokio::test]
async fn a_caller_who_was_taken_before_the_drain_is_still_served() {
    let mut worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    let path = arrive(edge.public).await;
    edge.lifecycle.soft_stop().cancel();
    assert!(post(edge.public, "/incoming-call", &form(&[])).await.1.contains("<Response><Dial "));

    let mut caller = Stream::open(edge.public, &path).await.unwrap();
    caller.start(CALL).await;
    let mut leg = worker.accepted().await;
    caller.media(&[1; 160]).await;
    assert!(matches!(leg.hears().await, Some(ToWorker::Audio(_))));
    caller.stop().await;
    drop((caller, leg));
    assert_eq!(edge.ends().await, Drained::Whole);
}

#[tokio::test]
async fn a_call_whose_socket_is_lost_during_the_drain_still_learns_what_comes_next() {
    let mut worker = Worker::willing().await;
    worker.decides(goodbye());
    let edge = Edge::with_workers(&[worker.address]).await;
    let caller = Stream::started(edge.public).await;
    let mut leg = worker.accepted().await;
    edge.lifecycle.soft_stop().cancel();
    drop(caller);
    let lost = Ended { reason: EndedReason::ConnectionLost.into() };
    assert_eq!(leg.hears().await, Some(ToWorker::Ended(lost)));
    drop(leg);
    assert!(post(edge.public, "/stream-ended", &form(&[])).await.1.contains("<Say>Goodbye.</Say>"));
    assert_eq!(edge.ends().await, Drained::Whole);
}

#[tokio::test]
async fn a_call_that_outlasts_the_drain_is_ended_on_both_sides_and_learns_what_comes_next() {
    let mut worker = Worker::willing().await;
    worker.decides(goodbye());
    let address = format!("http://{}", worker.address);
    let edge = Edge::with_env(&[("SONIC_WORKERS", &address), ("DRAIN_SECONDS", "50ms")]).await;
    let mut caller = Stream::started(edge.public).await;
    let mut leg = worker.accepted().await;
    edge.lifecycle.soft_stop().cancel();
    let stopping = Ended { reason: EndedReason::EdgeStopping.into() };
    assert_eq!(leg.hears().await, Some(ToWorker::Ended(stopping)));
    assert_eq!(caller.hears().await, Sent::Close);
    drop((caller, leg));
    assert!(post(edge.public, "/stream-ended", &form(&[])).await.1.contains("<Say>Goodbye.</Say>"));
    assert_eq!(edge.ends().await, Drained::CutShort);
}

fn goodbye() -> NextStep {
    NextStep { step: Some(Step::HangUp(HangUp { say: "Goodbye.".to_owned() })) }
}
