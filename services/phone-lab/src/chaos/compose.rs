//! The services of a compose file: which commands kill and start them, and what Docker says of their containers.
//!
//! Pure: it makes commands and reads answers.

use std::{path::PathBuf, str::FromStr};

use super::fleet::Signal;

/// What stands before each container in an answer to [`inspect`].
const STATE: &str =
    "{{.State.Running}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}} {{.State.StartedAt}}";

/// A command and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Argv(pub(super) Vec<String>);

impl Argv {
    fn new<const N: usize>(words: [&str; N]) -> Self {
        Self(words.map(str::to_owned).into())
    }

    fn with<const N: usize>(mut self, words: [&str; N]) -> Self {
        self.0.extend(words.map(str::to_owned));
        self
    }
}

/// How Compose is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    /// `docker compose`.
    Plugin,
    /// `docker-compose`.
    Standalone,
}

impl Flavour {
    /// The one to be preferred first.
    pub(super) const ALL: [Self; 2] = [Self::Plugin, Self::Standalone];

    /// Succeeds where it is installed.
    pub(super) fn version(self) -> Argv {
        self.command().with(["version"])
    }

    fn command(self) -> Argv {
        match self {
            Self::Plugin => Argv::new(["docker", "compose"]),
            Self::Standalone => Argv::new(["docker-compose"]),
        }
    }
}

/// The name of a service in a compose file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service(String);

impl Service {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Service {
    type Err = &'static str;

    /// Takes what Compose takes, and nothing that could be read as a flag.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let may_be_in_it = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let good = text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(may_be_in_it);
        if good { Ok(Self(text.to_owned())) } else { Err("expected the name of a service") }
    }
}

/// A compose file, and the project that it was started as.
#[derive(Clone, Debug)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// The project, if it is not the one that Compose takes by itself.
    pub project: Option<String>,
}

impl File {
    /// Prints the containers of a service that are running, one in a line.
    pub(super) fn containers(&self, flavour: Flavour, service: &Service) -> Argv {
        self.command(flavour).with(["ps", "-q", service.as_str()])
    }

    /// Kills all containers of a service.
    pub(super) fn kill(&self, flavour: Flavour, signal: Signal, service: &Service) -> Argv {
        let signal = match signal {
            Signal::Kill => "SIGKILL",
            Signal::Term => "SIGTERM",
        };
        self.command(flavour).with(["kill", "-s", signal, service.as_str()])
    }

    /// Starts the same containers again.
    pub(super) fn start(&self, flavour: Flavour, service: &Service) -> Argv {
        self.command(flavour).with(["start", service.as_str()])
    }

    fn command(&self, flavour: Flavour) -> Argv {
        let command = flavour.command().with(["-f", &self.path.to_string_lossy()]);
        match &self.project {
            Some(project) => command.with(["-p", project]),
            None => command,
        }
    }
}

/// Prints the state of each container, one in a line.
pub(super) fn inspect(containers: &[String]) -> Argv {
    let mut command = Argv::new(["docker", "inspect", "--format", STATE]);
    command.0.extend_from_slice(containers);
    command
}

/// What Docker's health check says of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Healthy,
    /// Or starting.
    Unhealthy,
    /// It has no health check.
    Unknown,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) running: bool,
    pub(super) health: Health,
    /// When it was last started, in Docker's words.
    pub(super) started: String,
}

impl State {
    /// The answer to [`inspect`]; none if it is no such answer.
    pub(super) fn read(answer: &str) -> Option<Vec<Self>> {
        answer.lines().map(Self::read_line).collect()
    }

    fn read_line(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let running = words.next()?.parse().ok()?;
        let health = match words.next()? {
            "healthy" => Health::Healthy,
            "none" => Health::Unknown,
            _ => Health::Unhealthy,
        };
        Some(Self { running, health, started: words.next()?.to_owned() })
    }

    pub(super) fn is_ready(&self) -> bool {
        self.running && self.health == Health::Healthy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(project: Option<&str>) -> File {
        File { path: "deploy/my compose.yml".into(), project: project.map(str::to_owned) }
    }

    fn after<'a>(begin: &[&'a str], rest: &[&'a str]) -> Vec<&'a str> {
        [begin, rest].concat()
    }

    fn worker() -> Service {
        "sonic-worker".parse().unwrap()
    }

    #[test]
    fn the_plugin_is_told_by_its_own_command() {
        let (file, flavour) = (file(Some("trial")), Flavour::Plugin);
        let begin = ["docker", "compose", "-f", "deploy/my compose.yml", "-p", "trial"];
        assert_eq!(file.containers(flavour, &worker()).0, after(&begin, &["ps", "-q", "sonic-worker"]));
        assert_eq!(
            file.kill(flavour, Signal::Kill, &worker()).0,
            after(&begin, &["kill", "-s", "SIGKILL", "sonic-worker"])
        );
        assert_eq!(file.start(flavour, &worker()).0, after(&begin, &["start", "sonic-worker"]));
        assert_eq!(flavour.version().0, ["docker", "compose", "version"]);
    }

    #[test]
    fn docker_compose_is_told_the_same_and_finds_its_project_itself() {
        let (file, flavour) = (file(None), Flavour::Standalone);
        let begin = ["docker-compose", "-f", "deploy/my compose.yml"];
        assert_eq!(file.containers(flavour, &worker()).0, after(&begin, &["ps", "-q", "sonic-worker"]));
        assert_eq!(
            file.kill(flavour, Signal::Term, &worker()).0,
            after(&begin, &["kill", "-s", "SIGTERM", "sonic-worker"])
        );
        assert_eq!(file.start(flavour, &worker()).0, after(&begin, &["start", "sonic-worker"]));
        assert_eq!(flavour.version().0, ["docker-compose", "version"]);
    }

    #[test]
    fn all_containers_of_a_service_are_asked_after_at_once() {
        let argv = inspect(&["aa".to_owned(), "bb".to_owned()]).0;
        assert_eq!(argv[..3], ["docker", "inspect", "--format"]);
        assert_eq!(argv[4..], ["aa", "bb"]);
    }

    #[test]
    fn a_container_is_ready_once_it_runs_and_its_health_check_says_so() {
        let ready = |line: &str| State::read(line).unwrap()[0].is_ready();
        assert!(ready("true healthy 2026-01-02T03:04:05.6Z\n"));
        for line in ["true starting T", "true unhealthy T", "true none T", "false healthy T"] {
            assert!(!ready(line), "{line}");
        }
        let states = State::read("true healthy A\nfalse none B\n").unwrap();
        assert_eq!((states.len(), states[1].health, states[1].started.as_str()), (2, Health::Unknown, "B"));
        for line in ["", "\n", "yes healthy T", "true healthy"] {
            assert!(State::read(line).is_none_or(|states| states.is_empty()), "{line}");
        }
    }

    #[test]
    fn the_name_of_a_service_is_no_flag() {
        assert!("edge_2.a".parse::<Service>().is_ok());
        for name in ["", "-f", "a b", "a;b", ".edge"] {
            assert!(name.parse::<Service>().is_err(), "{name}");
        }
    }
}
