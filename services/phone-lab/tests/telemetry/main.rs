//! What a call leaves in logs, traces and metrics: the whole story of where it went, and not a word of what was said.
//!
//! The demo runs as a process of its own, with every event logged and an OTLP collector to report to.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod collector;

use std::{collections::BTreeMap, path::Path, process::Stdio};

use base64::{Engine, engine::general_purpose::STANDARD};
use opentelemetry_proto::tonic::trace::v1::Span;
use phone_lab::{mulaw, tones, twilio::Account};

use collector::Collector;

const SCENARIO: &str = r#"
model:
  greeting: "marmalade"
  dialogue:
    - heard: "zanzibar"
      tool: { name: cancel_reservation, input: { reservation_id: "Q-77345" } }
      reply: "confirmed as {tool.confirmation}"
    - heard: "has spoken with a person"
      reply: "back from rhubarb"
    - heard: "somebody"
      tool: { name: support, input: { reason: "wants a locksmith" } }
calls:
  - name: secretive
    caller:
      from: "+15550108811"
      to: "+15550108822"
      steps: [listen, say: zanzibar, listen, press: "47110815#", say: somebody please, connected, listen: { quiet: 3s }, hang_up]
    hears: [marmalade, "confirmed as c-q-77345", human here, back from rhubarb]
"#;

struct Demo {
    log: Vec<String>,
    collector: Collector,
}

/// Plays the scenario with everything logged that can be.
async fn demo() -> Demo {
    let collector = Collector::start().await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("telemetry");
    std::fs::create_dir_all(&folder).unwrap();
    let scenario = folder.join("scenario.yaml");
    std::fs::write(&scenario, SCENARIO).unwrap();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_phone-lab"))
        .args(["demo", "--pace", "0.1", "--scenario"])
        .arg(scenario)
        .arg("--out")
        .arg(folder)
        .env("RUST_LOG", "trace")
        .env("LOG_FORMAT", "json")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .stderr(Stdio::inherit())
        .output()
        .await
        .unwrap();
    let output_lines = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{output_lines}");
    // The demo's own display is between the lines of the log, which are JSON objects.
    let log = output_lines.lines().filter(|line| line.starts_with('{')).map(str::to_owned).collect();
    Demo { log, collector }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_leaves_one_trace_and_metrics_and_not_a_word_of_what_was_said() {
    let Demo { log, collector } = demo().await;
    let spans = collector.spans();
    assert_one_trace(&spans);
    assert_eq!(collector.missing_metrics(&["offhook.worker.calls.ended", "offhook.worker.turn.latency"]), [""; 0]);
    assert!(log.iter().any(|line| line.contains("CA")), "the log names the call");
    for secret in secrets() {
        let in_log: Vec<_> = log.iter().filter(|line| mentions(line, &secret)).collect();
        assert_eq!(in_log, [""; 0], "{secret:?} is in the log");
        let in_spans: Vec<_> = spans.iter().filter(|span| mentions(&format!("{span:?}"), &secret)).collect();
        assert!(in_spans.is_empty(), "{secret:?} is in {in_spans:?}");
    }
}

/// Webhook, leg, the worker's leg and the model's session follow from each other.
fn assert_one_trace(spans: &[Span]) {
    let by_id: BTreeMap<_, _> = spans.iter().map(|span| (&span.span_id, span)).collect();
    let session = spans.iter().find(|span| span.name == "model session").expect("the model's session is traced");
    let mut names = vec![session.name.as_str()];
    let mut span = session;
    while let Some(parent) = by_id.get(&span.parent_span_id) {
        assert_eq!(parent.trace_id, session.trace_id);
        names.push(&parent.name);
        span = parent;
    }
    assert_eq!(names, ["model session", "leg", "leg", "webhook"]);
}

/// Numbers, words, digits, tool input, keys, and the audio of both sides as it looks on either wire.
fn secrets() -> Vec<String> {
    let mut secrets: Vec<String> =
        ["15550108811", "15550108822", "marmalade", "zanzibar", "somebody please", "47110815"]
            .into_iter()
            .chain([
                "77345",
                "locksmith",
                "pbx.example.test",
                "AKIDEXAMPLE",
                "wJalrXUtnFEMI",
                "front desk of a small hotel",
            ])
            .map(str::to_owned)
            .collect();
    secrets.push(Account::default().auth_token);
    for words in ["marmalade", "zanzibar"] {
        let pcm = tones::speak(words);
        let mulaw: Vec<u8> = pcm.iter().map(|&sample| mulaw::encode(sample)).collect();
        let linear: Vec<u8> = mulaw::decode_all(&mulaw).flat_map(i16::to_le_bytes).collect();
        secrets.extend([STANDARD.encode(&mulaw[..48]), STANDARD.encode(&linear[..48])]);
    }
    secrets
}

fn mentions(text: &str, secret: &str) -> bool {
    text.to_lowercase().contains(&secret.to_lowercase())
}
