use std::time::Duration;

use offhook_hosting::entropy::Entropy;
use phone_lab::twilio::{CallOptions, RawMessage};

use crate::support::{assert_nothing_left, caller, pair, play};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_mangled_frames_do_not_end_a_call() {
    let pair = pair("greeting: 'good morning'").await;
    let mut dice = Entropy::from_seed(3);
    // Two or three between each of Twilio's own frames, which show the edge that the stream is a sound one.
    let extra_messages = (0..1_000).map(|nth| (Duration::from_millis(nth * 8), mangled(&mut dice))).collect();
    let options = CallOptions { extra_messages, ..CallOptions::default() };
    let steps = "[listen, {wait: 8s}, say: still there, listen, hang_up]";
    let (call, sessions) = play(&pair, caller(steps), options).await;
    assert_eq!(call.heard.last().unwrap().text, "you said still there", "{call:?}");
    assert_eq!(sessions.len(), 1);
    assert_nothing_left(pair).await;
}

/// A message of Twilio's, or one like it, with one thing wrong with it. Its stream is another's, so that it does no harm
/// where it stays whole.
fn mangled(dice: &mut Entropy) -> RawMessage {
    let messages = [
        r#"{"event":"media","sequenceNumber":"9","media":{"track":"inbound","chunk":"8","timestamp":"160","payload":"/39/f38="},"streamSid":"MZ"}"#,
        r#"{"event":"media","sequenceNumber":"9","media":{"track":"inbound","chunk":"8","timestamp":"160","payload":"@@@@"},"streamSid":"MZ"}"#,
        r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ","mark":{"name":"0:not a number"}}"#,
        r#"{"event":"dtmf","streamSid":"MZ","sequenceNumber":"5","dtmf":{"track":"inbound_track","digit":"twelve"}}"#,
        r#"{"event":"weather","sunny":true}"#,
        r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#,
        r#"{"event":"start","start":{}}"#,
    ];
    let mut bytes = messages[dice.between(0, messages.len() as u64) as usize].as_bytes().to_vec();
    let at = dice.between(0, bytes.len() as u64) as usize;
    let byte = dice.between(0x20, 0x7f) as u8;
    match dice.between(0, 5) {
        0 => bytes[at] = byte,
        1 => bytes.insert(at, byte),
        2 => drop(bytes.remove(at)),
        3 => bytes.truncate(at),
        _ => {}
    }
    RawMessage::Text(String::from_utf8(bytes).unwrap())
}
