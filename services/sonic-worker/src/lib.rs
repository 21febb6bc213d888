//! The sonic-worker: owns the conversation of every call while a leg is up.
//!
//! - [`nova`] and [`conversation`] are the rules: what may be said to the model in which order, and how a call goes.
//!   Pure, with the time as an argument.
//! - [`runner`] drives one conversation per leg; [`bedrock`], [`calls`] and [`tools`] are the ports it drives it with.
//! - [`grpc`] is the door.
//!
//! The binary reads a [`config::Config`], starts telemetry, binds, and calls [`run`]; tests and the lab call [`run`] too.

pub mod agent;
pub mod bedrock;
pub mod calls;
pub mod config;
pub mod context;
pub mod conversation;
pub mod grpc;
pub mod metrics;
pub mod mulaw;
pub mod nova;
mod outbox;
pub mod prices;
pub mod runner;
mod serve;
pub mod tools;

pub use serve::{Listeners, run};
