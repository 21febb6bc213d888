//! What a live call can be told (Twilio docs, "Call resource", update).

use serde_json::Value;
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::timeout,
};

use super::{
    ENDING, EndedCall, Entry, Inner,
    request::{Form, Refusal, source},
};
use crate::twilio::{
    CallStatus, codes,
    ledger::{Redirection, Update},
    report::Finding,
};

const KNOWN: &[&str] = &[
    "Status",
    "Url",
    "Twiml",
    "Method",
    "FallbackUrl",
    "FallbackMethod",
    "StatusCallback",
    "StatusCallbackMethod",
    "TimeLimit",
];
/// What the lab leaves as it is.
const WITHOUT_EFFECT: &[&str] = &["StatusCallback", "TimeLimit"];

impl Inner {
    /// Updates a call and shows it as it then is.
    pub(super) async fn update(
        &self,
        path: &str,
        entry: Entry,
        updates: &mpsc::Sender<Update>,
        form: &Form,
    ) -> Result<Value, Refusal> {
        let call_sid = entry.identity.call_sid.clone();
        if entry.status.is_over() {
            return Err(match self.settings.ended_call {
                EndedCall::NotFound => Refusal::not_found(path),
                EndedCall::WrongState => wrong_state("Call is not in-progress. Cannot redirect."),
            });
        }
        let (update, warning) = wanted(form, entry.status)?;
        let ends_leg = entry.status == CallStatus::InProgress && matches!(update, Some(Update::End));
        if entry.identity.parent.is_some() && update.is_some() && !ends_leg {
            return Err(wrong_state("the lab ends dialled legs that were answered, and otherwise leaves them alone"));
        }
        let findings = form.unknown(KNOWN).into_iter().chain(warning).chain(form.without_effect(WITHOUT_EFFECT));
        findings.for_each(|finding| self.log(&call_sid, &finding));
        if let Some(update) = update {
            let ends = matches!(update, Update::End)
                || matches!(update, Update::Cancel) && entry.status != CallStatus::InProgress;
            updates.try_send(update).map_err(|error| match error {
                TrySendError::Full(_) => Refusal::new(429, codes::TOO_MANY_REQUESTS, "Too Many Requests"),
                TrySendError::Closed(_) => wrong_state("the call is ending"),
            })?;
            if ends {
                // Twilio shows the end at once; a call that takes longer shows it later.
                let _ = timeout(ENDING, self.twilio.ledger.over(call_sid.as_str())).await;
            }
        }
        let entry = self.twilio.ledger.find(call_sid.as_str()).map_or(entry, |(entry, _)| entry);
        Ok(entry.json())
    }
}

/// What a form wants of a call that stands like this. `Status` goes before instructions.
fn wanted(form: &Form, status: CallStatus) -> Result<(Option<Update>, Option<Finding>), Refusal> {
    match form.text("Status") {
        Some("completed") => return Ok((Some(Update::End), None)),
        Some("canceled") => return Ok((Some(Update::Cancel), None)),
        Some(_) => return Err(wrong_state("Status is neither canceled nor completed")),
        None => {}
    }
    let fallback = form.request("FallbackUrl", "FallbackMethod")?;
    let Some((source, warning)) = source(form)? else { return Ok((None, None)) };
    if status != CallStatus::InProgress {
        return Err(wrong_state("Call is not in-progress. Cannot redirect."));
    }
    Ok((Some(Update::Redirect(Box::new(Redirection { source, fallback }))), warning))
}

fn wrong_state(message: &str) -> Refusal {
    Refusal::new(400, codes::BAD_CALL_STATE, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(form: &[(&str, &str)], status: CallStatus) -> u32 {
        wanted(&Form::of(form), status).unwrap_err().code
    }

    #[test]
    fn only_a_call_in_progress_can_be_redirected() {
        let url = [("Url", "https://voice.example.test/next")];
        assert_eq!(refused(&url, CallStatus::Queued), codes::BAD_CALL_STATE);
        assert_eq!(refused(&url, CallStatus::Ringing), codes::BAD_CALL_STATE);
        let (update, warning) = wanted(&Form::of(&url), CallStatus::InProgress).unwrap();
        assert!(matches!(update, Some(Update::Redirect(_))) && warning.is_none());
    }

    #[test]
    fn a_status_that_is_none_and_twiml_that_is_too_long_are_refused() {
        assert_eq!(refused(&[("Status", "in-progress")], CallStatus::InProgress), codes::BAD_CALL_STATE);
        assert_eq!(refused(&[("Twiml", &"x".repeat(4001))], CallStatus::InProgress), codes::TWIML_TOO_LONG);
        assert_eq!(refused(&[("Url", "next")], CallStatus::InProgress), codes::BAD_URL);
        assert_eq!(refused(&[("Method", "PUT")], CallStatus::InProgress), codes::BAD_METHOD);
    }
}
