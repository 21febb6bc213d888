//! `/stream-ended`: a leg is over, and the workers say what comes next. `/failover`: nobody could be asked.
//!
//! Whatever happens here, the document ends the call or hands it on: the caller never sits on a silent line.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use offhook_proto::voice::v1::{HangUp, NextStep, Transfer, next_step::Step};
use tracing::{Instrument, Span, field::Empty, info_span, warn};

use super::webhook::{Webhook, twiml};
use crate::{
    App,
    config::{PublicUrl, SipUri},
    monitor::Route,
    twilio::{
        sid::CallSid,
        twiml::{
            APOLOGY, NOBODY_ANSWERED,
            dial::{Callee, DialHuman},
            farewell,
        },
    },
};

/// How long a human's phone rings.
const RING: Duration = Duration::from_secs(20);

/// Answers Twilio's question what to do with a call whose stream has ended.
pub(super) async fn answer(State(app): State<Arc<App>>, request: Request) -> Response {
    // Live work: a drain waits for the answer.
    let _answering = app.lifecycle.tasks().token();
    let span = info_span!("webhook", route = Route::StreamEnded.label(), call.sid = Empty);
    let answer = async {
        match Webhook::read(&app, Route::StreamEnded, request).await {
            Ok(webhook) => {
                let span = Span::current();
                span.record("call.sid", webhook.call.as_str());
                let served_by = app.farewells.note(&webhook.call);
                let step = app.pool.next_step(&span, &webhook.call, served_by).await;
                if step.is_none() {
                    warn!(call.sid = %webhook.call, "no worker knows what comes next");
                }
                app.farewells.happened(&webhook.call);
                let step = step.map(|answer| answer.step.unwrap_or_default());
                twiml(document(&webhook.call, step, app.sip_endpoint.as_ref(), &app.public_url))
            }
            Err(refusal) => refusal.into_response(),
        }
    };
    let response = answer.instrument(span).await;
    app.monitor.answered(Route::StreamEnded, response.status());
    response
}

/// Answers Twilio when another door failed: an apology that needs nobody's help.
pub(super) async fn fail_over(State(app): State<Arc<App>>, request: Request) -> Response {
    // Live work: a drain waits for the answer.
    let _answering = app.lifecycle.tasks().token();
    let response = match Webhook::read(&app, Route::Failover, request).await {
        Ok(webhook) => {
            warn!(call.sid = %webhook.call, "Twilio fell back");
            twiml(farewell(APOLOGY))
        }
        Err(refusal) => refusal.into_response(),
    };
    app.monitor.answered(Route::Failover, response.status());
    response
}

fn document(call: &CallSid, step: Option<NextStep>, human: Option<&SipUri>, public_url: &PublicUrl) -> String {
    match step {
        None => farewell(APOLOGY),
        Some(NextStep { step: None }) => farewell(""),
        Some(NextStep { step: Some(Step::HangUp(HangUp { say })) }) => farewell(&say),
        Some(NextStep { step: Some(Step::Transfer(Transfer { say, reason })) }) => match human {
            Some(human) => DialHuman {
                call,
                say: &say,
                callee: Callee::Sip(human.as_str()),
                reason: &reason,
                caller_id: None,
                ring: RING,
                time_limit: None,
                whisper: None,
                action: &format!("{}/transfer-result", public_url.web_origin()),
            }
            .to_twiml(),
            None => farewell(NOBODY_ANSWERED),
        },
        Some(NextStep { step: Some(Step::SendDigits(_) | Step::Reattach(_)) }) => farewell(APOLOGY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public_url() -> PublicUrl {
        "https://voice.example.com".parse().unwrap()
    }

    fn call() -> CallSid {
        "CA00000000000000000000000000000002".parse().unwrap()
    }

    fn transfer() -> Option<NextStep> {
        let say = "One moment.".to_owned();
        Some(NextStep { step: Some(Step::Transfer(Transfer { reason: String::new(), say })) })
    }

    #[test]
    fn every_step_ends_in_a_hang_up() {
        let hang_up = Some(NextStep { step: Some(Step::HangUp(HangUp { say: "Goodbye.".to_owned() })) });
        for step in [None, Some(NextStep { step: None }), hang_up, transfer()] {
            let document = document(&call(), step.clone(), None, &public_url());
            assert!(document.ends_with("<Hangup/></Response>"), "{step:?}: {document}");
        }
    }

    #[test]
    fn a_transfer_dials_the_human_or_says_that_there_is_none() {
        let human = "sip:help@example.com".parse().unwrap();
        assert!(
            document(&call(), transfer(), Some(&human), &public_url())
                .contains("<Sip>sip:help@example.com?X-Offhook-Call-Sid=CA")
        );
        assert!(document(&call(), transfer(), None, &public_url()).contains(NOBODY_ANSWERED));
    }
}
