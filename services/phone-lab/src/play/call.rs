//! One call of a scenario, watched from both ends where both are the lab's.

use std::{
    fs,
    future::pending,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use futures_util::future::{join_all, select_all};
use offhook_hosting::clock::Clock;
use tokio::sync::{
    broadcast::{self, error::RecvError},
    mpsc,
};
use tokio_util::sync::CancellationToken;

use crate::{
    bedrock::{ModelEvent, Server},
    recording,
    report::{Call, Modelled, Placed},
    scenario::ScenarioCall,
    show::{Show, tell},
    twilio::{CallEvent, CallReport, Twilio},
};

/// How long the model's session may outlive the call: closing by the book takes a few messages.
const SESSION_ENDS_WITHIN: Duration = Duration::from_secs(5);
const FORBIDDEN: &str =
    "403 is what a server answers whose auth token or public URL is another: see --auth-token and --public-url";
const EVENT_CAPACITY: usize = 1024;

/// Where calls are played.
#[derive(Clone)]
pub struct Stage {
    /// Places them.
    pub twilio: Twilio,
    /// The model, where it is the lab's, in each region that there is. All its sessions belong to the call that is
    /// being played.
    pub models: Vec<Server>,
    /// Whether what happens is printed while it happens.
    pub live: bool,
    /// Gets `NAME.wav` and `NAME.json` of each call.
    pub out: Option<PathBuf>,
}

/// Plays a call to its end and judges it.
///
/// # Errors
/// If a file cannot be written.
pub async fn place(stage: &Stage, scenario: &str, plan: &ScenarioCall) -> anyhow::Result<Call> {
    if stage.live {
        tell(format_args!("\n--- {}\n", plan.name));
    }
    let before: Vec<_> = stage.models.iter().map(|model| (model.reports().len(), model.refusals().len())).collect();
    let placed = Placed { at: Clock.now(), wall: Clock.wall() };
    let (events, watched) = mpsc::channel(EVENT_CAPACITY);
    let over = CancellationToken::new();
    let show = stage.live.then(|| Show::new(placed.at));
    let models: Vec<_> = stage.models.iter().map(Server::watch).collect();
    // A call that is abandoned is not watched on.
    let (over, until) = (over.clone().drop_guard(), over);
    let watching = tokio::spawn(watch(watched, models, show, until));
    let report = stage.twilio.call_watched(plan.caller.clone(), plan.options(), events).await;
    // One that stays open is found without an end below.
    join_all(stage.models.iter().map(|model| model.sessions_end_within(SESSION_ENDS_WITHIN))).await;
    drop(over);
    let (events, missed) = watching.await?;
    let model = (!stage.models.is_empty()).then(|| modelled(&stage.models, &before, events));
    let mut call = Call::new(scenario, plan, &report, model.as_ref(), placed);
    if !call.good && report.codes.iter().any(|entry| entry.detail.contains("403")) {
        call.reasons.push(FORBIDDEN.to_owned());
    }
    if missed > 0 {
        call.good = false;
        call.reasons.push(format!("the lab did not keep up: {missed} of the model's events are not in the timeline"));
    }
    if let Some(out) = &stage.out {
        leave(out, &call, &report, model.as_ref())?;
    }
    Ok(call)
}

/// What the model knows since there were so many sessions and refusals. What an earlier call left open is not this one's.
fn modelled(models: &[Server], before: &[(usize, usize)], mut events: Vec<ModelEvent>) -> Modelled {
    let (mut sessions, mut refused) = (Vec::new(), Vec::new());
    for (model, &(reports, refusals)) in models.iter().zip(before) {
        sessions.extend(model.reports().split_off(reports));
        refused.extend(model.refusals().split_off(refusals));
    }
    sessions.sort_by_key(|session| session.opened_at);
    events.retain(|event| sessions.iter().any(|session| session.id == event.session));
    Modelled { sessions, refusals: refused, events }
}

fn leave(out: &Path, call: &Call, report: &CallReport, model: Option<&Modelled>) -> anyhow::Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let sessions = model.map_or(&[][..], |model| &model.sessions);
    recording::write(&out.join(format!("{}.wav", call.name)), report, sessions)?;
    let json = out.join(format!("{}.json", call.name));
    fs::write(&json, serde_json::to_vec_pretty(call)?).with_context(|| format!("cannot write {}", json.display()))
}

/// Shows what happens until the call is over, and keeps what the model told; with how much of that was missed.
async fn watch(
    mut caller: mpsc::Receiver<CallEvent>,
    mut models: Vec<broadcast::Receiver<ModelEvent>>,
    show: Option<Show>,
    over: CancellationToken,
) -> (Vec<ModelEvent>, u64) {
    let (mut kept, mut missed) = (Vec::new(), 0);
    let mut caller_is_there = true;
    loop {
        tokio::select! {
            biased;
            event = caller.recv(), if caller_is_there => match (event, &show) {
                (Some(event), Some(show)) => show.caller(&event),
                (Some(_), None) => {}
                (None, _) => caller_is_there = false,
            },
            (from, event) = next(&mut models) => match event {
                Ok(event) => {
                    if let Some(show) = &show {
                        show.model(&event);
                    }
                    kept.push(event);
                }
                Err(RecvError::Lagged(more)) => missed += more,
                Err(RecvError::Closed) => drop(models.swap_remove(from)),
            },
            () = over.cancelled() => return (kept, missed),
        }
    }
}

/// What one of them tells, and which.
async fn next(models: &mut [broadcast::Receiver<ModelEvent>]) -> (usize, Result<ModelEvent, RecvError>) {
    if models.is_empty() {
        return pending().await;
    }
    let (event, from, _) = select_all(models.iter_mut().map(|model| Box::pin(model.recv()))).await;
    (from, event)
}
