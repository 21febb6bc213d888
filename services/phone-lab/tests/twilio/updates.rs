//! What the REST interface does to live calls, and the debugger's list.

use std::time::Duration;

use phone_lab::twilio::{
    CallEnd, CallOptions, CallReport, Callee, Happening, codes,
    rest::{EndedCall, RestSettings},
};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    edge::{Edge, Line, Seen, answer, caller, twiml},
    rest::{CALLS, Client, answers, says_hello, uri},
};

/// An edge whose stream takes note of how it ends, and what a caller to it leaves after a redirect by REST.
async fn redirected(form: &[(&str, &str)]) -> (Edge, CallReport, Vec<Value>) {
    redirected_with(form, CallOptions::default()).await
}

async fn redirected_with(form: &[(&str, &str)], options: CallOptions) -> (Edge, CallReport, Vec<Value>) {
    let got = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let to = got.clone();
    let edge = Edge::start(
        |seen| match seen.target.as_str() {
            "/incoming-call" => crate::edge::connect(),
            "/next" => twiml("<Say>a human now</Say>"),
            _ => twiml("<Say>never</Say>"),
        },
        move |mut line: Line| {
            let to = to.clone();
            async move {
                line.next("start").await;
                line.say("a long story that nobody will hear to its end").await;
                line.drain().await;
                *to.lock().unwrap() = line.got;
            }
        },
    );
    let twilio = edge.twilio();
    let client = Client::with(twilio.clone(), answers("")).await;
    let (events, mut watched) = tokio::sync::mpsc::channel(64);
    let call = tokio::spawn(async move { twilio.call_watched(caller("{ wait: 60s }"), options, events).await });
    while !matches!(watched.recv().await.unwrap().what, Happening::StreamStarted { .. }) {}
    sleep(Duration::from_millis(500)).await;
    let sid = edge.seen()[0].parameter("CallSid").unwrap().to_owned();
    let (status, shown) = client.post(&CALLS.replace(".json", &format!("/{sid}.json")), form).await;
    assert_eq!((status, &shown["sid"]), (200, &sid.into()), "{shown}");
    let report = call.await.unwrap();
    let got = got.lock().unwrap().clone();
    (edge, report, got)
}

fn targets(edge: &Edge) -> Vec<String> {
    edge.seen().into_iter().map(|seen: Seen| seen.target).collect()
}

#[tokio::test(start_paused = true)]
async fn a_redirect_stops_the_stream_discards_its_audio_and_runs_the_new_document() {
    let (edge, report, got) = redirected(&[("Url", "https://voice.example.test/next")]).await;
    assert_eq!(targets(&edge), ["/incoming-call", "/media/7", "/next"], "the stream's action is not asked for");
    assert_eq!(got.last().unwrap()["event"], "stop");
    assert_eq!((report.end, report.code_numbers()), (CallEnd::DocumentEnded, vec![]));
    let [cut, next] = &report.heard[..] else { panic!("{:?}", report.heard) };
    assert!("a long story that nobody will hear".starts_with(cut.text.trim_end_matches('\u{fffd}')), "{cut:?}");
    assert_eq!(next.text, "a human now");
}

#[tokio::test(start_paused = true)]
async fn a_redirect_may_ask_for_the_streams_action_too_and_only_the_redirect_takes_control() {
    let options = CallOptions { connect_action_on_redirect: true, ..CallOptions::default() };
    let (edge, report, got) = redirected_with(&[("Url", "https://voice.example.test/next")], options).await;
    assert_eq!(targets(&edge), ["/incoming-call", "/media/7", "/stream-ended", "/next"]);
    assert_eq!(
        (got.last().unwrap()["event"].as_str(), report.spoken_by_twilio),
        (Some("stop"), vec!["a human now".into()])
    );
}

#[tokio::test(start_paused = true)]
async fn a_redirect_may_bring_its_twiml() {
    let (edge, report, got) = redirected(&[("Twiml", "<Response><Say>good bye</Say></Response>")]).await;
    assert_eq!(targets(&edge), ["/incoming-call", "/media/7"]);
    assert_eq!(got.last().unwrap()["event"], "stop");
    assert_eq!(report.heard[1].text, "good bye");
}

#[tokio::test(start_paused = true)]
async fn a_relative_action_in_a_redirects_twiml_is_an_error_when_it_is_due() {
    let twiml = "<Response><Dial action=\"/dialled\">+15550100002</Dial></Response>";
    let (edge, report, _) = redirected(&[("Twiml", twiml)]).await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::ApplicationError, vec![codes::NO_BASE]));
    assert_eq!(targets(&edge), ["/incoming-call", "/media/7"]);
}

