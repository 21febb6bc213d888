//! The simulated Twilio against a small edge made by hand, which says exactly what each test wants.
//!
//! Time is paused: it moves on when everybody waits, 20 ms at a time, so a call takes as long as its computing.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails it as the test itself would")]

mod account;
mod callbacks;
mod calls;
mod dialling;
#[path = "../documentation/mod.rs"]
mod documentation;
mod documents;
mod edge;
mod faults;
mod listing;
mod network;
mod plays;
mod points;
mod queues;
mod recordings;
mod rest;
mod sip;
mod streams;
mod timeline;
mod transport;
mod updates;
mod webhooks;
