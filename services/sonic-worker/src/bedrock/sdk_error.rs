//! What the SDK's errors say of a failure.

use std::{error::Error, fmt::Debug};

use aws_sdk_bedrockruntime::{
    error::{ProvideErrorMetadata, SdkError},
    operation::invoke_model_with_bidirectional_stream::InvokeModelWithBidirectionalStreamError as StartError,
    types::error::InvokeModelWithBidirectionalStreamOutputError as StreamError,
};
use aws_smithy_runtime_api::{client::result::DispatchFailure, http::Response};
use aws_smithy_types::event_stream::RawMessage;

use super::classify::ServiceError;
use crate::nova::Failure;

/// Why no stream was opened.
pub(super) fn start_failure(error: &SdkError<StartError, Response>) -> Failure {
    match error {
        SdkError::ServiceError(service) => {
            let (error, status) = (service.err(), service.raw().status().as_u16());
            let message = error.message().unwrap_or_default();
            ServiceError { name: error.code(), status: Some(status), message }.of_start()
        }
        SdkError::TimeoutError(_) => Failure::TimedOut,
        SdkError::DispatchFailure(failure) => dispatch(failure),
        SdkError::ResponseError(_) => Failure::Garbled,
        _ => Failure::Unknown,
    }
}

/// Why an open stream broke.
pub(super) fn stream_failure(error: &SdkError<StreamError, RawMessage>) -> Failure {
    match error {
        SdkError::ServiceError(service) => {
            let message = service.err().message().unwrap_or_default();
            // The SDK gives errors in a stream no code, and has no variant for those outside the service's model.
            ServiceError { name: header(service.raw(), ":exception-type"), status: None, message }.of_stream()
        }
        SdkError::ResponseError(response) => match header(response.raw(), ":error-code") {
            Some(code) => {
                let message = header(response.raw(), ":error-message").unwrap_or_default();
                ServiceError { name: Some(code), status: None, message }.of_stream()
            }
            None => Failure::Garbled,
        },
        SdkError::DispatchFailure(_) if causes(error).any(|cause| is_reset(&cause)) => Failure::Reset,
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => Failure::PeerGone,
        _ => Failure::Unknown,
    }
}

/// The service's own words, or what each error in the chain says of itself. Never their `Debug`, nor the raw response:
/// a broken frame holds what was said.
pub(super) fn message<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
    R: Debug + 'static,
{
    match error.as_service_error().and_then(E::message) {
        Some(message) => message.to_owned(),
        None => chain(error),
    }
}

/// What each error in the chain says of itself.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).collect::<Vec<_>>().join(": ")
}

fn causes(error: &(dyn Error + 'static)) -> impl Iterator<Item = String> {
    std::iter::successors(Some(error), |error| (*error).source()).map(ToString::to_string)
}

/// In the words of the HTTP/2 library, whose type of error the SDK does not show.
fn is_reset(cause: &str) -> bool {
    cause.starts_with("stream error received")
}

fn header<'a>(raw: &'a RawMessage, name: &str) -> Option<&'a str> {
    let RawMessage::Decoded(message) = raw else { return None };
    let header = message.headers().iter().find(|header| header.name().as_str() == name)?;
    header.value().as_string().ok().map(|value| value.as_str())
}

fn dispatch(failure: &DispatchFailure) -> Failure {
    if failure.is_timeout() {
        Failure::TimedOut
    } else if failure.is_io() {
        Failure::PeerGone
    } else {
        Failure::Unknown
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_bedrockruntime::error::ErrorMetadata;
    use aws_smithy_types::event_stream::{Header, HeaderValue, Message};

    use super::*;

    fn frame(header: &'static str, value: &'static str) -> RawMessage {
        let value = HeaderValue::String(value.into());
        RawMessage::Decoded(Message::new("").add_header(Header::new(header, value)))
    }

    #[test]
    fn an_exception_outside_the_services_model_is_told_by_the_name_in_its_frame() {
        let error = StreamError::generic(ErrorMetadata::builder().message("it ran out").build());
        let error = SdkError::service_error(error, frame(":exception-type", "ExpiredTokenException"));
        assert_eq!(stream_failure(&error), Failure::CredentialsExpired);
    }

    #[test]
    fn an_error_frame_is_told_by_its_code() {
        let error = SdkError::response_error("unrecognized", frame(":error-code", "internalServerException"));
        assert_eq!(stream_failure(&error), Failure::Unavailable);
        let error = SdkError::response_error("no checksum", RawMessage::Invalid(None));
        assert_eq!(stream_failure(&error), Failure::Garbled);
    }
}
