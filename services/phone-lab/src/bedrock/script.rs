//! What the simulated model says to what it hears: a YAML file.
//!
//! ```yaml
//! greeting: "hello. how can i help you?"    # answers the first interactive text of a session without history
//! faults: [padding, { fault: "reset@sent:40", probability: 0.1 }]     # what goes wrong in whole sessions
//! faults_in_turn: [text=idle, none, reset]  # and in the first, the second, the third
//! session_limit: 30s                        # age that ends a session
//! dialogue:
//!   - speech: "I need to cancel my reservation"   # answers sound that is no tone words, and becomes its transcript
//!     reply: "which one?"
//!   - heard: "cancel"                       # answers what contains this, in whatever case
//!     tool: { name: cancelReservation, input: { reservationId: "R-1042" }, filler: "one moment please." }
//!     reply: "your reservation {tool.confirmation} is cancelled."     # said when the result is there
//!   - heard: "compare"
//!     tools: [{ name: price, input: { of: "a" }, reply: "a is {tool.price}." }, { name: price, input: { of: "b" } }]
//!     meanwhile: "this takes a while."      # said while they are pending
//!     reply: "that was all."                # said when all results are there
//!   - heard: "bye"
//!     say_first: "goodbye then."
//!     tool: { name: hang_up }
//!   - heard: "crash"
//!     fault: drop                           # goes wrong when the entry is reached
//! otherwise: "you said {heard}"
//! nothing_left: "that was all."           # said when asked to go on with what was said to its end; else nothing
//! ```
//!
//! The first entry that matches is used. `speech` entries are used in order, each once. `{heard}` is what was heard,
//! `{tool.x}` the field `x` of the tool's result, or of the first result that has it.

mod entry;
mod template;

use std::time::Duration;

use serde::Deserialize;

pub(super) use self::entry::{Reaction, Reply, ToolPlan};
use self::{
    entry::{Entry, WrittenEntry},
    template::{check_text, fill},
};
use super::fault::{Fault, Risk, WrittenRisk};
use crate::twilio::script::some_duration;

const DEFAULT_OTHERWISE: &str = "you said {heard}";

/// A dialogue that is known to make sense.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub struct Script {
    /// What the model says when interactive text opens the conversation.
    greeting: Option<String>,
    dialogue: Vec<Entry>,
    otherwise: String,
    nothing_left: Option<String>,
    risks: Vec<Risk>,
    /// None for a session in which nothing goes wrong.
    risks_in_turn: Vec<Option<Risk>>,
    session_limit: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    greeting: Option<String>,
    #[serde(default)]
    dialogue: Vec<WrittenEntry>,
    #[serde(default = "default_otherwise")]
    otherwise: String,
    nothing_left: Option<String>,
    #[serde(default)]
    faults: Vec<WrittenRisk>,
    #[serde(default)]
    faults_in_turn: Vec<WrittenRisk>,
    #[serde(default, deserialize_with = "some_duration")]
    session_limit: Option<Duration>,
}

impl TryFrom<Written> for Script {
    type Error = ScriptError;

    fn try_from(written: Written) -> Result<Self, ScriptError> {
        let Written { greeting, dialogue, otherwise, nothing_left, faults, faults_in_turn, session_limit } = written;
        check_text("greeting", greeting.as_deref(), &[])?;
        check_text("otherwise", Some(&otherwise), &["heard"])?;
        check_text("nothing_left", nothing_left.as_deref(), &[])?;
        let numbered = dialogue.into_iter().enumerate();
        let dialogue = numbered.map(|(index, entry)| entry.check(index + 1)).collect::<Result<_, _>>()?;
        let risk =
            |place, written: WrittenRisk| written.check(str::parse::<Fault>).map_err(|why| no_fault(place, &why));
        let risks = faults.into_iter().map(|written| risk("faults", written)).collect::<Result<_, _>>()?;
        let in_turn = |written: WrittenRisk| (!written.is_none()).then(|| risk("faults_in_turn", written)).transpose();
        let risks_in_turn = faults_in_turn.into_iter().map(in_turn).collect::<Result<_, _>>()?;
        Ok(Self { greeting, dialogue, otherwise, nothing_left, risks, risks_in_turn, session_limit })
    }
}

