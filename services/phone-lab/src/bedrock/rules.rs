//! The order of a session's events.
//!
//! Pure: hand each event to [`Rules::handle_event`]; what comes out can be trusted, and the first [`Violation`] ends the
//! session. Habits that the service tolerates but that a client should not have are collected by
//! [`Rules::take_remarks`]. Where the service's wording is known from reports, the violation has exactly that text.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::events::{
    Block, ContentStart, Data, Event, Generation, Named, PromptStart, Role, SampleRate, Sensitivity, ToolResult,
    require,
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
    History,
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
    model: Generation,
    phase: Phase,
    remarks: Vec<String>,
}

#[derive(Debug)]
enum Phase {
    New,
    SessionStarted,
    InPrompt(Box<Prompt>),
    PromptEnded,
    SessionEnded,
}

#[derive(Debug)]
struct Prompt {
    name: String,
    /// Every content name so far.
    names: BTreeSet<String>,
    open: Vec<Open>,
    has_system: bool,
    has_audio: bool,
    /// The first `audioInput` was there: history is over.
    streaming: bool,
    history_role: Option<Role>,
    history_bytes: usize,
    /// Tool uses without a result.
    asked: BTreeSet<String>,
}

#[derive(Debug)]
struct Open {
    name: String,
    kind: Kind,
    has_data: bool,
}

#[derive(Debug)]
enum Kind {
    Text { role: Option<Role>, interactive: bool, text: String },
    Audio,
    Tool { id: String, result: Map<String, Value> },
}

impl Rules {
    pub(super) fn new(model: Generation) -> Self {
        Self { model, phase: Phase::New, remarks: Vec::new() }
    }

    /// The model asked for a tool: its result may come.
    pub(super) fn tool_asked(&mut self, tool_use_id: String) {
        if let Phase::InPrompt(prompt) = &mut self.phase {
            prompt.asked.insert(tool_use_id);
        }
    }

