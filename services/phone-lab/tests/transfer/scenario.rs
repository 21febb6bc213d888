//! The scenario that comes with the lab.

use std::{path::Path, sync::Arc};

use offhook_hosting::telemetry::Telemetry;
use phone_lab::{bedrock::Pace, demo, scenario::Scenario};

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_the_transfer_scenario_is_as_it_says() {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/transfer.yaml");
    let out = std::env::temp_dir().join(format!("transfer-scenario-{}", std::process::id()));
    let telemetry = Arc::new(Telemetry::for_metrics("transfer"));
    let scenario = Scenario::from_file(&scenario).unwrap();
    let run = demo::run(scenario, Pace::new(0.3).unwrap(), 1, &out, telemetry).await.unwrap();
    std::fs::remove_dir_all(&out).unwrap();
    assert!(run.good, "{run}");
}
