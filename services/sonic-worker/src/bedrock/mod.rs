//! The way to Amazon Bedrock: opens two-way streams with the official SDK and reads what comes back.
//!
//! [`ModelStreams`] is the port; [`Bedrock`] serves it for real. What the SDK does and does not do for such a stream
//! (no retries, no deadline on opening, no notice of a frozen peer) decides the shape of this module.

mod classify;
mod credentials;
mod events;
mod health;
mod http_client;
mod region;
#[expect(clippy::wildcard_enum_match_arm, reason = "the SDK may add errors to its enums at any time")]
mod regions;
mod sdk;
#[expect(clippy::wildcard_enum_match_arm, reason = "the SDK may add errors to its enums at any time")]
mod sdk_error;
mod shards;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::task::AbortOnDropHandle;

pub use self::{
    http_client::read_ca_bundle,
    region::{Region, RegionConfig, read_endpoint, read_regions},
    regions::{Bedrock, BedrockConfig},
    sdk::sdk_config,
};
use crate::nova::{ClientEvent, Failure, ServerEvent};

/// Room for input events on the way to the SDK.
pub const INPUT_CAPACITY: usize = 64;
/// Room for output events on the way from it.
const OUTPUT_CAPACITY: usize = 64;
/// A start that takes longer fails; about 0.1 s is usual.
const OPEN_DEADLINE: Duration = Duration::from_secs(3);

/// Opens streams to a model.
pub trait ModelStreams: Send + Sync + 'static {
    /// Opens one. Dropping the future gives the stream up.
    fn open(&self, request: OpenRequest) -> OpenFuture;
}

/// What [`ModelStreams::open`] is asked for.
#[derive(Debug)]
pub struct OpenRequest {
    /// What the model is to hear. Must hold the opening events already: the service answers only once it has read them.
    /// When its sender is dropped, the input half ends by the book.
    pub input: mpsc::Receiver<ClientEvent>,
    /// A region in which it has just failed; taken only if there is no other.
    pub not_in: Option<Region>,
}

/// What [`ModelStreams::open`] answers with.
pub type OpenFuture = Pin<Box<dyn Future<Output = Result<ModelOutput, StreamFailure>> + Send>>;

/// Why a stream could not be opened, or broke.
#[derive(Clone, Debug)]
pub struct StreamFailure {
    /// What to do about it.
    pub kind: Failure,
    /// The service's own words or the error's, for the log. They speak of events, limits and connections, never of what
    /// was said.
    pub message: String,
    /// Where; `None` if no region was tried.
    pub region: Option<Region>,
}

impl From<Failure> for StreamFailure {
    fn from(kind: Failure) -> Self {
        Self { kind, message: String::new(), region: None }
    }
}

/// The streams of a worker.
pub type SharedStreams = Arc<dyn ModelStreams>;

/// What a model says. Dropping it and the sender of its input gives the stream up, unless it has ended.
#[derive(Debug)]
pub struct ModelOutput {
    events: mpsc::Receiver<Result<ServerEvent, StreamFailure>>,
    region: Region,
    credentials_expire: Option<Instant>,
    _reader: Option<AbortOnDropHandle<()>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl ModelOutput {
    /// Output that comes from a channel; for doubles of the model.
    pub fn from_channel(
        events: mpsc::Receiver<Result<ServerEvent, StreamFailure>>,
        region: Region,
        credentials_expire: Option<Instant>,
    ) -> Self {
        Self { events, region, credentials_expire, _reader: None, _place: None }
    }

    /// Where the model is.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// When the credentials that sign this stream stop being good; `None`: they do not.
    pub fn credentials_expire(&self) -> Option<Instant> {
        self.credentials_expire
    }

    /// The next event; `None` when the stream has ended cleanly. After an error nothing more comes.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<ServerEvent, StreamFailure>>> {
        self.events.poll_recv(context)
    }
}
