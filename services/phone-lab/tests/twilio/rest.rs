//! The REST interface: who may ask, what is refused, and what becomes of the calls it creates and updates.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use offhook_hosting::clock::Clock;
use phone_lab::twilio::{
    CallEnd, CallReport, Callee, codes,
    rest::{RestServer, RestSettings},
};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::edge::{Edge, Line, TOKEN, answer, caller, twiml};

const ACCOUNT: &str = "AC00000000000000000000000000000000";
pub(crate) const CALLS: &str = "/2010-04-01/Accounts/AC00000000000000000000000000000000/Calls.json";
pub(crate) const GOOD: [(&str, &str); 3] =
    [("To", "+15550100001"), ("From", "+15550100100"), ("Url", "https://voice.example.test/outbound")];

/// A client of a REST interface.
pub(crate) struct Client {
    pub(crate) server: RestServer,
    credentials: String,
}

impl Client {
    pub(crate) async fn of(edge: &Edge, settings: RestSettings) -> Self {
        Self::with(edge.twilio(), settings).await
    }

    pub(crate) async fn with(twilio: phone_lab::twilio::Twilio, settings: RestSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let credentials = format!("{ACCOUNT}:{TOKEN}");
        Self { server: RestServer::start(listener, twilio, settings).unwrap(), credentials }
    }

    /// From here on this name and password are used.
    pub(crate) fn sign_in(&mut self, name: &str, password: &str) {
        self.credentials = format!("{name}:{password}");
    }

