//! What Twilio tells beside a call.

use hyper::StatusCode;
use offhook_proto::voice::v1::{
    CallProgress, NextStep, Recording, Speak, StreamProgress, report_request::Event, to_edge::Message,
};

use crate::support::{
    Edge, STREAM,
    twilio::{Sent, Stream, form, get_signed, post},
    worker::Worker,
};

const NOTHING: (StatusCode, String) = (StatusCode::NO_CONTENT, String::new());

async fn known() -> (Edge, Worker) {
    let worker = Worker::willing().await;
    worker.decides(NextStep { step: None });
    (Edge::with_workers(&[worker.address]).await, worker)
}

fn status(status: &str, more: &[(&str, &str)]) -> String {
    form(more).replace("CallStatus=ringing", &format!("CallStatus={status}"))
}

#[tokio::test]
async fn what_twilio_tells_of_a_call_reaches_its_worker_as_often_and_in_the_order_it_comes() {
    let (edge, worker) = known().await;
    for (word, sequence) in [("completed", "3"), ("ringing", "1"), ("completed", "3"), ("on-fire", "x")] {
        let told = status(word, &[("SequenceNumber", sequence), ("Unheard", "of")]);
        assert_eq!(post(edge.public, "/call-status", &told).await, NOTHING);
        let call_status = word.to_owned();
        let expected = CallProgress { call_status, sequence_number: sequence.parse().ok(), ..CallProgress::default() };
        assert_eq!(worker.reported(), [Event::Progress(expected)]);
    }
    let told = status("completed", &[("CallDuration", "49"), ("SipResponseCode", "200")]);
    assert_eq!(get_signed(edge.public, &format!("/call-status?{told}")).await, NOTHING);
    let Event::Progress(progress) = &worker.reported()[0] else { panic!("no progress") };
    assert_eq!((progress.call_duration_s, progress.sip_response_code), (Some(49), Some(200)));
}

/// Pitfall 28: the stream's own callback is the early sign of a stream that dies.
#[tokio::test]
async fn what_twilio_tells_of_a_stream_or_a_recording_reaches_the_worker_too() {
    let (edge, worker) = known().await;
    let error = [("StreamSid", STREAM), ("StreamEvent", "stream-error"), ("StreamError", "31924 - Protocol")];
    assert_eq!(post(edge.public, "/stream-status", &form(&error)).await, NOTHING);
    let (stream_sid, stream_event) = (STREAM.to_owned(), "stream-error".to_owned());
    let expected = StreamProgress { stream_sid, stream_event, stream_error: "31924 - Protocol".to_owned() };
    assert_eq!(worker.reported(), [Event::Stream(expected)]);
    let sid = "RE00000000000000000000000000000004";
    let recorded = [
        ("RecordingSid", sid),
        ("RecordingStatus", "completed"),
        ("RecordingUrl", "https://api.twilio.com/r"),
        ("RecordingDuration", "30"),
    ];
    assert_eq!(post(edge.public, "/recording-status", &form(&recorded)).await, NOTHING);
    let expected = Recording {
        recording_sid: sid.to_owned(),
        recording_status: "completed".to_owned(),
        recording_url: "https://api.twilio.com/r".to_owned(),
        recording_duration_s: Some(30),
    };
    assert_eq!(worker.reported(), [Event::Recording(expected)]);
}

/// Pitfall 21: the callback that a call was answered races with its stream. It begins nothing.
#[tokio::test]
async fn only_a_stream_begins_a_conversation_whatever_callbacks_come_before_and_after_it() {
    let mut worker = Worker::willing().await;
    worker.decides(NextStep { step: None });
    let edge = Edge::with_workers(&[worker.address]).await;
    let answered = status("in-progress", &[("SequenceNumber", "2")]);
    assert_eq!(post(edge.public, "/call-status", &answered).await, NOTHING);
    assert!(!worker.was_asked());
    let mut stream = Stream::started(edge.public).await;
    let leg = worker.accepted().await;
    assert_eq!(post(edge.public, "/call-status", &answered).await, NOTHING);
    let begun = [("StreamSid", STREAM), ("StreamEvent", "stream-started")];
    assert_eq!(post(edge.public, "/stream-status", &form(&begun)).await, NOTHING);
    leg.send(Message::Speak(Speak { first_sample: 0, mulaw: vec![1; 160].into(), epoch: 0 })).await;
    assert_eq!(stream.hears().await, Sent::Media(vec![1; 160]));
    assert!(!worker.was_asked(), "one leg, and one greeting");
}

#[tokio::test]
async fn a_callback_about_a_call_that_nobody_knows_or_without_its_fields_is_no_error() {
    let stranger = Worker::willing().await;
    let edge = Edge::with_workers(&[stranger.address, "127.0.0.1:1".parse().unwrap()]).await;
    for target in ["/call-status", "/stream-status", "/recording-status"] {
        assert_eq!(post(edge.public, target, &form(&[])).await, NOTHING, "{target}");
        assert_eq!(post(edge.public, target, &form(&[]).replace("CallStatus", "Other")).await, NOTHING, "{target}");
    }
    assert_eq!(edge.metric("edge_webhooks_total", "route=\"stream_status\"").await, Some(2.0));
}

#[tokio::test]
async fn what_becomes_of_a_dialled_leg_is_not_taken_for_what_becomes_of_a_call() {
    let (edge, worker) = known().await;
    let told = status("completed", &[("ParentCallSid", "CA00000000000000000000000000000009")]);
    assert_eq!(post(edge.public, "/call-status", &told).await, NOTHING);
    assert_eq!(worker.reported(), []);
}

#[tokio::test]
async fn a_callback_that_twilio_has_not_signed_is_refused() {
    let (edge, worker) = known().await;
    for target in ["/call-status", "/stream-status", "/recording-status", "/transfer-result", "/transfer-whisper"] {
        let refused = crate::support::twilio::post_signed(edge.public, target, &form(&[]), Some("forged")).await;
        assert_eq!(refused, (StatusCode::FORBIDDEN, String::new()), "{target}");
    }
    assert_eq!(worker.reported(), []);
}
