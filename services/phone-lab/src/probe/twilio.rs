//! One call, stage by stage, from a Twilio that does not know that it is watched, and the same call from the simulator.

mod answers;
mod notes;
mod stages;
mod stream;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Args;
use offhook_hosting::{clock::Clock, entropy::Entropy, lifecycle::Lifecycle};
use tokio::net::TcpListener;

use crate::twilio::{Account, CallOptions, CallerScript, Settings, Twilio, url::Url};

pub use self::{
    answers::Server,
    notes::{Comparison, Note, Notes},
};

/// The simulated caller says nothing, for as long as the longest call takes.
const CALLER: &str = "{ from: '+15550100001', to: '+15550100100', patience: 5m, steps: [] }";

/// `phone-lab probe twilio`.
#[derive(Args)]
pub struct Options {
    /// Where to listen; whatever makes this machine public (a tunnel, a load balancer) leads here.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// How Twilio reaches it: `https://` and a host.
    #[arg(long, env = "PUBLIC_URL")]
    public_url: String,
    /// The account's auth token, to know what was signed; of a comma list the first.
    #[arg(long, env = "TWILIO_AUTH_TOKEN", hide_env_values = true)]
    auth_token: String,
    /// Gets what was seen as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Waits for one call, notes what Twilio does in it, has the simulator make the same call, and prints both; true if
/// they are the same.
///
/// # Errors
/// If it cannot listen, or is ended before there was a call.
pub async fn run(options: Options, clock: Clock) -> anyhow::Result<bool> {
    let url = Url::parse(&options.public_url).context("--public-url")?;
    anyhow::ensure!(url.scheme() == "https", "--public-url: expected https:// and a host, as Twilio reaches it");
    let auth_token = options.auth_token.split(',').next().unwrap_or_default().trim();
    let listener = TcpListener::bind(options.listen).await.with_context(|| format!("--listen {}", options.listen))?;
    let server = Server::start(listener, url.clone(), auth_token.to_owned(), clock);
    let lifecycle = Lifecycle::default();
    lifecycle.listen_for_signals()?;
    let base = stages::base(&url);
    println!("at Twilio, set a number's Voice URL to {base}/voice (POST) and its fallback URL to {base}/fallback.");
    println!("Then call the number and say nothing for a minute.");
    tokio::select! {
        () = server.finished() => {}
        () = lifecycle.soft_stop().cancelled() => {}
    }
    let notes = server.notes();
    anyhow::ensure!(!notes.is_empty(), "there was no call: does {base}/voice lead to {}?", options.listen);
    println!("the call is over. The simulator makes the same call, which takes half a minute.");
    let comparison = Comparison::new(&simulated(&url, auth_token, clock).await?, &notes);
    print!("{comparison}");
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_vec_pretty(&comparison)?).with_context(|| file.display().to_string())?;
    }
    Ok(comparison.agrees())
}

/// What the simulator does in the same call.
///
/// # Errors
/// If there is no free loopback port.
pub async fn simulated(url: &Url, auth_token: &str, clock: Clock) -> anyhow::Result<Notes> {
    simulated_with(url, auth_token, CallOptions::default(), clock).await
}

/// The same, of a call that is special.
///
/// # Errors
/// If there is no free loopback port.
pub async fn simulated_with(url: &Url, auth_token: &str, options: CallOptions, clock: Clock) -> anyhow::Result<Notes> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = Server::start(listener, url.clone(), auth_token.to_owned(), clock);
    let settings = Settings {
        account: Account { auth_token: auth_token.to_owned(), ..Account::default() },
        voice_url: url.join("/voice")?,
        fallback_url: Some(url.join("/fallback")?),
        ..Settings::new(address, url)
    };
    let caller = CallerScript::from_yaml(CALLER)?;
    let twilio = Twilio::new(settings, clock, Entropy::from_seed(1));
    twilio.call(caller, CallOptions { keep_audio: false, ..options }).await;
    // Callbacks may still be on their way.
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(server.notes())
}
