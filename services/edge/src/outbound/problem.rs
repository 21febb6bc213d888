//! What is answered when no call is placed: problem details (RFC 9457) that say what to do.

use std::time::Duration;

use http::StatusCode;
use serde::Serialize;

use super::limits::Reached;
use crate::twilio::rest::{Reason, Refused, RestError};

/// Where types of problems are named.
const TYPE: &str = "urn:offhook:problem:";
/// When to come back to a worker, to Twilio, or to another edge.
const SOON: Duration = Duration::from_secs(5);
/// When to ask again what became of a call that is being placed.
const VERY_SOON: Duration = Duration::from_secs(2);

/// Why no call was placed, or why that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind of problem.
    pub kind: Kind,
    /// What is the matter with this request.
    pub detail: String,
    /// Twilio's code, if it had one.
    pub twilio_code: Option<u32>,
    /// When another request may fare better. `None`: not by waiting.
    pub retry_after: Option<Duration>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident, $name:literal, $status:ident, $title:literal;)+) => {
        /// A kind of problem, with the last part of its type, its status and its title.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $($(#[$doc])* $kind,)+
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// The last part of the type; also the metric's label.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }

            /// The answer's status.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status,)+ }
            }

            /// What it is called.
            pub fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)+ }
            }
        }
    };
}

kinds! {
    /// No token, or a wrong one.
    Unauthorized, "unauthorized", UNAUTHORIZED, "A valid bearer token is needed";
    /// Too many wrong tokens.
    TooManyAttempts, "too-many-attempts", TOO_MANY_REQUESTS, "Too many wrong tokens";
    /// The body did not come whole.
    SlowBody, "slow-body", REQUEST_TIMEOUT, "The body did not arrive in time";
    /// The body is too large.
    BodyTooLarge, "body-too-large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The body is not JSON, by its type.
    NotJson, "not-json", UNSUPPORTED_MEDIA_TYPE, "The body has to be application/json";
    /// The body is not what is expected.
    InvalidRequest, "invalid-request", UNPROCESSABLE_ENTITY, "The request is not valid";
    /// The callee may not be called.
    CalleeNotAllowed, "callee-not-allowed", UNPROCESSABLE_ENTITY, "This callee may not be called";
    /// A limit is reached.
    TooManyCalls, "too-many-calls", TOO_MANY_REQUESTS, "Too many calls";
    /// The idempotency key came with another request before.
    KeyReused, "key-reused", UNPROCESSABLE_ENTITY, "The idempotency key was used for another request";
    /// Another request with this key is placing the call.
    BeingPlaced, "being-placed", CONFLICT, "The call is being placed";
    /// It may have been placed.
    OutcomeUnknown, "outcome-unknown", BAD_GATEWAY, "It is not known whether the call was placed";
    /// Twilio does not call this number.
    CalleeRefused, "callee-refused", UNPROCESSABLE_ENTITY, "Twilio does not call this callee";
    /// Twilio finds fault with the account, the key, the calling number or this edge.
    TwilioMisconfigured, "twilio-misconfigured", BAD_GATEWAY, "Twilio does not accept this service's configuration";
    /// Twilio takes no requests now.
    TwilioUnavailable, "twilio-unavailable", SERVICE_UNAVAILABLE, "Twilio takes no calls now";
    /// Nobody could talk.
    NoWorker, "no-worker", SERVICE_UNAVAILABLE, "Nobody is there to serve the call";
    /// This edge is about to stop.
    Draining, "draining", SERVICE_UNAVAILABLE, "This edge is about to stop";
    /// A mistake of ours.
    Internal, "internal", INTERNAL_SERVER_ERROR, "The call was not handled as it should be";
}

/// The answer's body.
#[derive(Serialize)]
pub struct Body<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    twilio_code: Option<u32>,
}

impl Problem {
    /// A problem of a kind.
    pub fn of(kind: Kind, detail: impl Into<String>) -> Self {
        let retry_after = match kind {
            Kind::BeingPlaced => Some(VERY_SOON),
            Kind::TwilioUnavailable | Kind::NoWorker | Kind::Draining => Some(SOON),
            Kind::Unauthorized
            | Kind::TooManyAttempts
            | Kind::SlowBody
            | Kind::BodyTooLarge
            | Kind::NotJson
            | Kind::InvalidRequest
            | Kind::CalleeNotAllowed
            | Kind::TooManyCalls
            | Kind::KeyReused
            | Kind::OutcomeUnknown
            | Kind::CalleeRefused
            | Kind::TwilioMisconfigured
            | Kind::Internal => None,
        };
        Self { kind, detail: detail.into(), twilio_code: None, retry_after }
    }

