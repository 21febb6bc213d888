//! Recordings of a call, as far as others are told of them (Twilio docs, "Recording status callbacks").

use std::time::Duration;

use jiff::Timestamp;

use super::Call;
use crate::twilio::{callbacks::Callback, recording::RecordingOrder, resource::rfc2822};

/// A recording that is being made.
pub(super) struct Recording {
    order: RecordingOrder,
    sid: String,
    /// `DialVerb` or `OutboundAPI`.
    source: &'static str,
    began: Duration,
    started: Timestamp,
}

impl Call {
    /// From here on it is recorded.
    pub(super) fn record(&mut self, order: RecordingOrder, source: &'static str) -> Recording {
        let sid = format!("RE{:032x}", u128::from_be_bytes(self.entropy.bytes()));
        let (began, started) = (self.phone.now(), self.progress.ledger().wall());
        let recording = Recording { order, sid, source, began, started };
        self.tell_of(&recording, "in-progress", None);
        recording
    }

    /// It is recorded no longer. Gives what others than its callback are told.
    pub(super) fn recorded(&mut self, recording: &Recording) -> Vec<(&'static str, String)> {
        let lasted = (self.phone.now().saturating_sub(recording.began)).as_secs();
        self.tell_of(recording, "completed", Some(lasted));
        vec![
            ("RecordingSid", recording.sid.clone()),
            ("RecordingUrl", self.url_of(recording)),
            ("RecordingDuration", lasted.to_string()),
        ]
    }

    /// There was nothing to record.
    pub(super) fn not_recorded(&mut self, order: RecordingOrder, source: &'static str) {
        let (began, started) = (self.phone.now(), self.progress.ledger().wall());
        self.tell_of(&Recording { order, sid: String::new(), source, began, started }, "absent", None);
    }

    fn url_of(&self, recording: &Recording) -> String {
        let account = &self.progress.identity().account_sid;
        format!("https://api.twilio.com/2010-04-01/Accounts/{account}/Recordings/{}", recording.sid)
    }

    fn tell_of(&self, recording: &Recording, status: &str, lasted: Option<u64>) {
        let Recording { order, sid, source, started, .. } = recording;
        let Some((url, method)) = order.callback.clone().filter(|_| order.events.iter().any(|event| event == status))
        else {
            return;
        };
        let identity = self.progress.identity();
        let mut parameters = vec![
            ("AccountSid", identity.account_sid.clone()),
            ("CallSid", identity.call_sid.to_string()),
            ("RecordingStatus", status.to_owned()),
            ("RecordingSource", (*source).to_owned()),
            ("RecordingChannels", order.channels.to_string()),
            ("RecordingTrack", "both".to_owned()),
        ];
        if status != "absent" {
            parameters.push(("RecordingSid", sid.clone()));
            parameters.push(("RecordingUrl", self.url_of(recording)));
            parameters.push(("RecordingStartTime", rfc2822(*started)));
        }
        parameters.extend(lasted.map(|seconds| ("RecordingDuration", seconds.to_string())));
        let parameters = parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.progress.courier().post(Callback { url, method, parameters });
    }
}
