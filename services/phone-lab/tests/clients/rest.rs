//! Twilio's helper libraries against the lab's REST interface.

use std::time::Duration;

use jiff::Timestamp;
use phone_lab::twilio::{
    CallEnd, Callee, codes,
    rest::{RestServer, RestSettings},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    client::{Language, run},
    edge::{Edge, TOKEN, caller, twiml},
};

const ACCOUNT: &str = "AC00000000000000000000000000000000";

#[tokio::test]
async fn both_libraries_create_fetch_redirect_and_end_calls_and_know_each_error() {
    for language in Language::ALL {
        let edge = Edge::answering(|_| twiml("<Pause length=\"60\"/>"));
        let settings = RestSettings { call_interval: Duration::ZERO, ..RestSettings::new(somebody()) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = RestServer::start(listener, edge.twilio(), settings).unwrap();
        server.throttle(1);
        let mut client = language.client("calls");
        client.env("TWILIO_API_BASE_URL", format!("http://{}", server.address()));
        client.env("TWILIO_ACCOUNT_SID", ACCOUNT).env("TWILIO_AUTH_TOKEN", TOKEN);
        let printed: Value = serde_json::from_str(&run(client, "").await).unwrap();

        let calls = &printed["calls"];
        judge_calls(calls);
        judge_errors(&printed["errors"]);
        let first = server.report(calls["created"]["sid"].as_str().unwrap()).await;
        assert_eq!((first.end, &first.spoken_by_twilio[0][..]), (CallEnd::DocumentEnded, "moved elsewhere"));
        let second = server.report(calls["second"]["sid"].as_str().unwrap()).await;
        assert_eq!(second.end, CallEnd::EndedByRest);
        let told: Vec<_> = edge
            .seen()
            .iter()
            .filter(|seen| seen.target == "/call-status")
            .map(|seen| seen.parameter("CallStatus").unwrap().to_owned())
            .collect();
        assert_eq!(told, ["ringing", "completed"], "{language:?}");
    }
}

/// Picks up after a moment, is found to be human at once, and stays on the line.
fn somebody() -> Callee {
    let mut callee = Callee::answers(Duration::from_millis(300), caller("{ wait: 60s }"));
    if let Callee::Answers(answering) = &mut callee {
        answering.detection_takes = Duration::ZERO;
    }
    callee
}

fn judge_calls(calls: &Value) {
    let (first, second) = (&calls["created"]["sid"], &calls["second"]["sid"]);
    assert_ne!(first, second);
    for (name, status) in [
        ("created", "queued"),
        ("answered", "in-progress"),
        ("redirected", "in-progress"),
        ("over", "completed"),
        ("second", "in-progress"),
        ("ended", "completed"),
    ] {
        let call = &calls[name];
        let sid = if ["second", "ended"].contains(&name) { second } else { first };
        assert_eq!((&call["status"], &call["sid"]), (&json!(status), sid), "{name}");
        let constant = [&call["account"], &call["direction"], &call["to"], &call["from"], &call["queueTime"]];
        assert_eq!(constant, [ACCOUNT, "outbound-api", "+15550100001", "+15550100100", "0"], "{name}");
    }
    let (created, over) = (&calls["created"], &calls["over"]);
    assert!(["answeredBy", "duration", "started", "ended"].iter().all(|name| created[*name].is_null()), "{created}");
    assert_eq!(over["answeredBy"], "human");
    // The library has made dates of them: they can be compared.
    let date = |name: &str| over[name].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert!(date("created") <= date("started") && date("started") <= date("ended"), "{over}");
    let lasted = date("ended").duration_since(date("started")).as_secs();
    let duration: i64 = over["duration"].as_str().unwrap().parse().unwrap();
    assert!((lasted - duration).abs() <= 1, "{over}");
}

fn judge_errors(errors: &Value) {
    for (name, status, code) in [
        ("throttled", 429, codes::TOO_MANY_REQUESTS),
        ("badNumber", 400, codes::BAD_TO),
        ("noUrl", 400, codes::BAD_URL),
        ("unknown", 404, codes::NOT_FOUND),
        ("over", 404, codes::NOT_FOUND),
        ("stranger", 401, codes::NOT_AUTHENTICATED),
    ] {
        let error = &errors[name];
        assert_eq!((&error["status"], &error["code"]), (&json!(status), &json!(code)), "{name}: {error}");
        assert!(!error["message"].as_str().unwrap().is_empty(), "{name}: {error}");
    }
}
