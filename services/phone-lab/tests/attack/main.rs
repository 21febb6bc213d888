//! Strangers at the doors of two edges that share a ticket key, while an honest call is up beside them.
//!
//! What is tried here was signed by Twilio once, or by nobody: an attacker who listens has everything but the auth token
//! and the ticket key. Nothing of it may become a call or reach a model, and the honest caller must not notice.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod flood;
mod http;
mod requests;
mod sockets;
mod support;
mod urls;
