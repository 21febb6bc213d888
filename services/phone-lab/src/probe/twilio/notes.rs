//! What was seen in a call, question by question.

use std::fmt;

use serde::Serialize;

/// What is answered for longer than this is no call: anybody may find a public address, and ask on and on.
const LONGEST: usize = 4096;

/// An answer to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What is asked.
    pub question: String,
    /// What was seen.
    pub answer: String,
    /// Whether the answer is a measurement, which is never the same twice.
    pub measured: bool,
}

/// All that was seen in one call, in order.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Notes(Vec<Note>);

impl Notes {
    /// Adds an answer. A question that was answered before gets one more answer, after a comma.
    pub(super) fn note(&mut self, question: impl Into<String>, answer: impl Into<String>) {
        self.add(question.into(), answer.into(), false);
    }

    /// Adds a measurement.
    pub(super) fn measure(&mut self, question: impl Into<String>, answer: impl Into<String>) {
        self.add(question.into(), answer.into(), true);
    }

    fn add(&mut self, question: String, answer: String, measured: bool) {
        match self.0.iter_mut().find(|note| note.question == question) {
            Some(note) if note.answer.len() > LONGEST => {}
            Some(note) => note.answer = format!("{}, {answer}", note.answer),
            None => self.0.push(Note { question, answer, measured }),
        }
    }

    /// What was answered to a question.
    pub fn answer(&self, question: &str) -> Option<&str> {
        self.0.iter().find(|note| note.question == question).map(|note| note.answer.as_str())
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A question with what the simulator and the service answer.
#[derive(Clone, Debug, Serialize)]
struct Compared {
    question: String,
    simulator: Option<String>,
    service: Option<String>,
    /// Measurements always do.
    agrees: bool,
}

/// Two calls, question by question.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison(Vec<Compared>);

impl Comparison {
    /// Compares what was seen.
    pub fn new(simulator: &Notes, service: &Notes) -> Self {
        let asked =
            simulator.0.iter().chain(service.0.iter().filter(|note| simulator.answer(&note.question).is_none()));
        let compared = asked.map(|Note { question, measured, .. }| {
            let answer = |notes: &Notes| notes.answer(question).map(str::to_owned);
            let (simulator, service) = (answer(simulator), answer(service));
            let agrees = *measured || simulator == service;
            Compared { question: question.clone(), simulator, service, agrees }
        });
        Self(compared.collect())
    }

    /// Whether nothing differs.
    pub fn agrees(&self) -> bool {
        self.0.iter().all(|compared| compared.agrees)
    }

    /// The questions whose answers differ.
    pub fn differing(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|compared| !compared.agrees).map(|compared| compared.question.as_str())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Compared { question, simulator, service, agrees } in &self.0 {
            let said = |answer: &Option<String>| answer.clone().unwrap_or_else(|| "not seen".to_owned());
            if simulator == service {
                writeln!(f, "{question}: {}", said(service))?;
            } else {
                writeln!(f, "{question}{}", if *agrees { "" } else { ": DIFFERS" })?;
                writeln!(f, "    simulator: {}", said(simulator))?;
                writeln!(f, "    service:   {}", said(service))?;
            }
        }
        writeln!(f, "{} questions, {} answers differ", self.0.len(), self.differing().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_answers_follow_a_comma_until_it_is_no_call_any_more() {
        let mut notes = Notes::default();
        notes.note("how often", "once");
        notes.note("how often", "twice");
        assert_eq!(notes.answer("how often"), Some("once, twice"));
        for _ in 0..100 {
            notes.note("how often", "m".repeat(1000));
        }
        assert!(notes.answer("how often").unwrap().len() < LONGEST + 1100);
    }
}
