//! The command as a user meets it.

use std::{
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use crate::support::{alive, binaries, tag};

fn chaos(flags: &[&str]) -> Command {
    binaries();
    let mut command = Command::new(env!("CARGO_BIN_EXE_phone-lab"));
    command.arg("chaos").args(flags).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_same_seed_prints_the_same_plan_and_a_good_run_ends_with_0() {
    let file = std::env::temp_dir().join(format!("{}.json", tag().replace('=', "-")));
    let json = file.to_str().unwrap();
    let output = chaos(&["--calls", "2", "--seconds", "5", "--kill", "none", "--json", json]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(told(&output).contains("every call lived and no word was lost"), "{}", told(&output));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!((&report["untouched"]["calls"], &report["calls"][0]["lived"]), (&2.into(), &true.into()));
    std::fs::remove_file(file).unwrap();
    // The plan comes first; without an edge the run ends there.
    let plan = |seed: &str| {
        let output = chaos(&["--seed", seed, "--edge-bin", "/bin/false"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let first = plan("7");
    assert!(first.starts_with("seed 7, kills planned: 5\n"), "{first}");
    assert_eq!(first, plan("7"));
    assert_ne!(first.lines().nth(1), plan("8").lines().nth(1));
}

#[test]
fn a_process_that_does_not_start_ends_the_run_with_2_and_nothing_is_left() {
    let tag = tag();
    let output = chaos(&["--env", &tag, "--edge-bin", "/bin/false"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(told(&output).contains("edge 1 ended before it was ready"), "{}", told(&output));
    assert_eq!(alive(&tag), [""; 0]);
}

#[test]
fn what_is_wrong_on_the_command_line_is_explained() {
    for (flags, explanation) in [
        (&["--edge-bin", "/nowhere/edge"][..], "build it with `cargo build -p edge`"),
        (&["--worker-bin", "/nowhere/worker"], "build it with `cargo build -p sonic-worker`"),
        (&["--kill", "everybody"], "[possible values: worker, edge, any, none]"),
        (&["--signal", "HUP"], "[possible values: KILL, TERM]"),
        (&["--every", "10ms"], "at least a second, such as 10s"),
        (&["--every", "60s"], "--seconds: too few"),
        (&["--env", "NAME"], "expected NAME=VALUE"),
        (&["--workers", "0"], "1..=16"),
        (&["--compose", "Cargo.toml"], "--edge <URL>"),
        (&["--edge", "http://127.0.0.1:3000"], "--compose <FILE>"),
        (&["--compose", "Cargo.toml", "--edge", "127.0.0.1:3000"], "--edge: expected http://host:port"),
        (&["--compose", "/nowhere.yml", "--edge", "http://127.0.0.1:3000"], "--compose: there is no file"),
        (&["--compose", "Cargo.toml", "--edge", "http://127.0.0.1:3000", "--workers", "2"], "cannot be used with"),
        (&["--compose", "Cargo.toml", "--edge", "http://127.0.0.1:3000", "--edge-service=-f"], "the name of a service"),
    ] {
        let output = chaos(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {}", told(&output));
        assert!(told(&output).contains(explanation), "{flags:?}: {}", told(&output));
    }
}

#[test]
fn an_interrupted_run_leaves_no_process_behind() {
    let tag = tag();
    let mut running = chaos(&["--env", &tag, "--calls", "1", "--seconds", "600"]).spawn().unwrap();
    while alive(&tag).len() < 4 {
        assert_eq!(running.try_wait().unwrap(), None, "the run ended by itself");
        thread::sleep(Duration::from_millis(50));
    }
    let told = Command::new("sh").args(["-c", &format!("kill -INT {}", running.id())]).status().unwrap();
    assert!(told.success());
    // Which code depends on how far the calls were. None would be a signal's doing.
    assert!(running.wait().unwrap().code().is_some());
    assert_eq!(alive(&tag), [""; 0]);
}
