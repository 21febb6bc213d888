//! Keeps a session's report while the session runs, and tells whoever watches.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::broadcast;

use super::{
    model::Note,
    report::{ModelEvent, ModelEventKind, SaidUtterance, SessionEnd, SessionId, SessionReport, ToolReport},
};

/// A report that can be read while it grows. Only its own session waits for it.
pub(super) type SharedReport = Arc<Mutex<SessionReport>>;

/// Locks what no panic can leave half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct Recorder {
    pub(super) session: SessionId,
    pub(super) report: SharedReport,
    pub(super) watch: broadcast::Sender<ModelEvent>,
    pub(super) keep_audio: bool,
}

impl Recorder {
    /// Puts a note on record.
    pub(super) fn note(&self, note: Note, now: Instant) {
        let mut report = lock(&self.report);
        let event = self.apply(note, &mut report);
        drop(report);
        if let Some(kind) = event {
            self.tell(kind, now);
        }
    }

    /// The client did something wrong.
    pub(super) fn violation(&self, violation: String) {
        lock(&self.report).violations.push(violation);
    }

    /// The session has ended.
    pub(super) fn close(&self, end: SessionEnd, now: Instant) {
        lock(&self.report).end = Some(end.clone());
        self.tell(ModelEventKind::Closed(end), now);
    }

    pub(super) fn tell(&self, kind: ModelEventKind, now: Instant) {
        // Nobody has to watch.
        let _ = self.watch.send(ModelEvent { session: self.session, at: now, kind });
    }

    fn apply(&self, note: Note, report: &mut SessionReport) -> Option<ModelEventKind> {
        match note {
            Note::SystemPrompt(text) => report.system_prompt = text,
            Note::History(message) => report.history.push(message),
            Note::CallerAudio(pcm) if self.keep_audio => report.heard_pcm.extend(pcm),
            Note::Voice(pcm) if self.keep_audio => {
                if let Some(said) = report.said.last_mut() {
                    said.pcm.extend(pcm);
                }
            }
            Note::Listening => return Some(ModelEventKind::Listens),
            Note::CallerAudio(_) | Note::Voice(_) => {}
            Note::Usage(usage) => report.usage = usage,
            Note::Remark(remark) => report.violations.push(remark),
            Note::Heard(mut heard) => {
                let text = heard.text.clone();
                if !self.keep_audio {
                    heard.pcm = Vec::new();
                }
                report.heard.push(heard);
                return Some(ModelEventKind::Heard(text));
            }
            Note::Read(text) => {
                report.read.push(text.clone());
                return Some(ModelEventKind::Read(text));
            }
            Note::Said(text) => {
                report.said.push(SaidUtterance { text: text.clone(), pcm: Vec::new(), interrupted_at_sample: None });
                return Some(ModelEventKind::Said(text));
            }
            Note::Interrupted(cuts) => {
                for cut in cuts {
                    if let Some(said) = report.said.get_mut(cut.sentence) {
                        said.interrupted_at_sample = Some(cut.at_sample);
                    }
                }
                return Some(ModelEventKind::Interrupted);
            }
            Note::ToolAsked { tool_use_id, name, input } => {
                let (event_name, event_input) = (name.clone(), input.clone());
                report.tools.push(ToolReport { tool_use_id, name, input, result: None });
                return Some(ModelEventKind::ToolAsked { name: event_name, input: event_input });
            }
            Note::ToolAnswered { tool_use_id, result } => {
                let tool = report.tools.iter_mut().find(|tool| tool.tool_use_id == tool_use_id)?;
                tool.result = Some(result.clone());
                return Some(ModelEventKind::ToolAnswered { name: tool.name.clone(), result });
            }
        }
        None
    }
}
