//! What a call does next, given its document and how the last thing ended.
//!
//! Pure: [`Interpreter::load`] a document, then ask [`Interpreter::next`] for one [`Action`] after the other, telling it
//! each time how the one before ended. A verb with an `action` hands the call to that URL; without one the next verb
//! runs; at the end of the document the call is over.

use std::{collections::VecDeque, time::Duration};

use super::{
    codes,
    report::Finding,
    twiml::{self, Dial, Document, Gather, Leg, Method, Stream, Target, Verb},
    url::Url,
};

/// What the call does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connects a media stream. Ends with [`Ended::Stream`].
    OpenStream {
        /// Where, without a query.
        url: Url,
        /// What `start` carries.
        parameters: Vec<(String, String)>,
        /// What the stream is called, if it is.
        name: Option<String>,
        /// Who is told when it starts, stops and fails.
        status_callback: Option<(Url, Method)>,
    },
    /// Speaks to the caller.
    Say(String),
    /// Leaves the line silent.
    Pause(Duration),
    /// Calls somebody. Ends with [`Ended::Dial`].
    Dial {
        /// Who.
        legs: Vec<DialLeg>,
        /// How long it rings.
        timeout: Duration,
    },
    /// Waits for keys. Ends with [`Ended::Gather`].
    Gather(Gather),
    /// Asks for the next document.
    Request(NextDocument),
    /// The document says that the call is over.
    HangUp,
    /// The call is never answered.
    Reject,
    /// Nothing is left to do, so the call is over.
    EndOfDocument,
    /// The call cannot go on: the fallback URL is next.
    Fail(Finding),
}

/// Somebody to dial, and who is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialLeg {
    /// Who.
    pub target: Target,
    /// Who is told.
    pub status_callback: Option<(Url, Method)>,
    /// Of what.
    pub events: Vec<String>,
}

/// A request for a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextDocument {
    /// Where.
    pub url: Url,
    /// How.
    pub method: Method,
    /// What the verb that ended adds to the call's parameters.
    pub parameters: Vec<(String, String)>,
}

/// How the last action ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing happened yet, or what happened has no result.
    Simply,
    /// The stream is over.
    Stream,
    /// The dialled leg is over.
    Dial(Vec<(String, String)>),
    /// These keys were pressed, if any.
    Gather(String),
}

/// The document that controls a call.
#[derive(Debug)]
pub struct Interpreter {
    /// Where the document came from; one that came by REST has nothing that a relative URL could refer to.
    base: Option<Url>,
    verbs: VecDeque<Verb>,
    first: bool,
    /// What follows the stream or leg that is up.
    action: Option<twiml::Request>,
    /// Whether it follows keys that nobody pressed, too.
    action_on_empty: bool,
    stream_names: Vec<String>,
    findings: Vec<Finding>,
}

impl Interpreter {
    /// A call whose first document comes from `base`; nothing is loaded yet.
    pub fn new(base: Url) -> Self {
        let (verbs, stream_names, findings) = (VecDeque::new(), Vec::new(), Vec::new());
        Self { base: Some(base), verbs, first: true, action: None, action_on_empty: false, stream_names, findings }
    }

    /// The call was answered before its first document: there is nothing left to reject.
    pub fn answered(&mut self) {
        self.first = false;
    }

    /// Gives control to a document that came by REST. A relative URL in it is an error (15004).
    pub fn load_from_rest(&mut self, document: Document) {
        self.enter(document, None);
    }

    /// Gives control to a document that came from `base`.
    pub fn load(&mut self, document: Document, base: Url) {
        self.enter(document, Some(base));
    }

    fn enter(&mut self, document: Document, base: Option<Url>) {
        self.base = base;
        self.verbs = document.verbs.into();
        self.findings.extend(document.findings);
        self.action = None;
    }

    /// What happens next.
    pub fn next(&mut self, ended: Ended) -> Action {
        let parameters = match ended {
            Ended::Simply | Ended::Stream => Vec::new(),
            Ended::Dial(parameters) => parameters,
            Ended::Gather(digits) => {
                if digits.is_empty() && !self.action_on_empty {
                    self.action = None;
                }
                vec![("Digits".to_owned(), digits)]
            }
        };
        if let Some(action) = self.action.take() {
            return self.request(&action, parameters);
        }
        let first = std::mem::take(&mut self.first);
        match self.verbs.pop_front() {
            None => Action::EndOfDocument,
            Some(Verb::Hangup) => Action::HangUp,
            Some(Verb::Reject) if first => Action::Reject,
            // A call that has been answered can only be ended.
            Some(Verb::Reject) => Action::HangUp,
            Some(Verb::Say(text)) => Action::Say(text),
            Some(Verb::Pause(length)) => Action::Pause(length),
            Some(Verb::Gather(gather)) => {
                self.action = Some(gather.action.clone());
                self.action_on_empty = gather.action_on_empty;
                Action::Gather(gather)
            }
            Some(Verb::Redirect(request)) => self.request(&request, Vec::new()),
            Some(Verb::Dial(Dial { action, timeout, targets })) => {
                self.action = action;
                let legs = targets.into_iter().map(|leg| self.leg(leg)).collect();
                Action::Dial { legs, timeout }
            }
            Some(Verb::Connect(connect)) => {
                self.action = connect.action;
                match self.check(connect.stream) {
                    Ok(open) => open,
                    // Whether Twilio goes on after a stream it cannot open is not documented; the lab does.
                    Err(finding) => {
                        self.findings.push(finding);
                        self.next(Ended::Stream)
                    }
                }
            }
        }
    }

