use std::time::Duration;

use phone_lab::bedrock::{ExceptionKind, Fault, Moment, Probability, Quirk, SessionEnd, Settings};
use tokio::time::timeout;

use crate::{raw::*, support::*};

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
    let aged = Lab::start(Settings { session_limit: Some(short), ..quick("{}") }).await;
    let mut old = call(&aged.client().await).await;
    let End::Exception(kind, message) = old.ended().await else { panic!("no exception") };
    assert_eq!(kind, "modelTimeoutException");
    assert!(message.ends_with("Model has timed out in processing the request. Try your request again."), "{message}");
}

#[tokio::test]
async fn an_exception_can_come_after_any_number_of_events() {
    for (fault, sent) in [("exception=throttling@sent:1", 1), ("exception=throttling@sent:7", 7)] {
        let (_lab, mut call) = struck(fault.parse().unwrap()).await;
        call.say("hello").await;
        for _ in 0..sent {
            call.next().await.unwrap();
        }
        assert!(matches!(call.next().await, Err(End::Exception(kind, _)) if kind == "throttlingException"));
    }
    // The sixth opens the audio.
    let (lab, mut call) = struck("text=instability@read:6".parse().unwrap()).await;
    let message = "System instability detected. Please retry your request.";
    assert_eq!(call.ended().await, End::Exception("validationException".into(), message.into()));
    assert_eq!(lab.report().system_prompt, "be brief");
}

#[tokio::test]
async fn a_reset_without_error_looks_like_an_end() {
    let (lab, mut call) = struck("reset-no-error@sent:3".parse().unwrap()).await;
    call.say("hello").await;
    assert_eq!(call.ended().await, End::Clean);
    assert_eq!(fault_of(&lab), "stream reset without error");
}

#[tokio::test]
async fn a_reset_has_the_code_it_is_to_have() {
    let lab = Lab::quick().await;
    let mut raw = Raw::connect(&lab).await;
    for (fault, code) in [("reset@read:1", "INTERNAL_ERROR, Remote"), ("reset-no-error@read:1", "NO_ERROR, Remote")] {
        lab.server.inject(fault.parse().unwrap());
        let mut call = raw.open();
        call.send_event(&session_start()).await;
        let error = call.next().await.unwrap_err();
        assert!(error.contains(&format!(", {code}")), "{error}");
    }
}

#[tokio::test]
async fn an_error_frame_has_a_code_and_a_message_and_no_more() {
    let (lab, mut call) = struck("error=Oops:all is lost".parse().unwrap()).await;
    call.say("hello").await;
    call.until("audioOutput", |_| true).await;
    assert_eq!(call.next().await, Err(End::Broken), "the SDK does not know such frames");
    assert_eq!(fault_of(&lab), "error frame");
    lab.server.inject("error=Oops:all is lost@read:1".parse().unwrap());
    let mut call = Raw::connect(&lab).await.open();
    call.send_event(&session_start()).await;
    let frame = call.next().await.unwrap().unwrap();
    let values = [":message-type", ":error-code", ":error-message"].map(|name| value(&frame, name));
    assert_eq!(values, ["error", "Oops", "all is lost"]);
    assert!(frame.payload().is_empty() && call.next().await.unwrap().is_none());
}

#[tokio::test]
async fn frames_can_be_broken() {
    for (fault, what) in [("bad-crc", "bad checksum"), ("half-frame", "half a frame")] {
        let (lab, mut call) = struck(fault.parse().unwrap()).await;
        call.say("hello").await;
        call.until("audioOutput", |_| true).await;
        assert_eq!(call.next().await, Err(End::Broken), "{fault}");
        assert_eq!(fault_of(&lab), what);
    }
}

#[tokio::test]
async fn a_connection_that_is_going_away_finishes_its_sessions_and_takes_no_more() {
    let lab = Lab::quick().await;
    lab.server.inject("goaway@10ms".parse().unwrap());
    let client = lab.client().await;
    let mut first = call(&client).await;
    let mut second = call(&client).await;
    let moved = async {
        while lab.server.open_connections() < 2 {
            second = call(&client).await;
        }
    };
    timeout(Duration::from_secs(20), moved).await.expect("new sessions move to a new connection");
    first.say("still here").await;
    assert_eq!(first.turn().await, "you said still here");
    assert_eq!(first.close().await, End::Clean);
    lab.until(|server| server.open_connections() == 1).await;
    assert_eq!(lab.server.reports()[0].end, Some(SessionEnd::ByTheBook));
}

#[tokio::test]
async fn an_answer_can_be_slow() {
    let lab = Lab::quick().await;
    lab.server.inject("slow-answer=400ms".parse().unwrap());
    let client = lab.client().await;
    let calling = call(&client);
    tokio::pin!(calling);
    assert!(timeout(Duration::from_millis(300), &mut calling).await.is_err());
    let mut call = calling.await;
    call.say("hello").await;
    assert_eq!(call.turn().await, "you said hello");
}

#[tokio::test]
async fn a_word_can_be_blocked_however_it_arrives() {
    let blocked = "This request has been blocked by our content filters.";
    let expected = || End::Exception("validationException".into(), blocked.into());
    let (_lab, mut said) = struck("content-filter=bomb".parse().unwrap()).await;
    said.say("a balloon").await;
    assert_eq!(said.turn().await, "you said a balloon");
    said.say("a bomb").await;
    assert_eq!(said.ended().await, expected());
    let (_lab, mut written) = struck("content-filter=bomb".parse().unwrap()).await;
    written.write("L", "A BOMB").await;
    assert_eq!(written.ended().await, expected());
}

#[tokio::test]
async fn padded_events_are_understood_as_any() {
    let (_lab, mut call) = struck(Fault::Quirk(Quirk::Padding)).await;
    call.say("hello").await;
    assert_eq!(call.turn().await, "you said hello");
}

#[tokio::test]
async fn faults_of_the_settings_strike_by_chance_and_the_same_with_the_same_seed() {
    let ends = async |seed: u64| {
        let faults = vec!["end@read:1".parse().unwrap(), "padding".parse().unwrap()];
        let fault_probability = Probability::new(0.5).unwrap();
        let lab = Lab::start_with_seed(Settings { faults, fault_probability, ..quick("{}") }, seed).await;
        leave_twelve(&lab).await
    };
    let first = ends(1).await;
    assert!((1..12).contains(&struck_of(&first)), "{first:?}");
    assert_eq!(ends(1).await, first);
    assert_ne!(ends(2).await, first);
}
