use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, future},
};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use offhook_hosting::{clock::Clock, entropy::Entropy};
use phone_lab::bedrock::{
    CertificateAuthority, ExceptionKind, Fault, Moment, Pace, Refusal, Server, Settings, TokenExpiry,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use sonic_worker::{
    agent::Agent,
    bedrock::{Bedrock, BedrockConfig, ModelOutput, ModelStreams, OpenRequest, Region, RegionConfig, StreamFailure},
    nova::{ClientEvent, Failure, ModelId, Session},
    tools::Tools,
};
use tokio::{net::TcpListener, sync::mpsc};

/// One region of the service.
struct Lab {
    server: Server,
    ca: CertificateDer<'static>,
    region: RegionConfig,
}

impl Lab {
    async fn start(settings: Settings) -> Self {
        let ca = CertificateAuthority::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let region = Region::from(settings.region.as_str());
        let names = ["127.0.0.1".to_owned()];
        let settings = Settings { pace: Pace::new(0.1).unwrap(), ..settings };
        let server = Server::start(listener, &ca, &names, settings, Clock, Entropy::from_seed(1)).unwrap();
        let endpoint = Some(format!("https://{}", server.address()));
        let ca = CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap();
        Self { server, ca, region: RegionConfig { region, endpoint } }
    }

    async fn in_region(region: &str) -> Self {
        Self::start(Settings { region: region.into(), ..Settings::default() }).await
    }
}

/// The worker's adapter, as if the process had a Bedrock API key in its environment.
fn adapter(labs: &[&Lab], credentials: impl ProvideCredentials + 'static) -> Bedrock {
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .service_config(ApiKeyInTheEnvironment)
        .build();
    let config = BedrockConfig {
        model: ModelId::from("amazon.nova-2-sonic-v1:0"),
        regions: labs.iter().map(|lab| lab.region.clone()).collect(),
        endpoint: None,
        ca_bundle: labs.iter().map(|lab| lab.ca.clone()).collect(),
        max_sessions: 40,
    };
    Bedrock::new(config, &sdk, Clock).unwrap()
}

#[derive(Debug)]
struct ApiKeyInTheEnvironment;

impl LoadServiceConfig for ApiKeyInTheEnvironment {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let name: Cow<'_, str> = key.env().into();
        (name == "AWS_BEARER_TOKEN").then(|| "an-api-key".to_owned())
    }
}

/// Gives out what the lab's service takes, with a token or without, for so long; counts how often it was asked.
#[derive(Clone, Debug)]
struct Provider {
    token: Option<&'static str>,
    lasts: Option<Duration>,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    fn new(token: Option<&'static str>, lasts: Option<Duration>) -> Self {
        Self { token, lasts, asked: Arc::default() }
    }

    fn lasting() -> Self {
        Self::new(None, None)
    }
}

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let lab = Settings::default();
        let end = self.lasts.map(|lasts| SystemTime::from(Clock.wall()) + lasts);
        let token = self.token.map(str::to_owned);
        let credentials = Credentials::new(lab.access_key_id, lab.secret_access_key, token, end, "test");
        future::ProvideCredentials::ready(Ok(credentials))
    }
}

type Opened = (mpsc::Sender<ClientEvent>, ModelOutput);

async fn open_not_in(adapter: &Bedrock, not_in: Option<&str>) -> Result<Opened, StreamFailure> {
    let setup = Agent::demo().setup(Tools::built_in(Clock).specs(false));
    let (_, opening) = Session::open(&setup, Entropy::from_os());
    let (input, events) = mpsc::channel(64);
    for event in opening {
        input.send(event).await.unwrap();
    }
    let output = adapter.open(OpenRequest { input: events, not_in: not_in.map(Region::from) }).await?;
    Ok((input, output))
}

async fn open(adapter: &Bedrock) -> Result<Opened, StreamFailure> {
    open_not_in(adapter, None).await
}

/// The region that a session is opened in.
async fn region(adapter: &Bedrock, not_in: Option<&str>) -> String {
    open_not_in(adapter, not_in).await.unwrap().1.region().to_string()
}

