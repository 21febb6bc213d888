use bytes::Bytes;
use edge::worker::WorkerId;
use hyper::StatusCode;
use offhook_proto::voice::v1::{HangUp, Next, NextStep, Speak, next_step::Step, to_edge::Message};
use tokio::net::TcpListener;
use tonic::{Code, Status};

use crate::support::{
    Edge, soon,
    twilio::{Sent, Stream, form, get, post},
    wire::Wire,
    worker::{Leg, Worker},
};

#[tokio::test]
async fn a_worker_that_is_full_or_absent_is_followed_by_the_next() {
    let (full, draining) = (Worker::refusing(Code::ResourceExhausted).await, Worker::refusing(Code::Unavailable).await);
    let mut willing = Worker::willing().await;
    let nobody = "127.0.0.1:1".parse().unwrap();
    let edge = Edge::with_workers(&[full.address, nobody, draining.address, willing.address]).await;
    for _ in 0..4 {
        let mut caller = Stream::started(edge.public).await;
        let leg = willing.accepted().await;
        is_heard(&leg, &mut caller).await;
    }
}

#[tokio::test]
async fn a_placed_call_is_served_by_the_worker_at_which_its_record_has_begun() {
    let workers = [Worker::willing().await, Worker::willing().await, Worker::willing().await];
    let edge = Edge::with_workers(&workers.each_ref().map(|worker| worker.address)).await;
    for worker in &workers {
        let id = WorkerId::of(&format!("http://{}", worker.address).parse().unwrap());
        let before = worker.reserved();
        let (_, document) = post(edge.public, &format!("/incoming-call?worker={id}"), &form(&[])).await;
        assert!(document.contains("<Stream") && !document.contains("query.worker"), "{document}");
        assert_eq!(worker.reserved(), before + 1);
    }
}

#[tokio::test]
async fn when_every_worker_refuses_the_socket_closes_and_twilio_asks_again() {
    let (one, other) = (Worker::refusing(Code::ResourceExhausted).await, Worker::refusing(Code::Unavailable).await);
    let edge = Edge::with_workers(&[one.address, other.address]).await;
    let mut caller = Stream::started(edge.public).await;
    assert_eq!(caller.hears().await, Sent::Close);
    assert!(post(edge.public, "/stream-ended", &form(&[])).await.1.contains("<Dial "), "the human is there");
}

#[tokio::test]
async fn a_worker_that_hangs_is_given_up_and_asked_last_for_a_while() {
    let (mut hung, mut willing) = (Worker::hung().await, Worker::willing().await);
    // The second one is asked first.
    let edge = Edge::with_workers(&[willing.address, hung.address]).await;
    for _ in 0..3 {
        let mut caller = Stream::started(edge.public).await;
        let leg = willing.accepted().await;
        is_heard(&leg, &mut caller).await;
    }
    assert!(hung.was_asked());
    assert_eq!(edge.metric("edge_attach_failures_total", "code=\"Unavailable\"").await, Some(1.0));
}

#[tokio::test]
async fn a_worker_that_takes_connections_and_says_nothing_is_followed_by_the_next() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut willing = Worker::willing().await;
    let edge = Edge::with_workers(&[willing.address, silent.local_addr().unwrap()]).await;
    let mut caller = Stream::started(edge.public).await;
    let leg = willing.accepted().await;
    is_heard(&leg, &mut caller).await;
    soon(silent.accept()).await.unwrap();
}

#[tokio::test]
async fn the_worker_that_served_the_call_says_what_comes_next() {
    let (mut one, mut other) = (Worker::willing().await, Worker::willing().await);
    one.decides(says("I am the first."));
    other.decides(says("I am the second."));
    let edge = Edge::with_workers(&[one.address, other.address]).await;
    for _ in 0..4 {
        let mut caller = Stream::started(edge.public).await;
        let (mut leg, sentence) = tokio::select! {
            leg = one.accepted() => (leg, "I am the first."),
            leg = other.accepted() => (leg, "I am the second."),
        };
        leg.send(Message::Next(Next { step: None })).await;
        leg.finish();
        assert_eq!(caller.hears().await, Sent::Close);
        let (_, document) = post(edge.public, "/stream-ended", &form(&[])).await;
        assert!(document.contains(sentence), "{sentence} {document}");
    }
}

