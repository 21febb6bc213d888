//! `phone-lab call`: one call of a scenario against an edge that runs elsewhere.

use std::path::Path;

use offhook_hosting::{clock::Clock, entropy::Entropy};
use tokio::sync::mpsc;

use crate::{
    oracle,
    recording::Transcript,
    scenario::ScenarioCall,
    show::Show,
    twilio::{CallOptions, Settings, Twilio},
};

const EVENT_CAPACITY: usize = 1024;

/// Plays the call, shows it, and says whether the caller heard what the scenario says. What the model heard is known to
/// its own process only; a scenario shows it by a model that repeats it.
///
/// # Errors
/// If a file cannot be written.
pub async fn run(call: ScenarioCall, settings: Settings, seed: u64, out: Option<&Path>) -> anyhow::Result<bool> {
    let ScenarioCall { name, caller, hears, network } = call;
    let twilio = Twilio::new(settings, Clock, Entropy::from_seed(seed));
    let (events, mut watched) = mpsc::channel(EVENT_CAPACITY);
    let show = tokio::spawn(async move {
        let show = Show::new(Clock.now());
        while let Some(event) = watched.recv().await {
            show.caller(&event);
        }
    });
    let report = twilio.call_watched(caller, CallOptions { network, ..CallOptions::default() }, events).await;
    show.await?;
    let mut differences = oracle::missing(&report, &hears);
    differences.extend(oracle::bad_end(&report));
    differences.extend(oracle::logged(&report));
    for difference in &differences {
        println!("    WRONG: {difference}");
    }
    if let Some(out) = out {
        Transcript::new(&name, &report, &[], &differences).write(out, &[])?;
    }
    if differences.is_empty() {
        println!("the caller heard everything that {name} was to hear");
    }
    Ok(differences.is_empty())
}
