//! The edge that is called, as the command line names it.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::Context;

use crate::twilio::{Account, Settings, url::Url};

/// A Twilio that dials this edge.
///
/// # Errors
/// If one of them is not what it has to be; says which flag.
pub fn settings(edge: &str, public_url: &str, auth_token: Option<&str>) -> anyhow::Result<Settings> {
    let public_url = Url::parse(public_url).context("--public-url")?;
    let mut settings = Settings::new(address(edge)?, &public_url);
    // An empty variable is as none.
    let signing = auth_token.and_then(|tokens| tokens.split(',').next());
    if let Some(signing) = signing.filter(|token| !token.trim().is_empty()) {
        settings.account = Account { auth_token: signing.trim().to_owned(), ..settings.account };
    }
    Ok(settings)
}

fn address(edge: &str) -> anyhow::Result<SocketAddr> {
    let authority = edge.strip_prefix("http://").context("--edge: expected http://host:port")?.trim_end_matches('/');
    let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let no_port = || format!("--edge {edge}: give the port on which the server listens, as in http://127.0.0.1:3000");
    port.with_context(no_port)?;
    let addresses = authority.to_socket_addrs().with_context(|| {
        format!("--edge {edge}: the host does not resolve; give one that does, or an address such as 127.0.0.1")
    })?;
    // What `localhost` is on most machines, and what most servers listen on.
    addresses.min_by_key(SocketAddr::is_ipv6).context("--edge: the host has no address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_several_tokens_signs() {
        let settings = settings("http://127.0.0.1:3000/", "https://a.test", Some(" new , old")).unwrap();
        assert_eq!((settings.edge, settings.account.auth_token.as_str()), (([127, 0, 0, 1], 3000).into(), "new"));
    }

    #[test]
    fn what_is_wrong_is_told_by_its_flag() {
        let error = |edge, url| settings(edge, url, None).unwrap_err().to_string();
        assert!(error("127.0.0.1:3000", "https://a.test").starts_with("--edge: expected http://host:port"));
        for no_port in ["http://127.0.0.1", "http://127.0.0.1:", "http://[::1]", "http://127.0.0.1:99999"] {
            assert!(error(no_port, "https://a.test").contains("give the port"), "{no_port}");
        }
        assert!(error("http://nowhere.invalid:3000", "https://a.test").contains("does not resolve"));
        assert!(error("http://127.0.0.1:3000", "voice").starts_with("--public-url"));
    }
}
