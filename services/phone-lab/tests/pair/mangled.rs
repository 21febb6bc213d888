use std::time::Duration;

use offhook_hosting::entropy::Entropy;
use phone_lab::twilio::{CallOptions, RawMessage};

use crate::support::{assert_nothing_left, caller, pair, play};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_mangled_frames_do_not_end_a_call() {
    let pair = pair("greeting: 'good morning'").await;
    let mut dice = Entropy::from_seed(3);
    let extra_messages = (0..1_000).map(|nth| (Duration::from_micros(nth * 1_500), mangled(&mut dice))).collect();
    let options = CallOptions { extra_messages, ..CallOptions::default() };
    let steps = "[listen, {wait: 1500ms}, say: still there, listen, hang_up]";
    let (call, sessions) = play(&pair, caller(steps), options).await;
    assert_eq!(call.heard.last().unwrap().text, "you said still there", "{call:?}");
    assert_eq!(sessions.len(), 1);
    assert_nothing_left(pair).await;
}

/// Something that looks like a message of Twilio's, with a part of it changed.
fn mangled(dice: &mut Entropy) -> RawMessage {
    let messages = [
        r#"{"event":"media","sequenceNumber":"9","media":{"track":"inbound","chunk":"8","timestamp":"160","payload":"@@@@"},"streamSid":"MZ"}"#,
        r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ","mark":{"name":"0:not a number"}}"#,
        r#"{"event":"dtmf","streamSid":"MZ","sequenceNumber":"5","dtmf":{"track":"inbound_track","digit":"twelve"}}"#,
        r#"{"event":"weather","sunny":true}"#,
        r#"{"event":"start","start":{}}"#,
    ];
    let mut bytes = messages[dice.between(0, messages.len() as u64) as usize].as_bytes().to_vec();
    for _ in 0..dice.between(0, 4) {
        let at = dice.between(0, bytes.len() as u64) as usize;
        bytes[at] = dice.between(0x20, 0x7f) as u8;
    }
    bytes.truncate(dice.between(0, bytes.len() as u64 + 1) as usize);
    RawMessage::Text(String::from_utf8(bytes).unwrap())
}
