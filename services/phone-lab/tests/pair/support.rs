use std::{sync::Arc, time::Duration};

use offhook_hosting::telemetry::Telemetry;
use offhook_proto::voice::v1::{CallRecord, GetRequest, calls_client::CallsClient};
use phone_lab::{
    bedrock::{self, Pace, Script, SessionReport},
    oracle,
    pair::{Pair, Settings, nobody_picks_up},
    twilio::{CallOptions, CallReport, CallerScript},
};
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// Ten times faster than the real model; audio stays as long as it is.
const PACE: f64 = 0.1;

/// A pair whose model follows `script`, a YAML text.
pub(crate) async fn pair(script: &str) -> Pair {
    let script = Script::from_yaml(script).unwrap();
    let bedrock = bedrock::Settings { pace: Pace::new(PACE).unwrap(), script, ..bedrock::Settings::default() };
    start(bedrock).await
}

/// A pair whose model is set up like this.
pub(crate) async fn start(bedrock: bedrock::Settings) -> Pair {
    start_with(bedrock, Vec::new()).await
}

/// Same, with more in its environment.
pub(crate) async fn start_with(bedrock: bedrock::Settings, environment: Vec<(&'static str, String)>) -> Pair {
    let settings = Settings { bedrock, second_bedrock: None, environment, rest: nobody_picks_up(), seed: 1 };
    Pair::start(settings, telemetry()).await.unwrap()
}

/// What both services report to.
pub(crate) fn telemetry() -> Arc<Telemetry> {
    Arc::new(Telemetry::for_metrics("pair"))
}

/// A caller who takes these steps, a YAML list on one line.
pub(crate) fn caller(steps: &str) -> CallerScript {
    CallerScript::from_yaml(&format!("from: '+15550100001'\nto: '+15550100100'\nsteps: {steps}")).unwrap()
}

/// A call played to its end, with the sessions that the model had meanwhile.
pub(crate) async fn play(pair: &Pair, caller: CallerScript, options: CallOptions) -> (CallReport, Vec<SessionReport>) {
    let earlier = pair.bedrock.reports().len();
    let call = pair.twilio.call(caller, options).await;
    assert!(pair.sessions_end_within(Duration::from_secs(5)).await, "a session is left open");
    (call, pair.bedrock.reports().split_off(earlier))
}

/// Everything was heard as it was said, and nobody did anything that the other side would refuse.
pub(crate) fn assert_heard_as_said(call: &CallReport, sessions: &[SessionReport]) {
    let differences = oracle::differences(call, sessions, &oracle::human_words(call));
    assert_eq!(differences, Vec::<String>::new(), "{call:?}");
}

/// A call that takes these steps beside the test, once the model has its session.
pub(crate) async fn live_call(pair: &Pair, steps: &str) -> JoinHandle<CallReport> {
    let (twilio, caller) = (pair.twilio.clone(), caller(steps));
    let call = tokio::spawn(async move { twilio.call(caller, CallOptions::default()).await });
    while pair.bedrock.live_sessions() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    call
}

/// What the worker wrote down about the call.
pub(crate) async fn record(pair: &Pair, call: &CallReport) -> CallRecord {
    let channel = Channel::from_shared(pair.worker_url.clone()).unwrap().connect().await.unwrap();
    let request = GetRequest { call_sid: call.call_sid.clone() };
    CallsClient::new(channel).get(request).await.unwrap().into_inner().record.unwrap()
}

/// Waits until no task of any call is left.
pub(crate) async fn calls_to_end(pair: &Pair) {
    let none = async {
        while pair.edge_lifecycle.tasks().len() + pair.worker_lifecycle.tasks().len() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), none).await.is_ok(), "a task of a call is left");
}

/// Stops the pair and checks that nothing of any call is left in it.
pub(crate) async fn assert_nothing_left(pair: Pair) {
    calls_to_end(&pair).await;
    assert_eq!(pair.bedrock.live_sessions(), 0);
    pair.stop().await.unwrap();
}
