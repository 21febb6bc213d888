//! What Twilio tells besides asking for documents: status callbacks of calls and streams, and who answered.

use std::time::Duration;

use offhook_hosting::{clock::Clock, entropy::Entropy};
use phone_lab::twilio::{
    AnsweredBy, CallEnd, CallOptions, Callee, Delivery, Human, Settings, Twilio, codes, rest::RestSettings, url::Url,
};
use tokio::time::sleep;

use crate::{
    edge::{Edge, Line, PUBLIC_URL, Seen, TOKEN, answer, caller, connect, signature, twiml},
    rest::{Client, answers},
};

const STATUS: (&str, &str) = ("StatusCallback", "https://voice.example.test/status");

fn all_events() -> Vec<(&'static str, &'static str)> {
    let events = ["initiated", "ringing", "answered", "completed"].map(|event| ("StatusCallbackEvent", event));
    [&[STATUS][..], &events].concat()
}

/// An edge that answers documents with a pause, and callbacks with this.
fn edge_and(callback: u16) -> Edge {
    Edge::answering(move |seen| match seen.target.as_str() {
        "/status" | "/amd" => answer(callback, "text/plain", ""),
        _ => twiml("<Pause length=\"3\"/>"),
    })
}

fn of_target(edge: &Edge, target: &str) -> Vec<Seen> {
    edge.seen().into_iter().filter(|seen| seen.target == target).collect()
}

fn values(seen: &[Seen], name: &str) -> Vec<String> {
    seen.iter().map(|seen| seen.parameter(name).unwrap_or("-").to_owned()).collect()
}

