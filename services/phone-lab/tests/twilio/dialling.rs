//! `<Dial>`: who answers, what is asked of them before they are connected, and what everybody is told.

use std::time::Duration;

use phone_lab::twilio::{AnsweredBy, CallEnd, CallOptions, CallReport, CallerScript, Happening, Human, codes};

use crate::edge::{Edge, Seen, answer, caller, twiml};

/// Somebody who answers after a second.
fn acts(steps: &str) -> Human {
    Human::acts(Duration::from_secs(1), &format!("[{steps}]")).unwrap()
}

/// An edge that dials like this, and screens whoever answers.
fn desk(dial: &'static str) -> Edge {
    Edge::answering(move |seen| match seen.target.as_str() {
        "/incoming-call" => twiml(&format!("{dial}<Say>nobody there</Say>")),
        "/whisper" => twiml(
            "<Gather numDigits=\"1\" timeout=\"2\" action=\"/screened\"><Say>press one to accept</Say></Gather><Hangup/>",
        ),
        "/screened" if seen.parameter("Digits") == Some("1") => twiml(""),
        "/leg" | "/amd" => answer(204, "text/plain", ""),
        _ => twiml("<Hangup/>"),
    })
}

const SCREENED: &str =
    "<Dial action=\"/result\"><Number url=\"/whisper\" statusCallback=\"/leg\">+15550100009</Number></Dial>";

fn asked(edge: &Edge, target: &str) -> Vec<Seen> {
    edge.seen().into_iter().filter(|seen| seen.target == target).collect()
}

async fn dialled(edge: &Edge, steps: &str, human: Human) -> CallReport {
    edge.call_with(steps, CallOptions { human, ..CallOptions::default() }).await
}

