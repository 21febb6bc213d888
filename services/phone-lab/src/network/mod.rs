//! The network between the lab and what is under test: delay, jitter, bursts, narrow lines and cuts, from a seed.
//!
//! - [`Conditions`] say what it is like; `schedule` draws from them and a seed when what is sent arrives, and `cut` when
//!   the connection ends; `lane` holds what is on its way. None of them knows a socket, a task or a clock.
//! - `line` is the lab's end of a connection, `carrier` the task that carries bytes between it and the socket. Without
//!   conditions there is no task and no copy.
//!
//! It lies below TLS and WebSocket and knows nothing of either, except that a cut may ask the protocol above to say
//! goodbye. Directions are named from the lab: *to* what is under test, *from* it. Each connection has its own seed,
//! which is in its [`LineReport`]; the same conditions and seed give the same delays, holds and cut, whatever is sent.

mod carrier;
mod conditions;
mod cut;
mod flags;
mod lane;
mod line;
mod report;
mod schedule;

pub use self::{
    conditions::{Conditions, ConditionsError},
    flags::{BedrockNetwork, TwilioNetwork},
    report::{LineReport, WayReport},
    schedule::Hold,
};
pub(crate) use self::{
    conditions::{of_bedrock, of_twilio},
    line::{Goodbye, Line, Network},
    report::Record,
};
