//! What the edge does by Twilio's REST interface.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rest;
mod support;
