//! The sonic-worker's process: `sonic-worker` serves, `sonic-worker healthcheck` asks a running one how it is.

use std::process::ExitCode;

use offhook_hosting::{
    admin,
    clock::Clock,
    entropy::Entropy,
    env::{ConfigError, Env, Reader},
    lifecycle::Lifecycle,
    telemetry::{Telemetry, TelemetryConfig},
};
use sonic_worker::{Listeners, bedrock, config::Config, run};
use tokio::net::TcpListener;
use tracing::{error, info};

fn main() -> ExitCode {
    let (config, telemetry) = match configuration() {
        Ok(configuration) => configuration,
        Err(mistakes) => {
            eprintln!("sonic-worker cannot start: {mistakes}");
            return ExitCode::from(2);
        }
    };
    match std::env::args().nth(1).as_deref() {
        None => serve(config, telemetry),
        Some("healthcheck") => match admin::probe(config.admin_listen) {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => {
                eprintln!("{problem}");
                ExitCode::FAILURE
            }
        },
        Some(unknown) => {
            eprintln!("unknown command {unknown}: use no command to serve, or healthcheck");
            ExitCode::from(2)
        }
    }
}

fn configuration() -> Result<(Config, TelemetryConfig), ConfigError> {
    let env = Env::of_process();
    let mut reader = Reader::new(&env);
    let configuration = (Config::read(&mut reader), TelemetryConfig::read(&mut reader));
    reader.finish(Some(configuration))
}

#[tokio::main]
async fn serve(config: Config, telemetry: TelemetryConfig) -> ExitCode {
    let telemetry = match Telemetry::start("sonic-worker", &telemetry) {
        Ok(telemetry) => telemetry,
        Err(problem) => {
            eprintln!("sonic-worker cannot start its telemetry: {problem:#}");
            return ExitCode::FAILURE;
        }
    };
    let result = bind_and_run(config, &telemetry).await;
    if let Err(problem) = &result {
        error!(error = format!("{problem:#}"), "stopped");
    }
    // Blocks while it sends what is left.
    let _ = tokio::task::spawn_blocking(move || telemetry.shut_down()).await;
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn bind_and_run(config: Config, telemetry: &Telemetry) -> anyhow::Result<()> {
    let listeners = Listeners {
        grpc: TcpListener::bind(config.listen).await?,
        admin: TcpListener::bind(config.admin_listen).await?,
    };
    let lifecycle = Lifecycle::default();
    lifecycle.listen_for_signals()?;
    let aws = bedrock::sdk_config().await;
    let drained = run(config, &aws, listeners, telemetry, lifecycle, Clock, Entropy::from_os()).await?;
    info!(?drained, "stopped");
    Ok(())
}
