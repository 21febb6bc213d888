//! One call, from the number that was dialled to the end: documents are asked for, and what they say is done.

mod broken_off;
mod detection;
mod dial;
mod leg;
mod prompt;
mod queue;
mod recorded;
mod streaming;

use std::{sync::Arc, time::Duration};

use offhook_hosting::{clock::Clock, entropy::Entropy};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

pub(super) use self::detection::Detection;
use self::streaming::StreamTold;
use super::{
    CallOptions, Settings,
    callbacks::{Courier, Progress},
    caller::Caller,
    codes,
    interpreter::{Action, Ended, Interpreter, NextDocument},
    ledger::{Redirection, Source, Update},
    phone::{Left, Phone},
    recording::RecordingOrder,
    report::{CallEnd, CallEvent, CallReport, Finding, Happening},
    resource::CallStatus,
    script::CallerScript,
    stream::Faults,
    twiml::{self, Document, Method, Prompt, Verb},
    url::Url,
    webhook::{Answer, Client},
};

/// What Twilio tells a caller whose call it cannot go on with.
const APPLICATION_ERROR: &str = "we are sorry, an application error has occurred. goodbye.";
/// A call that asks for more documents than this goes round in circles.
const DOCUMENTS: usize = 100;
/// Who is meant in a script's `dialled` by all who are not named.
const OTHERWISE: &str = "otherwise";

/// A call that is being played.
pub(super) struct Call {
    settings: Arc<Settings>,
    options: CallOptions,
    entropy: Entropy,
    phone: Phone,
    client: Client,
    interpreter: Interpreter,
    progress: Progress,
    first: Source,
    fallback: Option<(Url, Method)>,
    detection: Option<Detection>,
    recording: Option<RecordingOrder>,
    /// What the one who answered was found to be, for the next document.
    detected: Vec<(String, String)>,
    /// Where and how the last document was asked for.
    asked: Option<(Url, Method)>,
    answered: bool,
    /// Rejected with a busy signal.
    busy: bool,
    dialling: Option<dial::Dialling>,
    waiting: Option<queue::Waiting>,
    /// Of legs that are over.
    couriers: Vec<Courier>,
    falling_back: bool,
    documents: usize,
    faults: Faults,
    /// Sockets that are left standing.
    lingering: Vec<AbortOnDropHandle<()>>,
}

/// How a call came about, and what it is to do first.
pub(super) struct Placed {
    pub(super) progress: Progress,
    pub(super) updates: mpsc::Receiver<Update>,
    pub(super) first: Source,
    pub(super) fallback: Option<(Url, Method)>,
    /// Set for a call that Twilio placed: it was answered, and may last so long.
    pub(super) outbound: Option<Duration>,
    pub(super) detection: Option<Detection>,
    pub(super) recording: Option<RecordingOrder>,
}

impl Call {
    pub(super) fn new(
        settings: Arc<Settings>,
        clock: Clock,
        mut entropy: Entropy,
        mut script: CallerScript,
        mut options: CallOptions,
        watcher: Option<mpsc::Sender<CallEvent>>,
        placed: Placed,
    ) -> Self {
        let Placed { progress, updates, first, fallback, outbound, detection, recording } = placed;
        let client = settings.client(&options, entropy.fork()).replaying(options.replay_webhooks);
        let call_sid = &progress.identity().call_sid;
        options.human = script.dialled.remove(OTHERWISE).unwrap_or(options.human);
        options.humans.splice(0..0, std::mem::take(&mut script.dialled));
        let caller = Caller::new(script);
        let ledger = progress.ledger().clone();
        let mut phone = Phone::new(call_sid, caller, clock, options.keep_audio, watcher, updates, ledger);
        let mut interpreter = Interpreter::new(settings.voice_url.clone());
        if let Some(limit) = outbound {
            phone.answered();
            phone.end_after(limit);
            interpreter.answered();
        }
        let mut extra_messages = std::mem::take(&mut options.extra_messages);
        // The stream takes them from the back.
        extra_messages.sort_by_key(|(after, _)| std::cmp::Reverse(*after));
        let faults = Faults {
            cut_after: options.cut_after.take(),
            hang_up_before_start: options.hang_up_before_start,
            extra_messages,
            timing: options.media_timing,
            early_media: options.early_media.take(),
            slow_death: options.slow_death.then(|| Duration::from_millis(entropy.between(30_000, 45_000))),
        };
        Self {
            interpreter,
            settings,
            options,
            entropy,
            phone,
            client,
            progress,
            first,
            fallback,
            detection,
            recording,
            detected: Vec::new(),
            asked: None,
            answered: outbound.is_some(),
            busy: false,
            dialling: None,
            waiting: None,
            couriers: Vec::new(),
            falling_back: false,
            documents: 0,
            faults,
            lingering: Vec::new(),
        }
    }

