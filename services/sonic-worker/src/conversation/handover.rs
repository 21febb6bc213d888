//! From one model session to the next: for whatever reason, in one way.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Conversation, Output, Phase,
    debt::Due,
    ports::Cause,
    recovery::Plan,
    sessions::{Ending, Former, ModelSession, Next, Place, SessionNo, is_stale},
};
use crate::{
    calls::{Entry, Outcome},
    mulaw,
    nova::{Beginning, Failure, HistoryRole, Message, Remedy, Told, Usage, sanitise},
};

/// Tries at opening the first session before the caller is told that it does not work.
const OPEN_TRIES: u32 = 3;
/// How long a session that was told to end may take. Its place counts against the account's quota until then.
pub(super) const CLOSE_DEADLINE: Duration = Duration::from_secs(2);
/// The pause, in milliseconds, before a successor is asked for again while the session it is for still lives.
const NO_HURRY: std::ops::Range<u64> = 2_000..4_000;
/// Makes a session go on with what the one before it had begun to say.
pub(super) const GO_ON: &str = "Please go on.";
/// Instead of what the service would not have said to it again.
const SAY_AGAIN: &str = "Sorry, could you say that again?";

impl Conversation {
    pub(super) fn open_next(&mut self, elsewhere: bool, now: Instant) {
        let (session, opening) = self.sessions.open(&self.setup, self.entropy.fork(), now);
        self.outputs.push_back(Output::OpenStream { session: session.no, opening, elsewhere });
        self.sessions.next = Some(Next::Opening(session));
    }

    pub(super) fn handle_opened(&mut self, no: SessionNo, credentials_expire: Option<Instant>, now: Instant) {
        if self.sessions.place(no) != Some(Place::Next) {
            return;
        }
        let Some(mut session) = self.sessions.next.take().and_then(Next::into_session) else { return };
        session.credentials_expire = credentials_expire;
        self.sessions.next = Some(Next::Ready { session, since: now });
        if let Phase::Opening { .. } = self.phase {
            self.phase = Phase::Live;
            self.outputs.push_back(Output::Accepted);
        }
        if self.sessions.current.is_none() {
            self.switch(now);
        }
    }

    /// A stream could not be opened, or is over. That is what is expected only of a session that was told to end.
    pub(super) fn handle_stream_ended(&mut self, no: SessionNo, failure: Failure, now: Instant) {
        let Some((place, session)) = self.sessions.remove(no) else { return };
        self.note_usage(&session);
        match place {
            Place::Current => self.lose(failure, now),
            Place::Next if self.sessions.current.is_some() => self.pause(failure),
            Place::Next => self.recover(failure, now),
            Place::Former | Place::Ending => {}
        }
    }

    /// The live session is gone.
    fn lose(&mut self, failure: Failure, now: Instant) {
        if let Some(former) = self.sessions.former.take() {
            self.take_back(former, failure, now);
        } else if self.leaving.is_some() {
            self.give_up(now);
        } else {
            self.break_off(now);
            if failure.remedy() == Remedy::Rephrase {
                self.forget_last_words();
            }
            self.filler.begin(now);
            self.cause.get_or_insert(Cause::Failure(failure));
            match (self.recovery.failed(failure, &mut self.entropy), &self.sessions.next) {
                (Plan::GiveUp, _) => self.give_up(now),
                (Plan::Open { .. }, Some(Next::Ready { .. })) => self.switch(now),
                (Plan::Open { .. }, Some(Next::Opening(_))) => {}
                (Plan::Open { pause, elsewhere }, Some(Next::Pausing { .. }) | None) => {
                    self.sessions.next = Some(Next::Pausing { at: now + pause, elsewhere });
                }
            }
        }
    }

    /// No session is live, and the next one could not be had.
    fn recover(&mut self, failure: Failure, now: Instant) {
        let plan = self.recovery.failed(failure, &mut self.entropy);
        match (plan, self.phase) {
            (Plan::GiveUp, Phase::Opening { .. }) => self.refuse(now),
            (Plan::Open { pause, .. }, Phase::Opening { until })
                if self.recovery.failures() >= OPEN_TRIES || now + pause >= until =>
            {
                self.refuse(now);
            }
            (Plan::Open { pause, elsewhere }, _) => {
                self.sessions.next = Some(Next::Pausing { at: now + pause, elsewhere });
            }
            (Plan::GiveUp, _) => self.give_up(now),
        }
    }

    /// The successor of a session that still lives could not be had.
    fn pause(&mut self, failure: Failure) {
        let pause = Duration::from_millis(self.entropy.between(NO_HURRY.start, NO_HURRY.end));
        let elsewhere = failure.remedy() == Remedy::Elsewhere;
        self.sessions.next = Some(Next::Pausing { at: self.now + pause, elsewhere });
    }

