//! What is to be recorded, and who is told of it (Twilio docs, `<Dial>`, `record`; "Call resource", `Record`).
//!
//! The lab records nothing that could be fetched: it tells what Twilio tells of a recording, at the times it would.

use super::{twiml::Method, url::Url};

/// An order to record a call, or two parties while they talk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingOrder {
    /// From when it rings, rather than from the answer.
    pub from_ringing: bool,
    /// One for each side, or both sides in one.
    pub channels: u8,
    /// Who is told.
    pub callback: Option<(Url, Method)>,
    /// Of which events; of `completed` unless told.
    pub events: Vec<String>,
}

/// The events that there are.
const EVENTS: [&str; 3] = ["in-progress", "completed", "absent"];

/// Events as they are listed, and the first that is none.
pub(super) fn events(listed: Option<&str>) -> Result<Vec<String>, String> {
    let events: Vec<_> = listed.unwrap_or("completed").split_whitespace().map(str::to_owned).collect();
    match events.iter().find(|event| !EVENTS.contains(&event.as_str())) {
        Some(unknown) => Err(unknown.clone()),
        None => Ok(events),
    }
}
