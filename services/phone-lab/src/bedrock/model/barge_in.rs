//! What happens when the caller speaks while the model does.
//!
//! The order of events is AWS's ("Barge-in"): the audio block ends as if the turn were over, and only a FINAL text says
//! that it was cut.

use std::time::Instant;

use super::{
    super::{fault::Quirk, wire::Stop},
    Model, Note,
};

impl Model {
    /// Says whether the caller may be hearing the model.
    pub(super) fn is_talking(&self, now: Instant) -> bool {
        self.speaking.is_audible() || self.playout.is_playing(now)
    }

    /// The caller speaks, or text arrives: whatever the model is at, it stops.
    pub(super) fn barge_in(&mut self, now: Instant) {
        let interrupts = self.is_talking(now);
        self.drop_thought();
        if !interrupts {
            return;
        }
        self.end_audio(Stop::EndTurn);
        self.confirm_played(now);
        let cuts = self.playout.interrupt(now);
        let id = self.ids.uuid();
        let odd = self.is_odd(Quirk::OddMarker);
        self.write(|writer| writer.interruption(id, odd));
        self.note(Note::Interrupted(cuts));
    }

    /// Gives up the turn under way, if any, except for what the caller said. What a tool's result would have made the
    /// model say is said later, unless it had begun.
    pub(super) fn drop_thought(&mut self) {
        let was_active = self.speaking.is_active();
        let stopped = self.speaking.stop();
        if let Some(text) = stopped.transcript {
            self.transcribe(&text);
        }
        self.follow_ups.extend(self.asking.give_up());
        let unsaid = self.resuming.take().filter(|_| was_active && !stopped.audible);
        if let Some(text) = unsaid {
            self.follow_ups.push_front(text);
        }
    }
}