    /// Tolerated misbehaviour since the last call.
    pub(super) fn take_remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }

    /// Says whether the client said goodbye: the stream may end.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::SessionEnded)
    }

    /// Takes the next event; none if it completes nothing yet.
    pub(super) fn handle_event(&mut self, json: &[u8]) -> Result<Option<Input>, Violation> {
        let event = Event::parse(json)?;
        let model = self.model;
        match (&mut self.phase, event) {
            (Phase::New, Event::SessionStart(start)) => {
                let sensitivity = start.sensitivity(model)?;
                self.phase = Phase::SessionStarted;
                Ok(Some(Input::SessionStarted { sensitivity }))
            }
            (Phase::SessionStarted, Event::PromptStart(start)) => {
                let (output_rate, tools) = (start.output_rate(model)?, start.tools()?);
                let PromptStart { prompt_name: prompt, .. } = start;
                self.phase = Phase::InPrompt(Box::new(Prompt::new(prompt.clone())));
                Ok(Some(Input::PromptStarted { prompt, output_rate, tools }))
            }
            (Phase::InPrompt(prompt), Event::ContentStart(start)) => prompt.start(start, model, &mut self.remarks),
            (Phase::InPrompt(prompt), Event::AudioInput(data)) => prompt.audio(&data),
            (Phase::InPrompt(prompt), Event::TextInput(data)) => prompt.text(&data, model, &mut self.remarks),
            (Phase::InPrompt(prompt), Event::ToolResult(data)) => prompt.tool_result(&data),
            (Phase::InPrompt(prompt), Event::ContentEnd(named)) => prompt.end(&named, model, &mut self.remarks),
            (Phase::InPrompt(prompt), Event::PromptEnd(end)) => {
                prompt.may_end(&end.prompt_name)?;
                self.phase = Phase::PromptEnded;
                Ok(Some(Input::PromptEnded))
            }
            (Phase::PromptEnded, Event::SessionEnd(_)) => {
                self.phase = Phase::SessionEnded;
                Ok(Some(Input::SessionEnded))
            }
            (
                Phase::New | Phase::SessionStarted | Phase::InPrompt(_) | Phase::PromptEnded | Phase::SessionEnded,
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

impl Prompt {
    fn new(name: String) -> Self {
        Self {
            name,
            names: BTreeSet::new(),
            open: Vec::new(),
            has_system: false,
            has_audio: false,
            streaming: false,
            history_role: None,
            history_bytes: 0,
            asked: BTreeSet::new(),
        }
    }

    fn start(
        &mut self,
        start: ContentStart,
        model: Generation,
        remarks: &mut Vec<String>,
    ) -> Result<Option<Input>, Violation> {
        let block = start.block()?;
        let fresh = !start.content_name.is_empty() && !self.names.contains(&start.content_name);
        require(start.prompt_name == self.name && fresh)?;
        let (kind, input) = match block {
            Block::Text => {
                if let Some(role) = start.role {
                    self.place(role, start.interactive, model, remarks)?;
                }
                (Kind::Text { role: start.role, interactive: start.interactive, text: String::new() }, None)
            }
            Block::Audio(rate) => {
                require(self.has_system && !self.open.iter().any(|open| matches!(open.kind, Kind::Audio)))?;
                let answers = start.role.is_some();
                if !answers {
                    remarks.push("the audio contentStart has no role: this session will never be answered".into());
                }
                self.has_audio = true;
                (Kind::Audio, Some(Input::AudioOpened { rate, answers }))
            }
            Block::Tool(id) => {
                require(self.has_system && self.asked.remove(&id))?;
                (Kind::Tool { id, result: Map::new() }, None)
            }
        };
        self.names.insert(start.content_name.clone());
        self.open.push(Open { name: start.content_name, kind, has_data: false });
        Ok(input)
    }

    /// Says whether a text of this role may stand here.
    fn place(
        &mut self,
        role: Role,
        interactive: bool,
        model: Generation,
        remarks: &mut Vec<String>,
    ) -> Result<(), Violation> {
        match role {
            Role::System if self.has_system => {
                Err(Violation::new("Duplicate SYSTEM content. SYSTEM content can only be provided once per prompt"))
            }
            Role::System => {
                self.has_system = true;
                Ok(())
            }
            Role::SystemSpeech => require(self.has_system && model == Generation::V2),
            Role::User | Role::Assistant if interactive => require(self.has_system),
            Role::User | Role::Assistant => {
                require(self.has_system)?;
                if self.streaming {
                    return Err(Violation::late_history());
                }
                require(role == Role::User || self.history_role.is_some())?;
                if self.history_role == Some(role) {
                    remarks.push("history roles do not alternate".into());
                }
                self.history_role = Some(role);
                Ok(())
            }
            Role::Tool => Err(Violation::generic()),
        }
    }

    fn text(
        &mut self,
        data: &Data<'_>,
        model: Generation,
        remarks: &mut Vec<String>,
    ) -> Result<Option<Input>, Violation> {
        let at = self.find(&data.prompt_name, &data.content_name)?;
        let Kind::Text { role, interactive, .. } = self.open[at].kind else { return Err(Violation::generic()) };
        let role = match role {
            Some(role) => role,
            None => {
                let role = data.role.ok_or_else(Violation::generic)?;
                remarks.push("role is given in textInput instead of contentStart".into());
                self.place(role, interactive, model, remarks)?;
                role
            }
        };
        let open = &mut self.open[at];
        open.has_data = true;
        if let Kind::Text { role: known, text, .. } = &mut open.kind {
            *known = Some(role);
            text.push_str(&data.content);
        }
        Ok(None)
    }

    fn audio(&mut self, data: &Data<'_>) -> Result<Option<Input>, Violation> {
        let at = self.find(&data.prompt_name, &data.content_name)?;
        require(matches!(self.open[at].kind, Kind::Audio))?;
        if self.open.iter().any(|open| matches!(open.kind, Kind::Text { .. })) {
            return Err(Violation::late_history());
        }
        let bytes = STANDARD.decode(data.content.as_bytes()).map_err(|_| Violation::generic())?;
        let (samples, rest) = bytes.as_chunks::<2>();
        require(rest.is_empty())?;
        self.open[at].has_data = true;
        self.streaming = true;
        Ok(Some(Input::Audio(samples.iter().map(|&sample| i16::from_le_bytes(sample)).collect())))
    }

    fn tool_result(&mut self, data: &ToolResult) -> Result<Option<Input>, Violation> {
        let at = self.find(&data.prompt_name, &data.content_name)?;
        let open = &mut self.open[at];
        let Kind::Tool { result, .. } = &mut open.kind else { return Err(Violation::generic()) };
        let object = data.content.as_str().and_then(|content| serde_json::from_str(content).ok());
        *result = object.ok_or_else(|| Violation::new("Tool Response parsing error"))?;
        open.has_data = true;
        Ok(None)
    }

    fn end(&mut self, named: &Named, model: Generation, remarks: &mut Vec<String>) -> Result<Option<Input>, Violation> {
        let at = self.find(&named.prompt_name, &named.content_name)?;
        if !self.open[at].has_data {
            let message = format!("Cannot end content [{}] as no content data was received", named.content_name);
            return Err(Violation::new(message));
        }
        match self.open.remove(at).kind {
            Kind::Audio => Ok(Some(Input::AudioClosed)),
            Kind::Tool { id, result } => Ok(Some(Input::ToolAnswered { tool_use_id: id, result })),
            Kind::Text { role: Some(Role::System), text, .. } => Ok(Some(Input::SystemPrompt(text))),
            Kind::Text { role: Some(Role::User), interactive: true, text } => Ok(Some(Input::LiveText(text))),
            Kind::Text { role: Some(Role::User | Role::Assistant), interactive: false, text } => {
                self.remember(text.len(), model)
            }
            Kind::Text { role: Some(Role::Assistant), interactive: true, .. } => {
                remarks.push("interactive ASSISTANT text is dropped".into());
                Ok(None)
            }
            Kind::Text { role: Some(Role::SystemSpeech | Role::Tool) | None, .. } => Ok(None),
        }
    }

    fn remember(&mut self, bytes: usize, model: Generation) -> Result<Option<Input>, Violation> {
        let (message, total) = model.history_limits();
        self.history_bytes += bytes;
        if bytes > message || self.history_bytes > total {
            return Err(Violation::new("Chat history is over max limit. Trim chat history and try again."));
        }
        Ok(Some(Input::History))
    }

    fn may_end(&self, prompt_name: &str) -> Result<(), Violation> {
        require(prompt_name == self.name)?;
        if !self.open.is_empty() {
            return Err(Violation::new("All contents must be closed before ending prompt"));
        }
        if !self.has_audio {
            return Err(Violation::new(format!("Prompt [{prompt_name}] must have at least one audio content")));
        }
        Ok(())
    }

    fn find(&self, prompt_name: &str, content_name: &str) -> Result<usize, Violation> {
        require(prompt_name == self.name)?;
        self.open.iter().position(|open| open.name == content_name).ok_or_else(Violation::generic)
    }
}

#[cfg(test)]
mod tests;
