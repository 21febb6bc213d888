//! Who takes a placed call: a person, a machine, a fax, a robot that screens calls.

use std::time::Duration;

use http::header;
use phone_lab::{
    pair::Pair,
    twilio::{AnsweredBy, CallEnd, CallReport, Callee, rest::RestSettings},
};
use serde_json::{Value, json};

use crate::support::{AgentsFile, CALLEE, ask, callee, configured, pair, record, request, send};

const SCRIPT: &str = "greeting: good morning this is the front desk";

/// Somebody who picks up, listens, and stays on the line for a while.
fn taken_by(who: AnsweredBy) -> RestSettings {
    let Callee::Answers(mut answering) = callee("[listen, {wait: 20s}]") else { unreachable!() };
    answering.detected = who;
    answering.detection_takes = Duration::from_millis(800);
    RestSettings::new(Callee::Answers(answering))
}

async fn placed(pair: &Pair, machine: Value) -> CallReport {
    let mut body = machine;
    body["to"] = CALLEE.into();
    let answer = ask(pair, &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    pair.rest.report(answer.call_sid()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_human_talks_on_whatever_was_ordered_for_machines() {
    let Callee::Answers(mut answering) = callee("[listen, {wait: 1s}, say: still here, listen, hang_up]") else {
        panic!()
    };
    answering.detection_takes = Duration::from_millis(300);
    let pair = pair(SCRIPT, RestSettings::new(Callee::Answers(answering))).await;
    let report = placed(&pair, json!({ "machine_detection": "hang_up" })).await;
    assert_eq!(report.end, CallEnd::CallerHungUp);
    assert_eq!(report.heard.last().unwrap().text, "you said still here");
    assert_eq!(record(&pair, &report.call_sid).await.answered_by, "human");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_hung_up_on() {
    let pair = pair(SCRIPT, taken_by(AnsweredBy::Machine)).await;
    let report = placed(&pair, json!({ "machine_detection": "hang_up" })).await;
    assert_eq!((report.end, report.spoken_by_twilio), (CallEnd::EndedByRest, Vec::new()));
    assert_eq!(record(&pair, &report.call_sid).await.answered_by, "machine_start");
    assert!(pair.sessions_end_within(Duration::from_secs(5)).await, "the agent talks on to nobody");
    pair.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_left_a_message_after_the_beep_and_then_the_line_closes() {
    let pair = pair(SCRIPT, taken_by(AnsweredBy::Machine)).await;
    let order =
        json!({ "machine_detection": "leave_message", "message": "we called about <your> booking & will call again" });
    let report = placed(&pair, order).await;
    assert_eq!(report.end, CallEnd::HungUpByDocument);
    assert_eq!(report.spoken_by_twilio, ["we called about <your> booking & will call again"]);
    assert_eq!(record(&pair, &report.call_sid).await.answered_by, "machine_end_beep");
    assert!(pair.sessions_end_within(Duration::from_secs(5)).await, "the agent talks on to nobody");
    pair.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_nobody_looks_for_talks_to_the_agent() {
    let pair = pair(SCRIPT, RestSettings::new(callee("[listen, hang_up]"))).await;
    let report = placed(&pair, json!({ "machine_detection": "off" })).await;
    assert_eq!(report.end, CallEnd::CallerHungUp);
    assert_eq!(record(&pair, &report.call_sid).await.answered_by, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fax_is_hung_up_on_and_left_no_message() {
    let pair = pair(SCRIPT, taken_by(AnsweredBy::Fax)).await;
    let report = placed(&pair, json!({ "machine_detection": "leave_message", "message": "we called" })).await;
    assert_eq!((report.end, report.spoken_by_twilio), (CallEnd::EndedByRest, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_leaves_its_own_message_where_the_request_has_none() {
    let agents = AgentsFile::new();
    let pair = configured(SCRIPT, taken_by(AnsweredBy::Machine), &[("AGENTS_FILE", &agents.path())]).await;
    let report = placed(&pair, json!({ "agent": "reminders", "machine_detection": "leave_message" })).await;
    assert_eq!(report.spoken_by_twilio, ["we will call again"]);
}

/// What a robot is told is up to the model; the agent's line for it is in what the model reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_robot_that_screens_calls_is_told_who_is_calling_and_the_model_knows_what_to_say() {
    let agents = AgentsFile::new();
    let line = "Reminders of the hotel by the sea.";
    let script =
        format!("{{greeting: good morning, dialogue: [{{heard: your name, reply: '{}'}}]}}", line.to_lowercase());
    let robot = RestSettings::new(callee("[listen, say: please state your name, listen, hang_up]"));
    let pair = configured(&script, robot, &[("AGENTS_FILE", &agents.path())]).await;
    let report = placed(&pair, json!({ "agent": "reminders", "machine_detection": "hang_up" })).await;
    assert_eq!(report.heard.last().unwrap().text, line.to_lowercase());
    assert!(pair.sessions_end_within(Duration::from_secs(5)).await);
    let prompt = &pair.bedrock.reports()[0].system_prompt;
    assert!(prompt.contains("robot") && prompt.contains(line), "{prompt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_that_twilio_has_not_signed_changes_nothing() {
    let pair = pair(SCRIPT, RestSettings::new(callee("[listen, say: still here, listen, hang_up]"))).await;
    let answer = ask(&pair, &json!({ "to": CALLEE, "machine_detection": "hang_up" })).await;
    let form = format!("CallSid={}&AccountSid=AC{:032}&AnsweredBy=machine_start", answer.call_sid(), 0);
    let forged = request("POST").uri("/amd-status").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    assert_eq!(send(&pair, forged.body(form.into()).unwrap()).await.status, 403);
    let report = pair.rest.report(answer.call_sid()).await;
    assert_eq!(report.end, CallEnd::CallerHungUp);
}
