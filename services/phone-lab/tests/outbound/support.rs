use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use offhook_hosting::{entropy::Entropy, telemetry::Telemetry};
use offhook_proto::voice::v1::{CallRecord, GetRequest, calls_client::CallsClient};
use phone_lab::{
    bedrock::{self, Pace, Script},
    pair::{OUTBOUND_TOKEN, Pair, Settings},
    twilio::{Callee, CallerScript, rest::RestSettings},
};
use serde_json::Value;
use tokio::net::TcpStream;
use tonic::transport::Channel;

/// Whom the tests call.
pub(crate) const CALLEE: &str = "+15550100001";

/// The pair with a model that follows this script, for calls to these people.
pub(crate) async fn pair(script: &str, rest: RestSettings) -> Pair {
    configured(script, rest, &[]).await
}

/// The same with further environment.
pub(crate) async fn configured(script: &str, rest: RestSettings, environment: &[(&'static str, &str)]) -> Pair {
    let bedrock = bedrock::Settings {
        script: Script::from_yaml(script).unwrap(),
        pace: Pace::new(0.1).unwrap(),
        ..bedrock::Settings::default()
    };
    let environment = environment.iter().map(|&(name, value)| (name, value.to_owned())).collect();
    let settings = Settings { bedrock, second_bedrock: None, environment, rest, seed: 1 };
    Pair::start(settings, Arc::new(Telemetry::for_metrics("outbound"))).await.unwrap()
}

/// An agents file. Gone with the test.
pub(crate) struct AgentsFile(PathBuf);

impl AgentsFile {
    /// The front desk, which has no lines for machines, and reminders, which have.
    pub(crate) fn new() -> Self {
        let file = Self(std::env::temp_dir().join(format!("phone-lab-outbound-{}.yaml", Entropy::from_os().uuid())));
        let desk = "desk: {prompt: You are the front desk.}";
        let lines = "introduction: Reminders of the hotel by the sea., voicemail: we will call again";
        let reminders = format!("reminders: {{prompt: You remind people of their bookings., {lines}}}");
        fs::write(&file.0, format!("default: desk\nagents:\n  {desk}\n  {reminders}\n")).unwrap();
        file
    }

    pub(crate) fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for AgentsFile {
    fn drop(&mut self) {
        // Whoever removed it before has done what was to be done.
        let _ = fs::remove_file(&self.0);
    }
}

/// Nobody picks up, and any number of calls may be placed.
pub(crate) async fn unanswered(environment: &[(&'static str, &str)]) -> Pair {
    let often = [("OUTBOUND_CALLS_PER_SECOND", "1000")];
    let environment: Vec<_> = often.iter().chain(environment).copied().collect();
    configured("greeting: hello", RestSettings::new(Callee::NoAnswer), &environment).await
}

/// Somebody who picks up at once and takes these steps.
pub(crate) fn callee(steps: &str) -> Callee {
    let script = format!("from: '+15550100001'\nto: '+15550100100'\nsteps: {steps}");
    Callee::answers(Duration::from_millis(200), CallerScript::from_yaml(&script).unwrap())
}

/// An answer of the edge.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Null where there is none.
    pub(crate) body: Value,
}

impl Answer {
    /// The last part of a problem's type.
    pub(crate) fn problem(&self) -> &str {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json", "{self:?}");
        assert_eq!(self.body["status"], self.status, "{self:?}");
        self.body["type"].as_str().unwrap().strip_prefix("urn:offhook:problem:").unwrap()
    }

    pub(crate) fn call_sid(&self) -> &str {
        self.body["call_sid"].as_str().unwrap_or_else(|| panic!("no call: {self:?}"))
    }

    pub(crate) fn retry_after(&self) -> u64 {
        self.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap()
    }
}

/// Asks for a call as `curl -X POST -H "Authorization: Bearer …" -H "Content-Type: application/json" -d BODY` does.
pub(crate) async fn ask(pair: &Pair, body: &Value) -> Answer {
    let request = post().header(header::CONTENT_TYPE, "application/json");
    send(pair, request.body(body.to_string().into()).unwrap()).await
}

/// The same without a body.
pub(crate) fn post() -> http::request::Builder {
    request("POST").header(header::AUTHORIZATION, format!("Bearer {OUTBOUND_TOKEN}"))
}

/// A request without a token.
pub(crate) fn request(method: &str) -> http::request::Builder {
    Request::builder().method(method).uri("/outbound-call").header(header::HOST, "voice.example.test")
}

pub(crate) async fn send(pair: &Pair, request: Request<Full<Bytes>>) -> Answer {
    let stream = TcpStream::connect(pair.edge_address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    Answer { status: head.status.as_u16(), headers: head.headers, body }
}

/// What the worker wrote down about a call.
pub(crate) async fn record(pair: &Pair, call_sid: &str) -> CallRecord {
    let channel = Channel::from_shared(pair.worker_url.clone()).unwrap().connect().await.unwrap();
    let request = GetRequest { call_sid: call_sid.to_owned() };
    CallsClient::new(channel).get(request).await.unwrap().into_inner().record.unwrap()
}
