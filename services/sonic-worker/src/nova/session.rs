use std::collections::HashSet;

use bytes::{Bytes, BytesMut};
use offhook_hosting::entropy::Entropy;
use serde::Deserialize;
use serde_json::Value;

use super::{
    ClientEvent, GenerationStage, Message, Role, ServerEvent, StopReason, ToolSpec, ToolUseId, Usage,
    input::{self, AudioInput},
};

/// Interactive text needs at least 68 ms of audio before it (measured in public reports); 100 ms at 8 kHz PCM16.
const PRIMING_SILENCE: [u8; 1600] = [0; 1600];
/// Audio that was kept back goes out in pieces of a fifth of a second.
const REPLAY_PIECE: usize = 3_200;
/// The least that keeps an audio block from being empty: 20 ms.
const LEAST_SILENCE: [u8; 320] = [0; 320];
/// A model's id, as Bedrock lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelId(String);

impl ModelId {
    /// As on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ModelId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

/// A voice's id: lower case, as the model's language page lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoiceId(String);

impl VoiceId {
    /// As on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for VoiceId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

/// How soon the model takes a pause for the end of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sensitivity {
    /// After about 1.5 s.
    High,
    /// After about 1.75 s.
    #[default]
    Medium,
    /// After about 2 s.
    Low,
}

impl Sensitivity {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::High => "HIGH",
            Self::Medium => "MEDIUM",
            Self::Low => "LOW",
        }
    }
}

/// What a session is opened with. None of it can change while the session lasts.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// Who the agent is and how it behaves.
    pub system_prompt: String,
    /// How it sounds.
    pub voice: VoiceId,
    /// When it takes its turn.
    pub sensitivity: Sensitivity,
    /// Bound on one reply; too small a one leaves the agent without a voice.
    pub max_tokens: u32,
    /// What it can do.
    pub tools: Vec<ToolSpec>,
}

/// What a session hears of when it begins to listen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beginning {
    /// The conversation before it, as [`super::sanitise`] shapes it.
    pub history: Vec<Message>,
    /// What the caller has said and no session has understood, as little-endian PCM16.
    pub caller_audio: Vec<u8>,
    /// Conversational text that the model is to answer at once. `None`: it waits for the caller.
    pub text: Option<String>,
}

/// What the model tells, freed of the wire's framing.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The caller's words, once they are complete.
    CallerSaid(String),
    /// What was taken for the caller's voice had no words in it.
    CallerSaidNothing,
    /// The sentence that the agent begins to speak.
    AgentSays(String),
    /// Words that the agent has spoken, a sentence or the beginning of one. Comes seconds after the voice, or never.
    AgentSpoke(String),
    /// The agent's voice: whole samples of little-endian PCM16.
    AgentAudio(Bytes),
    /// The sentence is over, and more of the turn may come.
    AgentSentenceEnded,
    /// The agent has finished its turn, and no more audio comes before the next.
    AgentTurnEnded,
    /// The caller interrupted: what is not yet played must not be.
    Interrupted,
    /// A tool is wanted.
    ToolWanted {
        /// Which request.
        id: ToolUseId,
        /// Which tool.
        name: String,
        /// Its input, or [`Value::Null`] when the model sent no JSON object.
        input: Value,
    },
    /// Totals since this session began.
    Usage(Usage),
}

/// One model session, from its first event to its last: makes sure that what is sent is always in an order the model
/// accepts, and reads what comes back.
///
/// Calling order: [`Session::open`]'s events go out before the answer is awaited; [`Session::begin`] once the answer is
/// there and the session is needed; then audio, results and [`Session::handle_event`] as they come; [`Session::close`]
/// once, however the call ended. Events come out in the order they must be sent, and nothing may be sent between those of
/// one call.
#[derive(Debug)]
pub struct Session {
    prompt: String,
    entropy: Entropy,
    state: State,
    block: Block,
    odd_byte: Option<u8>,
    unanswered: HashSet<ToolUseId>,
}

#[derive(Debug)]
enum State {
    Opening,
    Listening { audio_name: String, audio: AudioInput },
    Closed,
}

/// The output block that is open; blocks come one after the other.
#[derive(Debug)]
enum Block {
    None,
    Text { role: Role, stage: GenerationStage, text: String, interrupted: bool },
}

impl Session {
    /// A new session and the events that open it.
    pub fn open(setup: &Setup, mut entropy: Entropy) -> (Self, Vec<ClientEvent>) {
        let prompt = entropy.uuid().to_string();
        let system = entropy.uuid().to_string();
        let mut events = vec![input::session_start(setup), input::prompt_start(&prompt, setup)];
        events.extend(input::text_block(&prompt, &system, "SYSTEM", false, &setup.system_prompt));
        let session = Self {
            prompt,
            entropy,
            state: State::Opening,
            block: Block::None,
            odd_byte: None,
            unanswered: HashSet::new(),
        };
        (session, events)
    }

    /// Tells the model what was before and opens the caller's audio. Nothing when it has begun already.
    pub fn begin(&mut self, Beginning { history, caller_audio, text }: Beginning) -> Vec<ClientEvent> {
        if !matches!(self.state, State::Opening) {
            return Vec::new();
        }
        let mut events = Vec::new();
        // Before any audio, and not interactive: it would be answered as if it were said now.
        for message in &history {
            let content = self.entropy.uuid().to_string();
            events.extend(input::text_block(&self.prompt, &content, message.role.as_str(), false, &message.text));
        }
        events.extend(self.start_audio(&PRIMING_SILENCE));
        events.extend(caller_audio.chunks(REPLAY_PIECE).filter_map(|piece| self.audio(piece)));
        events.extend(text.iter().flat_map(|text| self.text(text)));
        events
    }

