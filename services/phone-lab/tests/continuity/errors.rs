//! Sessions that break, in every way that the service has been seen to break them.

use crate::support::{good, play, scenario};

/// The worker takes the limit for shorter than it is: successors are late that cannot be had at once.
const RENEWAL: [(&str, &str); 3] =
    [("SESSION_RENEW_AFTER", "2s"), ("SESSION_LIMIT", "4s"), ("SESSION_STALL_AFTER", "2s")];

#[tokio::test(flavor = "multi_thread")]
async fn one_session_in_ten_may_break_at_random_and_no_word_is_lost() {
    // Whatever the response is at: the first events of a session, the middle of an answer, silence.
    let faults = ["reset@sent:3", "text=instability@sent:9", "exception=model-stream-error@900ms"];
    let likely = faults.map(|fault| format!("{{ fault: '{fault}', probability: 0.04 }}")).join(", ");
    let calls = (1..=4).map(|seed| {
        let model = format!("session_limit: 12s\n  faults: [{likely}]");
        tokio::spawn(play(scenario("", &model, 20, "switches: 5"), &RENEWAL, seed))
    });
    let mut losses = 0;
    for call in calls.collect::<Vec<_>>() {
        losses += good(&call.await.unwrap()).losses;
    }
    assert!(losses > 0, "no session broke");
}

/// Plays a call in which these faults strike every second session.
async fn in_turn(faults: &[&str]) {
    let every_second: Vec<_> = faults.iter().flat_map(|fault| ["none", fault]).collect();
    let model = format!("session_limit: 12s\n  faults_in_turn: [{}]", every_second.join(", "));
    let turns = 3 + 3 * faults.len();
    let played = play(scenario("", &model, turns, ""), &RENEWAL, 1).await;
    let struck =
        played.call.sessions.iter().flatten().filter(|session| session.end.starts_with("broken on purpose")).count();
    let figures = good(&played);
    assert!(struck >= faults.len(), "{struck} of {} faults struck: {figures:?}", faults.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_that_helps_with_a_new_session_is_survived() {
    in_turn(&["text=idle@sent:4", "text=idle-295", "text=531@sent:12", "text=532@1s", "text=instability"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_that_speaks_of_a_mistake_is_survived() {
    in_turn(&["text=invalid-input", "text=tool-response", "text=unparsable", "text=late-history"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_that_speaks_of_the_prompt_is_survived() {
    in_turn(&["text=long-history", "text=open-contents", "text=empty-content", "text=content-filter"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_exception_of_the_stream_is_survived() {
    in_turn(&[
        "exception=internal-server",
        "exception=model-stream-error@sent:4",
        "exception=throttling@sent:12",
        "exception=model-timeout@1s",
        "exception=service-unavailable",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_which_a_stream_breaks_is_survived() {
    in_turn(&["reset", "reset-no-error@sent:4", "end@sent:12", "drop@1s", "bad-crc", "half-frame", "freeze@1s"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_that_are_refused_or_late_are_survived() {
    let model = "session_limit: 12s\n  faults_in_turn: [none, refuse=internal, refuse=unavailable, none, \
                 refuse=model-not-ready, none, slow-answer=1s, refuse=throttled, none, never-answer]";
    let played = play(scenario("", model, 20, "switches: 4"), &RENEWAL, 1).await;
    good(&played);
    let refusals = &played.call.refusals;
    assert!(refusals.len() >= 4, "{refusals:?}");
}
