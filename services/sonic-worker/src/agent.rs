//! Who answers the phone.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    calls::NextStep,
    nova::{Sensitivity, Setup, ToolSpec, VoiceId},
};

/// An agent: what it is told about itself, how it sounds, and what is said for it when it cannot speak.
#[derive(Clone, Debug)]
pub struct Agent {
    /// What the agent is called, in records and metrics.
    pub name: String,
    /// Who it is and how it behaves.
    pub system_prompt: String,
    /// What it says first. `None`: what the prompt makes it say.
    pub greeting: Option<String>,
    /// What it says to a robot that screens calls, where it has called. `None`: what the prompt makes it say.
    pub introduction: Option<String>,
    /// How it sounds.
    pub voice: VoiceId,
    /// When it takes its turn.
    pub sensitivity: Sensitivity,
    /// What a caller hears from Twilio when the model cannot be had.
    pub apology: String,
    /// Instead, before a human's phone rings, where there is one.
    pub hand_over: String,
    /// What a caller who does not answer any more hears from Twilio before the line closes.
    pub farewell_silence: String,
    /// What a caller hears from Twilio when the call has been as long as it may be.
    pub farewell_time_up: String,
}

/// Bound on one reply. 1,024 was found to leave replies without any speech.
const MAX_TOKENS: u32 = 4_096;
/// Why a call is handed over that the model cannot serve.
const UNAVAILABLE: &str = "The assistant is not available.";
const GREET: &str = "\n\nWhen the call connects, say exactly this first, and nothing before it: ";
/// Starts the agent speaking. Instruction-like text is answered as conversation, so it is a greeting.
const OPENING_TEXT: &str = "hi";

impl From<&offhook_agents::Agent> for Agent {
    fn from(agent: &offhook_agents::Agent) -> Self {
        let sentences = &agent.sentences;
        Self {
            name: agent.name.to_string(),
            system_prompt: agent.prompt.clone(),
            greeting: agent.greeting.clone(),
            introduction: agent.introduction.clone(),
            voice: VoiceId::from(agent.voice.as_str()),
            sensitivity: Sensitivity::default(),
            apology: sentences.apology.clone(),
            hand_over: sentences.hand_over.clone(),
            farewell_silence: sentences.farewell_silence.clone(),
            farewell_time_up: sentences.farewell_time_up.clone(),
        }
    }
}

impl Agent {
    /// The built-in agent: the front desk of a small hotel, with the sample's tools.
    pub fn demo() -> Self {
        Self::from(&offhook_agents::Agent::demo(None))
    }

    /// What a model session for this agent is opened with.
    pub fn setup(&self, tools: Vec<ToolSpec>) -> Setup {
        Setup {
            system_prompt: self.system_prompt.clone(),
            voice: self.voice.clone(),
            sensitivity: self.sensitivity,
            max_tokens: MAX_TOKENS,
            tools,
        }
    }

    /// What it is told about the beginning of a call, after its own prompt.
    pub(crate) fn told_to_greet(&self) -> Option<String> {
        self.greeting.as_ref().map(|greeting| format!("{GREET}{greeting}"))
    }

    /// What makes the agent speak first, as if the caller had said it.
    pub fn opening_text(&self) -> &str {
        OPENING_TEXT
    }

    /// What to do with a caller whom the model cannot serve, where there is a human who can.
    pub fn hand_over(&self) -> NextStep {
        NextStep::Transfer { reason: Some(UNAVAILABLE.to_owned()), say: Some(self.hand_over.clone()) }
    }

    /// What to do with a caller whom the model cannot serve.
    pub fn apologise(&self) -> NextStep {
        NextStep::HangUp { say: Some(self.apology.clone()) }
    }
}

/// The agents of a worker, never none.
#[derive(Clone, Debug)]
pub struct Agents {
    by_name: Arc<BTreeMap<String, Arc<Agent>>>,
    default: Arc<Agent>,
}

impl From<&offhook_agents::Agents> for Agents {
    fn from(agents: &offhook_agents::Agents) -> Self {
        let by_name = agents.iter().map(|agent| (agent.name.to_string(), Arc::new(Agent::from(&**agent))));
        Self { by_name: Arc::new(by_name.collect()), default: Arc::new(Agent::from(&**agents.default_agent())) }
    }
}

impl Agents {
    /// The agent of this name, or the default one where there is none.
    pub fn named(&self, name: &str) -> &Arc<Agent> {
        self.by_name.get(name).unwrap_or(&self.default)
    }

    /// The agent of every call that names none.
    pub fn default_agent(&self) -> &Arc<Agent> {
        &self.default
    }
}
