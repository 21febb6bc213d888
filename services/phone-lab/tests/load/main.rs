//! Load runs against bridges whose faults are known, and against the pair.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bridge;
mod pair;
mod runs;
