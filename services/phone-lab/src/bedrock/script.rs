//! What the simulated model says to what it hears: a YAML file.
//!
//! ```yaml
//! greeting: "hello. how can i help you?"    # answers the first interactive text of a session without history
//! dialogue:
//!   - speech: "I need to cancel my reservation"   # answers sound that is no tone words, and becomes its transcript
//!     reply: "which one?"
//!   - heard: "cancel"                       # answers what contains this, in whatever case
//!     tool: { name: cancelReservation, input: { reservationId: "R-1042" }, filler: "one moment please." }
//!     reply: "your reservation {tool.confirmation} is cancelled."     # said when the result is there
//!   - heard: "bye"
//!     say_first: "goodbye then."
//!     tool: { name: hang_up }
//! otherwise: "you said {heard}"
//! ```
//!
//! The first entry that matches is used. `speech` entries are used in order, each once. `{heard}` is what was heard,
//! `{tool.x}` the field `x` of the tool's result.

use serde::Deserialize;
use serde_json::{Map, Value};

const DEFAULT_OTHERWISE: &str = "you said {heard}";
const TOOL_FIELD: &str = "tool.";

/// A dialogue that is known to make sense.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Script {
    /// What the model says when interactive text opens the conversation.
    greeting: Option<String>,
    dialogue: Vec<Entry>,
    otherwise: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    greeting: Option<String>,
    #[serde(default)]
    dialogue: Vec<Entry>,
    #[serde(default = "default_otherwise")]
    otherwise: String,
}

impl TryFrom<Unchecked> for Script {
    type Error = ScriptError;

    fn try_from(Unchecked { greeting, dialogue, otherwise }: Unchecked) -> Result<Self, ScriptError> {
        let script = Self { greeting, dialogue, otherwise };
        script.check()?;
        Ok(script)
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    heard: Option<String>,
    speech: Option<String>,
    say_first: Option<String>,
    tool: Option<Tool>,
    reply: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool {
    name: String,
    #[serde(default)]
    input: Map<String, Value>,
    filler: Option<String>,
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
    #[error("dialogue entry {0}: give a `reply`, a `tool` or both")]
    NoReaction(usize),
    /// A placeholder that nothing fills.
    #[error("{place}: nothing fills `{{{placeholder}}}`")]
    Placeholder {
        /// Where it stands.
        place: String,
        /// What stands between the braces.
        placeholder: String,
    },
}

/// How the model reacts to something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reaction {
    /// Said at once.
    pub(super) say: Vec<String>,
    /// Asked after that.
    pub(super) tool: Option<ToolPlan>,
}

/// A tool to ask for and what to say when the result is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ToolPlan {
    pub(super) name: String,
    pub(super) input: Map<String, Value>,
    reply: Option<String>,
    heard: String,
}

impl ToolPlan {
    /// What to say to the tool's result, if anything.
    pub(super) fn reply(&self, result: &Map<String, Value>) -> Option<String> {
        self.reply.as_ref().map(|reply| fill(reply, &self.heard, result))
    }
}

impl Default for Script {
    /// Repeats what it heard.
    fn default() -> Self {
        Self { greeting: None, dialogue: Vec::new(), otherwise: default_otherwise() }
    }
}

fn default_otherwise() -> String {
    DEFAULT_OTHERWISE.into()
}

impl Script {
    /// Reads and checks a script.
    pub fn from_yaml(yaml: &str) -> Result<Self, ScriptError> {
        let unchecked: Unchecked = serde_saphyr::from_str(yaml).map_err(|error| ScriptError::Parse(Box::new(error)))?;
        unchecked.try_into()
    }

    /// What to say when the conversation opens with interactive text.
    pub(super) fn greeting(&self) -> Option<&str> {
        self.greeting.as_deref()
    }

    /// The transcript of the `n`th speech (from 0), if the script knows it.
    pub(super) fn speech(&self, n: usize) -> Option<&str> {
        self.dialogue.iter().filter_map(|entry| entry.speech.as_deref()).nth(n)
    }

    /// The reaction to the `n`th speech, or to speech that the script does not know.
    pub(super) fn react_to_speech(&self, n: usize) -> Reaction {
        match self.dialogue.iter().filter(|entry| entry.speech.is_some()).nth(n) {
            Some(entry) => entry.reaction(entry.speech.as_deref().unwrap_or_default()),
            None => self.otherwise("something"),
        }
    }

    /// The reaction to words.
    pub(super) fn react_to_words(&self, heard: &str) -> Reaction {
        let folded = heard.to_lowercase();
        let matches = |entry: &&Entry| entry.heard.as_ref().is_some_and(|part| folded.contains(&part.to_lowercase()));
        self.dialogue.iter().find(matches).map_or_else(|| self.otherwise(heard), |entry| entry.reaction(heard))
    }

