//! Configuration, from the environment.

use std::{net::SocketAddr, path::Path, time::Duration};

use offhook_agents::Agents;
use offhook_hosting::{
    env::{ConfigError, Env, Reader},
    telemetry::TelemetryConfig,
};

use crate::{
    bedrock::{BedrockConfig, read_ca_bundle, read_endpoint, read_regions},
    calls::RecordFiles,
    conversation::Limits,
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
    /// `SONIC_MODEL_ID`, `BEDROCK_REGIONS`, `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`, `AWS_CA_BUNDLE`, `MAX_SESSIONS`.
    pub bedrock: BedrockConfig,
    /// `AWS_REGION` or `AWS_DEFAULT_REGION`, else the home region of `BEDROCK_REGIONS`; `None`: the profile's, else
    /// `us-east-1`.
    pub region: Option<String>,
    /// `AGENTS_FILE`, default unset: who answers. Unset: one built-in agent.
    pub agents: Agents,
    /// `CALL_RECORDS_DIR`, default unset: a folder that gets a JSON file for each ended call.
    pub call_records: Option<RecordFiles>,
    /// `SONIC_PRICES`, default those of Nova 2 Sonic: what tokens cost.
    pub prices: Prices,
    /// How long sessions, silence and calls may last.
    pub limits: Limits,
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
        let bedrock = read_bedrock(&mut reader);
        let config = Self {
            listen: listen.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 50_051))),
            admin_listen: read_admin_listen(&mut reader),
            region: reader
                .optional("AWS_REGION", "a region")
                .or_else(|| reader.optional("AWS_DEFAULT_REGION", "a region"))
                .or_else(|| bedrock.regions.first().map(|home| home.region.as_str().to_owned())),
            bedrock,
            agents: reader.parsed("AGENTS_FILE", read_agents).unwrap_or_else(|| Agents::demo(None)),
            call_records: reader.parsed("CALL_RECORDS_DIR", |folder| {
                RecordFiles::in_folder(folder.into()).map_err(|error| format!("{folder} cannot be written to: {error}"))
            }),
            prices: reader
                .parsed("SONIC_PRICES", |table| table.parse().map_err(|error: InvalidPrices| error.to_string()))
                .unwrap_or_default(),
            limits: read_limits(&mut reader),
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

/// The file's own report is told whole: it has the places of its mistakes, and none of its values.
fn read_agents(path: &str) -> Result<Agents, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("the file cannot be read: {}", error.kind()))?;
    Agents::parse(&text).map_err(|mistakes| mistakes.to_string().replace('\n', "\n  "))
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
    let model = reader.optional("SONIC_MODEL_ID", "a model id").unwrap_or_else(|| DEFAULT_MODEL.to_owned());
    BedrockConfig {
        model: ModelId::from(model.as_str()),
        regions: reader.parsed("BEDROCK_REGIONS", read_regions).unwrap_or_default(),
        endpoint: reader.parsed("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", read_endpoint),
        ca_bundle: reader.parsed("AWS_CA_BUNDLE", |path| read_ca_bundle(Path::new(path))).unwrap_or_default(),
        max_sessions: max_sessions.unwrap_or(DEFAULT_MAX_SESSIONS),
    }
}

