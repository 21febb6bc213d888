//! What each Offhook service does around its work.
//!
//! - [`mod@env`]: read configuration from the environment and report every mistake at once.
//! - [`clock`] and [`entropy`]: the only places that read a clock or draw randomness; both are handed in.
//! - [`telemetry`]: logs, OTLP traces and metrics, Prometheus text.
//! - [`admin`]: the private listener with health, readiness and metrics, and the probe that containers run.
//! - [`process`]: what `main` does.
//! - [`lifecycle`]: stop taking work, let what is live end, then go.
//!
//! Nothing here knows what a call is.

pub mod admin;
pub mod clock;
pub mod entropy;
pub mod env;
pub mod lifecycle;
pub mod process;
pub mod telemetry;