    fn otherwise(&self, heard: &str) -> Reaction {
        Reaction { say: vec![fill(&self.otherwise, heard, &Map::new())], tool: None }
    }

    fn check(&self) -> Result<(), ScriptError> {
        check_text("greeting", self.greeting.as_deref(), &[])?;
        check_text("otherwise", Some(&self.otherwise), &["heard"])?;
        for (index, entry) in self.dialogue.iter().enumerate() {
            entry.check(index + 1)?;
        }
        Ok(())
    }
}

impl Entry {
    fn check(&self, number: usize) -> Result<(), ScriptError> {
        if self.heard.is_some() == self.speech.is_some() {
            return Err(ScriptError::Trigger(number));
        }
        if self.reply.is_none() && self.tool.is_none() {
            return Err(ScriptError::NoReaction(number));
        }
        let place = format!("dialogue entry {number}");
        let filler = self.tool.as_ref().and_then(|tool| tool.filler.as_deref());
        check_text(&place, self.say_first.as_deref(), &["heard"])?;
        check_text(&place, filler, &["heard"])?;
        let fills: &[&str] = if self.tool.is_some() { &["heard", TOOL_FIELD] } else { &["heard"] };
        check_text(&place, self.reply.as_deref(), fills)
    }

    fn reaction(&self, heard: &str) -> Reaction {
        let filled = |text: &String| fill(text, heard, &Map::new());
        let mut say: Vec<_> = self.say_first.iter().map(filled).collect();
        let Some(tool) = &self.tool else {
            say.extend(self.reply.iter().map(filled));
            return Reaction { say, tool: None };
        };
        say.extend(tool.filler.iter().map(filled));
        let (name, input, reply) = (tool.name.clone(), tool.input.clone(), self.reply.clone());
        Reaction { say, tool: Some(ToolPlan { name, input, reply, heard: heard.into() }) }
    }
}

/// Fails on a placeholder that is none of these; one that ends in a dot stands for all that start with it.
fn check_text(place: &str, text: Option<&str>, fills: &[&str]) -> Result<(), ScriptError> {
    let known = |name: &str| fills.iter().any(|fill| name == *fill || fill.ends_with('.') && name.starts_with(fill));
    match text.into_iter().flat_map(placeholders).find(|(_, name)| !known(name)) {
        Some((_, placeholder)) => {
            Err(ScriptError::Placeholder { place: place.into(), placeholder: placeholder.into() })
        }
        None => Ok(()),
    }
}

/// The text between the placeholders: what precedes each, and its name.
fn placeholders(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split_inclusive('}').filter_map(|part| part.strip_suffix('}')?.split_once('{'))
}

fn fill(template: &str, heard: &str, result: &Map<String, Value>) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{')
        && let Some((name, after)) = after.split_once('}')
    {
        filled.push_str(before);
        match name.strip_prefix(TOOL_FIELD).map(|field| result.get(field)) {
            None => filled.push_str(heard),
            Some(Some(Value::String(text))) => filled.push_str(text),
            Some(Some(value)) => filled.push_str(&value.to_string()),
            Some(None) => filled.push_str("nothing"),
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
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
        assert_eq!(reaction.say, ["one moment."]);
        let tool = reaction.tool.unwrap();
        assert_eq!((tool.name.as_str(), tool.input["reservationId"].as_str()), ("cancelReservation", Some("R-1042")));
        let result = serde_json::from_str(r#"{"id":"R-1","count":2}"#).unwrap();
        assert_eq!(tool.reply(&result).unwrap(), "R-1 (2) is cancelled, please CANCEL it");
        assert_eq!(tool.reply(&Map::new()).unwrap(), "nothing (nothing) is cancelled, please CANCEL it");
        let bye = script.react_to_words("bye bye");
        assert_eq!(bye.say, ["goodbye then."]);
        assert_eq!(bye.tool.unwrap().reply(&Map::new()), None);
        assert_eq!(script.react_to_words("what").say, ["you said what!"]);
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
        assert_eq!(refused("dialogue: [{ heard: hi }]"), "dialogue entry 1: give a `reply`, a `tool` or both");
        assert_eq!(
            refused("dialogue: [{ heard: hi, reply: '{tool.x}' }]"),
            "dialogue entry 1: nothing fills `{tool.x}`"
        );
        assert_eq!(refused("greeting: 'hello {name}'"), "greeting: nothing fills `{name}`");
        assert_eq!(refused("dialog: []"), "script does not parse");
    }
}
