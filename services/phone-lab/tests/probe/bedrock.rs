//! `phone-lab probe bedrock`.

use std::{num::NonZeroUsize, time::Duration};

use offhook_hosting::clock::Clock;
use phone_lab::{
    bedrock::{self, Refusal, Settings},
    probe::bedrock::{self as probe, EXPERIMENTS, Experiment, Kind, Outcome, Pace, Report, Simulator},
};

/// Patient enough for a busy machine.
const PACE: Pace = Pace { parallel: NonZeroUsize::new(8).unwrap(), patience: Duration::from_secs(5) };

fn quick(settings: Settings) -> Settings {
    Settings { pace: bedrock::Pace::new(0.02).unwrap(), ..settings }
}

fn experiments(wanted: impl Fn(&Experiment) -> bool) -> Vec<Experiment> {
    EXPERIMENTS.iter().filter(|experiment| wanted(experiment)).copied().collect()
}

async fn compare(service: Settings, experiments: &[Experiment]) -> Report {
    let simulator = Simulator::start(quick(Settings::default())).await.unwrap();
    let service = Simulator::start(quick(service)).await.unwrap();
    compare_these(&simulator, &service, experiments).await
}

async fn compare_these(simulator: &Simulator, service: &Simulator, experiments: &[Experiment]) -> Report {
    probe::compare(&simulator.target, &service.target, experiments, PACE, Clock).await.unwrap()
}

fn differing(report: &Report) -> Vec<u8> {
    let mut rules: Vec<_> = report.findings.iter().filter(|f| !f.agrees).map(|f| f.rule).collect();
    rules.dedup();
    rules
}

#[tokio::test]
async fn every_breach_meets_its_rule_and_a_right_session_meets_none() {
    let report = compare(Settings::default(), &experiments(|e| e.kind == Kind::Quick)).await;
    assert!(report.agrees(), "{report}");
    // What the documentation's table says is not answered by an error, or only put on record.
    let taken = [0, 12, 16, 20, 36, 37, 41, 42, 54];
    for finding in &report.findings {
        let complained =
            matches!(finding.simulator, Outcome::Refused { .. } | Outcome::Exception { .. } | Outcome::Broken(_));
        assert!(complained || taken.contains(&finding.rule), "{finding:?}");
    }
    let right = &report.findings[0];
    assert_eq!((right.rule, &right.simulator), (0, &Outcome::Answered));
    for facts in [&report.simulator, &report.service] {
        assert_eq!(facts.max_concurrent_streams, 200);
        assert!(facts.first_audio_ms.is_some() && facts.audio_output_bytes.is_some(), "{facts:?}");
        assert!(facts.final_text_ms.is_some() && facts.completion_end_ms.is_some(), "{facts:?}");
        assert!(!facts.padded && facts.events.ends_with(&["completionEnd".to_owned()]), "{facts:?}");
    }
}

#[tokio::test]
async fn a_service_that_differs_is_found_out_by_rule() {
    let service = Settings {
        waived: "7,16,31,43".parse().unwrap(),
        unknown_model: Refusal::invalid_model(),
        strict_history: true,
        ..Settings::default()
    };
    let report = compare(service, &experiments(|e| e.kind == Kind::Quick)).await;
    assert_eq!(differing(&report), [7, 8, 16, 31, 36, 43], "{report}");
    let said = report.to_string();
    assert!(said.contains("accepts what the simulator does not: rules 7, 16, 31, 43"), "{said}");
}

#[tokio::test]
async fn a_service_that_refuses_what_is_right_is_not_asked_what_is_wrong() {
    let simulator = Simulator::start(quick(Settings::default())).await.unwrap();
    let service = Simulator::start(Settings { access_denied: true, ..quick(Settings::default()) }).await.unwrap();
    let refused = probe::compare(&simulator.target, &service.target, EXPERIMENTS, PACE, Clock).await.unwrap_err();
    let why = "the service: a session that is right is refused, 403 AccessDeniedException: check the credentials, \
               region and model";
    assert_eq!(format!("{refused:#}"), why);
    assert_eq!(service.server.refusals().len(), 1);
}

#[tokio::test]
async fn a_service_with_another_idle_limit_is_found_out_by_its_time() {
    let of = |seconds| quick(Settings { idle_limit: Duration::from_secs(seconds), ..Settings::default() });
    let simulator = Simulator::start(of(1)).await.unwrap();
    let service = Simulator::start(of(3)).await.unwrap();
    let report = compare_these(&simulator, &service, &experiments(|e| e.rule == 52)).await;
    assert_eq!(differing(&report), [52], "{report}");
    let idle = &report.findings[0];
    assert!(idle.simulator_seconds >= 1.0 && idle.service_seconds >= 3.0, "{idle:?}");
}

#[tokio::test]
async fn a_service_with_a_larger_quota_is_found_out_by_one_session_more() {
    let service = Settings { max_sessions: 100, ..Settings::default() };
    let report = compare(service, &experiments(|e| e.kind == Kind::Crowded)).await;
    assert_eq!(differing(&report), [11], "{report}");
    assert_eq!(report.findings[0].service, Outcome::Answered);
}
