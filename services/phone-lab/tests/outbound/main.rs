//! What the edge does by Twilio's REST interface: calls placed for whoever may ask, and live ones changed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod machines;
mod network;
mod openapi;
mod placing;
mod refusals;
mod rest;
mod support;
