//! What Twilio reports about a call, in the words that workers understand.
//!
//! A field that a worker does not need is left out if it cannot be read; without one that it needs there is no report.
//! Values are handed on as they are: Twilio may learn new ones.

use offhook_proto::voice::v1::{CallProgress, Recording, StreamProgress, TransferEnded, report_request::Event};

/// Twilio's own words are short; whoever sends longer ones is not answered with memory.
const WORD_LIMIT: usize = 500;

/// How a parameter of a request is read: `None` when it is missing or empty.
pub trait Parameters {
    /// The parameter of this name.
    fn parameter(&self, name: &str) -> Option<&str>;

    /// The same as text of a bounded length.
    fn word(&self, name: &str) -> Option<String> {
        self.parameter(name).map(|value| value.chars().take(WORD_LIMIT).collect())
    }

    /// The same as a number.
    fn number(&self, name: &str) -> Option<u32> {
        self.parameter(name)?.parse().ok()
    }
}

/// Whether Twilio says that the call is over (Twilio docs, "Call resource", `status`).
pub fn is_over(told: &impl Parameters) -> bool {
    matches!(told.parameter("CallStatus"), Some("completed" | "busy" | "failed" | "no-answer" | "canceled"))
}

/// A status callback of the call (Twilio docs, "Call resource", `StatusCallback`).
pub fn call_progress(told: &impl Parameters) -> Option<Event> {
    Some(Event::Progress(CallProgress {
        call_status: told.word("CallStatus")?,
        sequence_number: told.number("SequenceNumber"),
        call_duration_s: told.number("CallDuration"),
        sip_response_code: told.number("SipResponseCode"),
    }))
}

/// A status callback of a media stream (Twilio docs, `<Stream>`, `statusCallback`).
pub fn stream_progress(told: &impl Parameters) -> Option<Event> {
    Some(Event::Stream(StreamProgress {
        stream_sid: told.word("StreamSid")?,
        stream_event: told.word("StreamEvent")?,
        stream_error: told.word("StreamError").unwrap_or_default(),
    }))
}

/// A recording callback (Twilio docs, `<Dial>`, `recordingStatusCallback`).
pub fn recording(told: &impl Parameters) -> Option<Event> {
    Some(Event::Recording(Recording {
        recording_sid: told.word("RecordingSid")?,
        recording_status: told.word("RecordingStatus")?,
        recording_url: told.word("RecordingUrl").unwrap_or_default(),
        recording_duration_s: told.number("RecordingDuration"),
    }))
}

/// The end of an attempt to hand the call over (Twilio docs, `<Dial>`, `action`).
pub fn transfer_ended(told: &impl Parameters) -> Option<TransferEnded> {
    let dial_call_status = told.word("DialCallStatus")?;
    let is_bridged = match told.parameter("DialBridged") {
        Some(word) => word.eq_ignore_ascii_case("true"),
        None => matches!(dial_call_status.as_str(), "completed" | "answered"),
    };
    Some(TransferEnded {
        dial_call_sid: told.word("DialCallSid").unwrap_or_default(),
        dial_call_status,
        bridged: is_bridged,
        dial_call_duration_s: told.number("DialCallDuration"),
        sip_response_code: told.number("DialSipResponseCode"),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    struct Told(HashMap<&'static str, String>);

    impl Parameters for Told {
        fn parameter(&self, name: &str) -> Option<&str> {
            self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
        }
    }

    fn told<const N: usize>(pairs: [(&'static str, &str); N]) -> Told {
        Told(pairs.into_iter().map(|(name, value)| (name, value.to_owned())).collect())
    }

    #[test]
    fn only_a_status_that_nothing_follows_ends_a_call() {
        for over in ["completed", "busy", "failed", "no-answer", "canceled"] {
            assert!(is_over(&told([("CallStatus", over)])), "{over}");
        }
        for live in ["queued", "initiated", "ringing", "in-progress", "asleep", ""] {
            assert!(!is_over(&told([("CallStatus", live)])), "{live}");
        }
    }

    #[test]
    fn a_status_callback_is_handed_on_with_what_can_be_read() {
        let ended = told([
            ("CallStatus", "completed"),
            ("SequenceNumber", "3"),
            ("CallDuration", "49"),
            ("SipResponseCode", "200"),
        ]);
        let call_status = "completed".to_owned();
        let expected = CallProgress {
            call_status,
            sequence_number: Some(3),
            call_duration_s: Some(49),
            sip_response_code: Some(200),
        };
        assert_eq!(call_progress(&ended), Some(Event::Progress(expected)));
        let odd = told([("CallStatus", "dreaming"), ("SequenceNumber", "-1"), ("CallDuration", "99999999999")]);
        let expected = CallProgress { call_status: "dreaming".to_owned(), ..CallProgress::default() };
        assert_eq!(call_progress(&odd), Some(Event::Progress(expected)));
        assert_eq!(call_progress(&told([("CallStatus", "")])), None);
    }

    #[test]
    fn streams_and_recordings_need_a_name_and_a_state() {
        let stream = told([("StreamSid", "MZ1"), ("StreamEvent", "stream-error"), ("StreamError", "31921 - x")]);
        let (stream_sid, stream_event) = ("MZ1".to_owned(), "stream-error".to_owned());
        let expected = StreamProgress { stream_sid, stream_event, stream_error: "31921 - x".to_owned() };
        assert_eq!(stream_progress(&stream), Some(Event::Stream(expected)));
        let recorded = told([("RecordingSid", "RE1"), ("RecordingStatus", "completed"), ("RecordingDuration", "7")]);
        let (recording_sid, recording_status) = ("RE1".to_owned(), "completed".to_owned());
        let recording_url = String::new();
        let expected = Recording { recording_sid, recording_status, recording_url, recording_duration_s: Some(7) };
        assert_eq!(recording(&recorded), Some(Event::Recording(expected)));
        for incomplete in [told([("StreamSid", "MZ1")]), told([("RecordingStatus", "absent")]), told([])] {
            assert_eq!((stream_progress(&incomplete), recording(&incomplete)), (None, None));
        }
    }

    #[test]
    fn a_human_was_reached_if_twilio_says_that_the_two_were_connected() {
        let bridged = |pairs: [(&'static str, &str); 2]| transfer_ended(&told(pairs)).unwrap().bridged;
        for status in ["completed", "answered", "busy", "no-answer", "failed", "canceled", "sleeping"] {
            assert!(bridged([("DialCallStatus", status), ("DialBridged", "true")]), "{status}");
            // Whoever declines a call that they were asked about has answered it.
            assert!(!bridged([("DialCallStatus", status), ("DialBridged", "false")]), "{status}");
            let unsaid = bridged([("DialCallStatus", status), ("DialBridged", "")]);
            assert_eq!(unsaid, ["completed", "answered"].contains(&status), "{status}");
        }
        assert_eq!(transfer_ended(&told([("DialBridged", "true")])), None);
    }

    #[test]
    fn a_report_is_no_longer_than_twilio_makes_it() {
        let long = "x".repeat(60_000);
        let Some(Event::Progress(progress)) = call_progress(&told([("CallStatus", &long)])) else { panic!("none") };
        assert_eq!(progress.call_status.len(), WORD_LIMIT);
    }
}
