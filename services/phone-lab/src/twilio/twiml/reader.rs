//! From elements to verbs: which elements and attributes there are, and what each must look like.

mod dial;
mod prompt;

use std::ops::RangeInclusive;

use roxmltree::Node;

use super::{Connect, Document, Enqueue, Method, Request, Stream, Verb};
use crate::twilio::{codes, report::Finding};

const CONNECT: &[&str] = &["action", "method"];
const ENQUEUE: &[&str] = &["action", "method", "waitUrl", "waitUrlMethod", "workflowSid", "maxQueueSize"];
const STREAM: &[&str] = &["url", "name", "track", "statusCallback", "statusCallbackMethod"];
/// What a `<Response>` says.
pub(super) fn document(root: Node<'_, '_>) -> Document {
    let mut reader = Reader::default();
    reader.attributes(root, &[]);
    reader.no_text(root);
    let verbs = root.children().filter(Node::is_element).filter_map(|node| reader.verb(node)).collect();
    Document { verbs, findings: reader.findings }
}

/// Where a verb stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Document,
    Gather,
}

#[derive(Default)]
struct Reader {
    findings: Vec<Finding>,
}

impl Reader {
    fn verb(&mut self, node: Node<'_, '_>) -> Option<Verb> {
        match node.tag_name().name() {
            "Connect" => self.connect(node),
            "Say" | "Play" | "Pause" => self.prompt(node, Place::Document).map(Verb::Prompt),
            "Dial" => Some(self.dial(node)),
            "Gather" => Some(self.gather(node)),
            "Redirect" => Some(self.redirect(node)),
            "Hangup" => {
                self.attributes(node, &[]);
                Some(Verb::Hangup)
            }
            "Reject" => Some(self.reject(node)),
            "Enqueue" => self.enqueue(node),
            "Leave" => {
                self.attributes(node, &[]);
                Some(Verb::Leave)
            }
            other => self.schema(format!("<{other}> is no verb that the lab carries out")),
        }
    }

    fn redirect(&mut self, node: Node<'_, '_>) -> Verb {
        self.attributes(node, &["method"]);
        let method = self.method_or(node, "method", codes::BAD_REDIRECT_METHOD);
        Verb::Redirect(Request { url: text_of(node), method })
    }

    fn reject(&mut self, node: Node<'_, '_>) -> Verb {
        self.attributes(node, &["reason"]);
        let reason = node.attribute("reason").unwrap_or("rejected");
        if !["rejected", "busy"].contains(&reason) {
            self.schema::<()>("the reason of <Reject> is neither rejected nor busy".into());
        }
        Verb::Reject { busy: reason == "busy" }
    }

    fn enqueue(&mut self, node: Node<'_, '_>) -> Option<Verb> {
        self.attributes(node, ENQUEUE);
        let name = text_of(node);
        if name.is_empty() || name.chars().count() > 64 {
            return self.schema("<Enqueue> needs the name of a queue, of 64 characters at most".into());
        }
        let most = self.number(node, "maxQueueSize", 1..=1000, 1000, codes::SCHEMA) as usize;
        let method = self.method(node, "waitUrlMethod");
        let wait = node.attribute("waitUrl").map(|url| Request { url: url.to_owned(), method });
        Some(Verb::Enqueue(Enqueue { name, action: self.action(node), wait, most }))
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

    fn action(&mut self, node: Node<'_, '_>) -> Option<Request> {
        let method = self.method(node, "method");
        node.attribute("action").map(|url| Request { url: url.to_owned(), method })
    }

    fn method(&mut self, node: Node<'_, '_>, name: &str) -> Method {
        self.method_or(node, name, codes::SCHEMA)
    }

    /// `GET` or `POST`, and POST unless told; what is neither is noted under this code.
    fn method_or(&mut self, node: Node<'_, '_>, name: &str, code: u32) -> Method {
        match node.attribute(name) {
            None | Some("POST") => Method::Post,
            Some("GET") => Method::Get,
            Some(_) => {
                let detail = format!("the {name} of <{}> is neither GET nor POST", node.tag_name().name());
                self.findings.push(Finding::new(code, detail));
                Method::Post
            }
        }
    }

    /// A whole number within a range; what is none is noted under this code.
    fn number(&mut self, node: Node<'_, '_>, name: &str, range: RangeInclusive<u64>, default: u64, code: u32) -> u64 {
        match node.attribute(name).map(str::parse) {
            None => default,
            Some(Ok(number)) if range.contains(&number) => number,
            Some(_) => {
                let (least, most, verb) = (range.start(), range.end(), node.tag_name().name());
                let detail = format!("the {name} of <{verb}> is no number from {least} to {most}");
                self.findings.push(Finding::new(code, detail));
                default
            }
        }
    }

    /// `true` or `false`, and false unless told; what is neither is noted under this code.
    fn flag(&mut self, node: Node<'_, '_>, name: &str, code: u32) -> bool {
        match node.attribute(name) {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                self.findings.push(Finding::new(code, format!("{name} is neither true nor false")));
                false
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