    /// What was noted since the last time.
    pub fn take_findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    /// The request that an interrupted verb's `action` gets all the same, if it has one.
    pub fn interrupted(&mut self, parameters: Vec<(String, String)>) -> Option<NextDocument> {
        let action = self.action.take()?;
        let url = self.resolve(&action.url).map_err(|finding| self.findings.push(finding)).ok()?;
        Some(NextDocument { url, method: action.method, parameters })
    }

    fn request(&mut self, request: &twiml::Request, parameters: Vec<(String, String)>) -> Action {
        match self.resolve(&request.url) {
            Ok(url) => Action::Request(NextDocument { url, method: request.method, parameters }),
            Err(finding) => Action::Fail(finding),
        }
    }

    /// A callback that leads nowhere is noted, and the leg dialled without it.
    fn leg(&mut self, Leg { target, status_callback, events }: Leg) -> DialLeg {
        let status_callback = status_callback.and_then(|callback| {
            let url = self.resolve(&callback.url).map_err(|finding| self.findings.push(finding)).ok()?;
            Some((url, callback.method))
        });
        DialLeg { target, status_callback, events }
    }

    fn resolve(&self, reference: &str) -> Result<Url, Finding> {
        let resolved = match &self.base {
            Some(base) => base.join(reference),
            None if reference.contains("://") => Url::parse(reference),
            None => return Err(Finding::new(codes::NO_BASE, format!("{reference:?} is relative, in TwiML by REST"))),
        };
        resolved.map_err(|error| Finding::new(codes::MALFORMED_URL, format!("{reference:?}: {error}")))
    }