fn read_limits(reader: &mut Reader<'_>) -> Limits {
    let default = Limits::default();
    let mut positive = |name, default| {
        let duration = reader.duration(name, default);
        if duration.is_zero() {
            reader.mistake(name, "expected more than no time at all");
        }
        duration
    };
    let limits = Limits {
        renew_after: positive("SESSION_RENEW_AFTER", default.renew_after),
        session_limit: positive("SESSION_LIMIT", default.session_limit),
        stall_after: positive("SESSION_STALL_AFTER", default.stall_after),
        silence_ask_after: positive("SILENCE_ASK_AFTER", default.silence_ask_after),
        silence_end_after: positive("SILENCE_END_AFTER", default.silence_end_after),
        call_limit: positive("CALL_LIMIT", default.call_limit),
        call_limit_warning: positive("CALL_LIMIT_WARNING", default.call_limit_warning),
    };
    if limits.renew_after >= limits.session_limit {
        reader.mistake("SESSION_RENEW_AFTER", "expected less than SESSION_LIMIT");
    }
    if limits.call_limit_warning >= limits.call_limit {
        reader.mistake("CALL_LIMIT_WARNING", "expected less than CALL_LIMIT");
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_environment_is_enough() {
        let config = Config::from_env(&Env::default()).unwrap();
        assert_eq!(config.bedrock.model.as_str(), "amazon.nova-2-sonic-v1:0");
        assert_eq!((config.bedrock.max_sessions, config.bedrock.endpoint), (20, None));
        assert_eq!((config.bedrock.regions, config.region), (Vec::new(), None));
        assert_eq!(config.limits, Limits::default());
    }

    #[test]
    fn the_home_region_is_that_of_the_credentials_too_unless_another_is_named() {
        let mut variables = vec![("BEDROCK_REGIONS", "eu-north-1,us-west-2")];
        let config = Config::from_env(&variables.iter().copied().collect()).unwrap();
        assert_eq!(config.region.as_deref(), Some("eu-north-1"));
        variables.push(("AWS_REGION", "eu-west-1"));
        let config = Config::from_env(&variables.into_iter().collect()).unwrap();
        assert_eq!(config.region.as_deref(), Some("eu-west-1"));
        assert_eq!(config.bedrock.regions.len(), 2);
    }

    #[test]
    fn a_file_of_agents_is_read_and_its_mistakes_are_told_without_its_values() {
        let file = std::env::temp_dir().join(format!("offhook-agents-{}.yaml", std::process::id()));
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Config::from_env(&Env::from_iter([("AGENTS_FILE", file.to_str().unwrap())]))
        };
        let config = read("agents:\n  desk: {prompt: Be kind.}").unwrap();
        assert_eq!(config.agents.default_agent().name.as_str(), "desk");
        let error = read("agents:\n  desk: {prompt: Be kind., voice: Secret Voice}").unwrap_err().to_string();
        std::fs::remove_file(&file).unwrap();
        assert!(error.contains("agents.desk.voice") && !error.contains("Secret"), "{error}");
        assert_eq!(Config::from_env(&Env::default()).unwrap().agents.default_agent().name.as_str(), "demo");
    }

    #[test]
    fn each_limit_has_a_variable_of_its_own() {
        let env = Env::from_iter([
            ("SESSION_RENEW_AFTER", "20s"),
            ("SESSION_LIMIT", "30"),
            ("SESSION_STALL_AFTER", "3s"),
            ("SILENCE_ASK_AFTER", "4s"),
            ("SILENCE_END_AFTER", "5s"),
            ("CALL_LIMIT", "10m"),
            ("CALL_LIMIT_WARNING", "1min"),
        ]);
        let seconds = Duration::from_secs;
        let expected = Limits {
            renew_after: seconds(20),
            session_limit: seconds(30),
            stall_after: seconds(3),
            silence_ask_after: seconds(4),
            silence_end_after: seconds(5),
            call_limit: seconds(600),
            call_limit_warning: seconds(60),
        };
        assert_eq!(Config::from_env(&env).unwrap().limits, expected);
    }

    #[test]
    fn a_limit_that_another_one_contradicts_is_a_mistake() {
        for (name, value, wrong) in [
            ("SESSION_RENEW_AFTER", "480s", "SESSION_RENEW_AFTER"),
            ("SESSION_LIMIT", "30s", "SESSION_RENEW_AFTER"),
            ("CALL_LIMIT", "60s", "CALL_LIMIT_WARNING"),
            ("SILENCE_ASK_AFTER", "0", "SILENCE_ASK_AFTER"),
        ] {
            let error = Config::from_env(&Env::from_iter([(name, value)])).unwrap_err();
            assert_eq!(error.names().collect::<Vec<_>>(), [wrong], "{name}");
        }
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let wrong = [
            ("WORKER_LISTEN", "here"),
            ("MAX_SESSIONS", "0"),
            ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "bedrock"),
            ("BEDROCK_REGIONS", "us-east-1,,us-east-1"),
            ("SESSION_RENEW_AFTER", "soon"),
            ("SESSION_LIMIT", "later"),
            ("SESSION_STALL_AFTER", "at once"),
            ("SILENCE_ASK_AFTER", "never"),
            ("SILENCE_END_AFTER", "ever"),
            ("CALL_LIMIT", "no"),
            ("CALL_LIMIT_WARNING", "yes"),
            ("DRAIN_SECONDS", "a while"),
            ("AWS_CA_BUNDLE", "/dev/null"),
            ("AGENTS_FILE", "/nowhere/agents.yaml"),
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
