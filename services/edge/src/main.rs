//! `edge` serves; `edge --insecure-skip-signature` serves whoever asks, for development; `edge healthcheck` asks the
//! serving process beside it whether it is healthy.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Context;
use edge::{Config, Listeners};
use offhook_hosting::{
    clock::Clock,
    entropy::Entropy,
    env::{ConfigError, Env},
    lifecycle::Lifecycle,
    process::{self, Service},
    telemetry::{Telemetry, TelemetryConfig},
};
use tokio::net::TcpListener;

fn main() -> ExitCode {
    process::main::<Edge>()
}

/// Not a variable of the environment: nobody sets it by copying a file.
const SKIP_SIGNATURE: &str = "--insecure-skip-signature";

struct Edge(Config);

impl Service for Edge {
    const NAME: &str = "edge";
    const FLAGS: &[&str] = &[SKIP_SIGNATURE];

    fn from_env(env: &Env) -> Result<Self, ConfigError> {
        Config::from_env(env).map(Self)
    }

    fn with_flag(self, flag: &str) -> Result<Self, String> {
        match flag {
            SKIP_SIGNATURE => self.0.skip_signatures().map(Self).map_err(|problem| format!("{flag}: {problem}")),
            _ => Err(format!("{flag} is not known")),
        }
    }

    fn admin_listen_from_env(env: &Env) -> Result<SocketAddr, ConfigError> {
        Config::admin_listen_from_env(env)
    }

    fn telemetry(&self) -> &TelemetryConfig {
        &self.0.telemetry
    }

    async fn serve(self, telemetry: &Telemetry, lifecycle: Lifecycle) -> anyhow::Result<()> {
        let listeners = Listeners {
            public: TcpListener::bind(self.0.listen).await.context("EDGE_LISTEN cannot be bound")?,
            admin: TcpListener::bind(self.0.admin_listen).await.context("EDGE_ADMIN_LISTEN cannot be bound")?,
        };
        edge::run(self.0, listeners, telemetry, lifecycle, Clock, Entropy::from_os()).await?;
        Ok(())
    }
}