    /// Text that the model answers as if the caller had said it: a whole block, after the audio that makes the model
    /// attentive. Nothing before the session listens and after it closed.
    pub fn text(&mut self, text: &str) -> Vec<ClientEvent> {
        match self.state {
            State::Listening { .. } => {
                let content = self.entropy.uuid().to_string();
                input::text_block(&self.prompt, &content, "USER", true, text)
            }
            State::Opening | State::Closed => Vec::new(),
        }
    }

    /// The caller's voice as little-endian PCM16. `None` before the session listens and after it closed.
    pub fn audio(&self, pcm: &[u8]) -> Option<ClientEvent> {
        match &self.state {
            State::Listening { audio, .. } => Some(audio.event(pcm)),
            State::Opening | State::Closed => None,
        }
    }

    /// The answer to a tool request. Nothing for a request that is unknown or answered already.
    pub fn tool_result(&mut self, id: &ToolUseId, result: &Value) -> Vec<ClientEvent> {
        if !matches!(self.state, State::Listening { .. }) || !self.unanswered.remove(id) {
            return Vec::new();
        }
        let content = self.entropy.uuid().to_string();
        input::tool_result(&self.prompt, &content, id, result).into()
    }

    /// Ends the session by the book; the input stream must be ended after these. Nothing when closed already.
    pub fn close(&mut self) -> Vec<ClientEvent> {
        let mut events = Vec::new();
        if matches!(self.state, State::Opening) {
            // A prompt without any audio block must not be ended.
            events = self.start_audio(&LEAST_SILENCE);
        }
        if let State::Listening { audio_name, .. } = std::mem::replace(&mut self.state, State::Closed) {
            events.push(input::content_end(&self.prompt, &audio_name));
            events.push(input::prompt_end(&self.prompt));
            events.push(input::session_end());
        }
        events
    }

    /// Reads an event of the model.
    pub fn handle_event(&mut self, event: ServerEvent) -> Option<Told> {
        match event {
            ServerEvent::TextStart { role, stage } => {
                self.block = Block::Text { role, stage, text: String::new(), interrupted: false };
                None
            }
            ServerEvent::Text(words) => self.handle_text(words),
            ServerEvent::TextEnd(reason) => self.handle_text_end(reason),
            ServerEvent::Audio(pcm) => self.whole_samples(pcm).map(Told::AgentAudio),
            ServerEvent::AudioEnd(StopReason::EndTurn) => Some(Told::AgentTurnEnded),
            ServerEvent::AudioEnd(StopReason::Interrupted) => Some(Told::Interrupted),
            ServerEvent::ToolUse { id, name, input } => {
                self.unanswered.insert(id.clone());
                Some(Told::ToolWanted { id, name, input })
            }
            ServerEvent::Usage(usage) => Some(Told::Usage(usage)),
            ServerEvent::AudioStart => {
                self.odd_byte = None;
                None
            }
            ServerEvent::AudioEnd(StopReason::PartialTurn | StopReason::ToolUse | StopReason::Other) => {
                Some(Told::AgentSentenceEnded)
            }
            ServerEvent::CompletionStart
            | ServerEvent::CompletionEnd
            | ServerEvent::ToolFrame
            | ServerEvent::Unknown => None,
        }
    }

    fn start_audio(&mut self, silence: &[u8]) -> Vec<ClientEvent> {
        let audio_name = self.entropy.uuid().to_string();
        let audio = AudioInput::new(&self.prompt, &audio_name);
        let events = vec![input::audio_start(&self.prompt, &audio_name), audio.event(silence)];
        self.state = State::Listening { audio_name, audio };
        events
    }

    fn handle_text(&mut self, words: String) -> Option<Told> {
        let Block::Text { text, interrupted, .. } = &mut self.block else { return None };
        if is_interruption(&words) {
            return (!std::mem::replace(interrupted, true)).then_some(Told::Interrupted);
        }
        text.push_str(&words);
        None
    }

    fn handle_text_end(&mut self, reason: StopReason) -> Option<Told> {
        let Block::Text { role, stage, text, interrupted } = std::mem::replace(&mut self.block, Block::None) else {
            return None;
        };
        match (role, stage) {
            _ if reason == StopReason::Interrupted && !interrupted => Some(Told::Interrupted),
            (Role::User, _) if text.trim().is_empty() => Some(Told::CallerSaidNothing),
            _ if text.trim().is_empty() => None,
            (Role::User, _) => Some(Told::CallerSaid(text)),
            (Role::Assistant, GenerationStage::Speculative) => Some(Told::AgentSays(text)),
            (Role::Assistant, GenerationStage::Final) => Some(Told::AgentSpoke(text)),
            (Role::Other, _) => None,
        }
    }

    /// An event may end in the middle of a sample.
    fn whole_samples(&mut self, pcm: Bytes) -> Option<Bytes> {
        let mut pcm = match self.odd_byte.take() {
            Some(byte) => BytesMut::from_iter(std::iter::once(byte).chain(pcm)).freeze(),
            None => pcm,
        };
        if pcm.len() % 2 == 1 {
            self.odd_byte = pcm.split_off(pcm.len() - 1).first().copied();
        }
        (!pcm.is_empty()).then_some(pcm)
    }
}

/// The marker `{ "interrupted" : true }` in any spacing.
fn is_interruption(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Marker {
        interrupted: bool,
    }
    text.trim_start().starts_with('{') && serde_json::from_str::<Marker>(text).is_ok_and(|marker| marker.interrupted)
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
