use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use serde_json::Value;

fn worker(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sonic-worker"));
    command.env_clear().envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn every_mistake_in_the_environment_is_reported_before_anything_starts() {
    let wrong = [
        ("WORKER_LISTEN", "everywhere"),
        ("MAX_SESSIONS", "many"),
        ("RUST_LOG", "a=b=c"),
        ("AWS_CA_BUNDLE", "/dev/null"),
        ("SONIC_PRICES", "speech_in=3,speech_out=12,text_in=0.33,text_out=a lot"),
    ];
    let output = worker(&wrong).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let report = String::from_utf8(output.stderr).unwrap();
    assert!(wrong.iter().all(|(name, _)| report.contains(name)), "{report}");
    assert!(report.contains("text_out must be") && !report.contains("a lot"), "{report}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_process_serves_is_found_healthy_and_goes_when_told() {
    let environment = [
        ("WORKER_LISTEN", "127.0.0.1:0"),
        ("WORKER_ADMIN_LISTEN", "127.0.0.1:0"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ];
    let mut process = worker(&environment).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let started = lines.find_map(|line| line.ok().filter(|line| line.contains("sonic-worker serves"))).unwrap();
    let started: Value = serde_json::from_str(&started).unwrap();
    let admin = [("WORKER_ADMIN_LISTEN", started["admin.address"].as_str().unwrap())];
    assert_eq!(worker(&admin).arg("healthcheck").status().unwrap().code(), Some(0));
    assert!(Command::new("sh").args(["-c", &format!("kill -TERM {}", process.id())]).status().unwrap().success());
    assert_eq!(process.wait().unwrap().code(), Some(0));
    assert_eq!(worker(&admin).arg("healthcheck").status().unwrap().code(), Some(1));
}
