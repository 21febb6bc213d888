//! Calls whose model sessions follow one another, through the pair and both simulators: renewal, errors, credentials that
//! expire, a region that is lost. The same over half an hour, from the command line: the lab's documentation.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod errors;
mod renewal;
mod scenarios;
mod support;
mod worlds;
