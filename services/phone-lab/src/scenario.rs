//! Scenarios: how the simulated model reacts, who calls it, and what they must hear.

mod expect;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

pub use self::expect::{Ending, Expect};
use crate::{
    bedrock::{self, Script, TokenExpiry},
    network::{self, Conditions},
    twilio::{CallOptions, CallerScript, Delivery, script::some_duration},
};

const DEMO: &str = include_str!("../scenarios/demo.yaml");
const DEMO_NAME: &str = "demo";

/// A model and its callers, from a YAML file; `scenarios/demo.yaml` shows most of what can be said.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The file's name without its ending. Not in the file.
    #[serde(skip)]
    pub name: String,
    /// How the model reacts to what it hears. A scenario for a server with a model of its own has none.
    #[serde(default)]
    pub model: Script,
    /// What the network between Bedrock and its clients is like.
    #[serde(default, deserialize_with = "network::of_bedrock")]
    pub bedrock_network: Option<Conditions>,
    /// A second region, where the same model is served and nothing goes wrong on purpose.
    #[serde(default)]
    pub second_region: Option<String>,
    /// Credentials for the model last so long each.
    #[serde(default, deserialize_with = "some_duration")]
    pub credentials_last: Option<Duration>,
    /// What becomes of the model's sessions when those expire that they were opened with.
    #[serde(default, deserialize_with = "expect::token_expiry")]
    pub token_expiry: TokenExpiry,
    /// Who calls, one after the other.
    pub calls: Vec<ScenarioCall>,
}

/// One call of a scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioCall {
    /// Names the call's files, so it is made of letters, digits and hyphens.
    pub name: String,
    /// Who calls and what they do.
    pub caller: CallerScript,
    /// How status callbacks are delivered.
    #[serde(default, deserialize_with = "expect::delivery")]
    pub callbacks: Delivery,
    /// What the caller must have heard, in this order, from whomever.
    #[serde(default)]
    pub hears: Vec<String>,
    /// What the network between Twilio and the server that it calls is like.
    #[serde(default, deserialize_with = "network::of_twilio")]
    pub network: Option<Conditions>,
    /// What else must be so.
    #[serde(default)]
    pub expect: Expect,
}

impl ScenarioCall {
    /// What is special about the call.
    pub fn options(&self) -> CallOptions {
        CallOptions { callbacks: self.callbacks, network: self.network.clone(), ..CallOptions::default() }
    }
}

/// Why a file is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It cannot be read.
    #[error("the scenario cannot be read")]
    Unreadable(#[from] std::io::Error),
    /// It is no YAML of a scenario's shape.
    #[error("the scenario is wrong: {0}")]
    Wrong(String),
    /// A call's name would not do for a file.
    #[error("call {0:?}: a name is made of letters, digits and hyphens")]
    Name(String),
    /// Two calls would leave files of the same name.
    #[error("call {0:?} is there twice")]
    Twice(String),
    /// The second region is the first.
    #[error("second_region: {0} is the region that calls begin in; give another, such as us-west-2")]
    SameRegion(String),
    /// There is nobody to call.
    #[error("the scenario has no calls")]
    NoCalls,
    /// Two files have a call of the same name, or the same name themselves.
    #[error("{what} is in {} and in {}: give one of them another name", .files[0].display(), .files[1].display())]
    Clash {
        /// What they have in common.
        what: String,
        /// Both.
        files: [PathBuf; 2],
    },
    /// Which file is wrong.
    #[error("{}", .file.display())]
    In {
        /// Which.
        file: PathBuf,
        /// How.
        source: Box<ScenarioError>,
    },
}

