//! Credentials that last for a while, handed out over HTTP as an ECS task's agent does (AWS, "Container credential
//! provider"): what `AWS_CONTAINER_CREDENTIALS_FULL_URI` points to. Each request gets new ones.

use std::net::SocketAddr;

use anyhow::Context;
use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use offhook_hosting::clock::Clock;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::bedrock::Settings;

const PATH: &str = "/credentials";

/// Hands out credentials until it is dropped.
pub struct CredentialEndpoint {
    address: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

impl CredentialEndpoint {
    /// Serves credentials for a simulated service that is set up like this.
    ///
    /// # Errors
    /// If nobody can listen there, or the service's credentials last for ever.
    pub async fn start(listen: SocketAddr, settings: Settings) -> anyhow::Result<Self> {
        anyhow::ensure!(settings.token_life.is_some(), "credentials that last for ever need no endpoint");
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen at {listen}"))?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .route(PATH, get(async move || ([(CONTENT_TYPE, "application/json")], credentials(&settings).to_string())));
        let serving = tokio::spawn(async move {
            // Ends with this handle only.
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the credentials' endpoint has ended");
            }
        });
        Ok(Self { address, _serving: AbortOnDropHandle::new(serving) })
    }

    /// What `AWS_CONTAINER_CREDENTIALS_FULL_URI` is to be.
    pub fn uri(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }
}

fn credentials(settings: &Settings) -> Value {
    let Settings { access_key_id, secret_access_key, .. } = settings;
    let (token, expires_at) = settings.temporary_token(Clock.wall()).unzip();
    json!({
        "AccessKeyId": access_key_id,
        "SecretAccessKey": secret_access_key,
        "Token": token,
        "Expiration": expires_at.map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
    })
}