/// How an opened stream ends; `None` if cleanly.
async fn end((_input, mut output): Opened) -> Option<StreamFailure> {
    loop {
        match std::future::poll_fn(|context| output.poll_recv(context)).await {
            Some(Ok(_)) => {}
            Some(Err(failure)) => return Some(failure),
            None => return None,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_token_in_the_environment_does_not_switch_signing_off() {
    let lab = Lab::in_region("us-east-1").await;
    let _session = open(&adapter(&[&lab], Provider::lasting())).await.unwrap();
    assert_eq!(lab.server.live_sessions(), 1, "{:?}", lab.server.refusals());
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_spread_over_connections_with_a_bounded_number_each() {
    let lab = Lab::start(Settings { max_sessions: 80, ..Settings::default() }).await;
    let adapter = adapter(&[&lab], Provider::lasting());
    let mut sessions = Vec::new();
    for _ in 0..80 {
        sessions.push(open(&adapter).await.unwrap());
    }
    assert_eq!(lab.server.live_sessions(), 80, "each of 40 calls may have two sessions");
    assert_eq!(lab.server.open_connections(), 4);
    assert_eq!(open(&adapter).await.unwrap_err().kind, Failure::NoCapacity, "a third would wait without a word");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_owner_is_gone_is_not_left_open_and_its_place_is_free() {
    let lab = Lab::in_region("us-east-1").await;
    let adapter = adapter(&[&lab], Provider::lasting());
    // One more than there are places.
    for _ in 0..81 {
        drop(open(&adapter).await.unwrap());
        let none = async {
            while lab.server.live_sessions() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(10), none).await.is_ok(), "a session is left open");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_in_which_a_stream_can_break_is_told_apart() {
    let at = Moment::After(Duration::from_millis(300));
    let exception = |kind, message: &str| Fault::Exception { kind, message: message.into(), at };
    let as_it_happens = |kind| exception(kind, "as it happens");
    let error = |code: &str| Fault::Error { code: code.into(), message: "as it happens".into(), at };
    let idle = "RequestId=1 : Timed out waiting for audio bytes or interactive content.";
    let faults = [
        (as_it_happens(ExceptionKind::InternalServer), Some(Failure::Unavailable)),
        (as_it_happens(ExceptionKind::ModelStreamError), Some(Failure::ModelFailed)),
        (as_it_happens(ExceptionKind::Validation), Some(Failure::BadInput)),
        (exception(ExceptionKind::Validation, idle), Some(Failure::Idle)),
        (as_it_happens(ExceptionKind::Throttling), Some(Failure::Throttled)),
        (as_it_happens(ExceptionKind::ModelTimeout), Some(Failure::SessionExpired)),
        (as_it_happens(ExceptionKind::ServiceUnavailable), Some(Failure::Unavailable)),
        (as_it_happens(ExceptionKind::InvalidSignature), Some(Failure::AccessDenied)),
        (as_it_happens(ExceptionKind::ExpiredToken), Some(Failure::CredentialsExpired)),
        (error("internalServerException"), Some(Failure::Unavailable)),
        (error("somethingNew"), Some(Failure::Unknown)),
        (Fault::BadChecksum(at), Some(Failure::Garbled)),
        (Fault::HalfFrame(at), Some(Failure::Garbled)),
        (Fault::ResetStream(at), Some(Failure::Reset)),
        (Fault::ResetStreamWithoutError(at), None),
        (Fault::EndStream(at), None),
        (Fault::DropConnection(at), Some(Failure::PeerGone)),
    ];
    let lab = Lab::in_region("us-east-1").await;
    let adapter = adapter(&[&lab], Provider::lasting());
    for (fault, expected) in faults {
        lab.server.inject(fault.clone());
        let failure = end(open(&adapter).await.unwrap()).await;
        assert_eq!(failure.as_ref().map(|failure| failure.kind), expected, "{fault:?}: {failure:?}");
        assert!(failure.is_none_or(|failure| failure.region == Some(Region::from("us-east-1"))), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_in_which_a_start_can_fail_is_told_apart() {
    let refusals = [
        (Refusal::throttled(), Failure::Throttled),
        (Refusal::model_not_ready(), Failure::Throttled),
        (Refusal::quota_exceeded(), Failure::Quota),
        (Refusal::access_denied(), Failure::AccessDenied),
        (Refusal::not_found(), Failure::NotFound),
        (Refusal::invalid_model(), Failure::NotFound),
        (Refusal::invalid("as it happens"), Failure::BadInput),
        (Refusal::internal(), Failure::Unavailable),
        (Refusal::unavailable(), Failure::Unavailable),
        (Refusal::model_error(), Failure::ModelFailed),
        (Refusal::model_timeout(), Failure::TimedOut),
        (Refusal::new(502, "", "a gateway's page"), Failure::Unavailable),
    ];
    let lab = Lab::in_region("us-east-1").await;
    let adapter = adapter(&[&lab], Provider::lasting());
    for (refusal, expected) in refusals {
        lab.server.inject(Fault::Refuse(refusal.clone()));
        assert_eq!(open(&adapter).await.unwrap_err().kind, expected, "{refusal:?}");
    }
    assert_eq!(region(&adapter, None).await, "us-east-1", "the only region is used, whatever happened in it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_fails_is_left_for_the_next_and_home_is_used_otherwise() {
    let (home, other) = (Lab::in_region("us-east-1").await, Lab::in_region("us-west-2").await);
    let adapter = adapter(&[&home, &other], Provider::lasting());
    assert_eq!(region(&adapter, None).await, "us-east-1");
    assert_eq!(region(&adapter, Some("us-east-1")).await, "us-west-2", "it failed for one call only");
    assert_eq!(region(&adapter, None).await, "us-east-1");

    home.server.inject(Fault::Refuse(Refusal::throttled()));
    assert_eq!(open(&adapter).await.unwrap_err().kind, Failure::Throttled);
    assert_eq!(region(&adapter, None).await, "us-east-1", "throttling is no fault of the region");

    home.server.inject(Fault::Refuse(Refusal::unavailable()));
    let failure = open(&adapter).await.unwrap_err();
    assert_eq!((failure.kind, failure.region), (Failure::Unavailable, Some(Region::from("us-east-1"))));
    assert_eq!(region(&adapter, None).await, "us-west-2", "the next call does not try what has just failed");
    assert_eq!(region(&adapter, Some("us-west-2")).await, "us-east-1", "but rather that than the one that failed it");
    assert_eq!(region(&adapter, None).await, "us-east-1", "which ended its being avoided");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_does_not_have_the_model_or_forbids_it_is_left_for_one_that_may() {
    for refusal in [Refusal::access_denied(), Refusal::not_found()] {
        let (home, other) = (Lab::in_region("us-east-1").await, Lab::in_region("us-west-2").await);
        let adapter = adapter(&[&home, &other], Provider::lasting());
        other.server.inject(Fault::Refuse(refusal));
        let failure = open_not_in(&adapter, Some("us-east-1")).await.unwrap_err();
        assert_eq!((failure.kind, failure.region), (Failure::NotInRegion, Some(Region::from("us-west-2"))));
        home.server.inject(Fault::Refuse(Refusal::unavailable()));
        assert_eq!(open(&adapter).await.unwrap_err().kind, Failure::Unavailable);
        assert_eq!(region(&adapter, None).await, "us-east-1", "home first, where both have failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_region_costs_one_start() {
    let (home, other) = (Lab::in_region("us-east-1").await, Lab::in_region("us-west-2").await);
    let adapter = adapter(&[&home, &other], Provider::lasting());
    let session = open(&adapter).await.unwrap();
    home.server.stop().await;
    assert!(end(session).await.is_some_and(|failure| failure.region == Some(Region::from("us-east-1"))));
    assert_eq!(open(&adapter).await.unwrap_err().kind, Failure::PeerGone);
    for _ in 0..3 {
        assert_eq!(region(&adapter, None).await, "us-west-2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_knows_when_its_credentials_end_and_the_next_gets_better_ones() {
    let lab = Lab::in_region("us-east-1").await;
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    for (lasts, times_asked) in [(minutes(60), 1), (minutes(4), 3)] {
        let provider = Provider::new(None, Some(lasts));
        let adapter = adapter(&[&lab], provider.clone());
        for _ in 0..3 {
            let (_input, output) = open(&adapter).await.unwrap();
            let left = output.credentials_expire().unwrap() - Clock.now();
            assert!(left <= lasts && left > lasts - minutes(2), "{left:?} of {lasts:?}");
        }
        assert_eq!(provider.asked.load(Ordering::SeqCst), times_asked, "{lasts:?}");
    }
    let (_input, output) = open(&adapter(&[&lab], Provider::lasting())).await.unwrap();
    assert_eq!(output.credentials_expire(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_the_service_takes_for_expired_are_asked_for_anew() {
    let settings = Settings {
        session_token: Some("token".into()),
        session_token_expires_at: Some(Clock.wall() + Duration::from_secs(3)),
        token_expiry: TokenExpiry::Exception,
        ..Settings::default()
    };
    let lab = Lab::start(settings).await;
    let provider = Provider::new(Some("token"), None);
    let adapter = adapter(&[&lab], provider.clone());
    let session = open(&adapter).await.unwrap();
    assert_eq!(end(session).await.unwrap().kind, Failure::CredentialsExpired);
    for asked in [2, 3] {
        assert_eq!(open(&adapter).await.unwrap_err().kind, Failure::CredentialsExpired);
        assert_eq!(provider.asked.load(Ordering::SeqCst), asked);
    }
}
