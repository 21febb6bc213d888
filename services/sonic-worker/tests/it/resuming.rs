//! A call goes on after its media stream: what Twilio says of it, and the next leg.

use offhook_proto::voice::v1::{
    AnsweredBy, CallProgress, Heard, Recording, SendDigits, StreamProgress, TransferEnded, from_edge, next_step::Step,
    report_request::Event, to_edge::Message,
};
use serde_json::{Value, json};
use sonic_worker::calls::RecordFiles;
use tonic::Code;

use crate::support::{CALL, Leg, ModelDouble, TestWorker};

fn progress(call_status: &str, sequence_number: u32) -> Event {
    Event::Progress(CallProgress {
        call_status: call_status.into(),
        sequence_number: Some(sequence_number),
        call_duration_s: (call_status == "completed").then_some(41),
        sip_response_code: None,
    })
}

fn transfer_ended() -> TransferEnded {
    TransferEnded {
        dial_call_sid: "CA00000000000000000000000000000002".into(),
        dial_call_status: "busy".into(),
        sip_response_code: Some(486),
        ..TransferEnded::default()
    }
}

/// The agent greets, is heard, asks for a human, and leaves.
async fn hands_over(leg: &mut Leg, model: ModelDouble) {
    model.says_sentence("Good morning.", &[0; 320]).await;
    assert!(matches!(leg.next().await, Ok(Some(Message::Speak(_)))));
    leg.send(from_edge::Message::Heard(Heard { sample: 160, epoch: 0 })).await;
    let input = json!({ "reason": "a discount" }).to_string();
    model.says(json!({"toolUse": {"toolName": "support", "toolUseId": "T", "content": input}})).await;
    let Ok(Some(Message::Next(next))) = leg.next().await else { panic!("the worker says what comes next") };
    assert!(matches!(next.step.unwrap().step, Some(Step::Transfer(_))));
    assert_eq!(leg.end().await.code(), Code::Ok);
    model.hears_out().await;
}

async fn step(worker: &TestWorker) -> Step {
    worker.next_step().await.unwrap().step.unwrap()
}

#[tokio::test]
async fn after_a_human_who_was_busy_the_next_leg_goes_on_with_the_same_conversation() {
    let mut worker = TestWorker::start([], None).await;
    let (mut leg, model) = worker.live_leg_told(&[("var.name", "Ada"), ("var.room", "12")]).await;
    hands_over(&mut leg, model).await;
    assert!(matches!(step(&worker).await, Step::Transfer(_)));
    let briefing = worker.briefing().await.unwrap();
    assert_eq!((briefing.from.as_str(), briefing.reason.as_str()), ("+4930901820", "a discount"));
    let first = worker.record(CALL).await.unwrap();
    assert_eq!(first.outcome, "transferred");
    // Twilio may ask twice what follows.
    for _ in 0..2 {
        worker.report(Event::TransferEnded(transfer_ended())).await.unwrap();
        assert!(matches!(step(&worker).await, Step::Reattach(_)));
    }
    assert_eq!(worker.briefing().await.unwrap().reason, "", "no transfer is pending");
    let (mut leg, mut model) = worker.live_leg_told(&[("var.room", "14")]).await;
    let mut texts = Vec::new();
    while texts.last().is_none_or(|text: &String| !text.starts_with("Note:")) {
        texts.push(model.hears_next("textInput").await["content"].as_str().unwrap().to_owned());
    }
    let [prompt, opening, greeting, note] = &texts[..] else { panic!("{texts:?}") };
    assert!(prompt.contains("Ada") && prompt.contains("14") && !prompt.contains("12"), "{prompt}");
    assert_eq!(
        (opening.as_str(), greeting.starts_with("Good morning. [Used support with ")),
        ("hi", true),
        "{texts:?}"
    );
    assert!(note.contains("their line is busy"), "{note}");
    let live = worker.record(CALL).await.unwrap();
    assert_eq!((live.outcome.as_str(), live.ended_at.as_str(), live.started_at), ("", "", first.started_at));
    model.says_sentence("They are busy.", &[0; 320]).await;
    assert!(matches!(leg.next().await, Ok(Some(Message::Speak(speak))) if speak.first_sample == 0));
    leg.hangs_up().await;
    model.hears_out().await;
    let record = worker.record(CALL).await.unwrap();
    let said: Vec<_> = record.turns.iter().map(|turn| turn.text.as_str()).collect();
    assert_eq!(said, ["Good morning.", note.trim_start_matches("Note: "), "They are busy."]);
    assert_eq!((record.outcome.as_str(), record.transfers), ("caller_hung_up", vec![transfer_ended()]));
}