    pub(super) async fn run(mut self) -> CallReport {
        let verdict = self.detect_beside();
        let recording = self.recording.take().map(|order| self.record(order, "OutboundAPI"));
        let end = self.play_on().await;
        self.phone.closed_stream();
        self.abandon().await;
        if let Some(recording) = recording {
            let told = self.recorded(&recording);
            self.progress.recorded(told);
        }
        self.phone.end(end);
        let status = match end {
            _ if self.answered => CallStatus::Completed,
            CallEnd::EndedByRest => CallStatus::Canceled,
            CallEnd::Rejected if self.busy => CallStatus::Busy,
            CallEnd::CallerHungUp
            | CallEnd::OtherSideHungUp
            | CallEnd::PatienceEnded
            | CallEnd::HungUpByDocument
            | CallEnd::DocumentEnded
            | CallEnd::Rejected
            | CallEnd::ApplicationError
            | CallEnd::TimeLimit
            | CallEnd::NotAnswered => CallStatus::NoAnswer,
        };
        let sip_response = match status {
            CallStatus::Completed => 200,
            CallStatus::Busy => 486,
            CallStatus::Queued
            | CallStatus::Ringing
            | CallStatus::InProgress
            | CallStatus::Failed
            | CallStatus::NoAnswer
            | CallStatus::Canceled => 487,
        };
        self.progress.ended(status, sip_response);
        let mut delivered = self.progress.into_courier().finish().await;
        for courier in self.couriers {
            delivered.extend(courier.finish().await);
        }
        if let Some((takes, courier)) = verdict
            && takes <= self.phone.now()
        {
            delivered.extend(courier.finish().await);
        }
        delivered.into_iter().for_each(|callback| self.phone.called_back(callback));
        Self::outlive(self.lingering).await;
        self.phone.into_report()
    }

    /// Plays the call to its end, with whatever the REST interface wants meanwhile.
    async fn play_on(&mut self) -> CallEnd {
        let mut result = match self.detect_first().await {
            Ok(()) => self.follow(self.first.clone()).await,
            Err(left) => Err(left),
        };
        loop {
            result = match result {
                Ok(end) | Err(Left::Gone(end)) => return end,
                Err(Left::StreamStopped) => {
                    let next = self.next(Ended::Stream);
                    self.play(next).await
                }
                Err(Left::Redirected(redirection)) => {
                    let Redirection { source, fallback } = *redirection;
                    self.phone.cut_off();
                    let streaming = self.phone.closed_stream();
                    self.fallback = fallback.or(self.fallback.take());
                    self.falling_back = false;
                    match self.interrupt(streaming).await {
                        Ok(()) => self.follow(source).await,
                        Err(left) => Err(left),
                    }
                }
            }
        }
    }

    async fn follow(&mut self, source: Source) -> Result<CallEnd, Left> {
        let action = self.take(source);
        self.play(action).await
    }

    /// Gives control to TwiML, or to whatever asks for it.
    fn take(&mut self, source: Source) -> Action {
        match source {
            Source::Url { url, method } => {
                let parameters = std::mem::take(&mut self.detected);
                Action::Request(NextDocument { url, method, parameters })
            }
            Source::Twiml(text) => {
                self.phone.document(&text);
                match twiml::parse(&text) {
                    Ok(document) => {
                        self.interpreter.load_from_rest(document);
                        self.next(Ended::Simply)
                    }
                    Err(finding) => Action::Fail(finding),
                }
            }
        }
    }

    async fn play(&mut self, mut action: Action) -> Result<CallEnd, Left> {
        loop {
            action = match self.perform(action).await? {
                Performed::Over(end) => return Ok(end),
                Performed::Failed(finding) => match self.fall_back(finding) {
                    Some(next) => Action::Request(next),
                    None => return self.application_error().await,
                },
                Performed::Done(ended) => self.next(ended),
                // The interpreter skips it outside of a queue.
                Performed::LeftQueue => self.next(Ended::Simply),
            };
        }
    }

    fn next(&mut self, ended: Ended) -> Action {
        let next = self.interpreter.next(ended);
        self.interpreter.take_findings().into_iter().for_each(|finding| self.phone.found(finding));
        next
    }