impl Scenario {
    /// The one that comes with the lab.
    pub fn demo() -> Self {
        let demo = Self::from_yaml(DEMO).expect("the lab's own scenario is right: a test reads it");
        Self { name: DEMO_NAME.to_owned(), ..demo }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, or says something that nobody could do.
    pub fn from_file(path: &Path) -> Result<Self, ScenarioError> {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let read = std::fs::read_to_string(path).map_err(ScenarioError::from);
        let scenario = read.and_then(|text| Self::from_yaml(&text));
        let scenario =
            scenario.map_err(|error| ScenarioError::In { file: path.to_owned(), source: Box::new(error) })?;
        Ok(Self { name, ..scenario })
    }

    /// Reads files that are played together; the lab's own scenario if there are none. The names of calls are names of
    /// files that are left, so no two may be the same, whatever file they are in.
    ///
    /// # Errors
    /// If one cannot be read or says something that nobody could do, or two do not go together.
    pub fn from_files(paths: &[PathBuf]) -> Result<Vec<Self>, ScenarioError> {
        if paths.is_empty() {
            return Ok(vec![Self::demo()]);
        }
        let scenarios = paths.iter().map(|path| Self::from_file(path)).collect::<Result<Vec<_>, _>>()?;
        let mut seen: BTreeMap<String, &PathBuf> = BTreeMap::new();
        for (scenario, path) in scenarios.iter().zip(paths) {
            let calls = scenario.calls.iter().map(|call| format!("call {:?}", call.name));
            for what in calls.chain([format!("a scenario named {:?}", scenario.name)]) {
                if let Some(other) = seen.insert(what.clone(), path) {
                    return Err(ScenarioError::Clash { what, files: [other.clone(), path.clone()] });
                }
            }
        }
        Ok(scenarios)
    }

    /// The same under these conditions, where they are given, instead of its own.
    pub fn under(mut self, twilio: Option<&Conditions>, bedrock: Option<&Conditions>) -> Self {
        for call in &mut self.calls {
            call.network = twilio.cloned().or(call.network.take());
        }
        self.bedrock_network = bedrock.cloned().or(self.bedrock_network);
        self
    }

    /// The model's service as the scenario has it; what it does not say is as in `settings`.
    pub fn bedrock(&self, settings: bedrock::Settings) -> bedrock::Settings {
        bedrock::Settings {
            script: self.model.clone(),
            network: self.bedrock_network.clone(),
            token_life: self.credentials_last,
            token_expiry: self.token_expiry,
            ..settings
        }
    }

    /// The same for the second region, if there is one.
    pub fn second_bedrock(&self, settings: bedrock::Settings) -> Option<bedrock::Settings> {
        let region = self.second_region.clone()?;
        let settings = self.bedrock(settings);
        Some(bedrock::Settings { region, script: settings.script.without_faults(), ..settings })
    }

    /// Reads a text.
    ///
    /// # Errors
    /// If it says something that nobody could do.
    pub fn from_yaml(yaml: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = serde_saphyr::from_str(yaml).map_err(|error| ScenarioError::Wrong(error.to_string()))?;
        if scenario.calls.is_empty() {
            return Err(ScenarioError::NoCalls);
        }
        let home = bedrock::Settings::default().region;
        if scenario.second_region.as_ref() == Some(&home) {
            return Err(ScenarioError::SameRegion(home));
        }
        for ScenarioCall { name, .. } in &scenario.calls {
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
                return Err(ScenarioError::Name(name.clone()));
            }
            if scenario.calls.iter().filter(|call| call.name == *name).count() > 1 {
                return Err(ScenarioError::Twice(name.clone()));
            }
        }
        Ok(scenario)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_can_be_read() {
        assert_eq!(Scenario::demo().calls.len(), 4);
    }

    #[test]
    fn networks_are_the_scenarios_own_unless_others_are_asked_for() {
        let yaml = "model: {}\nbedrock_network: delay=1ms\ncalls:\n  - {name: a, network: delay=2ms, caller: {from: a, to: b, steps: []}}\n  - {name: b, caller: {from: a, to: b, steps: []}}";
        let networks = |scenario: Scenario| {
            let shown = |network: &Option<Conditions>| network.as_ref().map(ToString::to_string);
            (
                shown(&scenario.bedrock_network),
                scenario.calls.iter().map(|call| shown(&call.network)).collect::<Vec<_>>(),
            )
        };
        let own = Scenario::from_yaml(yaml).unwrap();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(networks(own.clone()), (text("delay=1ms"), vec![text("delay=2ms"), None]));
        let (twilio, bedrock) = ("jitter=3ms".parse().unwrap(), "jitter=4ms".parse().unwrap());
        let other = networks(own.under(Some(&twilio), Some(&bedrock)));
        assert_eq!(other, (text("jitter=4ms"), vec![text("jitter=3ms"), text("jitter=3ms")]));
    }

    #[test]
    fn names_must_differ_over_all_files() {
        let folder = std::env::temp_dir().join(format!("phone-lab-scenarios-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = |name: &str, call: &str| {
            let path = folder.join(name);
            let yaml = format!("calls: [{{name: {call}, caller: {{from: a, to: b, steps: []}}}}]");
            std::fs::write(&path, yaml).unwrap();
            path
        };
        let (one, two, three) = (file("one.yaml", "a"), file("two.yaml", "b"), file("three.yaml", "a"));
        let read = Scenario::from_files(&[one.clone(), two.clone()]).unwrap();
        assert_eq!(read.iter().map(|scenario| scenario.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
        let clash = Scenario::from_files(&[one.clone(), two, three]).unwrap_err().to_string();
        assert!(clash.contains("\"a\"") && clash.contains("one.yaml") && clash.contains("three.yaml"), "{clash}");
        let twice = Scenario::from_files(&[one.clone(), one]).unwrap_err().to_string();
        assert!(twice.contains("another name"), "{twice}");
        let missing = Scenario::from_files(&[folder.join("none.yaml")]).unwrap_err();
        assert!(missing.to_string().ends_with("none.yaml"), "{missing}");
        assert_eq!(Scenario::from_files(&[]).unwrap()[0].name, "demo");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_wrong_with_a_scenario_is_said() {
        let call =
            |name: &str| format!("model: {{}}\ncalls: [{{name: {name}, caller: {{from: a, to: b, steps: []}}}}]");
        assert!(Scenario::from_yaml(&call("fine-1")).is_ok());
        for (yaml, complaint) in [
            (call("../up"), "letters, digits and hyphens"),
            ("model: {}\ncalls: []".to_owned(), "no calls"),
            (
                "model: {}\ncalls: [{name: a, caller: {from: a, to: b, steps: []}}, {name: a, caller: {from: a, to: b, steps: []}}]"
                    .to_owned(),
                "twice",
            ),
            ("model: {}\nbedrock_network: cut=close@1s\ncalls: []".to_owned(), "close is for the network to Twilio"),
            (
                "model: {}\ncalls: [{name: a, network: delay=40, caller: {from: a, to: b, steps: []}}]".to_owned(),
                "a time such as 40ms",
            ),
            (
                "second_region: us-east-1\ncalls: [{name: a, caller: {from: a, to: b, steps: []}}]".to_owned(),
                "give another",
            ),
            ("model: {greetings: hi}\ncalls: []".to_owned(), "greetings"),
            ("model: {dialogue: [{heard: x}]}\ncalls: []".to_owned(), "reply"),
        ] {
            let error = Scenario::from_yaml(&yaml).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
    }
}
