use offhook_proto::voice::v1::{Heard, Speaker, from_edge, to_edge};
use serde_json::{Value, json};
use sonic_worker::calls::RecordFiles;
use tonic::Code;

use crate::support::{CALL, TestWorker};

#[tokio::test]
async fn a_call_can_be_asked_for_and_leaves_a_file_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("call-records");
    let mut worker = TestWorker::start([], Some(RecordFiles::in_folder(folder.clone()).unwrap())).await;
    let (mut leg, model) = worker.live_leg().await;
    model.says_sentence("Good morning.", &[0; 320]).await;
    while !matches!(leg.next().await, Ok(Some(to_edge::Message::Speak(_)))) {}
    leg.send(from_edge::Message::Heard(Heard { sample: 160, epoch: 0 })).await;
    model.says(json!({"contentStart": {"type": "TEXT", "role": "USER"}})).await;
    model.says(json!({"textOutput": {"content": "cancel it"}})).await;
    model.says(json!({"contentEnd": {"type": "TEXT", "stopReason": "PARTIAL_TURN"}})).await;
    let tokens = json!({"input": {"speechTokens": 5, "textTokens": 1}, "output": {"speechTokens": 7, "textTokens": 2}});
    model.says(json!({"usageEvent": {"details": {"total": tokens}}})).await;
    model.says(json!({"completionEnd": {}})).await;
    while worker.record(CALL).await.unwrap().turns.len() < 2 {
        tokio::task::yield_now().await;
    }
    leg.hangs_up().await;
    model.hears_out().await;
    worker.lifecycle.tasks().close();
    worker.lifecycle.tasks().wait().await;

    let record = worker.record(CALL).await.unwrap();
    let turns: Vec<_> =
        record.turns.iter().map(|turn| (turn.speaker(), turn.text.as_str(), turn.heard.as_deref())).collect();
    let agent = (Speaker::Agent, "Good morning.", Some("Good morning."));
    assert_eq!(turns, [agent, (Speaker::Caller, "cancel it", None)]);
    assert_eq!((record.outcome.as_str(), record.usage.unwrap().output_speech_tokens), ("caller_hung_up", 7));
    // 5 and 7 tokens of speech, 1 and 2 of text: 15 + 84 + 0.33 + 5.5 millionths.
    assert_eq!(record.cost_usd, "0.000105");

    let file = folder.join(format!("{CALL}.json"));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let written: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(
        (&written["turns"][0]["heard"], &written["turns"][0]["cut_at"]),
        (&json!("Good morning."), &Value::Null)
    );
    assert_eq!(written["turns"][1]["text"], "cancel it");
    assert_eq!((&written["ended_at"], &written["cost_usd"]), (&json!(record.ended_at), &json!("0.000105")));
}

#[tokio::test]
async fn an_interrupted_turn_is_recorded_with_what_was_said_and_what_was_heard() {
    let mut worker = TestWorker::start([], None).await;
    let (mut leg, model) = worker.live_leg().await;
    // Nineteen characters, 100 ms each.
    model.says_sentence("One two three four.", &[0; 19 * 1_600]).await;
    model.says_sentence("Five.", &[0; 16_000]).await;
    for _ in 0..2 {
        assert!(matches!(leg.next().await, Ok(Some(to_edge::Message::Speak(_)))));
    }
    leg.send(from_edge::Message::Heard(Heard { sample: 8 * 800, epoch: 0 })).await;
    model.is_interrupted().await;
    assert!(matches!(leg.next().await, Ok(Some(to_edge::Message::Hush(_)))));
    leg.hangs_up().await;
    model.hears_out().await;
    let record = worker.record(CALL).await.unwrap();
    let [turn, unheard] = &record.turns[..] else { panic!("{:?}", record.turns) };
    assert_eq!((unheard.text.as_str(), unheard.heard.as_deref()), ("Five.", Some("")));
    assert_eq!((turn.text.as_str(), turn.interrupted), ("One two three four.", true));
    assert!(turn.heard.as_deref().is_some_and(|heard| heard.starts_with("One two") && turn.text.starts_with(heard)));
    assert!(turn.cut_at > turn.at, "{turn:?}");
}

#[tokio::test]
async fn an_unknown_call_is_not_found_and_a_wrong_name_is_explained() {
    let worker = TestWorker::start([], None).await;
    assert_eq!(worker.record(CALL).await.unwrap_err().code(), Code::NotFound);
    let status = worker.record("../etc/passwd").await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("CA and 32"), "{status:?}");
}
