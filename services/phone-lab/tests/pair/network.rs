//! The pair between two networks that are not loopback.

use phone_lab::{
    bedrock::{self, Pace, Script, SessionEnd},
    network::Conditions,
    oracle,
    scenario::Scenario,
    twilio::{CallEnd, CallOptions, CallReport, codes},
};

use crate::support::{assert_heard_as_said, assert_nothing_left, caller, play, start};

const ROUGH: &str = "delay=80ms,jitter=40ms,burst=200ms/2s";

fn over(conditions: &str) -> CallOptions {
    CallOptions { network: Some(Conditions::of_twilio(conditions).unwrap()), ..CallOptions::default() }
}

fn behind(conditions: &str, script: Script) -> bedrock::Settings {
    let network = Some(Conditions::of_bedrock(conditions).unwrap());
    bedrock::Settings { pace: Pace::new(0.4).unwrap(), script, network, ..bedrock::Settings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_over_two_rough_networks_is_heard_whole() {
    let Scenario { model, calls, .. } = Scenario::demo();
    let call = calls.into_iter().find(|call| call.name == "recorded-caller").unwrap();
    let pair = start(behind(ROUGH, model)).await;
    let (report, sessions) = play(&pair, call.caller, over(ROUGH)).await;
    assert_heard_as_said(&report, &sessions);
    assert_eq!(oracle::missing(&report, &call.hears), Vec::<String>::new());
    assert_eq!(report.end, CallEnd::HungUpByDocument);
    assert!(report.network[0].from.held.len() > 2 && pair.bedrock.network()[0].to.held.len() > 2);
    assert_nothing_left(pair).await;
}

fn assert_caller_hears_a_sentence(call: &CallReport) {
    assert_eq!(call.end, CallEnd::HungUpByDocument, "{call:?}");
    assert!(call.spoken_by_twilio.iter().any(|said| said.contains("sorry")), "{:?}", call.spoken_by_twilio);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_to_twilio_that_is_cut_ends_the_session_by_the_book_and_the_call_with_a_sentence() {
    let script = Script::from_yaml("greeting: 'good morning, how are you today, and how is your mother'").unwrap();
    let bedrock = bedrock::Settings { pace: Pace::new(0.1).unwrap(), script, ..bedrock::Settings::default() };
    let pair = start(bedrock).await;
    for (conditions, code) in [
        ("cut=rst@1s", codes::STREAM_CUT),
        ("cut=fin@1s", codes::STREAM_CUT),
        ("cut=close:1001@1s", codes::STREAM_CLOSED),
    ] {
        let (report, sessions) = play(&pair, caller("[listen, listen, listen]"), over(conditions)).await;
        assert_eq!(report.code_numbers(), [code], "{conditions}");
        assert_caller_hears_a_sentence(&report);
        assert_eq!(sessions[0].end, Some(SessionEnd::ByTheBook), "{conditions}");
    }
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_to_bedrock_that_is_cut_leads_to_a_sentence() {
    for how in ["rst", "fin"] {
        let script = Script::from_yaml("greeting: 'good morning, how are you today'").unwrap();
        let pair = start(behind(&format!("cut={how}@2s"), script)).await;
        let (report, sessions) = play(&pair, caller("[listen, listen, listen]"), CallOptions::default()).await;
        assert_caller_hears_a_sentence(&report);
        assert!(matches!(sessions[0].end, Some(SessionEnd::ClientVanished(_))), "{how}: {:?}", sessions[0].end);
        assert_nothing_left(pair).await;
    }
}
