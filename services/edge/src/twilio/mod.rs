//! What Twilio puts on the wire and expects there. Pure, but for the adapter in [`rest`]: no sockets, no clock.
//!
//! Facts are cited where the code relies on them, by the page of the Twilio documentation that states them.

pub mod frame;
pub mod music;
pub mod rest;
pub mod sid;
pub mod signature;
pub mod twiml;
