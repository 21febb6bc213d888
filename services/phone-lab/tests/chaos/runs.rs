//! What a run reports about calls whose processes are killed, and about the others.

use std::{collections::BTreeMap, time::Duration};

use phone_lab::{
    chaos::{
        Chaos, Processes, Report, Services, Signal,
        plan::{Outline, Role, Target},
        verdict::{Touch, Verdict},
    },
    twilio::CallEnd,
};
use tokio_util::sync::CancellationToken;

use crate::support::{alive, binaries, tag};

const S: Duration = Duration::from_secs(1);

/// One kill, about five seconds after the first call, and more than five seconds after it.
fn outline(kill: Target) -> Outline {
    Outline { edges: 2, workers: 2, lasts: 13 * S, kill, every: 5 * S, starts_in: S, seed: 1 }
}

fn chaos(outline: Outline, calls: u16, tag: &str) -> Chaos {
    with(outline, calls, &[tag])
}

/// With these in the environment of all processes.
fn with(outline: Outline, calls: u16, variables: &[&str]) -> Chaos {
    let variable = |text: &&str| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let processes = Processes {
        edge: binaries().join("edge"),
        worker: binaries().join("sonic-worker"),
        environment: variables.iter().map(variable).collect::<Option<_>>().unwrap(),
        logs: None,
    };
    Chaos { outline, calls, signal: Signal::Kill, services: Services::Processes(processes) }
}

async fn run(outline: Outline, calls: u16) -> Report {
    let tag = tag();
    run_to_its_end(chaos(outline, calls, &tag), &tag).await
}

/// The report of a run that left nothing behind.
async fn run_to_its_end(chaos: Chaos, tag: &str) -> Report {
    let report = chaos.run(CancellationToken::new()).await.unwrap();
    assert_eq!(alive(tag), [""; 0], "{report}");
    assert!(report.crashes.is_empty() && report.violations.as_ref().is_some_and(BTreeMap::is_empty), "{report}");
    report
}

/// The one kill of a run, whose victim carried some of the calls and not the others, by its own account too.
fn assert_exactly_the_calls_of_the_victim_were_touched(report: &Report) {
    let [kill] = &report.kills[..] else { panic!("{report}") };
    assert!(kill.carried > 0 && kill.back_after_ms.is_some(), "{report}");
    assert_eq!(kill.legs, Some(kill.carried as u64), "what the process itself said: {report}");
    let carried: Vec<_> = report.touched(Some(Touch::Carried)).collect();
    assert!(carried.len() == kill.carried && carried.iter().all(|call| call.carriers.contains(&kill.victim)));
    let first_six = || report.calls.iter().filter(|call| call.call <= 6);
    let untouched: Vec<_> = first_six().filter(|call| call.touch().is_none()).collect();
    assert_eq!(carried.len() + untouched.len(), 6, "{report}");
    assert!(!untouched.is_empty() && untouched.iter().all(|call| call.is_good()), "{report}");
}

