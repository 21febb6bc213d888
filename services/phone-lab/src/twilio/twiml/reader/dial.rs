//! `<Dial>`: who can be dialled, and how (Twilio docs, `<Dial>`, `<Number>`, `<Sip>`).

use std::{ops::RangeInclusive, time::Duration};

use roxmltree::Node;

use super::{Reader, text_of};
use crate::twilio::{
    codes, recording,
    report::Finding,
    resource::LONGEST_CALL,
    twiml::{Dial, DialRecording, DialTerms, Leg, LegDetection, Request, Target, Verb, are_keys, is_e164},
};

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
/// Headers of a SIP address that go along without the prefix `x-`.
const SIP_HEADERS: &[&str] = &["user-to-user", "remote-party-id", "p-preferred-identity", "p-called-party-id"];
const DETECTION_RANGES: [(&str, RangeInclusive<u64>); 4] = [
    ("machineDetectionTimeout", 3..=60),
    ("machineDetectionSpeechThreshold", 1000..=6000),
    ("machineDetectionSpeechEndThreshold", 500..=5000),
    ("machineDetectionSilenceTimeout", 2000..=10_000),
];
/// More are not dialled.
const LEGS: usize = 10;

impl Reader {
    pub(super) fn dial(&mut self, node: Node<'_, '_>) -> Verb {
        self.attributes(node, DIAL);
        let mut targets = Vec::new();
        for child in node.children().filter(Node::is_element) {
            self.attributes(child, LEG);
            match child.tag_name().name() {
                "Sip" => targets.push(self.leg(child, Target::Sip(text_of(child)))),
                "Number" => targets.push(self.leg(child, Target::Number(text_of(child)))),
                other => {
                    let detail = format!("<{other}> does not belong in <Dial>, as far as the lab knows");
                    self.findings.push(Finding::new(codes::DIAL_NESTED, detail));
                }
            }
        }
        if !node.children().any(|child| child.is_element()) && !text_of(node).is_empty() {
            targets.push(plain(Target::Number(text_of(node))));
        }
        let caller_id = node.attribute("callerId").map(str::to_owned);
        targets.retain(|leg| self.can_be_dialled(&leg.target, caller_id.as_deref()));
        if targets.len() > LEGS {
            self.findings.push(Finding::new(codes::TOO_MANY_LEGS, "<Dial> calls ten parties at most"));
            targets.truncate(LEGS);
        }
        let longest = LONGEST_CALL.as_secs();
        let time_limit = self.number(node, "timeLimit", 1..=longest, longest, codes::DIAL_TIME_LIMIT);
        let method = self.method_or(node, "method", codes::DIAL_METHOD);
        Verb::Dial(Dial {
            action: node.attribute("action").map(|url| Request { url: url.to_owned(), method }),
            terms: DialTerms {
                timeout: Duration::from_secs(self.number(node, "timeout", 5..=600, 30, codes::DIAL_TIMEOUT)),
                time_limit: Duration::from_secs(time_limit),
                answer_on_bridge: self.flag(node, "answerOnBridge", codes::SCHEMA),
                hangup_on_star: self.flag(node, "hangupOnStar", codes::DIAL_HANGUP_ON_STAR),
                sequential: self.flag(node, "sequential", codes::SCHEMA),
                caller_id,
            },
            targets,
            recording: self.recording(node),
        })
    }

    fn recording(&mut self, node: Node<'_, '_>) -> Option<DialRecording> {
        let callback = self.request(node, "recordingStatusCallback", "recordingStatusCallbackMethod");
        let events = recording::events(node.attribute("recordingStatusCallbackEvent")).unwrap_or_else(|unknown| {
            self.schema::<()>(format!("{unknown:?} is no event of a recording"));
            Vec::new()
        });
        let (from_ringing, channels) = match node.attribute("record").unwrap_or("do-not-record") {
            "do-not-record" | "false" => return None,
            "true" | "record-from-answer" => (false, 1),
            "record-from-ringing" => (true, 1),
            "record-from-answer-dual" => (false, 2),
            "record-from-ringing-dual" => (true, 2),
            other => return self.schema(format!("record={other:?} is no way of recording a <Dial>")),
        };
        Some(DialRecording { from_ringing, channels, callback, events })
    }

