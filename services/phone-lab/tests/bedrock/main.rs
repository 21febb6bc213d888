//! The simulated Bedrock as the official SDK sees it: over TLS and HTTP/2, signed, with nothing in between.
#![expect(clippy::unwrap_used, reason = "tests and their helpers fail where they stand")]

mod conversation;
#[path = "../documentation/mod.rs"]
mod documentation;
mod faults;
mod http1;
mod kept;
mod network;
mod outages;
mod raw;
mod refusals;
mod rulebook;
mod scripted;
mod support;
mod violations;
mod wire;
