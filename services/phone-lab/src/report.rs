//! What is left of a run: per call who said and heard what, the difference, what happened when, and a verdict.
//!
//! A [`Call`] is put together from what both simulators know; nothing is asked of the system between them. [`Run`] is
//! the whole: as JSON by `serde` (the schema is in the lab's documentation, its version in [`SCHEMA_VERSION`]), as JUnit
//! XML by [`junit`], for a reader by its `Display`. All of it holds what was said: it goes where the user wants it, and
//! nowhere else.

pub mod diff;
pub mod junit;
mod parties;
mod terminal;
pub mod timeline;
pub mod words;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::Value;

pub use self::{diff::Diff, parties::Line, parties::Party, timeline::Entry, words::Word};
use self::{parties::Parties, timeline::milliseconds};
use crate::{
    bedrock::{ModelEvent, SessionEnd, SessionId, SessionReport},
    oracle::{
        self,
        continuity::{Continuity, continuity},
    },
    scenario::ScenarioCall,
    twilio::{CallReport, DebuggerEntry},
};

/// Changes when a field of the JSON changes its meaning or goes away. New fields may come without.
pub const SCHEMA_VERSION: u32 = 1;
/// Without the model's own account there is one end only.
const NO_CONTINUITY: &str =
    "continuity cannot be judged, since the model is not the lab's: serve it, with --bedrock-listen";

/// A run of one or more scenarios.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Where calls went.
    pub edge: String,
    /// The seed of everything drawn by the lab.
    pub seed: u64,
    /// When it began.
    #[serde(serialize_with = "in_words")]
    pub started_at: Timestamp,
    /// How long it took.
    pub lasted_ms: f64,
    /// Whether all calls were played and good.
    pub good: bool,
    /// The calls that were played, in the order of the scenarios.
    pub calls: Vec<Call>,
    /// The calls that were not, because the run was stopped.
    pub not_played: Vec<NotPlayed>,
}

/// A call that was not played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotPlayed {
    /// The scenario it is of.
    pub scenario: String,
    /// Which one.
    pub name: String,
}

/// A call and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// [`SCHEMA_VERSION`]: a call may lie in a file of its own.
    pub schema_version: u32,
    /// The scenario it is of.
    pub scenario: String,
    /// Its name there.
    pub name: String,
    /// Whether everything was as it should be.
    pub good: bool,
    /// What was not; empty for a good call.
    pub reasons: Vec<String>,
    /// Twilio's id for it.
    pub call_sid: String,
    /// Of its media streams, in order.
    pub stream_sids: Vec<String>,
    /// When it was placed. All other times count from here.
    #[serde(serialize_with = "in_words")]
    pub started_at: Timestamp,
    /// How long it took.
    pub lasted_ms: f64,
    /// How it ended.
    pub end: String,
    /// Who took part, and what each said and heard.
    pub parties: Vec<Party>,
    /// What the agent heard of the caller's words; none where the model is not the lab's.
    pub to_agent: Option<Diff>,
    /// What the caller heard of everybody's words; none where the model is not the lab's.
    pub to_caller: Option<Diff>,
    /// From the end of the caller's words to the first sound of each answer.
    pub answers_ms: Vec<f64>,
    /// How well it went on from session to session of the model; none where that was not asked for.
    pub continuity: Option<Continuity>,
    /// The model's sessions; none where the model is not the lab's.
    pub sessions: Option<Vec<Session>>,
    /// Requests for a session that the model refused, and why.
    pub refusals: Vec<String>,
    /// Who was dialled.
    pub dialled: Vec<String>,
    /// What Twilio would log.
    pub codes: Vec<DebuggerEntry>,
    /// The TwiML that was answered.
    pub documents: Vec<String>,
    /// What happened when.
    pub timeline: Vec<Entry>,
}

/// A session of the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Session {
    /// Its request id.
    pub id: String,
    /// Where it was.
    pub region: String,
    /// How it ended: `by_the_book`, or what happened.
    pub end: String,
    /// What the client did wrong in it.
    pub violations: Vec<String>,
    /// Messages of earlier conversation that the client sent.
    pub history_messages: usize,
    /// The tools it asked for.
    pub tools: Vec<Tool>,
    /// Tokens in and out.
    pub tokens: u64,
}

/// A tool that the model asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tool {
    /// Which.
    pub name: String,
    /// With what.
    pub input: Value,
    /// What it was told; none if nothing.
    pub result: Option<Value>,
}

