use bytes::Bytes;
use offhook_proto::voice::v1::{
    CallerAudio, Digit, Direction, Ended, EndedReason, Heard, Hush, Next, Speak, from_edge::Message as ToWorker,
    to_edge::Message,
};

use crate::support::{
    CALL, Edge, STREAM,
    twilio::{Sent, Stream, arrive, form, post},
    worker::Worker,
};

fn speak(first_sample: u64, samples: usize, epoch: u32, fill: u8) -> Message {
    Message::Speak(Speak { first_sample, mulaw: Bytes::from(vec![fill; samples]), epoch })
}

fn ended(reason: EndedReason) -> Option<ToWorker> {
    Some(ToWorker::Ended(Ended { reason: reason.into() }))
}

fn heard(sample: u64, epoch: u32) -> Option<ToWorker> {
    Some(ToWorker::Heard(Heard { sample, epoch }))
}

fn mark(name: &str) -> Sent {
    Sent::Mark(name.to_owned())
}

#[tokio::test]
async fn the_callers_voice_and_keys_reach_the_worker_in_order() {
    let mut worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    let mut caller = Stream::started(edge.public).await;
    let mut leg = worker.accepted().await;
    assert_eq!((leg.start.call_sid.as_str(), leg.start.stream_sid.as_str()), (CALL, STREAM));
    assert_eq!((leg.start.from.as_str(), leg.start.direction()), ("+15005550006", Direction::Inbound));
    assert!(leg.start.transfer_available);
    for fill in [1, 2] {
        caller.media(&[fill; 160]).await;
    }
    caller.key('5').await;
    caller.media(&[3; 160]).await;
    let audio =
        |first_sample, fill| Some(ToWorker::Audio(CallerAudio { first_sample, mulaw: Bytes::from(vec![fill; 160]) }));
    assert_eq!(leg.hears().await, audio(0, 1));
    assert_eq!(leg.hears().await, audio(160, 2));
    assert_eq!(leg.hears().await, Some(ToWorker::Digit(Digit { digit: "5".to_owned() })));
    assert_eq!(leg.hears().await, audio(320, 3));
}

#[tokio::test]
async fn the_agents_voice_reaches_the_caller_and_its_echo_the_worker() {
    let mut worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    let mut caller = Stream::started(edge.public).await;
    let mut leg = worker.accepted().await;
    leg.send(speak(0, 1000, 0, 9)).await;
    for (samples, name) in [(160, "0:160"), (800, "0:960"), (40, "0:1000")] {
        assert_eq!(caller.hears().await, Sent::Media(vec![9; samples]));
        assert_eq!(caller.hears().await, mark(name));
    }
    caller.echo("0:960").await;
    assert_eq!(leg.hears().await, heard(960, 0));
    caller.echo("0:1000").await;
    assert_eq!(leg.hears().await, heard(1000, 0));
}

#[tokio::test]
async fn after_a_hush_the_caller_hears_nothing_stale_and_what_was_flushed_was_not_heard() {
    let mut worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    let mut caller = Stream::started(edge.public).await;
    let mut leg = worker.accepted().await;
    for second in 0..5 {
        leg.send(speak(second * 8000, 8000, 0, 1)).await;
    }
    leg.send(Message::Hush(Hush { epoch: 1 })).await;
    leg.send(speak(40_000, 800, 0, 1)).await;
    leg.send(speak(40_000, 160, 1, 2)).await;
    let mut last_mark = None;
    loop {
        match caller.hears().await {
            Sent::Media(audio) => assert_eq!(audio[0], 1),
            Sent::Mark(name) => last_mark = Some(name),
            Sent::Clear => break,
            Sent::Close => panic!("closed"),
        }
    }
    if let Some(flushed) = last_mark {
        let Sent::Mark(behind_the_clear) = caller.hears().await else { panic!("the clear has no mark") };
        caller.echo(&flushed).await;
        caller.echo(&behind_the_clear).await;
    } else {
        caller.hears().await;
        caller.echo("1:0").await;
    }
    assert!(matches!(leg.hears().await, Some(ToWorker::Heard(Heard { epoch: 1, .. }))), "nothing was heard before");
    assert_eq!(caller.hears().await, Sent::Media(vec![2; 160]));
    assert_eq!(caller.hears().await, mark("1:40160"));
    caller.echo("1:40160").await;
    assert_eq!(leg.hears().await, heard(40_160, 1));
    assert_eq!(edge.metric("edge_clears_total", "").await, Some(1.0));
    assert_eq!(edge.metric("edge_hush_to_clear_seconds_count", "").await, Some(1.0));
}

