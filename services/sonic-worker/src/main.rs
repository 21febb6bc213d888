//! `sonic-worker` serves; `sonic-worker healthcheck` asks the serving process beside it whether it is healthy.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Context;
use offhook_hosting::{
    clock::Clock,
    entropy::Entropy,
    env::{ConfigError, Env},
    lifecycle::Lifecycle,
    process::{self, Service},
    telemetry::{Telemetry, TelemetryConfig},
};
use sonic_worker::{Listeners, bedrock, config::Config};
use tokio::net::TcpListener;

fn main() -> ExitCode {
    process::main::<SonicWorker>()
}

struct SonicWorker(Config);

impl Service for SonicWorker {
    const NAME: &str = "sonic-worker";

    fn from_env(env: &Env) -> Result<Self, ConfigError> {
        Config::from_env(env).map(Self)
    }

    fn admin_listen_from_env(env: &Env) -> Result<SocketAddr, ConfigError> {
        Config::admin_listen_from_env(env)
    }

    fn telemetry(&self) -> &TelemetryConfig {
        &self.0.telemetry
    }

    async fn serve(self, telemetry: &Telemetry, lifecycle: Lifecycle) -> anyhow::Result<()> {
        // First, because finding credentials may take seconds, and what is bound must answer.
        let aws = bedrock::sdk_config(self.0.region.clone()).await;
        let listeners = Listeners {
            grpc: TcpListener::bind(self.0.listen).await.context("WORKER_LISTEN cannot be bound")?,
            admin: TcpListener::bind(self.0.admin_listen).await.context("WORKER_ADMIN_LISTEN cannot be bound")?,
        };
        sonic_worker::run(self.0, &aws, listeners, telemetry, lifecycle, Clock, Entropy::from_os()).await?;
        Ok(())
    }
}
