//! A session that goes on from the history of another: what was asked, what was said to it, and what is still to say.
//!
//! It is the simulator's own behaviour: a model that has read the history would go on more or less so, and the lab's
//! does it to the word. Pure.

use serde_json::{Deserializer, Map, Value};

use super::{
    super::{
        report::{Remembered, Speaker},
        script::{Reaction, Script},
    },
    Model, say,
};
use crate::bedrock::speaking::Step;

/// A result that is told now: `The tool NAME answered: {...}`.
const ANSWERED: [&str; 2] = ["The tool ", " answered:"];
/// A result in a history: `[Used NAME with {...}: {...}]`.
const USED: [&str; 2] = ["[Used ", " with "];

/// The conversation before this session.
#[derive(Debug, Default)]
pub(super) struct Memory {
    messages: Vec<Remembered>,
    /// Results of tools that the messages tell, in their order.
    results: Vec<ToolTold>,
    /// Something was heard or read since.
    passed: bool,
}

/// A tool's name and its result.
type ToolTold = (String, Map<String, Value>);

impl Memory {
    /// One more message of the history.
    fn remember(&mut self, by: Speaker, text: &str) {
        let (text, told) = tools_told(text);
        self.results.extend(told);
        self.messages.push(Remembered { by, text });
    }

    /// The conversation goes on by itself.
    fn pass(&mut self) {
        self.passed = true;
    }

    /// What is still to be said of an answer that broke off, if this text asks for that; `nothing_left` if that is
    /// nothing. None if it asks for something else, or the history does not end with the beginning of an answer.
    fn rest(&self, script: &Script, text: &str) -> Option<String> {
        let (last, before) = self.messages.split_last().filter(|_| self.is_asked(text))?;
        let said = (last.by == Speaker::Assistant).then(|| bare(&last.text))?;
        let greeting = script.greeting().filter(|_| before.len() <= 1).map(str::to_owned);
        let answers = before.last().into_iter().flat_map(|asked| endings(&asked.text)).map(|asked| {
            let reaction = script.react_to_text(asked);
            let after = reaction.after(&self.results).unwrap_or_default();
            reaction.before().into_iter().chain(after).collect::<Vec<_>>().join(" ")
        });
        let rest = greeting.into_iter().chain(answers).find_map(|whole| after(&whole, &said))?;
        if rest.is_empty() { Some(script.nothing_left().unwrap_or_default().to_owned()) } else { Some(rest) }
    }

    /// What the caller had said last, if this text asks for an answer to it.
    fn unanswered(&self, text: &str) -> Option<&str> {
        let last = self.messages.last().filter(|last| last.by == Speaker::User && self.is_asked(text))?;
        Some(&last.text)
    }

    /// Whether this text asks to go on where the history ends.
    fn is_asked(&self, text: &str) -> bool {
        !self.passed && text.to_lowercase().contains("go on")
    }

    /// What is said to results of tools that this text tells, if an answer in the history waits for them.
    fn said_to_tools(&self, script: &Script, text: &str) -> Option<String> {
        let (_, told) = tools_told(text);
        let (name, _) = told.first()?;
        let asked = self.messages.iter().rev().filter(|message| message.by == Speaker::User);
        let mut reactions = asked.flat_map(|message| endings(&message.text)).map(|asked| script.react_to_text(asked));
        let reaction: Reaction = reactions.find(|reaction| reaction.tools.iter().any(|tool| tool.name == *name))?;
        // What was told before the session counts as well: a turn may have asked for several tools.
        let all = [&told[..], &self.results].concat();
        Some(reaction.after(&all).unwrap_or_default().join(" "))
    }
}

impl Model {
    /// One message of the conversation before this session.
    pub(super) fn remember(&mut self, by: Speaker, text: &str) {
        self.begun = true;
        self.memory.remember(by, text);
        if by == Speaker::User {
            self.speeches += self.settings.script.speeches_in(self.speeches, text);
        }
    }

    /// The caller has said something in this session: it goes on from there.
    pub(super) fn pass_memory(&mut self) {
        self.memory.pass();
    }

