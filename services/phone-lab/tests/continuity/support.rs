use std::{fmt::Write, sync::Arc};

use offhook_hosting::telemetry::Telemetry;
use phone_lab::{
    bedrock::{self, Pace, Server, SessionReport},
    oracle::continuity::Continuity,
    pair::{Pair, Settings, nobody_picks_up},
    play::{self, Stage},
    report::Call,
    scenario::Scenario,
};

/// Ten times faster than the real model; audio stays as long as it is.
const PACE: f64 = 0.1;

/// A scenario with one call of so many turns, each with a number of its own.
pub(crate) fn scenario(more: &str, model: &str, turns: usize, expect: &str) -> Scenario {
    scenario_of("number {n} please, and take your time", more, model, turns, expect)
}

/// The same with other words, in which `{n}` is the number.
pub(crate) fn scenario_of(words: &str, more: &str, model: &str, turns: usize, expect: &str) -> Scenario {
    let yaml = format!(
        r#"
{more}
model:
  greeting: "good morning, what can i do for you?"
  {model}
calls:
  - name: numbers
    caller:
      from: "+15550100001"
      to: "+15550100100"
      patience: 20s
      steps:
        - listen
        - repeat: {{ times: {turns}, steps: [say: "{words}", listen: {{ quiet: 700ms }}] }}
        # What is heard late on a machine that is slow is heard before the end.
        - wait: 1500ms
        - hang_up
    expect: {{ ends: caller, continuity: {{ {expect} }} }}
"#
    );
    Scenario::from_yaml(&yaml).unwrap()
}

/// Plays the scenario's call with a worker that has this in its environment.
pub(crate) async fn play(scenario: Scenario, environment: &[(&'static str, &str)], seed: u64) -> Played {
    let settings = bedrock::Settings { pace: Pace::new(PACE).unwrap(), ..bedrock::Settings::default() };
    let (bedrock, second_bedrock) = (scenario.bedrock(settings.clone()), scenario.second_bedrock(settings));
    let environment = environment.iter().map(|&(name, value)| (name, value.to_owned())).collect();
    let settings = Settings { bedrock, second_bedrock, environment, rest: nobody_picks_up(), seed };
    let pair = Pair::start(settings, Arc::new(Telemetry::for_metrics("continuity"))).await.unwrap();
    let stage = Stage { twilio: pair.twilio.clone(), models: pair.models(), live: false, out: None };
    let call = play::place(&stage, "continuity", &scenario.calls[0]).await.unwrap();
    let sessions = pair.models().iter().flat_map(Server::reports).collect();
    if call.good {
        pair.stop().await.unwrap();
    }
    Played { call, sessions }
}

/// A call, and what the model was told in its sessions.
pub(crate) struct Played {
    pub(crate) call: Call,
    sessions: Vec<SessionReport>,
}

/// The figures of a call in which nothing was wrong; otherwise fails with all that happened.
pub(crate) fn good(played: &Played) -> &Continuity {
    assert!(played.call.good, "{}", told(played));
    played.call.continuity.as_ref().unwrap()
}

/// The call with its timeline, for whoever looks for the reason.
pub(crate) fn told(Played { call, sessions }: &Played) -> String {
    let mut told = format!("{call}");
    for (nth, session) in call.sessions.iter().flatten().enumerate() {
        writeln!(told, "[{}] in {}: {}", nth + 1, session.region, session.end).unwrap();
        let report = sessions.iter().find(|report| report.id.to_string() == session.id);
        let history = report.iter().flat_map(|report| report.history.iter().rev().take(2).rev());
        history.for_each(|message| writeln!(told, "    {:?}: {}", message.by, message.text).unwrap());
    }
    for entry in call.timeline.iter().filter(|entry| !entry.event.starts_with("mark")) {
        let session = entry.session.map_or(String::new(), |session| format!("[{session}] "));
        writeln!(told, "{session}{entry}").unwrap();
    }
    for refusal in &call.refusals {
        writeln!(told, "refused: {refusal}").unwrap();
    }
    told
}
