use offhook_proto::voice::v1::{Heard, Speaker, TurnKind, from_edge, to_edge};
use tonic::Code;

use crate::support::{CALL, TestWorker};

#[tokio::test]
async fn a_supervisor_s_hint_reaches_the_model_of_a_live_call_and_its_record() {
    let mut worker = TestWorker::start([], None).await;
    let (mut leg, mut model) = worker.live_leg().await;
    model.says_sentence("Good morning.", &[0; 320]).await;
    while !matches!(leg.next().await, Ok(Some(to_edge::Message::Speak(_)))) {}
    worker.tell(" The manager offers a free night. ").await.unwrap();
    leg.send(from_edge::Message::Heard(Heard { sample: 160, epoch: 0 })).await;
    while model.hears_next("textInput").await["content"] != "Note: The manager offers a free night." {}
    leg.hangs_up().await;
    model.hears_out().await;
    let record = worker.record(CALL).await.unwrap();
    let [_, note] = &record.turns[..] else { panic!("{:?}", record.turns) };
    assert_eq!((note.speaker(), note.kind()), (Speaker::System, TurnKind::Note));
    assert_eq!(note.text, "The manager offers a free night.");
}

#[tokio::test]
async fn only_live_calls_are_told_and_only_what_a_model_takes_in() {
    let mut worker = TestWorker::start([], None).await;
    assert_eq!(worker.tell("Hello?").await.unwrap_err().code(), Code::NotFound);
    let (leg, model) = worker.live_leg().await;
    for wrong in [" \n".to_owned(), "\u{e9}".repeat(1_001)] {
        let status = worker.tell(&wrong).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    worker.tell(&"\u{e9}".repeat(1_000)).await.unwrap();
    leg.hangs_up().await;
    model.hears_out().await;
    worker.lifecycle.tasks().close();
    worker.lifecycle.tasks().wait().await;
    assert_eq!(worker.tell("Hello?").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn who_tells_a_call_more_than_it_takes_in_is_told_so() {
    let mut worker = TestWorker::start([], None).await;
    let (_leg, _model) = worker.live_leg().await;
    let mut refused = None;
    // A call takes in one a second and keeps four: no machine is so slow that a hundred are taken.
    for nth in 0..100 {
        if let Err(status) = worker.tell(&format!("Note {nth}.")).await {
            refused = Some((nth, status.code()));
            break;
        }
    }
    let (nth, code) = refused.expect("the queue is bounded");
    assert_eq!(code, Code::ResourceExhausted);
    assert!(nth >= 4, "refused after {nth}");
}
