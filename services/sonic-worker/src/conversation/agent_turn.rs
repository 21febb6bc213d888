use std::time::{Duration, Instant};

use super::{
    CallTime,
    heard::{Pace, Piece, Speech},
    latency::Wait,
};
use crate::calls::{Speaker, Turn, TurnKind};

/// A model that is interrupted ends its audio block as if the turn were over, and says so right after (AWS, "Barge-in"):
/// a block that ended this long before is whole.
const BROKEN_OFF_WITHIN: Duration = Duration::from_millis(500);
/// The edge tells where the audio stopped, and then of the next epoch, once the `clear` has been at the phone and its echo
/// is back. One that has not by then does not any more.
const LATE_NEWS: Duration = Duration::from_secs(3);
/// An edge that has not told by then that the audio was played does not tell it any more.
const UNHEARD_FOR: Duration = Duration::from_secs(5);

/// A turn of the agent whose fate is open: it is being spoken, or heard.
#[derive(Debug)]
pub(super) struct AgentTurn {
    speech: Speech,
    epoch: u32,
    /// When its text came, then when its audio began.
    at: Instant,
    /// Where its audio begins on the leg, once it has any.
    first_sample: Option<u64>,
    /// How long the caller waited for it; `None` when it answers nothing.
    wait: Option<Wait>,
    /// More sentences belong to it.
    is_open: bool,
    /// When the model last ended a block.
    ended_at: Instant,
    heard: u64,
    cut: Option<Cut>,
    broke_off_at: Option<Instant>,
    /// Nothing that matters is to be expected after this.
    settle_at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    at: Instant,
    by_the_caller: bool,
}

impl AgentTurn {
    pub(super) fn begin(epoch: u32, now: Instant) -> Self {
        Self {
            speech: Speech::default(),
            epoch,
            at: now,
            first_sample: None,
            wait: None,
            is_open: true,
            ended_at: now,
            heard: 0,
            cut: None,
            broke_off_at: None,
            settle_at: now + UNHEARD_FOR,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    pub(super) fn says(&mut self, sentence: &str, now: Instant) {
        self.speech.says(sentence);
        self.settle_at = self.settle_at.max(now + UNHEARD_FOR);
    }

    /// Audio of the turn, to be played by `played_at`. True for its first.
    pub(super) fn audio(&mut self, piece: Piece, now: Instant, played_at: Instant) -> bool {
        if self.cut.is_some() {
            return false;
        }
        let is_first = self.first_sample.is_none();
        if is_first {
            (self.at, self.first_sample) = (now, Some(piece.span.start));
        }
        self.speech.audio(piece);
        self.settle_at = self.settle_at.max(played_at + UNHEARD_FOR);
        is_first
    }

    /// The turn is what the caller has waited for, if anything.
    pub(super) fn answers(&mut self, wait: Option<Wait>) {
        self.wait = wait;
    }

    pub(super) fn block_ended(&mut self, now: Instant) {
        self.speech.block_ended();
        self.ended_at = now;
    }

    /// No more sentences belong to it.
    pub(super) fn close(&mut self) {
        self.is_open = false;
    }

    pub(super) fn confirm(&mut self, text: &str, whole: bool) -> bool {
        self.speech.confirm(text, whole)
    }

    /// The caller has heard this far, in an epoch. What was told before a hush is news even after it; what belongs to
    /// the epoch after it shows that the edge has no more such news.
    pub(super) fn handle_heard(&mut self, position: u64, epoch: u32, now: Instant) {
        if epoch == self.epoch {
            self.heard = self.heard.max(position);
            if let (Some(wait), Some(first)) = (&mut self.wait, self.first_sample) {
                wait.heard(position.saturating_sub(first), now);
            }
        } else if epoch > self.epoch {
            self.settle_at = self.settle_at.min(now);
        }
    }

    /// The model stopped while this was the turn that it spoke last.
    pub(super) fn model_stopped(&mut self, now: Instant) {
        if self.speech.is_block_open() || now.saturating_duration_since(self.ended_at) < BROKEN_OFF_WITHIN {
            self.speech.broken_off();
        }
    }

    /// The model is gone, or was left, before the turn was over. What there is of it is still heard.
    pub(super) fn broke_off(&mut self, now: Instant) {
        if self.is_open {
            self.speech.broken_off();
            self.broke_off_at = Some(now);
            self.is_open = false;
        }
    }

    /// The caller interrupted when the audio had been played up to `position`.
    pub(super) fn interrupt(&mut self, position: u64, now: Instant) {
        if self.cut.is_some() {
            return;
        }
        self.cut(Cut { at: now, by_the_caller: true }, position);
        self.settle_at = now + LATE_NEWS;
    }

    /// The line closed when the audio had been played up to `position`.
    pub(super) fn cut_off(&mut self, position: u64, now: Instant) {
        if self.cut.is_none() {
            self.cut(Cut { at: now, by_the_caller: false }, position);
        }
    }

    fn cut(&mut self, cut: Cut, position: u64) {
        self.is_open = false;
        self.heard = self.heard.max(position);
        self.cut = Some(cut);
    }

    /// When nothing will change what is known; `None` while it is being spoken.
    pub(super) fn settled_at(&self) -> Option<Instant> {
        let heard_out = self.cut.is_none() && self.speech.is_heard_out(self.heard);
        match self.is_open {
            true => None,
            false if heard_out => Some(self.settle_at.min(self.ended_at + BROKEN_OFF_WITHIN)),
            false => Some(self.settle_at),
        }
    }

    /// The turn as it goes into the record; `pace` learns from it.
    pub(super) fn into_turn(self, time: CallTime, pace: &mut Pace) -> Turn {
        self.turn(0, time, pace)
    }

    /// The turn as it will be if nothing more is said and the audio is played up to `position`; `pace` learns from it.
    pub(super) fn turn(&self, position: u64, time: CallTime, pace: &mut Pace) -> Turn {
        let heard = if self.cut.is_some() { self.heard } else { self.heard.max(position) };
        let (text, heard) = (self.speech.said(), self.speech.heard(heard, *pace));
        pace.learn(&self.speech);
        let cut = self.cut.filter(|_| heard != text);
        let broke_off_at = self.broke_off_at.filter(|_| heard != text);
        Turn {
            speaker: Speaker::Agent,
            kind: TurnKind::Speech,
            text,
            heard: Some(heard),
            at: time.at(self.at),
            interrupted: cut.is_some_and(|cut| cut.by_the_caller),
            cut_at: cut.map(|cut| cut.at).or(broke_off_at).map(|at| time.at(at)),
            latency: self.wait.and_then(|wait| wait.latency()),
        }
    }
}
