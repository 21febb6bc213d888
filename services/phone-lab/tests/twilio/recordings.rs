//! What is told of recordings, of `<Dial>` and of calls placed by REST.

use std::time::Duration;

use phone_lab::twilio::{CallOptions, Human, codes};

use crate::{
    edge::{Edge, Seen, answer, twiml},
    rest::{Client, answers, says_hello},
};

fn dialling(attributes: &'static str) -> Edge {
    Edge::answering(move |seen| match seen.target.as_str() {
        "/incoming-call" => twiml(&format!(
            "<Dial {attributes} action=\"/result\" recordingStatusCallback=\"/recording\" \
             recordingStatusCallbackEvent=\"in-progress completed absent\">+15550100009</Dial>"
        )),
        "/recording" => answer(204, "text/plain", ""),
        _ => twiml("<Hangup/>"),
    })
}

fn told(edge: &Edge) -> Vec<Seen> {
    edge.seen().into_iter().filter(|seen| seen.target == "/recording").collect()
}

fn statuses(edge: &Edge) -> Vec<String> {
    told(edge).iter().map(|seen| seen.parameter("RecordingStatus").unwrap().to_owned()).collect()
}

async fn dial(edge: &Edge, human: Human) -> String {
    let report = edge.call_with("{ wait: 60s }", CallOptions { human, ..CallOptions::default() }).await;
    assert_eq!(report.code_numbers(), Vec::<u32>::new());
    report.call_sid
}

fn talks() -> Human {
    Human::acts(Duration::from_secs(2), "[connected, { wait: 3s }, hang_up]").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_dial_is_recorded_from_the_answer_and_its_action_is_told_where_it_is() {
    let edge = dialling("record=\"record-from-answer-dual\"");
    let call_sid = dial(&edge, talks()).await;
    assert_eq!(statuses(&edge), ["in-progress", "completed"]);
    let completed = &told(&edge)[1];
    for (name, value) in [
        ("CallSid", call_sid.as_str()),
        ("RecordingSource", "DialVerb"),
        ("RecordingChannels", "2"),
        ("RecordingDuration", "3"),
    ] {
        assert_eq!(completed.parameter(name), Some(value), "{name}");
    }
    let sid = completed.parameter("RecordingSid").unwrap();
    assert!(sid.starts_with("RE") && sid.len() == 34, "{sid}");
    let result = edge.seen().into_iter().find(|seen| seen.target == "/result").unwrap();
    assert!(result.parameter("RecordingUrl").unwrap().ends_with(&format!("/Recordings/{sid}")));
}

#[tokio::test(start_paused = true)]
async fn a_recording_may_begin_with_the_ringing_or_have_nothing_to_record() {
    let edge = dialling("record=\"record-from-ringing\"");
    dial(&edge, talks()).await;
    assert_eq!(told(&edge)[1].parameter("RecordingDuration"), Some("5"));
    let edge = dialling("record=\"true\"");
    dial(&edge, Human::Busy).await;
    assert_eq!(statuses(&edge), ["absent"]);
    let edge = dialling("");
    dial(&edge, talks()).await;
    assert_eq!(statuses(&edge), Vec::<String>::new(), "a call is recorded only if the document says so");
}

#[tokio::test(start_paused = true)]
async fn a_call_placed_by_rest_may_be_recorded_and_both_callbacks_tell_of_it() {
    let edge = says_hello();
    let client = Client::of(&edge, answers("{ wait: 60s }")).await;
    let callback = "https://voice.example.test/callback";
    let form = [
        ("Record", "true"),
        ("RecordingStatusCallback", callback),
        ("RecordingStatusCallbackEvent", "in-progress completed"),
        ("StatusCallback", callback),
    ];
    let call = client.create(&form).await;
    client.report(&call).await;
    let seen: Vec<_> = edge.seen().into_iter().filter(|seen| seen.target == "/callback").collect();
    let statuses: Vec<_> = seen.iter().map(|seen| seen.parameter("RecordingStatus").unwrap_or("-")).collect();
    assert_eq!(statuses, ["in-progress", "completed", "-"]);
    assert_eq!(seen[1].parameter("RecordingSource"), Some("OutboundAPI"));
    assert_eq!(
        seen[2].parameter("RecordingSid"),
        seen[1].parameter("RecordingSid"),
        "the call's own callback knows it"
    );
    let call = client.create(&[("Record", "true"), ("RecordingStatusCallback", callback)]).await;
    client.report(&call).await;
    assert_eq!(edge.seen().last().unwrap().parameter("RecordingStatus"), Some("completed"), "alone, unless told");
    let call = client.create(&[("Record", "true"), ("RecordingStatusCallbackEvent", "started")]).await;
    client.report(&call).await;
    let (_, list) = client.get("/lab/debugger.json").await;
    assert_eq!(list["entries"][0]["code"], codes::BAD_STATUS_EVENT);
}
