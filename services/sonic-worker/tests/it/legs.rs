use base64::{Engine, engine::general_purpose::STANDARD};
use offhook_proto::voice::v1::{Heard, from_edge, next_step::Step, to_edge::Message};
use serde_json::json;
use sonic_worker::{
    nova::Failure,
    tools::{Tool, Tools},
};
use tokio::sync::mpsc;
use tonic::Code;

use crate::support::{CALL, NeverAnswers, TestWorker};

const OTHER: &str = "CA00000000000000000000000000000002";
const THIRD: &str = "CA00000000000000000000000000000003";

#[tokio::test]
async fn audio_goes_both_ways() {
    let mut worker = TestWorker::start([], None).await;
    let (mut leg, mut model) = worker.live_leg().await;
    leg.says(0, vec![0x80; 160]).await;
    let heard = loop {
        let audio = model.hears_next("audioInput").await;
        let pcm = STANDARD.decode(audio["content"].as_str().unwrap()).unwrap();
        if pcm.iter().any(|&byte| byte != 0) {
            break pcm;
        }
    };
    assert_eq!(heard, 32_124_i16.to_le_bytes().repeat(160));
    model.says_sentence("Hello.", &[0; 320]).await;
    let Ok(Some(Message::Speak(speak))) = leg.next().await else { panic!("the agent speaks") };
    assert_eq!((speak.first_sample, speak.epoch, &speak.mulaw[..]), (0, 0, &[0xff; 160][..]));
}

#[tokio::test]
async fn the_opening_events_are_in_the_stream_before_its_start_is_awaited() {
    let mut worker = TestWorker::start([], None).await;
    let (_leg, mut model) = worker.live_leg().await;
    let mut opening = Vec::new();
    for _ in 0..model.queued_at_start {
        opening.push(model.hears().await.unwrap().0);
    }
    assert_eq!(opening, ["sessionStart", "promptStart", "contentStart", "textInput", "contentEnd"]);
}

#[tokio::test]
async fn a_barge_in_hushes_the_edge_and_the_next_words_belong_to_a_new_epoch() {
    let mut worker = TestWorker::start([], None).await;
    let (mut leg, model) = worker.live_leg().await;
    model.says_sentence("A long story.", &[0; 32_000]).await;
    assert!(matches!(leg.next().await, Ok(Some(Message::Speak(_)))));
    model.is_interrupted().await;
    let Ok(Some(Message::Hush(hush))) = leg.next().await else { panic!("the edge is hushed") };
    assert_eq!(hush.epoch, 1);
    model.says_sentence("Yes?", &[0; 320]).await;
    let Ok(Some(Message::Speak(speak))) = leg.next().await else { panic!("the agent speaks") };
    assert_eq!((speak.first_sample, speak.epoch), (16_000, 1));
}

#[tokio::test]
async fn a_tool_runs_beside_the_audio_and_the_model_is_told_its_result() {
    let mut worker = TestWorker::start([], None).await;
    let (_leg, mut model) = worker.live_leg().await;
    let input = json!({ "reservation_id": "R-7" }).to_string();
    model.says(json!({"toolUse": {"toolName": "cancel_reservation", "toolUseId": "T", "content": input}})).await;
    let result = model.hears_next("toolResult").await;
    let result: serde_json::Value = serde_json::from_str(result["content"].as_str().unwrap()).unwrap();
    assert_eq!(result["confirmation"], "C-7");
}

#[tokio::test]
async fn the_agent_hangs_up_after_its_goodbye_was_heard() {
    let mut worker = TestWorker::start([], None).await;
    let (mut leg, model) = worker.live_leg().await;
    model.says_sentence("Goodbye.", &[0; 320]).await;
    model.says(json!({"toolUse": {"toolName": "hang_up", "toolUseId": "T", "content": "{}"}})).await;
    assert!(matches!(leg.next().await, Ok(Some(Message::Speak(_)))));
    leg.send(from_edge::Message::Heard(Heard { sample: 160, epoch: 0 })).await;
    let Ok(Some(Message::Next(next))) = leg.next().await else { panic!("the worker says what comes next") };
    let Some(Step::HangUp(hang_up)) = next.step.unwrap().step else { panic!("it hangs up") };
    assert_eq!(hang_up.say, "");
    assert_eq!(leg.end().await.code(), Code::Ok);
}

