//! What the edge answers, held against its description.

use std::{collections::BTreeSet, fs, path::Path};

use bytes::Bytes;
use edge::outbound::Kind;
use http::{Request, header::CONTENT_TYPE};
use http_body_util::Full;
use phone_lab::pair::Pair;
use serde_json::{Value, json};

use crate::support::{Answer, CALLEE, ask, post, request, send, unanswered};

fn description() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.yaml");
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// What is wrong with a value, by the keywords that the description uses for answers.
fn check(description: &Value, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = description.pointer(reference.strip_prefix('#').unwrap()).unwrap();
        return check(description, target, value, at, wrong);
    }
    let is_right = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64(),
        other => panic!("{at}: no answer is a {other:?}"),
    };
    if !is_right || schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
        wrong.push(format!("{at}: {value}"));
    }
    let Some(fields) = value.as_object() else { return };
    assert_eq!(schema["additionalProperties"], false, "{at}: an answer has no fields that are not described");
    for required in schema["required"].as_array().unwrap() {
        if !fields.contains_key(required.as_str().unwrap()) {
            wrong.push(format!("{at}: no {required}"));
        }
    }
    for (name, value) in fields {
        match schema["properties"].get(name) {
            Some(schema) => check(description, schema, value, &format!("{at}.{name}"), wrong),
            None => wrong.push(format!("{at}: {name} is not described")),
        }
    }
}

/// What is wrong with an answer to a method.
fn differences(description: &Value, method: &str, answer: &Answer) -> Vec<String> {
    let Some(described) = description["paths"]["/outbound-call"][method]["responses"].get(answer.status.to_string())
    else {
        return vec![format!("{} is not described", answer.status)];
    };
    let mut wrong = Vec::new();
    if answer.body.is_null() {
        if described.get("content").is_some() {
            wrong.push(format!("{} has no body", answer.status));
        }
        return wrong;
    }
    let content_type = answer.headers[CONTENT_TYPE].to_str().unwrap();
    check(description, &described["content"][content_type]["schema"], &answer.body, "body", &mut wrong);
    let text = described["description"].as_str().unwrap();
    if content_type == "application/problem+json" && !text.contains(answer.problem()) {
        wrong.push(format!("{} does not tell of {}", answer.status, answer.problem()));
    }
    wrong
}

async fn matches(pair: &Pair, asked: Request<Full<Bytes>>, status: u16) {
    let (description, method) = (description(), asked.method().as_str().to_ascii_lowercase());
    let answer = send(pair, asked).await;
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(differences(&description, &method, &answer), Vec::<String>::new(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_what_is_described() {
    let pair = unanswered(&[("OUTBOUND_CALLS_PER_DAY", "2"), ("TWILIO_VERIFIED_CALLER_ID", CALLEE)]).await;
    let json = |body: Value| post().header(CONTENT_TYPE, "application/json").body(body.to_string().into()).unwrap();
    let keyed = |to: &str| json(json!({ "to": to, "idempotency_key": "order-12" }));
    matches(&pair, keyed(CALLEE), 201).await;
    matches(&pair, keyed(CALLEE), 200).await;
    matches(&pair, keyed("+15550100002"), 422).await;
    matches(&pair, json(json!({ "to": "+4930555010" })), 422).await;
    matches(&pair, json(json!([])), 422).await;
    matches(&pair, json(json!("x".repeat(20_000))), 413).await;
    matches(&pair, post().body("{}".into()).unwrap(), 415).await;
    matches(&pair, request("POST").body("".into()).unwrap(), 401).await;
    matches(&pair, request("GET").body("".into()).unwrap(), 401).await;
    pair.rest.throttle(usize::MAX);
    matches(&pair, post().body("".into()).unwrap(), 503).await;
    matches(&pair, post().body("".into()).unwrap(), 429).await;
}

#[test]
fn every_kind_of_problem_is_described_under_its_status() {
    let description = description();
    let types = &description["components"]["schemas"]["Problem"]["properties"]["type"]["enum"];
    let described: Vec<_> = types.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let known: Vec<_> = Kind::ALL.iter().map(|kind| format!("urn:offhook:problem:{}", kind.name())).collect();
    assert_eq!(described, known);
    for method in ["get", "post"] {
        let responses = &description["paths"]["/outbound-call"][method]["responses"];
        for kind in Kind::ALL {
            let text = responses[kind.status().as_str()]["description"].as_str().unwrap_or_default();
            assert!(text.contains(&format!("`{}`", kind.name())), "{method} {kind:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_request_is_described_and_every_described_field_is_understood() {
    let pair = unanswered(&[]).await;
    let refused = ask(&pair, &json!({ "to": CALLEE, "no such field": 1 })).await;
    let detail = refused.body["detail"].as_str().unwrap();
    let known: BTreeSet<_> = detail.split('`').skip(3).step_by(2).collect();
    let description = description();
    let request = &description["components"]["schemas"]["CallRequest"];
    let described: BTreeSet<_> = request["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(known, described);
    assert_eq!(request["additionalProperties"], false);
    let examples =
        &description["paths"]["/outbound-call"]["post"]["requestBody"]["content"]["application/json"]["examples"];
    for (name, example) in examples.as_object().unwrap() {
        let answer = ask(&pair, &example["value"]).await;
        // Only the example's country and agent are not this edge's.
        let agent_only = answer.status == 422 && answer.body["detail"].as_str().unwrap().starts_with("agent:");
        assert!(answer.status == 201 || agent_only, "{name}: {answer:?}");
    }
}

#[test]
fn a_wrong_answer_would_be_noticed() {
    let description = description();
    let wrong = |body: Value| {
        let mut wrong = Vec::new();
        check(&description, &json!({ "$ref": "#/components/schemas/Call" }), &body, "body", &mut wrong);
        wrong.len()
    };
    assert_eq!(wrong(json!({ "call_sid": "CA1", "status": "queued" })), 0);
    assert_eq!(wrong(json!({ "call_sid": 1, "status": "queued" })), 1);
    assert_eq!(wrong(json!({ "call_sid": "CA1", "status": "ringing" })), 1);
    assert_eq!(wrong(json!({ "call_sid": "CA1", "status": "queued", "to": "" })), 1);
    assert_eq!(wrong(json!({ "call_sid": "CA1" })), 1);
}
