//! Compares both ends of a call whose model sessions follow one another: strictly, over all of them.
//!
//! - Every word that the caller said was heard by some session whose answer counts, and no session heard what nobody said.
//! - Every sentence of a session was heard by the caller to its end. One that breaks off where its session was lost or
//!   replaced must be gone on with by a later one; what a session begins to say after it was replaced need not be heard.
//!   What the caller interrupts, or leaves in, may break off.
//! - Nothing that the caller said was answered twice, or given twice to one session, and nothing was said twice.
//! - No session was deaf, and none broke a rule.
//!
//! A session is *current* from its first audio to that of the next. A change is a *switch* if the session before could
//! still hear by then, and a *loss* if it could not. What either costs is how much longer the first sound after it is
//! waited for than after the caller's words elsewhere.

mod ears;
mod lives;
mod mouths;
mod silence;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::lives::Lives;
use super::was_struck;
use crate::{
    bedrock::{ModelEvent, SessionEnd, SessionReport},
    twilio::{CallReport, script::some_duration},
};

pub use self::silence::{Change, Spread};

/// How well a call went on from session to session.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Continuity {
    /// Sessions that heard the caller.
    pub sessions: usize,
    /// Sessions that were replaced while they could still hear.
    pub switches: usize,
    /// Sessions that were gone before they were replaced.
    pub losses: usize,
    /// Words of the caller that no session heard, or only one that was not to answer any more.
    pub words_lost_to_agent: usize,
    /// Sentences that broke off or were not heard at all, and that nobody went on with.
    pub sentences_lost_to_caller: usize,
    /// Sentences that broke off, or were not heard, and were gone on with.
    pub resumed: usize,
    /// Sentences that broke off, and that the caller did not wait for any more when there was a session again.
    pub talked_over: usize,
    /// Sentences that a session began after it was replaced, and that the caller did not hear.
    pub unheard_after_replacement: usize,
    /// Utterances of the caller that two sessions answered, or that one was given to hear twice, and sentences that two
    /// sessions said.
    pub said_twice: usize,
    /// Sessions that were current while the caller said something, and heard none of it.
    pub deaf_sessions: usize,
    /// What clients did wrong in all sessions.
    pub violations: usize,
    /// The median wait for an answer away from switches and losses.
    pub answer_ms: Option<f64>,
    /// How much longer was waited at switches.
    pub added_at_switches_ms: Option<Spread>,
    /// The same at losses.
    pub added_at_losses_ms: Option<Spread>,
    /// All switches and losses.
    pub changes: Vec<Change>,
    /// Everything that is wrong, in words.
    #[serde(skip)]
    pub reasons: Vec<String>,
}

/// What may be expected of the figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// At least so many switches.
    #[serde(default)]
    pub switches: usize,
    /// At least so many losses.
    #[serde(default)]
    pub losses: usize,
    /// The added silence at switches, p95.
    #[serde(default, deserialize_with = "some_duration")]
    pub at_switches: Option<Duration>,
    /// The added silence at losses, p95.
    #[serde(default, deserialize_with = "some_duration")]
    pub at_losses: Option<Duration>,
}

/// Compares both ends of a call that was placed then. `others` is what else could be heard on the line, besides what
/// Twilio says.
pub fn continuity(
    call: &CallReport,
    sessions: &[SessionReport],
    events: &[ModelEvent],
    placed: Instant,
    others: &[String],
) -> Continuity {
    let lives = Lives::new(call, sessions, events, placed);
    let ears = ears::compare(call, &lives);
    let mouths = mouths::compare(call, &lives, &ears, others);
    let silence = silence::measure(call, &lives);
    let violations: Vec<_> = sessions.iter().flat_map(|session| &session.violations).collect();
    let mut reasons: Vec<String> = [ears.reasons, mouths.reasons].concat();
    reasons.extend(sessions.iter().enumerate().filter_map(|(nth, session)| bad_end(nth + 1, session)));
    reasons.extend(violations.iter().map(|violation| format!("the model was told wrong: {violation}")));
    Continuity {
        sessions: lives.current.len(),
        switches: lives.switches().count(),
        losses: lives.losses().count(),
        words_lost_to_agent: ears.lost,
        sentences_lost_to_caller: mouths.lost,
        resumed: mouths.resumed,
        talked_over: mouths.talked_over,
        unheard_after_replacement: mouths.late,
        said_twice: mouths.twice + ears.again,
        deaf_sessions: ears.deaf,
        violations: violations.len(),
        answer_ms: silence.answer,
        added_at_switches_ms: silence.added(false),
        added_at_losses_ms: silence.added(true),
        changes: silence.changes,
        reasons,
    }
}

/// An end that neither the client chose by the book nor the lab brought about.
fn bad_end(nth: usize, session: &SessionReport) -> Option<String> {
    match &session.end {
        _ if was_struck(session) => None,
        Some(SessionEnd::ByTheBook) => None,
        Some(end) => Some(format!("session {nth} did not end by the book: {end}")),
        None => Some(format!("session {nth} is still open")),
    }
}

impl Continuity {
    /// Where the figures are not as expected, in words.
    pub fn beyond(&self, limits: &Limits) -> Vec<String> {
        let few = |what: &str, is: usize, least: usize| {
            (is < least).then(|| format!("there were to be at least {least} {what}, there were {is}"))
        };
        let long = |what: &str, limit: Option<Duration>, changes: usize, spread: Option<Spread>| {
            let most = limit.filter(|_| changes > 0)?.as_secs_f64() * 1000.0;
            match spread {
                None => {
                    Some(format!("nothing can be said of the silence that {what} add: no answer was away from any"))
                }
                Some(Spread { p95, .. }) if p95 > most => {
                    Some(format!("{what} were to add {most:.0} ms of silence at p95, they added {p95:.0} ms"))
                }
                Some(_) => None,
            }
        };
        [
            few("switches", self.switches, limits.switches),
            few("losses", self.losses, limits.losses),
            long("switches", limits.at_switches, self.switches, self.added_at_switches_ms),
            long("losses", limits.at_losses, self.losses, self.added_at_losses_ms),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests;
