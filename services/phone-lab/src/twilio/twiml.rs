//! TwiML, read as strictly as Twilio reads it (Twilio docs, "TwiML for Programmable Voice").
//!
//! Pure. What Twilio refuses to parse is an error (12100); what its schema lacks is skipped and noted (12200). Attributes
//! that have no effect on a simulated call are known but not kept.

mod reader;

use std::time::Duration;

use super::{codes, report::Finding};

/// What a document tells Twilio to do, in order.
#[derive(Debug, PartialEq, Eq)]
pub struct Document {
    /// The verbs that can be carried out.
    pub verbs: Vec<Verb>,
    /// What was skipped or mended.
    pub findings: Vec<Finding>,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `<Connect>` with its `<Stream>`.
    Connect(Connect),
    /// `<Say>`, `<Play>` or `<Pause>`.
    Prompt(Prompt),
    /// `<Dial>`.
    Dial(Dial),
    /// `<Gather>`.
    Gather(Gather),
    /// `<Redirect>`.
    Redirect(Request),
    /// `<Hangup>`.
    Hangup,
    /// `<Reject>`; with a busy signal or without.
    Reject {
        /// `reason="busy"`.
        busy: bool,
    },
    /// `<Enqueue>`.
    Enqueue(Enqueue),
    /// `<Leave>`.
    Leave,
}

/// A URL as written in the document, and how to request it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Absolute or relative.
    pub url: String,
    /// `GET` or `POST`.
    pub method: Method,
}

/// How parameters travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// In the query string.
    Get,
    /// As a form.
    #[default]
    Post,
}

impl Method {
    /// As it stands in a request line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// A two-way media stream, and where the call goes when it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Requested when the stream ends; without it the next verb runs.
    pub action: Option<Request>,
    /// The stream.
    pub stream: Stream,
}

/// `<Stream>`, unchecked but for its shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Where to connect.
    pub url: String,
    /// Unique within the call.
    pub name: Option<String>,
    /// The track asked for; unset means `inbound_track`.
    pub track: Option<String>,
    /// Where stream events go.
    pub status_callback: Option<Request>,
    /// `<Parameter>`s, in order.
    pub parameters: Vec<(String, String)>,
}

/// Somebody else to bring into the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Requested when the dialled leg is over; without it the next verb runs.
    pub action: Option<Request>,
    /// On which terms.
    pub terms: DialTerms,
    /// Who is called.
    pub targets: Vec<Leg>,
    /// Whether it is recorded.
    pub recording: Option<DialRecording>,
}

/// How a `<Dial>` is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialRecording {
    /// From when it rings, rather than from the answer.
    pub from_ringing: bool,
    /// One for each side, or both sides in one.
    pub channels: u8,
    /// Who is told.
    pub callback: Option<Request>,
    /// Of which events.
    pub events: Vec<String>,
}

/// On which terms somebody is brought in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialTerms {
    /// How long it rings.
    pub timeout: Duration,
    /// How long the parties may talk.
    pub time_limit: Duration,
    /// Whether a call that was not answered yet is answered only when somebody is connected.
    pub answer_on_bridge: bool,
    /// Whether a star that the caller presses ends it.
    pub hangup_on_star: bool,
    /// Whether one is called after the other, rather than all at once.
    pub sequential: bool,
    /// Who seems to call; the caller unless told.
    pub caller_id: Option<String>,
}

/// Somebody to dial, and who is told how that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Who.
    pub target: Target,
    /// A document that runs on this leg once it was answered, before it is connected.
    pub screen: Option<Request>,
    /// Keys to send once it was answered.
    pub send_digits: String,
    /// Who is told.
    pub status_callback: Option<Request>,
    /// Of which events; of `completed` unless told.
    pub events: Vec<String>,
    /// Whether Twilio finds out who answered.
    pub detection: Option<LegDetection>,
}

