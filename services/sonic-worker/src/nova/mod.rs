//! Nova Sonic's side of a conversation: the events on the wire and the order in which one model session may use them.
//!
//! Pure: no sockets, tasks or clock. Facts about the wire and where they come from: `README.md` beside this file.

mod failure;
mod history;
mod input;
#[cfg(test)]
mod input_tests;
mod output;
#[cfg(test)]
mod output_tests;
mod session;

pub use failure::{Failure, Remedy};
pub(crate) use history::ending;
pub use history::{HistoryLimits, HistoryRole, Message, sanitise};
pub use input::{ClientEvent, ToolSpec};
pub use output::{GenerationStage, InvalidEvent, Role, ServerEvent, StopReason, ToolUseId, Usage};
pub use session::{Beginning, ModelId, Sensitivity, Session, Setup, Told, VoiceId};
