//! A session in one line.

use std::fmt;

use super::report::{SessionEnd, SessionReport};

impl fmt::Display for SessionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByTheBook => f.write_str("ended by the book"),
            Self::Violation(what) => write!(f, "refused: {what}"),
            Self::Fault(what) => write!(f, "broken on purpose: {what}"),
            Self::ClientVanished(how) => write!(f, "the client is gone: {how}"),
            Self::TimedOut(what) => write!(f, "timed out: {what}"),
            Self::Stopped => f.write_str("the lab was stopped"),
        }
    }
}

impl SessionReport {
    /// How it came, went and ended, and what the client did wrong: nothing of what was said.
    pub fn summary(&self) -> String {
        let Self { id, protocol, heard, read, said, tools, violations, .. } = self;
        let end = self.end.as_ref().map_or_else(|| "goes on".to_owned(), SessionEnd::to_string);
        let counts = [(heard.len(), "heard"), (read.len(), "read"), (said.len(), "said"), (tools.len(), "asked for")];
        let counts = counts.map(|(count, what)| format!("{count} {what}")).join(", ");
        let told = match &self.end {
            Some(SessionEnd::Violation(what) | SessionEnd::ClientVanished(what)) => Some(what),
            Some(SessionEnd::ByTheBook | SessionEnd::Fault(_) | SessionEnd::TimedOut(_) | SessionEnd::Stopped)
            | None => None,
        };
        let more: Vec<_> = violations.iter().filter(|violation| Some(*violation) != told).map(String::as_str).collect();
        let wrong = if more.is_empty() { String::new() } else { format!("; WRONG: {}", more.join("; ")) };
        format!("session {id} over {protocol}: {end}; {counts}{wrong}")
    }
}

#[cfg(test)]
mod tests {
    use offhook_hosting::entropy::Entropy;

    use super::*;

    #[test]
    fn a_summary_says_how_a_session_ended_and_each_wrong_once() {
        let mut report = SessionReport::of_nothing(&mut Entropy::from_seed(1));
        let id = report.id;
        let counts = "0 heard, 1 read, 0 said, 0 asked for";
        report.read.push("a secret".into());
        assert_eq!(report.summary(), format!("session {id} over HTTP/2: goes on; {counts}"));
        report.end = Some(SessionEnd::ByTheBook);
        report.violations = vec!["a".into(), "b".into()];
        assert_eq!(report.summary(), format!("session {id} over HTTP/2: ended by the book; {counts}; WRONG: a; b"));
        report.end = Some(SessionEnd::Violation("b".into()));
        assert_eq!(report.summary(), format!("session {id} over HTTP/2: refused: b; {counts}; WRONG: a"));
    }
}
