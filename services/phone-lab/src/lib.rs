//! The phone lab.
pub mod tones;
