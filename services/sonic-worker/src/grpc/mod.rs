//! The worker's gRPC services, and the way between wire and domain.

mod calls;
mod conversations;
pub(crate) mod convert;
mod questions;

pub use calls::CallsService;
pub use conversations::{ConversationsService, Worker};
pub use questions::{Question, Questions};