#[tokio::test]
async fn after_keys_were_sent_the_next_leg_goes_on_and_knows_it() {
    let mut worker = TestWorker::start([], None).await;
    let (mut leg, model) = worker.live_leg().await;
    model.says_sentence("I choose reservations.", &[0; 320]).await;
    assert!(matches!(leg.next().await, Ok(Some(Message::Speak(_)))));
    let input = json!({ "digits": "1w2" }).to_string();
    model.says(json!({"toolUse": {"toolName": "send_digits", "toolUseId": "T", "content": input}})).await;
    leg.send(from_edge::Message::Heard(Heard { sample: 160, epoch: 0 })).await;
    let Ok(Some(Message::Next(next))) = leg.next().await else { panic!("the worker says what comes next") };
    let expected = Step::SendDigits(SendDigits { digits: "1w2".into() });
    assert_eq!((next.step.unwrap().step.unwrap(), step(&worker).await), (expected.clone(), expected));
    assert_eq!(worker.record(CALL).await.unwrap().outcome, "digits_sent");
    // All other places are taken, and the model's session is not closed yet.
    worker.reserve("CA00000000000000000000000000000003").await.unwrap();
    worker.reserve(CALL).await.unwrap();
    let (_leg, mut model) = worker.live_leg().await;
    let mut told = String::new();
    while !told.starts_with("Note:") {
        told = model.hears_next("textInput").await["content"].as_str().unwrap().to_owned();
    }
    assert_eq!(told, "Note: The keys 1 2 were sent into the line.");
}

#[tokio::test]
async fn a_call_that_twilio_says_is_over_is_over_whatever_was_missed() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("reported-calls");
    let mut worker = TestWorker::start([], Some(RecordFiles::in_folder(folder.clone()).unwrap())).await;
    assert_eq!(worker.report(progress("completed", 2)).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(worker.briefing().await.unwrap_err().code(), Code::NotFound);
    let (mut leg, model) = worker.live_leg().await;
    worker.report(progress("completed", 2)).await.unwrap();
    let Ok(Some(Message::Next(next))) = leg.next().await else { panic!("the leg ends") };
    assert!(matches!(next.step.unwrap().step, Some(Step::HangUp(hang_up)) if hang_up.say.is_empty()));
    assert_eq!(leg.end().await.code(), Code::Ok);
    let names = model.hears_out().await;
    assert_eq!(names[names.len() - 3..], ["contentEnd", "promptEnd", "sessionEnd"]);
    worker.report(progress("in-progress", 1)).await.unwrap();
    assert!(matches!(step(&worker).await, Step::HangUp(_)));

    // A socket that comes late opens nothing.
    let mut late = worker.attach().await.unwrap();
    late.start().await;
    assert!(matches!(late.next().await, Ok(Some(Message::Next(_)))));
    assert_eq!(late.end().await.code(), Code::Ok);

    worker.lifecycle.tasks().close();
    worker.lifecycle.tasks().wait().await;
    let recording = Recording {
        recording_sid: "RE1".into(),
        recording_status: "completed".into(),
        recording_url: "https://api.twilio.com/recordings/RE1".into(),
        recording_duration_s: Some(40),
    };
    let stream =
        StreamProgress { stream_sid: "MZ1".into(), stream_event: "stream-error".into(), stream_error: "31924".into() };
    worker.report(Event::Recording(recording.clone())).await.unwrap();
    worker.report(Event::Stream(stream.clone())).await.unwrap();
    let answered_by = AnsweredBy { answered_by: "human".into(), machine_detection_ms: Some(3_000) };
    worker.report(Event::AnsweredBy(answered_by)).await.unwrap();
    let record = worker.record(CALL).await.unwrap();
    let told = (record.call_status.as_str(), record.call_duration_s, record.answered_by.as_str());
    assert_eq!(told, ("completed", Some(41), "human"));
    assert_eq!((record.outcome.as_str(), record.recordings), ("caller_hung_up", vec![recording]));
    assert_eq!(record.stream_errors, [stream]);
    let file = std::fs::read(folder.join(format!("{CALL}.json"))).unwrap();
    let written: Value = serde_json::from_slice(&file).unwrap();
    assert_eq!((&written["call_status"], &written["answered_by"]), (&json!("completed"), &json!("human")));
    assert_eq!((&written["call_duration_s"], &written["transfers"]), (&json!(41), &json!([])));
    assert_eq!(written["recordings"][0]["recording_sid"], "RE1");
    assert_eq!(written["stream_errors"][0]["stream_error"], "31924");
}

#[tokio::test]
async fn a_worker_that_drains_with_a_call_at_a_human_waits_only_for_the_question_what_follows() {
    let mut worker = TestWorker::start([], None).await;
    let (mut leg, model) = worker.live_leg().await;
    hands_over(&mut leg, model).await;
    worker.lifecycle.soft_stop().cancel();
    assert!(matches!(step(&worker).await, Step::Transfer(_)));
    worker.lifecycle.tasks().close();
    worker.lifecycle.tasks().wait().await;
}

#[tokio::test]
async fn a_call_whose_next_stream_does_not_open_ends_with_an_apology_instead_of_being_sent_there_for_ever() {
    let mut worker = TestWorker::start([], None).await;
    let (mut leg, model) = worker.live_leg().await;
    hands_over(&mut leg, model).await;
    worker.report(Event::TransferEnded(transfer_ended())).await.unwrap();
    for _ in 0..4 {
        assert!(matches!(step(&worker).await, Step::Reattach(_)));
    }
    let Step::HangUp(hang_up) = step(&worker).await else { panic!("it goes in circles") };
    assert!(!hang_up.say.is_empty());
}