fn no_fault(place: &str, why: &dyn std::error::Error) -> ScriptError {
    ScriptError::Fault { place: place.into(), why: why.to_string() }
}

/// Why a text is no script.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The text is no YAML of the script's shape.
    #[error("script does not parse")]
    Parse(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An entry says neither or both of what it answers.
    #[error("dialogue entry {0}: give either `heard` or `speech`")]
    Trigger(usize),
    /// An entry does nothing.
    #[error("dialogue entry {0}: give a `reply`, a `tool`, a `fault` or several of them")]
    NoReaction(usize),
    /// Something is said while nothing is pending.
    #[error("dialogue entry {0}: `meanwhile` needs a `tool`")]
    NothingPending(usize),
    /// What is to go wrong is no fault.
    #[error("{place}: {why}")]
    Fault {
        /// Where it stands.
        place: String,
        /// Why it is none.
        why: String,
    },
    /// A placeholder that nothing fills.
    #[error("{place}: nothing fills `{{{placeholder}}}`")]
    Placeholder {
        /// Where it stands.
        place: String,
        /// What stands between the braces.
        placeholder: String,
    },
}

impl Default for Script {
    /// Repeats what it heard.
    fn default() -> Self {
        Self {
            greeting: None,
            dialogue: Vec::new(),
            otherwise: default_otherwise(),
            nothing_left: None,
            risks: Vec::new(),
            risks_in_turn: Vec::new(),
            session_limit: None,
        }
    }
}

fn default_otherwise() -> String {
    DEFAULT_OTHERWISE.into()
}

impl Script {
    /// Reads and checks a script.
    pub fn from_yaml(yaml: &str) -> Result<Self, ScriptError> {
        let written: Written = serde_saphyr::from_str(yaml).map_err(|error| ScriptError::Parse(Box::new(error)))?;
        written.try_into()
    }

    /// The same, with nothing that goes wrong on purpose.
    pub fn without_faults(&self) -> Self {
        let mut script = self.clone();
        (script.risks, script.risks_in_turn) = (Vec::new(), Vec::new());
        script.dialogue.iter_mut().for_each(Entry::clear_faults);
        script
    }

    /// What may go wrong in whole sessions.
    pub(super) fn risks(&self) -> &[Risk] {
        &self.risks
    }

    /// What may go wrong in the `n`th session, from 0, besides.
    pub(super) fn risk_of(&self, n: usize) -> Option<&Risk> {
        self.risks_in_turn.get(n)?.as_ref()
    }

    /// The age that ends a session, if the script says so.
    pub fn session_limit(&self) -> Option<Duration> {
        self.session_limit
    }

    /// What to say when the conversation opens with interactive text.
    pub(super) fn greeting(&self) -> Option<&str> {
        self.greeting.as_deref()
    }

    /// The transcript of the `n`th speech (from 0), if the script knows it.
    pub(super) fn speech(&self, n: usize) -> Option<&str> {
        self.dialogue.iter().filter_map(Entry::speech).nth(n)
    }

    /// The reaction to the `n`th speech, or to speech that the script does not know.
    pub(super) fn react_to_speech(&self, n: usize) -> Reaction {
        let mut speeches = self.dialogue.iter().filter_map(|entry| entry.speech().map(|speech| (entry, speech)));
        speeches.nth(n).map_or_else(|| self.otherwise("something"), |(entry, speech)| entry.reaction(speech))
    }

    /// What to say when asked to go on with an answer that was said to its end.
    pub(super) fn nothing_left(&self) -> Option<&str> {
        self.nothing_left.as_deref()
    }

    /// How many speeches from the `n`th on stand in this text, one after the other.
    pub(super) fn speeches_in(&self, n: usize, text: &str) -> usize {
        let folded = text.to_lowercase();
        let mut rest = folded.as_str();
        let stands = |speech: &&str| match rest.split_once(speech.to_lowercase().as_str()) {
            Some((_, after)) if !speech.is_empty() => {
                rest = after;
                true
            }
            Some(_) | None => false,
        };
        self.dialogue.iter().filter_map(Entry::speech).skip(n).take_while(stands).count()
    }

