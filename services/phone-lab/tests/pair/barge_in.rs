use std::time::Duration;

use offhook_hosting::entropy::Entropy;
use phone_lab::{
    pair::Pair,
    tones,
    twilio::{CallOptions, CallReport},
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

async fn interrupted_call(
    twilio: phone_lab::twilio::Twilio,
    words: String,
    after: Duration,
) -> (CallReport, String, Duration) {
    let after_ms = after.as_millis();
    let steps =
        format!("[listen, say: a story, {{interrupt: {{after: {after_ms}ms, say: {words}}}}}, listen, hang_up]");
    (twilio.call(caller(&steps), CallOptions::default()).await, words, after)
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
    let mut calls = JoinSet::new();
    for nth in 0..10 {
        let after = Duration::from_millis(dice.between(150, 4_000));
        calls.spawn(interrupted_call(pair.twilio.clone(), format!("wait {nth}"), after));
    }
    let (mut missed, mut invented) = (0, 0);
    for (call, _, _) in calls.join_all().await {
        let heard = |utterance: &&phone_lab::twilio::Utterance| utterance.at < call.clears[0].at;
        let by_ear: Vec<_> = call.heard.iter().filter(heard).skip(1).map(|heard| heard.text.as_str()).collect();
        let record = record(&pair, &call).await;
        let turn = record.turns.iter().find(|turn| turn.interrupted).unwrap();
        assert_eq!(turn.text, story.join(" "));
        let (by_ear, claimed) = (words_of(&story, &by_ear.concat()), words_of(&story, turn.heard()));
        assert_eq!(turn.heard(), story[..claimed].join(" "));
        missed += by_ear.saturating_sub(claimed);
        invented += claimed.saturating_sub(by_ear);
    }
    // On an idle machine none is invented and one in ten missed; on a busy one, time passes between the hops.
    assert!(missed <= 10 && invented <= 1, "missed {missed} words of ten turns, invented {invented}");
    assert_nothing_left(pair).await;
}
