//! The worker through its gRPC door, with a double in the model's place.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agents;
mod facts;
mod legs;
mod outbound;
mod process;
mod records;
mod resuming;
mod support;
mod telling;
