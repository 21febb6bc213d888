use bytes::Bytes;
use offhook_proto::voice::v1::{Speak, to_edge::Message};
use tonic::{Code, Status};

use crate::support::{
    Edge,
    twilio::{Sent, Stream},
    worker::Worker,
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
        leg.send(Message::Speak(Speak { first_sample: 0, mulaw: Bytes::from_static(&[7; 160]), epoch: 0 })).await;
        assert_eq!(caller.hears().await, Sent::Media(vec![7; 160]));
    }
}

#[tokio::test]
async fn when_every_worker_refuses_the_socket_closes_and_twilio_asks_again() {
    let (one, other) = (Worker::refusing(Code::ResourceExhausted).await, Worker::refusing(Code::Unavailable).await);
    let edge = Edge::with_workers(&[one.address, other.address]).await;
    let mut caller = Stream::started(edge.public).await;
    assert_eq!(caller.hears().await, Sent::Close);
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
async fn a_worker_that_vanishes_closes_the_socket() {
    let mut worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    let mut caller = Stream::started(edge.public).await;
    drop(worker.accepted().await);
    assert_eq!(caller.hears().await, Sent::Close);
}
