//! A call on the terminal, a line for everything that happens.

use std::{
    fmt::Display,
    io::{self, Write},
    time::{Duration, Instant},
};

use crate::{
    bedrock::{ModelEvent, ModelEventKind},
    report::timeline::without_ticket,
    twilio::{CallEvent, Happening},
};

/// Prints what happens, with the time since the call was placed.
#[derive(Debug)]
pub(crate) struct Show {
    placed: Instant,
}

impl Show {
    /// For a call that is placed now.
    pub(crate) fn new(now: Instant) -> Self {
        Self { placed: now }
    }

    /// Something on the caller's side.
    pub(crate) fn caller(&self, event: &CallEvent) {
        let line = |who, what: &str| print(event.at, who, what);
        match &event.what {
            Happening::Answered => line("twilio", "answered"),
            Happening::Requested { method, path } => line("twilio", &format!("{method} {}", without_ticket(path))),
            // What the document says is seen in what follows; who is called back is in the report.
            Happening::Document { .. } | Happening::CalledBack { .. } => {}
            Happening::StreamStarted { .. } => line("twilio", "media stream is up"),
            Happening::StreamEnded { .. } => line("twilio", "media stream is over"),
            Happening::CallerSpeaks { text } => line("caller", &format!("says    {text:?}")),
            Happening::CallerHeard { text } => line("caller", &format!("heard   {text:?}")),
            Happening::Pressed { digit } => line("caller", &format!("presses {digit}")),
            Happening::KeyHeard { digit } => line("caller", &format!("hears key {digit}")),
            Happening::Connected => line("twilio", "the caller is connected to somebody"),
            Happening::Plays { path } => line("twilio", &format!("plays   {path}")),
            Happening::HungUp => line("caller", "hangs up"),
            Happening::Cleared { dropped_samples } => {
                let dropped = Duration::from_micros(*dropped_samples as u64 * 125);
                line("caller", &format!("barged in: {dropped:?} of queued audio dropped"));
            }
            Happening::TwilioSays { text } => line("twilio", &format!("says    {text:?}")),
            Happening::Dialled { target } => line("twilio", &format!("dials   {target}")),
            Happening::Debugger { code, detail } => line("twilio", &format!("logs {code}: {detail}")),
            Happening::Ended { .. } => line("twilio", "the call is over"),
        }
    }

    /// Something on the model's side.
    pub(crate) fn model(&self, event: &ModelEvent) {
        let line = |who, what: &str| print(event.at.duration_since(self.placed), who, what);
        match &event.kind {
            ModelEventKind::Heard(text) => line("model", &format!("heard   {text:?}")),
            ModelEventKind::Said(text) => line("model", &format!("says    {text:?}")),
            ModelEventKind::ToolAsked { name, input } => line("model", &format!("asks for {name}({input})")),
            ModelEventKind::ToolAnswered { name, result } => line("model", &format!("is told {name} -> {result}")),
            ModelEventKind::Interrupted => line("model", "was interrupted"),
            ModelEventKind::Froze => line("model", "freezes"),
            ModelEventKind::Listens => line("model", "listens"),
            ModelEventKind::Opened => line("model", "session opened"),
            ModelEventKind::Closed(end) => line("model", &format!("session over: {end}")),
            ModelEventKind::Read(text) => line("model", &format!("read    {text:?}")),
        }
    }
}

fn print(at: Duration, who: &str, what: &str) {
    tell(format_args!("{:8.2}s  {who:<7} {what}\n", at.as_secs_f64()));
}

/// Prints, as long as somebody reads: a command whose output is cut short goes on, and leaves its files and its code.
pub fn tell(text: impl Display) {
    let _ = write!(io::stdout().lock(), "{text}");
}