#[tokio::test]
async fn after_next_the_socket_closes_once_the_caller_has_heard_everything() {
    let mut worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    let mut caller = Stream::started(edge.public).await;
    let mut leg = worker.accepted().await;
    leg.send(speak(0, 160, 0, 1)).await;
    leg.send(Message::Next(Next { step: None })).await;
    leg.finish();
    assert_eq!(caller.hears().await, Sent::Media(vec![1; 160]));
    assert_eq!(caller.hears().await, mark("0:160"));
    caller.echo("0:160").await;
    assert_eq!(caller.hears().await, Sent::Close);
    drop(caller);
    post(edge.public, "/stream-ended", &form(&[])).await;
    edge.is_idle().await;
    assert_eq!(edge.metric("edge_legs_ended_total", "reason=\"finished\"").await, Some(1.0));
    assert_eq!(edge.metric("edge_legs_live", "").await, Some(0.0));
}

#[tokio::test]
async fn a_caller_who_hangs_up_ends_the_leg_on_both_sides() {
    let mut worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    let mut caller = Stream::started(edge.public).await;
    let mut leg = worker.accepted().await;
    caller.stop().await;
    assert_eq!(leg.hears().await, ended(EndedReason::Stopped));
    assert_eq!(leg.hears().await, None);
    leg.finish();
    assert_eq!(caller.hears().await, Sent::Close);
    drop(caller);
    edge.is_idle().await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_before_the_worker_listens_is_reported_as_well() {
    let mut worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    let mut caller = Stream::started(edge.public).await;
    let mut leg = worker.attached().await;
    caller.stop().await;
    assert_eq!(leg.hears().await, ended(EndedReason::Stopped));
    edge.is_idle().await;
}

#[tokio::test]
async fn a_lost_connection_is_reported_as_such() {
    let mut worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    let caller = Stream::started(edge.public).await;
    let mut leg = worker.accepted().await;
    drop(caller);
    assert_eq!(leg.hears().await, ended(EndedReason::ConnectionLost));
    leg.finish();
    post(edge.public, "/stream-ended", &form(&[])).await;
    edge.is_idle().await;
    assert_eq!(edge.metric("edge_legs_ended_total", "reason=\"connection_lost\"").await, Some(1.0));
}

#[tokio::test]
async fn a_start_of_another_call_closes_the_socket_before_any_worker_is_asked() {
    let mut worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    let mut caller = Stream::open(edge.public, &arrive(edge.public).await).await.unwrap();
    caller.start("CA00000000000000000000000000000009").await;
    assert_eq!(caller.hears().await, Sent::Close);
    assert!(!worker.was_asked());
}

#[tokio::test]
async fn a_stream_of_rubbish_ends_as_a_protocol_error() {
    let mut worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    let mut caller = Stream::started(edge.public).await;
    let mut leg = worker.accepted().await;
    for _ in 0..50 {
        caller.say("{\"event\":").await;
    }
    assert_eq!(leg.hears().await, ended(EndedReason::ProtocolError));
    assert_eq!(caller.hears().await, Sent::Close);
}

#[tokio::test]
async fn a_message_beyond_the_limit_ends_the_leg_unread() {
    let mut worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    let mut caller = Stream::started(edge.public).await;
    let mut leg = worker.accepted().await;
    caller.media(&vec![0xff; 64 * 1024]).await;
    assert_eq!(leg.hears().await, ended(EndedReason::ConnectionLost));
    assert_eq!(caller.hears().await, Sent::Close);
}