#[tokio::test]
async fn a_caller_who_hangs_up_leaves_a_closed_session_and_no_task() {
    let mut worker = TestWorker::start([], None).await;
    let (leg, model) = worker.live_leg().await;
    leg.hangs_up().await;
    let names = model.hears_out().await;
    assert_eq!(names[names.len() - 3..], ["contentEnd", "promptEnd", "sessionEnd"]);
    worker.lifecycle.tasks().close();
    worker.lifecycle.tasks().wait().await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_while_a_tool_runs_leaves_a_closed_session_and_no_tool() {
    let (given_up, mut was_given_up) = mpsc::channel(1);
    let tools = Tools::of([Box::new(NeverAnswers { given_up }) as Box<dyn Tool>]);
    let mut worker = TestWorker::start_with(tools, [], None).await;
    let (leg, model) = worker.live_leg().await;
    model.says(json!({"toolUse": {"toolName": "ponder", "toolUseId": "T", "content": "{}"}})).await;
    leg.says(0, vec![0xff; 160]).await;
    leg.hangs_up().await;
    let names = model.hears_out().await;
    assert_eq!(names[names.len() - 3..], ["contentEnd", "promptEnd", "sessionEnd"]);
    was_given_up.recv().await.unwrap();
    worker.lifecycle.tasks().close();
    worker.lifecycle.tasks().wait().await;
    let record = worker.record(CALL).await.unwrap();
    assert_eq!((record.tools[0].name.as_str(), record.tools[0].result.as_str()), ("ponder", ""));
}

#[tokio::test]
async fn an_edge_that_vanishes_leaves_a_closed_session_and_no_task() {
    let mut worker = TestWorker::start([], None).await;
    let (leg, model) = worker.live_leg().await;
    drop(leg);
    let names = model.hears_out().await;
    assert_eq!(names[names.len() - 3..], ["contentEnd", "promptEnd", "sessionEnd"]);
    worker.lifecycle.tasks().close();
    worker.lifecycle.tasks().wait().await;
}

#[tokio::test]
async fn a_model_that_refuses_ends_the_leg_and_the_caller_gets_a_human() {
    let worker = TestWorker::start([Failure::AccessDenied], None).await;
    let mut leg = worker.attach().await.unwrap();
    leg.start().await;
    assert_eq!(leg.end().await.code(), Code::FailedPrecondition);
    let Some(Step::Transfer(transfer)) = worker.next_step().await.unwrap().step else { panic!("it hands over") };
    assert!(transfer.say.contains("sorry"), "{}", transfer.say);
}

#[tokio::test]
async fn a_throttled_start_is_tried_again_without_the_caller_noticing() {
    let mut worker = TestWorker::start([Failure::Throttled, Failure::PeerGone], None).await;
    worker.live_leg().await;
}

#[tokio::test]
async fn a_model_that_breaks_mid_call_is_followed_by_another_that_goes_on_where_it_was() {
    let mut worker = TestWorker::start([], None).await;
    let (mut leg, model) = worker.live_leg().await;
    model.says_sentence("Good morning.", &[0; 320]).await;
    assert!(matches!(leg.next().await, Ok(Some(Message::Speak(_)))));
    model.says(json!({"contentStart": {"type": "TEXT", "role": "USER"}})).await;
    model.says(json!({"textOutput": {"content": "cancel it"}})).await;
    model.says(json!({"contentEnd": {"type": "TEXT", "stopReason": "PARTIAL_TURN"}})).await;
    model.breaks(Failure::Reset).await;
    let mut next = worker.models.recv().await.unwrap();
    let mut texts = Vec::new();
    while texts.last().is_none_or(|text| text != "cancel it") {
        texts.push(next.hears_next("textInput").await["content"].as_str().unwrap().to_owned());
    }
    assert_eq!(texts[1..], ["hi", "Good morning.", "cancel it"], "history, and then what is to be answered");
    next.says_sentence("Which one?", &[0; 320]).await;
    assert!(matches!(leg.next().await, Ok(Some(Message::Speak(speak))) if speak.first_sample == 160));
}

#[tokio::test]
async fn a_model_that_cannot_be_had_any_more_hands_the_caller_over() {
    let mut worker = TestWorker::start([], None).await;
    let (mut leg, model) = worker.live_leg().await;
    model.breaks(Failure::AccessDenied).await;
    let Ok(Some(Message::Next(next))) = leg.next().await else { panic!("the worker says what comes next") };
    assert_eq!(next.step, Some(worker.next_step().await.unwrap()));
    assert!(matches!(next.step.unwrap().step, Some(Step::Transfer(transfer)) if !transfer.say.is_empty()));
}

#[tokio::test]
async fn a_leg_too_many_is_sent_to_another_worker() {
    let mut worker = TestWorker::start([], None).await;
    let _first = worker.live_leg().await;
    let mut second = worker.attach().await.unwrap();
    second.start_as(OTHER, "").await;
    let _model = worker.models.recv().await.unwrap();
    assert!(matches!(second.next().await, Ok(Some(Message::Accepted(_)))));
    assert_eq!(worker.attach().await.err().unwrap().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_call_gets_its_next_leg_only_once_twilio_has_asked_what_comes_after_the_last() {
    let mut worker = TestWorker::start([], None).await;
    let _first = worker.live_leg().await;
    let mut second = worker.attach().await.unwrap();
    second.start_as(CALL, "").await;
    assert_eq!(second.next().await.unwrap_err().code(), Code::AlreadyExists);
    worker.next_step().await.unwrap();
    let _next = worker.live_leg().await;
}

#[tokio::test]
async fn a_place_is_held_for_a_call_whose_leg_is_on_its_way() {
    let mut worker = TestWorker::start([], None).await;
    let _leg = worker.live_leg().await;
    worker.reserve(OTHER).await.unwrap();
    assert_eq!(worker.reserve(THIRD).await.unwrap_err().code(), Code::ResourceExhausted);
    let mut third = worker.attach().await.unwrap();
    third.start_as(THIRD, "").await;
    assert_eq!(third.next().await.unwrap_err().code(), Code::ResourceExhausted);
    let mut other = worker.attach().await.unwrap();
    other.start_as(OTHER, "").await;
    worker.models.recv().await.unwrap();
    assert!(matches!(other.next().await, Ok(Some(Message::Accepted(_)))));
    assert_eq!(worker.reserve("CA1").await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_draining_worker_keeps_the_places_that_it_has_promised() {
    let mut worker = TestWorker::start([], None).await;
    worker.reserve(CALL).await.unwrap();
    worker.lifecycle.soft_stop().cancel();
    assert_eq!(worker.reserve(OTHER).await.unwrap_err().code(), Code::Unavailable);
    let mut other = worker.attach().await.unwrap();
    other.start_as(OTHER, "").await;
    assert_eq!(other.next().await.unwrap_err().code(), Code::Unavailable);
    worker.live_leg().await;
    assert_eq!(worker.attach().await.err().unwrap().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_ticket_opens_one_leg_whoever_brings_it() {
    let mut worker = TestWorker::start([], None).await;
    let mut first = worker.attach().await.unwrap();
    first.start_as(CALL, "0a").await;
    let _model = worker.models.recv().await.unwrap();
    assert!(matches!(first.next().await, Ok(Some(Message::Accepted(_)))));
    let mut again = worker.attach().await.unwrap();
    // As another call's: this one has a leg, for which alone a second one would be refused.
    again.start_as(OTHER, "0a").await;
    assert_eq!(again.next().await.unwrap_err().code(), Code::AlreadyExists);
    assert!(worker.models.try_recv().is_err(), "no model hears of it");
}

#[tokio::test]
async fn a_draining_worker_takes_no_legs_and_keeps_those_it_has() {
    let mut worker = TestWorker::start([], None).await;
    let (mut leg, model) = worker.live_leg().await;
    worker.lifecycle.soft_stop().cancel();
    assert_eq!(worker.attach().await.err().unwrap().code(), Code::Unavailable);
    model.says_sentence("Still here.", &[0; 320]).await;
    assert!(matches!(leg.next().await, Ok(Some(Message::Speak(_)))));
    worker.lifecycle.hard_stop().cancel();
    assert!(matches!(leg.next().await, Ok(Some(Message::Next(_)))));
}

#[tokio::test]
async fn a_leg_must_begin_with_a_valid_start() {
    let worker = TestWorker::start([], None).await;
    let mut leg = worker.attach().await.unwrap();
    leg.says(0, vec![0xff; 160]).await;
    let status = leg.end().await;
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "the first message must be start"));
    let mut leg = worker.attach().await.unwrap();
    leg.send(from_edge::Message::Start(offhook_proto::voice::v1::Start::default())).await;
    assert_eq!(leg.end().await.code(), Code::InvalidArgument);
}
