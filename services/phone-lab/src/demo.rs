//! `phone-lab demo`: the pair and both simulators in one process, and a scenario's calls, shown as they happen.

use std::{path::Path, sync::Arc, time::Duration};

use offhook_hosting::{clock::Clock, telemetry::Telemetry};
use tokio::sync::{broadcast, mpsc};

use crate::{
    bedrock::{self, ModelEvent, SessionReport},
    oracle,
    pair::{Pair, Settings},
    recording::Transcript,
    scenario::{Scenario, ScenarioCall},
    show::Show,
    twilio::{CallEnd, CallOptions, CallReport},
};

/// How long the model's session may outlive the call: closing by the book takes a few messages.
const SESSION_ENDS_WITHIN: Duration = Duration::from_secs(5);
const EVENT_CAPACITY: usize = 1024;

/// Plays the scenario and says whether everything was heard as it was said.
///
/// # Errors
/// If the pair does not start or stop as it should, or a file cannot be written.
pub async fn run(
    scenario: Scenario,
    pace: bedrock::Pace,
    seed: u64,
    out: &Path,
    telemetry: Arc<Telemetry>,
) -> anyhow::Result<bool> {
    let bedrock = bedrock::Settings {
        pace,
        script: scenario.model,
        network: scenario.bedrock_network,
        ..bedrock::Settings::default()
    };
    let pair = Pair::start(Settings { bedrock, environment: Vec::new(), seed }, telemetry).await?;
    println!("simulated Bedrock on {}, sonic-worker on {}", pair.bedrock.address(), pair.worker_url);
    let mut good = true;
    for call in scenario.calls {
        good &= play(&pair, call, out).await?;
    }
    pair.stop().await?;
    println!("\nrecordings and transcripts are in {}", out.display());
    println!(
        "{}",
        if good { "every side heard what the other side said" } else { "NOT everything was heard as it was said" }
    );
    Ok(good)
}

async fn play(pair: &Pair, call: ScenarioCall, out: &Path) -> anyhow::Result<bool> {
    let earlier = pair.bedrock.reports().len();
    let ScenarioCall { name, caller, hears, network } = call;
    println!("\n--- {name}");
    let (events, watched) = mpsc::channel(EVENT_CAPACITY);
    let show = tokio::spawn(show(watched, pair.bedrock.watch()));
    let report = pair.twilio.call_watched(caller, CallOptions { network, ..CallOptions::default() }, events).await;
    let closed = pair.sessions_end_within(SESSION_ENDS_WITHIN).await;
    show.await?;
    let sessions = pair.bedrock.reports().split_off(earlier);
    let mut differences = oracle::differences(&report, &sessions, &human_words(&report));
    differences.extend(oracle::missing(&report, &hears));
    if !closed {
        differences.push("a session of the model is still open".to_owned());
    }
    let transcript = Transcript::new(&name, &report, &sessions, &differences);
    transcript.write(out, &sessions)?;
    verdict(&transcript, &sessions);
    Ok(differences.is_empty())
}

/// What those said who were brought into the call.
pub fn human_words(call: &CallReport) -> Vec<String> {
    call.parties.iter().flat_map(|party| &party.said).map(|utterance| utterance.text.clone()).collect()
}

async fn show(mut caller: mpsc::Receiver<crate::twilio::CallEvent>, mut model: broadcast::Receiver<ModelEvent>) {
    let show = Show::new(Clock.now());
    loop {
        tokio::select! {
            event = caller.recv() => match event {
                Some(event) => show.caller(&event),
                None => return,
            },
            // A display that lags behind misses events; the transcript has them all.
            event = model.recv() => if let Ok(event) = event { show.model(&event) },
        }
    }
}

fn verdict(transcript: &Transcript<'_>, sessions: &[SessionReport]) {
    let end = match transcript.call.end {
        CallEnd::CallerHungUp => "the caller hung up",
        CallEnd::PatienceEnded => "the caller lost patience",
        CallEnd::HungUpByDocument => "the agent's side hung up",
        CallEnd::DocumentEnded => "the TwiML ended",
        CallEnd::Rejected => "rejected",
        CallEnd::ApplicationError => "application error",
        CallEnd::EndedByRest => "ended by the REST interface",
        CallEnd::TimeLimit => "reached the time limit",
        CallEnd::OtherSideHungUp => "the other side hung up",
        CallEnd::NotAnswered => "nobody answered",
    };
    let tokens: u64 = sessions.iter().map(|session| session.usage.input() + session.usage.output()).sum();
    println!("    {end}; {} barge-in(s), {tokens} tokens", transcript.call.clears.len());
    let latencies: Vec<_> =
        transcript.turns.iter().filter_map(|turn| turn.latency_ms).map(|ms| ms.to_string()).collect();
    println!("    from the caller's last sound to the answer's first: {} ms", latencies.join(", "));
    for difference in transcript.differences {
        println!("    WRONG: {difference}");
    }
    if transcript.differences.is_empty() {
        println!("    all was heard as it was said");
    }
}
