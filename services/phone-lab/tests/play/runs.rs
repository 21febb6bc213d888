//! Runs that are played: what they print, leave and end with.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    server::{Manner, Server},
    support::{Folder, Running, command, play, stdout},
};

/// Says something to who repeats it, and hangs up.
const STEPS: &str = "wait: 200ms, say: hello you, listen, hang_up";

fn names(calls: &Value) -> Vec<&str> {
    calls.as_array().unwrap().iter().map(|call| call["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_call_to_a_foreign_server_ends_with_0_and_all_its_files() {
    let (server, folder) = (Server::start(Manner::Connects).await, Folder::new("good"));
    let expect = "hears: [Hello you], expect: {ends: caller, codes: [], silent_at_most: 10s, within: 1m}";
    let scenario = folder.scenario("greets.yaml", &[("says-hello", STEPS, expect)]);
    let (json, junit, out) = (folder.path("run.json"), folder.path("run.xml"), folder.path("out"));
    let url = server.url();
    let arguments = [&scenario, "--edge", &url, "--json", &json, "--junit", &junit, "--out", &out, "--seed", "7"];
    let output = play(&arguments).await;
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("1 of 1 calls good"), "{}", stdout(&output));

    let run = folder.json("run.json");
    assert_eq!((&run["schema_version"], &run["seed"], &run["good"]), (&1.into(), &7.into(), &true.into()));
    let call = &run["calls"][0];
    assert_eq!((call["scenario"].as_str(), call["end"].as_str()), (Some("greets"), Some("caller_hung_up")));
    assert!(call["sessions"].is_null() && call["to_caller"].is_null(), "nothing is known of the model");
    let caller = &call["parties"][0];
    let place = |words: &Value, n: usize| words[n]["sample"].as_u64().unwrap();
    let (said, heard) = (&caller["said"][0]["words"], &caller["heard"][0]["words"]);
    assert_eq!((heard[0]["text"].as_str(), heard[1]["text"].as_str()), (Some("hello"), Some("you")));
    assert_eq!(place(said, 1) - place(said, 0), 6 * 160, "six characters are between the words");
    assert_eq!(place(heard, 1) - place(heard, 0), 6 * 160);
    assert!(place(heard, 0) > place(said, 0), "an echo comes later");
    let events: Vec<_> =
        call["timeline"].as_array().unwrap().iter().map(|entry| entry["event"].as_str().unwrap()).collect();
    let order = ["asks", "answers", "stream_started", "speaks", "hears", "heard", "hangs_up", "ended"];
    let mut rest = events.iter();
    assert!(order.iter().all(|event| rest.any(|seen| seen == event)), "{events:?}");

    assert_eq!(folder.json("out/says-hello.json"), *call, "the call's own file has the same");
    assert!(std::fs::metadata(folder.path("out/says-hello.wav")).unwrap().len() > 8000);
    let text = folder.text("run.xml");
    let document = roxmltree::Document::parse(&text).unwrap();
    let case = document.descendants().find(|node| node.has_tag_name("testcase")).unwrap();
    assert_eq!((case.attribute("classname"), case.attribute("name")), (Some("greets"), Some("says-hello")));
    assert!(case.children().all(|node| !node.has_tag_name("failure")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_call_ends_with_1_and_says_why_wherever_the_run_is_reported() {
    let (server, folder) = (Server::start(Manner::Connects).await, Folder::new("bad"));
    let calls = [("good", STEPS, "hears: [hello]"), ("bad", STEPS, "hears: [goodbye], expect: {ends: server}")];
    let scenario = folder.scenario("mixed.yaml", &calls);
    let (json, junit, url) = (folder.path("run.json"), folder.path("run.xml"), server.url());
    let output = play(&[&scenario, "--edge", &url, "--json", &json, "--junit", &junit]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("BAD: bad: the caller did not hear \"goodbye\""), "{}", stdout(&output));
    let run = folder.json("run.json");
    assert_eq!((&run["good"], &run["calls"][0]["good"]), (&false.into(), &true.into()));
    let reasons = run["calls"][1]["reasons"].as_array().unwrap();
    assert!(reasons.len() == 2 && reasons[1].as_str().unwrap().contains("to end as Server"), "{reasons:?}");
    let text = folder.text("run.xml");
    let document = roxmltree::Document::parse(&text).unwrap();
    assert_eq!(document.root_element().attribute("failures"), Some("1"));
    let failures: Vec<_> = document.descendants().filter(|node| node.has_tag_name("failure")).collect();
    assert_eq!(failures.len(), 1);
    assert!(failures[0].attribute("message").unwrap().contains("goodbye"));
    assert_eq!(failures[0].parent().unwrap().attribute("name"), Some("bad"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forbids_is_told_from_one_that_is_wrong() {
    let (server, folder) = (Server::start(Manner::Forbids).await, Folder::new("forbids"));
    let scenario = folder.scenario("a.yaml", &[("a", STEPS, "hears: []")]);
    let output = play(&[&scenario, "--edge", &server.url()]).await;
    assert_eq!(output.status.code(), Some(1));
    let told = stdout(&output);
    assert!(told.contains("11200: the answer was 403") && told.contains("see --auth-token and --public-url"), "{told}");
    let expected = folder.scenario("b.yaml", &[("b", STEPS, "expect: {ends: application_error, codes: [11200]}")]);
    let output = play(&[&expected, "--edge", &server.url()]).await;
    assert_eq!(output.status.code(), Some(0), "what is expected is good: {}", stdout(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_dialled_does_what_the_scenario_says() {
    let (server, folder) = (Server::start(Manner::Dials).await, Folder::new("dials"));
    let dials = "expect: {ends: server, dials: ['sip:desk@pbx.example.test']}";
    let call = |name: &str, dialled: &str, hears: &str| {
        let caller =
            format!("{{from: '+15550100001', to: '+15550100100', patience: 5s, steps: [], dialled: {dialled}}}");
        format!("  - {{name: {name}, caller: {caller}, hears: [{hears}], {dials}}}\n")
    };
    let busy = call("busy", "{otherwise: busy}", "nobody is there");
    let answers = "{'sip:desk@pbx.example.test': {after: 1s, steps: [{say: what is it}, hang_up]}}";
    let scenario = folder.scenario_of("a.yaml", &[busy, call("there", answers, "what is it")].concat());
    let (json, url) = (folder.path("run.json"), server.url());
    let output = play(&[&scenario, "--edge", &url, "--json", &json, "--parallel", "2"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let run = folder.json("run.json");
    let party = |call: usize, nth: usize| {
        (&run["calls"][call]["parties"][nth]["party"], &run["calls"][call]["parties"][nth]["said"][0]["text"])
    };
    assert_eq!(party(0, 1), (&"twilio".into(), &"Nobody is there.".into()));
    assert_eq!(party(1, 2), (&"human".into(), &"what is it".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_all_files_are_up_together_and_are_the_same_calls_alone() {
    let (server, folder) = (Server::start(Manner::Connects).await, Folder::new("parallel"));
    let call = |name| (name, STEPS, "hears: [hello]");
    let files =
        [folder.scenario("one.yaml", &[call("a"), call("b"), call("c")]), folder.scenario("two.yaml", &[call("d")])];
    let (together, alone, url) = (folder.path("together.json"), folder.path("alone.json"), server.url());
    let output = play(&[&files[0], &files[1], "--edge", &url, "--json", &together, "--parallel", "3"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let run = folder.json("together.json");
    assert_eq!(names(&run["calls"]), ["a", "b", "c", "d"]);
    let lasted = |calls: std::ops::Range<usize>| -> f64 {
        calls.map(|nth| run["calls"][nth]["lasted_ms"].as_f64().unwrap()).sum()
    };
    // Three calls one after the other would take as long as all of them.
    assert!(run["lasted_ms"].as_f64().unwrap() < lasted(0..3) * 0.7 + lasted(3..4), "{run}");

    let output = play(&[&files[0], &files[1], "--edge", &url, "--json", &alone, "--only", "b", "--only", "d"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let again = folder.json("alone.json");
    assert_eq!(names(&again["calls"]), ["b", "d"]);
    for (nth, call) in [(1, 0), (3, 1)] {
        assert_eq!(again["calls"][call]["call_sid"], run["calls"][nth]["call_sid"], "drawn from the seed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_output_nobody_reads_ends_as_any() {
    let (server, folder) = (Server::start(Manner::Connects).await, Folder::new("unread"));
    let scenario = folder.scenario("a.yaml", &[("a", STEPS, "hears: [hello]")]);
    let (json, url) = (folder.path("run.json"), server.url());
    let mut command = command(&[&scenario, "--edge", &url, "--json", &json]);
    let code = tokio::task::spawn_blocking(move || {
        let mut child = Running(command.stdout(Stdio::piped()).spawn().unwrap());
        drop(child.0.stdout.take());
        child.0.wait().unwrap().code()
    });
    assert_eq!(code.await.unwrap(), Some(0));
    assert_eq!(folder.json("run.json")["good"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_reports_what_it_has_and_names_what_it_has_not() {
    let (server, folder) = (Server::start(Manner::Connects).await, Folder::new("stopped"));
    let calls = [("first", STEPS, "hears: []"), ("endless", "wait: 1h", "hears: []"), ("last", STEPS, "hears: []")];
    let scenario = folder.scenario("a.yaml", &calls);
    let (json, junit, url) = (folder.path("run.json"), folder.path("run.xml"), server.url());
    let mut command = command(&[&scenario, "--edge", &url, "--json", &json, "--junit", &junit]);
    let code = tokio::task::spawn_blocking(move || {
        let mut child = Running(command.stdout(Stdio::piped()).spawn().unwrap());
        let mut lines = BufReader::new(child.0.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("--- endless") {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "it ended by itself");
        }
        assert!(Command::new("kill").arg(child.0.id().to_string()).status().unwrap().success());
        let _ = lines.read_to_string(&mut line);
        child.0.wait().unwrap().code()
    });
    assert_eq!(code.await.unwrap(), Some(1));
    let run = folder.json("run.json");
    assert_eq!((names(&run["calls"]), names(&run["not_played"])), (vec!["first"], vec!["endless", "last"]));
    assert_eq!(run["good"], false);
    let text = folder.text("run.xml");
    let document = roxmltree::Document::parse(&text).unwrap();
    assert_eq!(document.root_element().attribute("skipped"), Some("2"));
}