    /// A limit is reached.
    pub fn limit(kind: Kind, reached: Reached) -> Self {
        let Reached { limit, retry_after } = reached;
        Self { retry_after: Some(retry_after), ..Self::of(kind, format!("no more {limit} at this edge")) }
    }

    /// It may have been placed, and nobody here knows.
    pub fn unknown() -> Self {
        let detail = "do not repeat the request under another key: look the call up in Twilio's call log first";
        Self::of(Kind::OutcomeUnknown, detail)
    }

    /// The body.
    pub fn body(&self) -> Body<'_> {
        let Self { kind, detail, twilio_code, retry_after: _ } = self;
        Body {
            r#type: format!("{TYPE}{}", kind.name()),
            title: kind.title(),
            status: kind.status().as_u16(),
            detail,
            twilio_code: *twilio_code,
        }
    }
}

impl From<RestError> for Problem {
    fn from(error: RestError) -> Self {
        match error {
            RestError::Refused(refused) => refused.into(),
            RestError::Throttled => {
                Self::of(Kind::TwilioUnavailable, "Twilio has too many requests; nothing was placed")
            }
            RestError::Unreachable => Self::of(Kind::TwilioUnavailable, "Twilio cannot be reached; nothing was placed"),
            RestError::FateUnknown => Self::unknown(),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        use Kind::{CalleeRefused, TwilioMisconfigured};
        let (kind, detail) = match refused.reason() {
            Reason::Credentials => {
                (TwilioMisconfigured, "check TWILIO_ACCOUNT_SID, TWILIO_API_SID and TWILIO_API_SECRET, and the region")
            }
            Reason::AccountInactive => (TwilioMisconfigured, "the Twilio account is not active"),
            Reason::TestCredentials => (TwilioMisconfigured, "Twilio's test credentials cannot do this"),
            Reason::CallerId => {
                (TwilioMisconfigured, "TWILIO_FROM_NUMBER is not a number that this account may call from")
            }
            Reason::NoInternationalCalls => (CalleeRefused, "the Twilio account makes no international calls"),
            Reason::NotANumber => (CalleeRefused, "Twilio does not take this for a telephone number"),
            Reason::CannotBeReached => (CalleeRefused, "Twilio cannot reach this number"),
            Reason::NoPermissionForCountry => (
                CalleeRefused,
                "the Twilio account has no permission to call this country (voice geographic permissions)",
            ),
            Reason::Blocked => (CalleeRefused, "the number is on a block list"),
            Reason::NotVerified => (CalleeRefused, "a trial account calls only numbers that were verified with Twilio"),
            Reason::SipAddress => (CalleeRefused, "Twilio does not take the SIP address"),
            Reason::CallState | Reason::Request | Reason::Other => {
                (TwilioMisconfigured, "Twilio refuses the request; its code says why")
            }
        };
        Self { twilio_code: refused.code, ..Self::of(kind, detail) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_refusal_means_and_whose_fault_it_is() {
        let problem = |code| Problem::from(RestError::Refused(Refused { status: 400, code: Some(code) }));
        for code in [21203, 21211, 21214, 21215, 21216, 21217, 21219] {
            assert_eq!((problem(code).kind, problem(code).twilio_code), (Kind::CalleeRefused, Some(code)));
        }
        for code in [20003, 20005, 21205, 21210, 21212, 99999] {
            assert_eq!((problem(code).kind, problem(code).twilio_code), (Kind::TwilioMisconfigured, Some(code)));
        }
    }

    #[test]
    fn a_call_that_may_exist_is_not_asked_for_again() {
        let problem = Problem::from(RestError::FateUnknown);
        assert_eq!((problem.kind.status(), problem.retry_after), (StatusCode::BAD_GATEWAY, None));
        for error in [RestError::Throttled, RestError::Unreachable] {
            assert!(Problem::from(error).retry_after.is_some());
        }
    }

    #[test]
    fn a_body_has_the_members_of_problem_details() {
        let problem = Problem { twilio_code: Some(21215), ..Problem::of(Kind::CalleeRefused, "no") };
        assert_eq!(
            serde_json::to_value(problem.body()).unwrap(),
            serde_json::json!({
                "type": "urn:offhook:problem:callee-refused",
                "title": "Twilio does not call this callee",
                "status": 422,
                "detail": "no",
                "twilio_code": 21215,
            })
        );
    }
}
