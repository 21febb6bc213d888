//! The tools that the model asks for: several in a turn, with results in any order (AWS, "Asynchronous tool calling").

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    super::{
        fault::Quirk,
        script::{Reply, ToolPlan},
        speaking::Step,
    },
    Model, Note, say, text_tokens,
};

/// One tool of one turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Ask {
    round: usize,
    place: usize,
    plan: ToolPlan,
}

/// The tools of one turn. What is said to all of them is due when each that was asked for has its result.
#[derive(Debug)]
struct Round {
    /// Tools that are still to be asked for.
    unasked: usize,
    /// Tools without a result.
    open: usize,
    results: BTreeMap<usize, Map<String, Value>>,
    reply: Option<Reply>,
}

/// Tools that were or will be asked for.
#[derive(Debug, Default)]
pub(in super::super) struct Asking {
    rounds: BTreeMap<usize, Round>,
    begun: usize,
    /// Tool uses without a result.
    open: BTreeMap<String, Ask>,
}

impl Asking {
    /// The steps of a turn that asks for these and says this to all their results.
    pub(in super::super) fn plan(&mut self, tools: Vec<ToolPlan>, reply: Option<Reply>) -> Vec<Step> {
        let round = self.begun;
        self.begun += 1;
        if !tools.is_empty() {
            let of = Round { unasked: tools.len(), open: 0, results: BTreeMap::new(), reply };
            self.rounds.insert(round, of);
        }
        let steps = |(place, plan): (usize, ToolPlan)| {
            let filler = plan.filler.iter().flat_map(|filler| say(filler)).collect::<Vec<_>>();
            filler.into_iter().chain([Step::Tool(Ask { round, place, plan })])
        };
        tools.into_iter().enumerate().flat_map(steps).collect()
    }

    /// The tool was asked for.
    fn asked(&mut self, tool_use_id: String, ask: Ask) {
        if let Some(round) = self.rounds.get_mut(&ask.round) {
            round.unasked = round.unasked.saturating_sub(1);
            round.open += 1;
        }
        self.open.insert(tool_use_id, ask);
    }

    /// The result of a tool use is there, and what is to be said to it now. None if it is nobody's.
    fn answered(&mut self, tool_use_id: &str, result: &Map<String, Value>) -> Option<String> {
        let Ask { round: number, place, plan } = self.open.remove(tool_use_id)?;
        let mut said: Vec<_> = plan.reply.iter().map(|reply| reply.to(&[result])).collect();
        if let Some(round) = self.rounds.get_mut(&number) {
            round.open -= 1;
            round.results.insert(place, result.clone());
        }
        said.extend(self.conclude(number));
        Some(said.join(" "))
    }

    /// The turn was stopped: what it did not ask for, it never will. Says what is due now.
    pub(super) fn give_up(&mut self) -> Vec<String> {
        let stopped: Vec<_> = self.rounds.iter().filter(|(_, round)| round.unasked > 0).map(|(at, _)| *at).collect();
        let mut conclude = |number| {
            self.rounds.get_mut(&number)?.unasked = 0;
            self.conclude(number)
        };
        stopped.into_iter().filter_map(&mut conclude).collect()
    }

    /// What is said to a round that is complete, if it is.
    fn conclude(&mut self, number: usize) -> Option<String> {
        if self.rounds.get(&number).is_none_or(|round| round.unasked > 0 || round.open > 0) {
            return None;
        }
        let Round { results, reply, .. } = self.rounds.remove(&number)?;
        let results: Vec<_> = results.values().collect();
        // A round that was stopped before anything was asked has nothing to reply to.
        reply.filter(|_| !results.is_empty()).map(|reply| reply.to(&results))
    }
}

impl Model {
    /// Asks for a tool. One that the client does not offer has nothing to say.
    pub(super) fn ask(&mut self, ask: Ask) {
        let (id, tool_use_id) = (self.ids.uuid(), self.ids.uuid().to_string());
        let ToolPlan { name, input, .. } = ask.plan.clone();
        self.asking.asked(tool_use_id.clone(), ask);
        if !self.tools.contains(&name) {
            self.note(Note::Remark(format!("the script asks for tool {name}, which the client does not offer")));
            self.follow_up(&tool_use_id, &Map::new());
            return;
        }
        self.usage.output_text += 1 + input.len() as u64;
        let input = Value::Object(input);
        let written = if self.is_odd(Quirk::DoubleEncodedTool) { input.to_string().into() } else { input.clone() };
        self.write(|writer| writer.tool_use(id, &name, &tool_use_id, &written));
        self.note(Note::ToolAsked { tool_use_id, name, input });
        self.report_usage();
    }

    /// A tool has a result.
    pub(super) fn resume(&mut self, tool_use_id: String, result: Map<String, Value>) {
        if !self.follow_up(&tool_use_id, &result) {
            return;
        }
        let result = Value::Object(result);
        self.usage.input_text += text_tokens(&result.to_string());
        self.note(Note::ToolAnswered { tool_use_id, result });
    }

    /// Plans what there is to say to a result. False if nobody asked for it.
    fn follow_up(&mut self, tool_use_id: &str, result: &Map<String, Value>) -> bool {
        let said = self.asking.answered(tool_use_id, result);
        let is_known = said.is_some();
        self.follow_ups.extend(said.filter(|said| !said.is_empty()));
        is_known
    }
}
