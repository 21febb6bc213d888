use std::time::Instant;

use bytes::Bytes;

use super::{Conversation, Key, LegEnd, Output, Phase, heard::Piece, keypad::Pressed};
use crate::mulaw;

/// What comes from the caller's line and goes to it.
impl Conversation {
    pub(super) fn handle_caller_audio(&mut self, mulaw: Bytes) {
        match self.phase {
            Phase::Live { .. } => {
                self.pcm.clear();
                mulaw::decode_into(&mulaw, &mut self.pcm);
                self.outputs.extend(self.session.audio(&self.pcm).map(Output::SendAudio));
            }
            // Before `Accepted` the edge keeps the caller's audio back.
            Phase::Opening { .. } | Phase::Retrying { .. } | Phase::Closing { .. } | Phase::Finished => {}
        }
    }

    pub(super) fn handle_pressed(&mut self, key: Key, now: Instant) {
        match self.phase {
            Phase::Live { .. } => {
                self.leaving.iter_mut().for_each(|leaving| leaving.caller_speaks(now));
                self.keypad.press(key, now);
            }
            // As with audio.
            Phase::Opening { .. } | Phase::Retrying { .. } | Phase::Closing { .. } | Phase::Finished => {}
        }
    }

    /// Tells the model what the caller pressed. It answers as if that had been said.
    pub(super) fn tell_pressed(&mut self, pressed: &Pressed, now: Instant) {
        let told = pressed.told();
        self.outputs.extend(self.session.text(&told).into_iter().map(Output::Send));
        self.turns.caller_pressed(pressed.keys().to_owned(), told, now);
    }

    pub(super) fn handle_heard(&mut self, sample: u64, epoch: u32, now: Instant) {
        let position = self.playback.handle_heard(sample, epoch, now);
        self.turns.heard(position, epoch, now);
    }

    pub(super) fn handle_leg_ended(&mut self, end: LegEnd, now: Instant) {
        self.edge_is_there = false;
        let heard = match end {
            // The line may have been dead for a while before it was noticed.
            LegEnd::ConnectionLost => self.playback.heard(),
            LegEnd::Stopped | LegEnd::ProtocolError | LegEnd::EdgeStopping => self.playback.position(now),
        };
        self.turns.cut_off(heard, now);
        self.finish(end.outcome(), end.next_step(&self.agent), now);
    }

    pub(super) fn speak(&mut self, pcm: &[u8], now: Instant) {
        let mulaw = mulaw::encode_all(pcm);
        self.leaving.iter_mut().for_each(|leaving| leaving.agent_speaks(now));
        let first_sample = self.playback.send(mulaw.len(), now);
        self.turns.agent_audio(Piece::of(first_sample, pcm), now, self.playback.plays_until(now));
        self.outputs.push_back(Output::Speak { first_sample, epoch: self.playback.epoch(), mulaw });
    }

    pub(super) fn hush(&mut self, now: Instant) {
        self.turns.interrupted(self.playback.position(now), now);
        self.leaving.take_if(|leaving| leaving.is_called_off_by_the_caller());
        self.outputs.push_back(Output::Hush { epoch: self.playback.hush() });
    }
}
