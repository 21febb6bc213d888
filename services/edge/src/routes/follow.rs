//! The document that a call goes on with after a media stream or a transfer.

use std::time::Duration;

use offhook_proto::voice::v1::NextStepResponse;
use tracing::info;

use super::{
    connect::{Opening, connect},
    webhook::Webhook,
};
use crate::{
    App,
    call::course::{After, Course, course, without_a_place},
    twilio::twiml::{
        APOLOGY, NOBODY_ANSWERED,
        dial::{Callee, DialHuman, Then},
        farewell,
    },
    worker::WorkerId,
};

/// How long a human's phone rings.
const RING: Duration = Duration::from_secs(20);

/// What is known of a call that goes on: what its worker says, if one knows it, and who speaks for it.
pub(super) struct Known {
    worker: Option<WorkerId>,
    agent: Option<String>,
    course: Course,
    after: After,
}

impl Known {
    /// By the answer of the workers. A call that none of them knows is its number's agent's.
    pub(super) fn by(told: Option<(WorkerId, NextStepResponse)>, webhook: &Webhook, after: After) -> Self {
        let Some((worker, NextStepResponse { step, agent })) = told else {
            let agent = webhook.query("agent").map(str::to_owned);
            return Self { worker: None, agent, course: course(None, after), after };
        };
        let course = course(Some(step.unwrap_or_default()), after);
        Self { worker: Some(worker), agent: Some(agent), course, after }
    }
}

/// The document with which Twilio carries out what is to become of a call.
pub(super) async fn follow(app: &App, webhook: &Webhook, known: &Known) -> String {
    match &known.course {
        Course::HangUp { say } => farewell(say),
        Course::Dial { say, reason } => dial(app, webhook, say, reason).unwrap_or_else(|| farewell(NOBODY_ANSWERED)),
        Course::Connect { digits } => {
            let opening = Opening { agent: known.agent.as_deref(), digits, worker: known.worker };
            if let Some(document) = connect(app, webhook, opening).await {
                return document;
            }
            info!(call.sid = %webhook.call, "no worker has a place for a call that was to go on");
            match without_a_place(known.after) {
                Course::Dial { say, reason } => dial(app, webhook, &say, &reason).unwrap_or_else(|| farewell(APOLOGY)),
                Course::HangUp { say } => farewell(&say),
                Course::Connect { .. } => farewell(APOLOGY),
            }
        }
    }
}

/// The document that dials the human of the call's agent; `None` if there is none.
fn dial(app: &App, webhook: &Webhook, say: &str, reason: &str) -> Option<String> {
    let human = app.sip_endpoint.as_ref()?;
    let dial = DialHuman {
        call: &webhook.call,
        say,
        callee: Callee::Sip(human.as_str()),
        reason,
        caller_id: None,
        ring: RING,
        whisper: None,
        then: Then::Ask(&app.public_url.page("/transfer-result")),
    };
    Some(dial.to_twiml())
}
