//! From elements to verbs: which elements and attributes there are, and what each must look like.

use std::time::Duration;

use roxmltree::Node;

use super::{Connect, Dial, Document, Gather, Leg, Method, Prompt, Request, Stream, Target, Verb, is_e164};
use crate::twilio::{codes, report::Finding};

const CONNECT: &[&str] = &["action", "method"];
const STREAM: &[&str] = &["url", "name", "track", "statusCallback", "statusCallbackMethod"];
const DIAL: &[&str] = &[
    "action",
    "method",
    "answerOnBridge",
    "callerId",
    "timeout",
    "timeLimit",
    "hangupOnStar",
    "record",
    "recordingStatusCallback",
    "recordingStatusCallbackMethod",
    "recordingStatusCallbackEvent",
    "recordingTrack",
    "trim",
    "referUrl",
    "referMethod",
    "ringTone",
    "sequential",
    "callReason",
    "recordingConfigurationId",
];
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
const LEG: &[&str] = &[
    "url",
    "method",
    "statusCallback",
    "statusCallbackMethod",
    "statusCallbackEvent",
    "machineDetection",
    "machineDetectionTimeout",
    "machineDetectionSpeechThreshold",
    "machineDetectionSpeechEndThreshold",
    "machineDetectionSilenceTimeout",
    "amdStatusCallback",
    "amdStatusCallbackMethod",
    "username",
    "password",
    "sendDigits",
    "byoc",
];
const LEG_EVENTS: &[&str] = &["initiated", "ringing", "answered", "completed"];
const SSML: &[&str] = &["break", "emphasis", "lang", "p", "phoneme", "prosody", "s", "say-as", "sub", "w"];

/// What a `<Response>` says.
pub(super) fn document(root: Node<'_, '_>) -> Document {
    let mut reader = Reader::default();
    reader.attributes(root, &[]);
    reader.no_text(root);
    let verbs = root.children().filter(Node::is_element).filter_map(|node| reader.verb(node)).collect();
    Document { verbs, findings: reader.findings }
}

#[derive(Default)]
struct Reader {
    findings: Vec<Finding>,
}

impl Reader {
    fn verb(&mut self, node: Node<'_, '_>) -> Option<Verb> {
        match node.tag_name().name() {
            "Connect" => self.connect(node),
            "Say" => self.say(node).map(Verb::Say),
            "Pause" => Some(Verb::Pause(self.pause(node))),
            "Dial" => Some(self.dial(node)),
            "Gather" => Some(self.gather(node)),
            "Redirect" => {
                self.attributes(node, &["method"]);
                Some(Verb::Redirect(Request { url: text_of(node), method: self.method(node, "method") }))
            }
            "Hangup" => {
                self.attributes(node, &[]);
                Some(Verb::Hangup)
            }
            "Reject" => {
                self.attributes(node, &["reason"]);
                Some(Verb::Reject)
            }
            other => self.schema(format!("<{other}> is no verb that the lab carries out")),
        }
    }

    fn connect(&mut self, node: Node<'_, '_>) -> Option<Verb> {
        self.attributes(node, CONNECT);
        self.no_text(node);
        let mut stream = None;
        for child in node.children().filter(Node::is_element) {
            match child.tag_name().name() {
                "Stream" if stream.is_none() => stream = Some(self.stream(child)),
                other => {
                    self.schema::<()>(format!("<{other}> does not belong in <Connect> here"));
                }
            }
        }
        match stream {
            Some(stream) => Some(Verb::Connect(Connect { action: self.action(node), stream })),
            None => self.schema("<Connect> without <Stream>".into()),
        }
    }

    fn stream(&mut self, node: Node<'_, '_>) -> Stream {
        self.attributes(node, STREAM);
        self.no_text(node);
        let attribute = |name| node.attribute(name).map(str::to_owned);
        let mut parameters = Vec::new();
        for child in node.children().filter(Node::is_element) {
            self.attributes(child, &["name", "value"]);
            match (child.tag_name().name(), child.attribute("name"), child.attribute("value")) {
                ("Parameter", Some(name), Some(value)) if name.chars().count() + value.chars().count() < 500 => {
                    parameters.push((name.to_owned(), value.to_owned()));
                }
                ("Parameter", Some(name), Some(_)) => {
                    self.schema::<()>(format!("<Parameter name=\"{name}\"> has 500 characters or more"));
                }
                ("Parameter", ..) => {
                    self.schema::<()>("<Parameter> needs a name and a value".into());
                }
                (other, ..) => {
                    self.schema::<()>(format!("<{other}> does not belong in <Stream>"));
                }
            }
        }
        let method = self.method(node, "statusCallbackMethod");
        Stream {
            url: attribute("url").unwrap_or_default(),
            name: attribute("name"),
            track: attribute("track"),
            status_callback: attribute("statusCallback").map(|url| Request { url, method }),
            parameters,
        }
    }

