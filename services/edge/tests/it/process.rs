use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
};

use bytes::Bytes;
use offhook_proto::voice::v1::{Next, Speak, from_edge::Message as ToWorker, to_edge::Message};

use crate::support::{
    CALL, TOKEN,
    twilio::{Sent, Stream, arrive, form, post, post_signed},
    worker::Worker,
};

const SKIP: &str = "--insecure-skip-signature";

fn edge(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
    command.env_clear().envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn every_mistake_in_the_environment_is_reported_before_anything_starts() {
    let output = edge(&[("EDGE_LISTEN", "everywhere"), ("SONIC_WORKERS", "worker")]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let report = String::from_utf8(output.stderr).unwrap();
    for name in ["EDGE_LISTEN", "PUBLIC_URL", "TWILIO_AUTH_TOKEN", "SONIC_WORKERS"] {
        assert!(report.contains(name), "{name}: {report}");
    }
    assert!(output.stdout.is_empty());
}

#[test]
fn a_process_serves_is_found_healthy_and_goes_when_told() {
    let mut serving = Serving::start(&[]);
    let admin = serving.admin.clone();

    let probe = edge(&[("EDGE_ADMIN_LISTEN", &admin)]).arg("healthcheck").status().unwrap();
    assert_eq!(probe.code(), Some(0));
    assert_eq!(serving.terminate().0, Some(0));
    let probe = edge(&[("EDGE_ADMIN_LISTEN", &admin)]).arg("healthcheck").status().unwrap();
    assert_eq!(probe.code(), Some(1));
}

#[test]
fn an_argument_that_means_nothing_is_refused_with_those_that_mean_something() {
    for argument in ["serve", "-v", "--insecure"] {
        let output = edge(&[]).arg(argument).output().unwrap();
        let report = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{argument}");
        assert!(report.contains(SKIP) && report.contains("healthcheck") && !report.contains("PUBLIC_URL"), "{report}");
    }
}

#[test]
fn whoever_asks_for_help_needs_no_environment() {
    let output = edge(&[]).arg("--help").output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(told.contains(SKIP) && told.contains("docs/configuration.md"), "{told}");
}

#[test]
fn signatures_are_not_skipped_under_a_public_url() {
    let variables = [("PUBLIC_URL", "https://voice.example.com"), ("TWILIO_AUTH_TOKEN", TOKEN)];
    let output = edge(&variables).arg(SKIP).output().unwrap();
    let report = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(report.contains(SKIP) && report.contains("PUBLIC_URL"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_developer_may_skip_signatures_but_not_tickets_and_is_told_so_all_the_while() {
    let mut serving = Serving::start_with(&[SKIP], &[("PUBLIC_URL", "https://edge.localhost")]);
    let address = serving.public.parse().unwrap();
    let (status, document) = post_signed(address, "/failover", &form(&[]), None).await;
    assert!(status.is_success() && document.contains("<Say>"), "{status} {document}");
    assert!(Stream::open_signed(address, "/media-stream/guessed", None).await.is_err());
    let (code, log) = serving.terminate();
    assert_eq!(code, Some(0));
    assert!(log.contains(SKIP) && log.contains("forged_ticket"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_and_who_says_it_is_in_no_log_line() {
    let mut worker = Worker::willing().await;
    let workers = format!("http://{}", worker.address);
    let mut serving = Serving::start(&[("SONIC_WORKERS", &workers), ("RUST_LOG", "debug")]);
    let address = serving.public.parse().unwrap();
    let path = arrive(address).await;
    let ticket = path.rsplit('/').next().unwrap();
    assert!(Stream::open_signed(address, &path, None).await.is_err());
    let mut caller = Stream::open(address, &path).await.unwrap();
    assert!(Stream::open(address, &path).await.is_err(), "the ticket is used");
    caller.start(CALL).await;
    let mut leg = worker.accepted().await;
    caller.key('7').await;
    assert!(matches!(leg.hears().await, Some(ToWorker::Digit(_))));
    leg.send(Message::Speak(Speak { first_sample: 0, mulaw: Bytes::from(vec![0x5a; 800]), epoch: 0 })).await;
    assert!(matches!(caller.hears().await, Sent::Media(_)));
    leg.send(Message::Next(Next { step: None })).await;
    leg.finish();
    caller.echo("0:800").await;
    while caller.hears().await != Sent::Close {}
    drop(caller);
    post(address, "/stream-ended", &form(&[])).await;
    let (code, log) = serving.terminate();
    assert_eq!(code, Some(0));
    assert!(log.contains(CALL), "the log says which call it was: {log}");
    for reason in ["missing", "used_ticket"] {
        assert!(log.contains(reason), "the log says why requests were refused: {log}");
    }
    for secret in ["15005550006", "15005550009", TOKEN, ticket, "WlpaWlpa", "help@example.com"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

/// A process of the real binary that serves.
struct Serving {
    process: Child,
    /// Reads all the while: a process that cannot log stands still.
    log: Option<JoinHandle<String>>,
    public: String,
    admin: String,
}

impl Serving {
    fn start(more: &[(&str, &str)]) -> Self {
        Self::start_with(&[], more)
    }

    fn start_with(arguments: &[&str], more: &[(&str, &str)]) -> Self {
        let mut variables = vec![
            ("EDGE_LISTEN", "127.0.0.1:0"),
            ("EDGE_ADMIN_LISTEN", "127.0.0.1:0"),
            ("PUBLIC_URL", "https://voice.example.com"),
            ("TWILIO_AUTH_TOKEN", TOKEN),
            ("SIP_ENDPOINT", "sip:help@example.com"),
        ];
        variables.extend(more);
        let mut process = edge(&variables).args(arguments).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let started = lines.find_map(|line| line.ok().filter(|line| line.contains("edge serves"))).unwrap();
        let started: serde_json::Value = serde_json::from_str(&started).unwrap();
        let address = |name: &str| started[name].as_str().unwrap().to_owned();
        let rest = move || lines.map_while(Result::ok).collect::<Vec<_>>().join("\n");
        let log = Some(thread::spawn(rest));
        Self { process, log, public: address("address"), admin: address("admin.address") }
    }

    /// Sends SIGTERM; the exit code and everything that was logged since the start.
    fn terminate(&mut self) -> (Option<i32>, String) {
        let told = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.process.id())]).status().unwrap();
        assert!(told.success());
        (self.process.wait().unwrap().code(), self.log.take().unwrap().join().unwrap())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Only a test that failed leaves a process behind.
        let _ = self.process.kill();
    }
}
