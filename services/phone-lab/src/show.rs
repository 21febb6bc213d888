//! A call on the terminal, a line for everything that happens.

use std::time::Duration;

use crate::{
    bedrock::ModelEventKind,
    twilio::{CallEvent, Happening},
};

/// Prints what happens, with the time since the call was placed.
#[derive(Debug, Default)]
pub(crate) struct Show {
    now: Duration,
}

impl Show {
    /// Something on the caller's side.
    pub(crate) fn caller(&mut self, event: &CallEvent) {
        self.now = event.at;
        match &event.what {
            Happening::Answered => self.line("twilio", "answered"),
            Happening::Requested { method, path } => self.line("twilio", &format!("{method} {}", without_ticket(path))),
            Happening::StreamStarted { .. } => self.line("twilio", "media stream is up"),
            Happening::StreamEnded { .. } => self.line("twilio", "media stream is over"),
            Happening::CallerSpeaks { text } => self.line("caller", &format!("says    {text:?}")),
            Happening::CallerHeard { text } => self.line("caller", &format!("heard   {text:?}")),
            Happening::Pressed { digit } => self.line("caller", &format!("presses {digit}")),
            Happening::Cleared { dropped_samples } => {
                let dropped = Duration::from_micros(*dropped_samples as u64 * 125);
                self.line("caller", &format!("barged in: {dropped:?} of queued audio dropped"));
            }
            Happening::TwilioSays { text } => self.line("twilio", &format!("says    {text:?}")),
            Happening::Dialled { target } => self.line("twilio", &format!("dials   {target}")),
            Happening::Debugger { code, detail } => self.line("twilio", &format!("logs {code}: {detail}")),
            Happening::Ended { .. } => self.line("twilio", "the call is over"),
        }
    }

    /// Something on the model's side.
    pub(crate) fn model(&self, event: &ModelEventKind) {
        match event {
            ModelEventKind::Heard(text) => self.line("model", &format!("heard   {text:?}")),
            ModelEventKind::Said(text) => self.line("model", &format!("says    {text:?}")),
            ModelEventKind::ToolAsked { name, input } => self.line("model", &format!("asks for {name}({input})")),
            ModelEventKind::ToolAnswered { name, result } => self.line("model", &format!("is told {name} -> {result}")),
            ModelEventKind::Interrupted => self.line("model", "was interrupted"),
            ModelEventKind::Opened => self.line("model", "session opened"),
            ModelEventKind::Closed(end) => self.line("model", &format!("session closed: {end:?}")),
            ModelEventKind::Read(text) => self.line("model", &format!("read    {text:?}")),
        }
    }

    fn line(&self, who: &str, what: &str) {
        println!("{:8.2}s  {who:<7} {what}", self.now.as_secs_f64());
    }
}

/// A ticket is a secret, even the lab's.
fn without_ticket(path: &str) -> &str {
    path.split_once("/media-stream/").map_or(path, |_| "/media-stream/…")
}
