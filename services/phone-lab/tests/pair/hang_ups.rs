use std::time::Duration;

use offhook_hosting::clock::Clock;
use phone_lab::{
    bedrock::{self, ModelEventKind, Script, SessionEnd},
    pair::Pair,
    twilio::{CallEnd, CallEvent, CallOptions, CallReport, CallerScript, Happening},
};

use crate::support::{assert_nothing_left, caller, live_call, pair, start};

const SCRIPT: &str = "greeting: 'good morning, this is a rather long greeting to be interrupted by a hang-up'";

/// The call, and how its sessions ended; they must have within a second of the end of its first stream.
async fn hang_up(pair: &Pair, caller: CallerScript, options: CallOptions) -> (CallReport, Vec<Option<SessionEnd>>) {
    let (placed, mut model) = (Clock.now(), pair.bedrock.watch());
    let call = pair.twilio.call(caller, options).await;
    assert!(pair.sessions_end_within(Duration::from_secs(5)).await, "a session is left open");
    let left = |event: &&CallEvent| matches!(event.what, Happening::HungUp | Happening::StreamEnded { .. });
    let left = placed + call.timeline.iter().find(left).map_or(Duration::ZERO, |event| event.at);
    while let Ok(event) = model.try_recv() {
        if let ModelEventKind::Closed(_) = event.kind {
            let after = event.at.saturating_duration_since(left);
            assert!(after <= Duration::from_secs(1), "the session was closed {after:?} after the caller left");
        }
    }
    let ends = pair.bedrock.reports().into_iter().map(|session| session.end).collect();
    (call, ends)
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_stream_starts_nothing_is_opened() {
    let pair = pair(SCRIPT).await;
    let options = CallOptions { hang_up_before_start: true, ..CallOptions::default() };
    let (_, ends) = hang_up(&pair, caller("[listen]"), options).await;
    assert_eq!(ends, []);
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_model_is_still_being_asked_its_session_is_closed_by_the_book() {
    // As slow as the real model, which takes about 110 ms to answer.
    let script = Script::from_yaml(SCRIPT).unwrap();
    let pair = start(bedrock::Settings { script, ..bedrock::Settings::default() }).await;
    let mut ends = Vec::new();
    // On a busy machine the caller may be gone before the model is even asked.
    while ends.is_empty() {
        ends = hang_up(&pair, caller("[{wait: 60ms}, hang_up]"), CallOptions::default()).await.1;
    }
    assert_eq!(ends, [Some(SessionEnd::ByTheBook)]);
    assert!(pair.bedrock.reports()[0].said.is_empty());
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_agent_speaks_the_session_is_closed_by_the_book() {
    let pair = pair(SCRIPT).await;
    let steps = "[{interrupt: {after: 300ms, say: 'a'}}, hang_up]";
    let (call, ends) = hang_up(&pair, caller(steps), CallOptions::default()).await;
    assert_eq!((call.end, ends), (CallEnd::CallerHungUp, vec![Some(SessionEnd::ByTheBook)]));
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_media_socket_vanishes_the_session_is_closed_by_the_book_and_the_caller_hears_why() {
    let pair = pair(SCRIPT).await;
    let options = CallOptions { cut_after: Some(Duration::from_millis(600)), ..CallOptions::default() };
    let (call, ends) = hang_up(&pair, caller("[listen, listen]"), options).await;
    assert_eq!(ends, [Some(SessionEnd::ByTheBook)]);
    assert_eq!(call.end, CallEnd::HungUpByDocument);
    assert!(call.spoken_by_twilio[0].contains("sorry"), "{:?}", call.spoken_by_twilio);
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_live_calls_end_and_takes_no_new_ones() {
    let pair = pair(SCRIPT).await;
    let live = live_call(&pair, "[listen, say: still there, listen, hang_up]").await;
    pair.edge_lifecycle.soft_stop().cancel();
    let refused = pair.twilio.call(caller("[listen]"), CallOptions::default()).await;
    assert_eq!((refused.dialled.len(), refused.stream_sids.len()), (1, 0), "the human takes it: {refused:?}");
    pair.stop().await.unwrap();
    let call = live.await.unwrap();
    assert_eq!(call.heard.last().unwrap().text, "you said still there");
}
