use offhook_proto::voice::v1::TurnKind;
use phone_lab::twilio::CallOptions;

use crate::support::{assert_nothing_left, caller, pair, play, record};

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_the_caller_presses_are_answered_like_words() {
    let script = "
greeting: 'enter your number'
dialogue:
  - heard: caller pressed 1 2 on the keypad
    reply: 'twelve it is'
  - heard: caller pressed 3 4
    reply: 'and thirty four'
otherwise: 'you said {heard}'
";
    let pair = pair(script).await;
    // The first are ended by the hash, the others by the pause.
    let steps = "[listen, press: '12#', listen, press: '34', listen, hang_up]";
    let (call, sessions) = play(&pair, caller(steps), CallOptions::default()).await;
    let heard: Vec<_> = call.heard.iter().map(|heard| heard.text.as_str()).collect();
    assert_eq!(heard, ["enter your number", "twelve it is", "and thirty four"]);
    assert!(sessions[0].violations.is_empty(), "{sessions:?}");
    let record = record(&pair, &call).await;
    let keys = record.turns.iter().filter(|turn| turn.kind() == TurnKind::Digits);
    assert_eq!(keys.map(|turn| turn.text.as_str()).collect::<Vec<_>>(), ["12", "34"]);
    assert_nothing_left(pair).await;
}
