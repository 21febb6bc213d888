//! Load runs against bridges whose faults are known, and against the pair.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_bridge;
mod bridge;
mod command;
mod found_late;
mod found_out;
mod pair;
mod runs;
mod setting;
