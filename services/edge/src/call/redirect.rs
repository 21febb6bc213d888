//! Ending a stream by asking Twilio for the next document, instead of closing the socket.
//!
//! Twilio logs an error for each socket that is closed to it, and fetches the next document later than when it is asked
//! to. Where it cannot be asked, or does not do it in time, the socket is closed: the document is the same.

use std::time::Duration;

use offhook_proto::voice::v1::{Next, NextStep, next_step::Step};

/// How long Twilio may take, request and `stop` together: nobody speaks to the caller meanwhile, and once the socket is
/// closed it takes Twilio most of a second to fetch the document.
pub const REDIRECT_DEADLINE: Duration = Duration::from_millis(1500);

/// Why Twilio does not go on with the next document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRedirected {
    /// The call is over.
    CallOver,
    /// Anything else.
    Failed,
}

/// Whether a document follows with which the call goes on in Twilio's hands.
pub(super) fn suits(next: &Next) -> bool {
    match next {
        Next { step: Some(NextStep { step: Some(Step::Transfer(_) | Step::SendDigits(_)) }) } => true,
        Next { step: Some(NextStep { step: Some(Step::HangUp(_) | Step::Reattach(_)) | None }) | None } => false,
    }
}
