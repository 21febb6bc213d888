//! What the environment says about this edge. Everything is read before anything fails.

use std::{fmt, net::SocketAddr, str::FromStr, time::Duration};

use http::Uri;
use offhook_agents::Agents;
use offhook_hosting::{
    env::{ConfigError, Env, Reader},
    telemetry::TelemetryConfig,
};
use secrecy::{ExposeSecret, SecretString};

pub use offhook_agents::SipUri;

use crate::{
    development::Signatures,
    limits::LimitsConfig,
    outbound::OutboundConfig,
    twilio::{rest::RestConfig, sid::AccountSid},
    worker::WorkerTarget,
};

/// Where the private listener is when nothing else is said.
const DEFAULT_ADMIN_LISTEN: &str = "0.0.0.0:9090";
/// A shorter key could be guessed.
const SHORTEST_TICKET_KEY: usize = 32;

/// The whole configuration of an edge.
#[derive(Clone, Debug)]
pub struct Config {
    /// `EDGE_LISTEN`, default `0.0.0.0:3000`: what the load balancer in front of Twilio's requests talks to.
    pub listen: SocketAddr,
    /// `EDGE_ADMIN_LISTEN`, default `0.0.0.0:9090`: health, readiness and metrics; keep it private.
    pub admin_listen: SocketAddr,
    /// `PUBLIC_URL`, required: the origin that Twilio is told to call.
    pub public_url: PublicUrl,
    /// `--insecure-skip-signature`, no variable: whether signatures are looked at.
    pub signatures: Signatures,
    /// What Twilio and this edge know of each other.
    pub twilio: TwilioConfig,
    /// `AGENTS_FILE`, default unset: who answers which call. Unset: one built-in agent.
    pub agents: Agents,
    /// `SONIC_WORKERS`, default `http://127.0.0.1:50051`: the workers, or names that resolve to them.
    pub workers: Vec<WorkerTarget>,
    /// How much is taken, and from whom.
    pub limits: LimitsConfig,
    /// `DRAIN_SECONDS`, default `30s`: how long live calls may go on after the first stop signal.
    pub drain: Duration,
    /// Logs, traces and metrics.
    pub telemetry: TelemetryConfig,
}

/// What Twilio and this edge know of each other.
#[derive(Clone, Debug)]
pub struct TwilioConfig {
    /// `TWILIO_ACCOUNT_SID`, default unset: the only account whose calls are taken. Unset: any that signs rightly.
    pub account: Option<AccountSid>,
    /// `TWILIO_AUTH_TOKEN`, required: what Twilio signs with; a comma list while a token is rotated.
    pub auth_tokens: Vec<SecretString>,
    /// `OFFHOOK_TICKET_KEY`, default random per process: signs stream tickets; edges behind one name have to share it.
    pub ticket_key: Option<SecretString>,
    /// `SIP_ENDPOINT`, default unset: the human that calls are transferred to. Unset: no transfers.
    pub sip_endpoint: Option<SipUri>,
    /// `TWILIO_API_SID`, `TWILIO_API_SECRET`, `TWILIO_API_BASE_URL`, default unset: how live calls are changed and calls are
    /// placed. Unset: neither is done.
    pub rest: Option<RestConfig>,
    /// `OFFHOOK_OUTBOUND_TOKEN` and more, default unset: who may have calls placed. Unset: nobody.
    pub outbound: Option<OutboundConfig>,
}

impl Config {
    /// Reads every variable.
    ///
    /// # Errors
    /// If any is missing or wrong; the error names all of them.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(env);
        let address = "an address such as 0.0.0.0:3000";
        let listen = reader.optional("EDGE_LISTEN", address).unwrap_or(SocketAddr::from(([0, 0, 0, 0], 3000)));
        let admin_listen = read_admin_listen(&mut reader);
        let public_url = reader.required("PUBLIC_URL", "https://host or https://host:port and nothing after it");
        let twilio = TwilioConfig::read(&mut reader);
        let human = twilio.sip_endpoint.as_ref();
        let agents = reader.parsed("AGENTS_FILE", |path| read_agents(path, human));
        let workers = reader.parsed("SONIC_WORKERS", |list| list.split(',').map(str::parse).collect());
        let limits = LimitsConfig::read(&mut reader);
        let drain = reader.duration("DRAIN_SECONDS", Duration::from_secs(30));
        let telemetry = TelemetryConfig::read(&mut reader);
        let config = public_url.map(|public_url| Self {
            listen,
            admin_listen,
            public_url,
            signatures: Signatures::Checked,
            agents: agents.unwrap_or_else(|| Agents::demo(twilio.sip_endpoint.as_ref())),
            twilio,
            workers: workers.unwrap_or_else(|| vec![WorkerTarget::local()]),
            limits,
            drain,
            telemetry,
        });
        reader.finish(config)
    }

    /// Only `EDGE_ADMIN_LISTEN`, for the health check that runs beside the serving process.
    ///
    /// # Errors
    /// If the variable is wrong.
    pub fn admin_listen_from_env(env: &Env) -> Result<SocketAddr, ConfigError> {
        let mut reader = Reader::new(env);
        let address = read_admin_listen(&mut reader);
        reader.finish(Some(address))
    }
}

