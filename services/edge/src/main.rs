//! `edge` serves; `edge healthcheck` asks the serving process beside it whether it is healthy.

use std::process::ExitCode;

use anyhow::Context;
use edge::{Config, Listeners};
use offhook_hosting::{admin, clock::Clock, entropy::Entropy, env::Env, lifecycle::Lifecycle, telemetry::Telemetry};
use tokio::net::TcpListener;

/// The environment or the command line is wrong: starting again will not help.
const MISCONFIGURED: u8 = 2;

fn main() -> ExitCode {
    let (arguments, env): (Vec<_>, _) = (std::env::args().skip(1).collect(), Env::of_process());
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => serve(&env),
        ["healthcheck"] => check_health(&env),
        _ => misconfigured(&"usage: edge [healthcheck]"),
    }
}

fn serve(env: &Env) -> ExitCode {
    match Config::from_env(env) {
        Ok(config) => report(run(config)),
        Err(error) => misconfigured(&error),
    }
}

#[tokio::main]
async fn run(config: Config) -> anyhow::Result<()> {
    let telemetry = Telemetry::start("edge", &config.telemetry).context("telemetry cannot be started")?;
    let listeners = Listeners {
        public: TcpListener::bind(config.listen).await.context("EDGE_LISTEN cannot be bound")?,
        admin: TcpListener::bind(config.admin_listen).await.context("EDGE_ADMIN_LISTEN cannot be bound")?,
    };
    let lifecycle = Lifecycle::default();
    lifecycle.listen_for_signals().context("signals cannot be listened for")?;
    edge::run(config, listeners, &telemetry, lifecycle, Clock, Entropy::from_os()).await?;
    // Exporters block for as long as their own timeouts allow.
    tokio::task::spawn_blocking(|| telemetry.shut_down()).await.context("telemetry was not shut down")
}

fn check_health(env: &Env) -> ExitCode {
    match Config::admin_listen_from_env(env) {
        Ok(address) => report(admin::probe(address).context("unhealthy")),
        Err(error) => misconfigured(&error),
    }
}

fn report(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("edge: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn misconfigured(problem: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("edge: {problem}");
    ExitCode::from(MISCONFIGURED)
}