/// What the lab's own model knows of a call.
#[derive(Clone, Debug, Default)]
pub struct Modelled {
    /// Its sessions, in the order of their opening. One without an end is still open, long after the call.
    pub sessions: Vec<SessionReport>,
    /// What happened in them.
    pub events: Vec<ModelEvent>,
    /// Requests that did not become sessions, and why.
    pub refusals: Vec<String>,
}

/// When a call was placed.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// On the monotonic clock.
    pub at: Instant,
    /// The time of day.
    pub wall: Timestamp,
}

impl Call {
    /// Puts together what is known, and judges it.
    pub fn new(
        scenario: &str,
        plan: &ScenarioCall,
        call: &CallReport,
        model: Option<&Modelled>,
        placed: Placed,
    ) -> Self {
        let human = oracle::human_words(call);
        let parties = Parties::new(call, model, placed.at);
        let mut reasons = Vec::new();
        let continuity = plan.expect.continuity.as_ref().zip(model).map(|(limits, model)| {
            let continuity = continuity(call, &model.sessions, &model.events, placed.at, &human);
            reasons.extend(continuity.reasons.iter().cloned().chain(continuity.beyond(limits)));
            continuity
        });
        // Sessions that follow one another may hear the same words, and say what nobody is to hear.
        let model_alone = model.filter(|_| continuity.is_none());
        reasons.extend(model_alone.into_iter().flat_map(|model| oracle::conversation(call, &model.sessions, &human)));
        if plan.expect.continuity.is_some() && model.is_none() {
            reasons.push(NO_CONTINUITY.to_owned());
        }
        reasons.extend(oracle::unmet(call, &plan.hears, &plan.expect));
        if let (true, true, Some(wrong)) = (reasons.is_empty(), continuity.is_none(), parties.wrong_words()) {
            reasons.push(wrong);
        }
        let known = model.cloned().unwrap_or_default();
        let ids: Vec<SessionId> = known.sessions.iter().map(|session| session.id).collect();
        let Parties { parties, to_agent, to_caller } = parties;
        Self {
            schema_version: SCHEMA_VERSION,
            scenario: scenario.to_owned(),
            name: plan.name.clone(),
            good: reasons.is_empty(),
            reasons,
            call_sid: call.call_sid.clone(),
            stream_sids: call.stream_sids.clone(),
            started_at: placed.wall,
            lasted_ms: milliseconds(oracle::over_at(call)),
            end: snake_case(&call.end),
            parties,
            to_agent,
            to_caller,
            answers_ms: oracle::answer_times(call).map(milliseconds).collect(),
            continuity,
            sessions: model.map(|model| model.sessions.iter().map(Session::new).collect()),
            refusals: known.refusals,
            dialled: call.dialled.clone(),
            codes: call.codes.clone(),
            documents: call.documents.clone(),
            timeline: timeline::timeline(call, &known.events, &ids, placed.at),
        }
    }

    /// What went over each wire: in order, without times, ids included. Two calls with the same seed have the same, as
    /// far as what happens does not depend on how quick the machine is.
    pub fn wires(&self) -> BTreeMap<String, Vec<String>> {
        let mut wires = timeline::wires(&self.timeline);
        let sessions = self.sessions.iter().flatten().map(|session| session.id.clone());
        let ids = [&self.call_sid].into_iter().chain(&self.stream_sids).cloned().chain(sessions);
        wires.insert("ids".to_owned(), ids.collect());
        wires.insert("refusals".to_owned(), self.refusals.clone());
        wires
    }
}

impl Session {
    fn new(session: &SessionReport) -> Self {
        let tools = session.tools.iter().cloned();
        Self {
            id: session.id.to_string(),
            region: session.region.clone(),
            end: session_end(session.end.as_ref()),
            violations: session.violations.clone(),
            history_messages: session.history.len(),
            tools: tools.map(|tool| Tool { name: tool.name, input: tool.input, result: tool.result }).collect(),
            tokens: session.usage.input() + session.usage.output(),
        }
    }
}

fn session_end(end: Option<&SessionEnd>) -> String {
    match end {
        None => "still open".to_owned(),
        Some(SessionEnd::ByTheBook) => "by_the_book".to_owned(),
        Some(end) => end.to_string(),
    }
}

