//! What the model utters, written as events and put on record.

use std::time::Instant;

use super::{
    super::{
        fault::Quirk,
        speaking::Piece,
        wire::{Stop, Writer},
    },
    Model, Note, Output, Phase, TOKENS_OUT, text_tokens,
};

/// So many events after a usage event comes the next, if none has come before.
const USAGE_EVERY: usize = 20;

impl Model {
    pub(super) fn utter(&mut self, piece: Piece, now: Instant) {
        match piece {
            Piece::Transcript(text) => self.transcribe(&text),
            Piece::Text(text) => {
                self.note(Note::Said(text.clone()));
                self.playout.begin(self.sentences, text.clone());
                self.sentences += 1;
                self.usage.output_text += text_tokens(&text);
                let id = self.ids.uuid();
                self.write(|writer| writer.speculative_text(id, &text));
            }
            Piece::AudioStart => {
                let id = self.ids.uuid();
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
            Piece::Tool(ask) => self.ask(ask),
        }
    }

    pub(super) fn transcribe(&mut self, text: &str) {
        let id = self.ids.uuid();
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
            self.count_events(1);
        }
    }

    pub(super) fn end_audio(&mut self, stop: Stop) {
        if let Some(id) = self.audio.take() {
            self.write(|writer| [writer.audio_end(id, stop)]);
        }
    }

    pub(super) fn report_usage(&mut self) {
        let (before, total) = (self.reported, self.usage);
        (self.reported, self.unreported) = (total, 0);
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
            self.count_events(N);
        }
    }

    fn count_events(&mut self, events: usize) {
        self.unreported += events;
        if self.unreported >= USAGE_EVERY {
            self.report_usage();
        }
    }
}
