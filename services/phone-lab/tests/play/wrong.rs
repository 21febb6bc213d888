//! Command lines and files that nobody could play: each ends with 2 and says what to do.

use crate::support::{Folder, play, stderr};

const STEPS: &str = "hang_up";

async fn assert_refused(arguments: &[&str], explanation: &str) {
    let output = play(arguments).await;
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    let told = stderr(&output);
    assert!(told.contains(explanation), "{arguments:?}: {told}");
    assert!(output.stdout.is_empty(), "a call was placed: {arguments:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_command_line_is_explained() {
    let folder = Folder::new("wrong-flags");
    let scenario = folder.scenario("a.yaml", &[("a", STEPS, "hears: []")]);
    let nobody = ["--edge", "http://127.0.0.1:1"];
    let with = |flags: &[&'static str]| [&[scenario.as_str()][..], &nobody, flags].concat();
    assert_refused(&[&scenario], "--edge").await;
    assert_refused(&[&scenario, "--edge", "127.0.0.1:3000"], "expected http://host:port").await;
    assert_refused(&[&scenario, "--edge", "http://127.0.0.1:1"], "nothing to call at 127.0.0.1:1").await;
    assert_refused(&with(&["--public-url", "voice.example.test"]), "--public-url").await;
    assert_refused(&with(&["--only", "b"]), "--only b: the calls are a").await;
    assert_refused(&with(&["--parallel", "0"]), "--parallel").await;
    assert_refused(&with(&["--junit", "/nowhere/run.xml"]), "--junit /nowhere/run.xml").await;
    assert_refused(&with(&["--json", "/nowhere/run.json"]), "--json /nowhere/run.json").await;
    assert_refused(&with(&["--bedrock-listen", "127.0.0.1:0"]), "--ca-out").await;
    assert_refused(&with(&["--pace", "0.5"]), "--bedrock-listen").await;
    let served = ["--bedrock-listen", "127.0.0.1:0", "--ca-out", "/nowhere/ca.pem"];
    assert_refused(&with(&served), "--ca-out /nowhere/ca.pem").await;
    assert_refused(&with(&[&served[..], &["--parallel", "2"]].concat()), "--parallel").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_scenario_is_explained_with_its_file() {
    let folder = Folder::new("wrong-files");
    let good = folder.scenario("good.yaml", &[("a", STEPS, "hears: []")]);
    let same = folder.scenario("same.yaml", &[("a", STEPS, "hears: []")]);
    let unknown = folder.scenario("unknown.yaml", &[("b", STEPS, "expects: {}")]);
    let missing = folder.path("missing.yaml");
    let edge = ["--edge", "http://127.0.0.1:1"];
    let files = |files: &[&str]| -> Vec<String> { files.iter().chain(&edge).map(|text| (*text).to_owned()).collect() };
    for (arguments, explanations) in [
        (files(&[&missing]), ["missing.yaml", "cannot be read"]),
        (files(&[&good, &same]), ["same.yaml", "another name"]),
        (files(&[&unknown]), ["unknown.yaml", "expects"]),
    ] {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        for explanation in explanations {
            assert_refused(&arguments, explanation).await;
        }
    }
}
