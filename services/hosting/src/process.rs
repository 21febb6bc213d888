//! A service's process: what `main` does, and the exit codes it ends with.
//!
//! Without an argument, or with flags of the service's own, the process serves: reads the whole configuration, starts
//! telemetry, serves, and sends what telemetry is left. With `healthcheck` it asks the serving process beside it how it is,
//! which is all that a container without a shell can do; with `--help` it says what can be asked for. It ends with 0, also
//! after a drain; with 1 when something failed; with 2 when environment or command line are wrong and starting again would
//! not help.

use std::{fmt::Display, net::SocketAddr, process::ExitCode};

use anyhow::Context;

use crate::{
    admin,
    env::{ConfigError, Env},
    lifecycle::Lifecycle,
    telemetry::{Telemetry, TelemetryConfig},
};

const MISCONFIGURED: u8 = 2;

/// What a process must know of its service.
pub trait Service: Sized {
    /// What the service is called, in logs and traces.
    const NAME: &str;

    /// The flags that [`Service::with_flag`] knows. No service has one unless it says so.
    const FLAGS: &[&str] = &[];

    /// Reads the whole configuration.
    ///
    /// # Errors
    /// With every mistake there is.
    fn from_env(env: &Env) -> Result<Self, ConfigError>;

    /// Changes the configuration as a flag of the command line says.
    ///
    /// # Errors
    /// With what to do instead, if the flag may not be used.
    fn with_flag(self, flag: &str) -> Result<Self, String> {
        Err(format!("{flag} is not known"))
    }

    /// Reads only where the private listener is, for the health check.
    ///
    /// # Errors
    /// If that variable is wrong.
    fn admin_listen_from_env(env: &Env) -> Result<SocketAddr, ConfigError>;

    /// What to log and where to send telemetry.
    fn telemetry(&self) -> &TelemetryConfig;

    /// Binds and serves, until the soft stop and the drain after it.
    ///
    /// # Errors
    /// If the service cannot start or go on.
    fn serve(self, telemetry: &Telemetry, lifecycle: Lifecycle) -> impl Future<Output = anyhow::Result<()>>;
}

/// Does what the command line says.
pub fn main<S: Service>() -> ExitCode {
    let (arguments, env): (Vec<_>, _) = (std::env::args().skip(1).collect(), Env::of_process());
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["healthcheck"] => match S::admin_listen_from_env(&env) {
            Ok(address) => report::<S>(admin::probe(address).context("unhealthy")),
            Err(mistakes) => misconfigured::<S>(mistakes),
        },
        ["--help" | "-h"] => {
            println!("{}", usage::<S>());
            ExitCode::SUCCESS
        }
        flags if flags.iter().all(|flag| S::FLAGS.contains(flag)) => match S::from_env(&env) {
            Ok(service) => match flags.iter().try_fold(service, |service, flag| service.with_flag(flag)) {
                Ok(service) => report::<S>(serve(service)),
                Err(problem) => misconfigured::<S>(problem),
            },
            Err(mistakes) => misconfigured::<S>(mistakes),
        },
        _ => misconfigured::<S>(usage::<S>()),
    }
}

fn usage<S: Service>() -> String {
    let known = ["healthcheck"].iter().chain(S::FLAGS).copied().collect::<Vec<_>>().join(" | ");
    format!("usage: {} [{known}]; all else is in the environment, see docs/configuration.md", S::NAME)
}

#[tokio::main]
async fn serve<S: Service>(service: S) -> anyhow::Result<()> {
    let telemetry = Telemetry::start(S::NAME, service.telemetry()).context("telemetry cannot be started")?;
    log_panics_discreetly();
    let lifecycle = Lifecycle::default();
    lifecycle.listen_for_signals().context("signals cannot be listened for")?;
    let served = service.serve(&telemetry, lifecycle).await;
    // Exporters block for as long as their own timeouts allow.
    tokio::task::spawn_blocking(|| telemetry.shut_down()).await.context("telemetry was not shut down")?;
    served
}

/// A panic's message may hold what a caller said; where it happened is enough to find it.
fn log_panics_discreetly() {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(code.location = at, "a task panicked");
    }));
}

fn report<S: Service>(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error:#}", S::NAME);
            ExitCode::FAILURE
        }
    }
}

fn misconfigured<S: Service>(problem: impl Display) -> ExitCode {
    eprintln!("{}: {problem}", S::NAME);
    ExitCode::from(MISCONFIGURED)
}