    /// Twilio's rules for `<Stream>` under `<Connect>` (Twilio docs, `<Stream>`).
    fn check(&mut self, stream: Stream) -> Result<Action, Finding> {
        if stream.track.as_deref().is_some_and(|track| track != "inbound_track") {
            return Err(Finding::new(codes::STREAM_TRACK, "a two-way stream takes inbound_track only"));
        }
        if stream.url.is_empty() {
            return Err(Finding::new(codes::STREAM_URL, "<Stream> without a url"));
        }
        let resolved = match &self.base {
            Some(base) => base.with_scheme(if base.scheme() == "http" { "ws" } else { "wss" }).join(&stream.url),
            None => Url::parse(&stream.url),
        };
        let url = resolved.map_err(|error| Finding::new(codes::STREAM_URL, format!("{:?}: {error}", stream.url)))?;
        if url.scheme() != "wss" {
            return Err(Finding::new(codes::STREAM_SCHEME, format!("the scheme is {:?}, not wss", url.scheme())));
        }
        if url.query().is_some() {
            let detail = "a stream's url has no query: Twilio connects without it";
            self.findings.push(Finding::new(codes::STREAM_HANDSHAKE, detail));
        }
        let status_callback = stream.status_callback.and_then(|callback| match Url::parse(&callback.url) {
            Ok(url) => Some((url, callback.method)),
            Err(_) => {
                self.findings.push(Finding::new(codes::MALFORMED_URL, "a stream's statusCallback must be absolute"));
                None
            }
        });
        if let Some(name) = &stream.name {
            if self.stream_names.contains(name) {
                return Err(Finding::new(codes::SCHEMA, "the name of a stream must be unique within the call"));
            }
            self.stream_names.push(name.clone());
        }
        let (parameters, name) = (stream.parameters, stream.name);
        Ok(Action::OpenStream { url: url.without_query(), parameters, name, status_callback })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpreter(body: &str) -> Interpreter {
        let base = Url::parse("https://voice.example.test/calls/incoming").unwrap();
        let mut interpreter = Interpreter::new(base.clone());
        interpreter.load(twiml::parse(&format!("<Response>{body}</Response>")).unwrap(), base);
        interpreter
    }

    fn stream(attributes: &str) -> String {
        format!("<Connect><Stream {attributes}/></Connect>")
    }

    fn codes_of(interpreter: &mut Interpreter) -> Vec<u32> {
        interpreter.take_findings().iter().map(|finding| finding.code).collect()
    }

    fn opened(action: &Action) -> String {
        let Action::OpenStream { url, .. } = action else { panic!("{action:?} opens no stream") };
        url.to_string()
    }

    #[test]
    fn verbs_run_top_to_bottom_and_the_end_of_the_document_ends_the_call() {
        let mut call = interpreter("<Say>hello</Say><Pause length=\"2\"/>");
        assert_eq!(call.next(Ended::Simply), Action::Say("hello".into()));
        assert_eq!(call.next(Ended::Simply), Action::Pause(Duration::from_secs(2)));
        assert_eq!(call.next(Ended::Simply), Action::EndOfDocument);
    }

    #[test]
    fn a_stream_that_ends_hands_the_call_to_its_action_and_later_verbs_never_run() {
        let mut call = interpreter("<Connect action=\"/next\"><Stream url=\"/media/1\"/></Connect><Say>never</Say>");
        assert_eq!(opened(&call.next(Ended::Simply)), "wss://voice.example.test/media/1");
        let Action::Request(next) = call.next(Ended::Stream) else { panic!("no request") };
        assert_eq!((next.url.to_string().as_str(), next.method), ("https://voice.example.test/next", Method::Post));
    }

    #[test]
    fn without_an_action_the_next_verb_runs() {
        let mut call = interpreter(&format!("{}{}<Hangup/>", stream("url=\"/a\""), stream("url=\"/b\"")));
        assert_eq!(opened(&call.next(Ended::Simply)), "wss://voice.example.test/a");
        assert_eq!(opened(&call.next(Ended::Stream)), "wss://voice.example.test/b");
        assert_eq!(call.next(Ended::Stream), Action::HangUp);
    }

    #[test]
    fn a_dialled_leg_tells_the_action_how_it_ended() {
        let mut call = interpreter("<Dial action=\"done\" method=\"GET\"><Sip>sip:a@b.test</Sip></Dial>");
        assert!(matches!(call.next(Ended::Simply), Action::Dial { .. }));
        let status = vec![("DialCallStatus".to_owned(), "busy".to_owned())];
        let Action::Request(next) = call.next(Ended::Dial(status.clone())) else { panic!("no request") };
        assert_eq!(next.url.to_string(), "https://voice.example.test/calls/done");
        assert_eq!((next.method, next.parameters), (Method::Get, status));
    }

    #[test]
    fn only_the_first_verb_can_reject() {
        assert_eq!(interpreter("<Reject/>").next(Ended::Simply), Action::Reject);
        let mut call = interpreter("<Say>a</Say><Reject/>");
        call.next(Ended::Simply);
        assert_eq!(call.next(Ended::Simply), Action::HangUp);
    }

    #[test]
    fn a_stream_that_twilio_refuses_is_noted_and_the_call_goes_on() {
        for (attributes, code) in [
            ("url=\"ws://voice.example.test/a\"", codes::STREAM_SCHEME),
            ("url=\"https://voice.example.test/a\"", codes::STREAM_SCHEME),
            ("url=\"wss:///a\"", codes::STREAM_URL),
            ("track=\"inbound_track\"", codes::STREAM_URL),
            ("url=\"/a\" track=\"both_tracks\"", codes::STREAM_TRACK),
        ] {
            let mut call = interpreter(&format!("{}<Hangup/>", stream(attributes)));
            assert_eq!(call.next(Ended::Simply), Action::HangUp, "{attributes}");
            assert_eq!(codes_of(&mut call), [code], "{attributes}");
        }
    }

    #[test]
    fn a_streams_query_is_taken_off_and_noted() {
        let mut call = interpreter(&stream("url=\"wss://voice.example.test/a?token=1\""));
        assert_eq!(opened(&call.next(Ended::Simply)), "wss://voice.example.test/a");
        assert_eq!(codes_of(&mut call), [codes::STREAM_HANDSHAKE]);
    }

    #[test]
    fn a_name_is_unique_and_a_status_callback_absolute() {
        let mut call = interpreter(&stream("url=\"/a\" name=\"x\" statusCallback=\"/s\"").repeat(2));
        opened(&call.next(Ended::Simply));
        assert_eq!(codes_of(&mut call), [codes::MALFORMED_URL]);
        assert_eq!(call.next(Ended::Stream), Action::EndOfDocument);
        assert!(codes_of(&mut call).contains(&codes::SCHEMA));
    }

    #[test]
    fn an_action_that_is_no_url_fails_the_document() {
        let mut call = interpreter("<Redirect>https://a b/</Redirect>");
        let Action::Fail(finding) = call.next(Ended::Simply) else { panic!("no failure") };
        assert_eq!(finding.code, codes::MALFORMED_URL);
    }
}
