//! Calls that this edge places: who may ask, for what, how many.
//!
//! Pure, but for what [`Desk`] guards: time and randomness are arguments. A request is read ([`request`]), held against what
//! is allowed ([`callee`], [`limits`]) and becomes a call to be placed ([`order`]); whatever is wrong with it is a
//! [`problem`] that says what to do. [`machine`] is what becomes of a call that a machine takes.

pub mod callee;
pub mod config;
mod countries;
pub mod desk;
pub mod limits;
pub mod machine;
pub mod order;
pub mod problem;
pub mod request;

pub use config::OutboundConfig;
pub use desk::Desk;
pub use order::Order;
pub use problem::{Kind, Problem};