/// The status callbacks of a call to this callee.
async fn told(settings: RestSettings, more: &[(&str, &str)]) -> Vec<Seen> {
    let edge = edge_and(204);
    let client = Client::of(&edge, settings).await;
    let call = client.create(&[&all_events()[..], more].concat()).await;
    client.report(&call).await;
    of_target(&edge, "/status")
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_answered_tells_four_events_numbered_from_nought() {
    let told = told(answers("{ wait: 60s }"), &[]).await;
    assert_eq!(values(&told, "CallStatus"), ["initiated", "ringing", "in-progress", "completed"]);
    assert_eq!(values(&told, "SequenceNumber"), ["0", "1", "2", "3"]);
    assert_eq!(values(&told, "CallbackSource"), ["call-progress-events"; 4]);
    assert_eq!(values(&told, "CallDuration"), ["-", "-", "-", "3"]);
    assert_eq!(values(&told, "Duration"), ["-", "-", "-", "1"]);
    assert_eq!(values(&told, "SipResponseCode"), ["-", "-", "-", "200"]);
    assert_eq!(values(&told, "Direction"), ["outbound-api"; 4]);
    for seen in &told {
        assert!(seen.parameter("Timestamp").unwrap().ends_with(" +0000"));
        let signed = signature(TOKEN, &format!("{PUBLIC_URL}/status"), &seen.form);
        assert_eq!(seen.header("x-twilio-signature"), Some(signed.as_str()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_answered_says_why() {
    for (callee, statuses, sip) in [
        (Callee::Busy, &["initiated", "busy"][..], "486"),
        (Callee::Unreachable, &["initiated", "failed"], "404"),
        (Callee::NoAnswer, &["initiated", "ringing", "no-answer"], "487"),
    ] {
        let told = told(RestSettings::new(callee), &[("Timeout", "5")]).await;
        assert_eq!(values(&told, "CallStatus"), statuses);
        let last = told.last().unwrap();
        assert_eq!((last.parameter("SipResponseCode"), last.parameter("CallDuration")), (Some(sip), None));
    }
}

#[tokio::test(start_paused = true)]
async fn only_completed_is_told_unless_more_is_asked_for_and_nothing_after_a_bad_event() {
    for (events, statuses, codes) in [
        (&[][..], &["completed"][..], &[][..]),
        (&["answered"], &["in-progress"], &[]),
        (&["answered", "completed"], &["in-progress", "completed"], &[]),
        (&["answered completed"], &[], &[codes::BAD_STATUS_EVENT]),
    ] {
        let edge = edge_and(204);
        let client = Client::of(&edge, answers("{ wait: 60s }")).await;
        let events: Vec<_> = events.iter().map(|&event| ("StatusCallbackEvent", event)).collect();
        let call = client.create(&[&[STATUS][..], &events].concat()).await;
        client.report(&call).await;
        let told = of_target(&edge, "/status");
        assert_eq!(values(&told, "CallStatus"), statuses, "{events:?}");
        assert_eq!(client.codes(), codes, "{events:?}");
        let from_nought: Vec<_> = (0..told.len()).map(|number| number.to_string()).collect();
        assert_eq!(values(&told, "SequenceNumber"), from_nought);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_taken_back_while_it_is_queued_tells_nothing_and_one_that_rings_does() {
    let edge = edge_and(204);
    let client = Client::of(&edge, RestSettings::new(Callee::NoAnswer)).await;
    let (first, second) = (client.create(&all_events()).await, client.create(&all_events()).await);
    let uri = |call: &serde_json::Value| call["uri"].as_str().unwrap().to_owned();
    let (_, shown) = client.post(&uri(&second), &[("Status", "canceled")]).await;
    assert_eq!(shown["status"], "canceled");
    client.until(&uri(&first), "ringing").await;
    client.post(&uri(&first), &[("Status", "completed")]).await;
    client.report(&first).await;
    sleep(Duration::from_secs(5)).await;
    let told = of_target(&edge, "/status");
    assert_eq!(values(&told, "CallStatus"), ["initiated", "ringing", "canceled"]);
    assert_eq!(values(&told, "CallSid"), [first["sid"].as_str().unwrap(); 3]);
    assert_eq!(told[2].parameter("SipResponseCode"), Some("487"));
}

#[tokio::test(start_paused = true)]
async fn callbacks_may_come_doubled_out_of_order_or_late() {
    let with = |callbacks| RestSettings { callbacks, ..answers("{ wait: 60s }") };
    let doubled = told(with(Delivery::Doubled), &[]).await;
    assert_eq!(values(&doubled, "SequenceNumber"), ["0", "0", "1", "1", "2", "2", "3", "3"]);
    let shuffled = told(with(Delivery::OutOfOrder), &[]).await;
    assert_eq!(values(&shuffled, "SequenceNumber"), ["1", "0", "3", "2"]);
    let began = Clock.now();
    let late = told(with(Delivery::Late(Duration::from_secs(30))), &[]).await;
    assert_eq!(values(&late, "SequenceNumber"), ["0", "1", "2", "3"]);
    let took = Clock.now().duration_since(began).as_secs();
    assert!((34..36).contains(&took), "each is 30 s late, and the call takes four: {took}");
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_is_refused_or_leads_nowhere_is_logged_and_the_call_goes_on() {
    let edge = edge_and(500);
    let client = Client::of(&edge, answers("{ wait: 60s }")).await;
    let call = client.create(&[STATUS]).await;
    let report = client.report(&call).await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::DocumentEnded, vec![codes::CALLBACK_REFUSED]));
    let call = client.create(&[("StatusCallback", "https://elsewhere.example.test/")]).await;
    assert_eq!(client.report(&call).await.code_numbers(), [codes::NO_SUCH_HOST]);
}

#[tokio::test(start_paused = true)]
async fn a_number_tells_when_a_call_to_it_is_over() {
    let edge = edge_and(204);
    let status_callback = Some(Url::parse("https://voice.example.test/status").unwrap());
    let twilio = Twilio::new(Settings { status_callback, ..edge.settings() }, Clock, Entropy::from_seed(7));
    let report = twilio.call(caller("{ wait: 60s }"), CallOptions::default()).await;
    let [told] = &of_target(&edge, "/status")[..] else { panic!("one callback") };
    for (name, value) in [
        ("CallSid", report.call_sid.as_str()),
        ("CallStatus", "completed"),
        ("Direction", "inbound"),
        ("SequenceNumber", "0"),
        ("CallDuration", "3"),
    ] {
        assert_eq!(told.parameter(name), Some(value), "{name}");
    }
    assert_eq!(report.end, CallEnd::DocumentEnded);
}

/// What a stream that ends like this tells its callback.
async fn streamed<T: Future<Output = ()> + Send + 'static>(
    url: &'static str,
    name: &'static str,
    options: CallOptions,
    talk: impl Fn(Line) -> T + Send + Sync + 'static,
) -> (Vec<Seen>, phone_lab::twilio::CallReport) {
    let connect = move |seen: &Seen| match seen.target.as_str() {
        "/status" => answer(204, "text/plain", ""),
        _ => twiml(&format!(
            "<Connect><Stream url=\"{url}\" {name} statusCallback=\"https://voice.example.test/status\"/></Connect>"
        )),
    };
    let edge = Edge::start(connect, talk);
    let report = edge.call_with("{ wait: 400ms }, hang_up", options).await;
    (of_target(&edge, "/status"), report)
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_when_it_starts_and_stops() {
    let (told, report) =
        streamed("/media/1", "", CallOptions::default(), |mut line: Line| async move { line.drain().await }).await;
    assert_eq!(values(&told, "StreamEvent"), ["stream-started", "stream-stopped"]);
    assert_eq!(values(&told, "StreamSid"), [report.stream_sids[0].as_str(); 2]);
    assert_eq!(values(&told, "StreamName"), [report.stream_sids[0].as_str(); 2], "without a name it is the sid");
    assert_eq!(values(&told, "CallSid"), [report.call_sid.as_str(); 2]);
    for seen in &told {
        let timestamp = seen.parameter("Timestamp").unwrap();
        let nanoseconds = timestamp.split_once('.').unwrap().1;
        assert!(nanoseconds.len() == 10 && nanoseconds.ends_with('Z') && timestamp.contains('T'), "{timestamp}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_the_server_closes_tells_an_error_only_if_asked_to() {
    let close = |mut line: Line| async move {
        line.next("start").await;
        line.close().await;
    };
    let (told, _) = streamed("/media/1", "name=\"agent\"", CallOptions::default(), close).await;
    assert_eq!(values(&told, "StreamEvent"), ["stream-started", "stream-stopped"]);
    assert_eq!(values(&told, "StreamName"), ["agent"; 2]);
    let options = CallOptions { stream_error_on_close: true, ..CallOptions::default() };
    let (told, report) = streamed("/media/1", "", options, close).await;
    assert_eq!(values(&told, "StreamEvent"), ["stream-started", "stream-error", "stream-stopped"]);
    assert!(told[1].parameter("StreamError").unwrap().contains("closed"));
    assert_eq!(report.code_numbers(), [codes::STREAM_CLOSED]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_opened_or_breaks_tells_an_error() {
    let (told, report) = streamed("/nowhere", "", CallOptions::default(), |_: Line| async {}).await;
    assert_eq!(values(&told, "StreamEvent"), ["stream-error"]);
    assert!(told[0].parameter("StreamSid").unwrap().starts_with("MZ"));
    assert_eq!(report.code_numbers(), [codes::STREAM_HANDSHAKE]);
    let options = CallOptions { cut_after: Some(Duration::from_millis(100)), ..CallOptions::default() };
    let (told, report) = streamed("/media/1", "", options, |mut line: Line| async move { line.drain().await }).await;
    assert_eq!(values(&told, "StreamEvent"), ["stream-started", "stream-error", "stream-stopped"]);
    assert_eq!(report.code_numbers(), [codes::STREAM_CUT]);
}

/// A call to whoever this is, with detection.
async fn detected(who: AnsweredBy, form: &[(&str, &str)]) -> (Edge, Client, serde_json::Value) {
    let edge = edge_and(204);
    let mut settings = answers("{ wait: 60s }");
    if let Callee::Answers(answering) = &mut settings.otherwise {
        answering.detected = who;
    }
    let client = Client::of(&edge, settings).await;
    let call = client.create(&[&[STATUS][..], form].concat()).await;
    client.report(&call).await;
    let call = client.get(call["uri"].as_str().unwrap()).await.1;
    (edge, client, call)
}

#[tokio::test(start_paused = true)]
async fn the_call_waits_for_the_verdict_and_asks_for_its_document_with_it() {
    for (who, mode, verdict) in [
        (AnsweredBy::Human, "Enable", "human"),
        (AnsweredBy::Machine, "Enable", "machine_start"),
        (AnsweredBy::Machine, "DetectMessageEnd", "machine_end_beep"),
        (AnsweredBy::Fax, "Enable", "fax"),
        (AnsweredBy::Unknown, "DetectMessageEnd", "unknown"),
    ] {
        let (edge, _, call) = detected(who, &[("MachineDetection", mode)]).await;
        let document = &of_target(&edge, "/outbound")[0];
        assert_eq!(document.parameter("AnsweredBy"), Some(verdict));
        assert_eq!(document.parameter("MachineDetectionDuration"), Some("2000"));
        assert_eq!(of_target(&edge, "/status")[0].parameter("AnsweredBy"), Some(verdict));
        assert_eq!(
            (&call["answered_by"], &call["duration"]),
            (&verdict.into(), &"5".into()),
            "2 s more than the pause"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_verdict_may_come_while_the_call_goes_on() {
    let form = [
        ("MachineDetection", "Enable"),
        ("AsyncAmd", "true"),
        ("AsyncAmdStatusCallback", "https://voice.example.test/amd"),
    ];
    let (edge, client, call) = detected(AnsweredBy::Machine, &form).await;
    let order: Vec<_> = edge.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(order, ["/outbound", "/amd", "/status"]);
    assert_eq!(edge.seen()[0].parameter("AnsweredBy"), None);
    let verdict = &edge.seen()[1];
    assert_eq!(values(std::slice::from_ref(verdict), "AnsweredBy"), ["machine_start"]);
    assert_eq!(verdict.parameter("CallSid"), call["sid"].as_str());
    assert_eq!(verdict.parameter("MachineDetectionDuration"), Some("2000"));
    assert_eq!((client.codes(), call["duration"].as_str()), (vec![], Some("3")));
    let (edge, client, _) = detected(AnsweredBy::Machine, &form[..2]).await;
    assert_eq!((of_target(&edge, "/amd").len(), client.codes()), (0, vec![codes::DETECTION_UNTOLD]));
}

#[tokio::test(start_paused = true)]
async fn keys_to_press_rule_out_detection() {
    let (edge, _, call) = detected(AnsweredBy::Machine, &[("MachineDetection", "Enable"), ("SendDigits", "1")]).await;
    assert_eq!(edge.seen()[0].parameter("AnsweredBy"), None);
    assert!(call["answered_by"].is_null());
}

/// A transfer to this human, with the legs' callbacks: what they were told, and what the action was.
async fn transferred(options: CallOptions, steps: &str) -> (Vec<Seen>, Vec<Seen>, String) {
    let edge = Edge::answering(|seen| match seen.target.as_str() {
        "/incoming-call" => twiml(
            "<Dial action=\"/result\" timeout=\"5\"><Sip statusCallback=\"/status\" \
             statusCallbackEvent=\"initiated ringing answered completed\">sip:desk@pbx.example.test</Sip>\
             <Number statusCallback=\"/status\">+15550100009</Number></Dial>",
        ),
        "/status" => answer(204, "text/plain", ""),
        _ => twiml("<Hangup/>"),
    });
    let report = edge.call_with(steps, options).await;
    (of_target(&edge, "/status"), of_target(&edge, "/result"), report.call_sid)
}

#[tokio::test(start_paused = true)]
async fn each_end_of_a_dialled_leg_is_told_to_the_action_and_to_the_legs_own_callback() {
    let answers = Human::Answers { after: Duration::from_millis(200), says: "human here".into() };
    for (human, statuses, other, sip) in [
        (answers, &["initiated", "ringing", "in-progress", "completed"][..], "canceled", "200"),
        (Human::Busy, &["initiated", "ringing", "busy"], "busy", "486"),
        (Human::Declines, &["initiated", "ringing", "busy"], "busy", "603"),
        (Human::Unreachable, &["initiated", "ringing", "failed"], "failed", "404"),
        (Human::NoAnswer, &["initiated", "ringing", "no-answer"], "no-answer", "487"),
    ] {
        let options = CallOptions { human, ..CallOptions::default() };
        let (told, action, parent) = transferred(options, "{ wait: 60s }").await;
        let (sip_leg, number): (Vec<_>, Vec<_>) =
            told.into_iter().partition(|seen| seen.parameter("To") == Some("sip:desk@pbx.example.test"));
        assert_eq!(values(&sip_leg, "CallStatus"), statuses);
        assert_eq!(values(&number, "CallStatus"), [other], "only completed was asked for");
        assert_eq!(sip_leg.last().unwrap().parameter("SipResponseCode"), Some(sip));
        assert_eq!(values(&sip_leg, "ParentCallSid"), vec![parent; statuses.len()]);
        assert_eq!(values(&sip_leg, "Direction"), vec!["outbound-dial"; statuses.len()]);
        let [action] = &action[..] else { panic!("one action") };
        assert_eq!(action.parameter("DialCallStatus"), statuses.last().copied());
        assert_eq!(action.parameter("DialSipResponseCode"), Some(sip));
        assert_eq!(action.parameter("DialCallSid"), sip_leg[0].parameter("CallSid"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_while_it_rings_cancels_the_leg_and_the_action_hears_of_it_only_if_asked_to() {
    for dial_action_after_hang_up in [false, true] {
        let options = CallOptions { human: Human::NoAnswer, dial_action_after_hang_up, ..CallOptions::default() };
        let (told, action, _) = transferred(options, "{ wait: 1s }, hang_up").await;
        assert!(told.iter().all(|seen| seen.parameter("CallStatus") != Some("no-answer")));
        assert_eq!(told.iter().filter(|seen| seen.parameter("CallStatus") == Some("canceled")).count(), 2);
        let expected: &[&str] = if dial_action_after_hang_up { &["canceled"] } else { &[] };
        assert_eq!(values(&action, "DialCallStatus"), expected);
        assert!(action.iter().all(|action| action.parameter("CallStatus") == Some("completed")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_call_is_never_answered_and_ends_busy_or_unanswered() {
    for (reject, status, sip) in [
        ("<Reject/>", "no-answer", "487"),
        ("<Reject reason=\"busy\"/>", "busy", "486"),
        ("<Say>a</Say><Reject/>", "completed", "200"),
    ] {
        let edge = Edge::answering(move |seen| match seen.target.as_str() {
            "/status" => answer(204, "text/plain", ""),
            _ => twiml(reject),
        });
        let status_callback = Some(Url::parse("https://voice.example.test/status").unwrap());
        let entropy = Entropy::from_seed(7);
        let twilio = Twilio::new(Settings { status_callback, ..edge.settings() }, Clock, entropy);
        twilio.call(caller(""), CallOptions::default()).await;
        let told = of_target(&edge, "/status");
        assert_eq!(
            (values(&told, "CallStatus"), values(&told, "SipResponseCode")),
            (vec![status.to_owned()], vec![sip.to_owned()])
        );
        assert_eq!(values(&told, "CallDuration") == ["-"], status != "completed");
    }
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_after_a_stream_is_not_about_the_stream() {
    let webhooks =
        |seen: &Seen| if seen.target == "/incoming-call" { connect() } else { answer(500, "text/plain", "") };
    let edge = Edge::start(webhooks, |mut line| async move { line.drain().await });
    let status_callback = Some(Url::parse("https://voice.example.test/status").unwrap());
    let twilio = Twilio::new(Settings { status_callback, ..edge.settings() }, Clock, Entropy::from_seed(7));
    let report = twilio.call(caller("{ wait: 1s }, hang_up"), CallOptions::default()).await;
    let codes: Vec<_> = report.codes.iter().map(|entry| (entry.code, &entry.stream_sid)).collect();
    assert_eq!((codes, report.stream_sids.len()), (vec![(codes::CALLBACK_REFUSED, &None)], 1));
}

#[tokio::test(start_paused = true)]
async fn callbacks_that_find_no_room_are_noted_once() {
    let stream = "<Connect><Stream url=\"/nowhere\" statusCallback=\"https://voice.example.test/status\"/></Connect>";
    let document: &str = stream.repeat(70).leak();
    let edge = Edge::answering(move |seen| match seen.target.as_str() {
        "/incoming-call" => twiml(document),
        "/status" => answer(204, "text/plain", ""),
        _ => answer(404, "text/plain", ""),
    });
    let options = CallOptions { callbacks: Delivery::Late(Duration::from_secs(600)), ..CallOptions::default() };
    let report = edge.call_with("{ wait: 300s }", options).await;
    let delivered = edge.seen().iter().filter(|seen| seen.target == "/status").count();
    assert!((64..70).contains(&delivered), "{delivered}");
    assert_eq!(report.code_numbers().iter().filter(|code| **code == codes::LAB).count(), 1);
}
