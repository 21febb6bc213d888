use std::borrow::Cow;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use offhook_hosting::{clock::Clock, entropy::Entropy};
use phone_lab::bedrock::Server;
use sonic_worker::{
    agent::Agent,
    bedrock::{Bedrock, BedrockConfig, ModelOutput, ModelStreams, OpenRequest, read_ca_bundle},
    nova::{ClientEvent, ModelId, Session},
    tools::Tools,
};
use tokio::sync::mpsc;

use crate::support;

/// The worker's adapter, as if the process had a Bedrock API key in its environment.
fn adapter(server: &Server, ca_file: &std::path::Path) -> Bedrock {
    let credentials = Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, None, "test");
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .service_config(ApiKeyInTheEnvironment)
        .build();
    let config = BedrockConfig {
        model: ModelId::from("amazon.nova-2-sonic-v1:0"),
        regions: Vec::new(),
        endpoint: Some(format!("https://{}", server.address())),
        ca_bundle: read_ca_bundle(ca_file).unwrap(),
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

async fn open(adapter: &Bedrock, seed: u64) -> (mpsc::Sender<ClientEvent>, ModelOutput) {
    let setup = Agent::demo().setup(Tools::built_in(Clock).specs(false));
    let (_, opening) = Session::open(&setup, Entropy::from_seed(seed));
    let (input, events) = mpsc::channel(64);
    for event in opening {
        input.send(event).await.unwrap();
    }
    let output = adapter.open(OpenRequest { input: events, not_in: None }).await.unwrap();
    (input, output)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_token_in_the_environment_does_not_switch_signing_off() {
    let pair = support::pair("greeting: hello").await;
    let _session = open(&adapter(&pair.bedrock, pair.ca_file()), 1).await;
    assert_eq!(pair.bedrock.live_sessions(), 1, "{:?}", pair.bedrock.refusals());
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_spread_over_connections_with_a_bounded_number_each() {
    let bedrock = phone_lab::bedrock::Settings { max_sessions: 40, ..Default::default() };
    let pair = support::start(bedrock).await;
    let adapter = adapter(&pair.bedrock, pair.ca_file());
    let mut sessions = Vec::new();
    for seed in 0..40 {
        sessions.push(open(&adapter, seed).await);
    }
    assert_eq!(pair.bedrock.live_sessions(), 40);
    assert_eq!(pair.bedrock.open_connections(), 4, "each of 40 calls may have two sessions, 20 on a connection");
}