    async fn perform(&mut self, action: Action) -> Result<Performed, Left> {
        if !answers_later(&action) {
            self.answer();
        }
        let ended = match action {
            Action::Request(next) => match self.fetch(next).await? {
                Ok(()) => Ended::Simply,
                Err(finding) => return Ok(Performed::Failed(finding)),
            },
            Action::OpenStream { url, parameters, name, status_callback } => {
                self.stream(&url, &parameters, StreamTold { name, status_callback }).await?
            }
            Action::Prompt(prompt) => return self.prompt(&prompt).await,
            Action::Gather(gather) => return self.gather(&gather).await,
            Action::Dial(order) => Box::pin(self.dial(order)).await?,
            Action::Enqueue { name, wait, most } => return Box::pin(self.enqueue(name, wait, most)).await,
            Action::Leave => return Ok(Performed::LeftQueue),
            Action::Fail(finding) => return Ok(Performed::Failed(finding)),
            Action::HangUp => return Ok(Performed::Over(CallEnd::HungUpByDocument)),
            Action::Reject { busy } => {
                self.busy = busy;
                return Ok(Performed::Over(CallEnd::Rejected));
            }
            Action::EndOfDocument => return Ok(Performed::Over(CallEnd::DocumentEnded)),
        };
        Ok(Performed::Done(ended))
    }

    fn answer(&mut self) {
        if !self.answered {
            self.answered = true;
            self.phone.answered();
            self.progress.answered();
        }
    }

    /// Asks for a document and gives it control.
    async fn fetch(&mut self, next: NextDocument) -> Result<Result<(), Finding>, Left> {
        let NextDocument { url, method, parameters } = next;
        self.documents += 1;
        if self.documents > DOCUMENTS {
            return Ok(Err(Finding::new(codes::LAB, "the call goes round in circles: more than 100 documents")));
        }
        self.requested(&url, method);
        let parameters = [self.parameters(), parameters].concat();
        let answer = self.phone.wait_for(self.client.request(&url, method, &parameters)).await?;
        if let Ok(Answer { sound: Some(pcm), .. }) = &answer {
            self.answer();
            self.phone.hear(pcm).await?;
        }
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

    fn requested(&mut self, url: &Url, method: Method) {
        self.asked = Some((url.clone(), method));
        self.phone.happened(Happening::Requested { method: method.as_str(), path: url.path().to_owned() });
    }

    /// What Twilio tells with every request for a document. The set is open, so one key is nobody's.
    fn parameters(&mut self) -> Vec<(String, String)> {
        let status = if self.answered { CallStatus::InProgress } else { CallStatus::Ringing };
        let mut parameters = self.progress.identity().parameters(status.as_str());
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
        let (url, method) = self.fallback.clone()?;
        // Neither parameter is in Twilio's documentation, but servers have been seen to rely on them.
        let failed = self.asked.as_ref().map(|(asked, _)| ("ErrorUrl".to_owned(), asked.to_string()));
        let parameters = std::iter::once(("ErrorCode".to_owned(), code.to_string())).chain(failed).collect();
        Some(NextDocument { url, method, parameters })
    }

    async fn application_error(&mut self) -> Result<CallEnd, Left> {
        self.answer();
        self.prompt(&Prompt::Say { text: APPLICATION_ERROR.to_owned(), times: 1 }).await?;
        Ok(CallEnd::ApplicationError)
    }
}

/// Whether a call that was not answered yet is not answered by this, or not at once.
fn answers_later(action: &Action) -> bool {
    match action {
        Action::Request(_) | Action::Reject { .. } | Action::Fail(_) => true,
        Action::Dial(order) => order.terms.answer_on_bridge,
        Action::OpenStream { .. }
        | Action::Prompt(_)
        | Action::Gather(_)
        | Action::Enqueue { .. }
        | Action::Leave
        | Action::HangUp
        | Action::EndOfDocument => false,
    }
}

/// What became of an action.
enum Performed {
    Done(Ended),
    LeftQueue,
    Failed(Finding),
    Over(CallEnd),
}

/// Plain text that is no TwiML is read to the caller, and that is all (Twilio docs, "TwiML for Programmable Voice").
fn read_aloud(text: &str) -> Document {
    let text = text.trim();
    let verbs =
        if text.is_empty() { Vec::new() } else { vec![Verb::Prompt(Prompt::Say { text: text.to_owned(), times: 1 })] };
    Document { verbs, findings: Vec::new() }
}
