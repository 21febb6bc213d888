//! What comes back in a stream.

use std::sync::Arc;

use aws_sdk_bedrockruntime::{
    operation::invoke_model_with_bidirectional_stream::InvokeModelWithBidirectionalStreamOutput as Stream,
    primitives::{Blob, event_stream::EventReceiver},
    types::{
        InvokeModelWithBidirectionalStreamOutput as OutputEvent,
        error::InvokeModelWithBidirectionalStreamOutputError as OutputError,
    },
};
use tokio::sync::mpsc;

use super::{Region, StreamFailure, credentials::KeptCredentials, sdk_error};
use crate::nova::{Failure, ServerEvent};

/// Drains the stream for as long as somebody listens: unread output would close the window for its neighbours.
pub(super) async fn forward_events(
    stream: Stream,
    region: Region,
    credentials: Arc<KeptCredentials>,
    events: mpsc::Sender<Result<ServerEvent, StreamFailure>>,
) {
    let mut output = stream.body;
    while let Some(event) = next_event(&mut output, &region).await {
        if let Err(StreamFailure { kind: Failure::CredentialsExpired, .. }) = &event {
            credentials.forget();
        }
        let last = event.is_err();
        if events.send(event).await.is_err() || last {
            return;
        }
    }
}

async fn next_event(
    output: &mut EventReceiver<OutputEvent, OutputError>,
    region: &Region,
) -> Option<Result<ServerEvent, StreamFailure>> {
    match output.recv().await {
        Ok(Some(OutputEvent::Chunk(part))) => {
            let json = part.bytes().map_or(&[][..], Blob::as_ref);
            // What is wrong with it is not logged: the error would quote what was said. It is counted as unknown.
            Some(Ok(ServerEvent::parse(json).unwrap_or(ServerEvent::Unknown)))
        }
        Ok(Some(_)) => Some(Ok(ServerEvent::Unknown)),
        Ok(None) => None,
        Err(error) => Some(Err(StreamFailure {
            kind: sdk_error::stream_failure(&error),
            message: sdk_error::message(&error),
            region: Some(region.clone()),
        })),
    }
}
