//! The command `phone-lab play`, as its users run it, against a server that shares nothing with Offhook.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod runs;
mod served;
mod server;
mod support;
mod wrong;
