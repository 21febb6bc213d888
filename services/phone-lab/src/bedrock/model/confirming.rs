//! FINAL texts: what the model did say, told late.

use std::time::Instant;

use super::{super::wire::Stop, Model};

/// What is left to be told, and how.
#[derive(Debug)]
pub(super) struct Confirming {
    /// Texts wait for the end of the turn after theirs.
    late: bool,
    /// Counts turns.
    turn: u64,
    /// Texts of this turn were told.
    begun: bool,
    /// Texts that wait, each with the turn in which it would have been told.
    waiting: Vec<(u64, String)>,
}

impl Confirming {
    pub(super) fn new(late: bool) -> Self {
        Self { late, turn: 0, begun: false, waiting: Vec::new() }
    }

    /// From now on texts do, or do not, wait for the end of the turn after theirs.
    pub(super) fn set_late(&mut self, late: bool) {
        self.late = late;
    }

    pub(super) fn begin_turn(&mut self) {
        self.turn += 1;
        self.begun = false;
    }
}

impl Model {
    pub(super) fn confirm_played(&mut self, now: Instant) {
        while let Some(text) = self.playout.poll_played(now) {
            self.confirm(text);
        }
    }

    /// A sentence was played: tells it, or lets it wait.
    pub(super) fn confirm(&mut self, text: String) {
        if self.confirming.late {
            self.confirming.waiting.push((self.confirming.turn, text));
        } else {
            self.tell(&text);
        }
    }

    /// A turn has ended: texts of earlier ones are told now.
    pub(super) fn confirm_earlier_turns(&mut self) {
        let turn = self.confirming.turn;
        self.confirm_waiting(|of| of < turn);
    }

    pub(super) fn confirm_all(&mut self) {
        self.confirm_waiting(|_| true);
    }

    fn confirm_waiting(&mut self, is_due: impl Fn(u64) -> bool) {
        let waiting = std::mem::take(&mut self.confirming.waiting);
        let (due, waiting) = waiting.into_iter().partition(|(turn, _)| is_due(*turn));
        self.confirming.waiting = waiting;
        let due: Vec<(u64, String)> = due;
        due.iter().for_each(|(_, text)| self.tell(text));
    }

    /// The FINAL text of a sentence. Its stop reasons are as measured: END_TURN first, PARTIAL_TURN after.
    fn tell(&mut self, text: &str) {
        let stop = if std::mem::replace(&mut self.confirming.begun, true) { Stop::PartialTurn } else { Stop::EndTurn };
        let id = self.ids.uuid();
        self.write(|writer| writer.final_text(id, text, stop));
    }
}