    /// What interactive text makes the model do.
    pub(super) fn react_to_text(&mut self, text: &str) -> Vec<Step> {
        let script = &self.settings.script;
        let remembered = self.memory.rest(script, text).or_else(|| self.memory.said_to_tools(script, text));
        if let Some(rest) = remembered {
            return say(&rest);
        }
        let text = self.memory.unanswered(text).unwrap_or(text);
        let reaction = script.react_to_text(text);
        self.speeches += script.speeches_in(self.speeches, text);
        self.react(reaction)
    }
}

/// A text, then what it ends with from each later word on: neighbouring messages of one role come as one.
fn endings(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim();
    let starts = text.match_indices(char::is_whitespace).map(|(at, _)| at + 1);
    std::iter::once(0).chain(starts).map(|at| text[at..].trim_start())
}

/// The words of a text, without case and punctuation.
fn bare(text: &str) -> Vec<String> {
    text.split_whitespace().map(bare_word).filter(|word| !word.is_empty()).collect()
}

fn bare_word(word: &str) -> String {
    word.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect()
}

/// What follows these words in a text that begins with them; none if it does not.
fn after(whole: &str, said: &[String]) -> Option<String> {
    let mut words = whole.split_whitespace().peekable();
    for said in said {
        while words.next_if(|word| bare_word(word).is_empty()).is_some() {}
        words.next_if(|word| bare_word(word) == *said)?;
    }
    Some(words.collect::<Vec<_>>().join(" "))
}

/// The text without the results of tools in it, and these.
fn tools_told(text: &str) -> (String, Vec<ToolTold>) {
    let (mut rest, mut kept, mut told) = (text, String::new(), Vec::new());
    while let Some(at) = [ANSWERED[0], USED[0]].iter().filter_map(|begin| rest.find(begin)).min() {
        let (before, result) = rest.split_at(at);
        kept.push_str(before);
        if let Some((tool, after)) = told_now(result).or_else(|| told_before(result)) {
            told.push(tool);
            rest = after;
        } else {
            let first = result.chars().next().map_or(0, char::len_utf8);
            kept.push_str(&result[..first]);
            rest = &result[first..];
        }
    }
    kept.push_str(rest);
    (kept.trim().to_owned(), told)
}

/// The result that the text begins with, and what follows it.
fn told_now(text: &str) -> Option<(ToolTold, &str)> {
    let (name, rest) = text.strip_prefix(ANSWERED[0])?.split_once(ANSWERED[1])?;
    let (result, rest) = object(rest)?;
    Some(((name.to_owned(), result), rest))
}

fn told_before(text: &str) -> Option<(ToolTold, &str)> {
    let (name, rest) = text.strip_prefix(USED[0])?.split_once(USED[1])?;
    let (_, rest) = object(rest)?;
    let (result, rest) = object(rest.strip_prefix(':')?)?;
    Some(((name.to_owned(), result), rest.strip_prefix(']')?))
}

