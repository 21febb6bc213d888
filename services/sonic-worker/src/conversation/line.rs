use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Conversation, Key, LegEnd, Output, Phase, heard::Piece, keypad::Pressed, patience::Due, voice::Change};
use crate::{
    calls::{NextStep, Outcome},
    mulaw,
};

/// The edge sends far less at a time; of more, an event would be larger than the service takes.
const LONGEST_PIECE: usize = 8_000;
/// A line without audio for so long is quiet: muted, on hold, or Twilio sends nothing. Less may be the network.
const SILENT_AFTER: Duration = Duration::from_secs(1);
/// The model then gets silence in such pieces.
const SILENCE_EVERY: Duration = Duration::from_millis(200);
/// As mu-law.
static SILENCE: [u8; 1_600] = [0xff; 1_600];

/// What comes from the caller's line and goes to it.
impl Conversation {
    pub(super) fn handle_caller_audio(&mut self, mulaw: Bytes, now: Instant) {
        // Before `Accepted` the edge keeps the caller's audio back.
        if !matches!(self.phase, Phase::Live) {
            return;
        }
        self.heard_caller_at = now;
        let mut rest = mulaw;
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(LONGEST_PIECE));
            self.hear(&piece, now);
        }
    }

    fn hear(&mut self, mulaw: &[u8], now: Instant) {
        self.pcm.clear();
        mulaw::decode_into(mulaw, &mut self.pcm);
        for session in self.sessions.listening() {
            self.outputs.extend(session.wire.audio(&self.pcm).map(|event| Output::SendAudio(session.no, event)));
        }
        match self.voice.hear(mulaw, &self.pcm, now) {
            Some(Change::Began) => {
                self.debt.caller_began(now);
                if self.is_playing_what_is_not_its_own(now) {
                    self.hush(now);
                }
            }
            Some(Change::Stopped) => self.debt.caller_stopped(self.playback.is_heard_out(), now),
            None => {}
        }
    }

    pub(super) fn handle_pressed(&mut self, key: Key, now: Instant) {
        // As with audio.
        if matches!(self.phase, Phase::Live) {
            self.leaving.iter_mut().for_each(|leaving| leaving.caller_speaks(now));
            self.turns.caller_stopped(now);
            self.keypad.press(key, now);
        }
    }

    /// What falls due on the line while the call is live.
    pub(super) fn advance_line(&mut self, now: Instant) {
        if self.silence_due_at <= now {
            self.send_silence(now);
        }
        if self.sessions.current.is_some()
            && let Some(pressed) = self.keypad.collected(now)
        {
            self.tell_pressed(&pressed, now);
        }
        self.tell_notes(now);
        if self.sessions.current.is_some() && !self.debt.is_open() {
            self.filler.end();
        }
        let busy = self.voice.is_speaking(now) || self.playback.plays_until(now) > now;
        if let Some(sound) = self.filler.due(busy, now) {
            self.play(sound, now);
        }
    }

    /// Somebody who says nothing is asked whether they are there; a call that is too long ends.
    pub(super) fn advance_patience(&mut self, now: Instant) {
        let is_quiet = self.sessions.current.is_some() && self.playback.is_heard_out() && self.nothing_is_open(now);
        self.patience.quiet_since(is_quiet.then_some(now));
        let Some(due) = self.patience.due(now) else { return };
        match due {
            // Nothing is owed for it: a model that does not say it aloud has not stalled.
            Due::Ask | Due::Warn { .. } => self.tell_in_notes(due.told().into_iter().collect(), now),
            Due::End => {
                let say = Some(self.agent.farewell_silence.clone());
                self.finish(Outcome::CallerSilent, NextStep::HangUp { say }, now);
            }
            Due::TimeUp => {
                let say = Some(self.agent.farewell_time_up.clone());
                self.finish(Outcome::TimeUp, NextStep::HangUp { say }, now);
            }
        }
    }

    /// Nobody is speaking or about to, and nothing is being done.
    pub(super) fn nothing_is_open(&self, now: Instant) -> bool {
        !self.voice.is_speaking(now)
            && !self.debt.is_open()
            && !self.tools.is_running()
            && self.keypad.deadline().is_none()
            && self.leaving.is_none()
    }

    /// The model ends a session that gets no audio for 55 s, and finds the end of what was said only by the silence after
    /// it.
    fn send_silence(&mut self, now: Instant) {
        let silent_at = self.heard_caller_at + SILENT_AFTER;
        // Set once a second, not with every piece of audio: other legs share the timers.
        self.silence_due_at = if silent_at > now { silent_at } else { now + SILENCE_EVERY };
        if silent_at <= now {
            self.hear(&SILENCE, now);
        }
    }

    /// Tells the model what the caller pressed. It answers as if that had been said.
    pub(super) fn tell_pressed(&mut self, pressed: &Pressed, now: Instant) {
        let told = pressed.told();
        self.tell(&told);
        self.patience.caller_is_there(now);
        self.debt.words_told(now);
        self.turns.caller_pressed(pressed.keys().to_owned(), told, now);
    }

    /// Tells the model something that the caller did not say. It may come back as if the caller had.
    pub(super) fn tell(&mut self, text: &str) {
        if let Some(session) = &mut self.sessions.current {
            self.false_alarm.told(self.now);
            self.turns.told(Some(text.to_owned()));
            self.outputs.extend(session.wire.text(text).into_iter().map(|event| Output::Send(session.no, event)));
        }
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
        // After anything but a hang-up the caller may still be on the line.
        let next_step = if end == LegEnd::Stopped { NextStep::HangUp { say: None } } else { self.fallback() };
        self.finish(end.outcome(), next_step, now);
    }

    /// The caller is gone, although the leg has not noticed.
    pub(super) fn handle_call_over(&mut self, now: Instant) {
        self.turns.cut_off(self.playback.heard(), now);
        self.finish(Outcome::CallerHungUp, NextStep::HangUp { say: None }, now);
    }

    pub(super) fn speak(&mut self, pcm: &[u8], now: Instant) {
        let mulaw = mulaw::encode_all(pcm);
        self.leaving.iter_mut().for_each(|leaving| leaving.agent_speaks(now));
        let first_sample = self.play(mulaw, now);
        self.turns.agent_audio(Piece::of(first_sample, pcm), now, self.playback.plays_until(now));
    }

    /// Plays to the caller; the position of the first sample.
    fn play(&mut self, mulaw: Bytes, now: Instant) -> u64 {
        let first_sample = self.playback.send(mulaw.len(), now);
        self.outputs.push_back(Output::Speak { first_sample, epoch: self.playback.epoch(), mulaw });
        first_sample
    }

    pub(super) fn hush(&mut self, now: Instant) {
        self.not_its_own_until = None;
        self.turns.interrupted(self.playback.position(now), now);
        self.leaving.take_if(|leaving| leaving.is_called_off_by_the_caller());
        self.outputs.push_back(Output::Hush { epoch: self.playback.hush() });
    }

    /// Whether the caller hears words of a session that is gone or was left: the live one does not know of them, and so
    /// does not say when it is interrupted.
    pub(super) fn is_playing_what_is_not_its_own(&self, now: Instant) -> bool {
        let is_played = self.playback.plays_until(now) > now && !self.playback.is_heard_out();
        match &self.sessions.current {
            None => is_played,
            Some(current) => {
                let rest = self.not_its_own_until.is_some_and(|until| self.playback.heard() < until);
                is_played && rest && !current.has_answered
            }
        }
    }
}