/// A name as the JSON has it.
fn snake_case<T: Serialize>(name: &T) -> String {
    match serde_json::to_value(name) {
        Ok(Value::String(name)) => name,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// A time of day as RFC 3339 has it.
fn in_words<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

impl Run {
    /// A run that is over.
    pub fn new(
        edge: String,
        seed: u64,
        placed: Placed,
        lasted: Duration,
        calls: Vec<Call>,
        not_played: Vec<NotPlayed>,
    ) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            edge,
            seed,
            started_at: placed.wall,
            lasted_ms: milliseconds(lasted),
            good: not_played.is_empty() && calls.iter().all(|call| call.good),
            calls,
            not_played,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracle::continuity::{Change, Spread},
        scenario::Scenario,
        twilio::CallEnd,
    };
    use offhook_hosting::{clock::Clock, entropy::Entropy};

    fn keys(of: &impl Serialize) -> Vec<String> {
        serde_json::to_value(of).unwrap().as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn the_documentation_names_every_field() {
        let documentation = include_str!("../../../docs/phone-lab.md");
        let (plan, placed) = (&Scenario::demo().calls[0], Placed { at: Clock.now(), wall: Clock.wall() });
        let report = CallReport::of_nothing(CallEnd::Rejected);
        let call = Call::new("demo", plan, &report, Some(&Modelled::default()), placed);
        let session = Session::new(&SessionReport::of_nothing(&mut Entropy::from_seed(1)));
        let fields = [keys(&call), keys(&call.to_caller.clone().unwrap()), keys(&call.parties[0]), keys(&session)];
        let run = Run::new(String::new(), 1, placed, Duration::ZERO, vec![call], Vec::new());
        let word = Word { text: String::new(), sample: 0, at_ms: 0.0 };
        let line = Line { text: String::new(), sample: 0, at_ms: 0.0, interrupted: true, words: vec![word.clone()] };
        let difference = diff::Difference { kind: diff::Kind::Cut, said: None, heard: None };
        let tool = Tool { name: String::new(), input: Value::Null, result: None };
        let (at, stream_sid) = (Duration::ZERO, Some(String::new()));
        let spread = Some(Spread { p50: 0.0, p95: 0.0, max: 0.0 });
        let mut continued = continuity(&report, &[], &[], placed.at, &[]);
        continued.added_at_switches_ms = spread;
        let change = Change { at_ms: 0.0, lost: true, added_ms: None };
        let code = DebuggerEntry { code: 0, at, detail: String::new(), stream_sid };
        let happened =
            Entry { at_ms: 0.0, who: timeline::Who::Caller, event: "", detail: String::new(), session: Some(1) };
        let more = [
            keys(&word),
            keys(&line),
            keys(&difference),
            keys(&tool),
            keys(&code),
            keys(&happened),
            keys(&continued),
            keys(&spread),
            keys(&change),
        ];
        for field in [fields.concat(), more.concat(), keys(&run)].concat() {
            assert!(documentation.contains(&format!("`{field}`")), "{field}");
        }
    }

    #[test]
    fn continuity_that_cannot_be_judged_makes_a_call_bad() {
        let call = "{name: a, caller: {from: a, to: b, steps: []}, expect: {continuity: {}}}";
        let scenario = Scenario::from_yaml(&format!("calls: [{call}]")).unwrap();
        let placed = Placed { at: Clock.now(), wall: Clock.wall() };
        let report = CallReport::of_nothing(CallEnd::CallerHungUp);
        let judged = |model| Call::new("a", &scenario.calls[0], &report, model, placed);
        assert_eq!(judged(None).reasons, [NO_CONTINUITY]);
        assert!(judged(Some(&Modelled::default())).good);
    }

    #[test]
    fn a_session_left_open_makes_a_call_bad() {
        let scenario = Scenario::from_yaml("calls: [{name: a, caller: {from: a, to: b, steps: []}}]").unwrap();
        let placed = Placed { at: Clock.now(), wall: Clock.wall() };
        let report = CallReport::of_nothing(CallEnd::CallerHungUp);
        let judged = |end| {
            let session = SessionReport { end, ..SessionReport::of_nothing(&mut Entropy::from_seed(1)) };
            let model = Modelled { sessions: vec![session], ..Modelled::default() };
            Call::new("a", &scenario.calls[0], &report, Some(&model), placed)
        };
        assert!(judged(Some(SessionEnd::ByTheBook)).good);
        assert_eq!(judged(None).reasons, ["a session of the model is still open"]);
    }
}