/// The JSON object that the text begins with, and what follows it.
fn object(text: &str) -> Option<(Map<String, Value>, &str)> {
    let mut json = Deserializer::from_str(text).into_iter();
    let object = json.next()?.ok()?;
    Some((object, &text[json.byte_offset()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "
greeting: 'hello, how can i help you?'
nothing_left: 'that was all.'
dialogue:
  - { heard: story, reply: 'Once upon a time, there was a fox. It ran.' }
  - { heard: time, tool: { name: clock, filler: 'one moment.' }, reply: 'it is {tool.time} now.' }
  - { heard: compare, tools: [{ name: price, reply: 'a is {tool.n}.' }, { name: price, reply: 'b is {tool.n}.' }], reply: 'done.' }
  - { speech: 'I need to cancel', reply: 'which one?' }
";

    fn script() -> Script {
        Script::from_yaml(SCRIPT).unwrap()
    }

    fn memory(messages: &[(Speaker, &str)]) -> Memory {
        let mut memory = Memory::default();
        messages.iter().for_each(|(by, text)| memory.remember(*by, text));
        memory
    }

    /// What is still to be said after this answer to that.
    fn rest(asked: &str, said: &str) -> Option<String> {
        let before = [(Speaker::User, "hi"), (Speaker::Assistant, "hello, how can i help you?")];
        let last = [(Speaker::User, asked), (Speaker::Assistant, said)];
        memory(&[before, last].concat()).rest(&script(), "Please GO ON.")
    }

    #[test]
    fn an_answer_that_broke_off_goes_on_with_the_next_word() {
        assert_eq!(rest("a story please", "once upon a time").unwrap(), "there was a fox. It ran.");
        assert_eq!(rest("a story please", "Once upon a time - there was a fox!").unwrap(), "It ran.");
        assert_eq!(rest("blue", "you").unwrap(), "said blue");
        assert_eq!(rest("i need to cancel", "Which").unwrap(), "one?");
        assert_eq!(rest("a story please", "once there"), None, "that is not how the script begins");
    }

    #[test]
    fn an_answer_to_the_last_of_several_words_of_the_caller_goes_on_as_well() {
        assert_eq!(rest("blue, a story please", "once upon").unwrap(), "a time, there was a fox. It ran.");
        let yes = memory(&[(Speaker::User, "blue red"), (Speaker::Assistant, "you said red")]);
        assert_eq!(yes.rest(&script(), "go on").unwrap(), "that was all.", "the earlier words had no answer");
    }

    #[test]
    fn what_was_said_to_its_end_is_not_said_again() {
        assert_eq!(rest("story", "Once upon a time, there was a fox. It ran.").unwrap(), "that was all.");
        let silent = Script::from_yaml("otherwise: 'you said {heard}'").unwrap();
        let told = memory(&[(Speaker::User, "blue"), (Speaker::Assistant, "you said blue")]);
        assert_eq!(told.rest(&silent, "go on").unwrap(), "");
    }

    #[test]
    fn a_greeting_that_broke_off_goes_on_whatever_stands_before_it() {
        let greeted = memory(&[(Speaker::User, "(the caller is on the line)"), (Speaker::Assistant, "hello how")]);
        assert_eq!(greeted.rest(&script(), "please go on").unwrap(), "can i help you?");
    }

    #[test]
    fn a_history_is_gone_on_from_at_first_only() {
        let unanswered = memory(&[(Speaker::User, "story")]);
        assert_eq!((unanswered.rest(&script(), "go on"), unanswered.unanswered("go on")), (None, Some("story")));
        assert!(memory(&[]).rest(&script(), "go on").is_none());
        let mut told = memory(&[(Speaker::User, "story"), (Speaker::Assistant, "once")]);
        assert!(told.rest(&script(), "and then?").is_none());
        told.pass();
        assert!(told.rest(&script(), "go on").is_none());
    }

    #[test]
    fn the_result_of_a_tool_that_was_asked_for_before_is_answered() {
        let asked = memory(&[(Speaker::User, "what time is it"), (Speaker::Assistant, "one moment.")]);
        let said = asked.said_to_tools(&script(), r#"The tool clock answered: {"time": "noon"}"#);
        assert_eq!(said.unwrap(), "it is noon now.");
        assert_eq!(asked.said_to_tools(&script(), "The tool price answered: {}"), None, "nobody waits for it");
        assert_eq!(asked.said_to_tools(&script(), "what does the tool say"), None);
    }

    #[test]
    fn results_may_come_together_or_be_in_the_history() {
        let results = r#"The tool price answered: {"n": 1} The tool price answered: {"n": 2}"#;
        let asked = [(Speaker::User, "compare"), (Speaker::Assistant, "")];
        assert_eq!(memory(&asked).said_to_tools(&script(), results).unwrap(), "a is 1. b is 2. done.");
        let said = r#"one moment. [Used clock with {"zone": "[utc]"}: {"time": "noon"}] it is"#;
        let begun = memory(&[(Speaker::User, "the time"), (Speaker::Assistant, said)]);
        assert_eq!(begun.rest(&script(), "go on").unwrap(), "noon now.");
    }

    #[test]
    fn what_only_looks_like_a_result_is_text() {
        for text in ["The tool shed answered: no", "[Used it with care]", "[Used clock with {}: no result]"] {
            assert_eq!(tools_told(text), (text.to_owned(), Vec::new()));
        }
    }
}
