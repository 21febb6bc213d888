//! Which region a session is opened in, and the opening of it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime},
};

use aws_config::SdkConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_bedrockruntime::operation::RequestId;
use offhook_hosting::clock::Clock;
use rustls_pki_types::CertificateDer;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, Span, info};

use super::{
    ModelOutput, ModelStreams, OUTPUT_CAPACITY, OpenFuture, OpenRequest, Region, StreamFailure,
    credentials::KeptCredentials,
    events::forward_events,
    health::{self, Health},
    http_client,
    region::RegionConfig,
    sdk::DEFAULT_REGION,
    sdk_error,
    shards::{Shard, Shards},
};
use crate::nova::{Failure, ModelId};

/// How many sessions of one call may be open at a time: while it moves from one to the next there are two.
const SESSIONS_PER_CALL: usize = 2;

/// How to reach Bedrock. Credentials, and the region if none is given, are the SDK's: see [`super::sdk_config`].
#[derive(Clone, Debug)]
pub struct BedrockConfig {
    /// Which model.
    pub model: ModelId,
    /// `BEDROCK_REGIONS`, home first; empty: the SDK's.
    pub regions: Vec<RegionConfig>,
    /// `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`, of the home region unless that has its own; `None`: AWS's.
    pub endpoint: Option<String>,
    /// `AWS_CA_BUNDLE`: certificate authorities trusted besides the system's.
    pub ca_bundle: Vec<CertificateDer<'static>>,
    /// How many calls there may be at a time. Each region has room for twice as many sessions, because all calls may
    /// move to new sessions at once, when credentials run out for instance; there are more sessions than calls only then.
    pub max_sessions: usize,
}

/// Amazon Bedrock, in one region or several.
#[derive(Debug)]
pub struct Bedrock {
    model: ModelId,
    places: Vec<Arc<Place>>,
    credentials: Option<Arc<KeptCredentials>>,
    clock: Clock,
}

/// A region as seen from here.
#[derive(Debug)]
struct Place {
    region: Region,
    shards: Shards,
    health: Mutex<Health>,
}

impl Bedrock {
    /// Connects when the first session opens, with the credentials of `sdk`.
    ///
    /// # Errors
    /// If no certificate authority is trusted.
    pub fn new(config: BedrockConfig, sdk: &SdkConfig, clock: Clock) -> anyhow::Result<Self> {
        let tls = http_client::tls(config.ca_bundle)?;
        let sessions = config.max_sessions * SESSIONS_PER_CALL;
        let place = |RegionConfig { region, endpoint }| {
            // Set always, because the SDK would take an empty variable for an endpoint.
            let endpoint = endpoint.unwrap_or_else(|| format!("https://bedrock-runtime.{region}.amazonaws.com"));
            let shards = Shards::new(sdk, &region, &endpoint, &tls, sessions);
            Arc::new(Place { region, shards, health: Mutex::default() })
        };
        let mut regions = config.regions;
        if regions.is_empty() {
            let region = sdk.region().map_or(DEFAULT_REGION, |region| region.as_ref());
            regions.push(RegionConfig { region: Region::from(region), endpoint: None });
        }
        if let Some(RegionConfig { endpoint: endpoint @ None, .. }) = regions.first_mut() {
            *endpoint = config.endpoint;
        }
        Ok(Self {
            model: config.model,
            places: regions.into_iter().map(place).collect(),
            credentials: sdk.credentials_provider().map(|provider| Arc::new(KeptCredentials::new(provider))),
            clock,
        })
    }

    /// The first region that is not avoided and has room, else one that is avoided, else the one not asked for.
    fn place(&self, not_in: Option<&Region>) -> Option<(Arc<Place>, Arc<Shard>, OwnedSemaphorePermit)> {
        let now = self.clock.now();
        let regions: Vec<_> = self.places.iter().map(|place| (&place.region, place.health())).collect();
        health::order(&regions, not_in, now).into_iter().find_map(|index| {
            let place = &self.places[index];
            let (shard, permit) = place.shards.place(now)?;
            Some((Arc::clone(place), shard, permit))
        })
    }
}

impl Place {
    fn health(&self) -> Health {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns from a start in this region on this connection.
    fn note(&self, shard: &Shard, failure: Option<Failure>, now: Instant) {
        if matches!(failure, Some(Failure::TimedOut | Failure::PeerGone)) {
            shard.avoid(now);
        }
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            Some(Failure::Unavailable | Failure::TimedOut | Failure::PeerGone | Failure::NotInRegion) => {
                if !health.is_avoided(now) {
                    info!(region = %self.region, "a region took no session: new ones are opened elsewhere if possible");
                }
                health.failed(now);
            }
            Some(_) => {}
            None => health.succeeded(),
        }
    }
}

impl ModelStreams for Bedrock {
    fn open(&self, OpenRequest { input, not_in }: OpenRequest) -> OpenFuture {
        let place = self.place(not_in.as_ref());
        let (model, clock, kept) = (self.model.clone(), self.clock, self.credentials.clone());
        let is_one_of_many = self.places.len() > 1;
        Box::pin(async move {
            let (place, shard, permit) = place.ok_or(Failure::NoCapacity)?;
            let kept = kept.ok_or(Failure::AccessDenied)?;
            let credentials = kept.get(clock.wall().into()).await.map_err(|error| no_credentials(&error))?;
            let credentials_expire = credentials.expiry().and_then(|end| on_clock(end, clock));
            let started = shard.start(&model, credentials, input).await;
            let started = started.map_err(|failure| if is_one_of_many { in_one_of_many(failure) } else { failure });
            let failure = started.as_ref().err().map(|failure| failure.kind);
            place.note(&shard, failure, clock.now());
            if failure == Some(Failure::CredentialsExpired) {
                kept.forget();
            }
            let region = place.region.clone();
            let stream = started.map_err(|failure| StreamFailure { region: Some(region.clone()), ..failure })?;
            Span::current().record("aws.request_id", stream.request_id());
            let (sender, events) = mpsc::channel(OUTPUT_CAPACITY);
            let reader = forward_events(stream, region.clone(), kept, sender).instrument(Span::current());
            Ok(ModelOutput {
                events,
                region,
                credentials_expire,
                _reader: Some(AbortOnDropHandle::new(tokio::spawn(reader))),
                _place: Some(permit),
            })
        })
    }
}

/// What one region does not have or permit is no reason to give up while there are others.
fn in_one_of_many(failure: StreamFailure) -> StreamFailure {
    let is_of_the_region = matches!(failure.kind, Failure::NotFound | Failure::AccessDenied);
    StreamFailure { kind: if is_of_the_region { Failure::NotInRegion } else { failure.kind }, ..failure }
}

fn no_credentials(error: &CredentialsError) -> StreamFailure {
    let kind = match error {
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => Failure::AccessDenied,
        _ => Failure::NoCredentials,
    };
    StreamFailure { kind, message: sdk_error::chain(error), region: None }
}

/// `None` for a day that no clock of ours reaches.
fn on_clock(time_of_day: SystemTime, clock: Clock) -> Option<Instant> {
    let left = time_of_day.duration_since(clock.wall().into()).unwrap_or_default();
    clock.now().checked_add(left)
}
