//! What has to be so after every call.

use std::time::Duration;

use offhook_proto::voice::v1::CallRecord;
use phone_lab::{
    bedrock::{SessionEnd, SessionReport},
    oracle,
    twilio::{CallEnd, CallReport, Stretch},
};

use crate::outcomes::Run;

/// The longest that the line may be silent to a caller who is silent, on the caller's own clock.
const SILENCE: Duration = Duration::from_secs(3);
/// Logged whenever the edge moves a call on by closing its socket, which it does where REST does not answer.
const CLOSED: u32 = 31921;

/// How long the caller was left in silence, if that was too long.
pub(crate) fn silence(call: &CallReport) -> Option<String> {
    let Stretch { at, lasted } = oracle::longest_silence(call);
    (lasted > SILENCE).then(|| format!("the caller was left in silence for {lasted:?}, from {at:?}"))
}

/// Everything else that was not as it should be, in words.
pub(crate) fn wrong(run: &Run, call: &CallReport, sessions: &[SessionReport], record: &CallRecord) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut hold = |holds: bool, complaint: String| {
        if !holds {
            wrong.push(complaint);
        }
    };
    hold(call.end == CallEnd::CallerHungUp, format!("it ended as {:?}", call.end));
    let codes: Vec<_> = call.code_numbers().into_iter().filter(|code| *code != CLOSED).collect();
    hold(codes.is_empty(), format!("twilio logged {codes:?}"));
    for session in sessions {
        let ended = session.end == Some(SessionEnd::ByTheBook) && session.violations.is_empty();
        hold(ended, format!("a session ended as {:?} with {:?}", session.end, session.violations));
    }
    let over = !record.ended_at.is_empty() && !record.outcome.is_empty() && record.call_status == "completed";
    hold(over, format!("the record is not closed: {:?} {:?}", record.outcome, record.call_status));
    let open = call.parties.iter().filter(|party| party.timeline.is_empty());
    hold(open.count() == 0, "a human's leg is left".to_owned());
    if run.outcome.ends_the_call() {
        hold(sessions.len() == 1, format!("{} sessions", sessions.len()));
    } else {
        wrong.extend(not_gone_on(run, call, sessions));
    }
    if let Some((status, bridged)) = run.outcome.recorded() {
        let told: Vec<_> = record.transfers.iter().map(|one| (one.dial_call_status.as_str(), one.bridged)).collect();
        if told != [(status, bridged)] {
            wrong.push(format!("the record has the transfers {told:?}"));
        }
    }
    wrong
}

/// The second session knows what was said in the first and what came of the transfer, and the caller hears it say so.
fn not_gone_on(run: &Run, call: &CallReport, sessions: &[SessionReport]) -> Vec<String> {
    let [_, later @ ..] = sessions else { return vec!["there was no session".to_owned()] };
    let Some(last) = later.last() else { return vec!["there was no second session".to_owned()] };
    let mut wrong = Vec::new();
    if !last.history.iter().any(|message| message.text.to_lowercase().contains(&run.secret)) {
        wrong.push(format!("the agent does not remember {:?}: {:?}", run.secret, last.history));
    }
    let told = run.outcome.told().unwrap_or_default();
    if !last.read.iter().any(|note| note.contains(told)) {
        wrong.push(format!("the agent was not told that {told:?}: {:?}", last.read));
    }
    // On a busy machine a word may come in two pieces.
    let heard: Vec<String> = call.heard.iter().map(|heard| heard.text.split_whitespace().collect()).collect();
    let heard = heard.concat();
    if !heard.split_once("welcomeback").is_some_and(|(_, then)| then.contains("yousaidthankyou")) {
        wrong.push(format!("the caller heard {heard:?}"));
    }
    wrong
}
