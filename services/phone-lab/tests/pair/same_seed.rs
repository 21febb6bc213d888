//! The same seed gives the same run, faults and all, as far as it does not depend on how quick the machine is.

use std::collections::BTreeMap;

use phone_lab::{
    bedrock::{self, Fault, Pace},
    pair::{Pair, Settings, nobody_picks_up},
    play::{self, Stage},
    scenario::Scenario,
};

use crate::support::{assert_nothing_left, telemetry};

/// What goes wrong strikes when the line is silent: what is cut in the middle of a word is a matter of milliseconds.
const FAULTS: [&str; 3] = ["content-filter=story", "refuse=throttled", "unknown-event"];

const SCENARIO: &str = "
model:
  greeting: 'good morning'
  dialogue:
    - heard: story
      reply: 'once upon a time'
calls:
";

fn scenario() -> Scenario {
    let steps = "[listen, say: tell me a story, listen, press: '12#', listen, say: thank you, listen, hang_up]";
    let call = |nth| {
        format!("  - {{name: call-{nth}, caller: {{from: '+15550100001', to: '+15550100100', steps: {steps}}}}}\n")
    };
    Scenario::from_yaml(&(SCENARIO.to_owned() + &(0..3).map(call).collect::<String>())).unwrap()
}

type Wires = Vec<BTreeMap<String, Vec<String>>>;

/// What went over the wires of each call; and the ends of the sessions, call by call.
async fn run(seed: u64) -> (Wires, Vec<Vec<String>>) {
    let scenario = scenario();
    let bedrock = bedrock::Settings {
        pace: Pace::new(0.1).unwrap(),
        script: scenario.model.clone(),
        faults: FAULTS.map(|fault| fault.parse::<Fault>().unwrap()).into(),
        fault_probability: "0.2".parse().unwrap(),
        ..bedrock::Settings::default()
    };
    let settings = Settings { bedrock, second_bedrock: None, environment: Vec::new(), rest: nobody_picks_up(), seed };
    let pair = Pair::start(settings, telemetry()).await.unwrap();
    let stage = Stage { twilio: pair.twilio.clone(), models: pair.models(), live: false, out: None };
    let (mut wires, mut ends) = (Vec::new(), Vec::new());
    for plan in &scenario.calls {
        let call = play::place(&stage, &scenario.name, plan).await.unwrap();
        ends.push(call.sessions.iter().flatten().map(|session| session.end.clone()).collect());
        let mut of_call = call.wires();
        // Where the edge puts a mark depends on how promptly the audio comes; the last one is behind all of it.
        of_call.entry("marks".to_owned()).and_modify(|marks| *marks = marks.split_off(marks.len() - 1));
        wires.push(of_call);
    }
    assert_nothing_left(pair).await;
    (wires, ends)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scenario_with_faults_repeats_event_for_event_with_its_seed_and_with_no_other() {
    // At the same time, so that each is as quick or slow as the others let it be.
    let ((first, ends), (second, _), (other, _)) = tokio::join!(Box::pin(run(7)), Box::pin(run(7)), Box::pin(run(8)));
    assert_eq!(second, first);
    let struck = |ends: &[Vec<String>]| -> Vec<bool> {
        ends.iter().map(|ends| ends.iter().any(|end| end.starts_with("broken on purpose"))).collect()
    };
    assert!(struck(&ends).contains(&true) && struck(&ends).contains(&false), "every call or none was struck: {ends:?}");
    assert_ne!(other, first);
    let without_ids =
        |wires: Wires| wires.into_iter().map(|mut call| call.remove("ids").map(|_| call)).collect::<Vec<_>>();
    assert_ne!(without_ids(other), without_ids(first), "another seed has other faults");
}
