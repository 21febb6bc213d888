//! The probes compare a service with its simulator: here with another simulator, whose differences are known.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bedrock;
mod twilio;
