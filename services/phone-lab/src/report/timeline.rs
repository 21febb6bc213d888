//! What happened in a call, in order, on one clock.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    bedrock::{ModelEvent, ModelEventKind, SessionEnd, SessionId},
    twilio::{CallReport, Happening},
};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Since the call was placed.
    pub at_ms: f64,
    /// Whose doing it is.
    pub who: Who,
    /// What; the lab's documentation lists the names.
    pub event: &'static str,
    /// What exactly, for a reader.
    pub detail: String,
    /// In which of the call's model sessions, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<usize>,
}

/// A side of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// Who calls.
    Caller,
    /// The simulated Twilio.
    Twilio,
    /// What is called.
    Server,
    /// The simulated model.
    Model,
}

/// The timeline of a call that was placed then.
pub(super) fn timeline(
    call: &CallReport,
    events: &[ModelEvent],
    sessions: &[SessionId],
    placed: Instant,
) -> Vec<Entry> {
    let mut timeline = Vec::new();
    let mut add = |at: Duration, who, event, detail: String, session| {
        timeline.push(Entry { at_ms: milliseconds(at), who, event, detail, session });
    };
    for utterance in &call.said {
        add(utterance.at, Who::Caller, "speaks", utterance.text.clone(), None);
        add(utterance.at + utterance.lasted, Who::Caller, "spoke", utterance.text.clone(), None);
    }
    for utterance in &call.heard {
        add(utterance.at, Who::Caller, "hears", String::new(), None);
        add(utterance.at + utterance.lasted, Who::Caller, "heard", utterance.text.clone(), None);
    }
    for mark in &call.marks {
        add(mark.at, Who::Twilio, if mark.cleared { "mark_cleared" } else { "mark_played" }, mark.name.clone(), None);
    }
    for happening in &call.timeline {
        if let Some((who, event, detail)) = happened(&happening.what) {
            add(happening.at, who, event, detail, None);
        }
        if let Happening::CalledBack { path, took, .. } = &happening.what {
            add(happening.at + *took, Who::Server, "answered_callback", path.clone(), None);
        }
    }
    for event in events {
        let session = sessions.iter().position(|id| *id == event.session).map(|at| at + 1);
        let at = event.at.saturating_duration_since(placed);
        let (name, detail) = modelled(&event.kind);
        add(at, Who::Model, name, detail, session);
    }
    timeline.sort_by(|one, other| one.at_ms.total_cmp(&other.at_ms));
    timeline
}

/// In tenths, which is more than the lab's clock is good for.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

/// None for what the record of utterances says better.
fn happened(what: &Happening) -> Option<(Who, &'static str, String)> {
    Some(match what {
        Happening::CallerSpeaks { .. } | Happening::CallerHeard { .. } => return None,
        Happening::Requested { method, path } => (Who::Twilio, "asks", format!("{method} {}", without_ticket(path))),
        Happening::Document { verbs } if verbs.is_empty() => (Who::Server, "answers", "no TwiML".to_owned()),
        Happening::Document { verbs } => (Who::Server, "answers", verbs.join(", ")),
        Happening::CalledBack { path, told, .. } => (Who::Twilio, "calls_back", format!("{path}: {told}")),
        Happening::Answered => (Who::Twilio, "answered", String::new()),
        Happening::StreamStarted { stream_sid } => (Who::Twilio, "stream_started", stream_sid.clone()),
        Happening::StreamEnded { stream_sid } => (Who::Twilio, "stream_ended", stream_sid.clone()),
        Happening::Pressed { digit } => (Who::Caller, "presses", digit.to_string()),
        Happening::KeyHeard { digit } => (Who::Caller, "hears_key", digit.to_string()),
        Happening::Connected => (Who::Twilio, "connects", String::new()),
        Happening::Plays { path } => (Who::Twilio, "plays", path.clone()),
        Happening::HungUp => (Who::Caller, "hangs_up", String::new()),
        Happening::Cleared { dropped_samples } => (Who::Server, "clears", format!("{dropped_samples} samples dropped")),
        Happening::TwilioSays { text } => (Who::Twilio, "says", text.clone()),
        Happening::Dialled { target } => (Who::Twilio, "dials", target.clone()),
        Happening::Debugger { code, detail } => (Who::Twilio, "logs", format!("{code}: {detail}")),
        Happening::Ended { end } => (Who::Twilio, "ended", super::snake_case(end)),
    })
}

