//! Texts that the model is told and that nobody on the phone said: hints of a supervisor, what the clock says. The model
//! answers them as conversation (AWS, "Cross-modal input"), so they say what is the case, not what to do.

use std::time::{Duration, Instant};

use super::Conversation;

/// What agents are told about [`told`], after their own prompt.
pub(super) const EXPLAINED: &str = "\n\nA message that begins with \"Note:\" was not said by the caller, who cannot hear it: \
    it tells you something about the call, such as \"Note: The caller has been silent for a while.\" or \"Note: The call ends \
    in one minute.\" Say to the caller what follows from it, such as asking whether they are still there, or that there is \
    little time left. Never mention the note itself.";
/// Text that comes while the agent speaks, or is about to, cuts it off, so it waits, but for no longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Texts that wait until nobody speaks.
#[derive(Debug, Default)]
pub(super) struct Notes {
    waiting: Vec<String>,
    tell_by: Option<Instant>,
}

impl Notes {
    /// A text for the model.
    pub(super) fn add(&mut self, text: String, now: Instant) {
        self.waiting.push(text);
        self.tell_by.get_or_insert(now + LONGEST_WAIT);
    }

    /// Another session begins with what it owes: what is told besides would cut that off.
    pub(super) fn session_begins(&mut self, now: Instant) {
        self.tell_by = self.tell_by.map(|_| now + LONGEST_WAIT);
    }

    /// When [`Notes::due`] has something even if somebody speaks all the time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.tell_by
    }

    /// The texts that are to be told now, if any.
    pub(super) fn due(&mut self, is_quiet: bool, now: Instant) -> Vec<String> {
        match self.tell_by.take_if(|by| is_quiet || *by <= now) {
            Some(_) => std::mem::take(&mut self.waiting),
            None => Vec::new(),
        }
    }
}

/// Notes as the model is told of them.
pub(super) fn told(notes: &[String]) -> String {
    notes.iter().map(|note| format!("Note: {note}")).collect::<Vec<_>>().join("\n")
}

impl Conversation {
    /// Tells the model what it does not hear on the phone, all in one block: a second one would cut off what it says to the
    /// first. Like words of the caller, it is told again to the next session if this one does not answer.
    pub(super) fn tell_notes(&mut self, now: Instant) {
        if self.notes.deadline().is_none() || self.sessions.current.is_none() {
            return;
        }
        let caller_is_quiet = !self.voice.is_unheard() && !self.voice.is_speaking(now);
        let agent_is_quiet = !self.debt.is_open() && self.playback.is_heard_out();
        let notes = self.notes.due(caller_is_quiet && agent_is_quiet, now);
        if !notes.is_empty() {
            self.tell_in_notes(notes, now);
            self.debt.words_told(now);
        }
    }

    /// Tells the model these texts, and the record that nobody said them; as soon as there is a session to be told.
    pub(super) fn tell_in_notes(&mut self, notes: Vec<String>, now: Instant) {
        if self.sessions.current.is_none() {
            notes.into_iter().for_each(|note| self.notes.add(note, now));
            return;
        }
        self.tell(&told(&notes));
        self.turns.noted(notes, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::tests::start;

    #[test]
    fn notes_wait_for_a_moment_of_quiet_but_not_for_ever() {
        let (mut notes, now) = (Notes::default(), start());
        assert_eq!((notes.deadline(), notes.due(true, now)), (None, vec![]));
        notes.add("one".into(), now);
        assert_eq!(notes.due(false, now), Vec::<String>::new());
        notes.add("two".into(), now + LONGEST_WAIT / 2);
        assert_eq!(notes.deadline(), Some(now + LONGEST_WAIT));
        assert_eq!(notes.due(false, now + LONGEST_WAIT), ["one", "two"]);
        assert_eq!((notes.deadline(), notes.due(true, now + LONGEST_WAIT)), (None, vec![]));
        notes.add("three".into(), now);
        assert_eq!(notes.due(true, now), ["three"]);
    }
}
