use phone_lab::oracle::continuity::Spread;

use crate::support::{good, play, scenario, scenario_of};

/// So many calls at a time, each with a pair of its own: sixty switches in a fraction of half an hour.
const CALLS: u64 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn sixty_switches_lose_no_word_say_nothing_twice_and_are_hardly_heard() {
    let calls = (0..CALLS).map(|seed| {
        // The worker takes the limit for shorter than it is, since this machine may be slow.
        let scenario = scenario("", "session_limit: 6s", 12, "switches: 10");
        tokio::spawn(play(scenario, &[("SESSION_RENEW_AFTER", "2s"), ("SESSION_LIMIT", "4s")], seed))
    });
    // A call without any switch, on the same machine at the same time.
    let undisturbed = tokio::spawn(play(scenario("", "", 12, ""), &[], CALLS));
    let mut added = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        let played = call.await.unwrap();
        let figures = good(&played);
        assert_eq!((figures.losses, figures.talked_over), (0, 0), "{figures:?}");
        added.extend(figures.changes.iter().filter_map(|change| change.added_ms));
    }
    assert!(added.len() >= 60, "{added:?}");
    let undisturbed = undisturbed.await.unwrap();
    assert_eq!(good(&undisturbed).switches, 0);
    let usual = Spread::of(undisturbed.call.answers_ms).unwrap();
    let Spread { p95, .. } = Spread::of(added.clone()).unwrap();
    assert!(p95 <= 300.0 + usual.p95 - usual.p50, "{added:?}, usually {usual:?}");
}

/// Speech and answer are longer than from the age at which a session is to be replaced to that at which it has to be.
const LONG: &str = "this is number {n}, and i take my time to say it, so that much of it may be heard by one and the rest \
                    by the other";

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_cannot_wait_for_the_end_of_words_or_of_an_answer_loses_nothing_of_them() {
    let calls = [("2600ms", "3s"), ("3s", "3400ms")].map(|(renew_after, limit)| {
        let scenario = scenario_of(LONG, "", "session_limit: 12s", 4, "switches: 5");
        let environment = [("SESSION_RENEW_AFTER", renew_after), ("SESSION_LIMIT", limit)];
        tokio::spawn(async move { play(scenario, &environment, 1).await })
    });
    let mut resumed = 0;
    for call in calls {
        let played = call.await.unwrap();
        let figures = good(&played);
        assert_eq!((figures.losses, figures.talked_over), (0, 0), "{figures:?}");
        resumed += figures.resumed;
    }
    assert!(resumed > 0, "no answer broke off");
}