    fn leg(&mut self, node: Node<'_, '_>, target: Target) -> Leg {
        let events = node.attribute("statusCallbackEvent").unwrap_or("completed");
        let events: Vec<_> = events.split_whitespace().map(str::to_owned).collect();
        for event in events.iter().filter(|event| !LEG_EVENTS.contains(&event.as_str())) {
            self.schema::<()>(format!("{event:?} is no event of a dialled leg"));
        }
        let (keys_code, method_code) = match target {
            Target::Number(_) => (codes::NUMBER_SEND_DIGITS, codes::NUMBER_METHOD),
            Target::Sip(_) => (codes::SIP_SEND_DIGITS, codes::SIP_METHOD),
        };
        let send_digits = node.attribute("sendDigits").unwrap_or_default();
        if !send_digits.is_empty() && !are_keys(send_digits) {
            self.findings.push(Finding::new(keys_code, "sendDigits are 0 to 9, A to D, #, *, w and W"));
        }
        let method = self.method_or(node, "method", method_code);
        Leg {
            target,
            screen: node.attribute("url").map(|url| Request { url: url.to_owned(), method }),
            send_digits: Some(send_digits).filter(|keys| are_keys(keys)).unwrap_or_default().to_owned(),
            status_callback: self.request(node, "statusCallback", "statusCallbackMethod"),
            events,
            detection: self.detection(node),
        }
    }

    fn detection(&mut self, node: Node<'_, '_>) -> Option<LegDetection> {
        let callback = self.request(node, "amdStatusCallback", "amdStatusCallbackMethod");
        for (name, range) in DETECTION_RANGES {
            // What detection finds is scripted: the figures only have to be right.
            self.number(node, name, range.clone(), *range.start(), codes::SCHEMA);
        }
        match node.attribute("machineDetection")? {
            "Enable" => Some(LegDetection { message_end: false, callback }),
            "DetectMessageEnd" => Some(LegDetection { message_end: true, callback }),
            _ => self.schema("machineDetection is neither Enable nor DetectMessageEnd".into()),
        }
    }

    fn request(&mut self, node: Node<'_, '_>, url: &str, method: &str) -> Option<Request> {
        let method = self.method(node, method);
        node.attribute(url).map(|url| Request { url: url.to_owned(), method })
    }

    fn can_be_dialled(&mut self, target: &Target, caller_id: Option<&str>) -> bool {
        let refused = match target {
            Target::Sip(address) => sip_refused(address).or_else(|| {
                let known = |letter: char| letter.is_ascii_alphanumeric() || "+-_.".contains(letter);
                let fine = caller_id.is_none_or(|id| !id.is_empty() && id.chars().all(known));
                (!fine).then(|| Finding::new(codes::CALLER_ID_CHARACTERS, "callerId has other characters than letters"))
            }),
            Target::Number(number) if !is_e164(number) => {
                Some(Finding::new(codes::NOT_E164, "the text of <Number> is no E.164 number"))
            }
            Target::Number(_) => (!caller_id.is_none_or(is_e164))
                .then(|| Finding::new(codes::BAD_CALLER_ID, "the callerId for a number is no E.164 number")),
        };
        let fine = refused.is_none();
        self.findings.extend(refused);
        fine
    }
}

fn plain(target: Target) -> Leg {
    Leg {
        target,
        screen: None,
        send_digits: String::new(),
        status_callback: None,
        events: vec!["completed".to_owned()],
        detection: None,
    }
}

/// Why a SIP address is not dialled: it is none, or its headers are not such as Twilio sends on.
fn sip_refused(address: &str) -> Option<Finding> {
    let sip = address.starts_with("sip:") || address.starts_with("sips:");
    let (uri, headers) = address.split_once('?').unwrap_or((address, ""));
    if !sip || uri.len() >= 255 || address.contains(char::is_whitespace) {
        return Some(Finding::new(codes::BAD_SIP_ADDRESS, "the text of <Sip> is no SIP address"));
    }
    if headers.len() >= 1024 {
        return Some(Finding::new(codes::SIP_HEADERS_TOO_LONG, "the headers of <Sip> have 1024 characters or more"));
    }
    let names = headers.split('&').filter(|header| !header.is_empty()).map(|header| header.split('=').next());
    let names = names.map(|name| name.unwrap_or_default().to_ascii_lowercase());
    let unknown = names.into_iter().find(|name| !name.starts_with("x-") && !SIP_HEADERS.contains(&name.as_str()))?;
    Some(Finding::new(codes::SIP_HEADER_NAME, format!("the header {unknown:?} of <Sip> does not begin with x-")))
}
