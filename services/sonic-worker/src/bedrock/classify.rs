use std::{error::Error, fmt::Debug};

use aws_sdk_bedrockruntime::{
    error::{ProvideErrorMetadata, SdkError},
    operation::invoke_model_with_bidirectional_stream::InvokeModelWithBidirectionalStreamError as StartError,
    types::error::InvokeModelWithBidirectionalStreamOutputError as StreamError,
};
use aws_smithy_runtime_api::{client::result::DispatchFailure, http::Response};

use crate::nova::Failure;

/// Why no stream was opened.
pub(super) fn start_failure(error: &SdkError<StartError, Response>) -> Failure {
    match error {
        SdkError::ServiceError(service) => {
            modelled(service.err()).unwrap_or_else(|| by_status(service.raw().status().as_u16()))
        }
        other => transport(other),
    }
}

/// Why an open stream broke.
pub(super) fn stream_failure<R>(error: &SdkError<StreamError, R>) -> Failure {
    match error {
        SdkError::ServiceError(service) => match service.err() {
            StreamError::ThrottlingException(_) => Failure::Throttled,
            StreamError::InternalServerException(_)
            | StreamError::ModelStreamErrorException(_)
            | StreamError::ServiceUnavailableException(_) => Failure::Unavailable,
            StreamError::ModelTimeoutException(_) => Failure::SessionExpired,
            _ => Failure::Unknown,
        },
        other => transport(other),
    }
}

/// The service's own words, or what each error in the chain says of itself. Never their `Debug`, nor the raw response:
/// a broken frame holds what was said.
pub(super) fn message<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
    R: Debug + 'static,
{
    if let Some(message) = error.as_service_error().and_then(E::message) {
        return message.to_owned();
    }
    let first: &(dyn Error + 'static) = error;
    let chain = std::iter::successors(Some(first), |error| (*error).source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn modelled(error: &StartError) -> Option<Failure> {
    match error {
        StartError::ThrottlingException(_) | StartError::ModelNotReadyException(_) => Some(Failure::Throttled),
        StartError::InternalServerException(_)
        | StartError::ModelErrorException(_)
        | StartError::ModelStreamErrorException(_)
        | StartError::ServiceUnavailableException(_) => Some(Failure::Unavailable),
        StartError::ModelTimeoutException(_) => Some(Failure::TimedOut),
        StartError::AccessDeniedException(_) => Some(Failure::AccessDenied),
        StartError::ServiceQuotaExceededException(_) => Some(Failure::Quota),
        StartError::ResourceNotFoundException(_) => Some(Failure::NotFound),
        StartError::ValidationException(_) => Some(Failure::BadInput),
        _ => None,
    }
}

/// Errors outside the model, such as a wrong signature or a gateway's page, tell themselves by status only.
fn by_status(status: u16) -> Failure {
    match status {
        429 => Failure::Throttled,
        401 | 403 => Failure::AccessDenied,
        500..=599 => Failure::Unavailable,
        _ => Failure::Unknown,
    }
}

fn transport<E, R>(error: &SdkError<E, R>) -> Failure {
    match error {
        SdkError::TimeoutError(_) => Failure::TimedOut,
        SdkError::DispatchFailure(failure) => dispatch(failure),
        SdkError::ResponseError(_) => Failure::Garbled,
        _ => Failure::Unknown,
    }
}

fn dispatch(failure: &DispatchFailure) -> Failure {
    if failure.is_timeout() {
        Failure::TimedOut
    } else if failure.is_io() {
        Failure::PeerGone
    } else {
        // Nothing was sent: no credentials could be found.
        Failure::AccessDenied
    }
}
