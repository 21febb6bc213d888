use std::time::Instant;

use serde_json::{Value, json};

use super::{
    Conversation, Output, Phase, SessionNo,
    debt::TIME_TO_UNDERSTAND,
    handover::GO_ON,
    leaving::Leaving,
    sessions::Place,
    tool_calls::{Requested, told_late},
};
use crate::{
    calls::{Entry, NextStep},
    nova::{ServerEvent, Told, ToolUseId},
};

/// What comes from the model, and what its tools have to say to it.
impl Conversation {
    pub(super) fn handle_model(&mut self, no: SessionNo, event: ServerEvent, now: Instant) {
        let Some(place) = self.sessions.place(no) else { return };
        let Some(session) = self.sessions.get_mut(no) else { return };
        let told = session.wire.handle_event(event);
        // Tokens are counted to the end, also of a session that is ending.
        if let Some(Told::Usage(usage)) = told {
            session.usage = usage;
            return;
        }
        match (place, told) {
            (Place::Current, told) => {
                self.model_is_there(now);
                told.into_iter().for_each(|told| self.handle_current(told, now));
            }
            (Place::Former, Some(told)) => self.handle_former(told, now),
            (Place::Ending, Some(Told::AgentSpoke(text))) => self.turns.agent_spoke(&text),
            (Place::Former | Place::Ending | Place::Next, _) => {}
        }
    }

    fn handle_current(&mut self, told: Told, now: Instant) {
        // Its own last words are no sign that it hears.
        if let (Some(current), false) = (&mut self.sessions.current, matches!(told, Told::AgentSpoke(_))) {
            current.has_answered = true;
            self.stalled_for_noise = false;
        }
        // One that breaks in the middle of every answer does not work.
        if told == Told::AgentTurnEnded {
            self.recovery.worked();
        }
        self.handle_told(told, now);
        self.model_is_there(now);
    }

    /// Something came from the model. That alone is no sign that it has heard what the caller said, but what was said over
    /// the agent's words, and neither stopped it nor became words within that time, was none.
    pub(super) fn model_is_there(&mut self, now: Instant) {
        let is_recent = self.voice.last().is_some_and(|last| now < last + TIME_TO_UNDERSTAND);
        let unheard = self.voice.is_unheard() && (self.debt.caller_waits() || is_recent);
        if self.voice.is_unheard() && !unheard {
            self.voice.understood();
        }
        self.debt.model_is_there(unheard, now);
    }

    pub(super) fn handle_told(&mut self, told: Told, now: Instant) {
        if !matches!(self.phase, Phase::Live) {
            return;
        }
        match told {
            Told::CallerSaid(text) => self.handle_caller_said(text, now),
            Told::CallerSaidNothing => {
                self.voice.understood();
                self.debt.caller_was_understood();
                let is_cut_off = self.false_alarm.caller_said_nothing(now);
                if self.debt.take_withheld() {
                    self.tell_withheld(now);
                } else if is_cut_off {
                    self.tell(GO_ON);
                    self.debt.told(GO_ON.to_owned(), now);
                }
            }
            Told::AgentSays(sentence) => {
                self.false_alarm.is_over();
                self.leaving.take_if(|leaving| leaving.is_called_off_by_an_answer());
                self.leaving.iter_mut().for_each(|leaving| leaving.agent_says(now));
                self.debt.agent_speaks();
                self.turns.agent_says(&sentence, self.playback.epoch(), now);
            }
            Told::AgentSpoke(text) => self.turns.agent_spoke(&text),
            Told::AgentAudio(pcm) => {
                self.debt.agent_speaks();
                self.debt.agent_is_heard();
                self.filler.end();
                self.speak(&pcm, now);
            }
            Told::AgentSentenceEnded => self.turns.agent_sentence_ended(now),
            Told::AgentTurnEnded => {
                self.debt.turn_ended();
                self.leaving.iter_mut().for_each(Leaving::agent_turn_ended);
                self.turns.agent_sentence_ended(now);
                self.turns.agent_turn_ended();
            }
            Told::Interrupted => {
                self.false_alarm.interrupted(self.debt.is_in_turn() || !self.playback.is_heard_out(), now);
                self.debt.turn_ended();
                if self.voice.is_unheard() {
                    self.debt.caller_interrupted();
                }
                self.hush(now);
            }
            Told::ToolWanted { id, name, input } => {
                self.debt.tool_wanted();
                self.handle_tool_wanted(id, name, input, now);
            }
            Told::Usage(_) => {}
        }
    }

    fn handle_caller_said(&mut self, text: String, now: Instant) {
        if let Some(stopped) = self.voice.last() {
            self.turns.caller_stopped(stopped);
        }
        self.voice.understood();
        if !self.turns.caller_said(text, now) {
            return;
        }
        self.false_alarm.is_over();
        self.patience.caller_is_there(now);
        self.leaving.iter_mut().for_each(|leaving| leaving.caller_speaks(now));
        self.debt.caller_said(now);
        if self.is_playing_what_is_not_its_own(now) {
            self.hush(now);
        }
    }

    fn handle_tool_wanted(&mut self, id: ToolUseId, name: String, input: Value, now: Instant) {
        match self.tools.request(&self.setup.tools, id.clone(), name, input, now) {
            Requested::Run(call) => self.outputs.push_back(Output::RunTool(call)),
            Requested::Leave { next_step, result } => self.handle_decided_to_leave(&id, next_step, result, now),
            Requested::Refused { result } => self.answer_tool(&id, result, now),
            Requested::Again => {}
        }
    }

    fn handle_decided_to_leave(&mut self, id: &ToolUseId, next_step: NextStep, result: Value, now: Instant) {
        let has_said_nothing = self.debt.has_said_nothing();
        let is_decided = self.leaving.as_ref().is_some_and(|leaving| !leaving.yields_to(&next_step));
        if is_decided && matches!(next_step, NextStep::SendDigits { .. }) {
            return self.answer_tool(id, json!({ "error": "you are leaving the line already: send them later" }), now);
        }
        self.answer_tool(id, result, now);
        if !is_decided {
            self.leaving = Some(Leaving::new(next_step, has_said_nothing, self.limits.stall_after, now));
        }
    }

    pub(super) fn handle_tool_finished(&mut self, id: &ToolUseId, result: Value, now: Instant) {
        if matches!(self.phase, Phase::Live) {
            self.answer_tool(id, result, now);
        }
    }

    pub(super) fn give_up_on_tools(&mut self, now: Instant) {
        for (id, result) in self.tools.overdue(now) {
            self.answer_tool(&id, result, now);
            self.outputs.push_back(Output::StopTool(id));
        }
    }

    /// Tells the result to the session that asked. Another one knows nothing of the request and is told in words; so is the
    /// next, if there is none now.
    fn answer_tool(&mut self, id: &ToolUseId, result: Value, now: Instant) {
        let Some(run) = self.tools.finish(id, result, now) else { return };
        let text = told_late(&run);
        if let Some(session) = &mut self.sessions.current {
            let told = session.wire.tool_result(id, run.result.as_ref().unwrap_or(&Value::Null));
            let is_unknown = told.is_empty();
            self.outputs.extend(told.into_iter().map(|event| Output::Send(session.no, event)));
            if is_unknown {
                self.tell(&text);
            }
        }
        self.debt.told(text, now);
        self.memory.note_tool(&run);
        self.outputs.push_back(Output::Note(Entry::Tool(run)));
    }
}