fn texts(report: &CallReport) -> Vec<&str> {
    report.heard.iter().map(|utterance| utterance.text.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn who_accepts_the_call_is_connected_and_both_hear_each_other() {
    let edge = desk(SCREENED);
    let human = acts("listen, { press: '1' }, connected, { say: desk here }, listen, hang_up");
    let report = dialled(&edge, "connected, listen, { say: thank you }", human).await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::HungUpByDocument, vec![]));
    assert_eq!(texts(&report), ["desk here"], "the caller hears nothing of the screening");
    let [desk] = &report.parties[..] else { panic!("one party") };
    assert_eq!(texts(desk), ["press one to accept", "thank you"]);
    assert_eq!(desk.end, CallEnd::CallerHungUp);
    let [whisper] = &asked(&edge, "/whisper")[..] else { panic!("one whisper") };
    assert_eq!(whisper.parameter("CallSid"), Some(desk.call_sid.as_str()));
    for (name, value) in [
        ("ParentCallSid", report.call_sid.as_str()),
        ("CallStatus", "in-progress"),
        ("Direction", "outbound-dial"),
        ("To", "+15550100009"),
        ("From", "+15550100001"),
    ] {
        assert_eq!(whisper.parameter(name), Some(value), "{name}");
    }
    let [result] = &asked(&edge, "/result")[..] else { panic!("one result") };
    for (name, value) in [("DialCallStatus", "completed"), ("DialBridged", "true"), ("DialCallSid", &desk.call_sid)] {
        assert_eq!(result.parameter(name), Some(value), "{name}");
    }
    let seconds: u64 = result.parameter("DialCallDuration").unwrap().parse().unwrap();
    assert!((2..=4).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_accept_the_call_is_never_connected() {
    for (steps, end) in [
        ("listen, hang_up", CallEnd::CallerHungUp),
        ("listen, { press: '2' }", CallEnd::HungUpByDocument),
        ("{ wait: 60s }", CallEnd::HungUpByDocument),
    ] {
        let edge = desk(SCREENED);
        let report = dialled(&edge, "", acts(steps)).await;
        assert_eq!((texts(&report).len(), report.parties[0].end), (0, end), "{steps}");
        let [result] = &asked(&edge, "/result")[..] else { panic!("one result") };
        let told = (result.parameter("DialCallStatus"), result.parameter("DialBridged"));
        assert_eq!(told, (Some("completed"), Some("false")), "{steps}");
        let leg = asked(&edge, "/leg");
        assert_eq!(leg[0].parameter("CallStatus"), Some("completed"), "the leg was answered");
    }
}

#[tokio::test(start_paused = true)]
async fn a_screening_document_that_fails_ends_the_leg_with_its_code() {
    let edge = Edge::answering(|seen| match seen.target.as_str() {
        "/incoming-call" => twiml("<Dial><Number url=\"/whisper\">+15550100009</Number></Dial><Say>sorry</Say>"),
        _ => answer(500, "text/xml", ""),
    });
    let report = dialled(&edge, "", acts("connected, { say: never }")).await;
    assert_eq!((texts(&report), report.code_numbers()), (vec!["sorry"], vec![codes::RETRIEVAL]));
    assert_eq!(report.parties[0].end, CallEnd::ApplicationError);
}

#[tokio::test(start_paused = true)]
async fn a_dialled_leg_cannot_dial_itself() {
    let edge = Edge::answering(|seen| match seen.target.as_str() {
        "/incoming-call" => twiml("<Dial><Number url=\"/whisper\">+15550100009</Number></Dial>"),
        _ => twiml("<Dial>+15550100008</Dial><Connect><Stream url=\"/media/1\"/></Connect>"),
    });
    let report = edge.call("").await;
    assert_eq!(report.dialled, ["+15550100009"]);
    assert_eq!((texts(&report), report.code_numbers()), (vec!["human here"], vec![codes::NESTED_DIAL, codes::SCHEMA]));
}

#[tokio::test(start_paused = true)]
async fn a_call_is_answered_only_when_somebody_is_connected_if_the_document_says_so() {
    for (on_bridge, human, status, answered) in [
        ("true", Human::NoAnswer, "ringing", false),
        ("true", acts("connected, hang_up"), "in-progress", true),
        ("false", Human::NoAnswer, "in-progress", true),
    ] {
        let edge = Edge::answering(move |seen| match seen.target.as_str() {
            "/incoming-call" => twiml(&format!(
                "<Dial answerOnBridge=\"{on_bridge}\" timeout=\"5\" action=\"/result\">+15550100009</Dial>"
            )),
            _ => twiml("<Reject/>"),
        });
        let report = dialled(&edge, "", human).await;
        assert_eq!(asked(&edge, "/result")[0].parameter("CallStatus"), Some(status));
        let at = report.timeline.iter().position(|event| event.what == Happening::Answered);
        let result = report.timeline.iter().rposition(|event| matches!(event.what, Happening::Requested { .. }));
        assert_eq!(at.is_some_and(|at| Some(at) < result), answered, "{on_bridge}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_to_answer_is_connected_and_the_others_stop_ringing() {
    let edge = desk(
        "<Dial action=\"/result\"><Number statusCallback=\"/leg\">+15550100008</Number>\
         <Sip statusCallback=\"/leg\">sip:desk@pbx.example.test;transport=tls?X-Tenant=t-42</Sip>\
         <Number statusCallback=\"/leg\">+15550100007</Number></Dial>",
    );
    let slow = Human::Answers { after: Duration::from_secs(4), says: "too late".into() };
    let quick = Human::Answers { after: Duration::from_secs(2), says: "desk".into() };
    let humans = vec![
        ("+15550100008".to_owned(), slow),
        ("sip:desk@pbx.example.test".to_owned(), quick),
        ("+15550100007".to_owned(), Human::Busy),
    ];
    let report = edge.call_with("", CallOptions { humans, ..CallOptions::default() }).await;
    assert_eq!((texts(&report), report.dialled.len()), (vec!["desk"], 3));
    let mut told: Vec<_> = asked(&edge, "/leg")
        .iter()
        .map(|seen| (seen.parameter("To").unwrap().to_owned(), seen.parameter("CallStatus").unwrap().to_owned()))
        .collect();
    told.sort();
    let statuses: Vec<_> = told.iter().map(|(_, status)| status.as_str()).collect();
    assert_eq!(statuses, ["busy", "canceled", "completed"]);
    let result = &asked(&edge, "/result")[0];
    let told = (result.parameter("DialCallStatus"), result.parameter("DialSipResponseCode"));
    assert_eq!(told, (Some("completed"), Some("200")), "it was the SIP leg");
}

#[tokio::test(start_paused = true)]
async fn sequential_dialling_tries_one_after_the_other() {
    let edge = desk(
        "<Dial sequential=\"true\" timeout=\"5\" action=\"/result\"><Number>+15550100008</Number>\
         <Number>+15550100009</Number><Number>+15550100007</Number></Dial>",
    );
    let humans = vec![("+15550100008".to_owned(), Human::NoAnswer)];
    let report = edge.call_with("{ wait: 60s }", CallOptions { humans, ..CallOptions::default() }).await;
    assert_eq!(report.dialled, ["+15550100008", "+15550100009"], "the third need not be called");
    assert!(report.heard[0].at > Duration::from_secs(5));
    let edge = desk("<Dial sequential=\"true\" action=\"/result\"><Number>+1555</Number><Number>+1556</Number></Dial>");
    dialled(&edge, "", Human::Busy).await;
    let results = asked(&edge, "/result");
    assert_eq!((results.len(), results[0].parameter("DialCallStatus")), (1, Some("busy")));
}

#[tokio::test(start_paused = true)]
async fn talking_ends_with_a_star_or_at_the_time_limit() {
    let stays = || acts("connected, { wait: 60s }");
    let report =
        dialled(&desk("<Dial hangupOnStar=\"true\">+1555</Dial>"), "connected, { press: '1*' }", stays()).await;
    assert_eq!(texts(&report), ["nobody there"], "the next verb runs");
    assert_eq!((report.parties[0].keys_heard.as_str(), report.parties[0].end), ("1", CallEnd::OtherSideHungUp));
    assert!(report.heard[0].at < Duration::from_secs(4));
    let report = dialled(&desk("<Dial timeLimit=\"3\">+1555</Dial>"), "", stays()).await;
    let at = report.heard[0].at.as_secs();
    assert!((4..=5).contains(&at), "{at}");
    let report = dialled(&desk("<Dial>+1555</Dial>"), "connected, { press: '*' }, hang_up", stays()).await;
    assert_eq!((report.end, report.parties[0].keys_heard.as_str()), (CallEnd::CallerHungUp, "*"));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_hangs_up_takes_the_leg_along() {
    let edge = desk("<Dial action=\"/result\"><Number statusCallback=\"/leg\">+15550100009</Number></Dial>");
    let report = dialled(&edge, "connected, listen, hang_up", acts("connected, { say: hello }, { wait: 60s }")).await;
    assert_eq!((report.end, texts(&report)), (CallEnd::CallerHungUp, vec!["hello"]));
    assert_eq!(report.parties[0].end, CallEnd::OtherSideHungUp);
    assert_eq!(asked(&edge, "/leg")[0].parameter("CallStatus"), Some("completed"));
    assert!(asked(&edge, "/result").is_empty());
}

#[tokio::test(start_paused = true)]
async fn keys_are_sent_to_who_answers_and_the_caller_id_is_shown() {
    let edge = desk(
        "<Dial callerId=\"+15550100100\"><Number sendDigits=\"w12#\" statusCallback=\"/leg\">+15550100009</Number></Dial>",
    );
    let human = acts("{ await_keys: '12#' }, connected, { say: extension twelve }, hang_up");
    let report = dialled(&edge, "", human).await;
    assert_eq!((texts(&report)[0], report.parties[0].keys_heard.as_str()), ("extension twelve", "12#"));
    assert_eq!(asked(&edge, "/leg")[0].parameter("From"), Some("+15550100100"));
}

#[tokio::test(start_paused = true)]
async fn what_answered_a_leg_is_found_out_beside_the_talk() {
    let edge = desk(
        "<Dial><Number machineDetection=\"DetectMessageEnd\" amdStatusCallback=\"/amd\">+15550100009</Number></Dial>",
    );
    let machine = |wait: &str| {
        let Human::Acts(mut party) = acts(&format!("connected, {{ wait: {wait} }}, hang_up")) else { panic!("acts") };
        party.detected = AnsweredBy::Machine;
        Human::Acts(party)
    };
    let report = dialled(&edge, "", machine("5s")).await;
    let [verdict] = &asked(&edge, "/amd")[..] else { panic!("one verdict") };
    for (name, value) in [
        ("CallSid", report.parties[0].call_sid.as_str()),
        ("AnsweredBy", "machine_end_beep"),
        ("MachineDetectionDuration", "2000"),
    ] {
        assert_eq!(verdict.parameter(name), Some(value), "{name}");
    }
    dialled(&edge, "", machine("1s")).await;
    assert_eq!(asked(&edge, "/amd").len(), 1, "a leg that is over first is never told of");
}

#[tokio::test(start_paused = true)]
async fn a_script_says_in_yaml_who_answers() {
    let edge = desk(SCREENED);
    let script = CallerScript::from_yaml(
        "from: '+15550100001'\nto: '+15550100100'\nsteps: []\ndialled:\n  '+15550100009': \
         { after: 2s, steps: [listen, { press: '1' }, connected, { say: from yaml }, hang_up] }\n  otherwise: busy\n",
    );
    let report = edge.twilio().call(script.unwrap(), CallOptions::default()).await;
    assert_eq!(texts(&report), ["from yaml"]);
    let script = CallerScript { dialled: [("otherwise".to_owned(), Human::Declines)].into(), ..caller("") };
    edge.twilio().call(script, CallOptions::default()).await;
    assert_eq!(asked(&edge, "/result")[1].parameter("DialCallStatus"), Some("busy"));
}

#[tokio::test(start_paused = true)]
async fn nobody_who_can_be_dialled_is_a_failed_dial() {
    for (dial, code) in [
        ("<Dial action=\"/result\">5550100</Dial>", codes::NOT_E164),
        ("<Dial action=\"/result\"><Sip>sip:a@b.test?Subject=x</Sip></Dial>", codes::SIP_HEADER_NAME),
        ("<Dial action=\"/result\" callerId=\"me\">+15550100</Dial>", codes::BAD_CALLER_ID),
    ] {
        let edge = desk(dial);
        let report = edge.call("").await;
        assert_eq!((report.code_numbers(), report.dialled.len()), (vec![code], 0));
        let result = &asked(&edge, "/result")[0];
        assert_eq!((result.parameter("DialCallStatus"), result.parameter("DialCallSid")), (Some("failed"), None));
    }
}

#[tokio::test(start_paused = true)]
async fn the_caller_hears_it_ring_until_connected_and_no_words_in_it() {
    let report = dialled(&desk(SCREENED), "", acts("listen, { press: '1' }, connected, { say: desk }, hang_up")).await;
    assert_eq!(texts(&report), ["desk"]);
    let connected = report.timeline.iter().find(|event| event.what == Happening::Connected).unwrap().at;
    let (first, last) = (report.ringing.first().unwrap(), report.ringing.last().unwrap());
    let whispered = last.at + last.lasted - first.at;
    assert!(whispered > Duration::from_millis(1500), "also while the human is asked: {whispered:?}");
    assert!(
        connected.abs_diff(last.at + last.lasted) < Duration::from_millis(100),
        "{connected:?}, {:?}",
        report.ringing
    );
    let sample = |at: Duration| at.as_millis() as usize * 8;
    let rings = &report.heard_pcm[sample(first.at)..sample(first.at + Duration::from_secs(1))];
    assert!(rings.iter().any(|sample| sample.unsigned_abs() > 1000));
    let unanswered = dialled(&desk("<Dial timeout=\"5\">+15550100009</Dial>"), "", Human::NoAnswer).await;
    assert_eq!(unanswered.ringing[0].lasted, Duration::from_secs(5));
    assert!(phone_lab::oracle::longest_unheard(&unanswered).lasted < Duration::from_secs(1));
}
