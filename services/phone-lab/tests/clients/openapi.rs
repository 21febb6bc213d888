//! The description of the outbound API is one that others can use, and says of requests what the edge says of them.

use std::path::Path;

use edge::outbound::{
    callee::Allowed,
    problem::{Kind, Problem},
    request,
};
use offhook_agents::Agents;
use serde_json::{Value, json};

use crate::client::{Language, run};

/// Requests that the edge takes and such that it does not, none of which is about what only an edge can know.
fn requests() -> Vec<Value> {
    let with = |field: &str, value: Value| {
        let mut body = json!({ "to": "+15550100001" });
        body[field] = value;
        body
    };
    let leave =
        |message: &str| json!({ "to": "+15550100001", "machine_detection": "leave_message", "message": message });
    vec![
        json!({ "to": "+15550100001" }),
        json!({ "to": "sip:desk@pbx.example.com:5061" }),
        json!({ "to": "15550100001" }),
        json!({ "to": "+05550100001" }),
        json!({ "to": "+12345" }),
        json!({ "to": "+1234567890123456" }),
        json!({ "to": "sip:desk@pbx.example.com;transport=tls" }),
        json!({ "to": 1 }),
        json!([]),
        json!("+15550100001"),
        with("too", json!("")),
        with("agent", json!("demo")),
        with("agent", json!("Demo")),
        with("variables", json!({ "first-name_2": "Zoë" })),
        with("variables", json!({ "two words": "" })),
        with("variables", json!({ "": "" })),
        with("variables", json!({ "a": "x".repeat(440) })),
        with("variables", json!({ "a": "x".repeat(441) })),
        with("variables", json!({ "a": 1 })),
        with("variables", (0..20).map(|at| (format!("v{at}"), json!(""))).collect()),
        with("variables", (0..21).map(|at| (format!("v{at}"), json!(""))).collect()),
        with("machine_detection", json!("off")),
        with("machine_detection", json!("hang_up")),
        with("machine_detection", json!("maybe")),
        leave("hello"),
        leave(""),
        leave(&"x".repeat(1000)),
        leave(&"x".repeat(1001)),
        with("record", json!(true)),
        with("record", json!("true")),
        with("time_limit", json!(1)),
        with("time_limit", json!(14_400)),
        with("time_limit", json!(0)),
        with("time_limit", json!(14_401)),
        with("time_limit", json!(1.5)),
        with("idempotency_key", json!("order-12/1")),
        with("idempotency_key", json!("")),
        with("idempotency_key", json!("two words")),
        with("idempotency_key", json!("x".repeat(200))),
        with("idempotency_key", json!("x".repeat(201))),
    ]
}

#[tokio::test]
async fn the_outbound_api_is_described_validly_and_takes_what_its_description_takes() {
    let line = "+15550100100".parse().unwrap();
    let allowed = Allowed::country_of(&line).sip_hosts(vec!["pbx.example.com".to_owned()]);
    let agents = Agents::demo(None);
    let taken = |body: &Value| request::read(body.to_string().as_bytes(), &allowed, None, &agents, &line).is_ok();
    let requests = requests();
    let answers: Vec<_> =
        Kind::ALL.iter().map(|kind| serde_json::to_value(Problem::of(*kind, "why").body()).unwrap()).collect();
    let values = requests.iter().map(|value| json!(["CallRequest", value]));
    let values: Vec<_> = values.chain(answers.iter().map(|value| json!(["Problem", value]))).collect();
    let description = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.yaml");
    let input = json!({ "description": description, "values": values }).to_string();
    let output: Value = serde_json::from_str(&run(Language::Python.client("openapi"), &input).await).unwrap();
    assert_eq!(output["wrong"], json!([]));
    let fits: Vec<_> = output["fits"].as_array().unwrap().iter().map(|fits| fits.as_bool().unwrap()).collect();
    for (request, fits) in requests.iter().zip(&fits) {
        assert_eq!(taken(request), *fits, "{request}");
    }
    assert!(fits.iter().skip(requests.len()).all(|fits| *fits) && fits.len() == values.len(), "{fits:?}");
    assert!(fits.contains(&false) && requests.iter().any(taken), "both verdicts are among them");
}
