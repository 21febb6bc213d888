use std::{sync::Arc, time::Duration};

use aws_config::SdkConfig;
use offhook_hosting::{
    admin,
    clock::Clock,
    entropy::Entropy,
    lifecycle::{Drained, Lifecycle},
    telemetry::Telemetry,
};
use offhook_proto::{
    FILE_DESCRIPTOR_SET,
    voice::v1::{calls_server::CallsServer, conversations_server::ConversationsServer},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Server, server::TcpIncoming};
use tonic_health::ServingStatus;
use tracing::{info, warn};

use crate::{
    agent::Agents,
    bedrock::Bedrock,
    calls::MemoryStore,
    config::Config,
    grpc::{CallsService, ConversationsService, LiveCalls, Places, Questions, Worker},
    metrics::Metrics,
    runner::Services,
    tools::Tools,
};

/// An edge that is silent for longer than interval and timeout is gone.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Health watchers and half-open connections would hold a graceful stop up for ever.
const LISTENERS_END_WITHIN: Duration = Duration::from_secs(2);

/// Where a worker is reached.
#[derive(Debug)]
pub struct Listeners {
    /// gRPC.
    pub grpc: TcpListener,
    /// Health and metrics; private.
    pub admin: TcpListener,
}

/// Serves until the soft stop and the drain after it. `aws` says with which credentials and in which region.
///
/// # Errors
/// If the worker cannot start, or a listener breaks.
pub async fn run(
    config: Config,
    aws: &SdkConfig,
    listeners: Listeners,
    telemetry: &Telemetry,
    lifecycle: Lifecycle,
    clock: Clock,
    entropy: Entropy,
) -> anyhow::Result<Drained> {
    let places = Places::new(config.bedrock.max_sessions, clock);
    let services = Services {
        streams: Arc::new(Bedrock::new(config.bedrock, aws, clock)?),
        tools: Tools::built_in(clock),
        store: Arc::new(MemoryStore::new(clock)),
        files: config.call_records,
        prices: config.prices,
        limits: config.limits,
        metrics: Metrics::new(&telemetry.meter("sonic-worker")),
        clock,
    };
    let (questions, live_calls) = (Questions::default(), LiveCalls::default());
    let agents = Agents::from(&config.agents);
    let worker = Worker { services, agents, places, questions, live_calls, lifecycle: lifecycle.clone(), entropy };
    let calls = CallsService::new(&worker);
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<ConversationsServer<ConversationsService>>().await;
    health.set_serving::<CallsServer<CallsService>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(ConversationsServer::new(ConversationsService::new(worker)))
        .add_service(CallsServer::new(calls))
        .add_service(health_service)
        .add_service(reflection);
    // Cancelled when no leg is left: until then Twilio may ask about those that were cut short.
    let over = CancellationToken::new();
    let (stopped, ended) = (lifecycle.clone(), over.clone());
    let drained = async move {
        stopped.soft_stop().cancelled().await;
        // `Calls` goes on: Twilio asks about the last calls only after they have left.
        health.set_not_serving::<ConversationsServer<ConversationsService>>().await;
        health.set_service_status("", ServingStatus::NotServing).await;
        let drained = stopped.drain(config.drain).await;
        ended.cancel();
        // Ends the private listener too when everything ended by itself.
        stopped.hard_stop().cancel();
        drained
    };
    let (address, admin_address) = (listeners.grpc.local_addr()?, listeners.admin.local_addr()?);
    info!(%address, admin.address = %admin_address, "sonic-worker serves");
    let incoming = TcpIncoming::from(listeners.grpc).with_nodelay(Some(true));
    // Boxed: tonic's server is a large future, and whoever calls this should not have to know.
    let grpc = Box::pin(server.serve_with_incoming_shutdown(incoming, over.clone().cancelled_owned()));
    let admin = admin::serve(listeners.admin, telemetry.registry(), lifecycle.clone());
    let served = async {
        let (grpc, admin) = tokio::join!(watched(grpc, &lifecycle), watched(admin, &lifecycle));
        grpc.map_err(anyhow::Error::from).and(admin.map_err(anyhow::Error::from))
    };
    let overdue = async {
        over.cancelled().await;
        tokio::time::sleep(LISTENERS_END_WITHIN).await;
    };
    let served = async {
        tokio::select! {
            served = served => served,
            () = overdue => {
                warn!("dropped connections that clients did not let go of");
                Ok(())
            }
        }
    };
    let (drained, served) = tokio::join!(drained, served);
    served?;
    Ok(drained)
}

/// A listener that ends takes the process down: a worker that cannot be reached must not look alive.
async fn watched<E>(listener: impl Future<Output = Result<(), E>>, lifecycle: &Lifecycle) -> Result<(), E> {
    let ended = listener.await;
    lifecycle.soft_stop().cancel();
    ended
}