    async fn send(&self, method: &str, path: &str, content_type: &str, body: String) -> (u16, Value) {
        let stream = TcpStream::connect(self.server.address()).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "api.example.test");
        if !self.credentials.is_empty() {
            let basic = format!("Basic {}", STANDARD.encode(&self.credentials));
            request = request.header(header::AUTHORIZATION, basic);
        }
        let request = request.header(header::CONTENT_TYPE, content_type);
        let response = sender.send_request(request.body(Full::<Bytes>::from(body)).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() })
    }

    pub(crate) async fn delete(&self, path: &str) -> (u16, Value) {
        self.send("DELETE", path, "text/plain", String::new()).await
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.send("POST", path, "application/x-www-form-urlencoded", body).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, "text/plain", String::new()).await
    }

    /// Creates a call as the good one with these parameters besides.
    pub(crate) async fn create(&self, more: &[(&str, &str)]) -> Value {
        let (status, call) = self.post(CALLS, &[&GOOD[..], more].concat()).await;
        assert_eq!(status, 201, "{call}");
        call
    }

    pub(crate) async fn report(&self, call: &Value) -> CallReport {
        self.server.report(call["sid"].as_str().unwrap()).await
    }

    pub(crate) fn codes(&self) -> Vec<u32> {
        self.server.debugger().iter().map(|line| line.code).collect()
    }

    /// Waits until a call stands like this.
    pub(crate) async fn until(&self, uri: &str, status: &str) -> Value {
        loop {
            let call = self.get(uri).await.1;
            if call["status"] == status {
                return call;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Somebody who picks up after a second.
pub(crate) fn answers(steps: &str) -> RestSettings {
    RestSettings::new(Callee::answers(Duration::from_secs(1), caller(steps)))
}

pub(crate) fn uri(call: &Value) -> &str {
    call["uri"].as_str().unwrap()
}

pub(crate) fn says_hello() -> Edge {
    Edge::answering(|_| twiml("<Say>hello</Say>"))
}

#[tokio::test(start_paused = true)]
async fn the_account_is_opened_by_its_token_or_by_its_key_and_by_nothing_else() {
    let edge = says_hello();
    let mut client = Client::of(&edge, answers("")).await;
    for (credentials, status) in [
        (format!("{ACCOUNT}:{TOKEN}"), 201),
        (format!("{ACCOUNT}:phone-lab-secondary-token"), 201),
        (format!("SK{:032}:phone-lab-api-secret", 0), 201),
        (format!("SK{:032}:{TOKEN}", 0), 401),
        (format!("{ACCOUNT}:wrong"), 401),
        (String::new(), 401),
    ] {
        client.credentials = credentials;
        let (got, body) = client.post(CALLS, &GOOD).await;
        assert_eq!(got, status, "{}", client.credentials);
        if status == 401 {
            assert_eq!((&body["code"], &body["status"]), (&20003.into(), &401.into()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn another_accounts_path_and_an_unknown_resource_are_not_found() {
    let edge = says_hello();
    let client = Client::of(&edge, answers("")).await;
    let other = CALLS.replace("AC0", "AC1");
    let unknown = CALLS.replace("Calls.json", &format!("Calls/CA{:032}.json", 0));
    for path in [other.as_str(), &unknown, "/2010-04-01/Accounts.json", "/"] {
        let (status, body) = client.get(path).await;
        let message = format!("The requested resource {path} was not found");
        let expected = serde_json::json!({
            "code": 20404,
            "message": message,
            "more_info": "https://www.twilio.com/docs/errors/20404",
            "status": 404,
        });
        assert_eq!((status, body), (404, expected));
    }
    let (status, body) = client.send("PUT", CALLS, "text/plain", String::new()).await;
    assert_eq!((status, &body["code"]), (405, &codes::METHOD_NOT_ALLOWED.into()));
}

#[tokio::test(start_paused = true)]
async fn only_a_form_carries_parameters() {
    let edge = says_hello();
    let client = Client::of(&edge, answers("")).await;
    let json = serde_json::json!({ "To": "+15550100001" }).to_string();
    let (status, body) = client.send("POST", CALLS, "application/json", json).await;
    assert_eq!((status, &body["code"]), (400, &codes::NO_TO.into()));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_twilio_refuses_is_answered_with_its_code_and_places_nothing() {
    let edge = says_hello();
    let settings = RestSettings {
        owned_numbers: vec!["+15550100100".into()],
        callees: vec![("+15550100007".into(), Callee::Refused(21215))],
        ..answers("")
    };
    let client = Client::of(&edge, settings).await;
    let long = "x".repeat(4001);
    for (changed, code) in [
        (("To", ""), codes::NO_TO),
        (("To", "+15550100007"), 21215),
        (("To", "nobody"), codes::BAD_TO),
        (("From", ""), codes::NO_FROM),
        (("From", "somebody"), codes::BAD_FROM),
        (("From", "+15550100101"), codes::FOREIGN_FROM),
        (("Url", ""), codes::BAD_URL),
        (("Twiml", long.as_str()), codes::TWIML_TOO_LONG),
        (("StatusCallback", "https://a_b.example.test/"), codes::BAD_STATUS_CALLBACK),
    ] {
        let kept = GOOD.into_iter().filter(|(name, _)| *name != changed.0);
        let form: Vec<_> = kept.chain([changed]).collect();
        let (status, body) = client.post(CALLS, &form).await;
        assert_eq!((status, &body["code"]), (400, &code.into()), "{changed:?}");
    }
    sleep(Duration::from_secs(60)).await;
    assert!(edge.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_created_call_is_shown_whole_with_figures_as_strings_and_its_dates_as_twilio_writes_them() {
    let edge = says_hello();
    let client = Client::of(&edge, answers("")).await;
    let call = client.create(&[]).await;
    let sid = call["sid"].as_str().unwrap();
    assert!(sid.len() == 34 && sid.starts_with("CA"), "{sid}");
    for (name, value) in [
        ("account_sid", ACCOUNT),
        ("api_version", "2010-04-01"),
        ("direction", "outbound-api"),
        ("from", "+15550100100"),
        ("from_formatted", "(555) 010-0100"),
        ("to", "+15550100001"),
        ("to_formatted", "(555) 010-0001"),
        ("price_unit", "USD"),
        ("queue_time", "0"),
        ("status", "queued"),
        ("uri", &CALLS.replace(".json", &format!("/{sid}.json"))),
    ] {
        assert_eq!(call[name], value, "{name}");
    }
    for name in ["answered_by", "duration", "end_time", "parent_call_sid", "price", "start_time", "trunk_sid"] {
        assert_eq!(call.get(name), Some(&Value::Null), "{name}");
    }
    assert_eq!(call["subresource_uris"].as_object().unwrap().len(), 9);
    client.report(&call).await;
    let over = client.get(uri(&call)).await.1;
    assert_eq!((&over["status"], &over["duration"]), (&"completed".into(), &"0".into()));
    for name in ["date_created", "date_updated", "start_time", "end_time"] {
        let date = over[name].as_str().unwrap();
        assert!(date.ends_with(" +0000") && date.as_bytes()[3] == b',', "{name}: {date}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_answers_is_connected_to_the_url() {
    let edge = Edge::start(
        |seen| if seen.target == "/outbound" { crate::edge::connect() } else { twiml("<Hangup/>") },
        |mut line: Line| async move {
            line.next("start").await;
            assert_eq!(line.hear().await, "who is there");
            line.say("it is me").await;
            line.mark("end").await;
            line.next("mark").await;
            line.close().await;
        },
    );
    let client = Client::of(&edge, answers("{ wait: 300ms }, { say: who is there }, listen")).await;
    let call = client.create(&[]).await;
    let report = client.report(&call).await;
    assert_eq!((report.end, report.heard[0].text.as_str()), (CallEnd::HungUpByDocument, "it is me"));
    assert_eq!(report.call_sid, call["sid"]);
    let first = &edge.seen()[0];
    for (name, value) in [
        ("CallStatus", "in-progress"),
        ("Direction", "outbound-api"),
        ("From", "+15550100100"),
        ("To", "+15550100001"),
        ("Called", "+15550100001"),
    ] {
        assert_eq!(first.parameter(name), Some(value), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn twiml_comes_with_the_request_and_a_relative_url_in_it_leads_nowhere() {
    let edge = says_hello();
    let client = Client::of(&edge, answers("")).await;
    let twiml = "<Response><Say>good morning</Say><Redirect>/next</Redirect></Response>";
    let form = [GOOD[0], GOOD[1], ("Twiml", twiml)];
    let (_, call) = client.post(CALLS, &form).await;
    let report = client.report(&call).await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::ApplicationError, vec![codes::NO_BASE]));
    assert_eq!(report.spoken_by_twilio[0], "good morning");
    assert!(edge.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_url_wins_over_twiml_and_what_is_unknown_is_ignored_but_both_are_logged() {
    let edge = says_hello();
    let client = Client::of(&edge, answers("")).await;
    let call = client.create(&[("Twiml", "<Response/>"), ("Colour", "blue")]).await;
    client.report(&call).await;
    assert_eq!(edge.seen().len(), 1);
    assert_eq!(client.codes(), [codes::UNKNOWN_PARAMETER, codes::TWIML_AND_URL]);
    assert!(client.server.debugger().iter().all(|line| line.call_sid.as_deref() == call["sid"].as_str()));
}

#[tokio::test(start_paused = true)]
async fn the_fallback_url_of_the_request_takes_over_from_a_url_that_fails() {
    let edge = Edge::answering(|seen| match seen.target.as_str() {
        "/outbound" => answer(500, "text/xml", ""),
        _ => twiml("<Say>sorry</Say>"),
    });
    let client = Client::of(&edge, answers("")).await;
    let call = client.create(&[("FallbackUrl", "https://voice.example.test/failover")]).await;
    let report = client.report(&call).await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::DocumentEnded, vec![codes::RETRIEVAL]));
    assert_eq!(edge.seen()[1].parameter("ErrorUrl"), Some("https://voice.example.test/outbound"));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_connected_to_a_callee_who_does_not_pick_up() {
    for (callee, status, takes) in [
        (Callee::Busy, "busy", 0),
        (Callee::Unreachable, "failed", 0),
        (Callee::NoAnswer, "no-answer", 20),
        (Callee::answers(Duration::from_secs(25), caller("")), "no-answer", 20),
    ] {
        let edge = says_hello();
        let client = Client::of(&edge, RestSettings::new(callee)).await;
        let began = Clock.now();
        let call = client.create(&[("Timeout", "20")]).await;
        assert_eq!(client.report(&call).await.end, CallEnd::NotAnswered);
        assert_eq!(Clock.now().duration_since(began).as_secs(), takes, "{status}");
        let over = client.get(uri(&call)).await.1;
        assert_eq!((&over["status"], &over["start_time"]), (&status.into(), &Value::Null));
        assert!(edge.seen().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_time_limit() {
    let edge = Edge::answering(|_| twiml("<Pause length=\"60\"/>"));
    let client = Client::of(&edge, RestSettings::new(Callee::answers(Duration::ZERO, caller("{ wait: 60s }")))).await;
    let call = client.create(&[("TimeLimit", "7")]).await;
    assert_eq!(client.report(&call).await.end, CallEnd::TimeLimit);
    assert_eq!(client.get(uri(&call)).await.1["duration"], "7");
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_one_a_second_wait_in_line_and_none_is_refused() {
    let edge = says_hello();
    let client = Client::of(&edge, answers("")).await;
    let began = Clock.now();
    let mut calls = Vec::new();
    for _ in 0..4 {
        calls.push(client.create(&[]).await);
    }
    let waits: Vec<u64> = calls.iter().map(|call| call["queue_time"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(waits[0], 0);
    for (position, wait) in waits.iter().enumerate() {
        let due = position as u64 * 1000;
        assert!((due.saturating_sub(200)..=due).contains(wait), "{waits:?}");
    }
    client.until(uri(&calls[3]), "ringing").await;
    let waited = Clock.now().duration_since(began).as_millis();
    assert!((3100..3500).contains(&waited), "{waited}");
    assert_eq!(client.get(uri(&calls[0])).await.1["status"], "completed");
}

#[tokio::test(start_paused = true)]
async fn beyond_the_cap_a_call_waits_for_another_to_end() {
    let edge = Edge::answering(|_| twiml("<Pause length=\"30\"/>"));
    let settings = RestSettings { concurrent_calls: Some(2), ..answers("{ wait: 60s }") };
    let client = Client::of(&edge, settings).await;
    let mut calls = Vec::new();
    for _ in 0..3 {
        calls.push(client.create(&[]).await);
    }
    sleep(Duration::from_secs(20)).await;
    let mut statuses = Vec::new();
    for call in &calls {
        statuses.push(client.get(uri(call)).await.1["status"].clone());
    }
    assert_eq!(statuses, ["in-progress", "in-progress", "queued"]);
    client.report(&calls[0]).await;
    client.until(uri(&calls[2]), "in-progress").await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_throttled_is_not_processed() {
    let edge = says_hello();
    let client = Client::of(&edge, answers("")).await;
    client.server.throttle(2);
    for _ in 0..2 {
        let (status, body) = client.post(CALLS, &GOOD).await;
        assert_eq!((status, &body["code"]), (429, &codes::TOO_MANY_REQUESTS.into()));
    }
    assert_eq!(client.create(&[]).await["queue_time"], "0", "it is the first call");
}
