use std::time::Duration;

use offhook_hosting::entropy::Entropy;
use phone_lab::{
    network::Conditions,
    pair::Pair,
    tones,
    twilio::{CallOptions, CallReport, Twilio},
};
use tokio::task::JoinSet;

use crate::support::{assert_nothing_left, caller, pair, record};

/// Twenty seconds of one letter that nothing else in the script contains.
fn script() -> String {
    format!(
        "greeting: hello\ndialogue:\n  - heard: story\n    reply: '{}'\notherwise: 'you said {{heard}}'",
        "x".repeat(1_000)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_at_any_moment_clears_the_line_and_the_agent_goes_on_from_it() {
    let pair = pair(&script()).await;
    let mut dice = Entropy::from_seed(20);
    // As many at a time as the account's quota of sessions would allow twice over.
    for batch in 0..2 {
        let mut calls = JoinSet::new();
        for nth in 0..10 {
            let after = Duration::from_millis(dice.between(150, 6_000));
            calls.spawn(interrupted_call(pair.twilio.clone(), format!("wait {batch}{nth}"), after));
        }
        for (call, words, after) in calls.join_all().await {
            assert_line_is_cleared(&call, &words, after);
        }
    }
    assert_nothing_left(pair).await;
}

async fn interrupted_call(twilio: Twilio, words: String, after: Duration) -> (CallReport, String, Duration) {
    interrupted_call_over(CallOptions::default(), twilio, words, after).await
}

async fn interrupted_call_over(
    options: CallOptions,
    twilio: Twilio,
    words: String,
    after: Duration,
) -> (CallReport, String, Duration) {
    let after_ms = after.as_millis();
    let steps =
        format!("[listen, say: a story, {{interrupt: {{after: {after_ms}ms, say: {words}}}}}, listen, hang_up]");
    (twilio.call(caller(&steps), options).await, words, after)
}

fn assert_line_is_cleared(call: &CallReport, words: &str, after: Duration) {
    assert_eq!(call.clears.len(), 1, "interrupted after {after:?}: {call:?}");
    let cleared = call.clears[0].at;
    assert!(call.clears[0].dropped_samples > 0, "interrupted after {after:?}: nothing was queued");
    let stale = call.heard.iter().filter(|heard| heard.at > cleared && heard.text.contains('x'));
    assert_eq!(stale.count(), 0, "interrupted after {after:?}: old words after the clear: {call:?}");
    let answer = call.heard.last().unwrap();
    // On a busy machine the line falls silent within a word.
    let said = tones::fold(&format!("you said {words}")).replace(' ', "");
    assert_eq!(answer.text.replace(' ', ""), said, "interrupted after {after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_turn_is_marked_in_the_record() {
    let pair: Pair = pair(&script()).await;
    let (call, words, after) =
        interrupted_call(pair.twilio.clone(), "wait a moment".to_owned(), Duration::from_millis(1_000)).await;
    assert_line_is_cleared(&call, &words, after);
    assert!(pair.sessions_end_within(Duration::from_secs(5)).await);
    let record = record(&pair, &call).await;
    let interrupted: Vec<_> = record.turns.iter().map(|turn| turn.interrupted).collect();
    assert_eq!(interrupted, [false, false, true, false, false], "{:?}", record.turns);
    assert_nothing_left(pair).await;
}

/// Between the lab's Twilio and the edge.
const NETWORKS: [&str; 3] = ["delay=1ms", "delay=60ms,jitter=20ms", "delay=150ms,jitter=30ms"];

/// Words that all differ, in three sentences. The lab speaks 20 ms a character.
fn story() -> Vec<String> {
    let words = ["apple", "brick", "candle", "doll", "engine", "feather", "glass", "hat", "island", "jar", "kettle."];
    ["x", "y", "z"].iter().flat_map(|nth| words.map(|word| format!("{nth}{word}"))).collect()
}

/// How many whole words of the story a text begins with; the ear may take a gap for more than it is.
fn words_of(story: &[String], text: &str) -> usize {
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
    let mut left = letters(text);
    story.iter().take_while(|word| left.checked_sub(letters(word)).inspect(|rest| left = *rest).is_some()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_says_which_words_of_an_interrupted_turn_the_caller_heard() {
    let story = story();
    let dialogue = format!("dialogue:\n  - heard: story\n    reply: '{}'", story.join(" "));
    let pair = pair(&format!("greeting: hello there\n{dialogue}\notherwise: 'you said {{heard}}'")).await;
    let mut dice = Entropy::from_seed(4);
    let (mut claimed_and_heard, mut networks) = (Vec::new(), NETWORKS.into_iter().cycle());
    for batch in 0..3 {
        let mut calls = JoinSet::new();
        for nth in 0..10 {
            let network = networks.next().map(|conditions| Conditions::of_twilio(conditions).unwrap());
            let options = CallOptions { network, ..CallOptions::default() };
            let after = Duration::from_millis(dice.between(150, 4_000));
            calls.spawn(interrupted_call_over(options, pair.twilio.clone(), format!("wait {batch}{nth}"), after));
        }
        for (call, _, _) in calls.join_all().await {
            // On a machine that is far too busy the story may be over when the caller interrupts.
            let Some(clear) = call.clears.first() else { continue };
            let heard = call.heard.iter().filter(|heard| heard.at < clear.at).skip(1).map(|heard| heard.text.as_str());
            let by_ear = words_of(&story, &heard.collect::<String>());
            let record = record(&pair, &call).await;
            let turn = record.turns.iter().find(|turn| turn.interrupted).unwrap();
            assert!(story.join(" ").starts_with(&turn.text), "{}", turn.text);
            let claimed = words_of(&story, turn.heard());
            assert_eq!(turn.heard(), story[..claimed].join(" "));
            claimed_and_heard.push((claimed, by_ear));
        }
        assert!(pair.sessions_end_within(Duration::from_secs(5)).await, "a session is left open");
    }
    // How far Twilio has played is told by Twilio's own clock, so a busy machine changes little.
    let right = claimed_and_heard.iter().filter(|(claimed, by_ear)| claimed == by_ear).count();
    let invented = claimed_and_heard.iter().filter(|(claimed, by_ear)| claimed > by_ear).count();
    assert!(right * 10 >= claimed_and_heard.len() * 9 && right >= 15 && invented <= 1, "{claimed_and_heard:?}");
    assert_nothing_left(pair).await;
}
