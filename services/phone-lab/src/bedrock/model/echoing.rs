//! What an echoing model does: no turns, no pauses, no words. Each piece of caller audio is one `audioOutput`, at once,
//! unless its listener has something else said.

use std::time::Instant;

use super::{
    super::{echo::EchoReply, speaking::Piece, wire::Stop},
    Model,
};

/// The SPECULATIVE text of an echo.
const TEXT: &str = "(echo)";

impl Model {
    /// Says what it heard, if it is an echo.
    pub(super) fn echo(&mut self, pcm: &[i16], now: Instant) -> bool {
        let Some(listener) = &mut self.echo else { return false };
        let reply = listener.hear(pcm, now);
        let says = match &reply {
            EchoReply::Say | EchoReply::Interrupt => pcm,
            EchoReply::Instead(other) => other,
        };
        if says.is_empty() {
            return true;
        }
        if reply == EchoReply::Interrupt && self.audio.is_some() {
            self.end_audio(Stop::EndTurn);
            let id = self.ids.uuid();
            self.write(|writer| writer.interruption(id, false));
        }
        if self.audio.is_none() {
            self.utter(Piece::Text(TEXT.into()), now);
            self.utter(Piece::AudioStart, now);
        }
        self.utter(Piece::Audio(says.to_vec()), now);
        true
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant cannot be invented")]
mod tests {
    use std::sync::Arc;

    use offhook_hosting::entropy::Entropy;
    use uuid::Uuid;

    use super::{
        super::{
            super::{
                echo::{Echo, EchoListener},
                events::{Generation, SampleRate},
                rules::Input,
                settings::Settings,
            },
            Note, Output,
        },
        *,
    };

    /// Takes any silent piece for an interruption, and answers very loud ones with something else.
    #[derive(Debug)]
    struct Canyon;

    const LOUD: i16 = 30_000;

    impl Echo for Canyon {
        fn listener(&self) -> Box<dyn EchoListener> {
            Box::new(Self)
        }
    }

    impl EchoListener for Canyon {
        fn hear(&mut self, pcm: &[i16], _: Instant) -> EchoReply {
            match pcm {
                [0, ..] => EchoReply::Interrupt,
                [LOUD, rest @ ..] => EchoReply::Instead(rest.to_vec()),
                _ => EchoReply::Say,
            }
        }
    }

    /// The events since the last call, by name.
    fn events(model: &mut Model) -> Vec<String> {
        let outputs = std::iter::from_fn(|| model.poll_output());
        let json = outputs.filter_map(|output| match output {
            Output::Event(json) | Output::Audio(json) => Some(json),
            Output::Note(_) | Output::Fault(_) | Output::TimeOut(..) => None,
        });
        json.filter_map(|json| json.split('"').nth(3).map(str::to_owned)).collect()
    }

    /// A model with an open prompt and an open ear.
    fn listening(now: Instant) -> Model {
        let settings = Settings { echo: Some(Arc::new(Canyon)), ..Settings::default() };
        let mut model =
            Model::new(settings.into(), Generation::V2, Uuid::nil(), Entropy::from_seed(1), Vec::new(), now);
        let prompt = Input::PromptStarted { prompt: "P".into(), output_rate: SampleRate::Hz8000, tools: Vec::new() };
        model.handle_input(prompt, now);
        model.handle_input(Input::AudioOpened { rate: SampleRate::Hz8000, answers: true }, now);
        model
    }

    #[test]
    fn each_piece_is_said_at_once_and_an_interruption_ends_the_block_before() {
        let now = Instant::now();
        let mut model = listening(now);
        model.handle_input(Input::LiveText("hello".into()), now);
        assert_eq!(events(&mut model), [""; 0], "text is no sound");
        let opened = ["contentStart", "textOutput", "contentEnd", "contentStart", "audioOutput"];
        model.handle_input(Input::Audio(vec![1000; 160]), now);
        assert_eq!(events(&mut model), [&["completionStart"], &opened[..]].concat());
        model.handle_input(Input::Audio(vec![1000; 160]), now);
        assert_eq!(events(&mut model), ["audioOutput"]);
        model.handle_input(Input::Audio(vec![0; 160]), now);
        let interrupted = ["contentEnd", "contentStart", "textOutput", "contentEnd"];
        assert_eq!(events(&mut model), [&interrupted[..], &opened[..]].concat());
    }

    #[test]
    fn what_is_to_be_said_instead_is_said_and_nothing_is_no_audio() {
        let now = Instant::now();
        let mut model = listening(now);
        model.handle_input(Input::Audio(vec![LOUD]), now);
        assert_eq!(events(&mut model), [""; 0]);
        model.handle_input(Input::Audio(vec![LOUD, 1, 2, 3]), now);
        let outputs = std::iter::from_fn(|| model.poll_output());
        let voice = outputs.filter_map(|output| match output {
            Output::Note(Note::Voice(pcm)) => Some(pcm),
            Output::Note(_) | Output::Event(_) | Output::Audio(_) | Output::Fault(_) | Output::TimeOut(..) => None,
        });
        assert_eq!(voice.collect::<Vec<_>>(), [[1, 2, 3]]);
    }
}
