//! Twilio's REST interface for calls, as far as a phone line needs it: place a call, send a live one elsewhere, end it.
//!
//! [`Rest`] is the port, [`HttpRest`] its adapter. What may be tried again is decided in [`rules`], without a socket: an
//! update is repeated until it is known to be made, a call is placed again only if the first request was certainly not
//! carried out. Facts are those of the Twilio docs, "Call resource" and the error dictionary.

mod client;
mod config;
mod reason;
pub mod rules;

use std::{fmt, time::Duration};

use futures_util::future::BoxFuture;

use super::sid::CallSid;

pub use client::{CannotConnect, HttpRest};
pub use config::{ApiBase, RestConfig};
pub use reason::{Reason, Refused};

/// Longer TwiML does not travel with a request (Twilio docs, error 32018).
pub const TWIML_LIMIT: usize = 4000;

/// Twilio's REST interface. Each operation ends within half a minute.
pub trait Rest: Send + Sync {
    /// Places a call, once. Its CallSid means that Twilio has taken the order, not that anybody's phone rings.
    fn create(&self, call: NewCall) -> BoxFuture<'static, Result<CallSid, RestError>>;

    /// Changes a live call. The request may reach Twilio more than once, so the change must be as good made twice.
    fn update(&self, call: &CallSid, change: Change) -> BoxFuture<'static, Result<Updated, RestError>>;
}

/// A call to be placed. Names whom it calls, so it shows little of itself in a log.
#[derive(Clone)]
pub struct NewCall {
    /// A number in E.164, or a SIP address.
    pub to: String,
    /// A number of the account's.
    pub from: String,
    /// Asked what to do once somebody answers.
    pub url: String,
    /// Asked instead when that fails.
    pub fallback_url: String,
    /// Told of every step of the call.
    pub status_callback: String,
    /// How long the phone rings.
    pub ring: Duration,
    /// How long the call may be. `None`: as long as the account allows.
    pub time_limit: Option<Duration>,
    /// Told of the recording. `None`: the call is not recorded.
    pub recording_callback: Option<String>,
    /// Finds out whether a machine answers. `None`: nobody asks.
    pub detection: Option<Detection>,
}

/// Answering-machine detection, beside the call.
#[derive(Clone)]
pub struct Detection {
    /// What is waited for.
    pub until: DetectUntil,
    /// Told what was found.
    pub callback: String,
}

/// When detection has its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetectUntil {
    /// As soon as it knows.
    Known,
    /// A machine's greeting is over.
    GreetingEnded,
}

/// What becomes of a live call.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// This URL is asked, by POST, what to do next.
    Url(String),
    /// This document is carried out, at most [`TWIML_LIMIT`] characters with absolute URLs.
    Twiml(String),
    /// It ends.
    Completed,
}

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Updated {
    /// It was made.
    Done,
    /// The call was over already.
    Gone,
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestError {
    /// Twilio will not do it.
    #[error(transparent)]
    Refused(Refused),
    /// Twilio has too much to do; nothing was done.
    #[error("Twilio's REST interface takes no more requests now")]
    Throttled,
    /// No connection: nothing was done.
    #[error("Twilio's REST interface cannot be reached")]
    Unreachable,
    /// The request was sent and no usable answer came: it may have been carried out.
    #[error("it is not known whether Twilio has carried out the request")]
    FateUnknown,
}

impl NewCall {
    /// The request's form.
    pub fn form(&self) -> Vec<(&'static str, String)> {
        let mut form = vec![
            ("To", self.to.clone()),
            ("From", self.from.clone()),
            ("Url", self.url.clone()),
            ("FallbackUrl", self.fallback_url.clone()),
            ("StatusCallback", self.status_callback.clone()),
        ];
        // One name that is none of these, and Twilio reports nothing at all (error 21626).
        let events = ["initiated", "ringing", "answered", "completed"];
        form.extend(events.map(|event| ("StatusCallbackEvent", event.to_owned())));
        form.push(("Timeout", self.ring.as_secs().to_string()));
        form.extend(self.time_limit.map(|limit| ("TimeLimit", limit.as_secs().to_string())));
        if let Some(callback) = &self.recording_callback {
            form.push(("Record", "true".to_owned()));
            form.push(("RecordingStatusCallback", callback.clone()));
            form.push(("RecordingStatusCallbackEvent", "in-progress completed absent".to_owned()));
        }
        if let Some(Detection { until, callback }) = &self.detection {
            form.push(("MachineDetection", until.parameter().to_owned()));
            form.push(("AsyncAmd", "true".to_owned()));
            form.push(("AsyncAmdStatusCallback", callback.clone()));
        }
        form
    }
}

impl DetectUntil {
    fn parameter(self) -> &'static str {
        match self {
            Self::Known => "Enable",
            Self::GreetingEnded => "DetectMessageEnd",
        }
    }
}

