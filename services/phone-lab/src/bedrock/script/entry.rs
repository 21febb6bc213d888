//! One entry of a dialogue: what it answers, and how.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    super::fault::{Fault, Risk, WrittenRisk},
    ScriptError, no_fault,
    template::{TOOL_FIELD, check_text, fill},
};

/// An entry that was read and not looked at.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenEntry {
    heard: Option<String>,
    speech: Option<String>,
    say_first: Option<String>,
    tool: Option<Tool>,
    #[serde(default)]
    tools: Vec<Tool>,
    meanwhile: Option<String>,
    reply: Option<String>,
    fault: Option<WrittenRisk>,
    #[serde(default)]
    faults: Vec<WrittenRisk>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool {
    name: String,
    #[serde(default)]
    input: Map<String, Value>,
    filler: Option<String>,
    reply: Option<String>,
}

/// An entry that makes sense.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    trigger: Trigger,
    say_first: Option<String>,
    tools: Vec<Tool>,
    meanwhile: Option<String>,
    reply: Option<String>,
    risks: Vec<Risk>,
}

#[derive(Clone, Debug)]
enum Trigger {
    /// In lower case.
    Heard(String),
    Speech(String),
}

/// How the model reacts to something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Reaction {
    /// Said at once.
    pub(in super::super) say: Vec<String>,
    /// Asked after that.
    pub(in super::super) tools: Vec<ToolPlan>,
    /// Said after that.
    pub(in super::super) meanwhile: Option<String>,
    /// Said when all of them have their results.
    pub(in super::super) reply: Option<Reply>,
    /// What may go wrong from here on.
    pub(in super::super) risks: Vec<Risk>,
}

impl Reaction {
    /// What is said before any tool has answered.
    pub(in super::super) fn before(&self) -> Vec<String> {
        let fillers = self.tools.iter().filter_map(|tool| tool.filler.as_ref());
        self.say.iter().chain(fillers).chain(&self.meanwhile).cloned().collect()
    }

    /// What is said once its tools have answered, if these are all the results.
    pub(in super::super) fn after(&self, results: &[(String, Map<String, Value>)]) -> Option<Vec<String>> {
        let mut left: Vec<_> = results.iter().collect();
        let mut said = Vec::new();
        let mut used = Vec::new();
        for tool in &self.tools {
            let at = left.iter().position(|(name, _)| *name == tool.name)?;
            let (_, result) = left.remove(at);
            said.extend(tool.reply.as_ref().map(|reply| reply.to(&[result])));
            used.push(result);
        }
        said.extend(self.reply.as_ref().map(|reply| reply.to(&used)));
        Some(said)
    }
}

/// A tool to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct ToolPlan {
    pub(in super::super) name: String,
    pub(in super::super) input: Map<String, Value>,
    /// Said before it is asked for.
    pub(in super::super) filler: Option<String>,
    /// Said when its result is there.
    pub(in super::super) reply: Option<Reply>,
}

/// What to say to results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Reply {
    template: String,
    heard: String,
}

impl Reply {
    /// What to say to these.
    pub(in super::super) fn to(&self, results: &[&Map<String, Value>]) -> String {
        fill(&self.template, &self.heard, results)
    }
}

impl WrittenEntry {
    /// Makes sure that the entry of this number, from 1, makes sense.
    pub(super) fn check(self, number: usize) -> Result<Entry, ScriptError> {
        let Self { heard, speech, say_first, tool, tools, meanwhile, reply, fault, faults } = self;
        let trigger = match (heard, speech) {
            (Some(heard), None) => Trigger::Heard(heard.to_lowercase()),
            (None, Some(speech)) => Trigger::Speech(speech),
            (None, None) | (Some(_), Some(_)) => return Err(ScriptError::Trigger(number)),
        };
        let place = format!("dialogue entry {number}");
        let risk = |written: WrittenRisk| written.check(Fault::in_dialogue).map_err(|why| no_fault(&place, &why));
        let risks = fault.into_iter().chain(faults).map(risk).collect::<Result<Vec<_>, _>>()?;
        let tools: Vec<_> = tool.into_iter().chain(tools).collect();
        if reply.is_none() && tools.is_empty() && risks.is_empty() {
            return Err(ScriptError::NoReaction(number));
        }
        if meanwhile.is_some() && tools.is_empty() {
            return Err(ScriptError::NothingPending(number));
        }
        let (at_once, of_tools) = (&["heard"][..], &["heard", TOOL_FIELD][..]);
        check_text(&place, say_first.as_deref(), at_once)?;
        check_text(&place, meanwhile.as_deref(), at_once)?;
        check_text(&place, reply.as_deref(), if tools.is_empty() { at_once } else { of_tools })?;
        for tool in &tools {
            check_text(&place, tool.filler.as_deref(), at_once)?;
            check_text(&place, tool.reply.as_deref(), of_tools)?;
        }
        Ok(Entry { trigger, say_first, tools, meanwhile, reply, risks })
    }
}

impl Entry {
    /// Nothing goes wrong any more where it is reached.
    pub(super) fn clear_faults(&mut self) {
        self.risks.clear();
    }

    /// What it takes speech for, if it answers speech.
    pub(super) fn speech(&self) -> Option<&str> {
        match &self.trigger {
            Trigger::Speech(speech) => Some(speech),
            Trigger::Heard(_) => None,
        }
    }

    /// Says whether it answers these words, given in lower case.
    pub(super) fn answers(&self, folded: &str) -> bool {
        matches!(&self.trigger, Trigger::Heard(part) if folded.contains(part))
    }

    /// How the model reacts to what it heard.
    pub(super) fn reaction(&self, heard: &str) -> Reaction {
        let filled = |text: &Option<String>| text.as_ref().map(|text| fill(text, heard, &[]));
        let later = |template: &String| Reply { template: template.clone(), heard: heard.into() };
        let mut reaction = Reaction {
            say: filled(&self.say_first).into_iter().collect(),
            meanwhile: filled(&self.meanwhile),
            risks: self.risks.clone(),
            ..Reaction::default()
        };
        if self.tools.is_empty() {
            reaction.say.extend(filled(&self.reply));
        } else {
            reaction.reply = self.reply.as_ref().map(later);
        }
        let plan = |tool: &Tool| ToolPlan {
            name: tool.name.clone(),
            input: tool.input.clone(),
            filler: filled(&tool.filler),
            reply: tool.reply.as_ref().map(later),
        };
        reaction.tools = self.tools.iter().map(plan).collect();
        reaction
    }
}