#[tokio::test(start_paused = true)]
async fn status_completed_ends_a_live_call_with_a_stop_and_status_canceled_does_not() {
    let (_, report, got) = redirected(&[("Status", "completed")]).await;
    assert_eq!((report.end, got.last().unwrap()["event"].as_str()), (CallEnd::EndedByRest, Some("stop")));
    let (_, report, _) = redirected(&[("Status", "canceled")]).await;
    assert_eq!(report.end, CallEnd::PatienceEnded, "the caller waited on");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_over_cannot_be_updated() {
    for (ended_call, status, code) in
        [(EndedCall::NotFound, 404, codes::NOT_FOUND), (EndedCall::WrongState, 400, codes::BAD_CALL_STATE)]
    {
        let edge = says_hello();
        let client = Client::of(&edge, RestSettings { ended_call, ..answers("") }).await;
        let call = client.create(&[]).await;
        client.report(&call).await;
        let (got, body) = client.post(uri(&call), &[("Status", "completed")]).await;
        assert_eq!((got, &body["code"]), (status, &code.into()));
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_call_in_progress_can_be_redirected_and_an_unanswered_one_can_be_taken_back() {
    let edge = says_hello();
    let client = Client::of(&edge, RestSettings::new(Callee::NoAnswer)).await;
    let call = client.create(&[]).await;
    client.until(uri(&call), "ringing").await;
    let (status, body) = client.post(uri(&call), &[("Twiml", "<Response/>")]).await;
    assert_eq!((status, &body["code"]), (400, &codes::BAD_CALL_STATE.into()));
    let (status, shown) = client.post(uri(&call), &[("Status", "canceled")]).await;
    assert_eq!((status, &shown["status"]), (200, &"canceled".into()));
    assert_eq!(client.report(&call).await.end, CallEnd::NotAnswered);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_during_a_dial_asks_for_its_action_too_but_only_the_redirect_takes_control() {
    let edge = Edge::answering(|seen| match seen.target.as_str() {
        "/outbound" => twiml("<Dial action=\"/dialled\"><Sip>sip:desk@pbx.example.test</Sip></Dial>"),
        "/dialled" => twiml("<Say>never</Say>"),
        _ => twiml("<Say>somebody else</Say>"),
    });
    let human = phone_lab::twilio::Human::NoAnswer;
    let mut settings = answers("{ wait: 60s }");
    if let Callee::Answers(answering) = &mut settings.otherwise {
        answering.options = CallOptions { human, ..CallOptions::default() };
    }
    let client = Client::of(&edge, settings).await;
    let call = client.create(&[]).await;
    client.until(uri(&call), "in-progress").await;
    sleep(Duration::from_secs(1)).await;
    client.post(uri(&call), &[("Url", "https://voice.example.test/next")]).await;
    let report = client.report(&call).await;
    assert_eq!(targets(&edge), ["/outbound", "/dialled", "/next"]);
    assert_eq!(edge.seen()[1].parameter("DialCallStatus"), Some("completed"));
    assert_eq!(report.spoken_by_twilio, ["somebody else"]);
}

#[tokio::test(start_paused = true)]
async fn the_debugger_lists_each_code_with_its_call_its_stream_and_its_time() {
    let edge = Edge::start(
        |seen| if seen.target == "/outbound" { crate::edge::connect() } else { answer(404, "text/xml", "") },
        |mut line: Line| async move {
            line.next("start").await;
            line.binary(b"noise").await;
            line.close().await;
        },
    );
    let client = Client::of(&edge, answers("{ wait: 5s }")).await;
    let call = client.create(&[("Colour", "blue")]).await;
    let report = client.report(&call).await;
    let (status, list) = client.get("/lab/debugger.json").await;
    let lines = list["entries"].as_array().unwrap();
    let expected = [codes::UNKNOWN_PARAMETER, codes::MALFORMED_MESSAGE, codes::STREAM_CLOSED, codes::RETRIEVAL];
    assert_eq!(
        (status, lines.iter().map(|line| line["code"].clone()).collect::<Vec<_>>()),
        (200, expected.map(Value::from).to_vec())
    );
    let stream = Value::from(report.stream_sids[0].as_str());
    let streams: Vec<_> = lines.iter().map(|line| line["stream_sid"].clone()).collect();
    assert_eq!(streams, [Value::Null, stream.clone(), stream, Value::Null]);
    assert!(
        lines.iter().all(|line| line["call_sid"] == call["sid"] && line["date"].as_str().unwrap().ends_with("+0000"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_dialled_leg_can_be_ended_once_it_was_answered_and_its_caller_goes_on() {
    let edge = Edge::answering(|seen| match seen.target.as_str() {
        "/outbound" => twiml("<Dial action=\"/dialled\"><Sip>sip:desk@pbx.example.test</Sip></Dial>"),
        _ => twiml("<Say>back again</Say>"),
    });
    let mut settings = answers("{ wait: 60s }");
    if let Callee::Answers(answering) = &mut settings.otherwise {
        answering.options.human =
            phone_lab::twilio::Human::acts(Duration::from_secs(5), "[connected, { wait: 60s }]").unwrap();
    }
    let client = Client::of(&edge, settings).await;
    let call = client.create(&[]).await;
    client.until(uri(&call), "in-progress").await;
    sleep(Duration::from_secs(1)).await;
    let list = client.get(&format!("{CALLS}?ParentCallSid={}", call["sid"].as_str().unwrap())).await.1;
    let leg = list["calls"][0].clone();
    assert_eq!((&leg["status"], &leg["direction"]), (&"ringing".into(), &"outbound-dial".into()));
    for form in [[("Status", "completed")], [("Url", "https://voice.example.test/next")]] {
        assert_eq!(client.post(uri(&leg), &form).await.1["code"], codes::BAD_CALL_STATE);
    }
    client.until(uri(&leg), "in-progress").await;
    assert_eq!(client.post(uri(&leg), &[("Twiml", "<Response/>")]).await.1["code"], codes::BAD_CALL_STATE);
    let (status, shown) = client.post(uri(&leg), &[("Status", "completed")]).await;
    assert_eq!((status, &shown["status"]), (200, &"completed".into()));
    let report = client.report(&call).await;
    assert_eq!(edge.seen()[1].parameter("DialCallStatus"), Some("completed"));
    assert_eq!((report.parties[0].end, report.heard[0].text.as_str()), (CallEnd::EndedByRest, "back again"));
}