    fn give_up(&mut self, now: Instant) {
        self.finish(Outcome::ModelFailed, self.fallback(), now);
    }

    /// What falls due with the sessions while the call is live.
    pub(super) fn advance_sessions(&mut self, now: Instant) {
        // First what may end a session, then what follows from that.
        self.advance_former(now);
        self.advance_stalled(now);
        match &self.sessions.next {
            Some(Next::Pausing { at, elsewhere }) if *at <= now => self.open_next(*elsewhere, now),
            Some(Next::Ready { since, .. }) if self.sessions.current.is_some() => {
                let since = *since;
                if self.is_time_to_switch(now) {
                    self.switch(now);
                } else if is_stale(since, now) {
                    let stale = self.sessions.next.take().and_then(Next::into_session);
                    stale.into_iter().for_each(|session| self.retire(session, now));
                }
            }
            Some(Next::Pausing { .. } | Next::Opening(_) | Next::Ready { .. }) | None => {}
        }
        if self.is_time_to_prepare(now) {
            self.open_next(false, now);
        }
    }

    fn is_time_to_prepare(&self, now: Instant) -> bool {
        let current = self.sessions.current.as_ref();
        self.sessions.next.is_none()
            && self.leaving.is_none()
            && current.is_some_and(|current| current.renew_at(&self.limits) <= now)
    }

    /// A boundary between turns; later, one as the model sees it, which has said all while the caller still listens; at
    /// last, any time.
    fn is_time_to_switch(&self, now: Instant) -> bool {
        let Some(current) = &self.sessions.current else { return false };
        let is_quiet = self.nothing_is_open(now) && !self.voice.is_unheard();
        let heard_out = self.playback.is_heard_out() || current.leave_in_haste_at(&self.limits) <= now;
        is_quiet && heard_out || current.leave_by(&self.limits) <= now
    }

    /// The next session becomes the live one.
    fn switch(&mut self, now: Instant) {
        let Some(mut session) = self.sessions.next.take().and_then(Next::into_session) else { return };
        self.break_off(now);
        let beginning = self.beginning();
        let told = beginning.text.is_some();
        self.turns.told(beginning.text.clone());
        self.outputs.extend(session.wire.begin(beginning).into_iter().map(|event| Output::Send(session.no, event)));
        self.debt.session_begins(self.voice.is_unheard(), told, now);
        self.notes.session_begins(now);
        self.not_its_own_until = (!self.playback.is_heard_out()).then_some(self.playback.sent());
        let old = self.sessions.current.replace(session);
        let former = old.map(|old| Former::new(old, &self.limits, now));
        let before = std::mem::replace(&mut self.sessions.former, former);
        before.into_iter().for_each(|former| self.retire(former.session, now));
        if let Some(cause) = self.cause.take().or(self.sessions.former.as_ref().map(|_| Cause::Renewal)) {
            self.outputs.push_back(Output::Switched(cause));
        }
    }

    /// What the next session is told of the conversation, and what it hears again.
    fn beginning(&self) -> Beginning {
        let mut messages = self.memory.messages(&self.turns.unsettled(self.playback.sent()));
        let mut caller_audio = Vec::new();
        self.voice.unheard().iter().for_each(|mulaw| mulaw::decode_into(mulaw, &mut caller_audio));
        let text = if self.recovery.was_blocked() { Some(SAY_AGAIN.to_owned()) } else { self.due(&mut messages) };
        let history = sanitise(messages, self.agent.opening_text(), self.recovery.history_limits());
        Beginning { history, caller_audio, text }
    }

    /// The text that the next session is to answer. What it answers is not history.
    fn due(&self, messages: &mut Vec<Message>) -> Option<String> {
        match self.debt.due() {
            Due::Greeting if !self.voice.is_unheard() => Some(self.agent.opening_text().to_owned()),
            Due::Rest if !self.voice.is_unheard() => Some(match messages.last() {
                // Of what was begun nothing will be heard.
                Some(last) if last.role == HistoryRole::User => take_last_words(messages).join(" "),
                Some(_) | None => GO_ON.to_owned(),
            }),
            Due::Answer { texts, .. } if self.voice.is_unheard() => {
                messages.extend(texts.into_iter().map(Message::user));
                None
            }
            Due::Answer { words, texts } => {
                let said = words.then(|| take_last_words(messages)).into_iter().flatten();
                Some(said.chain(texts).collect::<Vec<_>>().join(" ")).filter(|text| !text.is_empty())
            }
            Due::Greeting | Due::Rest | Due::Nothing => None,
        }
    }

    /// The caller's last words were more than the service would take: no session is told them again.
    fn forget_last_words(&mut self) {
        let mut messages = self.memory.messages(&self.turns.unsettled(self.playback.sent()));
        self.memory.leave_out(take_last_words(&mut messages));
    }

