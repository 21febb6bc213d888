//! The order of a session's events.
//!
//! Pure: hand each event to [`Rules::handle_event`]; what comes out can be trusted, and the first [`Violation`] ends the
//! session. Habits that the service tolerates but that a client should not have are collected by
//! [`Rules::take_remarks`]. Where the service's wording is known from reports, the violation has exactly that text.

mod policy;
mod prompt;

use serde_json::{Map, Value};

pub(super) use self::policy::Policy;
use self::{policy::House, prompt::Prompt};
use super::{
    events::{Event, PromptStart, SampleRate, Sensitivity},
    report::Remembered,
};

/// Why an event ends the session: the text of the `validationException`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation(String);

impl Violation {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// What the service says when it does not say what is wrong.
    pub(super) fn generic() -> Self {
        Self::new("Invalid input request, please fix your input and try again.")
    }

    pub(super) fn unparsable() -> Self {
        Self::new("Unable to parse input chunk")
    }

    fn over_limit() -> Self {
        Self::new("Chat history is over max limit. Trim chat history and try again.")
    }

    fn late_history() -> Self {
        Self::new("Chat history should be sent completely before streaming audio.")
    }

    pub(super) fn message(&self) -> &str {
        &self.0
    }
}

/// What an event means to the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    SessionStarted {
        sensitivity: Sensitivity,
    },
    PromptStarted {
        prompt: String,
        output_rate: SampleRate,
        tools: Vec<String>,
    },
    SystemPrompt(String),
    /// One message of the conversation before this session.
    History(Remembered),
    /// Interactive text of the user.
    LiveText(String),
    AudioOpened {
        rate: SampleRate,
        answers: bool,
    },
    Audio(Vec<i16>),
    AudioClosed,
    ToolAnswered {
        tool_use_id: String,
        result: Map<String, Value>,
    },
    PromptEnded,
    SessionEnded,
}

/// The state of one session, as far as the order of events depends on it.
#[derive(Debug)]
pub(super) struct Rules {
    house: House,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    New,
    SessionStarted,
    InPrompt(Box<Prompt>),
    PromptEnded,
    SessionEnded,
}

impl Rules {
    pub(super) fn new(policy: Policy) -> Self {
        Self { house: House::new(policy), phase: Phase::New }
    }

    /// The model asked for a tool: its result may come.
    pub(super) fn tool_asked(&mut self, tool_use_id: String) {
        if let Phase::InPrompt(prompt) = &mut self.phase {
            prompt.tool_asked(tool_use_id);
        }
    }

    /// Tolerated misbehaviour since the last call.
    pub(super) fn take_remarks(&mut self) -> Vec<String> {
        self.house.take_remarks()
    }

    /// Says whether the client said goodbye: the stream may end.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::SessionEnded)
    }

    /// Takes the next event; none if it completes nothing yet.
    pub(super) fn handle_event(&mut self, json: &[u8]) -> Result<Option<Input>, Violation> {
        let event = Event::parse(json)?;
        let house = &mut self.house;
        match (&mut self.phase, event) {
            (Phase::New, Event::SessionStart(start)) => {
                let sensitivity = start.sensitivity(house.model(), house.waives(24))?;
                self.phase = Phase::SessionStarted;
                Ok(Some(Input::SessionStarted { sensitivity }))
            }
            (Phase::SessionStarted, Event::PromptStart(start)) => {
                let (output_rate, tools) = (start.output_rate(house.model())?, start.tools()?);
                let PromptStart { prompt_name: prompt, .. } = start;
                self.phase = Phase::InPrompt(Box::new(Prompt::new(prompt.clone())));
                Ok(Some(Input::PromptStarted { prompt, output_rate, tools }))
            }
            (Phase::InPrompt(prompt), Event::ContentStart(start)) => prompt.start(start, house),
            (Phase::InPrompt(prompt), Event::AudioInput(data)) => prompt.audio(&data, house),
            (Phase::InPrompt(prompt), Event::TextInput(data)) => prompt.text(&data, house),
            (Phase::InPrompt(prompt), Event::ToolResult(data)) => prompt.tool_result(&data),
            (Phase::InPrompt(prompt), Event::ContentEnd(named)) => prompt.end(&named, house),
            (Phase::InPrompt(prompt), Event::PromptEnd(end)) => {
                prompt.may_end(&end.prompt_name)?;
                self.phase = Phase::PromptEnded;
                Ok(Some(Input::PromptEnded))
            }
            (Phase::PromptEnded, Event::SessionEnd(_)) => {
                self.phase = Phase::SessionEnded;
                Ok(Some(Input::SessionEnded))
            }
            (Phase::InPrompt(_), Event::SessionEnd(_)) => {
                house.tolerate(51, "sessionEnd comes without promptEnd")?;
                self.phase = Phase::SessionEnded;
                Ok(Some(Input::PromptEnded))
            }
            (Phase::SessionEnded, _) => {
                house.tolerate(51, "an event follows sessionEnd")?;
                Ok(None)
            }
            (
                Phase::New | Phase::SessionStarted | Phase::InPrompt(_) | Phase::PromptEnded,
                Event::SessionStart(_)
                | Event::PromptStart(_)
                | Event::ContentStart(_)
                | Event::TextInput(_)
                | Event::AudioInput(_)
                | Event::ToolResult(_)
                | Event::ContentEnd(_)
                | Event::PromptEnd(_)
                | Event::SessionEnd(_),
            ) => Err(Violation::generic()),
        }
    }
}

#[cfg(test)]
mod tests;
