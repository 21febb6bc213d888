use std::{sync::Arc, time::Duration};

use offhook_hosting::telemetry::Telemetry;
use phone_lab::{
    bedrock::{self, Pace, Script},
    pair::{Pair, Settings},
    twilio::{Callee, CallerScript, rest::RestSettings},
};

/// The pair with a model that follows this script, for calls to these people.
pub(crate) async fn pair(script: &str, rest: RestSettings) -> Pair {
    configured(script, rest, &[]).await
}

/// The same with further environment.
pub(crate) async fn configured(script: &str, rest: RestSettings, environment: &[(&'static str, &str)]) -> Pair {
    let bedrock = bedrock::Settings {
        script: Script::from_yaml(script).unwrap(),
        pace: Pace::new(0.1).unwrap(),
        ..bedrock::Settings::default()
    };
    let environment = environment.iter().map(|&(name, value)| (name, value.to_owned())).collect();
    let settings = Settings { bedrock, second_bedrock: None, environment, rest, seed: 1 };
    Pair::start(settings, Arc::new(Telemetry::for_metrics("outbound"))).await.unwrap()
}

/// Somebody who picks up at once and takes these steps.
pub(crate) fn callee(steps: &str) -> Callee {
    let script = format!("from: '+15550100001'\nto: '+15550100100'\nsteps: {steps}");
    Callee::answers(Duration::from_millis(200), CallerScript::from_yaml(&script).unwrap())
}
