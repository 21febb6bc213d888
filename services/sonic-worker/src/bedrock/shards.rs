use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_config::SdkConfig;
use aws_sdk_bedrockruntime::{
    Client,
    config::retry::{ReconnectMode, RetryConfig},
    operation::{
        RequestId, invoke_model_with_bidirectional_stream::InvokeModelWithBidirectionalStreamOutput as Stream,
    },
    primitives::{Blob, event_stream::EventReceiver},
    types::{
        BidirectionalInputPayloadPart, InvokeModelWithBidirectionalStreamInput as InputEvent,
        InvokeModelWithBidirectionalStreamOutput as OutputEvent,
        error::{
            InvokeModelWithBidirectionalStreamInputError as InputError,
            InvokeModelWithBidirectionalStreamOutputError as OutputError,
        },
    },
};
use aws_smithy_runtime_api::client::auth::AuthSchemeId;
use futures_util::StreamExt;
use offhook_hosting::clock::Clock;
use rustls_pki_types::CertificateDer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, Span};

use super::{
    ModelOutput, ModelStreams, OPEN_DEADLINE, OUTPUT_CAPACITY, OpenFuture, OpenRequest, Region, StreamFailure,
    classify,
    http_client::{self, H2Client},
    sdk::DEFAULT_REGION,
};
use crate::nova::{ClientEvent, Failure, ModelId, ServerEvent};

/// Streams on one connection. They share its fate and its window, and a peer that allows fewer streams than we open
/// makes the rest wait without a word.
const STREAMS_PER_CONNECTION: usize = 20;
/// After a connection did not answer; PING finds out within 20 s whether it is dead.
const AVOID_FOR: Duration = Duration::from_secs(30);

/// How to reach Bedrock. Credentials and region are the SDK's: see [`super::sdk_config`].
#[derive(Clone, Debug)]
pub struct BedrockConfig {
    /// Which model.
    pub model: ModelId,
    /// `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`; `None`: the region's own.
    pub endpoint: Option<String>,
    /// `AWS_CA_BUNDLE`: certificate authorities trusted besides the system's.
    pub ca_bundle: Vec<CertificateDer<'static>>,
    /// How many sessions may be open at a time.
    pub max_sessions: usize,
}

/// Amazon Bedrock, over several HTTP/2 connections with a bounded number of streams each.
#[derive(Debug)]
pub struct Bedrock {
    model: ModelId,
    region: Region,
    shards: Vec<Arc<Shard>>,
    clock: Clock,
}

/// One connection.
#[derive(Debug)]
struct Shard {
    client: Client,
    places: Arc<Semaphore>,
    avoid_until: Mutex<Option<Instant>>,
}

impl Bedrock {
    /// Connects when the first session opens, with the credentials and in the region of `sdk`.
    ///
    /// # Errors
    /// If no certificate authority is trusted.
    pub fn new(config: BedrockConfig, sdk: &SdkConfig, clock: Clock) -> anyhow::Result<Self> {
        let tls = http_client::tls(config.ca_bundle)?;
        let region = sdk.region().map_or(DEFAULT_REGION, |region| region.as_ref());
        // Set always, because the SDK would take an empty variable for an endpoint.
        let endpoint = config.endpoint.unwrap_or_else(|| format!("https://bedrock-runtime.{region}.amazonaws.com"));
        let shard = |_| {
            let service = aws_sdk_bedrockruntime::config::Builder::from(sdk)
                .endpoint_url(&endpoint)
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
        // One more than needed: a broken connection must not take the last places with it.
        let shards = config.max_sessions.div_ceil(STREAMS_PER_CONNECTION) + 1;
        Ok(Self { model: config.model, region: Region::from(region), shards: (0..shards).map(shard).collect(), clock })
    }

    /// A place on the connection with the fewest streams, on one that has just failed only if there is no other.
    fn place(&self) -> Option<(Arc<Shard>, OwnedSemaphorePermit)> {
        let now = self.clock.now();
        let free = self.shards.iter().filter(|shard| shard.places.available_permits() > 0);
        let best = free.max_by_key(|shard| (!shard.is_avoided(now), shard.places.available_permits()))?;
        let place = Arc::clone(&best.places).try_acquire_owned().ok()?;
        Some((Arc::clone(best), place))
    }
}

impl Shard {
    fn is_avoided(&self, now: Instant) -> bool {
        self.avoid_until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| now < until)
    }

    /// Without this a connection that hangs would attract every new call: it has the fewest streams.
    fn avoid(&self, now: Instant) {
        *self.avoid_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(now + AVOID_FOR);
    }

    async fn start(&self, model: &ModelId, input: mpsc::Receiver<ClientEvent>) -> Result<Stream, StreamFailure> {
        let events = ReceiverStream::new(input).map(|event| Ok::<_, InputError>(input_event(event)));
        let request = self.client.invoke_model_with_bidirectional_stream().model_id(model.as_str()).body(events.into());
        match tokio::time::timeout(OPEN_DEADLINE, request.send()).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(StreamFailure {
                kind: classify::start_failure(&error),
                message: classify::message(&error),
                region: None,
            }),
            Err(_) => Err(Failure::TimedOut.into()),
        }
    }
}

impl ModelStreams for Bedrock {
    fn open(&self, OpenRequest { input, not_in: _ }: OpenRequest) -> OpenFuture {
        let (place, model, clock, region) = (self.place(), self.model.clone(), self.clock, self.region.clone());
        Box::pin(async move {
            let (shard, place) = place.ok_or(Failure::NoCapacity)?;
            let started = shard.start(&model, input).await;
            if let Err(StreamFailure { kind: Failure::TimedOut | Failure::PeerGone, .. }) = &started {
                shard.avoid(clock.now());
            }
            let stream = started?;
            Span::current().record("aws.request_id", stream.request_id());
            let (sender, events) = mpsc::channel(OUTPUT_CAPACITY);
            let reader = tokio::spawn(forward_events(stream, sender).instrument(Span::current()));
            Ok(ModelOutput {
                events,
                region,
                credentials_expire: None,
                _reader: Some(AbortOnDropHandle::new(reader)),
                _place: Some(place),
            })
        })
    }
}

fn input_event(event: ClientEvent) -> InputEvent {
    InputEvent::Chunk(BidirectionalInputPayloadPart::builder().bytes(Blob::new(event.into_bytes())).build())
}

/// Drains the stream for as long as somebody listens: unread output would close the window for its neighbours.
async fn forward_events(stream: Stream, events: mpsc::Sender<Result<ServerEvent, StreamFailure>>) {
    let mut output = stream.body;
    while let Some(event) = next_event(&mut output).await {
        let last = event.is_err();
        if events.send(event).await.is_err() || last {
            return;
        }
    }
}

async fn next_event(
    output: &mut EventReceiver<OutputEvent, OutputError>,
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
            kind: classify::stream_failure(&error),
            message: classify::message(&error),
            region: None,
        })),
    }
}
