use offhook_proto::voice::v1::Speaker;
use serde_json::{Value, json};
use sonic_worker::calls::RecordFiles;
use tonic::Code;

use crate::support::{CALL, TestWorker};

#[tokio::test]
async fn a_call_can_be_asked_for_and_leaves_a_file_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("call-records");
    let mut worker = TestWorker::start([], Some(RecordFiles::in_folder(folder.clone()).unwrap())).await;
    let (leg, model) = worker.live_leg().await;
    model.says_sentence("Good morning.", &[0; 320]).await;
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
    let turns: Vec<_> = record.turns.iter().map(|turn| (turn.speaker(), turn.text.as_str())).collect();
    assert_eq!(turns, [(Speaker::Agent, "Good morning."), (Speaker::Caller, "cancel it")]);
    assert_eq!((record.outcome.as_str(), record.usage.unwrap().output_speech_tokens), ("caller_hung_up", 7));

    let file = folder.join(format!("{CALL}.json"));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let written: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(written["turns"][1]["text"], "cancel it");
    assert_eq!(written["ended_at"], record.ended_at);
}

#[tokio::test]
async fn an_unknown_call_is_not_found_and_a_wrong_name_is_explained() {
    let worker = TestWorker::start([], None).await;
    assert_eq!(worker.record(CALL).await.unwrap_err().code(), Code::NotFound);
    let status = worker.record("../etc/passwd").await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("CA and 32"), "{status:?}");
}
