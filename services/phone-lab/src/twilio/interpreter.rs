//! What a call does next, given its document and how the last thing ended.
//!
//! Pure: [`Interpreter::load`] a document, then ask [`Interpreter::next`] for one [`Action`] after the other, telling it
//! each time how the one before ended. A verb with an `action` hands the call to that URL; without one the next verb
//! runs; at the end of the document the call is over.

mod stream;

use std::collections::VecDeque;

use super::{
    codes,
    recording::RecordingOrder,
    report::Finding,
    twiml::{self, Dial, DialRecording, DialTerms, Document, Enqueue, Gather, Leg, Method, Prompt, Target, Verb},
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
    /// Lets the caller hear something. A URL in it is for [`Interpreter::resolve`].
    Prompt(Prompt),
    /// Calls somebody. Ends with [`Ended::With`].
    Dial(DialOrder),
    /// Waits in a queue. Ends with [`Ended::With`].
    Enqueue {
        /// Which.
        name: String,
        /// What the caller hears meanwhile, over and over.
        wait: Option<(Url, Method)>,
        /// How many may wait.
        most: usize,
    },
    /// The queue is left.
    Leave,
    /// Waits for keys. Ends with [`Ended::Gather`].
    Gather(Gather),
    /// Asks for the next document.
    Request(NextDocument),
    /// The document says that the call is over.
    HangUp,
    /// The call is never answered.
    Reject {
        /// With a busy signal.
        busy: bool,
    },
    /// Nothing is left to do, so the call is over.
    EndOfDocument,
    /// The call cannot go on: the fallback URL is next.
    Fail(Finding),
}

/// Whom to dial, and on which terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialOrder {
    /// Who.
    pub legs: Vec<DialLeg>,
    /// On which terms.
    pub terms: DialTerms,
    /// Whether it is recorded.
    pub recording: Option<RecordingOrder>,
}

/// Somebody to dial, and who is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialLeg {
    /// Who.
    pub target: Target,
    /// A document that runs on this leg before it is connected.
    pub screen: Option<(Url, Method)>,
    /// Keys to send once it was answered.
    pub send_digits: String,
    /// Who is told.
    pub status_callback: Option<(Url, Method)>,
    /// Of what.
    pub events: Vec<String>,
    /// Whether Twilio finds out who answered.
    pub detection: Option<LegDetection>,
}

/// Finding out who, or what, answers a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegDetection {
    /// Whether the end of a machine's greeting is waited for.
    pub message_end: bool,
    /// Who is told.
    pub callback: Option<(Url, Method)>,
}

/// Where a document runs, which decides what it may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// In a call.
    #[default]
    Call,
    /// On a leg that was dialled, before it is connected.
    Leg,
    /// In a queue.
    Queue,
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
    /// The dialled leg is over, or the queue was left: what `action` is told of it.
    With(Vec<(String, String)>),
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
    place: Place,
}

impl Interpreter {
    /// A call whose first document comes from `base`; nothing is loaded yet.
    pub fn new(base: Url) -> Self {
        Self {
            base: Some(base),
            verbs: VecDeque::new(),
            first: true,
            action: None,
            action_on_empty: false,
            stream_names: Vec::new(),
            findings: Vec::new(),
            place: Place::Call,
        }
    }

    /// The same for documents that run elsewhere.
    pub fn in_place(self, place: Place) -> Self {
        Self { place, ..self }
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
            Ended::With(parameters) => parameters,
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
        // Not by recursion: a document of 64 kB has thousands of verbs that may all be skipped.
        while let Some(verb) = self.verbs.pop_front() {
            let first = std::mem::take(&mut self.first);
            match self.carry_out(verb, first) {
                Ok(action) => return action,
                Err(finding) => self.findings.push(finding),
            }
            if let Some(action) = self.action.take() {
                return self.request(&action, Vec::new());
            }
        }
        Action::EndOfDocument
    }

