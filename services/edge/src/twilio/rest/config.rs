//! How the REST interface is reached, from the environment.

use std::{fmt, net::IpAddr, str::FromStr};

use http::Uri;
use offhook_hosting::env::Reader;
use secrecy::SecretString;

use crate::twilio::sid::{AccountSid, ApiKeySid};

/// An account, a key that opens it, and where.
#[derive(Clone, Debug)]
pub struct RestConfig {
    /// `TWILIO_ACCOUNT_SID`: always in the path, whoever asks.
    pub account: AccountSid,
    /// `TWILIO_API_SID`: an API key.
    pub key: ApiKeySid,
    /// `TWILIO_API_SECRET`: its secret.
    pub secret: SecretString,
    /// `TWILIO_API_BASE_URL`, default `https://api.twilio.com`.
    pub base: ApiBase,
}

impl RestConfig {
    /// Reads the variables; `None` when there is no key, which is fine, or when something is wrong.
    pub(crate) fn read(reader: &mut Reader<'_>, account: Option<&AccountSid>) -> Option<Self> {
        let key = reader.optional("TWILIO_API_SID", "SK and 32 hexadecimal digits");
        let secret = reader.secret("TWILIO_API_SECRET");
        let base =
            reader.parsed("TWILIO_API_BASE_URL", |text| text.parse::<ApiBase>().map_err(|wrong| wrong.to_string()));
        match (key, secret, account) {
            (Some(key), Some(secret), Some(account)) => {
                Some(Self { account: account.clone(), key, secret, base: base.unwrap_or_default() })
            }
            (None, None, _) => None,
            (Some(_), Some(_), None) => {
                reader.mistake("TWILIO_ACCOUNT_SID", "required with TWILIO_API_SID: the key's account");
                None
            }
            (Some(_), None, _) => {
                reader.mistake("TWILIO_API_SECRET", "required with TWILIO_API_SID");
                None
            }
            (None, Some(_), _) => {
                reader.mistake("TWILIO_API_SID", "required with TWILIO_API_SECRET: SK and 32 hexadecimal digits");
                None
            }
        }
    }
}

/// The interface's origin. Credentials go there, so it is `https`, or a host that no public network lies before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiBase(String);

impl ApiBase {
    /// `scheme://host[:port]`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ApiBase {
    fn default() -> Self {
        Self("https://api.twilio.com".to_owned())
    }
}

impl fmt::Display for ApiBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no origin that credentials can be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an origin such as https://api.twilio.com; http only to a loopback or private host")]
pub struct NotAnApiBase;

impl FromStr for ApiBase {
    type Err = NotAnApiBase;

    fn from_str(text: &str) -> Result<Self, NotAnApiBase> {
        let uri: Uri = text.parse().map_err(|_| NotAnApiBase)?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(NotAnApiBase)?;
        let (scheme, host) = (uri.scheme_str().ok_or(NotAnApiBase)?, authority.host());
        let safe = match scheme {
            "https" => !host.is_empty(),
            "http" => is_private(host),
            _ => false,
        };
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !text.contains('#');
        if safe && bare { Ok(Self(format!("{scheme}://{authority}"))) } else { Err(NotAnApiBase) }
    }
}

/// Loopback and private addresses, and names without a dot, which only a private network resolves.
fn is_private(host: &str) -> bool {
    match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_private(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local(),
        Err(_) => !host.is_empty() && !host.contains('.'),
    }
}

#[cfg(test)]
mod tests {
    use offhook_hosting::env::Env;

    use super::*;

    const ACCOUNT: &str = "AC00000000000000000000000000000001";
    const KEY: &str = "SK00000000000000000000000000000001";

    #[test]
    fn credentials_leave_the_private_network_only_encrypted() {
        for right in [
            "https://api.twilio.com",
            "https://api.dublin.ie1.twilio.com/",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "http://10.1.2.3:8080",
            "http://localhost:8080",
            "http://phone-lab:8080",
        ] {
            assert_eq!(right.parse::<ApiBase>().unwrap().as_str(), right.trim_end_matches('/'));
        }
        for wrong in [
            "",
            "api.twilio.com",
            "http://api.twilio.com",
            "http://8.8.8.8",
            "http://",
            "ftp://localhost",
            "https://key:secret@api.twilio.com",
            "https://api.twilio.com/2010-04-01",
            "https://api.twilio.com?x",
        ] {
            assert_eq!(wrong.parse::<ApiBase>(), Err(NotAnApiBase), "{wrong}");
        }
    }

    #[test]
    fn a_key_needs_its_secret_and_its_account() {
        let read = |pairs: &[(&str, &str)]| {
            let env: Env = pairs.iter().copied().collect();
            let mut reader = Reader::new(&env);
            let account = reader.optional("TWILIO_ACCOUNT_SID", "");
            let config = RestConfig::read(&mut reader, account.as_ref());
            reader.finish(Some(config)).map_err(|error| error.names().collect::<Vec<_>>())
        };
        let (account, key, secret) =
            (("TWILIO_ACCOUNT_SID", ACCOUNT), ("TWILIO_API_SID", KEY), ("TWILIO_API_SECRET", "s3cret"));
        assert!(read(&[]).unwrap().is_none());
        let config = read(&[account, key, secret]).unwrap().unwrap();
        assert_eq!(config.base, ApiBase::default());
        assert!(!format!("{config:?}").contains("s3cret"));
        assert_eq!(read(&[key, secret]).unwrap_err(), ["TWILIO_ACCOUNT_SID"]);
        assert_eq!(read(&[account, key]).unwrap_err(), ["TWILIO_API_SECRET"]);
        assert_eq!(read(&[account, secret]).unwrap_err(), ["TWILIO_API_SID"]);
    }
}