/// The file's own report is told whole: it has the places of its mistakes, and none of its values.
fn read_agents(path: &str, human: Option<&SipUri>) -> Result<Agents, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("the file cannot be read: {}", error.kind()))?;
    Agents::parse_with_human(&text, human).map_err(|mistakes| mistakes.to_string().replace('\n', "\n  "))
}

fn read_admin_listen(reader: &mut Reader<'_>) -> SocketAddr {
    reader
        .optional("EDGE_ADMIN_LISTEN", "an address such as 0.0.0.0:9090")
        .unwrap_or_else(|| DEFAULT_ADMIN_LISTEN.parse().expect("the default is an address"))
}

impl TwilioConfig {
    fn read(reader: &mut Reader<'_>) -> Self {
        let account = reader.optional("TWILIO_ACCOUNT_SID", "AC and 32 hexadecimal digits");
        let auth_tokens = reader.secret("TWILIO_AUTH_TOKEN").map(|list| split(&list)).unwrap_or_default();
        if auth_tokens.is_empty() {
            reader.mistake("TWILIO_AUTH_TOKEN", "required: expected the account's auth token");
        }
        let ticket_key = reader.secret("OFFHOOK_TICKET_KEY");
        if ticket_key.as_ref().is_some_and(|key| key.expose_secret().len() < SHORTEST_TICKET_KEY) {
            reader.mistake("OFFHOOK_TICKET_KEY", format!("expected at least {SHORTEST_TICKET_KEY} characters"));
        }
        let sip_endpoint = reader.optional("SIP_ENDPOINT", "a SIP URI such as sip:help@example.com");
        let rest = RestConfig::read(reader, account.as_ref());
        let outbound = OutboundConfig::read(reader, rest.is_some());
        Self { account, auth_tokens, ticket_key, sip_endpoint, rest, outbound }
    }
}

pub(crate) fn split(list: &SecretString) -> Vec<SecretString> {
    let tokens = list.expose_secret().split(',').map(str::trim);
    tokens.filter(|token| !token.is_empty()).map(SecretString::from).collect()
}

/// The origin that Twilio is told to call: `https`, a host as the operator spells it, perhaps a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    host: String,
    port: Option<u16>,
}

impl PublicUrl {
    /// The host as configured.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, unless it is the standard one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// `https://host[:port]`.
    pub fn web_origin(&self) -> String {
        format!("https://{self}")
    }

    /// A page of the web origin: `path` begins with a slash.
    pub fn page(&self, path: &str) -> String {
        format!("https://{self}{path}")
    }

    /// `wss://host[:port]`.
    pub fn socket_origin(&self) -> String {
        format!("wss://{self}")
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The text is no origin that Twilio can call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an https origin")]
pub struct NotAnOrigin;

impl FromStr for PublicUrl {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        let rest = text.strip_prefix("https://").ok_or(NotAnOrigin)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let authority: http::uri::Authority = rest.parse().map_err(|_| NotAnOrigin)?;
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(NotAnOrigin);
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => None,
            Some(_) | None => Some(authority.port_u16().filter(|&port| port != 0).ok_or(NotAnOrigin)?),
        };
        Ok(Self { host: authority.host().to_owned(), port: port.filter(|&port| port != 443) })
    }
}

