//! One call, from the number that was dialled to the end: documents are asked for, and what they say is done.

use std::{sync::Arc, time::Duration};

use offhook_hosting::{clock::Clock, entropy::Entropy};
use tokio::sync::mpsc;

use super::{
    CallOptions, Human, Settings,
    caller::Caller,
    codes,
    interpreter::{Action, Ended, Interpreter, NextDocument},
    media::Outgoing,
    phone::{Left, Phone},
    report::{CallEnd, CallEvent, CallReport, Finding, Happening},
    script::CallerScript,
    sid::{CallSid, StreamSid},
    stream::{self, Faults, Upgrade},
    twiml::{self, Document, Target, Verb},
    url::Url,
    webhook::Client,
};
use crate::tones;

/// What Twilio tells a caller whose call it cannot go on with.
const APPLICATION_ERROR: &str = "we are sorry, an application error has occurred. goodbye.";
/// A call that asks for more documents than this goes round in circles.
const DOCUMENTS: usize = 100;
/// How long a human stays silent before hanging up.
const FAREWELL: Duration = Duration::from_millis(200);

/// A call that is being played.
pub(super) struct Call {
    settings: Arc<Settings>,
    options: CallOptions,
    entropy: Entropy,
    call_sid: CallSid,
    from: String,
    to: String,
    phone: Phone,
    client: Client,
    interpreter: Interpreter,
    answered: bool,
    falling_back: bool,
    documents: usize,
    faults: Faults,
}

impl Call {
    pub(super) fn new(
        settings: Arc<Settings>,
        clock: Clock,
        mut entropy: Entropy,
        script: CallerScript,
        mut options: CallOptions,
        watcher: Option<mpsc::Sender<CallEvent>>,
    ) -> Self {
        let call_sid = CallSid::draw(&mut entropy);
        let client = Client::new(
            settings.edge,
            settings.voice_url.host().to_owned(),
            settings.account.auth_token.clone(),
            options.signing,
            entropy.fork(),
        );
        let (from, to) = (script.from.clone(), script.to.clone());
        let phone = Phone::new(&call_sid, Caller::new(script), clock, options.keep_audio, watcher);
        let mut extra_messages = std::mem::take(&mut options.extra_messages);
        // The stream takes them from the back.
        extra_messages.sort_by_key(|(after, _)| std::cmp::Reverse(*after));
        let faults = Faults {
            cut_after: options.cut_after.take(),
            hang_up_before_start: options.hang_up_before_start,
            extra_messages,
        };
        Self {
            interpreter: Interpreter::new(settings.voice_url.clone()),
            settings,
            options,
            entropy,
            call_sid,
            from,
            to,
            phone,
            client,
            answered: false,
            falling_back: false,
            documents: 0,
            faults,
        }
    }

    pub(super) async fn run(mut self) -> CallReport {
        let end = self.play().await.unwrap_or_else(|Left(end)| end);
        self.phone.finish(end)
    }

    async fn play(&mut self) -> Result<CallEnd, Left> {
        let (url, method) = (self.settings.voice_url.clone(), self.settings.voice_method);
        let mut action = Action::Request(NextDocument { url, method, parameters: Vec::new() });
        loop {
            action = match self.perform(action).await? {
                Performed::Over(end) => return Ok(end),
                Performed::Failed(finding) => match self.fall_back(finding) {
                    Some(next) => Action::Request(next),
                    None => return self.application_error().await,
                },
                Performed::Done(ended) => {
                    let next = self.interpreter.next(ended);
                    self.interpreter.take_findings().into_iter().for_each(|finding| self.phone.found(finding));
                    next
                }
            };
        }
    }

