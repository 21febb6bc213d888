//! What a load run says about a bridge whose faults are known.

use std::time::Duration;

use phone_lab::{
    load::{Hears, Load, Report, report::Way, track::Faults},
    twilio::{Settings, url::Url},
};
use tokio_util::sync::CancellationToken;

use crate::bridge::{Bridge, Deed, Mischief};

const MS: Duration = Duration::from_millis(1);

fn load(bridge: &Bridge, calls: u16, length: Duration) -> Load {
    let url = Url::parse("https://voice.example.test").unwrap();
    let twilio = Settings::new(bridge.address, &url);
    Load { twilio, calls, length, ramp: 100 * MS, hears: Hears::Echo, forgeries: false, processes: Vec::new(), seed: 1 }
}

/// Two calls of 25 frames each, to a bridge with this mischief in each of them.
async fn run(mischief: Mischief) -> Report {
    let bridge = Bridge::start(mischief).await;
    load(&bridge, 2, 500 * MS).run(CancellationToken::new()).await.unwrap()
}

fn way(report: &Report) -> Way {
    let frames = report.frames.clone().unwrap();
    assert_eq!(frames.sent, 50);
    assert!(frames.there.is_none() && frames.back.is_none(), "only both ways together can be known");
    frames.there_and_back
}

#[tokio::test]
async fn a_bridge_that_echoes_is_found_faultless() {
    let report = run(|_| Deed::Echo).await;
    let way = way(&report);
    assert_eq!((way.faults, way.latency.count), (Faults::default(), 50));
    assert!(report.is_good(), "{report}");
    assert!(report.webhook.count == 2 && report.socket.count == 2 && report.first_audio.count == 2);
    assert!(report.jitter.count >= 50 && report.generator.lateness.count >= 50);
    assert!(report.barge_in.is_none());
}

#[tokio::test]
async fn a_dropped_frame_is_lost() {
    let report = run(|n| if n == 7 { Deed::Drop } else { Deed::Echo }).await;
    assert_eq!(way(&report).faults, Faults { lost: 2, ..Faults::default() });
    assert!(!report.is_good());
}

#[tokio::test]
async fn a_frame_of_which_one_byte_changed_is_altered() {
    let report = run(|n| if n == 24 { Deed::Alter } else { Deed::Echo }).await;
    assert_eq!(way(&report).faults, Faults { altered: 2, ..Faults::default() });
    assert!(!report.is_good());
}

#[tokio::test]
async fn frames_that_changed_places_are_reordered() {
    let report = run(|n| if n == 7 { Deed::Swap } else { Deed::Echo }).await;
    assert_eq!(way(&report).faults, Faults { reordered: 2, ..Faults::default() });
    assert!(!report.is_good());
}

#[tokio::test]
async fn a_frame_that_is_held_for_30_ms_is_late_and_its_latency_says_so() {
    let report = run(|n| if n == 7 { Deed::Delay(30 * MS) } else { Deed::Echo }).await;
    let way = way(&report);
    assert!(way.faults.is_none() && way.late >= 2, "{report}");
    assert!(way.latency.max >= 30.0, "{report}");
    assert!(report.is_good(), "late is not wrong: {report}");
}

#[tokio::test]
async fn a_call_that_the_server_ends_is_a_failure_with_its_reason() {
    let report = run(|n| if n == 7 { Deed::HangUp } else { Deed::Echo }).await;
    assert_eq!(report.failures.values().sum::<usize>(), 2, "{report}");
    assert!(!report.is_good());
}

#[tokio::test]
async fn nobody_at_the_other_end_fails_every_call() {
    let bridge = Bridge::start(|_| Deed::Echo).await;
    let load = load(&bridge, 2, 500 * MS);
    drop(bridge);
    let report = load.run(CancellationToken::new()).await.unwrap();
    assert_eq!(report.failures.values().sum::<usize>(), 2, "{report}");
    assert_eq!((report.webhook.count, report.call_seconds), (0, 0.0));
}

#[tokio::test]
async fn where_nothing_is_known_to_echo_frames_are_not_judged() {
    let bridge = Bridge::start(|_| Deed::Drop).await;
    let load = Load { hears: Hears::Anything, ..load(&bridge, 1, 200 * MS) };
    let report = load.run(CancellationToken::new()).await.unwrap();
    assert!(report.frames.is_none() && report.is_good(), "{report}");
    assert!(report.to_string().contains("frames cannot be judged"), "{report}");
    assert_eq!(report.first_audio.count, 1);
}

#[tokio::test]
async fn a_run_that_is_stopped_ends_early_and_reports_what_it_has() {
    let bridge = Bridge::start(|_| Deed::Echo).await;
    let stop = CancellationToken::new();
    let run = tokio::spawn(load(&bridge, 2, Duration::from_secs(3600)).run(stop.clone()));
    tokio::time::sleep(500 * MS).await;
    stop.cancel();
    let report = tokio::time::timeout(Duration::from_secs(30), run).await.unwrap().unwrap().unwrap();
    assert!(report.stopped_early && report.is_good(), "{report}");
    assert!(report.frames.clone().unwrap().sent > 0, "{report}");
}

#[tokio::test]
async fn processes_are_watched_and_the_report_goes_into_json() {
    let bridge = Bridge::start(|_| Deed::Echo).await;
    let processes = vec![std::process::id().to_string()];
    let load = Load { processes, ..load(&bridge, 1, 200 * MS) };
    let report = load.run(CancellationToken::new()).await.unwrap();
    assert_eq!(report.processes.len(), 1);
    assert!(report.processes[0].rss_peak_kb > 0, "{report}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["frames"]["there_and_back"]["lost"], 0);
    assert_eq!(json["frames"]["there_and_back"]["latency"]["count"], 10);
}
