//! The human behind an agent, dialled.

use std::time::Duration;

use offhook_agents::{Agent, Target, Transfer};

use super::{admission::AGENT, webhook::Webhook};
use crate::{
    App,
    twilio::twiml::dial::{Callee, DialHuman, Then},
};

/// The document that dials the agent's human as the agents file says, and asks `/transfer-result` when that is over; `None`
/// where there is no human.
pub(super) fn dial(app: &App, webhook: &Webhook, agent: &Agent, say: &str, reason: &str) -> Option<String> {
    let human = agent.transfer.as_ref()?;
    let whisper = human.screen.then(|| app.public_url.page("/transfer-whisper"));
    // For a call that no worker knows, Twilio has to tell whose it is.
    let then = app.public_url.page(&format!("/transfer-result?{AGENT}={}", agent.name));
    Some(dialling(webhook, human, say, reason, whisper.as_deref(), Then::Ask(&then)))
}

/// Same, without any other door: nobody is asked whether they take the call, nor what comes next.
pub(super) fn dial_alone(webhook: &Webhook, agent: &Agent, say: &str, over: &str) -> Option<String> {
    Some(dialling(webhook, agent.transfer.as_ref()?, say, "", None, Then::Say(over)))
}

fn dialling(
    webhook: &Webhook,
    human: &Transfer,
    say: &str,
    reason: &str,
    whisper: Option<&str>,
    then: Then<'_>,
) -> String {
    let callee = match &human.to {
        Target::Sip(sip) => Callee::Sip(sip.as_str()),
        Target::Number(number) => Callee::Number(number.as_str()),
    };
    let ring = Duration::from_secs(human.ring_seconds.into());
    let caller_id = human.caller_id.as_ref().map(|number| number.as_str());
    DialHuman { call: &webhook.call, say, callee, reason, caller_id, ring, whisper, then }.to_twiml()
}
