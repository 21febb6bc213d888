//! What becomes of a caller: a media stream where a worker holds a place, else what the agent's fallback says.

use std::sync::Arc;

use offhook_agents::{Agent, Fallback};
use tracing::{info, warn};

use super::{
    connect::{self, Opening},
    human,
    webhook::Webhook,
};
use crate::{
    App,
    call::{
        placed::{self, Placed},
        reception::{Called, Context, agent_of},
    },
    monitor::Admission,
    twilio::twiml::{busy, farewell, waiting::Enqueue},
    worker::WorkerId,
};

/// What in a webhook's query chooses the agent.
pub(super) const AGENT: &str = "agent";
/// What in a webhook's query is the edge's own, and no agent's business.
const OWN_QUERY: [&str; 3] = [AGENT, placed::QUERY, placed::WORKER];

/// The agent that the call is for.
pub(super) fn chosen<'a>(app: &'a App, webhook: &Webhook) -> &'a Arc<Agent> {
    let placed = placed(app, webhook).and_then(|placed| placed.agent);
    let asked = [webhook.query(AGENT), placed.as_deref()];
    let known = asked.into_iter().flatten().find(|name| app.agents.named(name).is_some());
    if known.is_none() && asked.iter().any(Option::is_some) {
        warn!(call.sid = %webhook.call, "an agent is asked for that there is not: the next rule decides");
    }
    // Of a call that we have placed, our number is the one that it comes from.
    let outbound = webhook.parameter("Direction").is_some_and(|direction| direction.starts_with("outbound"));
    let line = ["Called", "To"].iter().find_map(|name| webhook.parameter(name));
    let line = if outbound { webhook.parameter("From") } else { line };
    agent_of(&app.agents, Called { agent: known, line, sip_domain: webhook.parameter("SipDomain") })
}

/// Connects the call to a media stream of its own; `None` if no worker has a place for it.
pub(super) async fn connect(app: &App, webhook: &Webhook, agent: &Agent) -> Option<String> {
    let context = context(app, webhook);
    let worker = recorded_at(webhook);
    let opening =
        Opening { agent: Some(agent.name.as_str()), worker, context: &context.parameters, ..Opening::default() };
    let document = connect::connect(app, webhook, opening).await?;
    if context.left_out > 0 {
        info!(call.sid = %webhook.call, left_out = context.left_out, "the agent is not told all: it is too much");
        app.monitor.context_left_out(context.left_out);
    }
    app.monitor.admitted(Admission::Stream);
    Some(document)
}

/// The worker at which the record of a call that was placed has begun.
pub(super) fn recorded_at(webhook: &Webhook) -> Option<WorkerId> {
    webhook.query(placed::WORKER).and_then(|worker| worker.parse().ok())
}

/// What a caller gets whom no worker can take now.
pub(super) fn fall_back(app: &App, webhook: &Webhook, agent: &Agent) -> String {
    match agent.fallback {
        Fallback::Human => dial(app, webhook, agent, ""),
        Fallback::Queue => enqueue(app, webhook, agent),
        Fallback::Busy if is_ringing(webhook) => {
            app.monitor.admitted(Admission::Busy);
            busy()
        }
        Fallback::Busy | Fallback::Apology => apologise(app, agent),
    }
}

/// What a caller gets whose conversation is lost, with the worker that held it.
pub(super) fn go_on_without(app: &App, webhook: &Webhook, agent: &Agent) -> String {
    match agent.fallback {
        Fallback::Human => give_up(app, webhook, agent),
        Fallback::Queue => enqueue(app, webhook, agent),
        Fallback::Busy | Fallback::Apology => apologise(app, agent),
    }
}

/// What a caller gets who has waited and whom still no worker can take.
pub(super) fn give_up(app: &App, webhook: &Webhook, agent: &Agent) -> String {
    dial(app, webhook, agent, &agent.sentences.hand_over)
}

fn dial(app: &App, webhook: &Webhook, agent: &Agent, say: &str) -> String {
    let Some(document) = human::dial(app, webhook, agent, say, "") else { return apologise(app, agent) };
    app.monitor.admitted(Admission::Human);
    document
}

fn apologise(app: &App, agent: &Agent) -> String {
    app.monitor.admitted(Admission::Apology);
    farewell(&agent.sentences.apology)
}

fn enqueue(app: &App, webhook: &Webhook, agent: &Agent) -> String {
    app.monitor.admitted(Admission::Queue);
    let query = carried(webhook, agent);
    let door = |name: &str| app.public_url.page(&format!("{name}?{query}"));
    let (wait, action) = (door("/queue-wait"), door("/queue-left"));
    Enqueue { queue: agent.name.as_str(), wait: &wait, action: &action }.to_twiml()
}

/// The query for the queue's own doors: what they are to know of the call that Twilio does not tell again.
fn carried(webhook: &Webhook, agent: &Agent) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair(AGENT, agent.name.as_str());
    for of_placed in [placed::QUERY, placed::WORKER] {
        query.extend_pairs(webhook.query(of_placed).map(|value| (of_placed, value)));
    }
    query.extend_pairs(webhook.own_query().filter(|(name, _)| !OWN_QUERY.contains(name)));
    query.finish()
}

/// What the request for a call that was placed here has said of it.
fn placed(app: &App, webhook: &Webhook) -> Option<Placed> {
    let opened = app.seals.open(webhook.query(placed::QUERY)?);
    opened.inspect_err(|error| warn!(call.sid = %webhook.call, %error, "nobody knows what a call was placed for")).ok()
}

fn context(app: &App, webhook: &Webhook) -> Context {
    let mut context = Context::default();
    for (name, value) in placed(app, webhook).unwrap_or_default().variables {
        context.add(format!("var.{name}"), &value);
    }
    context.add_webhook(webhook.parameters());
    for (name, value) in webhook.own_query().filter(|(name, _)| !OWN_QUERY.contains(name)) {
        context.add(format!("query.{name}"), value);
    }
    context
}

/// Whether nobody has answered the call yet: only then can it be rejected (Twilio docs, `<Reject>`).
fn is_ringing(webhook: &Webhook) -> bool {
    webhook.parameter("Direction") == Some("inbound") && webhook.parameter("CallStatus") == Some("ringing")
}
