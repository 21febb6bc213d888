use std::{path::PathBuf, sync::Arc};

use aws_config::{
    BehaviorVersion, SdkConfig, environment::EnvironmentVariableRegionProvider, meta::region::RegionProviderChain,
    profile::ProfileFileRegionProvider,
};
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_bedrockruntime::{
    Client,
    config::retry::{ReconnectMode, RetryConfig},
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    operation::invoke_model_with_bidirectional_stream::InvokeModelWithBidirectionalStreamOutput as Stream,
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
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::auth::AuthSchemeId;
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, Span, warn};

use super::{
    ModelOutput, ModelStreams, OPEN_DEADLINE, OUTPUT_CAPACITY, OpenFuture, classify,
    http_client::{self, H2Client},
};
use crate::nova::{ClientEvent, Failure, ModelId, ServerEvent};

/// Streams on one connection. They share its fate and its window, and a peer that allows fewer streams than we open
/// makes the rest wait without a word.
const STREAMS_PER_CONNECTION: usize = 20;
const DEFAULT_REGION: &str = "us-east-1";

/// How to reach Bedrock. Credentials and region are the SDK's: see [`sdk_config`].
#[derive(Clone, Debug)]
pub struct BedrockConfig {
    /// Which model.
    pub model: ModelId,
    /// `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`; `None`: the region's own.
    pub endpoint: Option<String>,
    /// `AWS_CA_BUNDLE`: a PEM file trusted besides the system's authorities.
    pub ca_bundle: Option<PathBuf>,
    /// How many sessions may be open at a time.
    pub max_sessions: usize,
}

/// Amazon Bedrock, over several HTTP/2 connections with a bounded number of streams each.
#[derive(Debug)]
pub struct Bedrock {
    model: ModelId,
    shards: Vec<Shard>,
}

#[derive(Debug)]
struct Shard {
    client: Client,
    places: Arc<Semaphore>,
}

impl Bedrock {
    /// Connects when the first session opens, with the credentials and in the region of `sdk`.
    ///
    /// # Errors
    /// If the CA bundle cannot be read.
    pub fn new(config: BedrockConfig, sdk: &SdkConfig) -> anyhow::Result<Self> {
        let tls = http_client::tls(config.ca_bundle.as_deref())?;
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
            Shard {
                client: Client::from_conf(service.build()),
                places: Arc::new(Semaphore::new(STREAMS_PER_CONNECTION)),
            }
        };
        // One more than needed: a broken connection must not take the last places with it.
        let shards = config.max_sessions.div_ceil(STREAMS_PER_CONNECTION) + 1;
        Ok(Self { model: config.model, shards: (0..shards).map(shard).collect() })
    }

    /// A place on the connection with the fewest streams.
    fn place(&self) -> Option<(Client, OwnedSemaphorePermit)> {
        let shard = self.shards.iter().max_by_key(|shard| shard.places.available_permits())?;
        let place = Arc::clone(&shard.places).try_acquire_owned().ok()?;
        Some((shard.client.clone(), place))
    }
}

impl ModelStreams for Bedrock {
    fn open(&self, input: mpsc::Receiver<ClientEvent>) -> OpenFuture {
        let (place, model) = (self.place(), self.model.clone());
        Box::pin(async move {
            let (client, place) = place.ok_or(Failure::NoCapacity)?;
            let events = ReceiverStream::new(input).map(|event| Ok::<_, InputError>(input_event(event)));
            let request = client.invoke_model_with_bidirectional_stream().model_id(model.as_str()).body(events.into());
            let stream = match tokio::time::timeout(OPEN_DEADLINE, request.send()).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return Err(logged(classify::start_failure(&error), &error)),
                Err(_) => {
                    warn!(failure = %Failure::TimedOut, "the model did not answer the start of a session");
                    return Err(Failure::TimedOut);
                }
            };
            let (sender, events) = mpsc::channel(OUTPUT_CAPACITY);
            let reader = tokio::spawn(forward_events(stream, sender).instrument(Span::current()));
            Ok(ModelOutput { events, _reader: Some(AbortOnDropHandle::new(reader)), _place: Some(place) })
        })
    }
}

fn input_event(event: ClientEvent) -> InputEvent {
    InputEvent::Chunk(BidirectionalInputPayloadPart::builder().bytes(Blob::new(event.into_bytes())).build())
}

/// Drains the stream for as long as somebody listens: unread output would close the window for its neighbours.
async fn forward_events(stream: Stream, events: mpsc::Sender<Result<ServerEvent, Failure>>) {
    let mut output = stream.body;
    while let Some(event) = next_event(&mut output).await {
        let last = event.is_err();
        if events.send(event).await.is_err() || last {
            return;
        }
    }
}

async fn next_event(output: &mut EventReceiver<OutputEvent, OutputError>) -> Option<Result<ServerEvent, Failure>> {
    loop {
        let part = match output.recv().await {
            Ok(Some(OutputEvent::Chunk(part))) => part,
            Ok(Some(_)) => continue,
            Ok(None) => return None,
            Err(error) => return Some(Err(logged(classify::stream_failure(&error), &error))),
        };
        match ServerEvent::parse(part.bytes().map_or(&[], Blob::as_ref)) {
            Ok(event) => return Some(Ok(event)),
            Err(error) => warn!(%error, "skipped an event of the model"),
        }
    }
}

fn logged<E, R>(failure: Failure, error: &SdkError<E, R>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match classify::message(error) {
        Some(message) => warn!(%failure, message, "the model's stream failed"),
        None => warn!(%failure, error = %DisplayErrorContext(error), "the model's stream failed"),
    }
    failure
}

/// Credentials and region as AWS users expect: the SDK's default chain (environment, profiles, SSO, web identity, ECS
/// and EKS roles), and `us-east-1` where no region is set. Logs a warning when there are no credentials, which is not
/// fatal: they may come later, and the caller of a call that comes before hears an apology.
pub async fn sdk_config() -> SdkConfig {
    let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(DEFAULT_REGION);
    // For the credentials' own requests (STS, SSO, ECS, EKS); sessions have their own client.
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https();
    let sdk = aws_config::defaults(BehaviorVersion::v2026_01_12()).region(region).http_client(http).load().await;
    warn_without_credentials(&sdk).await;
    sdk
}

async fn warn_without_credentials(sdk: &SdkConfig) {
    let found = match sdk.credentials_provider() {
        Some(provider) => provider.provide_credentials().await.is_ok(),
        None => false,
    };
    if !found {
        warn!(
            "no AWS credentials found: calls will be refused until there are (environment, profile, ECS or EKS role)"
        );
    }
}
