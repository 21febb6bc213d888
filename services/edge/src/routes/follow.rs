//! The document that a call goes on with after a media stream or a transfer.

use offhook_proto::voice::v1::NextStepResponse;
use tracing::info;

use super::{
    admission,
    connect::{Opening, connect},
    human::dial,
    webhook::Webhook,
};
use crate::{
    App,
    call::course::{After, Course, course, without_a_place},
    twilio::twiml::{APOLOGY, NOBODY_ANSWERED, farewell},
    worker::WorkerId,
};

/// What is known of a call that goes on: what its worker says, if one knows it, and who speaks for it.
pub(super) struct Known {
    worker: Option<WorkerId>,
    agent: Option<String>,
    course: Course,
    after: After,
}

impl Known {
    /// By the answer of the workers. A call that none of them knows is its number's agent's.
    pub(super) fn by(told: Option<(WorkerId, NextStepResponse)>, after: After) -> Self {
        let Some((worker, NextStepResponse { step, agent })) = told else {
            return Self { worker: None, agent: None, course: course(None, after), after };
        };
        let course = course(Some(step.unwrap_or_default()), after);
        Self { worker: Some(worker), agent: Some(agent), course, after }
    }
}

/// The document with which Twilio carries out what is to become of a call.
pub(super) async fn follow(app: &App, webhook: &Webhook, known: &Known) -> String {
    let agent = known.agent.as_deref().map(|name| app.agents.named_or_default(name));
    let agent = agent.unwrap_or_else(|| admission::chosen(app, webhook));
    match &known.course {
        Course::HangUp { say } => farewell(say),
        Course::FallBack => admission::go_on_without(app, webhook, agent),
        Course::Dial { say, reason } => {
            dial(app, webhook, agent, say, reason).unwrap_or_else(|| farewell(NOBODY_ANSWERED))
        }
        Course::Connect { digits } => {
            let opening = Opening { agent: Some(agent.name.as_str()), digits, worker: known.worker, context: &[] };
            if let Some(document) = connect(app, webhook, opening).await {
                return document;
            }
            info!(call.sid = %webhook.call, "no worker has a place for a call that was to go on");
            match without_a_place(known.after) {
                Course::Dial { say, reason } => {
                    dial(app, webhook, agent, &say, &reason).unwrap_or_else(|| farewell(APOLOGY))
                }
                Course::HangUp { say } => farewell(&say),
                Course::Connect { .. } | Course::FallBack => farewell(APOLOGY),
            }
        }
    }
}
