//! The edge as Twilio and the workers meet it: real sockets on both sides, with a worker's double behind.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

mod agents;
mod callbacks;
mod documents;
mod door;
mod drain;
mod hand_over;
mod machines;
mod media;
mod process;
mod webhooks;
mod workers;
