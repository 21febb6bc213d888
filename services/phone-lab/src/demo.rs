//! `phone-lab demo`: the pair and both simulators in one process, and a scenario's calls, shown as they happen.

use std::{path::Path, sync::Arc};

use offhook_hosting::{clock::Clock, telemetry::Telemetry};

use crate::{
    bedrock,
    pair::{Pair, Settings, nobody_picks_up},
    play::{self, Stage},
    report::{Placed, Run},
    scenario::Scenario,
    show::tell,
};

/// Plays the scenario and reports on it.
///
/// # Errors
/// If the pair does not start or stop as it should, or a file cannot be written.
pub async fn run(
    scenario: Scenario,
    pace: bedrock::Pace,
    seed: u64,
    out: &Path,
    telemetry: Arc<Telemetry>,
) -> anyhow::Result<Run> {
    let settings = bedrock::Settings { pace, ..bedrock::Settings::default() };
    let (bedrock, second_bedrock) = (scenario.bedrock(settings.clone()), scenario.second_bedrock(settings));
    let placed = Placed { at: Clock.now(), wall: Clock.wall() };
    let pair = Pair::start(
        Settings { bedrock, second_bedrock, environment: Vec::new(), rest: nobody_picks_up(), seed },
        telemetry,
    )
    .await?;
    tell(format_args!("simulated Bedrock on {}, sonic-worker on {}\n", pair.bedrock.address(), pair.worker_url));
    let (twilio, models) = (pair.twilio.clone(), pair.models());
    let stage = Stage { twilio, models, live: true, out: Some(out.to_owned()) };
    let mut calls = Vec::new();
    for plan in &scenario.calls {
        let call = play::place(&stage, &scenario.name, plan).await?;
        tell(&call);
        calls.push(call);
    }
    let edge = format!("http://{}", pair.edge_address);
    pair.stop().await?;
    tell(format_args!("\nrecordings and reports are in {}\n", out.display()));
    Ok(Run::new(edge, seed, placed, Clock.now() - placed.at, calls, Vec::new()))
}
