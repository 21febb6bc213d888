use std::{collections::VecDeque, time::Instant};

use jiff::{SignedDuration, Timestamp};

use super::{
    agent_turn::AgentTurn,
    heard::{Pace, Piece},
    latency::Waits,
};
use crate::calls::{Speaker, Turn, TurnKind};

/// Texts whose echoes are known, where the model answers none of them.
const MOST_SENT_TEXTS: usize = 8;

/// Turns the monotonic time of a leg into the time of day of its record.
#[derive(Clone, Copy, Debug)]
pub struct CallTime {
    /// When the leg began.
    pub started: Instant,
    /// The same moment on the clock on the wall.
    pub started_at: Timestamp,
}

impl CallTime {
    /// The time of day at `now`.
    pub fn at(&self, now: Instant) -> Timestamp {
        let elapsed = SignedDuration::try_from(now.duration_since(self.started)).unwrap_or(SignedDuration::MAX);
        self.started_at.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }
}

/// Who said what, made out of the model's sentences.
///
/// The model ends a turn of the agent long before the caller has heard it out, and the caller may interrupt. So a turn
/// is handed out only when it is settled what was heard of it, and turns that began later wait for it.
#[derive(Debug)]
pub(super) struct Turns {
    time: CallTime,
    /// Texts that were sent to the model, such as the trigger that makes it speak first, may come back as if the caller
    /// had said them; not after the agent has spoken.
    sent_texts: VecDeque<String>,
    waits: Waits,
    pace: Pace,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
enum Waiting {
    Caller(Turn),
    Agent(AgentTurn),
}

impl Waiting {
    fn agent(&mut self) -> Option<&mut AgentTurn> {
        match self {
            Self::Caller(_) => None,
            Self::Agent(agent) => Some(agent),
        }
    }
}

impl Turns {
    pub(super) fn new(time: CallTime) -> Self {
        let (waits, pace) = (Waits::default(), Pace::default());
        Self { time, sent_texts: VecDeque::new(), waits, pace, waiting: VecDeque::new() }
    }

    pub(super) fn time(&self) -> CallTime {
        self.time
    }

    /// The caller's words, unless they are the echo of a text that was sent. Whether they are the caller's.
    pub(super) fn caller_said(&mut self, text: String, now: Instant) -> bool {
        if self.sent_texts.iter().any(|sent| is_echo(sent, &text)) {
            return false;
        }
        self.begin_caller_turn(TurnKind::Speech, text, now);
        true
    }

    /// The model was told this, or nothing new; it is nothing that the caller said.
    pub(super) fn told(&mut self, text: Option<String>) {
        match text {
            Some(text) => self.sent(text),
            None => self.sent_texts.clear(),
        }
    }

    /// The caller pressed keys, of which the model was told in these words.
    pub(super) fn caller_pressed(&mut self, keys: String, told: String, now: Instant) {
        self.sent(told);
        self.begin_caller_turn(TurnKind::Digits, keys, now);
    }

    /// The model was told these notes.
    pub(super) fn noted(&mut self, notes: Vec<String>, now: Instant) {
        self.agent_turn_ended();
        let at = self.time.at(now);
        let turn = |note| Waiting::Caller(Turn::plain(Speaker::System, TurnKind::Note, note, at));
        self.waiting.extend(notes.into_iter().map(turn));
    }

    /// The caller's last sound so far, or key. Until this is told, how long the model took to notice the end of a turn is
    /// not known.
    pub(super) fn caller_stopped(&mut self, at: Instant) {
        self.waits.caller_stopped(at);
    }

    /// Whether any tool runs now.
    pub(super) fn tools_run(&mut self, any: bool, now: Instant) {
        self.waits.tools_run(any, now);
    }

    fn sent(&mut self, text: String) {
        self.sent_texts.truncate(MOST_SENT_TEXTS - 1);
        self.sent_texts.push_front(text);
    }

    fn begin_caller_turn(&mut self, kind: TurnKind, text: String, now: Instant) {
        self.agent_turn_ended();
        self.waits.asked(now);
        let turn = Turn::plain(Speaker::Caller, kind, text, self.time.at(now));
        self.waiting.push_back(Waiting::Caller(turn));
    }

