//! `phone-lab load` as a user runs it: the binary, its exit codes, its table and its JSON.

use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::{net::TcpListener, task::spawn_blocking};

use crate::{
    bad_bridge::{Access, Bridge, Defect},
    bridge::{self, Deed, Mischief},
};

/// The binary while it runs.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

/// What it left behind.
struct Done {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Of one that has ended already there is nothing to kill.
        let _ = self.child.kill();
    }
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_phone-lab"));
        command.arg("load").args(arguments).env_remove("PUBLIC_URL").env_remove("TWILIO_AUTH_TOKEN");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// Reads on to a line with this in it.
    async fn line(mut self, wanted: &'static str) -> (Self, String) {
        let read = move || loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the output ends before {wanted}");
            if line.contains(wanted) {
                return (self, line);
            }
        };
        spawn_blocking(read).await.unwrap()
    }

    async fn end(mut self) -> Done {
        let wait = move || {
            let (mut stdout, mut stderr) = (String::new(), String::new());
            self.stdout.read_to_string(&mut stdout).unwrap();
            self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
            Done { code: self.child.wait().unwrap().code(), stdout, stderr }
        };
        spawn_blocking(wait).await.unwrap()
    }

    fn signal(&self, name: &str) {
        let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status();
        assert!(status.unwrap().success());
    }
}