fn modelled(kind: &ModelEventKind) -> (&'static str, String) {
    match kind {
        ModelEventKind::Opened => ("session_opened", String::new()),
        ModelEventKind::Froze => ("freezes", String::new()),
        ModelEventKind::Listens => ("listens", String::new()),
        ModelEventKind::Heard(text) => ("heard", text.clone()),
        ModelEventKind::Read(text) => ("read", text.clone()),
        ModelEventKind::Said(text) => ("says", text.clone()),
        ModelEventKind::ToolAsked { name, input } => ("asks_for_tool", format!("{name}({input})")),
        ModelEventKind::ToolAnswered { name, result } => ("is_told", format!("{name} -> {result}")),
        ModelEventKind::Interrupted => ("interrupted", String::new()),
        ModelEventKind::Closed(SessionEnd::Fault(fault)) => ("fault", fault.clone()),
        ModelEventKind::Closed(end) => ("session_closed", super::session_end(Some(end))),
    }
}

/// A ticket is a secret, even the lab's.
pub(crate) fn without_ticket(path: &str) -> &str {
    path.split_once("/media-stream/").map_or(path, |_| "/media-stream/…")
}

/// What went over each wire, in order and without times: the same for two runs with the same seed, as far as what
/// happens does not depend on how quick the machine is. Between wires no order is promised, so there is none.
pub(super) fn wires(timeline: &[Entry]) -> BTreeMap<String, Vec<String>> {
    let mut wires: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Entry { who, event, detail, session, .. } in timeline {
        let wire = match (who, *event) {
            (Who::Model, _) => format!("session {}", session.unwrap_or_default()),
            (_, "asks" | "answers") => "webhooks".to_owned(),
            (_, "calls_back" | "answered_callback") => "callbacks".to_owned(),
            (_, "speaks" | "spoke" | "presses" | "hangs_up") => "caller to server".to_owned(),
            (_, "hears" | "heard") => "server to caller".to_owned(),
            // What was heard last ends with a frame of 20 ms, a `clear` at any time in it.
            (_, "clears") => "clears".to_owned(),
            (_, "mark_played" | "mark_cleared") => "marks".to_owned(),
            (_, _) => "twilio".to_owned(),
        };
        // How much of the queue was left is a matter of milliseconds.
        let detail = if *event == "clears" { "" } else { detail };
        wires.entry(wire).or_default().push(format!("{event} {detail}"));
    }
    wires
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant cannot be invented; the tests only add to it")]
mod tests {
    use super::*;
    use crate::{
        bedrock::SessionReport,
        twilio::{CallEnd, CallEvent, Utterance},
    };

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn both_sides_are_on_one_clock_and_each_wire_keeps_its_own_order() {
        let placed = Instant::now();
        let session = SessionReport::of_nothing(&mut offhook_hosting::entropy::Entropy::from_seed(1)).id;
        let mut call = CallReport::of_nothing(CallEnd::CallerHungUp);
        call.said = vec![Utterance { text: "hi".into(), at: 20 * MS, lasted: 40 * MS, pcm: Vec::new() }];
        let happening = |at: u32, what| CallEvent { at: at * MS, what };
        call.timeline = vec![
            happening(1, Happening::Requested { method: "POST", path: "/media-stream/secret".into() }),
            happening(2, Happening::Document { verbs: vec!["Connect(Stream)".into()] }),
            happening(20, Happening::CallerSpeaks { text: "hi".into() }),
            happening(50, Happening::Cleared { dropped_samples: 7 }),
            happening(70, Happening::CalledBack { path: "/s".into(), told: "completed".into(), took: 5 * MS }),
        ];
        let at = |at: u32, kind| ModelEvent { session, at: placed + at * MS, kind };
        let events =
            [at(30, ModelEventKind::Opened), at(65, ModelEventKind::Closed(SessionEnd::Fault("reset".into())))];
        let timeline = timeline(&call, &events, &[session], placed);
        let told: Vec<_> =
            timeline.iter().map(|entry| (entry.at_ms as u64, entry.event, entry.detail.as_str())).collect();
        let expected = [
            (1, "asks", "POST /media-stream/…"),
            (2, "answers", "Connect(Stream)"),
            (20, "speaks", "hi"),
            (30, "session_opened", ""),
            (50, "clears", "7 samples dropped"),
            (60, "spoke", "hi"),
            (65, "fault", "reset"),
            (70, "calls_back", "/s: completed"),
            (75, "answered_callback", "/s"),
        ];
        assert_eq!(told, expected);
        let wires = wires(&timeline);
        assert_eq!(wires["session 1"], ["session_opened ", "fault reset"]);
        assert_eq!(wires["clears"], ["clears "], "without what depends on the machine");
        assert_eq!(wires["caller to server"], ["speaks hi", "spoke hi"]);
    }
}
