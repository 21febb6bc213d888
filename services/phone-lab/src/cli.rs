//! The commands and their flags.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, Parser, Subcommand, builder::FalseyValueParser};
use jiff::{SignedDuration, Timestamp};
use phone_lab::{
    bedrock::{self, Echo, Fault, Pace, Probability, Profile, Script, TokenExpiry, Waived},
    chaos::ears::Parrot,
    network::{BedrockNetwork, Conditions, TwilioNetwork},
    probe::Probe,
};

/// Plays Twilio and Bedrock, strictly, with callers who know what they hear.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start everything in one process and play a scenario's calls; exit 0 only if all was heard as it was said.
    Demo(Demo),
    /// Play the calls of scenarios to a server that runs elsewhere; exit 0 only if all were as they should be.
    Play(Play),
    /// Place many calls at once to an edge that runs elsewhere, and follow every frame; exit 0 only if all is as it was
    /// sent.
    Load(Load),
    /// Start edges and workers, and kill and restart them while calls are up; exit 0 only if every call lived and no
    /// word was lost.
    Chaos(phone_lab::chaos::Flags),
    /// Serve the simulated Bedrock until SIGTERM or SIGINT.
    Bedrock(Bedrock),
    /// Compare a simulator with the real service, on an account of yours; exit 0 only if they do the same.
    #[command(subcommand)]
    Probe(Probe),
    /// Exit 0 if something listens at the address.
    Healthcheck {
        /// Where.
        address: SocketAddr,
    },
}

#[derive(Args)]
pub(crate) struct Demo {
    /// Folder for the recordings and transcripts.
    #[arg(long, default_value = "recordings")]
    pub(crate) out: PathBuf,
    /// Scenario file; the lab's own if left out.
    #[arg(long)]
    pub(crate) scenario: Option<PathBuf>,
    /// Factor on the model's pauses and delays; 1 is as slow as the real model.
    #[arg(long, default_value = "0.6", value_parser = pace)]
    pub(crate) pace: Pace,
    /// Seed of everything that the lab draws.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) to_twilio: TwilioNetwork,
    #[command(flatten)]
    pub(crate) to_bedrock: BedrockNetwork,
}

#[derive(Args)]
pub(crate) struct Play {
    /// Scenario files; the lab's own scenario if left out.
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenarios: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) line: Line,
    #[command(flatten)]
    pub(crate) to_twilio: TwilioNetwork,
    #[command(flatten)]
    pub(crate) to_bedrock: BedrockNetwork,
    /// A call to play, by its name; all if left out. May be repeated.
    #[arg(long, value_name = "CALL")]
    pub(crate) only: Vec<String>,
    /// Folder for each call's recording and report; none are left if left out.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Gets the report as JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Gets the report as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Seed of everything that the lab draws.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many calls are up at a time. Not with --bedrock-listen: nothing would say whose session is whose.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..), conflicts_with = "bedrock_listen")]
    pub(crate) parallel: u16,
    /// Serve the simulated Bedrock here, with each scenario's model, for the edge's worker to use.
    #[arg(long, requires = "ca_out")]
    pub(crate) bedrock_listen: Option<SocketAddr>,
    /// Where to write the certificate authority that the worker must trust (AWS_CA_BUNDLE).
    #[arg(long, requires = "bedrock_listen")]
    pub(crate) ca_out: Option<PathBuf>,
    /// Serve the second region here, of a scenario that has one.
    #[arg(long, requires = "bedrock_listen")]
    pub(crate) second_listen: Option<SocketAddr>,
    /// Hand out credentials here, of a scenario whose credentials do not last.
    #[arg(long, requires = "bedrock_listen")]
    pub(crate) credentials_listen: Option<SocketAddr>,
    /// Age that ends a session, instead of the scenario's.
    #[arg(long, value_name = "TIME", requires = "bedrock_listen", value_parser = humantime::parse_duration)]
    pub(crate) session_limit: Option<Duration>,
    /// Factor on the model's pauses and delays.
    #[arg(long, default_value = "1", value_parser = pace, requires = "bedrock_listen")]
    pub(crate) pace: Pace,
}

/// The edge that is called.
#[derive(Args)]
pub(crate) struct Line {
    /// Where the server listens, such as http://127.0.0.1:3000, without a path. The lab dials it as its load balancer
    /// would.
    #[arg(long)]
    pub(crate) edge: String,
    /// What the server takes for its public URL: `https://` and a host. Calls begin at /incoming-call under it.
    #[arg(long, env = "PUBLIC_URL", default_value = "https://voice.example.test")]
    pub(crate) public_url: String,
    /// The server's Twilio auth token; of a comma list the first signs. phone-lab-auth-token if left out.
    #[arg(long, env = "TWILIO_AUTH_TOKEN", hide_env_values = true)]
    pub(crate) auth_token: Option<String>,
}

