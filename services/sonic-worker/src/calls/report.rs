//! What Twilio says of a call besides its media. It may come twice, late and out of order, and is true all the same: what
//! a record says in the end does not depend on it.

use jiff::Timestamp;
use serde::Serialize;

use super::{CallRecord, NextStep, Outcome};

/// A call has a few of each; more are a fault of whoever reports them.
const MOST_OF_A_KIND: usize = 64;

/// Something that Twilio says.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// How the call is.
    Progress {
        /// Its status.
        status: CallStatus,
        /// Later reports have higher ones.
        sequence_number: Option<u32>,
        /// Seconds, as Twilio counts them.
        duration_s: Option<u32>,
        /// Of the SIP answer that ended it.
        sip_response_code: Option<u32>,
    },
    /// Something is wrong with a media stream.
    StreamError(StreamError),
    /// A media stream is as it should be.
    StreamProgress,
    /// Who took a call that was placed.
    AnsweredBy(AnsweredBy),
    /// The attempt to hand the call to a human is over, and the caller is still there.
    TransferEnded(TransferEnded),
    /// How a recording is.
    Recording(Recording),
}

/// Twilio's CallStatus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallStatus(String);

impl CallStatus {
    /// As on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing follows (Twilio docs, "Call status values").
    pub fn is_over(&self) -> bool {
        self.is_unreached() || self.0 == "completed"
    }

    /// Whether the call is over without anybody having taken it.
    fn is_unreached(&self) -> bool {
        matches!(self.0.as_str(), "busy" | "failed" | "no-answer" | "canceled")
    }
}

impl From<String> for CallStatus {
    fn from(status: String) -> Self {
        Self(status)
    }
}

/// Twilio's AnsweredBy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnsweredBy(String);

impl AnsweredBy {
    /// As on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is no human.
    pub fn is_machine(&self) -> bool {
        self.0.starts_with("machine_") || self.0 == "fax"
    }

    fn is_unknown(&self) -> bool {
        self.0 == "unknown"
    }
}

impl From<String> for AnsweredBy {
    fn from(answered_by: String) -> Self {
        Self(answered_by)
    }
}

/// An attempt to hand the call to a human that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TransferEnded {
    /// Twilio's DialCallSid; `None`: there was no leg.
    pub dial_call_sid: Option<String>,
    /// Twilio's DialCallStatus.
    pub dial_call_status: String,
    /// Whether caller and human were connected.
    pub bridged: bool,
    /// Seconds of the human's leg.
    pub dial_call_duration_s: Option<u32>,
    /// Of the SIP answer that ended the human's leg.
    pub sip_response_code: Option<u32>,
}

/// A recording of the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recording {
    /// Twilio's RecordingSid.
    pub recording_sid: String,
    /// Twilio's RecordingStatus.
    pub recording_status: String,
    /// Where Twilio keeps it.
    pub recording_url: Option<String>,
    /// Seconds.
    pub recording_duration_s: Option<u32>,
}

impl Recording {
    fn is_final(&self) -> bool {
        self.recording_status != "in-progress"
    }
}

/// Something that went wrong with a media stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamError {
    /// Twilio's StreamSid.
    pub stream_sid: String,
    /// Twilio's StreamEvent.
    pub stream_event: String,
    /// Twilio's StreamError.
    pub stream_error: String,
}

impl Report {
    /// Whether it says that the call is over.
    pub fn ends_the_call(&self) -> bool {
        matches!(self, Self::Progress { status, .. } if status.is_over())
    }
}

impl CallRecord {
    pub(super) fn take_in(&mut self, report: Report, at: Timestamp) {
        match report {
            Report::Progress { status, sequence_number, duration_s, sip_response_code } => {
                self.call_duration_s = self.call_duration_s.or(duration_s);
                self.call_sip_response_code = self.call_sip_response_code.or(sip_response_code);
                self.take_in_status(status, sequence_number, at);
            }
            Report::StreamError(error) => {
                if !self.stream_errors.contains(&error) && self.stream_errors.len() < MOST_OF_A_KIND {
                    self.stream_errors.push(error);
                }
            }
            Report::StreamProgress => {}
            Report::AnsweredBy(answered_by) => self.take_in_answered_by(answered_by),
            Report::TransferEnded(ended) => self.take_in_transfer(ended),
            Report::Recording(recording) => self.take_in_recording(recording),
        }
    }

    /// A call that is over stays so, with the first status that said it.
    fn take_in_status(&mut self, status: CallStatus, sequence_number: Option<u32>, at: Timestamp) {
        let is_old = self.progress.sequence_number.zip(sequence_number).is_some_and(|(last, this)| this <= last);
        if self.is_over() || is_old && !status.is_over() {
            return;
        }
        self.progress.sequence_number = sequence_number.or(self.progress.sequence_number);
        let ends = status.is_over();
        let is_unreached = !self.has_begun() && status.is_unreached();
        self.call_status = Some(status);
        if !ends {
            return;
        }
        match (self.outcome, is_unreached) {
            (None, true) => self.end(at, Outcome::NotReached),
            (None, false) => self.end(at, Outcome::CallerHungUp),
            (Some(_), _) => self.reconcile(),
        }
        self.next_step = NextStep::HangUp { say: None };
    }

    /// What is not known takes nothing back.
    fn take_in_answered_by(&mut self, answered_by: AnsweredBy) {
        if answered_by.is_unknown() && self.answered_by.is_some() {
            return;
        }
        self.answered_by = Some(answered_by);
        self.reconcile();
    }

    /// Twilio may ask twice what follows one transfer. One without a leg has no name: it is the one that was to be, if any.
    fn take_in_transfer(&mut self, ended: TransferEnded) {
        let is_known = match &ended.dial_call_sid {
            Some(_) => self.transfers.iter().any(|before| before.dial_call_sid == ended.dial_call_sid),
            None => !matches!(self.next_step, NextStep::Transfer { .. }),
        };
        if is_known || self.transfers.len() >= MOST_OF_A_KIND {
            return;
        }
        let is_served = ended.bridged && (!self.has_begun() || self.was_given_up());
        self.transfers.push(ended);
        self.progress.asked = 0;
        if !self.is_live() && !self.is_over() {
            self.next_step = if is_served { NextStep::HangUp { say: None } } else { NextStep::Reattach };
        }
    }

    /// Whether the caller was handed over because the agent could not go on. A human who has taken such a call ends it, as
    /// does one who has taken a call that never got to the agent.
    fn was_given_up(&self) -> bool {
        let lost = [Outcome::ConnectionLost, Outcome::ProtocolError, Outcome::Stopped];
        let given_up = [Outcome::ModelRefused, Outcome::ModelFailed];
        self.outcome.is_some_and(|outcome| lost.contains(&outcome) || given_up.contains(&outcome))
    }

    fn take_in_recording(&mut self, recording: Recording) {
        let is_full = self.recordings.len() >= MOST_OF_A_KIND;
        let known = self.recordings.iter_mut().find(|known| known.recording_sid == recording.recording_sid);
        match known {
            Some(known) if !known.is_final() => *known = recording,
            None if !is_full => self.recordings.push(recording),
            Some(_) | None => {}
        }
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