    /// The reaction to text: words, or the transcript of a speech.
    pub(super) fn react_to_text(&self, text: &str) -> Reaction {
        let is_it = |entry: &&Entry| entry.speech().is_some_and(|speech| speech.eq_ignore_ascii_case(text.trim()));
        let speech = self.dialogue.iter().find(is_it);
        speech.map_or_else(|| self.react_to_words(text), |entry| entry.reaction(text))
    }

    /// The reaction to words.
    pub(super) fn react_to_words(&self, heard: &str) -> Reaction {
        let folded = heard.to_lowercase();
        self.dialogue
            .iter()
            .find(|entry| entry.answers(&folded))
            .map_or_else(|| self.otherwise(heard), |entry| entry.reaction(heard))
    }

    fn otherwise(&self, heard: &str) -> Reaction {
        Reaction { say: vec![fill(&self.otherwise, heard, &[])], ..Reaction::default() }
    }
}

#[cfg(test)]
mod tests {
    use offhook_hosting::entropy::Entropy;

    use super::*;

    const YAML: &str = r#"
greeting: "hello."
dialogue:
  - speech: "I need to cancel my reservation"
    reply: "which one?"
  - heard: "Cancel"
    tool: { name: cancelReservation, input: { reservationId: "R-1042" }, filler: "one moment." }
    reply: "{tool.id} ({tool.count}) is cancelled, {heard}"
  - heard: "bye"
    say_first: "goodbye then."
    tool: { name: hang_up }
otherwise: "you said {heard}!"
"#;

    fn refused(yaml: &str) -> String {
        Script::from_yaml(yaml).unwrap_err().to_string()
    }

    #[test]
    fn words_find_the_first_entry_that_they_contain() {
        let script = Script::from_yaml(YAML).unwrap();
        let reaction = script.react_to_words("please CANCEL it");
        let [tool] = &reaction.tools[..] else { panic!("{reaction:?}") };
        assert_eq!((tool.name.as_str(), tool.input["reservationId"].as_str()), ("cancelReservation", Some("R-1042")));
        assert_eq!((tool.filler.as_deref(), &tool.reply), (Some("one moment."), &None));
        let reply = reaction.reply.unwrap();
        let result = serde_json::from_str(r#"{"id":"R-1","count":2}"#).unwrap();
        assert_eq!(reply.to(&[&result]), "R-1 (2) is cancelled, please CANCEL it");
        assert_eq!(reply.to(&[]), "nothing (nothing) is cancelled, please CANCEL it");
        let bye = script.react_to_words("bye bye");
        assert_eq!((bye.say, bye.reply), (vec!["goodbye then.".to_owned()], None));
        assert_eq!(script.react_to_words("what").say, ["you said what!"]);
    }

    #[test]
    fn an_entry_may_ask_for_several_tools_and_speak_meanwhile() {
        let yaml = "dialogue: [{ heard: x, tool: { name: a, reply: '{tool.n}' }, tools: [{ name: b }, { name: b }],
            meanwhile: 'wait, {heard}', reply: 'all: {tool.n} {tool.m}' }]";
        let reaction = Script::from_yaml(yaml).unwrap().react_to_words("x");
        let names: Vec<_> = reaction.tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!((names, reaction.meanwhile.as_deref()), (vec!["a", "b", "b"], Some("wait, x")));
        let [first, second] = [r#"{"n":1}"#, r#"{"n":2,"m":3}"#].map(|json| serde_json::from_str(json).unwrap());
        assert_eq!(reaction.tools[0].reply.as_ref().unwrap().to(&[&second]), "2");
        assert_eq!(reaction.reply.unwrap().to(&[&first, &second]), "all: 1 3");
    }

