use std::time::Duration;

use phone_lab::{
    bedrock::{self, Fault, Moment, Refusal, Script},
    pair::Pair,
    twilio::{CallEnd, CallOptions, CallReport},
};

use sonic_worker::agent::Agent;

use crate::support::{assert_heard_as_said, assert_nothing_left, caller, live_call, pair, play, start_with};

const SCRIPT: &str = "greeting: 'good morning, how are you today'";

async fn call(pair: &Pair) -> CallReport {
    pair.twilio.call(caller("[listen, listen, listen]"), CallOptions::default()).await
}

fn assert_caller_hears_a_sentence(call: &CallReport) {
    assert_eq!(call.end, CallEnd::HungUpByDocument, "{call:?}");
    assert!(call.spoken_by_twilio.iter().any(|said| said.contains("sorry")), "{:?}", call.spoken_by_twilio);
}

/// The processes are alive: the next caller is served.
async fn assert_next_call_is_served(pair: &Pair) {
    let (call, sessions) = play(pair, caller("[listen, say: well, listen, hang_up]"), CallOptions::default()).await;
    assert_heard_as_said(&call, &sessions);
    assert_eq!(call.heard.last().unwrap().text, "you said well");
}

async fn a_refused_start_ends_in_a_sentence(refusal: Refusal, times: usize) {
    let pair = pair(SCRIPT).await;
    (0..times).for_each(|_| pair.bedrock.inject(Fault::Refuse(refusal.clone())));
    assert_caller_hears_a_sentence(&call(&pair).await);
    assert_eq!(pair.bedrock.reports().len(), 0, "a session was opened after all");
    assert_next_call_is_served(&pair).await;
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_start_is_tried_three_times_and_ends_in_a_sentence() {
    a_refused_start_ends_in_a_sentence(Refusal::throttled(), 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_throttled_twice_succeeds_without_the_caller_noticing() {
    let pair = pair(SCRIPT).await;
    (0..2).for_each(|_| pair.bedrock.inject(Fault::Refuse(Refusal::throttled())));
    assert_next_call_is_served(&pair).await;
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_permission_ends_in_a_sentence() {
    a_refused_start_ends_in_a_sentence(Refusal::access_denied(), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_an_unknown_model_ends_in_a_sentence() {
    a_refused_start_ends_in_a_sentence(Refusal::not_found(), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_never_answered_ends_in_a_sentence() {
    let pair = pair(SCRIPT).await;
    (0..2).for_each(|_| pair.bedrock.inject(Fault::NeverAnswer));
    assert_caller_hears_a_sentence(&call(&pair).await);
    assert_next_call_is_served(&pair).await;
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_answered_the_second_time_is_a_call_like_any_other() {
    let pair = pair(SCRIPT).await;
    pair.bedrock.inject(Fault::NeverAnswer);
    let (call, sessions) = play(&pair, caller("[listen, say: well, listen, hang_up]"), CallOptions::default()).await;
    assert_heard_as_said(&call, &sessions[1..]);
    assert_eq!(call.heard.last().unwrap().text, "you said well");
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_lost_and_cannot_be_had_again_leads_to_a_human() {
    let pair = pair(SCRIPT).await;
    pair.bedrock.inject(Fault::ResetStream(Moment::FirstAudio));
    (0..3).for_each(|_| pair.bedrock.inject(Fault::Refuse(Refusal::throttled())));
    let call = call(&pair).await;
    assert_eq!(call.spoken_by_twilio, [Agent::demo().hand_over]);
    assert_eq!(call.dialled.len(), 1, "{call:?}");
    assert_next_call_is_served(&pair).await;
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_takes_the_session_and_then_says_nothing_is_replaced() {
    let pair = pair(SCRIPT).await;
    pair.bedrock.inject(Fault::Freeze(Moment::After(Duration::ZERO)));
    assert_next_call_is_served(&pair).await;
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_a_drain_cuts_short_still_hears_its_own_workers_words() {
    let bedrock = bedrock::Settings { script: Script::from_yaml(SCRIPT).unwrap(), ..bedrock::Settings::default() };
    let pair = start_with(bedrock, vec![("DRAIN_SECONDS", "0".to_owned())]).await;
    let live = live_call(&pair, "[listen, listen, listen]").await;
    pair.worker_lifecycle.soft_stop().cancel();
    let said = live.await.unwrap().spoken_by_twilio;
    assert_eq!(said, [Agent::demo().hand_over], "the edge's own words would say that no worker could be asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_worker_is_gone_hears_a_sentence() {
    let pair = pair(SCRIPT).await;
    let live = live_call(&pair, "[listen, listen, listen]").await;
    pair.worker_lifecycle.soft_stop().cancel();
    pair.worker_lifecycle.hard_stop().cancel();
    assert_caller_hears_a_sentence(&live.await.unwrap());
    let without_worker = call(&pair).await;
    assert_eq!(without_worker.dialled.len(), 1, "nobody picks up for it: the human is called: {without_worker:?}");
}
