use std::time::Duration;

use phone_lab::bedrock::{ExceptionKind, Fault, Moment, SessionEnd, Settings};
use tokio::time::timeout;

use crate::support::*;

const SOON: Moment = Moment::After(Duration::from_millis(10));

/// A call whose session is struck by this fault.
async fn struck(fault: Fault) -> (Lab, Call) {
    let lab = Lab::quick().await;
    lab.server.inject(fault);
    let client = lab.client().await;
    let call = call(&client).await;
    (lab, call)
}

fn fault_of(lab: &Lab) -> String {
    match lab.report().end {
        Some(SessionEnd::Fault(what)) => what,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn exceptions_arrive_as_they_are_worded() {
    for (kind, name) in [
        (ExceptionKind::InternalServer, "internalServerException"),
        (ExceptionKind::ModelStreamError, "modelStreamErrorException"),
        (ExceptionKind::Validation, "validationException"),
        (ExceptionKind::Throttling, "throttlingException"),
        (ExceptionKind::ModelTimeout, "modelTimeoutException"),
        (ExceptionKind::ServiceUnavailable, "serviceUnavailableException"),
    ] {
        let (lab, mut call) = struck(Fault::Exception { kind, message: "on purpose".into(), at: SOON }).await;
        assert_eq!(call.ended().await, End::Exception(name.into(), "on purpose".into()));
        assert_eq!(fault_of(&lab), name);
    }
}

#[tokio::test]
async fn an_exception_can_follow_the_first_audio() {
    let message = "The system encountered an unexpected error during processing.".to_owned();
    let kind = ExceptionKind::ModelStreamError;
    let (_lab, mut call) = struck(Fault::Exception { kind, message, at: Moment::FirstAudio }).await;
    call.say("hello").await;
    call.until("audioOutput", |_| true).await;
    assert!(matches!(call.next().await, Err(End::Exception(..))));
}

#[tokio::test]
async fn a_reset_stream_breaks_one_session_only() {
    let lab = Lab::quick().await;
    let client = lab.client().await;
    let mut other = call(&client).await;
    lab.server.inject(Fault::ResetStream(SOON));
    let mut call = call(&client).await;
    assert_eq!(call.ended().await, End::Broken);
    assert_eq!(fault_of(&lab), "stream reset");
    other.say("still here").await;
    assert_eq!(other.turn().await, "you said still here");
}

#[tokio::test]
async fn a_dropped_connection_breaks_all_its_sessions() {
    let lab = Lab::quick().await;
    let client = lab.client().await;
    let mut other = call(&client).await;
    lab.server.inject(Fault::DropConnection(SOON));
    let mut call = call(&client).await;
    assert_eq!(call.ended().await, End::Broken);
    assert_eq!(other.ended().await, End::Broken);
    lab.until(|server| server.open_connections() == 0 && server.live_sessions() == 0).await;
    assert_eq!(fault_of(&lab), "connection dropped");
    assert!(matches!(lab.server.reports()[0].end, Some(SessionEnd::ClientVanished(_))));
}

#[tokio::test]
async fn an_early_end_looks_clean() {
    let (lab, mut call) = struck(Fault::EndStream(Moment::FirstAudio)).await;
    call.say("hello").await;
    call.until("audioOutput", |_| true).await;
    assert_eq!(call.next().await, Err(End::Clean));
    assert_eq!(fault_of(&lab), "stream ended early");
}

#[tokio::test]
async fn a_frozen_session_says_nothing_until_the_client_gives_up() {
    let (lab, mut call) = struck(Fault::Freeze(Moment::FirstAudio)).await;
    call.say("hello hello hello").await;
    call.until("audioOutput", |_| true).await;
    // Its next would come after 25 ms.
    assert!(timeout(Duration::from_millis(300), call.next()).await.is_err());
    assert_eq!(lab.server.live_sessions(), 1);
    call.hang_up();
    drop(call);
    lab.until(|server| server.live_sessions() == 0).await;
    assert_eq!(fault_of(&lab), "frozen");
}

#[tokio::test]
async fn a_session_that_is_never_answered_ends_when_the_client_gives_up() {
    let lab = Lab::quick().await;
    lab.server.inject(Fault::NeverAnswer);
    let client = lab.client().await;
    let unanswered = timeout(Duration::from_millis(300), start(&client, MODEL, vec![session_start()])).await;
    assert!(unanswered.is_err());
    lab.until(|server| server.live_sessions() == 0).await;
    assert_eq!(fault_of(&lab), "never answered");
}

#[tokio::test]
async fn silence_of_the_client_and_age_end_a_session() {
    let short = Duration::from_secs(1);
    let idle = Lab::start(Settings { idle_limit: short, ..quick("{}") }).await;
    let mut silent = call(&idle.client().await).await;
    let End::Exception(kind, message) = silent.ended().await else { panic!("no exception") };
    assert_eq!(kind, "validationException");
    let expected = "Timed out waiting for audio bytes or interactive content. Please ensure gaps between audio bytes \
                    and interactive content are less than 1 seconds";
    assert_eq!(message, format!("RequestId={} : {expected}", silent.request_id));
    assert_eq!(idle.report().end, Some(SessionEnd::TimedOut(expected.into())));
    let aged = Lab::start(Settings { session_limit: short, ..quick("{}") }).await;
    let mut old = call(&aged.client().await).await;
    let End::Exception(kind, message) = old.ended().await else { panic!("no exception") };
    assert_eq!(kind, "modelTimeoutException");
    assert!(message.ends_with("Model has timed out in processing the request. Try your request again."), "{message}");
}
