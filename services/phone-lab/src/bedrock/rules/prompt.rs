//! One prompt: its content blocks, and what may stand where.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::{
    super::{
        events::{Block, ContentStart, Data, Generation, Named, Role, SampleRate, ToolResult, require},
        report::{Remembered, Speaker},
        settings::HistoryLimits,
    },
    Input, Violation,
    policy::House,
};

#[derive(Debug)]
pub(super) struct Prompt {
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
    history_messages: usize,
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

impl Prompt {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            names: BTreeSet::new(),
            open: Vec::new(),
            has_system: false,
            has_audio: false,
            streaming: false,
            history_role: None,
            history_bytes: 0,
            history_messages: 0,
            asked: BTreeSet::new(),
        }
    }

    /// The model asked for a tool.
    pub(super) fn tool_asked(&mut self, tool_use_id: String) {
        self.asked.insert(tool_use_id);
    }

    pub(super) fn start(&mut self, start: ContentStart, house: &mut House) -> Result<Option<Input>, Violation> {
        let block = start.block()?;
        require(start.prompt_name == self.name && !start.content_name.is_empty())?;
        if self.names.contains(&start.content_name) {
            house.tolerate(31, "a content name is used again")?;
        }
        let (kind, input) = match block {
            Block::Text => {
                if let Some(role) = start.role {
                    self.place(role, start.interactive, house)?;
                }
                (Kind::Text { role: start.role, interactive: start.interactive, text: String::new() }, None)
            }
            Block::Audio(rate) => (Kind::Audio, Some(self.open_audio(rate, start.role.is_some(), house)?)),
            Block::Tool(id) => {
                require(self.has_system)?;
                if !self.asked.remove(&id) {
                    house.tolerate(48, "a tool result is for no open tool use")?;
                }
                (Kind::Tool { id, result: Map::new() }, None)
            }
        };
        self.names.insert(start.content_name.clone());
        self.open.push(Open { name: start.content_name, kind, has_data: false });
        Ok(input)
    }

    fn open_audio(&mut self, rate: SampleRate, answers: bool, house: &mut House) -> Result<Input, Violation> {
        require(self.has_system)?;
        if self.open.iter().any(|open| matches!(open.kind, Kind::Audio)) {
            house.tolerate(43, "a second audio container is open")?;
        }
        if !answers {
            house.remark("the audio contentStart has no role: this session will never be answered");
        }
        self.has_audio = true;
        Ok(Input::AudioOpened { rate, answers })
    }

    /// Says whether a text of this role may stand here.
    fn place(&mut self, role: Role, interactive: bool, house: &mut House) -> Result<(), Violation> {
        match role {
            Role::System if self.has_system => {
                Err(Violation::new("Duplicate SYSTEM content. SYSTEM content can only be provided once per prompt"))
            }
            Role::System => {
                self.has_system = true;
                Ok(())
            }
            Role::SystemSpeech => require(self.has_system && house.model() == Generation::V2),
            Role::User | Role::Assistant if interactive => require(self.has_system),
            Role::Assistant if self.streaming && house.waives(38) => Ok(()),
            Role::User | Role::Assistant => {
                require(self.has_system)?;
                if self.streaming {
                    return Err(Violation::late_history());
                }
                require(role == Role::User || self.history_role.is_some())?;
                if self.history_role == Some(role) {
                    house.repeats_role()?;
                }
                self.history_role = Some(role);
                Ok(())
            }
            Role::Tool => Err(Violation::generic()),
        }
    }

    pub(super) fn text(&mut self, data: &Data<'_>, house: &mut House) -> Result<Option<Input>, Violation> {
        let at = self.find(&data.prompt_name, &data.content_name)?;
        let Kind::Text { role, interactive, .. } = self.open[at].kind else { return Err(Violation::generic()) };
        let role = match role {
            Some(role) => role,
            None => {
                let role = data.role.ok_or_else(Violation::generic)?;
                house.remark("role is given in textInput instead of contentStart");
                self.place(role, interactive, house)?;
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

    pub(super) fn audio(&mut self, data: &Data<'_>, house: &mut House) -> Result<Option<Input>, Violation> {
        let at = self.find(&data.prompt_name, &data.content_name)?;
        require(matches!(self.open[at].kind, Kind::Audio))?;
        if self.open.iter().any(|open| matches!(open.kind, Kind::Text { .. })) {
            return Err(Violation::late_history());
        }
        let decoded = STANDARD.decode(data.content.as_bytes());
        let (samples, rest) = decoded.as_deref().unwrap_or_default().as_chunks::<2>();
        if decoded.is_err() || !rest.is_empty() {
            house.tolerate(45, "audio is no base64 of whole samples")?;
        }
        self.open[at].has_data = true;
        self.streaming = true;
        Ok(Some(Input::Audio(samples.iter().map(|&sample| i16::from_le_bytes(sample)).collect())))
    }

    pub(super) fn tool_result(&mut self, data: &ToolResult) -> Result<Option<Input>, Violation> {
        let at = self.find(&data.prompt_name, &data.content_name)?;
        let open = &mut self.open[at];
        let Kind::Tool { result, .. } = &mut open.kind else { return Err(Violation::generic()) };
        let object = data.content.as_str().and_then(|content| serde_json::from_str(content).ok());
        *result = object.ok_or_else(|| Violation::new("Tool Response parsing error"))?;
        open.has_data = true;
        Ok(None)
    }

    pub(super) fn end(&mut self, named: &Named, house: &mut House) -> Result<Option<Input>, Violation> {
        let at = self.find(&named.prompt_name, &named.content_name)?;
        if !self.open[at].has_data {
            let message = format!("Cannot end content [{}] as no content data was received", named.content_name);
            return Err(Violation::new(message));
        }
        match self.open.remove(at).kind {
            Kind::Audio => Ok(Some(Input::AudioClosed)),
            Kind::Tool { id, result } => Ok(Some(Input::ToolAnswered { tool_use_id: id, result })),
            Kind::Text { role: Some(Role::System), text, .. } => Ok(Some(Input::SystemPrompt(text))),
            Kind::Text { role: Some(Role::User), interactive: true, text } => {
                if house.audio_slips() {
                    return Err(Violation::late_history());
                }
                Ok(Some(Input::LiveText(text)))
            }
            Kind::Text { role: Some(Role::User), interactive: false, text } if !self.streaming => {
                self.remember(Remembered { by: Speaker::User, text }, house.history())
            }
            Kind::Text { role: Some(Role::Assistant), interactive: false, text } if !self.streaming => {
                self.remember(Remembered { by: Speaker::Assistant, text }, house.history())
            }
            Kind::Text { role: Some(Role::Assistant), .. } => {
                house.remark("ASSISTANT text in the middle of a conversation is dropped");
                Ok(None)
            }
            Kind::Text { role: Some(Role::User | Role::SystemSpeech | Role::Tool) | None, .. } => Ok(None),
        }
    }

    fn remember(&mut self, message: Remembered, limits: HistoryLimits) -> Result<Option<Input>, Violation> {
        let bytes = message.text.len();
        self.history_bytes += bytes;
        self.history_messages += 1;
        let too_much = bytes > limits.message_bytes
            || self.history_bytes > limits.total_bytes
            || self.history_messages > limits.messages;
        if too_much { Err(Violation::over_limit()) } else { Ok(Some(Input::History(message))) }
    }

    pub(super) fn may_end(&self, prompt_name: &str) -> Result<(), Violation> {
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
