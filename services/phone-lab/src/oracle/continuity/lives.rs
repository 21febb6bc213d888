//! When each session could hear, and when it was current.

use std::time::{Duration, Instant};

use crate::{
    bedrock::{ModelEvent, ModelEventKind, SessionEnd, SessionReport},
    oracle::over_at,
    twilio::CallReport,
};

/// A session that heard the caller. All times count from when the call was placed.
#[derive(Debug)]
pub(super) struct Life<'a> {
    /// Among all sessions of the call, from 1.
    pub(super) number: usize,
    pub(super) session: &'a SessionReport,
    /// Its first audio arrived.
    pub(super) from: Duration,
    /// It was no longer current: the next session's first audio, or its own end.
    pub(super) until: Duration,
    /// The next session's first audio, if there was one.
    pub(super) replaced: Option<Duration>,
    /// An injected fault struck it.
    pub(super) lost: Option<Duration>,
    /// When each utterance was heard, as far as that was seen.
    pub(super) heard: Vec<Duration>,
    /// When each sentence was begun.
    pub(super) said: Vec<Duration>,
    /// Interactive text that it read, and when.
    pub(super) read: Vec<(Duration, &'a str)>,
}

impl Life<'_> {
    /// When it was lost, if that was while it was current.
    pub(super) fn lost_while_current(&self) -> Option<Duration> {
        self.lost.filter(|lost| self.replaced.is_none_or(|replaced| *lost <= replaced))
    }
}

/// The sessions that heard the caller, in the order in which they began to.
#[derive(Debug)]
pub(super) struct Lives<'a> {
    pub(super) current: Vec<Life<'a>>,
    pub(super) over: Duration,
}

impl<'a> Lives<'a> {
    pub(super) fn new(
        call: &CallReport,
        sessions: &'a [SessionReport],
        events: &'a [ModelEvent],
        placed: Instant,
    ) -> Self {
        let over = over_at(call);
        let lives = sessions.iter().enumerate().filter_map(|(nth, session)| life(nth + 1, session, events, placed));
        let mut current: Vec<Life<'a>> = lives.collect();
        current.sort_by_key(|life| life.from);
        for at in 0..current.len() {
            let next = current.get(at + 1).map(|next| next.from);
            let life = &mut current[at];
            life.replaced = next;
            let ends = [next, life.lost, Some(life.until), Some(over)];
            life.until = ends.into_iter().flatten().min().unwrap_or(over);
        }
        Self { current, over }
    }

    /// When sessions were replaced that could still hear.
    pub(super) fn switches(&self) -> impl Iterator<Item = Duration> {
        let replaced = self.current.iter().filter(|life| life.lost_while_current().is_none());
        replaced.filter_map(|life| life.replaced)
    }

    /// When sessions were lost while they were current, and the call went on.
    pub(super) fn losses(&self) -> impl Iterator<Item = Duration> {
        self.current.iter().filter_map(Life::lost_while_current).filter(|lost| *lost < self.over)
    }
}

fn life<'a>(number: usize, session: &'a SessionReport, events: &'a [ModelEvent], placed: Instant) -> Option<Life<'a>> {
    let own = || events.iter().filter(|event| event.session == session.id);
    let at = |event: &ModelEvent| event.at.saturating_duration_since(placed);
    let from = own().find(|event| event.kind == ModelEventKind::Listens).map(at)?;
    let closed = own().find(|event| matches!(event.kind, ModelEventKind::Closed(_))).map(at);
    let froze = own().find(|event| event.kind == ModelEventKind::Froze).map(at);
    let lost = if matches!(session.end, Some(SessionEnd::Fault(_))) { froze.or(closed) } else { None };
    let (mut heard, mut said, mut read) = (Vec::new(), Vec::new(), Vec::new());
    for event in own() {
        match &event.kind {
            ModelEventKind::Heard(_) => heard.push(at(event)),
            ModelEventKind::Said(_) => said.push(at(event)),
            ModelEventKind::Read(text) => read.push((at(event), text.as_str())),
            ModelEventKind::Opened
            | ModelEventKind::Listens
            | ModelEventKind::ToolAsked { .. }
            | ModelEventKind::ToolAnswered { .. }
            | ModelEventKind::Interrupted
            | ModelEventKind::Froze
            | ModelEventKind::Closed(_) => {}
        }
    }
    let until = closed.unwrap_or(Duration::MAX);
    Some(Life { number, session, from, until, replaced: None, lost, heard, said, read })
}