/// Today's truth, not a wish: the pair cannot move a call to another process. Once calls outlive their process, this and
/// the tests with `today` in their names have to ask for the opposite: that the call lived and lost no word.
fn assert_is_lost_today(call: &Verdict, report: &Report, code: u32) {
    assert!(!call.lived && call.lost > 0 && call.lost_to_model > Some(0), "{report}");
    assert_eq!((call.end, &call.codes[..]), (CallEnd::HungUpByDocument, &[code][..]), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_kill_every_call_lives_and_no_word_is_lost() {
    let report = run(Outline { lasts: 5 * S, ..outline(Target::None) }, 4).await;
    assert!(report.is_good() && report.kills.is_empty(), "{report}");
    assert_eq!((report.untouched.calls, report.carried.calls, report.arriving.calls), (4, 0, 0), "{report}");
    assert!(report.calls.iter().all(|call| call.said >= 6), "{report}");
    assert!(report.untouched.longest_quiet.p50_ms > 0, "an answer takes time: {report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn today_when_a_worker_is_killed_its_calls_are_lost_and_those_of_the_other_go_on() {
    let report = run(outline(Target::Worker), 6).await;
    assert_eq!(report.kills[0].victim.role, Role::Worker);
    assert_exactly_the_calls_of_the_victim_were_touched(&report);
    report.touched(Some(Touch::Carried)).for_each(|call| assert_is_lost_today(call, &report, 31921));
    assert!(!report.is_good(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn today_when_an_edge_is_killed_its_calls_are_lost_and_those_of_the_other_go_on() {
    let report = run(outline(Target::Edge), 6).await;
    assert_eq!(report.kills[0].victim.role, Role::Edge);
    assert_exactly_the_calls_of_the_victim_were_touched(&report);
    report.touched(Some(Touch::Carried)).for_each(|call| assert_is_lost_today(call, &report, 31903));
    assert!(!report.is_good(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn today_a_process_that_is_told_to_stop_drains_and_then_loses_its_calls() {
    let tag = tag();
    let chaos = with(outline(Target::Worker), 6, &[&tag, "DRAIN_SECONDS=2"]);
    let chaos = Chaos { signal: Signal::Term, ..chaos };
    let report = run_to_its_end(chaos, &tag).await;
    assert_exactly_the_calls_of_the_victim_were_touched(&report);
    assert!(report.kills[0].gone_after_ms >= Some(2000), "its calls do not end by themselves: {report}");
    report.touched(Some(Touch::Carried)).for_each(|call| assert_is_lost_today(call, &report, 31921));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_ends_by_itself_is_told_and_no_success() {
    let tag = tag();
    let chaos = chaos(Outline { workers: 1, lasts: 12 * S, ..outline(Target::None) }, 1, &tag);
    let run = tokio::spawn(async move { chaos.run(CancellationToken::new()).await });
    while alive(&tag).len() < 3 {
        tokio::time::sleep(S / 10).await;
    }
    // The worker is started first, and the edges are ready soon after.
    tokio::time::sleep(4 * S).await;
    let worker = alive(&tag).into_iter().find(|process| {
        std::fs::read_to_string(format!("{process}/comm")).is_ok_and(|name| name.trim() == "sonic-worker")
    });
    let pid = worker.unwrap().rsplit('/').next().unwrap().to_owned();
    assert!(std::process::Command::new("sh").args(["-c", &format!("kill -9 {pid}")]).status().unwrap().success());
    let report = run.await.unwrap().unwrap();
    assert!(report.crashes.len() == 1 && report.crashes[0].starts_with("worker 1 ended by itself"), "{report}");
    assert!(!report.is_good() && report.calls.iter().any(|call| !call.lived), "{report}");
    assert_eq!(alive(&tag), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn today_a_killed_process_loses_its_calls_comes_back_and_takes_new_ones() {
    for kill in [Target::Worker, Target::Edge] {
        let alone = Outline { edges: 1, workers: 1, lasts: 16 * S, every: 6 * S, ..outline(kill) };
        let report = run(alone, 2).await;
        let [kill] = &report.kills[..] else { panic!("{report}") };
        assert_eq!((kill.carried, kill.lived, kill.legs), (2, 0, Some(2)), "{report}");
        let later: Vec<_> = report.calls.iter().filter(|call| call.call > 2 && call.is_good()).collect();
        assert!(later.len() >= 2 && later.iter().all(|call| call.carriers.contains(&kill.victim)), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_stopped_ends_its_calls_and_reports_what_it_has() {
    let (tag, stop) = (tag(), CancellationToken::new());
    let chaos = chaos(Outline { lasts: 3600 * S, every: 1000 * S, ..outline(Target::Any) }, 2, &tag);
    let stopping = stop.clone();
    let run = tokio::spawn(async move { chaos.run(stopping).await });
    while alive(&tag).len() < 4 {
        tokio::time::sleep(S / 10).await;
    }
    tokio::time::sleep(6 * S).await;
    stop.cancel();
    let report = tokio::time::timeout(30 * S, run).await.unwrap().unwrap().unwrap();
    assert!(report.stopped_early && report.is_good(), "{report}");
    assert!(report.calls.iter().all(|call| call.end == CallEnd::EndedByRest && call.said > 0), "{report}");
    assert_eq!(alive(&tag), [""; 0]);
}