    async fn perform(&mut self, action: Action) -> Result<Performed, Left> {
        if !matches!(action, Action::Request(_) | Action::Reject | Action::Fail(_)) {
            self.answer();
        }
        let ended = match action {
            Action::Request(next) => match self.fetch(next).await? {
                Ok(()) => Ended::Simply,
                Err(finding) => return Ok(Performed::Failed(finding)),
            },
            Action::OpenStream { url, parameters } => self.stream(&url, &parameters).await?,
            Action::Say(text) => self.say(&text).await?,
            Action::Pause(length) => self.phone.silence(length).await.map(|()| Ended::Simply)?,
            Action::Dial { targets, timeout } => self.dial(&targets, timeout).await?,
            Action::Fail(finding) => return Ok(Performed::Failed(finding)),
            Action::HangUp => return Ok(Performed::Over(CallEnd::HungUpByDocument)),
            Action::Reject => return Ok(Performed::Over(CallEnd::Rejected)),
            Action::EndOfDocument => return Ok(Performed::Over(CallEnd::DocumentEnded)),
        };
        Ok(Performed::Done(ended))
    }

    fn answer(&mut self) {
        if !self.answered {
            self.answered = true;
            self.phone.answered();
        }
    }

    /// Asks for a document and gives it control.
    async fn fetch(&mut self, next: NextDocument) -> Result<Result<(), Finding>, Left> {
        let NextDocument { url, method, parameters } = next;
        self.documents += 1;
        if self.documents > DOCUMENTS {
            return Ok(Err(Finding::new(codes::LAB, "the call goes round in circles: more than 100 documents")));
        }
        self.phone.happened(Happening::Requested { method: method.as_str(), path: url.path().to_owned() });
        let parameters = [self.parameters(), parameters].concat();
        let answer = self.phone.wait_for(self.client.request(&url, method, &parameters)).await?;
        Ok(answer.and_then(|answer| {
            self.phone.document(&answer.text);
            let document = match twiml::parse(&answer.text) {
                Err(_) if !answer.markup => read_aloud(&answer.text),
                parsed => parsed?,
            };
            self.interpreter.load(document, answer.url);
            self.interpreter.take_findings().into_iter().for_each(|finding| self.phone.found(finding));
            self.falling_back = false;
            Ok(())
        }))
    }