#[derive(Args)]
pub(crate) struct Load {
    #[command(flatten)]
    pub(crate) line: Line,
    #[command(flatten)]
    pub(crate) to_twilio: TwilioNetwork,
    #[command(flatten)]
    pub(crate) to_bedrock: BedrockNetwork,
    /// How many calls.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) calls: u16,
    /// How long each caller speaks.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// Seconds until all calls have been placed; a tenth of a second for each if left out.
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub(crate) ramp: Option<u64>,
    /// A process to watch: its id, or its name for all that bear it. May be repeated.
    #[arg(long = "pid")]
    pub(crate) processes: Vec<String>,
    /// Gets the report as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// What is called sends back what it hears.
    #[arg(long, conflicts_with = "bedrock_listen")]
    pub(crate) echo: bool,
    /// Do not try first whether requests are refused that Twilio has not signed.
    #[arg(long)]
    pub(crate) skip_forgeries: bool,
    /// Serve the simulated Bedrock here, with a model that echoes, for the edge's worker to use.
    #[arg(long, requires = "ca_out")]
    pub(crate) bedrock_listen: Option<SocketAddr>,
    /// Where to write the certificate authority that the worker must trust (AWS_CA_BUNDLE).
    #[arg(long, requires = "bedrock_listen")]
    pub(crate) ca_out: Option<PathBuf>,
    /// A DNS name or address by which the worker reaches that Bedrock, if not 127.0.0.1 or localhost. May be repeated.
    #[arg(long = "name", requires = "bedrock_listen")]
    pub(crate) names: Vec<String>,
    /// Seed of everything that the lab draws.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Args)]
pub(crate) struct Bedrock {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8443")]
    pub(crate) listen: SocketAddr,
    /// A DNS name or address for the certificate, besides 127.0.0.1 and localhost. May be repeated.
    #[arg(long = "name")]
    pub(crate) names: Vec<String>,
    /// Where to write the certificate authority that clients must trust (AWS_CA_BUNDLE).
    #[arg(long)]
    pub(crate) ca_out: PathBuf,
    /// Scenario file, of which the model is played; the lab's own if left out.
    #[arg(long)]
    pub(crate) scenario: Option<PathBuf>,
    /// The model greets, and from then on says every sound that it hears: what `phone-lab chaos --compose` needs.
    /// Wins over a scenario.
    #[arg(long, env = "PHONE_LAB_ECHO", value_parser = FalseyValueParser::new())]
    pub(crate) echo: bool,
    /// Factor on the model's pauses and delays.
    #[arg(long, default_value = "1", value_parser = pace)]
    pub(crate) pace: Pace,
    /// How quick the model is: real, fast or slow.
    #[arg(long, default_value = "real")]
    pub(crate) profile: Profile,
    /// What goes wrong in every session, such as reset@sent:3, refuse=throttled or padding; docs/phone-lab.md has them
    /// all. May be repeated.
    #[arg(long = "fault", value_name = "FAULT")]
    pub(crate) faults: Vec<Fault>,
    /// How likely each fault strikes a session, from 0 to 1.
    #[arg(long, default_value = "1")]
    pub(crate) fault_probability: Probability,
    /// Seed of everything that is drawn; drawn itself if left out.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Numbers of rules that are not to be enforced, with commas between them; docs/phone-lab.md says which can be.
    #[arg(long, value_name = "RULES")]
    pub(crate) waive: Option<Waived>,
    /// Sessions at a time.
    #[arg(long, default_value_t = 20)]
    pub(crate) max_sessions: usize,
    /// Streams at a time on one connection.
    #[arg(long, default_value_t = 200)]
    pub(crate) max_concurrent_streams: u32,
    /// Speak HTTP/1.1 as well, to clients that do not offer h2.
    #[arg(long)]
    pub(crate) http1: bool,
    /// The session token that has to come with the access key.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) session_token: Option<String>,
    /// That token expires when the service has run for so long.
    #[arg(long, value_name = "TIME", requires = "session_token", value_parser = humantime::parse_duration)]
    pub(crate) token_expires_after: Option<Duration>,
    /// Instead of that, hand out credentials that last so long each, for AWS_CONTAINER_CREDENTIALS_FULL_URI.
    #[arg(long, value_name = "TIME", conflicts_with = "session_token", value_parser = humantime::parse_duration)]
    pub(crate) rotate_credentials: Option<Duration>,
    /// Where to hand them out.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8442")]
    pub(crate) credentials_listen: SocketAddr,
    /// Age that ends a session; the scenario's if left out.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) session_limit: Option<Duration>,
    /// What becomes of sessions that are open by then: nothing, exception or reset.
    #[arg(long, value_name = "OUTCOME", default_value = "nothing")]
    pub(crate) token_expiry: TokenExpiry,
    /// Silence of the client that ends a session.
    #[arg(long, default_value = "55s", value_parser = humantime::parse_duration)]
    pub(crate) idle_limit: Duration,
    /// How likely an interactive text is refused as if audio had slipped into it, from 0 to 1.
    #[arg(long, default_value = "0")]
    pub(crate) slipped_audio: Probability,
    /// Refuse history whose roles do not alternate.
    #[arg(long)]
    pub(crate) strict_history: bool,
    #[command(flatten)]
    pub(crate) to_bedrock: BedrockNetwork,
}

impl Bedrock {
    /// What the flags say, for a service that starts now.
    pub(crate) fn settings(self, script: Script, network: Option<Conditions>, now: Timestamp) -> bedrock::Settings {
        let expires = |after: Duration| now.checked_add(SignedDuration::try_from(after).ok()?).ok();
        bedrock::Settings {
            script,
            echo: self.echo.then(|| Arc::new(Parrot) as Arc<dyn Echo>),
            network,
            http1: self.http1,
            session_token: self.session_token,
            session_token_expires_at: self.token_expires_after.and_then(expires),
            token_life: self.rotate_credentials,
            session_limit: self.session_limit,
            token_expiry: self.token_expiry,
            pace: self.pace,
            profile: self.profile,
            faults: self.faults,
            fault_probability: self.fault_probability,
            waived: self.waive.unwrap_or_default(),
            max_sessions: self.max_sessions,
            max_concurrent_streams: self.max_concurrent_streams,
            idle_limit: self.idle_limit,
            slipped_audio: self.slipped_audio,
            strict_history: self.strict_history,
            keep_audio: false,
            ..bedrock::Settings::default()
        }
    }
}

fn pace(text: &str) -> Result<Pace, String> {
    text.parse().ok().and_then(Pace::new).ok_or_else(|| "expected a number above 0, up to 1000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bedrock(flags: &[&str]) -> Result<bedrock::Settings, String> {
        let command = ["phone-lab", "bedrock", "--ca-out", "ca.pem"];
        let cli = Cli::try_parse_from(command.iter().chain(flags)).map_err(|error| error.to_string())?;
        let Command::Bedrock(options) = cli.command else { unreachable!("another command") };
        let network = options.to_bedrock.conditions().cloned();
        Ok(options.settings(Script::default(), network, Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn the_flags_of_bedrock_are_its_settings() {
        let faults = ["--fault", "reset@sent:3", "--fault", "padding", "--fault-probability", "0.5"];
        let rules = ["--waive", "31,43", "--strict-history", "--slipped-audio", "0.05", "--idle-limit", "295s"];
        let network = ["--bedrock-network", "delay=40ms,cut=goaway@30s"];
        let rest = ["--profile", "slow", "--max-sessions", "2", "--max-concurrent-streams", "3"];
        let settings = bedrock(&[&faults[..], &rules, &network, &rest].concat()).unwrap();
        assert_eq!(settings.faults, ["reset@sent:3", "padding"].map(|fault| fault.parse::<Fault>().unwrap()));
        assert_eq!(settings.fault_probability, "0.5".parse().unwrap());
        assert_eq!((settings.waived, settings.strict_history), ("31,43".parse().unwrap(), true));
        assert_eq!(settings.slipped_audio, "0.05".parse().unwrap());
        assert_eq!((settings.idle_limit, settings.profile), (Duration::from_secs(295), Profile::Slow));
        assert_eq!((settings.max_sessions, settings.max_concurrent_streams), (2, 3));
        assert_eq!(settings.network.unwrap().to_string(), "delay=40ms,cut=goaway@30s");
    }

    #[test]
    fn bedrock_echoes_when_it_is_told_to() {
        assert!(bedrock(&["--echo"]).unwrap().echo.is_some());
        assert!(bedrock(&[]).unwrap().echo.is_none());
    }

    #[test]
    fn the_flags_of_bedrock_set_a_token_that_expires_and_another_protocol() {
        let token = ["--http1", "--session-token", "T", "--token-expires-after", "90s", "--token-expiry", "exception"];
        let settings = bedrock(&token).unwrap();
        assert_eq!((settings.http1, settings.session_token.as_deref()), (true, Some("T")));
        assert_eq!(settings.session_token_expires_at, Timestamp::from_second(90).ok());
        assert_eq!(settings.token_expiry, TokenExpiry::Exception);
        assert!(bedrock(&["--token-expires-after", "90s"]).err().unwrap().contains("--session-token"));
    }

    #[test]
    fn without_flags_bedrock_is_strict_and_well() {
        let (settings, usual) = (bedrock(&[]).unwrap(), bedrock::Settings::default());
        assert_eq!((settings.faults, settings.waived), (Vec::new(), Waived::NONE));
        assert_eq!((settings.idle_limit, settings.profile), (usual.idle_limit, usual.profile));
        assert_eq!((settings.max_concurrent_streams, settings.network), (usual.max_concurrent_streams, None));
        assert_eq!((settings.http1, settings.session_token, settings.token_expiry), (false, None, usual.token_expiry));
    }

    #[test]
    fn wrong_flags_are_explained() {
        assert!(bedrock(&["--fault", "explode"]).err().unwrap().contains("there is no fault"));
        assert!(bedrock(&["--bedrock-network", "delay=40"]).err().unwrap().contains("a time such as 40ms"));
        assert!(bedrock(&["--bedrock-network", "cut=close@1s"]).err().unwrap().contains("rst, fin or goaway"));
        assert!(bedrock(&["--waive", "23"]).err().unwrap().contains("not the number of a rule that can be waived"));
    }
}
