//! The private listener: `GET /healthz`, `GET /readyz`, `GET /metrics`. Never expose it to the internet.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use prometheus::{Registry, TextEncoder};
use tokio::net::TcpListener;

use crate::lifecycle::Lifecycle;

const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves health, readiness and metrics until the hard stop.
///
/// Readiness fails as soon as the soft stop begins, so that load balancers look elsewhere while live calls go on.
///
/// # Errors
/// If the listener breaks.
pub async fn serve(listener: TcpListener, registry: Registry, lifecycle: Lifecycle) -> std::io::Result<()> {
    serve_when(listener, registry, lifecycle, || true).await
}

/// Like [`serve`], but readiness also fails while `has_started` is false: the service lacks something it cannot work without.
///
/// # Errors
/// If the listener breaks.
pub async fn serve_when(
    listener: TcpListener,
    registry: Registry,
    lifecycle: Lifecycle,
    has_started: impl Fn() -> bool + Clone + Send + Sync + 'static,
) -> std::io::Result<()> {
    let stop = lifecycle.hard_stop().clone().cancelled_owned();
    axum::serve(listener, router(registry, lifecycle, has_started)).with_graceful_shutdown(stop).await
}

/// The listener's routes.
fn router(
    registry: Registry,
    lifecycle: Lifecycle,
    has_started: impl Fn() -> bool + Clone + Send + Sync + 'static,
) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(async move || readiness(&lifecycle, has_started())))
        .route("/metrics", get(metrics).with_state(registry))
}

fn readiness(lifecycle: &Lifecycle, has_started: bool) -> (StatusCode, &'static str) {
    match (lifecycle.is_draining(), has_started) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        (false, true) => (StatusCode::OK, "ready\n"),
    }
}

async fn metrics(State(registry): State<Registry>) -> impl IntoResponse {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("metrics cannot be encoded: {error}\n")),
    }
}

/// Asks a running process whether it is healthy; what `HEALTHCHECK` and `healthcheck` run, where images have no shell.
///
/// `admin` is the address the process listens on; an unspecified one (`0.0.0.0`) is asked on loopback.
///
/// # Errors
/// If nothing answers, or the answer is not 200.
pub fn probe(admin: SocketAddr) -> std::io::Result<()> {
    let ip = if admin.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { admin.ip() };
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(ip, admin.port()), PROBE_TIMEOUT)?;
    stream.set_read_timeout(Some(PROBE_TIMEOUT))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(1024).read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200 ") { Ok(()) } else { Err(std::io::Error::other("the process is not healthy")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn running() -> (SocketAddr, Lifecycle) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, lifecycle) = (listener.local_addr().unwrap(), Lifecycle::default());
        tokio::spawn(serve(listener, Registry::new(), lifecycle.clone()));
        (address, lifecycle)
    }

    #[tokio::test]
    async fn the_probe_finds_a_healthy_process_and_misses_an_absent_one() {
        let (address, lifecycle) = running().await;
        tokio::task::spawn_blocking(move || probe(address)).await.unwrap().unwrap();
        lifecycle.hard_stop().cancel();
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert!(tokio::task::spawn_blocking(move || probe(free)).await.unwrap().is_err());
    }

    #[test]
    fn readiness_fails_while_starting_and_while_draining() {
        let lifecycle = Lifecycle::default();
        assert_eq!(readiness(&lifecycle, false).0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(readiness(&lifecycle, true).0, StatusCode::OK);
        lifecycle.soft_stop().cancel();
        assert_eq!(readiness(&lifecycle, true).0, StatusCode::SERVICE_UNAVAILABLE);
    }
}
