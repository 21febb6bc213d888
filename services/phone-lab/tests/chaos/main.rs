//! Chaos runs of the real binaries.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod command;
mod compose;
mod runs;
mod support;
