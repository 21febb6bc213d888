//! What the caller hears from Twilio itself, and the keys that are waited for meanwhile.

use std::time::Duration;

use roxmltree::Node;

use super::{Place, Reader, text_of};
use crate::twilio::{
    codes,
    report::Finding,
    twiml::{Gather, Prompt, Request, Verb, are_keys},
};

const GATHER: &[&str] = &[
    "input",
    "action",
    "method",
    "timeout",
    "numDigits",
    "finishOnKey",
    "actionOnEmptyResult",
    "language",
    "speechTimeout",
    "maxSpeechTime",
    "hints",
    "partialResultCallback",
    "partialResultCallbackMethod",
    "bargeIn",
    "profanityFilter",
    "speechModel",
    "enhanced",
];
const SSML: &[&str] = &["break", "emphasis", "lang", "p", "phoneme", "prosody", "s", "say-as", "sub", "w"];

/// Longer texts are not said.
const SAY_LIMIT: usize = 4096;
/// Endless repetition ends here (Twilio docs, `<Play>`, `loop`).
const ENDLESS: u32 = 1000;

impl Reader {
    pub(super) fn prompt(&mut self, node: Node<'_, '_>, place: Place) -> Option<Prompt> {
        match node.tag_name().name() {
            "Say" => self.say(node, place),
            "Play" => self.play(node),
            "Pause" => Some(Prompt::Pause(self.pause(node))),
            other => {
                let detail = format!("<{other}> does not belong in <Gather>");
                self.findings.push(Finding::new(codes::GATHER_NESTED, detail));
                None
            }
        }
    }

    fn say(&mut self, node: Node<'_, '_>, place: Place) -> Option<Prompt> {
        self.attributes(node, &["voice", "language", "loop"]);
        for child in node.descendants().filter(|child| child.is_element() && *child != node) {
            if !SSML.contains(&child.tag_name().name()) {
                self.schema::<()>(format!("<{}> does not belong in <Say>", child.tag_name().name()));
            }
        }
        let text = text_of(node);
        let refused = match text.chars().count() {
            0 => Some(Finding::new(codes::EMPTY_SAY, "<Say> without text")),
            1..=SAY_LIMIT => None,
            _ => Some(Finding::new(codes::SAY_TOO_LONG, "<Say> of more than 4096 characters")),
        };
        if refused.is_some() {
            self.findings.extend(refused);
            return None;
        }
        let code = if place == Place::Gather { codes::GATHER_SAY_LOOP } else { codes::BAD_SAY_LOOP };
        Some(Prompt::Say { text, times: self.times(node, code) })
    }

    fn play(&mut self, node: Node<'_, '_>) -> Option<Prompt> {
        self.attributes(node, &["loop", "digits"]);
        let times = self.times(node, codes::BAD_PLAY_LOOP);
        match (node.attribute("digits"), text_of(node)) {
            (Some(keys), _) if are_keys(keys) => Some(Prompt::Keys(keys.to_owned())),
            (Some(_), _) => self.schema("the digits of <Play> are 0 to 9, A to D, #, *, w and W".into()),
            (None, url) if url.is_empty() => self.schema("<Play> without a URL or digits".into()),
            (None, url) => Some(Prompt::Play { url, times }),
        }
    }

    /// How often; once unless told.
    fn times(&mut self, node: Node<'_, '_>, code: u32) -> u32 {
        match node.attribute("loop").map(str::parse) {
            None => 1,
            Some(Ok(0)) => ENDLESS,
            Some(Ok(times)) => ENDLESS.min(times),
            Some(Err(_)) => {
                self.findings.push(Finding::new(code, "the loop is no whole number"));
                1
            }
        }
    }

    fn pause(&mut self, node: Node<'_, '_>) -> Duration {
        self.attributes(node, &["length"]);
        let length = match node.attribute("length").map(str::parse::<u32>) {
            None => 1,
            Some(Ok(length)) if length > 0 => length,
            Some(_) => {
                self.findings.push(Finding::new(codes::BAD_PAUSE, "the length of <Pause> is no positive number"));
                1
            }
        };
        Duration::from_secs(length.into())
    }

    pub(super) fn gather(&mut self, node: Node<'_, '_>) -> Verb {
        self.attributes(node, GATHER);
        self.no_text(node);
        if node.attribute("input").is_some_and(|input| input != "dtmf") {
            let detail = "the lab understands keys only: <Gather input=\"dtmf\">";
            self.findings.push(Finding::new(codes::GATHER_INPUT, detail));
        }
        let timeout = Duration::from_secs(self.number(node, "timeout", 0..=3600, 5, codes::GATHER_TIMEOUT));
        let num_digits = node
            .attribute("numDigits")
            .is_some()
            .then(|| self.number(node, "numDigits", 1..=1000, 1000, codes::GATHER_NUM_DIGITS));
        let num_digits = num_digits.and_then(|number| usize::try_from(number).ok());
        let finish_on_key = node.attribute("finishOnKey").unwrap_or("#").to_owned();
        if finish_on_key.len() > 1 || !finish_on_key.chars().all(|key| key.is_ascii_digit() || "#*".contains(key)) {
            let detail = "the finishOnKey of <Gather> is no single key";
            self.findings.push(Finding::new(codes::GATHER_FINISH_ON_KEY, detail));
        }
        let mut prompts = Vec::new();
        for child in node.children().filter(Node::is_element) {
            prompts.extend(self.prompt(child, Place::Gather));
        }
        let method = self.method_or(node, "method", codes::GATHER_METHOD);
        let url = node.attribute("action").unwrap_or_default().to_owned();
        let action_on_empty = node.attribute("actionOnEmptyResult") == Some("true");
        Verb::Gather(Gather {
            action: Request { url, method },
            action_on_empty,
            timeout,
            num_digits,
            finish_on_key,
            prompts,
        })
    }
}
