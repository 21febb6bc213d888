//! The adapter: HTTP/1.1 with an API key.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use offhook_hosting::{clock::Clock, entropy::Entropy};
use reqwest::{Client, Response, redirect, retry};
use secrecy::ExposeSecret;
use serde::Deserialize;
use tracing::{info, warn};

use super::{
    Change, NewCall, Rest, RestConfig, RestError, Updated,
    rules::{Attempt, Operation, Verdict, judge, pause},
};
use crate::twilio::sid::CallSid;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For an answer to an update: another attempt may do better.
const UPDATE_TIMEOUT: Duration = Duration::from_secs(4);
/// For a call that is placed: giving up on the answer leaves a call that nobody knows of.
const CREATE_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection that idles longer may be closed just as it is used, and then nobody knows what became of the request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// A call resource has some 2 kB.
const ANSWER_LIMIT: usize = 64 * 1024;

/// The REST interface over HTTP. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpRest {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    config: RestConfig,
    clock: Clock,
    entropy: Mutex<Entropy>,
}

/// No client can be made, because this machine trusts no certificate authority, most likely.
#[derive(Debug, thiserror::Error)]
#[error("no client for Twilio's REST interface")]
pub struct CannotConnect(#[source] reqwest::Error);

/// The part of an answer that matters here.
#[derive(Default, Deserialize)]
struct Body {
    sid: Option<String>,
    code: Option<u32>,
}

impl HttpRest {
    /// A client that has not connected yet. Trusts the system's certificate authorities.
    ///
    /// # Errors
    /// If there are none.
    pub fn new(config: RestConfig, clock: Clock, entropy: Entropy) -> Result<Self, CannotConnect> {
        // An error means that the process has a provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("offhook-edge/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .http1_only()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .build()
            .map_err(CannotConnect)?;
        let entropy = Mutex::new(entropy);
        Ok(Self { inner: Arc::new(Inner { client, config, clock, entropy }) })
    }
}

impl Rest for HttpRest {
    fn create(&self, call: NewCall) -> BoxFuture<'static, Result<CallSid, RestError>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            let (_, sid) = inner.carry_out(Operation::Create, "Calls.json", &call.form()).await?;
            // Something was placed, and it has no name.
            sid.and_then(|sid| sid.parse().ok()).ok_or(RestError::FateUnknown)
        })
    }

    fn update(&self, call: &CallSid, change: Change) -> BoxFuture<'static, Result<Updated, RestError>> {
        let (inner, call) = (self.inner.clone(), call.clone());
        Box::pin(async move {
            let path = format!("Calls/{call}.json");
            let result = inner.carry_out(Operation::Update, &path, &change.form()).await.map(|(updated, _)| updated);
            match &result {
                Ok(updated) => info!(call.sid = %call, change = change.label(), ?updated, "call updated"),
                Err(error) => warn!(call.sid = %call, change = change.label(), %error, "call not updated"),
            }
            result
        })
    }
}

impl Inner {
    /// Tries until it is done or must not be tried again; with the answer's identifier.
    async fn carry_out(
        &self,
        operation: Operation,
        path: &str,
        form: &[(&'static str, String)],
    ) -> Result<(Updated, Option<String>), RestError> {
        let (began, mut made) = (self.clock.now(), 0);
        loop {
            made += 1;
            let (attempt, sid) = self.attempt(operation, path, form).await;
            let error = match judge(operation, attempt) {
                Verdict::Done => return Ok((Updated::Done, sid)),
                Verdict::Gone => return Ok((Updated::Gone, None)),
                Verdict::Failed(error) => return Err(error),
                Verdict::Again(error) => error,
            };
            let since_first = self.clock.now().saturating_duration_since(began);
            let Some(pause) = pause(made, since_first, |below| self.draw(below)) else { return Err(error) };
            warn!(?operation, attempt = made, %error, "Twilio is asked again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(
        &self,
        operation: Operation,
        path: &str,
        form: &[(&'static str, String)],
    ) -> (Attempt, Option<String>) {
        let RestConfig { account, key, secret, base } = &self.config;
        let timeout = match operation {
            Operation::Create => CREATE_TIMEOUT,
            Operation::Update => UPDATE_TIMEOUT,
        };
        let request = self.client.post(format!("{base}/2010-04-01/Accounts/{account}/{path}")).timeout(timeout);
        let request = request.basic_auth(key, Some(secret.expose_secret())).form(form);
        match request.send().await {
            Ok(response) => read(response).await,
            Err(error) if error.is_connect() || error.is_builder() => (Attempt::NotSent, None),
            Err(_) => (Attempt::Lost, None),
        }
    }

    fn draw(&self, below: u64) -> u64 {
        self.entropy.lock().unwrap_or_else(PoisonError::into_inner).between(0, below)
    }
}

/// A success that breaks off is lost: its identifier was in what did not come.
async fn read(response: Response) -> (Attempt, Option<String>) {
    let status = response.status().as_u16();
    let Some(body) = read_body(response).await else {
        return if status < 300 { (Attempt::Lost, None) } else { (Attempt::Answered { status, code: None }, None) };
    };
    let Body { sid, code } = serde_json::from_slice(&body).unwrap_or_default();
    (Attempt::Answered { status, code }, sid)
}

async fn read_body(mut response: Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}