    /// The session that is left, or lost, was in the middle of a turn.
    fn break_off(&mut self, now: Instant) {
        if self.debt.is_in_turn() {
            self.turns.broke_off(now);
        }
    }

    /// The session before the live one hears while that one does not, or is gone.
    fn take_back(&mut self, former: Former, failure: Failure, now: Instant) {
        let Former { mut session, told, .. } = former;
        session.has_answered = true;
        self.sessions.current = Some(session);
        if self.sessions.next.is_none() {
            self.pause(failure);
        }
        told.into_iter().for_each(|told| self.handle_told(told, now));
        self.model_is_there(now);
    }

    fn advance_former(&mut self, now: Instant) {
        let Some(former) = &self.sessions.former else { return };
        let has_proof = self.sessions.current.as_ref().is_some_and(|current| current.has_answered);
        let is_deaf = !has_proof && former.proves_deafness_at().is_some_and(|at| at <= now);
        if !is_deaf && (has_proof || former.is_over(now)) {
            let former = self.sessions.former.take();
            former.into_iter().for_each(|former| self.retire(former.session, now));
        } else if is_deaf {
            let deaf = self.sessions.current.take();
            deaf.into_iter().for_each(|session| self.retire(session, now));
            self.lose(Failure::Stalled, now);
        }
    }

    /// The model says nothing although it should.
    fn advance_stalled(&mut self, now: Instant) {
        // A goodbye has its own limits.
        if self.leaving.is_some() || self.sessions.current.is_none() {
            return;
        }
        if self.debt.stalled_at(self.limits.stall_after).is_none_or(|at| at > now) {
            return;
        }
        if self.voice.is_speaking(now) || self.tools.is_running() {
            self.debt.is_patient(now);
        } else if self.debt.take_withheld() {
            self.voice.understood();
            self.tell_withheld(now);
        } else if !self.debt.is_open() && (!self.voice.is_worth_an_answer() || self.stalled_for_noise) {
            // It was no words, after all.
            self.voice.understood();
            self.debt.forgive();
        } else {
            self.stalled_for_noise = !self.debt.is_open();
            let stalled = self.sessions.current.take();
            stalled.into_iter().for_each(|session| self.retire(session, now));
            self.lose(Failure::Stalled, now);
        }
    }

    /// What the session heard again was nothing to be answered, so it has to be told what it owes.
    pub(super) fn tell_withheld(&mut self, now: Instant) {
        match self.debt.due() {
            Due::Greeting => {
                let agent = Arc::clone(&self.agent);
                self.tell(agent.opening_text());
            }
            Due::Answer { .. } | Due::Rest => self.tell(GO_ON),
            Due::Nothing => {}
        }
        self.debt.told_after_all(now);
    }

    /// Ends a session by the book.
    pub(super) fn retire(&mut self, mut session: ModelSession, now: Instant) {
        self.outputs.extend(session.wire.close().into_iter().map(|event| Output::Send(session.no, event)));
        self.outputs.push_back(Output::EndInput(session.no));
        self.sessions.ending.push(Ending { session, until: now + CLOSE_DEADLINE });
    }

    /// Gives up on sessions that do not end.
    pub(super) fn advance_ending(&mut self, now: Instant) {
        while let Some(at) = self.sessions.ending.iter().position(|ending| ending.until <= now) {
            let Ending { session, .. } = self.sessions.ending.remove(at);
            self.outputs.push_back(Output::AbandonStream(session.no));
            self.note_usage(&session);
        }
    }

    fn note_usage(&mut self, session: &ModelSession) {
        if session.usage != Usage::default() {
            let (usage, cost) = (session.usage, self.prices.cost(session.usage));
            self.outputs.push_back(Output::Note(Entry::Usage { usage, cost }));
        }
    }

    /// What the session before the live one says. Nobody hears it unless the live one fails.
    pub(super) fn handle_former(&mut self, told: Told, now: Instant) {
        let Some(former) = &mut self.sessions.former else { return };
        if let (Told::AgentSpoke(text), None) = (&told, former.understood_at) {
            // Its last words before the switch.
            self.turns.agent_spoke(text);
        } else if told == Told::Interrupted && self.not_its_own_until.is_some() {
            self.hush(now);
        } else {
            if matches!(told, Told::CallerSaid(_)) {
                former.understood(now);
            }
            former.told.push(told);
        }
    }
}

/// Takes the caller's last words out of what was said: they are to be answered.
fn take_last_words(messages: &mut Vec<Message>) -> Vec<String> {
    let agent = messages.iter().rposition(|message| message.role == HistoryRole::Assistant);
    messages.split_off(agent.map_or(0, |at| at + 1)).into_iter().map(|message| message.text).collect()
}
