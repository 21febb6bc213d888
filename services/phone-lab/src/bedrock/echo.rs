//! A model that says what it hears, for measuring the way there and back.

use std::{fmt, time::Instant};

/// Makes sessions echo the caller, and listens in.
pub trait Echo: Send + Sync {
    /// What listens to a new session.
    fn listener(&self) -> Box<dyn EchoListener>;
}

/// Listens to one session.
pub trait EchoListener: fmt::Debug + Send {
    /// The session received this caller audio (8 kHz) just now; says what becomes of it.
    fn hear(&mut self, pcm: &[i16], at: Instant) -> EchoReply;
}

/// What an echoing model does about a piece of audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EchoReply {
    /// Says it.
    Say,
    /// Takes it for an interruption of what it is saying, and says it afterwards.
    Interrupt,
    /// Says this (8 kHz) instead; with no samples, nothing.
    Instead(Vec<i16>),
}
