//! Reading a map key by key, and remembering every mistake with its place.

use std::{fmt, str::FromStr};

use crate::{
    values::NotThat,
    yaml::{At, Entry, Node, Placed, Text},
};

/// What is wrong with an agents file; displays every mistake, one a line, in the file's order, and none of its values.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(Vec<Mistake>);

/// One thing that is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line and column, from 1. `None`: the whole file.
    pub at: Option<(usize, usize)>,
    /// The way to it, such as `agents.reception.voice`.
    pub place: String,
    /// What is wrong, or what was expected.
    pub problem: String,
}

impl Mistakes {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, place: impl Into<String>, at: Option<At>, problem: impl Into<String>) {
        let at = at.map(|at| (at.line, at.column));
        self.0.push(Mistake { at, place: place.into(), problem: problem.into() });
    }

    pub(crate) fn in_order(mut self) -> Self {
        self.0.sort_by_key(|mistake| mistake.at);
        self
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the agents file has {} mistake(s):", self.0.len())?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.at {
            write!(f, "line {line}, column {column}: ")?;
        }
        write!(f, "{}: {}", self.place, self.problem)
    }
}

/// The entries of a map; those that nobody takes are mistakes.
pub(crate) struct Fields<'a> {
    path: String,
    at: At,
    left: Vec<&'a Entry>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// `None`, and a mistake, where there is no map.
    pub(crate) fn of(path: impl Into<String>, placed: &'a Placed, found: &mut Mistakes) -> Option<Self> {
        let path = path.into();
        let Node::Map(entries) = &placed.node else {
            let place = if path.is_empty() { "the file" } else { &path };
            found.add(place, Some(placed.at), "expected lines of the form `name: value`, indented alike");
            return None;
        };
        Some(Self { path, at: placed.at, left: entries.iter().collect(), known: Vec::new() })
    }

    /// Where a field is, as it is told to people.
    pub(crate) fn place(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The value, unless there is none. A second one of the same name stays, and so is a mistake.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<&'a Placed> {
        self.known.push(name);
        let found = self.left.iter().position(|entry| entry.key.text == name)?;
        let value = &self.left.remove(found).value;
        (!matches!(value.node, Node::Nothing)).then_some(value)
    }

    pub(crate) fn required(&mut self, name: &'static str, found: &mut Mistakes) -> Option<&'a Placed> {
        let value = self.take(name);
        if value.is_none() {
            found.add(self.place(name), Some(self.at), "required");
        }
        value
    }

    /// A text of one to `most` characters that XML can carry.
    pub(crate) fn text(&mut self, name: &'static str, most: usize, found: &mut Mistakes) -> Option<Text> {
        let value = self.take(name)?;
        self.text_of(name, value, most, found)
    }

    pub(crate) fn required_text(&mut self, name: &'static str, most: usize, found: &mut Mistakes) -> Option<Text> {
        let value = self.required(name, found)?;
        self.text_of(name, value, most, found)
    }

    pub(crate) fn parsed<T: FromStr<Err = NotThat>>(&mut self, name: &'static str, found: &mut Mistakes) -> Option<T> {
        let value = self.take(name)?;
        parse(&self.place(name), value, found)
    }

    /// A list, each with its place. One that is no list is a mistake, a value that is wrong too.
    pub(crate) fn list<T: FromStr<Err = NotThat>>(
        &mut self,
        name: &'static str,
        most: usize,
        found: &mut Mistakes,
    ) -> Vec<(T, At)> {
        let Some(value) = self.take(name) else { return Vec::new() };
        let Node::List(items) = &value.node else {
            found.add(self.place(name), Some(value.at), "expected a list, such as [one, another]");
            return Vec::new();
        };
        if items.len() > most {
            found.add(self.place(name), Some(value.at), format!("there are more than {most}"));
            return Vec::new();
        }
        let place = self.place(name);
        items.iter().filter_map(|item| Some((parse(&place, item, found)?, item.at))).collect()
    }

    /// Tells of every field that was not taken.
    pub(crate) fn finish(self, found: &mut Mistakes) {
        for entry in &self.left {
            let problem = if self.known.contains(&entry.key.text.as_str()) {
                "this is there twice".to_owned()
            } else {
                format!("there is no such setting here; there are {}", self.known.join(", "))
            };
            // A name is shown as long as it can be one: a line that lost its colon may be anything.
            let name: String = entry.key.text.chars().take(40).filter(|c| !c.is_control()).collect();
            found.add(self.place(&name), Some(entry.key.at), problem);
        }
    }

    fn text_of(&self, name: &str, value: &Placed, most: usize, found: &mut Mistakes) -> Option<Text> {
        let Node::Text(text) = &value.node else {
            found.add(self.place(name), Some(value.at), "expected a text");
            return None;
        };
        let text = text.trim();
        let problem = if text.is_empty() {
            "it is empty: write something, or leave the line out".to_owned()
        } else if text.chars().count() > most {
            format!("it is longer than {most} characters")
        } else if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
            "it holds a control character".to_owned()
        } else {
            return Some(Text { at: value.at, text: text.to_owned() });
        };
        found.add(self.place(name), Some(value.at), problem);
        None
    }
}

pub(crate) fn parse<T: FromStr<Err = NotThat>>(place: &str, value: &Placed, found: &mut Mistakes) -> Option<T> {
    let text = match &value.node {
        Node::Text(text) => text.as_str(),
        Node::Nothing | Node::List(_) | Node::Map(_) => "",
    };
    text.parse().map_err(|wrong: NotThat| found.add(place, Some(value.at), wrong.to_string())).ok()
}
