//! Configuration, from the environment.

use std::{net::SocketAddr, path::Path, time::Duration};

use offhook_hosting::{
    env::{ConfigError, Env, Reader},
    telemetry::TelemetryConfig,
};

use crate::{
    bedrock::{BedrockConfig, read_ca_bundle},
    calls::RecordFiles,
    nova::ModelId,
    prices::{InvalidPrices, Prices},
};

const DEFAULT_MODEL: &str = "amazon.nova-2-sonic-v1:0";
/// AWS's default quota of concurrent sessions an account.
const DEFAULT_MAX_SESSIONS: usize = 20;
const DEFAULT_DRAIN: Duration = Duration::from_secs(30);

/// Everything a worker can be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// `WORKER_LISTEN`, default `0.0.0.0:50051`: gRPC, without authentication; only edges may reach it.
    pub listen: SocketAddr,
    /// `WORKER_ADMIN_LISTEN`, default `0.0.0.0:9091`: health and metrics, private.
    pub admin_listen: SocketAddr,
    /// `SONIC_MODEL_ID`, `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`, `AWS_CA_BUNDLE`, `MAX_SESSIONS`.
    pub bedrock: BedrockConfig,
    /// `AWS_REGION` or `AWS_DEFAULT_REGION`; `None`: the profile's, else `us-east-1`.
    pub region: Option<String>,
    /// `CALL_RECORDS_DIR`, default unset: a folder that gets a JSON file for each ended call.
    pub call_records: Option<RecordFiles>,
    /// `SONIC_PRICES`, default those of Nova 2 Sonic: what tokens cost.
    pub prices: Prices,
    /// `DRAIN_SECONDS`, default 30 s: how long live calls may go on after SIGTERM.
    pub drain: Duration,
    /// Logs, traces and metrics.
    pub telemetry: TelemetryConfig,
}

impl Config {
    /// Reads the variables.
    ///
    /// # Errors
    /// With every mistake there is.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(env);
        let listen = reader.optional("WORKER_LISTEN", "an address such as 0.0.0.0:50051");
        let config = Self {
            listen: listen.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 50_051))),
            admin_listen: read_admin_listen(&mut reader),
            bedrock: read_bedrock(&mut reader),
            region: reader
                .optional("AWS_REGION", "a region")
                .or_else(|| reader.optional("AWS_DEFAULT_REGION", "a region")),
            call_records: reader.parsed("CALL_RECORDS_DIR", |folder| {
                RecordFiles::in_folder(folder.into()).map_err(|error| format!("{folder} cannot be written to: {error}"))
            }),
            prices: reader
                .parsed("SONIC_PRICES", |table| table.parse().map_err(|error: InvalidPrices| error.to_string()))
                .unwrap_or_default(),
            drain: reader.duration("DRAIN_SECONDS", DEFAULT_DRAIN),
            telemetry: TelemetryConfig::read(&mut reader),
        };
        reader.finish(Some(config))
    }

    /// Only `WORKER_ADMIN_LISTEN`, for the health check that runs beside the serving process.
    ///
    /// # Errors
    /// If the variable is wrong.
    pub fn admin_listen_from_env(env: &Env) -> Result<SocketAddr, ConfigError> {
        let mut reader = Reader::new(env);
        let address = read_admin_listen(&mut reader);
        reader.finish(Some(address))
    }
}

fn read_admin_listen(reader: &mut Reader<'_>) -> SocketAddr {
    let address = reader.optional("WORKER_ADMIN_LISTEN", "an address such as 0.0.0.0:9091");
    address.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 9_091)))
}

fn read_bedrock(reader: &mut Reader<'_>) -> BedrockConfig {
    let max_sessions = reader.parsed("MAX_SESSIONS", |text| match text.parse() {
        Ok(sessions @ 1..=10_000) => Ok(sessions),
        Ok(_) | Err(_) => Err("expected a number from 1 to 10000".to_owned()),
    });
    let endpoint = reader.parsed("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", |url| match url.parse::<http::Uri>() {
        Ok(parsed) if parsed.scheme().is_some() && parsed.host().is_some() => Ok(url.trim_end_matches('/').to_owned()),
        Ok(_) | Err(_) => Err("expected a URL such as https://bedrock-runtime.us-east-1.amazonaws.com".to_owned()),
    });
    let model = reader.optional("SONIC_MODEL_ID", "a model id").unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    BedrockConfig {
        model: ModelId::from(model.as_str()),
        endpoint,
        ca_bundle: reader.parsed("AWS_CA_BUNDLE", |path| read_ca_bundle(Path::new(path))).unwrap_or_default(),
        max_sessions: max_sessions.unwrap_or(DEFAULT_MAX_SESSIONS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_environment_is_enough() {
        let config = Config::from_env(&Env::default()).unwrap();
        assert_eq!(config.bedrock.model.as_str(), "amazon.nova-2-sonic-v1:0");
        assert_eq!((config.bedrock.max_sessions, config.bedrock.endpoint), (20, None));
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let wrong = [
            ("WORKER_LISTEN", "here"),
            ("MAX_SESSIONS", "0"),
            ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "bedrock"),
            ("DRAIN_SECONDS", "a while"),
            ("AWS_CA_BUNDLE", "/dev/null"),
            ("CALL_RECORDS_DIR", "/dev/null/records"),
            ("SONIC_PRICES", "speech_in=3"),
        ];
        let error = Config::from_env(&wrong.into_iter().collect()).unwrap_err();
        let mut names: Vec<_> = error.names().collect();
        names.sort_unstable();
        let mut expected = wrong.map(|(name, _)| name);
        expected.sort_unstable();
        assert_eq!(names, expected);
    }
}
