//! A server whose model is the lab's: the command serves it, and both ends of each call are compared.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::Stdio,
    sync::Arc,
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use offhook_hosting::{clock::Clock, entropy::Entropy, env::Env, lifecycle::Lifecycle, telemetry::Telemetry};
use tokio::net::TcpListener;

use crate::support::{Folder, Running, command};

async fn loopback() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Offhook, with the variables that the command printed; it takes calls on `public`.
async fn start_pair(variables: &str, public: TcpListener) {
    let variables: Vec<_> = variables.split_whitespace().filter_map(|word| word.split_once('=')).collect();
    let value = |name: &str| variables.iter().find(|(known, _)| *known == name).unwrap().1.to_owned();
    let key = Credentials::new(value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY"), None, None, "printed");
    let aws = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(value("AWS_REGION")))
        .credentials_provider(SharedCredentialsProvider::new(key))
        .build();
    let listeners = sonic_worker::Listeners { grpc: loopback().await, admin: loopback().await };
    let worker_url = format!("http://{}", listeners.grpc.local_addr().unwrap());
    let names = ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_CA_BUNDLE"];
    let printed = names.map(|name| (name, value(name)));
    let others = [
        ("SONIC_WORKERS", worker_url),
        ("PUBLIC_URL", "https://voice.example.test".to_owned()),
        ("TWILIO_AUTH_TOKEN", "phone-lab-auth-token".to_owned()),
        ("OFFHOOK_TICKET_KEY", "a ticket key that only this test's edge uses".to_owned()),
    ];
    let environment = Env::from_iter(printed.into_iter().chain(others));
    let telemetry = Arc::new(Telemetry::for_metrics("play"));
    let config = sonic_worker::config::Config::from_env(&environment).unwrap();
    let (seen, random) = (Arc::clone(&telemetry), Entropy::from_seed(1));
    tokio::spawn(async move {
        sonic_worker::run(config, &aws, listeners, &seen, Lifecycle::default(), Clock, random).await.unwrap()
    });
    let config = edge::Config::from_env(&environment).unwrap();
    let listeners = edge::Listeners { public, admin: loopback().await };
    tokio::spawn(async move {
        edge::run(config, listeners, &telemetry, Lifecycle::default(), Clock, Entropy::from_seed(2)).await.unwrap()
    });
}

/// A model of its own, and a caller who hears it.
fn scenario(folder: &Folder, name: &str, greeting: &str) -> String {
    let file = format!("{name}.yaml");
    let steps = "[listen, say: right, listen, hang_up]";
    let yaml = format!(
        "model: {{greeting: '{greeting}'}}\ncalls:\n  - {{name: {name}, hears: ['{greeting}', 'you said right'], \
         caller: {{from: '+15550100001', to: '+15550100100', steps: {steps}}}}}\n"
    );
    std::fs::write(folder.path(&file), yaml).unwrap();
    folder.path(&file)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_scenario_s_model_is_served_and_both_ends_are_compared() {
    let folder = Folder::new("served");
    let files = [scenario(&folder, "one", "good morning"), scenario(&folder, "two", "good evening")];
    let public = loopback().await;
    let (edge, json, ca): (SocketAddr, _, _) =
        (public.local_addr().unwrap(), folder.path("run.json"), folder.path("ca.pem"));
    let served = ["--bedrock-listen", "127.0.0.1:0", "--ca-out", &ca, "--pace", "0.1"];
    let edge = format!("http://{edge}");
    let mut command = command(&[&[&files[0], &files[1], "--edge", &edge, "--json", &json][..], &served].concat());
    let mut child = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap());
    let mut printed = String::new();
    while !printed.contains("AWS_SECRET_ACCESS_KEY") {
        assert!(lines.read_line(&mut printed).unwrap() > 0, "{printed}");
    }
    start_pair(&printed, public).await;
    let ended = tokio::task::spawn_blocking(move || {
        lines.read_to_string(&mut printed).unwrap();
        (child.0.wait().unwrap().code(), printed)
    });
    let (code, told) = ended.await.unwrap();
    assert_eq!(code, Some(0), "{told}");
    for call in folder.json("run.json")["calls"].as_array().unwrap() {
        assert_eq!((&call["to_agent"]["same"], &call["to_agent"]["said"]), (&1.into(), &1.into()), "{call}");
        assert_eq!((&call["to_caller"]["same"], &call["to_caller"]["said"]), (&5.into(), &5.into()), "{call}");
        let sessions = call["sessions"].as_array().unwrap();
        assert!(sessions.len() == 1 && sessions[0]["end"] == "by_the_book", "{call}");
        assert_eq!(call["parties"][1]["party"], "agent");
    }
}
