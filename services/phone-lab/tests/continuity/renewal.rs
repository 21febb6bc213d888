use phone_lab::oracle::continuity::Spread;

use crate::support::{good, play, scenario};

/// So many calls at a time, each with a pair of its own: sixty switches in a fraction of half an hour.
const CALLS: u64 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn sixty_switches_lose_no_word_say_nothing_twice_and_are_hardly_heard() {
    let calls = (0..CALLS).map(|seed| {
        // The worker takes the limit for shorter than it is, since this machine may be slow.
        let scenario = scenario("", "session_limit: 6s", 12, "switches: 10");
        tokio::spawn(play(scenario, &[("SESSION_RENEW_AFTER", "2s"), ("SESSION_LIMIT", "4s")], seed))
    });
    let mut added = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        let played = call.await.unwrap();
        let figures = good(&played);
        assert_eq!((figures.losses, figures.talked_over), (0, 0), "{figures:?}");
        added.extend(figures.changes.iter().filter_map(|change| change.added_ms));
    }
    assert!(added.len() >= 60, "{added:?}");
    let Spread { p95, .. } = Spread::of(added.clone()).unwrap();
    assert!(p95 <= 300.0, "{added:?}");
}