    /// What Twilio tells with every request for a document. The set is open, so one key is nobody's.
    fn parameters(&mut self) -> Vec<(String, String)> {
        let status = if self.answered { "in-progress" } else { "ringing" };
        let mut parameters: Vec<(String, String)> = [
            ("CallSid", self.call_sid.as_str()),
            ("AccountSid", &self.settings.account.account_sid),
            ("From", &self.from),
            ("Caller", &self.from),
            ("To", &self.to),
            ("Called", &self.to),
            ("CallStatus", status),
            ("ApiVersion", "2010-04-01"),
            ("Direction", "inbound"),
            ("StirVerstat", "TN-Validation-Passed-A"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for party in ["From", "Caller", "To", "Called"] {
            for (place, value) in [("City", ""), ("State", ""), ("Zip", ""), ("Country", "US")] {
                parameters.push((format!("{party}{place}"), value.to_owned()));
            }
        }
        let unknown = self.entropy.between(0, 1000);
        parameters.push((format!("NewParameter{unknown}"), "from tomorrow's Twilio".to_owned()));
        parameters
    }

    /// The request for the fallback URL after a failure, if there is one and it is not what failed.
    fn fall_back(&mut self, finding: Finding) -> Option<NextDocument> {
        let code = finding.code;
        self.phone.found(finding);
        if std::mem::replace(&mut self.falling_back, true) || self.documents > DOCUMENTS {
            return None;
        }
        let url = self.settings.fallback_url.clone()?;
        // Neither parameter is in Twilio's documentation, but servers have been seen to rely on them.
        let failed = ("ErrorUrl".to_owned(), self.settings.voice_url.to_string());
        let parameters = vec![("ErrorCode".to_owned(), code.to_string()), failed];
        Some(NextDocument { url, method: self.settings.voice_method, parameters })
    }

    async fn application_error(&mut self) -> Result<CallEnd, Left> {
        self.answer();
        self.say(APPLICATION_ERROR).await?;
        Ok(CallEnd::ApplicationError)
    }

    async fn say(&mut self, text: &str) -> Result<Ended, Left> {
        self.phone.twilio_says(text);
        self.phone.hear(&tones::speak(text)).await?;
        self.phone.cut_off();
        Ok(Ended::Simply)
    }

    async fn stream(&mut self, url: &Url, parameters: &[(String, String)]) -> Result<Ended, Left> {
        let settings = &self.settings;
        let upgrade = Upgrade {
            edge: settings.edge,
            public_host: settings.voice_url.host(),
            auth_token: &settings.account.auth_token,
            signing: self.options.stream_signing,
        };
        let reset = self.faults.cut_after.is_some();
        match self.phone.wait_for(upgrade.connect(url, &mut self.entropy, reset)).await? {
            Ok(socket) => {
                let stream_sid = StreamSid::draw(&mut self.entropy);
                let first_timestamp = self.entropy.between(5, 201);
                let account_sid = &settings.account.account_sid;
                let outgoing = Outgoing::new(account_sid, self.call_sid.clone(), stream_sid, first_timestamp);
                let faults = std::mem::take(&mut self.faults);
                stream::run(&mut self.phone, socket, outgoing, parameters, faults).await?;
            }
            Err(finding) => self.phone.found(finding),
        }
        let gap = self.gap();
        self.phone.silence(gap).await?;
        Ok(Ended::Stream)
    }

    fn gap(&mut self) -> Duration {
        let (low, high) = (self.settings.gap.start.as_millis() as u64, self.settings.gap.end.as_millis() as u64);
        Duration::from_millis(self.entropy.between(low, high.max(low + 1)))
    }

    /// Rings everybody; the human answers for the first of them.
    async fn dial(&mut self, targets: &[Target], ring_limit: Duration) -> Result<Ended, Left> {
        targets.iter().for_each(|target| self.phone.dialled(target.address()));
        let Some(first) = targets.first() else { return Ok(self.dialled("failed", None, Duration::ZERO)) };
        let mut lasted = Duration::ZERO;
        let status = match self.options.human.clone() {
            Human::Busy => "busy",
            Human::Answers { after, says } if after < ring_limit => {
                self.phone.silence(after).await?;
                let answered = self.phone.now();
                self.phone.hear(&tones::speak(&says)).await?;
                self.phone.silence(FAREWELL).await?;
                lasted = self.phone.now() - answered;
                "completed"
            }
            Human::NoAnswer | Human::Answers { .. } => {
                self.phone.silence(ring_limit).await?;
                "no-answer"
            }
        };
        Ok(self.dialled(status, Some(first), lasted))
    }

    /// What `<Dial>`'s action is told (Twilio docs, `<Dial>`).
    fn dialled(&mut self, status: &str, target: Option<&Target>, lasted: Duration) -> Ended {
        let mut parameters = vec![("DialCallStatus", status.to_owned())];
        parameters.push(("DialCallSid", CallSid::draw(&mut self.entropy).to_string()));
        parameters.push(("DialBridged", (status == "completed").to_string()));
        if status == "completed" {
            parameters.push(("DialCallDuration", lasted.as_secs().to_string()));
        }
        if let Some(Target::Sip(_)) = target {
            let response = match status {
                "completed" => "200",
                "busy" => "486",
                _ => "487",
            };
            parameters.push(("DialSipCallId", format!("{}@sip.example.test", self.entropy.uuid())));
            parameters.push(("DialSipResponseCode", response.to_owned()));
        }
        Ended::Dial(parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// What became of an action.
enum Performed {
    Done(Ended),
    Failed(Finding),
    Over(CallEnd),
}

/// Plain text that is no TwiML is read to the caller, and that is all (Twilio docs, "TwiML for Programmable Voice").
fn read_aloud(text: &str) -> Document {
    let text = text.trim();
    let verbs = if text.is_empty() { Vec::new() } else { vec![Verb::Say(text.to_owned())] };
    Document { verbs, findings: Vec::new() }
}