impl FromStr for WorkerTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || "expected a comma list of http://host:port or dns://name:port".to_owned();
        let text = text.trim();
        if let Some(name) = text.strip_prefix("dns://") {
            let authority: http::uri::Authority = name.parse().map_err(|_| problem())?;
            let port = authority.port_u16().filter(|_| !name.contains('@')).ok_or_else(problem)?;
            return Ok(Self::Name { name: authority.host().to_owned(), port });
        }
        let uri: Uri = text.parse().map_err(|_| problem())?;
        let plain = uri.scheme_str() == Some("http") && uri.port_u16().is_some() && matches!(uri.path(), "" | "/");
        if plain && uri.query().is_none() { Ok(Self::Fixed(uri)) } else { Err(problem()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Env {
        pairs.iter().copied().collect()
    }

    #[test]
    fn two_variables_are_enough() {
        let config =
            Config::from_env(&env(&[("PUBLIC_URL", "https://voice.example.com"), ("TWILIO_AUTH_TOKEN", "a, b,")]))
                .unwrap();
        assert_eq!(config.listen.port(), 3000);
        assert_eq!(config.admin_listen.port(), 9090);
        assert_eq!(config.twilio.auth_tokens.len(), 2);
        assert_eq!(config.workers, [WorkerTarget::local()]);
        assert_eq!(config.drain, Duration::from_secs(30));
    }

    #[test]
    fn every_mistake_is_reported_and_no_secret_is_shown() {
        let wrong = env(&[
            ("EDGE_LISTEN", "3000"),
            ("EDGE_ADMIN_LISTEN", "here"),
            ("PUBLIC_URL", "http://voice.example.com"),
            ("TWILIO_ACCOUNT_SID", "AC1"),
            ("OFFHOOK_TICKET_KEY", "too-short-a-key"),
            ("SIP_ENDPOINT", "tel:+1"),
            ("TWILIO_API_SID", "AC1"),
            ("TWILIO_API_BASE_URL", "http://api.twilio.com"),
            ("AGENTS_FILE", "/nowhere/agents.yaml"),
            ("SONIC_WORKERS", "http://ok:1,worker:2"),
            ("TRUSTED_PROXIES", "alb"),
            ("DRAIN_SECONDS", "soon"),
            ("LOG_FORMAT", "xml"),
        ]);
        let error = Config::from_env(&wrong).unwrap_err();
        let names: Vec<_> = error.names().collect();
        assert_eq!(
            names,
            [
                "EDGE_LISTEN",
                "EDGE_ADMIN_LISTEN",
                "PUBLIC_URL",
                "TWILIO_ACCOUNT_SID",
                "TWILIO_AUTH_TOKEN",
                "OFFHOOK_TICKET_KEY",
                "SIP_ENDPOINT",
                "TWILIO_API_SID",
                "TWILIO_API_BASE_URL",
                "AGENTS_FILE",
                "SONIC_WORKERS",
                "TRUSTED_PROXIES",
                "DRAIN_SECONDS",
                "LOG_FORMAT",
            ]
        );
        assert!(!error.to_string().contains("too-short-a-key"));
    }

    #[test]
    fn the_public_url_is_an_https_origin_and_nothing_more() {
        let origin: PublicUrl = "https://voice.example.com:8443/".parse().unwrap();
        assert_eq!(origin.web_origin(), "https://voice.example.com:8443");
        assert_eq!(origin.socket_origin(), "wss://voice.example.com:8443");
        assert_eq!("https://h:443".parse::<PublicUrl>().unwrap().web_origin(), "https://h");
        for wrong in [
            "voice.example.com",
            "http://h",
            "https://",
            "https://h/path",
            "https://h?q",
            "https://u:p@h",
            "https://h:",
            "https://h:0",
            "https://h:99999",
        ] {
            assert_eq!(wrong.parse::<PublicUrl>(), Err(NotAnOrigin), "{wrong}");
        }
    }

    #[test]
    fn workers_are_addresses_or_names_that_resolve_to_them() {
        let fixed: WorkerTarget = "http://10.0.0.1:50051".parse().unwrap();
        assert_eq!(fixed, WorkerTarget::Fixed("http://10.0.0.1:50051".parse().unwrap()));
        let named: WorkerTarget = "dns://workers.local:50051".parse().unwrap();
        assert_eq!(named, WorkerTarget::Name { name: "workers.local".to_owned(), port: 50051 });
        for wrong in ["", "worker", "https://h:1", "http://h", "dns://h", "http://h:1/path"] {
            assert!(wrong.parse::<WorkerTarget>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn debug_shows_no_secret_and_no_address_of_a_human() {
        let config = Config::from_env(&env(&[
            ("PUBLIC_URL", "https://h"),
            ("TWILIO_AUTH_TOKEN", "s3cret"),
            ("SIP_ENDPOINT", "sip:jane@example.com"),
        ]))
        .unwrap();
        let shown = format!("{config:?}");
        assert!(!shown.contains("s3cret") && !shown.contains("jane"), "{shown}");
    }
}