    fn say(&mut self, node: Node<'_, '_>) -> Option<String> {
        self.attributes(node, &["voice", "language", "loop"]);
        for child in node.descendants().filter(|child| child.is_element() && *child != node) {
            if !SSML.contains(&child.tag_name().name()) {
                self.schema::<()>(format!("<{}> does not belong in <Say>", child.tag_name().name()));
            }
        }
        let text = text_of(node);
        if text.is_empty() {
            self.findings.push(Finding::new(codes::EMPTY_SAY, "<Say> without text"));
            return None;
        }
        Some(text)
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

    fn gather(&mut self, node: Node<'_, '_>) -> Verb {
        self.attributes(node, GATHER);
        self.no_text(node);
        if node.attribute("input").is_some_and(|input| input != "dtmf") {
            self.schema::<()>("the lab understands keys only: <Gather input=\"dtmf\">".into());
        }
        let mut number = |name: &str, least: u64, default: Option<u64>| match node.attribute(name).map(str::parse) {
            None => default,
            Some(Ok(number)) if number >= least => Some(number),
            Some(_) => {
                self.schema::<()>(format!("the {name} of <Gather> is no number of {least} or more"));
                default
            }
        };
        let timeout = Duration::from_secs(number("timeout", 0, Some(5)).unwrap_or(5));
        let num_digits = number("numDigits", 1, None).and_then(|number| usize::try_from(number).ok());
        let finish_on_key = node.attribute("finishOnKey").unwrap_or("#").to_owned();
        if finish_on_key.len() > 1 || !finish_on_key.chars().all(|key| key.is_ascii_digit() || "#*".contains(key)) {
            self.schema::<()>("the finishOnKey of <Gather> is no key".into());
        }
        let mut prompts = Vec::new();
        for child in node.children().filter(Node::is_element) {
            prompts.extend(self.prompt(child));
        }
        let method = self.method(node, "method");
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

    fn prompt(&mut self, node: Node<'_, '_>) -> Option<Prompt> {
        match node.tag_name().name() {
            "Say" => self.say(node).map(Prompt::Say),
            "Pause" => Some(Prompt::Pause(self.pause(node))),
            other => self.schema(format!("<{other}> does not belong in <Gather>, as far as the lab knows")),
        }
    }

    fn dial(&mut self, node: Node<'_, '_>) -> Verb {
        self.attributes(node, DIAL);
        let timeout = match node.attribute("timeout").map(str::parse::<u64>) {
            None => 30,
            Some(Ok(seconds @ 5..=600)) => seconds,
            Some(_) => {
                self.schema::<()>("the timeout of <Dial> is not 5 to 600 seconds".into());
                30
            }
        };
        let mut targets = Vec::new();
        for child in node.children().filter(Node::is_element) {
            self.attributes(child, LEG);
            match child.tag_name().name() {
                "Sip" => targets.push(self.leg(child, Target::Sip(text_of(child)))),
                "Number" => targets.push(self.leg(child, Target::Number(text_of(child)))),
                other => {
                    self.schema::<()>(format!("<{other}> does not belong in <Dial>, as far as the lab knows"));
                }
            }
        }
        if targets.is_empty() && !text_of(node).is_empty() {
            let events = vec!["completed".to_owned()];
            targets.push(Leg { target: Target::Number(text_of(node)), status_callback: None, events });
        }
        targets.retain(|leg| self.can_be_dialled(&leg.target));
        Verb::Dial(Dial { action: self.action(node), timeout: Duration::from_secs(timeout), targets })
    }

    fn leg(&mut self, node: Node<'_, '_>, target: Target) -> Leg {
        let method = self.method(node, "statusCallbackMethod");
        let status_callback = node.attribute("statusCallback").map(|url| Request { url: url.to_owned(), method });
        let events = node.attribute("statusCallbackEvent").unwrap_or("completed");
        let events: Vec<_> = events.split_whitespace().map(str::to_owned).collect();
        for event in events.iter().filter(|event| !LEG_EVENTS.contains(&event.as_str())) {
            self.schema::<()>(format!("{event:?} is no event of a dialled leg"));
        }
        Leg { target, status_callback, events }
    }

    fn can_be_dialled(&mut self, target: &Target) -> bool {
        let refused = match target {
            Target::Sip(address) => {
                let sip = address.starts_with("sip:") || address.starts_with("sips:");
                let length = address.split('?').next().unwrap_or_default().len();
                (!sip || length >= 255 || address.contains(char::is_whitespace))
                    .then(|| Finding::new(codes::BAD_SIP_ADDRESS, "the text of <Sip> is no SIP address"))
            }
            Target::Number(number) => {
                (!is_e164(number)).then(|| Finding::new(codes::NOT_E164, "the text of <Number> is no E.164 number"))
            }
        };
        let fine = refused.is_none();
        self.findings.extend(refused);
        fine
    }

    fn action(&mut self, node: Node<'_, '_>) -> Option<Request> {
        let method = self.method(node, "method");
        node.attribute("action").map(|url| Request { url: url.to_owned(), method })
    }

    fn method(&mut self, node: Node<'_, '_>, name: &str) -> Method {
        match node.attribute(name) {
            None | Some("POST") => Method::Post,
            Some("GET") => Method::Get,
            Some(_) => {
                self.schema::<()>(format!("{name} is neither GET nor POST"));
                Method::Post
            }
        }
    }

    fn attributes(&mut self, node: Node<'_, '_>, known: &[&str]) {
        for attribute in node.attributes().filter(|attribute| !known.contains(&attribute.name())) {
            self.schema::<()>(format!("<{}> has no attribute {:?}", node.tag_name().name(), attribute.name()));
        }
    }

    fn no_text(&mut self, node: Node<'_, '_>) {
        let text = node.children().filter(Node::is_text).filter_map(|text| text.text());
        if text.into_iter().any(|text| !text.trim().is_empty()) {
            self.schema::<()>(format!("<{}> holds text", node.tag_name().name()));
        }
    }

    fn schema<T>(&mut self, detail: String) -> Option<T> {
        self.findings.push(Finding::new(codes::SCHEMA, detail));
        None
    }
}

/// All text below an element, white space folded.
fn text_of(node: Node<'_, '_>) -> String {
    let text: String = node.descendants().filter(Node::is_text).filter_map(|text| text.text()).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