async fn run(arguments: &[&str]) -> Done {
    Running::start(arguments).end().await
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn json(file: &PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// A call of a second to a null bridge with this mischief in it.
async fn call_echo(mischief: Mischief, more: &[&str]) -> Done {
    let bridge = bridge::Bridge::start(mischief).await;
    let edge = format!("http://{}", bridge.address);
    let arguments = ["--edge", &edge, "--calls", "1", "--seconds", "1", "--ramp", "0", "--echo"];
    run(&[&arguments[..], more].concat()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faultless_run_ends_with_0_and_its_report_has_everything_as_table_and_as_json() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let edge = format!("http://{}", listener.local_addr().unwrap());
    let (ca, report, me) = (file("load-ca.pem"), file("load.json"), std::process::id().to_string());
    let run = Running::start(
        &[
            &["--edge", &edge, "--calls", "2", "--seconds", "1", "--ramp", "1", "--pid", &me][..],
            &[
                "--bedrock-listen",
                "127.0.0.1:0",
                "--name",
                "localhost",
                "--ca-out",
                ca.to_str().unwrap(),
                "--json",
                report.to_str().unwrap(),
            ],
        ]
        .concat(),
    );
    let (run, where_to) = run.line("AWS_ENDPOINT_URL_BEDROCK_RUNTIME=").await;
    let (run, who) = run.line("AWS_REGION=").await;
    assert!(where_to.contains("=https://localhost:"), "{where_to}");
    let value = |line: &str, name: &str| {
        let word = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        word.unwrap().to_owned()
    };
    let access = Access {
        endpoint: value(&where_to, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"),
        ca_pem: std::fs::read_to_string(value(&where_to, "AWS_CA_BUNDLE")).unwrap(),
        region: value(&who, "AWS_REGION"),
        key: value(&who, "AWS_ACCESS_KEY_ID"),
        secret: value(&who, "AWS_SECRET_ACCESS_KEY"),
    };
    let _bridge = Bridge::on(listener, &access, Defect::None).await;
    let Done { code, stdout, stderr } = run.end().await;
    assert_eq!((code, &*stderr), (Some(0), ""), "{stdout}");
    the_table_has_everything(&stdout, &me);
    the_json_has_everything(&json(&report), &me);
}

fn the_table_has_everything(table: &str, pid: &str) {
    let row = |name: &str| {
        let row = table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}\n{table}"));
        row[name.len()..].split_whitespace().map(|word| word.parse::<f64>().unwrap()).collect::<Vec<_>>()
    };
    let counts = [
        ("set-up: webhook", 2.0),
        ("set-up: media socket", 2.0),
        ("set-up: start to first audio", 2.0),
        ("frames: caller to model", 100.0),
        ("frames: model to caller", 100.0),
        ("frames: there and back", 100.0),
        ("barge-in: frame to clear", 2.0),
    ];
    for (name, count) in counts {
        let row = row(name);
        assert!(row.len() == 5 && row[0] == count && row[1..].is_sorted() && row[1] > 0.0, "{name} {row:?}");
    }
    for name in ["arrival jitter", "the lab's own lateness"] {
        assert!(row(name).len() == 5 && row(name)[0] > 100.0, "{table}");
    }
    for name in ["caller to model ", "model to caller ", "there and back "] {
        let row = row(name);
        let late = row[2];
        assert_eq!(row, [0.0, 0.0, late, 0.0, 0.0, 0.0], "{table}");
    }
    for part in [
        "2 calls in ",
        "placed within 1.0 s, ",
        " at once at most, ",
        " 0 failed\n",
        "count      p50      p90      p99      max\n",
        "100 frames                             lost  altered     late reordered repeated  strayed\n",
        "CPU ms/call-s    cores   RSS kB/call      RSS kB\n",
        &format!("({pid}) "),
        "the model had 2 sessions, 2 ended by the book, 0 left open\n",
        "requests that Twilio has not signed: 4 refused, 0 accepted\n",
        "every frame arrived as it was sent, once and in order\n",
    ] {
        assert!(table.contains(part), "no {part:?} in\n{table}");
    }
}

fn the_json_has_everything(report: &Value, pid: &str) {
    let number = |path: &str| {
        let number = report.pointer(path).and_then(Value::as_f64);
        number.unwrap_or_else(|| panic!("no {path} in {report:#}"))
    };
    let spreads = [
        "/webhook",
        "/socket",
        "/first_audio",
        "/frames/there/latency",
        "/frames/back/latency",
        "/frames/there_and_back/latency",
        "/jitter",
        "/barge_in/clear",
        "/generator/lateness",
    ];
    for spread in spreads {
        let values = ["count", "p50", "p90", "p99", "max"].map(|name| number(&format!("{spread}/{name}")));
        assert!(values[0] >= 2.0 && values[1..].is_sorted() && values[4] > 0.0, "{spread} {values:?}");
    }
    for way in ["there", "back", "there_and_back"] {
        for fault in ["lost", "altered", "reordered", "repeated", "strayed"] {
            assert_eq!(number(&format!("/frames/{way}/{fault}")), 0.0);
        }
    }
    assert_eq!((number("/placed"), number("/ramp_seconds"), number("/frames/sent")), (2.0, 1.0, 100.0));
    assert!(number("/most_at_once") >= 1.0 && number("/lasted_seconds") > 1.0 && number("/call_seconds") > 2.0);
    assert_eq!(number("/processes/0/pid").to_string(), pid);
    assert!(number("/processes/0/cpu_ms_per_call_second") > 0.0 && number("/processes/0/rss_peak_kb") > 0.0);
    assert!(number("/processes/0/rss_kb_per_call") >= 0.0 && number("/generator/cpu_ms_per_call_second") > 0.0);
    assert_eq!(
        (number("/model/by_the_book"), number("/model/left_open"), number("/generator/missed").fract()),
        (2.0, 0.0, 0.0)
    );
    assert!(report["generator"]["doubtful"].is_boolean());
    assert_eq!((&report["good"], &report["wrong"]), (&Value::Bool(true), &Value::Array(Vec::new())));
    assert_eq!(report["forgeries"]["refused"].as_array().unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_with_a_fault_in_it_ends_with_1_and_says_which() {
    let report = file("load-lost.json");
    let dropping: Mischief = |n| if n == 7 { Deed::Drop } else { Deed::Echo };
    let done = call_echo(dropping, &["--skip-forgeries", "--json", report.to_str().unwrap()]).await;
    assert_eq!((done.code, &*done.stderr), (Some(1), ""), "{}", done.stdout);
    assert!(done.stdout.contains("WRONG: frames, there and back: 1 lost\n"), "{}", done.stdout);
    let report = json(&report);
    assert_eq!(report["good"], false);
    assert_eq!(report["wrong"][0], "frames, there and back: 1 lost");
    assert_eq!(report["forgeries"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_forged_requests_ends_with_1_unless_none_are_made() {
    let honest: Mischief = |_| Deed::Echo;
    let done = call_echo(honest, &[]).await;
    assert_eq!(done.code, Some(1), "{}", done.stdout);
    assert!(done.stdout.contains("WRONG: an unsigned webhook was accepted\n"), "{}", done.stdout);
    assert!(done.stdout.contains("WRONG: a wrongly signed media socket was accepted\n"), "{}", done.stdout);
    let done = call_echo(honest, &["--skip-forgeries"]).await;
    assert_eq!(done.code, Some(0), "{}", done.stdout);
    assert!(done.stdout.contains("requests that Twilio has not signed were not tried\n"), "{}", done.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_to_nobody_end_with_1() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let edge = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let done = run(&["--edge", &edge, "--calls", "2", "--seconds", "1", "--ramp", "0"]).await;
    assert_eq!((done.code, &*done.stderr), (Some(1), ""), "{}", done.stdout);
    assert!(done.stdout.contains("WRONG: 2 calls did not go to their end\n"), "{}", done.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_ends_with_2_and_says_why_before_any_call() {
    const EDGE: [&str; 2] = ["--edge", "http://127.0.0.1:1"];
    const CALLS: [&str; 4] = ["--calls", "1", "--seconds", "1"];
    let mistakes: [(&[&str], &[&str], &str); 7] = [
        (&[], &CALLS, "--edge"),
        (&["--edge", "127.0.0.1:1"], &CALLS, "--edge: expected http://host:port"),
        (&EDGE, &["--calls", "0", "--seconds", "1"], "--calls"),
        (&EDGE, &["--calls", "1"], "--seconds"),
        (&EDGE, &["--calls", "1", "--seconds", "1", "--pid", "nobody-here"], "no process is called \"nobody-here\""),
        (&EDGE, &["--calls", "1", "--seconds", "1", "--bedrock-listen", "127.0.0.1:0"], "--ca-out"),
        (&EDGE, &["--calls", "1", "--seconds", "1", "--json", "/there/is/no/such/folder"], "/there/is/no/such/folder"),
    ];
    for (edge, calls, why) in mistakes {
        let done = run(&[edge, calls].concat()).await;
        assert_eq!((done.code, &*done.stdout), (Some(2), ""), "{why}: {}", done.stderr);
        assert!(done.stderr.contains(why), "{why}: {}", done.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lab_that_was_held_up_itself_says_so() {
    const HELD_UP: Duration = Duration::from_millis(60);
    let bridge = bridge::Bridge::start(|_| Deed::Echo).await;
    let (edge, report) = (format!("http://{}", bridge.address), file("load-late.json"));
    let arguments = ["--edge", &edge, "--calls", "1", "--seconds", "1", "--ramp", "0", "--echo", "--skip-forgeries"];
    let mut run = Running::start(&[&arguments[..], &["--json", report.to_str().unwrap()]].concat());
    while run.child.try_wait().unwrap().is_none() {
        run.signal("STOP");
        tokio::time::sleep(HELD_UP).await;
        run.signal("CONT");
        tokio::time::sleep(HELD_UP).await;
    }
    let Done { code, stdout, .. } = run.end().await;
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("WARNING: the lab itself was late: p99 "), "{stdout}");
    let generator = &json(&report)["generator"];
    assert_eq!(generator["doubtful"], true);
    assert!(generator["missed"].as_u64().unwrap() > 0 && generator["lateness"]["max"].as_f64().unwrap() >= 20.0);
}
