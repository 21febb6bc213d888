//! The worker's gRPC services, and the way between wire and domain.

mod calls;
mod conversations;
pub(crate) mod convert;
mod live_calls;
mod outbound;
mod places;
mod questions;
mod reports;
mod used_tickets;

pub use calls::CallsService;
pub use conversations::{ConversationsService, Worker};
pub use live_calls::{LiveCall, LiveCalls, NotTold};
pub use places::{Place, Places};
pub use questions::{Question, Questions};