/// Finding out who, or what, answers a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegDetection {
    /// `DetectMessageEnd` rather than `Enable`.
    pub message_end: bool,
    /// Who is told.
    pub callback: Option<Request>,
}

/// A queue to wait in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enqueue {
    /// Which.
    pub name: String,
    /// Requested when the call leaves the queue; without it the next verb runs.
    pub action: Option<Request>,
    /// What the caller hears meanwhile, over and over; hold music without it.
    pub wait: Option<Request>,
    /// How many may wait.
    pub most: usize,
}

/// Keys to wait for. What the caller says is not understood: the lab knows `input="dtmf"` only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gather {
    /// Requested with the keys; without it the document's own URL is.
    pub action: Request,
    /// Whether it is requested without keys too, rather than the next verb run.
    pub action_on_empty: bool,
    /// How long to wait for the first key, and for each further one.
    pub timeout: Duration,
    /// How many keys are enough.
    pub num_digits: Option<usize>,
    /// Keys that end it; none, if it is blank.
    pub finish_on_key: String,
    /// What the caller hears meanwhile.
    pub prompts: Vec<Prompt>,
}

/// Something that the caller hears from Twilio itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// `<Say>`.
    Say {
        /// Without markup.
        text: String,
        /// How often.
        times: u32,
    },
    /// `<Play>` of a file.
    Play {
        /// Absolute or relative.
        url: String,
        /// How often.
        times: u32,
    },
    /// `<Play digits>`: keys, `w` for half a second of silence and `W` for a second.
    Keys(String),
    /// `<Pause>`.
    Pause(Duration),
}

/// Who is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A SIP address.
    Sip(String),
    /// A phone number.
    Number(String),
}

impl Target {
    /// The address or number as written.
    pub fn address(&self) -> &str {
        match self {
            Self::Sip(address) | Self::Number(address) => address,
        }
    }
}

/// Whether a number can be dialled: a plus and 2 to 15 digits, the first no zero.
pub fn is_e164(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or_default();
    (2..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether these are keys that can be sent, with `w` and `W` for pauses between them.
pub fn are_keys(keys: &str) -> bool {
    !keys.is_empty() && keys.chars().all(|key| key.is_ascii_digit() || "ABCD#*wW".contains(key))
}

/// Reads a document.
pub fn parse(text: &str) -> Result<Document, Finding> {
    let refuse = |detail: String| Finding::new(codes::PARSE_FAILURE, detail);
    if text.starts_with('\u{feff}') {
        return Err(refuse("a byte order mark stands before the document".into()));
    }
    if !text.starts_with("<?xml") && text.trim_start().starts_with("<?xml") {
        return Err(refuse("white space stands before the XML declaration".into()));
    }
    if text.contains("<!DOCTYPE") {
        return Err(refuse("a DOCTYPE is not allowed".into()));
    }
    let tree = roxmltree::Document::parse(text).map_err(|error| refuse(error.to_string()))?;
    let root = tree.root_element();
    if root.tag_name().name() != "Response" || root.tag_name().namespace().is_some() {
        return Err(refuse(format!("the root is <{}>, not <Response>", root.tag_name().name())));
    }
    Ok(reader::document(root))
}

/// The verbs of a document as they stand in it, each with what it holds: `Connect(Stream)`. None, if it is no XML.
pub fn outline(text: &str) -> Vec<String> {
    let Ok(document) = roxmltree::Document::parse(text) else { return Vec::new() };
    let names = |of: roxmltree::Node<'_, '_>| -> Vec<String> {
        of.children().filter(|node| node.is_element()).map(|node| node.tag_name().name().to_owned()).collect()
    };
    let verbs = document.root_element().children().filter(|node| node.is_element());
    let verbs = verbs.map(|verb| match (verb.tag_name().name(), names(verb)) {
        (name, held) if held.is_empty() => name.to_owned(),
        (name, held) => format!("{name}({})", held.join(", ")),
    });
    verbs.collect()
}

#[cfg(test)]
mod tests;
