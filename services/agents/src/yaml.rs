//! YAML as a tree that knows its places, so that all mistakes of a file can be told at once.
//!
//! Every scalar stays the text it was written as: an unquoted `+15005550006` is no number here. Anchors, aliases and tags
//! are refused, so that a small file cannot stand for a large one.

#![expect(clippy::wildcard_enum_match_arm, reason = "the parser's events are not ours, and there may be more")]

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

/// The agents file has no more than five levels.
const DEEPEST: usize = 16;

/// Where something is in the file, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A value and its place.
#[derive(Clone)]
pub(crate) struct Placed {
    pub(crate) at: At,
    pub(crate) node: Node,
}

#[derive(Clone)]
pub(crate) enum Node {
    /// Nothing was written after the key, or `~` or `null`.
    Nothing,
    Text(String),
    List(Vec<Placed>),
    Map(Vec<Entry>),
}

/// A text and its place.
#[derive(Clone)]
pub(crate) struct Text {
    pub(crate) at: At,
    pub(crate) text: String,
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: Text,
    pub(crate) value: Placed,
}

/// Why a text is no tree.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) at: At,
    pub(crate) problem: String,
}

/// The one document of a text. An empty text is an empty map.
pub(crate) fn parse(text: &str) -> Result<Placed, Broken> {
    let mut events = Events(Parser::new_from_str(text));
    let mut root = None;
    loop {
        let (event, at) = events.next()?;
        match event {
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
            Event::StreamEnd => break,
            event if root.is_none() => root = Some(events.node(event, at, 0)?),
            _ => return Err(Broken { at, problem: "there is a second document: keep the agents in one".to_owned() }),
        }
    }
    Ok(root.unwrap_or(Placed { at: At { line: 1, column: 1 }, node: Node::Map(Vec::new()) }))
}

struct Events<'a>(Parser<'a, StrInput<'a>>);

impl<'a> Events<'a> {
    fn next(&mut self) -> Result<(Event<'a>, At), Broken> {
        loop {
            match self.0.next_event() {
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok((event, span))) => return Ok((event, start(&span))),
                Some(Err(error)) => return Err(no_yaml(&error)),
                None => return Ok((Event::StreamEnd, At { line: 1, column: 1 })),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, at: At, depth: usize) -> Result<Placed, Broken> {
        let broken = |problem: &str| Err(Broken { at, problem: problem.to_owned() });
        if depth > DEEPEST {
            return broken("this is nested too deeply");
        }
        let node = match event {
            Event::Scalar(_, _, anchor, _) | Event::SequenceStart(_, anchor, _) | Event::MappingStart(_, anchor, _)
                if anchor != 0 =>
            {
                return broken("anchors (&name) are not taken: write the value out");
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, _, Some(_))
            | Event::MappingStart(_, _, Some(_)) => {
                return broken("tags (!name) are not taken: leave it out");
            }
            Event::Scalar(text, style, ..) => scalar(&text, style == ScalarStyle::Plain),
            Event::SequenceStart(..) => Node::List(self.list(depth)?),
            Event::MappingStart(..) => Node::Map(self.map(depth)?),
            _ => return broken("aliases (*name) are not taken: write the value out"),
        };
        Ok(Placed { at, node })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Placed>, Broken> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd | Event::StreamEnd, _) => return Ok(items),
                (event, at) => items.push(self.node(event, at, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<Entry>, Broken> {
        let mut entries = Vec::new();
        loop {
            let (event, at) = self.next()?;
            let text = match event {
                Event::MappingEnd | Event::StreamEnd => return Ok(entries),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(Broken { at, problem: "expected a plain name before the colon".to_owned() }),
            };
            let (event, value_at) = self.next()?;
            let value = self.node(event, value_at, depth + 1)?;
            entries.push(Entry { key: Text { at, text }, value });
        }
    }
}

fn scalar(text: &str, plain: bool) -> Node {
    match text {
        "" | "~" | "null" if plain => Node::Nothing,
        text => Node::Text(text.to_owned()),
    }
}

fn start(span: &Span) -> At {
    At { line: span.start.line(), column: span.start.col() + 1 }
}

fn no_yaml(error: &ScanError) -> Broken {
    let at = At { line: error.marker().line(), column: error.marker().col() + 1 };
    Broken { at, problem: "this is no YAML: check the indentation, colons and quotes just before".to_owned() }
}
