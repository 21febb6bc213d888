//! The phone lab.
pub mod mulaw;
pub mod speech;
pub mod bedrock;
pub mod tones;
pub mod twilio;
