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
    /// `<Say>`: the text without markup.
    Say(String),
    /// `<Pause>`.
    Pause(Duration),
    /// `<Dial>`.
    Dial(Dial),
    /// `<Gather>`.
    Gather(Gather),
    /// `<Redirect>`.
    Redirect(Request),
    /// `<Hangup>`.
    Hangup,
    /// `<Reject>`.
    Reject,
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
    /// How long it rings.
    pub timeout: Duration,
    /// Who is called, all at once.
    pub targets: Vec<Leg>,
}

/// Somebody to dial, and who is told how that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Who.
    pub target: Target,
    /// Who is told.
    pub status_callback: Option<Request>,
    /// Of which events; of `completed` unless told.
    pub events: Vec<String>,
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

/// What a caller who is to press keys hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// `<Say>`.
    Say(String),
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

#[cfg(test)]
mod tests {
    use proptest::proptest;

    use super::*;

    fn verbs(body: &str) -> Vec<Verb> {
        let document = parse(&format!("<Response>{body}</Response>")).unwrap();
        assert_eq!(document.findings, []);
        document.verbs
    }

    fn findings(body: &str) -> Vec<u32> {
        let document = parse(&format!("<Response>{body}</Response>")).unwrap();
        document.findings.iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn a_stream_is_read_with_its_parameters_and_action() {
        let body = r#"
            <!-- hello -->
            <Connect action="/stream-ended">
              <Stream url="wss://voice.example.test/m/1"><Parameter name="a" value="1 &amp; 2"/></Stream>
            </Connect>
            <Hangup/>"#;
        let stream = Stream {
            url: "wss://voice.example.test/m/1".into(),
            parameters: vec![("a".into(), "1 & 2".into())],
            ..Stream::default()
        };
        let action = Some(Request { url: "/stream-ended".into(), method: Method::Post });
        assert_eq!(verbs(body), [Verb::Connect(Connect { action, stream }), Verb::Hangup]);
    }

    #[test]
    fn the_other_verbs_are_read() {
        let body = r#"<Say voice="Polly.Amy">One <break time="1s"/>moment</Say><Pause length="3"/>
            <Dial timeout="20"><Sip>sip:agent@pbx.example.test?X-A=b&amp;X-C=d</Sip><Number>+15550100</Number></Dial>
            <Redirect method="GET">/next</Redirect><Reject reason="busy"/>"#;
        let leg = |target| Leg { target, status_callback: None, events: vec!["completed".into()] };
        let targets = vec![
            leg(Target::Sip("sip:agent@pbx.example.test?X-A=b&X-C=d".into())),
            leg(Target::Number("+15550100".into())),
        ];
        let expected = [
            Verb::Say("One moment".into()),
            Verb::Pause(Duration::from_secs(3)),
            Verb::Dial(Dial { action: None, timeout: Duration::from_secs(20), targets }),
            Verb::Redirect(Request { url: "/next".into(), method: Method::Get }),
            Verb::Reject,
        ];
        assert_eq!(verbs(body), expected);
    }

    #[test]
    fn what_twilio_cannot_parse_is_refused() {
        for text in [
            "",
            "\n<?xml version=\"1.0\"?><Response/>",
            "\u{feff}<Response/>",
            "<!DOCTYPE Response><Response/>",
            "<?xml version=\"1.0\"?><?xml version=\"1.0\"?><Response/>",
            "<response/>",
            "<Response><Say>a & b</Say></Response>",
            "<Response>",
        ] {
            assert_eq!(parse(text).unwrap_err().code, codes::PARSE_FAILURE, "{text:?}");
        }
        assert!(parse("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response/>").is_ok());
    }

    proptest! {
        #[test]
        fn nothing_an_edge_answers_can_panic(body in r#"(<|>|/|=|"|&|</?(Connect|Stream|Say|Dial|Sip|Pause)>| |.)*"#) {
            let _ = parse(&format!("<Response>{body}</Response>"));
            let _ = parse(&body);
        }
    }

    #[test]
    fn what_the_schema_lacks_is_skipped_and_noted() {
        assert_eq!(findings("<say>hello</say>"), [codes::SCHEMA]);
        assert_eq!(findings("<Hangup now=\"yes\"/>"), [codes::SCHEMA]);
        assert_eq!(findings("text"), [codes::SCHEMA]);
        assert_eq!(findings("<Connect/>"), [codes::SCHEMA]);
        assert_eq!(findings("<Connect><Stream url=\"/a\"><Parameter name=\"a\"/></Stream></Connect>"), [codes::SCHEMA]);
        let long = format!(
            "<Connect><Stream url=\"/a\"><Parameter name=\"a\" value=\"{}\"/></Stream></Connect>",
            "x".repeat(499)
        );
        assert_eq!(findings(&long), [codes::SCHEMA]);
        assert_eq!(findings("<Say/>"), [codes::EMPTY_SAY]);
        assert_eq!(findings("<Pause length=\"0\"/>"), [codes::BAD_PAUSE]);
        assert_eq!(findings("<Dial><Sip>agent</Sip></Dial>"), [codes::BAD_SIP_ADDRESS]);
        assert_eq!(findings("<Dial>5550100</Dial>"), [codes::NOT_E164]);
        assert_eq!(findings("<Dial timeout=\"2\">+15550100</Dial>"), [codes::SCHEMA]);
        assert_eq!(findings("<Gather><Dial>+15550100</Dial></Gather>"), [codes::SCHEMA]);
        for wrong in ["input=\"speech\"", "timeout=\"x\"", "numDigits=\"0\"", "finishOnKey=\"12\"", "digits=\"1\""] {
            assert_eq!(findings(&format!("<Gather {wrong}/>")), [codes::SCHEMA], "{wrong}");
        }
        let event = "<Dial><Number statusCallback=\"/leg\" statusCallbackEvent=\"rang\">+15550100</Number></Dial>";
        assert_eq!(findings(event), [codes::SCHEMA]);
    }
}