    /// What a verb makes the call do, or why it is skipped.
    fn carry_out(&mut self, verb: Verb, first: bool) -> Result<Action, Finding> {
        if let Some(finding) = self.out_of_place(&verb) {
            return Err(finding);
        }
        Ok(match verb {
            Verb::Hangup => Action::HangUp,
            Verb::Reject { busy } if first => Action::Reject { busy },
            // A call that has been answered can only be ended.
            Verb::Reject { .. } => Action::HangUp,
            Verb::Prompt(prompt) => Action::Prompt(prompt),
            Verb::Gather(gather) => {
                self.action = Some(gather.action.clone());
                self.action_on_empty = gather.action_on_empty;
                Action::Gather(gather)
            }
            Verb::Redirect(request) => self.request(&request, Vec::new()),
            Verb::Dial(dial) => self.dial(dial),
            Verb::Enqueue(Enqueue { name, action, wait, most }) => {
                self.action = action;
                Action::Enqueue { name, wait: self.told(wait), most }
            }
            Verb::Leave => Action::Leave,
            Verb::Connect(connect) => {
                self.action = connect.action;
                // Whether Twilio goes on after a stream it cannot open is not documented; the lab does, with `action`.
                return self.check(connect.stream);
            }
        })
    }

    /// Why a verb is skipped where the document runs (Twilio docs, `<Number>`, `url`, and `<Enqueue>`, `waitUrl`).
    fn out_of_place(&self, verb: &Verb) -> Option<Finding> {
        let wrong = |detail: &str| Some(Finding::new(codes::SCHEMA, detail));
        match (self.place, verb) {
            (_, Verb::Prompt(_) | Verb::Gather(_) | Verb::Redirect(_) | Verb::Hangup) => None,
            (Place::Queue, Verb::Leave) | (Place::Call, Verb::Reject { .. }) => None,
            (Place::Call, Verb::Connect(_) | Verb::Dial(_) | Verb::Enqueue(_)) => None,
            (_, Verb::Leave) => wrong("<Leave> outside of a queue"),
            (Place::Leg, Verb::Dial(_)) => {
                Some(Finding::new(codes::NESTED_DIAL, "<Dial> on a leg that was dialled itself"))
            }
            (Place::Leg, Verb::Connect(_) | Verb::Enqueue(_) | Verb::Reject { .. }) => {
                wrong("a leg that is not connected yet can only be spoken to, asked for keys, or hung up")
            }
            (Place::Queue, Verb::Connect(_) | Verb::Dial(_) | Verb::Enqueue(_) | Verb::Reject { .. }) => {
                wrong("who waits in a queue can only be spoken to, asked for keys, or taken out of it")
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

    fn dial(&mut self, dial: Dial) -> Action {
        let Dial { action, terms, targets, recording } = dial;
        self.action = action;
        let legs = targets.into_iter().map(|leg| self.leg(leg)).collect();
        let recording = recording.map(|DialRecording { from_ringing, channels, callback, events }| RecordingOrder {
            from_ringing,
            channels,
            callback: self.told(callback),
            events,
        });
        Action::Dial(DialOrder { legs, terms, recording })
    }

    fn leg(&mut self, Leg { target, screen, send_digits, status_callback, events, detection }: Leg) -> DialLeg {
        let detection = detection.map(|twiml::LegDetection { message_end, callback }| LegDetection {
            message_end,
            callback: self.told(callback),
        });
        let (screen, status_callback) = (self.told(screen), self.told(status_callback));
        DialLeg { target, screen, send_digits, status_callback, events, detection }
    }

    /// A URL besides `action`. One that leads nowhere is noted, and the verb carried out without it.
    fn told(&mut self, request: Option<twiml::Request>) -> Option<(Url, Method)> {
        let request = request?;
        let url = self.resolve(&request.url).map_err(|finding| self.findings.push(finding)).ok()?;
        Some((url, request.method))
    }

    /// A URL of the document, made absolute.
    pub fn resolve(&self, reference: &str) -> Result<Url, Finding> {
        let resolved = match &self.base {
            Some(base) => base.join(reference),
            None if Url::is_absolute(reference) => Url::parse(reference),
            None => return Err(Finding::new(codes::NO_BASE, format!("{reference:?} is relative, in TwiML by REST"))),
        };
        resolved.map_err(|error| Finding::new(codes::MALFORMED_URL, format!("{reference:?}: {error}")))
    }
}

#[cfg(test)]
mod tests;
