//! What the model utters, written as events and put on record.

use std::time::Instant;

use serde_json::{Map, Value};

use super::{
    super::{
        fault::Quirk,
        script::ToolPlan,
        speaking::Piece,
        wire::{Stop, Writer},
    },
    Model, Note, Output, Phase, TOKENS_OUT, text_tokens,
};

impl Model {
    pub(super) fn utter(&mut self, piece: Piece, now: Instant) {
        match piece {
            Piece::Transcript(text) => self.transcribe(&text),
            Piece::Text(text) => {
                self.note(Note::Said(text.clone()));
                self.playout.begin(self.sentences, text.clone());
                self.sentences += 1;
                self.usage.output_text += text_tokens(&text);
                let id = self.entropy.uuid();
                self.write(|writer| writer.speculative_text(id, &text));
            }
            Piece::AudioStart => {
                let id = self.entropy.uuid();
                self.audio = Some(id);
                self.write(|writer| [writer.audio_start(id)]);
            }
            Piece::Audio(pcm) => self.voice(pcm, now),
            Piece::AudioEnd { last } => {
                self.playout.end(now);
                self.end_audio(if last { Stop::EndTurn } else { Stop::PartialTurn });
                self.report_usage();
                if last {
                    self.confirm_earlier_turns();
                }
            }
            Piece::Tool(plan) => self.ask(plan),
        }
    }

    pub(super) fn transcribe(&mut self, text: &str) {
        let id = self.entropy.uuid();
        if self.is_odd(Quirk::UnknownEvent) {
            self.write(|writer| [writer.user_speech_end()]);
        }
        self.write(|writer| writer.user_text(id, text));
        self.report_usage();
    }

    fn voice(&mut self, pcm: Vec<i16>, now: Instant) {
        self.spoken += pcm.len() as u64;
        self.usage.output_speech = self.spoken * TOKENS_OUT / 800_000;
        self.playout.extend(pcm.len(), now);
        if let (Phase::InPrompt { writer, .. }, Some(id)) = (&self.phase, self.audio) {
            let event = writer.audio(id, &pcm);
            self.outputs.extend([Output::Note(Note::Voice(pcm)), Output::Audio(event)]);
        }
    }

    fn ask(&mut self, plan: ToolPlan) {
        if !self.tools.contains(&plan.name) {
            self.note(Note::Remark(format!("the script asks for tool {}, which the client does not offer", plan.name)));
            self.follow_ups.extend(plan.reply(&Map::new()));
            return;
        }
        let (id, tool_use_id) = (self.entropy.uuid(), self.entropy.uuid().to_string());
        self.usage.output_text += 1 + plan.input.len() as u64;
        let (name, input) = (plan.name.clone(), Value::Object(plan.input.clone()));
        let written = if self.is_odd(Quirk::DoubleEncodedTool) { input.to_string().into() } else { input.clone() };
        self.write(|writer| writer.tool_use(id, &plan.name, &tool_use_id, &written));
        self.note(Note::ToolAsked { tool_use_id: tool_use_id.clone(), name, input });
        self.asked.insert(tool_use_id, plan);
        self.report_usage();
    }

    pub(super) fn end_audio(&mut self, stop: Stop) {
        if let Some(id) = self.audio.take() {
            self.write(|writer| [writer.audio_end(id, stop)]);
        }
    }

    pub(super) fn report_usage(&mut self) {
        let (before, total) = (self.reported, self.usage);
        self.reported = total;
        self.note(Note::Usage(total));
        if let Phase::InPrompt { writer, .. } = &self.phase {
            self.outputs.push_back(Output::Event(writer.usage(before, total)));
        }
    }

    /// Writes events, the session's completionStart before the first.
    pub(super) fn write<const N: usize>(&mut self, events: impl FnOnce(&Writer) -> [String; N]) {
        if let Phase::InPrompt { writer, started } = &mut self.phase {
            if !std::mem::replace(started, true) {
                self.outputs.push_back(Output::Event(writer.completion_start()));
            }
            self.outputs.extend(events(writer).map(Output::Event));
        }
    }
}
