//! The connections to one region.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_sdk_bedrockruntime::{
    Client,
    config::{
        self, IdentityCache,
        retry::{ReconnectMode, RetryConfig},
    },
    operation::invoke_model_with_bidirectional_stream::InvokeModelWithBidirectionalStreamOutput as Stream,
    primitives::Blob,
    types::{
        BidirectionalInputPayloadPart, InvokeModelWithBidirectionalStreamInput as InputEvent,
        error::InvokeModelWithBidirectionalStreamInputError as InputError,
    },
};
use aws_smithy_runtime_api::client::auth::AuthSchemeId;
use futures_util::StreamExt;
use rustls::ClientConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::{OPEN_DEADLINE, Region, StreamFailure, http_client::H2Client, sdk_error};
use crate::nova::{ClientEvent, Failure, ModelId};

/// Streams on one connection. They share its fate and its window, and a peer that allows fewer streams than we open
/// makes the rest wait without a word.
const STREAMS_PER_CONNECTION: usize = 20;
/// A broken connection must not take the last places with it.
const FEWEST_CONNECTIONS: usize = 2;
/// After a connection did not answer; PING finds out within 20 s whether it is dead.
const AVOID_FOR: Duration = Duration::from_secs(30);

/// Connections to one region, with a bounded number of streams each.
#[derive(Debug)]
pub(super) struct Shards(Vec<Arc<Shard>>);

/// One connection.
#[derive(Debug)]
pub(super) struct Shard {
    client: Client,
    places: Arc<Semaphore>,
    avoid_until: Mutex<Option<Instant>>,
}

impl Shards {
    /// Room for at least so many streams. Connects when they open.
    pub(super) fn new(sdk: &SdkConfig, region: &Region, endpoint: &str, tls: &ClientConfig, streams: usize) -> Self {
        let shard = |_| {
            let service = config::Builder::from(sdk)
                .region(config::Region::new(region.as_str().to_owned()))
                .endpoint_url(endpoint)
                .http_client(H2Client::new(tls.clone()))
                // Events of a stream cannot be replayed, and a 5xx on one call must not close the others' connection.
                .retry_config(RetryConfig::disabled().with_reconnect_mode(ReconnectMode::ReuseAllConnections))
                // A bearer token in the environment would switch signing off, and the stream takes SigV4 only.
                .auth_scheme_preference([AuthSchemeId::from("sigv4")]);
            Arc::new(Shard {
                client: Client::from_conf(service.build()),
                places: Arc::new(Semaphore::new(STREAMS_PER_CONNECTION)),
                avoid_until: Mutex::new(None),
            })
        };
        let connections = streams.div_ceil(STREAMS_PER_CONNECTION).max(FEWEST_CONNECTIONS);
        Self((0..connections).map(shard).collect())
    }

    /// A place on the connection with the fewest streams, on one that has just failed only if there is no other.
    pub(super) fn place(&self, now: Instant) -> Option<(Arc<Shard>, OwnedSemaphorePermit)> {
        let free = self.0.iter().filter(|shard| shard.places.available_permits() > 0);
        let best = free.max_by_key(|shard| (!shard.is_avoided(now), shard.places.available_permits()))?;
        let place = Arc::clone(&best.places).try_acquire_owned().ok()?;
        Some((Arc::clone(best), place))
    }
}

impl Shard {
    fn is_avoided(&self, now: Instant) -> bool {
        self.avoid_until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| now < until)
    }

    /// It did not answer. Without this a connection that hangs would attract every new call: it has the fewest streams.
    pub(super) fn avoid(&self, now: Instant) {
        *self.avoid_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(now + AVOID_FOR);
    }

    /// Opens a stream that is signed with these credentials.
    pub(super) async fn start(
        &self,
        model: &ModelId,
        credentials: Credentials,
        input: mpsc::Receiver<ClientEvent>,
    ) -> Result<Stream, StreamFailure> {
        let events = ReceiverStream::new(input).map(|event| Ok::<_, InputError>(input_event(event)));
        let signed =
            config::Config::builder().credentials_provider(credentials).identity_cache(IdentityCache::no_cache());
        let request = self.client.invoke_model_with_bidirectional_stream().model_id(model.as_str()).body(events.into());
        match tokio::time::timeout(OPEN_DEADLINE, request.customize().config_override(signed).send()).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(StreamFailure {
                kind: sdk_error::start_failure(&error),
                message: sdk_error::message(&error),
                region: None,
            }),
            Err(_) => Err(Failure::TimedOut.into()),
        }
    }
}

fn input_event(event: ClientEvent) -> InputEvent {
    InputEvent::Chunk(BidirectionalInputPayloadPart::builder().bytes(Blob::new(event.into_bytes())).build())
}