#[tokio::test]
async fn an_edge_is_ready_once_it_knows_a_worker() {
    let worker = Worker::willing().await;
    let known = Edge::with_env(&[("SONIC_WORKERS", &format!("dns://127.0.0.1:{}", worker.address.port()))]).await;
    soon(async { while get(known.admin, "/readyz").await.0 != StatusCode::OK {} }).await;
    let unknown = Edge::with_env(&[("SONIC_WORKERS", "dns://no-such-name.invalid:1")]).await;
    assert_eq!(get(unknown.admin, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(unknown.admin, "/healthz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_worker_whose_host_dies_closes_the_socket_within_seconds() {
    let mut worker = Worker::willing().await;
    let wire = Wire::to(worker.address).await;
    let edge = Edge::with_workers(&[wire.address]).await;
    let mut caller = Stream::started(edge.public).await;
    let leg = worker.accepted().await;
    is_heard(&leg, &mut caller).await;
    wire.falls_silent();
    assert_eq!(caller.hears().await, mark());
    // The edge's pings to the caller do not extend this.
    assert_eq!(soon(caller.hears()).await, Sent::Close);
}

#[tokio::test]
async fn a_worker_that_says_the_call_cannot_be_served_is_not_followed_by_another() {
    let mut one = Worker::refusing(Code::FailedPrecondition).await;
    let mut other = Worker::refusing(Code::FailedPrecondition).await;
    let edge = Edge::with_workers(&[one.address, other.address]).await;
    let mut caller = Stream::started(edge.public).await;
    assert_eq!(caller.hears().await, Sent::Close);
    assert_ne!(one.was_asked(), other.was_asked());
}

#[tokio::test]
async fn a_worker_that_breaks_off_closes_the_socket() {
    let mut worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    let mut caller = Stream::started(edge.public).await;
    worker.accepted().await.fail(Status::internal("the conversation broke")).await;
    assert_eq!(caller.hears().await, Sent::Close);
}

#[tokio::test]
async fn legs_spread_over_the_workers() {
    let (mut one, mut other) = (Worker::willing().await, Worker::willing().await);
    let edge = Edge::with_workers(&[one.address, other.address]).await;
    let _callers = (Stream::started(edge.public).await, Stream::started(edge.public).await);
    let (_first, _second) = (one.attached().await, other.attached().await);
}

#[tokio::test]
async fn a_worker_that_ends_the_stream_too_early_closes_the_socket() {
    let mut worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    let mut caller = Stream::started(edge.public).await;
    drop(worker.accepted().await);
    assert_eq!(caller.hears().await, Sent::Close);
}

#[tokio::test]
async fn a_worker_that_vanishes_closes_the_socket() {
    let mut worker = Worker::willing().await;
    let wire = Wire::to(worker.address).await;
    let edge = Edge::with_workers(&[wire.address]).await;
    let mut caller = Stream::started(edge.public).await;
    let leg = worker.accepted().await;
    is_heard(&leg, &mut caller).await;
    wire.is_cut();
    assert_eq!(caller.hears().await, mark());
    assert_eq!(caller.hears().await, Sent::Close);
    post(edge.public, "/stream-ended", &form(&[])).await;
    edge.is_idle().await;
    assert_eq!(edge.metric("edge_legs_ended_total", "reason=\"worker_lost\"").await, Some(1.0));
}

/// The leg is live at both its ends.
async fn is_heard(leg: &Leg, caller: &mut Stream) {
    leg.send(Message::Speak(Speak { first_sample: 0, mulaw: Bytes::from_static(&[7; 160]), epoch: 0 })).await;
    assert_eq!(caller.hears().await, Sent::Media(vec![7; 160]));
}

fn mark() -> Sent {
    Sent::Mark("0:160".to_owned())
}

fn says(sentence: &str) -> NextStep {
    NextStep { step: Some(Step::HangUp(HangUp { say: sentence.to_owned() })) }
}
