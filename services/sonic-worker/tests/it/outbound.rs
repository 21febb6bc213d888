//! Calls that are placed: once for each request, and with a record from the beginning.

use offhook_proto::voice::v1::{
    AnsweredBy, CallProgress, Direction, Empty, Placed, claim_outbound_response::Verdict, report_request::Event,
    settle_outbound_request::Result as Settled,
};
use tonic::Code;

use crate::support::{CALL, TestWorker};

fn placed(agent: &str) -> Settled {
    Settled::Placed(Placed { call_sid: CALL.into(), agent: agent.into() })
}

fn progress(call_status: &str) -> Event {
    Event::Progress(CallProgress { call_status: call_status.into(), ..CallProgress::default() })
}

#[tokio::test]
async fn a_request_that_is_made_again_places_no_second_call() {
    let worker = TestWorker::start([], None).await;
    assert_eq!(worker.claim("order-7", b"one").await.unwrap(), Verdict::Place(Empty {}));
    assert_eq!(worker.claim("order-7", b"one").await.unwrap(), Verdict::BeingPlaced(Empty {}));
    assert_eq!(worker.claim("order-7", b"two").await.unwrap_err().code(), Code::InvalidArgument);
    worker.settle("order-7", placed("")).await.unwrap();
    assert_eq!(worker.claim("order-7", b"one").await.unwrap(), Verdict::Placed(CALL.into()));
    assert_eq!(worker.claim("order-8", b"one").await.unwrap(), Verdict::Place(Empty {}));
    worker.settle("order-8", Settled::NotPlaced(Empty {})).await.unwrap();
    assert_eq!(worker.claim("order-8", b"one").await.unwrap(), Verdict::Place(Empty {}));
    worker.settle("order-8", Settled::Unknown(Empty {})).await.unwrap();
    assert_eq!(worker.claim("order-8", b"one").await.unwrap(), Verdict::Unknown(Empty {}));
}

#[tokio::test]
async fn what_was_not_claimed_or_is_no_request_is_explained() {
    let worker = TestWorker::start([], None).await;
    assert_eq!(worker.settle("order-7", placed("")).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(worker.record(CALL).await.unwrap_err().code(), Code::NotFound);
    let long = "x".repeat(201);
    for (key, fingerprint) in [("", &b"one"[..]), (&long, b"one"), ("order-7", b""), ("order-7", &[0; 65])] {
        assert_eq!(worker.claim(key, fingerprint).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let nobody = Settled::Placed(Placed { call_sid: "CA1".into(), agent: String::new() });
    assert_eq!(worker.settle("", nobody).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn the_record_of_a_placed_call_begins_with_it_and_says_why_nobody_was_reached() {
    let worker = TestWorker::start([], None).await;
    worker.settle("", placed("recall")).await.unwrap();
    worker.report(progress("ringing")).await.unwrap();
    let record = worker.record(CALL).await.unwrap();
    assert_eq!(
        (record.agent.as_str(), record.direction(), record.outcome.as_str()),
        ("recall", Direction::Outbound, "")
    );
    worker.report(progress("no-answer")).await.unwrap();
    let record = worker.record(CALL).await.unwrap();
    assert_eq!((record.outcome.as_str(), record.call_status.as_str()), ("not_reached", "no-answer"));
    assert!(!record.ended_at.is_empty());
}

#[tokio::test]
async fn the_first_leg_of_a_placed_call_greets_and_a_machine_that_took_it_is_its_outcome() {
    let mut worker = TestWorker::start([], None).await;
    worker.settle("", placed("")).await.unwrap();
    let (leg, mut model) = worker.live_leg().await;
    model.hears_next("textInput").await;
    assert_eq!(model.hears_next("textInput").await["content"], "hi");
    let answered_by = AnsweredBy { answered_by: "machine_start".into(), machine_detection_ms: None };
    worker.report(Event::AnsweredBy(answered_by)).await.unwrap();
    leg.hangs_up().await;
    model.hears_out().await;
    let record = worker.record(CALL).await.unwrap();
    assert_eq!((record.outcome.as_str(), record.answered_by.as_str()), ("answering_machine", "machine_start"));
    assert_eq!((record.agent.as_str(), record.direction()), ("demo", Direction::Outbound));
}
