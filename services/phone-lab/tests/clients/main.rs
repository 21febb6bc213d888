//! The lab against clients that others wrote: the AWS SDKs for JavaScript and Python hold a conversation with its
//! Bedrock, and Twilio's own helper libraries deal with its Twilio. The lab runs in this process, each client in one of
//! its own. What describes the edge's own interface is read by others too.
//!
//! Not among the tests of `cargo test`, because it needs Node and Python: `.ci/run clients` installs and runs it.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails it as the test itself would")]

mod bedrock;
mod client;
#[expect(dead_code, reason = "the tests of the simulated Twilio use the rest of it")]
#[path = "../twilio/edge.rs"]
mod edge;
mod openapi;
mod rest;
mod signatures;
mod twiml;
mod verdicts;
mod voice;
