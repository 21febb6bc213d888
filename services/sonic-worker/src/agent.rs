//! Who answers the phone.

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
/// Starts the agent speaking. Instruction-like text is answered as conversation, so it is a greeting.
const OPENING_TEXT: &str = "hi";

impl Agent {
    /// The built-in agent: the front desk of a small hotel, with the sample's tools.
    pub fn demo() -> Self {
        Self {
            name: "demo".to_owned(),
            system_prompt:
                "You answer the phone at the front desk of a small hotel. When the call connects, greet the \
                caller in one short sentence and ask how you can help. Speak in short, friendly sentences, as one \
                does on the phone, and never read out lists or symbols. Before you use a tool, say in a few words \
                that you are looking it up. Ask for the reservation number before you cancel a reservation, and \
                repeat it. If you cannot help, or the caller asks for a person, offer to connect them. When the \
                caller has nothing left to ask, say goodbye and hang up."
                    .to_owned(),
            voice: VoiceId::from("matthew"),
            sensitivity: Sensitivity::default(),
            apology: "We are sorry, we cannot help you right now. Please call again in a few minutes. Goodbye."
                .to_owned(),
            hand_over: "I am sorry, I cannot go on. Please hold the line while I connect you to a colleague."
                .to_owned(),
            farewell_silence: "We cannot hear you, so we end this call. Please call again at any time. Goodbye."
                .to_owned(),
            farewell_time_up: "The time for this call is over. Please call again if there is more we can do. Goodbye."
                .to_owned(),
        }
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

    /// What to do with a caller who does not answer any more.
    pub fn leave_the_silent(&self) -> NextStep {
        NextStep::HangUp { say: Some(self.farewell_silence.clone()) }
    }

    /// What to do with a caller whose time is up.
    pub fn end_in_time(&self) -> NextStep {
        NextStep::HangUp { say: Some(self.farewell_time_up.clone()) }
    }
}
