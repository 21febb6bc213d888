//! `--insecure-skip-signature`: requests are taken that nobody has signed, on a developer's machine and nowhere else.
//!
//! Only where `PUBLIC_URL` names a host that the internet does not know, and never quietly. Tickets are still needed.

use std::{convert::Infallible, net::IpAddr, time::Duration};

use tracing::warn;

use crate::{Config, config::PublicUrl, limits::source::is_private};

/// Nobody is to forget it.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// Reserved for what is not on the internet (RFC 2606, RFC 6761, RFC 6762, and ICANN's decision on `internal`).
const PRIVATE_DOMAINS: [&str; 5] = ["localhost", "test", "local", "internal", "home.arpa"];

/// Whether signatures are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signatures {
    /// They have to be right.
    #[default]
    Checked,
    /// They are ignored, under a URL that is not public.
    Skipped(NotPublic),
}

/// Proof that a URL was looked at and is not public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPublic(());

/// The flag may not be used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "for development only: PUBLIC_URL has to name a private address, localhost, or a host under .localhost, .test, \
     .local, .internal or .home.arpa"
)]
pub struct PublicHost;

impl Config {
    /// The same, without a look at signatures.
    ///
    /// # Errors
    /// If `PUBLIC_URL` could be reached by strangers.
    pub fn skip_signatures(self) -> Result<Self, PublicHost> {
        let proof = not_public(&self.public_url).ok_or(PublicHost)?;
        Ok(Self { signatures: Signatures::Skipped(proof), ..self })
    }
}

impl Signatures {
    /// Says at once and every so often what is skipped; says nothing where nothing is.
    pub(crate) async fn keep_warning(self) -> Infallible {
        match self {
            Self::Checked => std::future::pending().await,
            Self::Skipped(_) => loop {
                warn!(
                    "--insecure-skip-signature: anyone who reaches this edge can place calls to it; never use it in production"
                );
                tokio::time::sleep(WARN_EVERY).await;
            },
        }
    }
}

fn not_public(url: &PublicUrl) -> Option<NotPublic> {
    let host = url.host().trim_end_matches('.').to_ascii_lowercase();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_private = address.map_or_else(
        |_| {
            PRIVATE_DOMAINS
                .iter()
                .any(|domain| host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
        },
        is_private,
    );
    is_private.then_some(NotPublic(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_can_only_be_skipped_where_strangers_do_not_come() {
        let skips = |host: &str| not_public(&format!("https://{host}").parse().unwrap()).is_some();
        for private in [
            "localhost",
            "LOCALHOST:8443",
            "edge.localhost",
            "voice.example.test",
            "mac.local",
            "edge.internal",
            "127.0.0.1",
            "10.1.2.3:3000",
            "192.168.0.9",
            "[::1]:443",
            "[fd00::1]",
        ] {
            assert!(skips(private), "{private}");
        }
        for public in [
            "voice.example.com",
            "localhost.example.com",
            "notlocalhost",
            "my-test",
            "203.0.113.9",
            "[2001:db8::1]",
            "abc.ngrok.app",
            "test.com",
            "0.0.0.0",
        ] {
            assert!(!skips(public), "{public}");
        }
    }
}
