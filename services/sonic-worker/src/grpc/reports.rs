//! Twilio's reports, from the wire and back to it.

use offhook_proto::voice::v1::{self as wire, report_request::Event};
use tonic::Status;

use crate::calls::{AnsweredBy, CallStatus, Recording, Report, StreamError, TransferEnded};

/// Longer than anything that Twilio says.
const MOST_CHARACTERS: usize = 1_000;
const STREAM_ERROR: &str = "stream-error";

/// A report, or the status that says what is wrong with it.
pub(crate) fn report(event: Option<Event>) -> Result<Report, Status> {
    match event.ok_or_else(|| Status::invalid_argument("event is required"))? {
        Event::Progress(progress) => Ok(Report::Progress {
            status: CallStatus::from(required("progress.call_status", progress.call_status)?),
            sequence_number: progress.sequence_number,
            duration_s: progress.call_duration_s,
            sip_response_code: progress.sip_response_code,
        }),
        Event::Stream(stream) => {
            let error = StreamError {
                stream_sid: required("stream.stream_sid", stream.stream_sid)?,
                stream_event: required("stream.stream_event", stream.stream_event)?,
                stream_error: bounded("stream.stream_error", stream.stream_error)?,
            };
            let is_error = error.stream_event == STREAM_ERROR || !error.stream_error.is_empty();
            Ok(if is_error { Report::StreamError(error) } else { Report::StreamProgress })
        }
        Event::AnsweredBy(answered) => {
            Ok(Report::AnsweredBy(AnsweredBy::from(required("answered_by.answered_by", answered.answered_by)?)))
        }
        Event::TransferEnded(ended) => Ok(Report::TransferEnded(TransferEnded {
            dial_call_sid: optional("transfer_ended.dial_call_sid", ended.dial_call_sid)?,
            dial_call_status: required("transfer_ended.dial_call_status", ended.dial_call_status)?,
            bridged: ended.bridged,
            dial_call_duration_s: ended.dial_call_duration_s,
            sip_response_code: ended.sip_response_code,
        })),
        Event::Recording(recording) => Ok(Report::Recording(Recording {
            recording_sid: required("recording.recording_sid", recording.recording_sid)?,
            recording_status: required("recording.recording_status", recording.recording_status)?,
            recording_url: optional("recording.recording_url", recording.recording_url)?,
            recording_duration_s: recording.recording_duration_s,
        })),
    }
}

pub(crate) fn transfer_ended(ended: TransferEnded) -> wire::TransferEnded {
    wire::TransferEnded {
        dial_call_sid: ended.dial_call_sid.unwrap_or_default(),
        dial_call_status: ended.dial_call_status,
        bridged: ended.bridged,
        dial_call_duration_s: ended.dial_call_duration_s,
        sip_response_code: ended.sip_response_code,
    }
}

pub(crate) fn recording(recording: Recording) -> wire::Recording {
    wire::Recording {
        recording_sid: recording.recording_sid,
        recording_status: recording.recording_status,
        recording_url: recording.recording_url.unwrap_or_default(),
        recording_duration_s: recording.recording_duration_s,
    }
}

pub(crate) fn stream_error(error: StreamError) -> wire::StreamProgress {
    wire::StreamProgress {
        stream_sid: error.stream_sid,
        stream_event: error.stream_event,
        stream_error: error.stream_error,
    }
}

fn required(name: &str, value: String) -> Result<String, Status> {
    optional(name, value)?.ok_or_else(|| Status::invalid_argument(format!("{name} is required")))
}

fn optional(name: &str, value: String) -> Result<Option<String>, Status> {
    bounded(name, value).map(|value| (!value.is_empty()).then_some(value))
}

fn bounded(name: &str, value: String) -> Result<String, Status> {
    match value.chars().count() {
        0..=MOST_CHARACTERS => Ok(value),
        _ => Err(Status::invalid_argument(format!("{name} must have at most {MOST_CHARACTERS} characters"))),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_report_that_says_nothing_or_too_much_is_explained() {
        let progress = |call_status: &str| wire::CallProgress { call_status: call_status.into(), ..Default::default() };
        let long = "x".repeat(MOST_CHARACTERS + 1);
        for (event, expected) in [
            (None, "event is required"),
            (Some(Event::Progress(progress(""))), "progress.call_status is required"),
            (Some(Event::Progress(progress(&long))), "progress.call_status must have at most 1000 characters"),
            (Some(Event::Recording(wire::Recording::default())), "recording.recording_sid is required"),
            (Some(Event::TransferEnded(wire::TransferEnded::default())), "transfer_ended.dial_call_status is required"),
            (Some(Event::AnsweredBy(wire::AnsweredBy::default())), "answered_by.answered_by is required"),
            (Some(Event::Stream(wire::StreamProgress::default())), "stream.stream_sid is required"),
        ] {
            let status = report(event).unwrap_err();
            assert_eq!((status.code(), status.message()), (Code::InvalidArgument, expected));
        }
    }

    #[test]
    fn of_media_streams_only_what_went_wrong_is_of_interest() {
        let stream = |stream_event: &str, stream_error: &str| {
            Some(Event::Stream(wire::StreamProgress {
                stream_sid: "MZ1".into(),
                stream_event: stream_event.into(),
                stream_error: stream_error.into(),
            }))
        };
        assert_eq!(report(stream("stream-started", "")).unwrap(), Report::StreamProgress);
        for (event, error) in [("stream-error", ""), ("stream-error", "31921"), ("stream-stopped", "31921")] {
            assert!(matches!(report(stream(event, error)).unwrap(), Report::StreamError(_)), "{event} {error}");
        }
    }
}
