//! Giving a leg to a worker: what the worker is told first, and when another one may be asked instead.

use std::fmt;

use offhook_agents::Agents;
use offhook_proto::voice::v1::{Direction, Start};
use tonic::Code;

use crate::twilio::frame::StreamStart;

/// What the driver is to do beside moving messages. Names the caller, so it shows itself in no log.
#[derive(Clone, PartialEq)]
pub enum Action {
    /// Open a stream to the next worker that was not asked yet. A previous one is over.
    Attach {
        /// The stream's first message.
        start: Box<Start>,
        /// The trace that the webhook began.
        traceparent: Option<String>,
    },
}

impl Action {
    /// To attach with `start`, whose parameters may name a trace.
    pub(super) fn attach(start: &Start) -> Self {
        let mut start = Box::new(start.clone());
        let traceparent = start.parameters.remove(TRACEPARENT);
        Self::Attach { start, traceparent }
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Attach { start, traceparent: _ } = self;
        f.debug_struct("Attach").field("stream", &start.stream_sid).finish_non_exhaustive()
    }
}

const TRACEPARENT: &str = "traceparent";

/// Before `Accepted` nothing has happened on the call yet, so another worker may try. What speaks against it is a worker
/// that understood the request and says that it cannot be served.
pub(super) fn another_may_serve(code: Code) -> bool {
    matches!(code, Code::ResourceExhausted | Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Unimplemented)
}

/// The stream's own parameters, in the worker's words. `traceparent` stays among the parameters until it is used.
pub(super) fn worker_start(start: StreamStart, ticket: &str, agents: &Agents) -> Start {
    let mut parameters = start.parameters;
    let mut take = |name: &str| parameters.remove(name).unwrap_or_default();
    let (from, to, agent, direction) = (take("from"), take("to"), take("agent"), take("direction"));
    let direction = match direction.as_str() {
        "inbound" => Direction::Inbound,
        // outbound-api and outbound-dial.
        word if word.starts_with("outbound") => Direction::Outbound,
        _ => Direction::Unspecified,
    };
    Start {
        call_sid: start.call.to_string(),
        stream_sid: start.stream.to_string(),
        account_sid: start.account.to_string(),
        transfer_available: agents.named_or_default(&agent).transfer.is_some(),
        agent,
        direction: direction.into(),
        from,
        to,
        parameters,
        ticket_id: ticket.to_owned(),
    }
}
