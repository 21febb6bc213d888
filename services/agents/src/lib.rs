//! The agents of an installation: who answers which number, how they sound, and which human stands behind them.
//!
//! Both services read the same file: the edge chooses the agent of a call, the worker lets it speak. Reading the file is
//! theirs; what is here takes its text, and is pure. Every mistake of the text is found in one run, with its place. What
//! the file means is described in `docs/agents.md`.

mod agent;
mod read;
mod values;
mod yaml;

use std::{collections::BTreeMap, fmt, sync::Arc};

pub use agent::{Agent, Fallback, Sentences, Target, Transfer};
pub use read::{Mistake, Mistakes};
pub use values::{AgentName, NotThat, PhoneNumber, SipDomain, SipUri, VoiceName};

use read::{Fields, Mistakes as Found};
use yaml::Node;

/// Agents in one file.
pub const MOST_AGENTS: usize = 200;
/// Bytes of the file.
pub const LONGEST_FILE: usize = 1024 * 1024;

/// All agents, never none.
#[derive(Clone)]
pub struct Agents {
    by_name: BTreeMap<AgentName, Arc<Agent>>,
    by_number: BTreeMap<PhoneNumber, AgentName>,
    by_domain: BTreeMap<SipDomain, AgentName>,
    default: Arc<Agent>,
}

impl Agents {
    /// Reads the text of an agents file, where it is not known whether there is a human beside those that the file names.
    ///
    /// # Errors
    /// If anything in it is wrong; all of it is told.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        read_file(text, Beside::NotKnown)
    }

    /// As [`Agents::parse`], where `human` is who is called for an agent without `transfer`.
    ///
    /// # Errors
    /// If anything in it is wrong, also an agent that falls back to a human and has none; all of it is told.
    pub fn parse_with_human(text: &str, human: Option<&SipUri>) -> Result<Self, Mistakes> {
        read_file(text, human.map_or(Beside::Nobody, Beside::Human))
    }

    /// The agent that there is without a file, with the human behind it.
    pub fn demo(human: Option<&SipUri>) -> Self {
        Self::of([Agent::demo(human)]).expect("there is one")
    }

    /// The agent with this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Agent>> {
        self.by_name.get(name)
    }

    /// The agent with this name, or the default one where there is none: the file may have had it before.
    pub fn named_or_default(&self, name: &str) -> &Arc<Agent> {
        self.named(name).unwrap_or(&self.default)
    }

    /// The agent that answers this number.
    pub fn of_number(&self, number: &str) -> Option<&Arc<Agent>> {
        self.by_number.get(number).and_then(|name| self.by_name.get(name))
    }

    /// The agent that answers calls to this SIP domain.
    pub fn of_sip_domain(&self, domain: &str) -> Option<&Arc<Agent>> {
        let name = self.by_domain.get(domain.trim_end_matches('.').to_ascii_lowercase().as_str())?;
        self.by_name.get(name)
    }

    /// The agent of every other call.
    pub fn default_agent(&self) -> &Arc<Agent> {
        &self.default
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Agent>> {
        self.by_name.values()
    }

    /// The first is the default. `None` if there is none.
    fn of(agents: impl IntoIterator<Item = Agent>) -> Option<Self> {
        let agents: Vec<_> = agents.into_iter().map(Arc::new).collect();
        let default = agents.first()?.clone();
        let of_all = |agent: &Arc<Agent>| agent.name.clone();
        let by_number =
            agents.iter().flat_map(|agent| agent.numbers.iter().map(|number| (number.clone(), of_all(agent))));
        let by_domain =
            agents.iter().flat_map(|agent| agent.sip_domains.iter().map(|domain| (domain.clone(), of_all(agent))));
        let (by_number, by_domain) = (by_number.collect(), by_domain.collect());
        Some(Self {
            by_name: agents.into_iter().map(|agent| (agent.name.clone(), agent)).collect(),
            by_number,
            by_domain,
            default,
        })
    }
}

/// Names only: numbers and addresses may be people's.
impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

/// Who is called for an agent that names no human.
#[derive(Clone, Copy)]
pub(crate) enum Beside<'a> {
    Human(&'a SipUri),
    Nobody,
    NotKnown,
}

fn read_file(text: &str, human: Beside<'_>) -> Result<Agents, Mistakes> {
    let mut found = Found::default();
    let agents = read_agents(text, human, &mut found);
    match agents {
        Some(agents) if found.is_empty() => Ok(agents),
        Some(_) | None => Err(found.in_order()),
    }
}

fn read_agents(text: &str, human: Beside<'_>, found: &mut Found) -> Option<Agents> {
    if text.len() > LONGEST_FILE {
        found.add("the file", None, format!("it is longer than {LONGEST_FILE} bytes: make the prompts shorter"));
        return None;
    }
    let root = yaml::parse(text).map_err(|broken| found.add("the file", Some(broken.at), broken.problem)).ok()?;
    let mut fields = Fields::of("", &root, found)?;
    let default = fields.text("default", 64, found);
    let entries = fields.required("agents", found);
    fields.finish(found);
    let entries = entries?;
    let Node::Map(entries) = &entries.node else {
        found.add("agents", Some(entries.at), "expected the agents by their names, such as `reception:`");
        return None;
    };
    if entries.is_empty() || entries.len() > MOST_AGENTS {
        found.add("agents", Some(root.at), format!("expected 1 to {MOST_AGENTS} agents, there are {}", entries.len()));
        return None;
    }
    let agents: Vec<_> = entries.iter().filter_map(|entry| agent::read(entry, human, found)).collect();
    agent::find_what_two_claim(&agents, found);
    let chosen = match &default {
        Some(name) => {
            let chosen = agents.iter().position(|(agent, _)| agent.name.as_str() == name.text);
            if chosen.is_none() && !entries.iter().any(|entry| entry.key.text == name.text) {
                found.add("default", Some(name.at), "there is no agent of this name under `agents`");
            }
            chosen
        }
        None if entries.len() == 1 => (!agents.is_empty()).then_some(0),
        None => {
            found.add(
                "default",
                Some(root.at),
                "required where there are several agents: which answers all other calls?",
            );
            None
        }
    };
    let mut agents: Vec<_> = agents.into_iter().map(|(agent, _)| agent).collect();
    agents.swap(0, chosen?);
    Agents::of(agents)
}

#[cfg(test)]
mod tests;
