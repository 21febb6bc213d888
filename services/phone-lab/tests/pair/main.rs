//! The pair between both simulators: real sockets, real wire formats, every sample checked.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admin;
mod arrivals;
mod barge_in;
mod demo_calls;
mod failures;
mod goodbye;
mod hand_over;
mod hang_ups;
mod keys;
mod mangled;
mod model_streams;
mod network;
mod oddities;
mod same_seed;
mod support;
mod telling;
