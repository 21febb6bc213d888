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
        tokio::spawn(play(scenario("", &model, 11, "switches: 3"), &RENEWAL, seed))
    });
    let mut losses = 0;
    for call in calls.collect::<Vec<_>>() {
        losses += good(&call.await.unwrap()).losses;
    }
    assert!(losses > 0, "no session broke");
}

/// Everything that ends a session, three to a call. Of the texts those are left out that only the client's own mistakes
/// bring about before there is any audio.
const ENDS: [[&str; 3]; 9] = [
    ["text=idle@sent:4", "text=idle-295", "text=531@sent:12"],
    ["text=532@1s", "text=instability", "text=invalid-input@sent:9"],
    ["text=tool-response", "text=unparsable", "text=late-history"],
    ["text=long-history@sent:4", "text=open-contents", "text=empty-content"],
    ["text=content-filter", "exception=internal-server", "exception=model-stream-error@sent:4"],
    ["exception=throttling@1s", "exception=model-timeout@sent:12", "exception=service-unavailable"],
    ["error=InternalFailure", "reset", "reset-no-error@sent:4"],
    ["end@sent:12", "drop@1s", "bad-crc"],
    ["half-frame", "freeze@1s", "goaway@500ms"],
];

/// Plays a call in which these faults strike every second session.
async fn in_turn(faults: [&str; 3]) {
    let every_second = faults.map(|fault| format!("none, {fault}")).join(", ");
    let model = format!("session_limit: 12s\n  faults_in_turn: [{every_second}]");
    let played = play(scenario("", &model, 11, ""), &RENEWAL, 1).await;
    let sessions = played.call.sessions.as_ref().unwrap().len();
    let figures = good(&played);
    assert!(sessions > 2 * faults.len(), "not all of {faults:?} could strike: {figures:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_is_survived_one_after_the_other() {
    let calls = ENDS.map(|faults| tokio::spawn(in_turn(faults)));
    for call in calls {
        call.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_that_are_refused_or_late_are_survived() {
    let model = "session_limit: 12s\n  faults_in_turn: [none, refuse=internal, refuse=unavailable, none, \
                 refuse=model-not-ready, none, slow-answer=1s, refuse=throttled, none, never-answer]";
    let played = play(scenario("", model, 11, "switches: 2"), &RENEWAL, 1).await;
    good(&played);
    let refusals = &played.call.refusals;
    assert!(refusals.len() >= 4, "{refusals:?}");
}