    #[test]
    fn what_goes_wrong_may_be_certain_or_likely_in_an_entry_or_all_along() {
        let yaml = "
faults: [padding, { fault: 'reset@sent:3', probability: 0 }]
dialogue: [{ heard: x, fault: drop, faults: [{ fault: refuse=throttled, probability: 1 }] }]";
        let script = Script::from_yaml(yaml).unwrap();
        let mut entropy = Entropy::from_seed(1);
        let mut drawn = |risks: &[Risk]| risks.iter().map(|risk| risk.draw(&mut entropy)).collect::<Vec<_>>();
        assert_eq!(drawn(script.risks()), ["padding".parse().ok(), None]);
        let reached = script.react_to_words("x").risks;
        assert_eq!(drawn(&reached), [Fault::in_dialogue("drop").ok(), "refuse=throttled".parse().ok()]);
        assert_eq!(script.react_to_words("y").risks, []);
    }

    #[test]
    fn faults_may_come_one_session_after_the_other() {
        let yaml = "faults_in_turn: [text=idle, none, { fault: drop, probability: 1 }]\nsession_limit: 30s";
        let script = Script::from_yaml(yaml).unwrap();
        let mut entropy = Entropy::from_seed(1);
        let drawn: Vec<_> = (0..4).map(|n| script.risk_of(n)?.draw(&mut entropy)).collect();
        assert_eq!(drawn, ["text=idle".parse().ok(), None, "drop".parse().ok(), None]);
        assert_eq!(script.session_limit(), Some(Duration::from_secs(30)));
        assert!(refused("faults_in_turn: [explode]").starts_with("faults_in_turn: there is no fault \"explode\""));
        let never = "faults_in_turn: [{ fault: none, probability: 1 }]";
        assert!(refused(never).starts_with("faults_in_turn: there is no fault \"none\""));
    }

    #[test]
    fn speech_is_answered_in_order_and_then_as_anything_else() {
        let script = Script::from_yaml(YAML).unwrap();
        assert_eq!(script.speech(0), Some("I need to cancel my reservation"));
        assert_eq!(script.react_to_speech(0).say, ["which one?"]);
        assert_eq!(script.speech(1), None);
        assert_eq!(script.react_to_speech(1).say, ["you said something!"]);
    }

    #[test]
    fn scripts_that_make_no_sense_are_refused_where_they_do_not() {
        assert_eq!(refused("dialogue: [{ reply: hi }]"), "dialogue entry 1: give either `heard` or `speech`");
        let nothing = "dialogue entry 1: give a `reply`, a `tool`, a `fault` or several of them";
        assert_eq!(refused("dialogue: [{ heard: hi }]"), nothing);
        let idle = "dialogue entry 1: `meanwhile` needs a `tool`";
        assert_eq!(refused("dialogue: [{ heard: hi, reply: ho, meanwhile: hm }]"), idle);
        assert_eq!(
            refused("dialogue: [{ heard: hi, reply: '{tool.x}' }]"),
            "dialogue entry 1: nothing fills `{tool.x}`"
        );
        assert_eq!(refused("greeting: 'hello {name}'"), "greeting: nothing fills `{name}`");
        assert_eq!(refused("dialog: []"), "script does not parse");
    }

    #[test]
    fn faults_that_are_none_are_refused_where_they_stand() {
        assert!(refused("faults: [explode]").starts_with("faults: there is no fault \"explode\""));
        let entry =
            |fault: &str| refused(&format!("dialogue: [{{ heard: a, reply: b }}, {{ heard: c, fault: {fault} }}]"));
        assert!(entry("explode").starts_with("dialogue entry 2: there is no fault \"explode\""));
        let early = "dialogue entry 2: \"early-usage\" strikes before the dialogue: give it to the session as a whole";
        assert_eq!(entry("early-usage"), early);
        let likely = "dialogue entry 2: probability 1.5: expected a number from 0 to 1";
        assert_eq!(entry("{ fault: drop, probability: 1.5 }"), likely);
        let Err(ScriptError::Parse(why)) = Script::from_yaml("faults: [{ fault: drop }]") else { panic!("accepted") };
        assert!(why.to_string().contains("expected a fault such as reset, or {"), "{why}");
    }
}