    /// A sentence that the agent is about to speak.
    pub(super) fn agent_says(&mut self, sentence: &str, epoch: u32, now: Instant) {
        self.sent_texts.clear();
        if self.newest().is_none_or(|agent| !agent.is_open()) {
            self.waiting.push_back(Waiting::Agent(AgentTurn::begin(epoch, now)));
        }
        if let Some(agent) = self.newest() {
            agent.says(sentence, now);
        }
    }

    /// Audio of the agent, to be played by `played_at`.
    pub(super) fn agent_audio(&mut self, piece: Piece, now: Instant, played_at: Instant) {
        let Some(agent) = self.waiting.iter_mut().rev().find_map(Waiting::agent) else { return };
        if agent.audio(piece, now, played_at) && agent.is_open() {
            agent.answers(self.waits.answered(now));
        }
    }

    /// A sentence of the agent has all its audio.
    pub(super) fn agent_sentence_ended(&mut self, now: Instant) {
        if let Some(agent) = self.newest() {
            agent.block_ended(now);
        }
    }

    /// The next sentence begins another turn.
    pub(super) fn agent_turn_ended(&mut self) {
        if let Some(agent) = self.newest() {
            agent.close();
        }
    }

    /// The agent spoke `text`. That comes seconds late, in the order of the sentences but not for all of them: what has
    /// the same words is meant, else what begins with them.
    pub(super) fn agent_spoke(&mut self, text: &str) {
        let _ = self.agents().any(|agent| agent.confirm(text, true))
            || self.agents().any(|agent| agent.confirm(text, false));
    }

    /// The caller has heard the agent this far, in an epoch.
    pub(super) fn heard(&mut self, position: u64, epoch: u32, now: Instant) {
        self.agents().for_each(|agent| agent.handle_heard(position, epoch, now));
    }

    /// The model is gone in the middle of a turn, or was left.
    pub(super) fn broke_off(&mut self, now: Instant) {
        if let Some(agent) = self.newest() {
            agent.broke_off(now);
        }
    }

    /// The caller interrupted when the agent had been heard up to `position`.
    pub(super) fn interrupted(&mut self, position: u64, now: Instant) {
        if let Some(agent) = self.newest() {
            agent.model_stopped(now);
        }
        self.agents().for_each(|agent| agent.interrupt(position, now));
    }

    /// The line closed when the agent had been heard up to `position`.
    pub(super) fn cut_off(&mut self, position: u64, now: Instant) {
        self.agents().for_each(|agent| agent.cut_off(position, now));
    }

    /// When [`Turns::settled`] has more.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.waiting.front()? {
            Waiting::Caller(_) => None,
            Waiting::Agent(agent) => agent.settled_at(),
        }
    }

    /// The turns of which all is known, in order.
    pub(super) fn settled(&mut self, now: Instant) -> Vec<Turn> {
        let mut settled = Vec::new();
        while let Some(next) = self.waiting.pop_front_if(|next| match next {
            Waiting::Caller(_) => true,
            Waiting::Agent(agent) => agent.settled_at().is_some_and(|at| at <= now),
        }) {
            settled.push(self.turn(next));
        }
        settled
    }

    /// All turns that have not come out yet, as far as they are known.
    pub(super) fn flush(&mut self) -> Vec<Turn> {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().map(|next| self.turn(next)).collect()
    }

    /// All turns that have not come out yet, as they will be once the audio has been played up to `position`. They still
    /// come out.
    pub(super) fn unsettled(&self, position: u64) -> Vec<Turn> {
        let mut pace = self.pace;
        let turn = |waiting: &Waiting| match waiting {
            Waiting::Caller(turn) => turn.clone(),
            Waiting::Agent(agent) => agent.turn(position, self.time, &mut pace),
        };
        self.waiting.iter().map(turn).collect()
    }

    fn turn(&mut self, waiting: Waiting) -> Turn {
        match waiting {
            Waiting::Caller(turn) => turn,
            Waiting::Agent(agent) => agent.into_turn(self.time, &mut self.pace),
        }
    }

    fn agents(&mut self) -> impl DoubleEndedIterator<Item = &mut AgentTurn> {
        self.waiting.iter_mut().filter_map(Waiting::agent)
    }

    fn newest(&mut self) -> Option<&mut AgentTurn> {
        self.agents().next_back()
    }
}

fn is_echo(sent: &str, text: &str) -> bool {
    let words =
        |text: &str| text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    words(sent) == words(text)
}
