//! A report for a reader.

use std::fmt;

use super::{Call, Diff, Entry, Run, diff::Kind};
use crate::{
    oracle::continuity::{Continuity, Spread},
    report::timeline::Who,
};

/// Differences shown of one call; the files have them all.
const SHOWN: usize = 5;

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.who {
            Who::Caller => "caller",
            Who::Twilio => "twilio",
            Who::Server => "server",
            Who::Model => "model",
        };
        write!(f, "{:9.3}s  {who:<6}  {}", self.at_ms / 1000.0, self.event)?;
        if !self.detail.is_empty() {
            write!(f, "  {}", self.detail)?;
        }
        Ok(())
    }
}

/// The verdict and what it rests on, in a few lines.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.good { "good" } else { "BAD " };
        writeln!(f, "{verdict}  {}: {}, {:.1} s", self.name, self.end.replace('_', " "), self.lasted_ms / 1000.0)?;
        if !self.answers_ms.is_empty() {
            let answers: Vec<_> = self.answers_ms.iter().map(|ms| format!("{ms:.0}")).collect();
            writeln!(f, "      from the caller's last sound to the answer's first: {} ms", answers.join(", "))?;
        }
        match &self.continuity {
            // Two sessions hear the same while one takes over from the other; as if one had heard it all, that looks wrong.
            Some(continuity) => writeln!(f, "      {continuity}")?,
            None => {
                for (diff, who) in [(&self.to_agent, "agent"), (&self.to_caller, "caller")] {
                    diff.as_ref().map_or(Ok(()), |diff| write_diff(f, diff, who))?;
                }
            }
        }
        self.reasons.iter().try_for_each(|reason| writeln!(f, "      WRONG: {reason}"))
    }
}

fn write_diff(f: &mut fmt::Formatter<'_>, diff: &Diff, who: &str) -> fmt::Result {
    let Diff { same, said, missing, added, altered, cut, .. } = diff;
    write!(f, "      the {who} heard {same} of {said} words")?;
    for (count, kind) in [(missing, "missing"), (added, "added"), (altered, "altered"), (cut, "cut off")] {
        if *count > 0 {
            write!(f, ", {count} {kind}")?;
        }
    }
    writeln!(f)?;
    let wrong = diff.differences.iter().filter(|difference| difference.kind != Kind::Cut);
    for difference in wrong.take(SHOWN) {
        let (said, heard) = (difference.said.as_ref(), difference.heard.as_ref());
        let at = heard.or(said).map_or(0.0, |word| word.at_ms / 1000.0);
        match (said, heard) {
            (Some(said), Some(heard)) => writeln!(f, "      {at:9.3}s  {:?} was heard as {:?}", said.text, heard.text)?,
            (Some(said), None) => writeln!(f, "      {at:9.3}s  {:?} was not heard", said.text)?,
            (None, Some(heard)) => writeln!(f, "      {at:9.3}s  {:?} was heard, and not said", heard.text)?,
            (None, None) => {}
        }
    }
    Ok(())
}

/// The figures in a line.
impl fmt::Display for Continuity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, switches, losses, words_lost_to_agent, sentences_lost_to_caller, .. } = self;
        let Self { resumed, said_twice, deaf_sessions, violations, .. } = self;
        write!(
            f,
            "{sessions} sessions, {switches} switches, {losses} losses: {words_lost_to_agent} words lost to the agent, "
        )?;
        write!(
            f,
            "{sentences_lost_to_caller} sentences to the caller, {resumed} gone on with, {said_twice} said twice, "
        )?;
        write!(f, "{deaf_sessions} deaf, {violations} violations")?;
        for (what, spread) in [("switches", self.added_at_switches_ms), ("losses", self.added_at_losses_ms)] {
            if let Some(Spread { p50, p95, max }) = spread {
                write!(f, "; added at {what}: p50 {p50:.0} ms, p95 {p95:.0} ms, at most {max:.0} ms")?;
            }
        }
        Ok(())
    }
}

/// How many calls were good, and which were not.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let good = self.calls.iter().filter(|call| call.good).count();
        writeln!(
            f,
            "{good} of {} calls good, {:.1} s",
            self.calls.len() + self.not_played.len(),
            self.lasted_ms / 1000.0
        )?;
        for call in self.calls.iter().filter(|call| !call.good) {
            writeln!(f, "  BAD: {}: {}", call.name, call.reasons.first().map_or("", String::as_str))?;
        }
        for call in &self.not_played {
            writeln!(f, "  not played: {}", call.name)?;
        }
        Ok(())
    }
}
