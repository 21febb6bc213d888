//! Requests to place calls, from the wire and back to it.

use offhook_proto::voice::v1::{
    self as wire, ClaimOutboundRequest, ClaimOutboundResponse, SettleOutboundRequest, claim_outbound_response::Verdict,
    settle_outbound_request as settle,
};
use tonic::Status;

use super::convert;
use crate::calls::{Claim, IdempotencyKey, Settled};

/// As many characters as a key may have.
const LONGEST_KEY: usize = 200;
/// More than any hash has.
const LONGEST_FINGERPRINT: usize = 64;
/// As long as the name of an agent may be.
const LONGEST_NAME: usize = 100;

/// A claim, or the status that says what is wrong with it.
pub(crate) fn claim(request: ClaimOutboundRequest) -> Result<(IdempotencyKey, Vec<u8>), Status> {
    let ClaimOutboundRequest { idempotency_key, fingerprint } = request;
    let key = key(idempotency_key)?.ok_or_else(|| Status::invalid_argument("idempotency_key is required"))?;
    match fingerprint.len() {
        1..=LONGEST_FINGERPRINT => Ok((key, fingerprint.into())),
        _ => Err(Status::invalid_argument(format!("fingerprint must have 1 to {LONGEST_FINGERPRINT} bytes"))),
    }
}

pub(crate) fn claimed(claim: Claim) -> ClaimOutboundResponse {
    let verdict = match claim {
        Claim::Place => Verdict::Place(wire::Empty {}),
        Claim::BeingPlaced => Verdict::BeingPlaced(wire::Empty {}),
        Claim::Placed(call) => Verdict::Placed(call.to_string()),
        Claim::Unknown => Verdict::Unknown(wire::Empty {}),
    };
    ClaimOutboundResponse { verdict: Some(verdict) }
}

/// The key if there was one, what became of its request, and the agent if one is named; or the status that says what is
/// wrong with it.
pub(crate) fn settlement(
    request: SettleOutboundRequest,
) -> Result<(Option<IdempotencyKey>, Settled, Option<String>), Status> {
    let key = key(request.idempotency_key)?;
    match request.result.ok_or_else(|| Status::invalid_argument("result is required"))? {
        settle::Result::Placed(wire::Placed { call_sid, agent }) => {
            if agent.chars().count() > LONGEST_NAME {
                return Err(Status::invalid_argument(format!("agent must have at most {LONGEST_NAME} characters")));
            }
            let agent = (!agent.is_empty()).then_some(agent);
            Ok((key, Settled::Placed(convert::call_sid(call_sid)?), agent))
        }
        settle::Result::NotPlaced(_) => Ok((key, Settled::NotPlaced, None)),
        settle::Result::Unknown(_) => Ok((key, Settled::Unknown, None)),
    }
}

fn key(key: String) -> Result<Option<IdempotencyKey>, Status> {
    match key.chars().count() {
        0 => Ok(None),
        1..=LONGEST_KEY => Ok(Some(IdempotencyKey::from(key))),
        _ => Err(Status::invalid_argument(format!("idempotency_key must have at most {LONGEST_KEY} characters"))),
    }
}