impl Change {
    /// The request's form.
    pub fn form(&self) -> Vec<(&'static str, String)> {
        let parameter = match self {
            Self::Url(url) => ("Url", url.clone()),
            Self::Twiml(document) => ("Twiml", document.clone()),
            Self::Completed => ("Status", "completed".to_owned()),
        };
        vec![parameter]
    }

    /// The kind of change, for logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::Twiml(_) => "twiml",
            Self::Completed => "completed",
        }
    }
}

impl fmt::Debug for NewCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewCall").finish_non_exhaustive()
    }
}

impl fmt::Debug for Detection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detection").field("until", &self.until).finish_non_exhaustive()
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Change({})", self.label())
    }
}

impl fmt::Debug for dyn Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> NewCall {
        NewCall {
            to: "+15550100001".to_owned(),
            from: "+15550100100".to_owned(),
            url: "https://e.example/incoming-call?placed=s".to_owned(),
            fallback_url: "https://e.example/failover".to_owned(),
            status_callback: "https://e.example/call-status".to_owned(),
            ring: Duration::from_secs(30),
            time_limit: None,
            recording_callback: None,
            detection: None,
        }
    }

    fn values<'a>(form: &'a [(&'static str, String)], name: &str) -> Vec<&'a str> {
        form.iter().filter(|(known, _)| *known == name).map(|(_, value)| value.as_str()).collect()
    }

    #[test]
    fn every_step_is_reported_by_an_event_name_of_its_own() {
        let form = call().form();
        assert_eq!(values(&form, "StatusCallbackEvent"), ["initiated", "ringing", "answered", "completed"]);
        assert_eq!(values(&form, "Timeout"), ["30"]);
        for absent in ["TimeLimit", "Record", "MachineDetection", "AsyncAmd", "SendDigits", "Twiml"] {
            assert_eq!(values(&form, absent), Vec::<&str>::new(), "{absent}");
        }
    }

    #[test]
    fn a_machine_is_detected_beside_the_call_and_a_recording_is_reported() {
        let callback = "https://e.example/amd-status?placed=s".to_owned();
        let detection = |until| Some(Detection { until, callback: callback.clone() });
        let known = NewCall { detection: detection(DetectUntil::Known), ..call() }.form();
        assert_eq!(values(&known, "MachineDetection"), ["Enable"]);
        let limit = Some(Duration::from_secs(600));
        let recording_callback = Some("https://e.example/recording-status".to_owned());
        let until = detection(DetectUntil::GreetingEnded);
        let form = NewCall { detection: until, time_limit: limit, recording_callback, ..call() }.form();
        assert_eq!(values(&form, "MachineDetection"), ["DetectMessageEnd"]);
        assert_eq!(values(&form, "AsyncAmd"), ["true"]);
        assert_eq!(values(&form, "AsyncAmdStatusCallback"), [callback.as_str()]);
        assert_eq!(values(&form, "TimeLimit"), ["600"]);
        assert_eq!(values(&form, "Record"), ["true"]);
        assert_eq!(values(&form, "RecordingStatusCallback"), ["https://e.example/recording-status"]);
    }

    #[test]
    fn debug_shows_no_number_and_no_url() {
        let shown = format!("{:?} {:?}", call(), Change::Url(call().url));
        assert!(!shown.contains("555") && !shown.contains("https"), "{shown}");
    }
}
