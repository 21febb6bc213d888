//! The phone lab: a strict Twilio and a strict Bedrock on loopback, with callers who know what they hear.
//!
//! - [`bedrock`] and [`twilio`] are the two simulators, each usable without the other.
//! - [`tones`] is how text becomes sound and is understood again; [`mulaw`] and [`speech`] carry it.
//! - [`scenario`] says who does what; [`oracle`] whether everything was heard as it was said; [`report`] and
//!   [`recording`] keep it.
//! - [`show`] puts what happens on the terminal.
//! - [`pair`] starts the services under test in this process, for the demo and for tests.
//! - [`probe`] compares the simulators with the real services.
//! - [`network`] is what lies between the lab and what is under test, if anything is to.
//! - [`demo`], [`play`], [`load`] and [`chaos`] are commands of the binary; [`line`](mod@line) is the edge that they call.

pub mod bedrock;
pub mod chaos;
pub mod credentials;
pub mod demo;
pub mod line;
pub mod load;
pub mod mulaw;
pub mod network;
pub mod oracle;
pub mod pair;
pub mod play;
pub mod probe;
pub mod recording;
pub mod report;
pub mod scenario;
pub mod show;
pub mod speech;
pub mod tones;
pub mod twilio;
