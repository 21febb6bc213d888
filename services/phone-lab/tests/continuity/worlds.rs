//! What is not the session's fault: credentials that expire, a region that is lost.

use crate::support::{good, play, scenario, told};

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_expire_in_mid_call_are_followed_by_new_ones_before() {
    // Sessions whose credentials expire are ended, and that would be a violation.
    let scenario = scenario("credentials_last: 8s\ntoken_expiry: exception", "", 12, "switches: 3");
    let played = play(scenario, &[], 1).await;
    let figures = good(&played);
    assert_eq!((figures.losses, played.call.refusals.len()), (0, 0), "{}", told(&played));
}

async fn a_region_is_lost(how: &str) {
    let model = format!("faults_in_turn: ['outage={how}@3s']");
    let played =
        play(scenario("second_region: us-west-2", &model, 5, "losses: 1"), &[("SESSION_STALL_AFTER", "2s")], 1);
    let played = played.await;
    good(&played);
    let sessions = played.call.sessions.as_deref().unwrap();
    assert_eq!(sessions.first().unwrap().region, "us-east-1");
    assert!(sessions.iter().any(|session| session.region == "us-west-2"), "{}", told(&played));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_is_lost_in_mid_call_is_left_for_the_other_however_it_is_lost() {
    let calls = ["refuse", "unavailable", "freeze"].map(|how| tokio::spawn(a_region_is_lost(how)));
    for call in calls {
        call.await.unwrap();
    }
}
