//! A strict Amazon Bedrock that speaks `InvokeModelWithBidirectionalStream` as Nova Sonic does.
//!
//! [`Server`] is the real wire: TLS with ALPN h2 (and HTTP/1.1 where that is wanted), Signature Version 4 on the request
//! and on every message, event-stream frames. Behind it each session is three pure parts: frames and signatures
//! (`intake`), the order of events (`rules`) and the model (`model`), which hears and speaks tone words and follows a
//! [`Script`]. One task per session drives them and keeps the [`SessionReport`]. What goes wrong on purpose is a
//! [`Fault`]. Rules by number, how sure they are and what switches them: the lab's documentation; [`Waived`] turns the
//! doubtful ones off.

mod auth;
mod ca;
mod echo;
mod events;
mod fault;
mod frame;
mod hearing;
mod intake;
mod model;
mod playout;
mod probability;
mod record;
mod report;
mod rules;
mod script;
mod server;
mod session;
mod settings;
mod speaking;
mod summary;
mod tap;
mod timing;
mod waived;
mod wire;

pub use ca::{CertificateAuthority, CertificateError};
pub use echo::{Echo, EchoListener, EchoReply};
pub use fault::{ExceptionKind, Fault, FaultError, Moment, Outage, Quirk, Refusal};
pub use probability::{NoProbability, Probability};
pub use report::{
    HeardUtterance, ModelEvent, ModelEventKind, Protocol, Remembered, SaidUtterance, SessionEnd, SessionId,
    SessionReport, Speaker, ToolReport, Usage,
};
pub use script::{Script, ScriptError};
pub use server::Server;
pub use settings::{HistoryLimits, NoTokenExpiry, Pace, Settings, TokenExpiry};
pub use timing::{NoProfile, Profile};
pub use waived::{NoSuchRule, Waived};
