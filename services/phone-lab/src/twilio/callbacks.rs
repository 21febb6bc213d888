//! Callbacks: what Twilio tells besides asking for documents, and how it gets there.
//!
//! A [`Courier`] delivers one call's callbacks beside the call, in the order they were fired unless told otherwise.
//! [`Progress`] is where a call says how it gets on: it enters that in the ledger and tells the status callback
//! (Twilio docs, "Call resource", `StatusCallback`).

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use offhook_hosting::clock::Clock;
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::sleep_until,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    codes,
    ledger::Ledger,
    report::Finding,
    resource::{CallStatus, Identity, rfc2822},
    twiml::Method,
    url::Url,
    webhook::Client,
};

/// Callbacks of one call that wait for a slow server.
const OUTBOX: usize = 64;

/// How callbacks get where they are going.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// One after the other, at once.
    #[default]
    Prompt,
    /// In order, each so much later.
    Late(Duration),
    /// Each twice.
    Doubled,
    /// Each second one before the one it follows.
    OutOfOrder,
}

/// One callback.
#[derive(Clone, Debug)]
pub(super) struct Callback {
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) parameters: Vec<(String, String)>,
}

/// Delivers callbacks until it is finished; what went wrong comes back then. Dropped, it delivers no more.
pub(super) struct Courier {
    clock: Clock,
    /// The first that found no room.
    lost: OnceLock<Delivered>,
    outbox: mpsc::Sender<(tokio::time::Instant, Callback)>,
    worker: AbortOnDropHandle<Vec<Delivered>>,
}

/// What became of a callback.
#[derive(Debug)]
pub(super) struct Delivered {
    /// When it was sent.
    pub(super) sent: Instant,
    /// How long the answer took.
    pub(super) took: Duration,
    pub(super) path: String,
    /// The event, or the state of the call.
    pub(super) told: String,
    /// Why it did not get there.
    pub(super) finding: Option<Finding>,
}

impl Courier {
    pub(super) fn start(client: Client, delivery: Delivery, clock: Clock) -> Self {
        let (outbox, queue) = mpsc::channel(OUTBOX);
        let worker = AbortOnDropHandle::new(tokio::spawn(deliver(client, delivery, clock, queue)));
        Self { clock, lost: OnceLock::new(), outbox, worker }
    }

    /// Takes a callback along. The call never waits for it: beyond the queue it is lost, and that is noted once.
    pub(super) fn post(&self, callback: Callback) {
        let now = self.clock.now();
        let Err(TrySendError::Full((_, lost))) = self.outbox.try_send((now.into(), callback)) else { return };
        self.lost.get_or_init(|| Delivered {
            sent: now,
            took: Duration::ZERO,
            path: lost.url.path().to_owned(),
            told: told(&lost.parameters),
            finding: Some(Finding::new(codes::LAB, "more than 64 callbacks wait: from here on some are lost")),
        });
    }

    /// Returns when everything was delivered.
    pub(super) async fn finish(self) -> Vec<Delivered> {
        drop(self.outbox);
        // A worker that panicked says so by itself.
        let mut delivered = self.worker.await.unwrap_or_default();
        delivered.extend(self.lost.into_inner());
        delivered
    }
}

async fn deliver(
    mut client: Client,
    delivery: Delivery,
    clock: Clock,
    mut queue: mpsc::Receiver<(tokio::time::Instant, Callback)>,
) -> Vec<Delivered> {
    let mut delivered = Vec::new();
    while let Some((fired, callback)) = queue.recv().await {
        let batch = match delivery {
            Delivery::Prompt => vec![callback],
            Delivery::Late(by) => {
                sleep_until(fired + by).await;
                vec![callback]
            }
            Delivery::Doubled => vec![callback.clone(), callback],
            Delivery::OutOfOrder => {
                let next = queue.recv().await.map(|(_, next)| next);
                next.into_iter().chain([callback]).collect()
            }
        };
        for Callback { url, method, parameters } in batch {
            let sent = clock.now();
            let finding = client.notify(&url, method, &parameters).await.err();
            let (took, path) = (clock.now() - sent, url.path().to_owned());
            delivered.push(Delivered { sent, took, path, told: told(&parameters), finding });
        }
    }
    delivered
}

/// What a callback is about: its event, or the state of the call.
fn told(parameters: &[(String, String)]) -> String {
    let value = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    value("StreamEvent")
        .or_else(|| value("RecordingStatus"))
        .or_else(|| value("CallStatus"))
        .or_else(|| value("AnsweredBy"))
        .unwrap_or_default()
}

/// The moments of a call that a status callback can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Initiated,
    Ringing,
    Answered,
    Completed,
}

impl Event {
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "initiated" => Some(Self::Initiated),
            "ringing" => Some(Self::Ringing),
            "answered" => Some(Self::Answered),
            "completed" => Some(Self::Completed),
            _ => None,
        }
    }
}

/// Who is told, and of what.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) events: Vec<Event>,
}

/// How a call gets on, told to whom it concerns.
pub(super) struct Progress {
    ledger: Arc<Ledger>,
    identity: Identity,
    subscription: Option<Subscription>,
    courier: Courier,
    sequence: u64,
    /// What joins the parameters once it is known.
    also: Vec<(String, String)>,
}

impl Progress {
    pub(super) fn new(
        ledger: Arc<Ledger>,
        identity: Identity,
        subscription: Option<Subscription>,
        courier: Courier,
    ) -> Self {
        Self { ledger, identity, subscription, courier, sequence: 0, also: Vec::new() }
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn courier(&self) -> &Courier {
        &self.courier
    }

    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Who, or what, answered.
    pub(super) fn answered_by(&mut self, who: &'static str) {
        self.ledger.answered_by(&self.identity.call_sid, who);
        self.also.push(("AnsweredBy".to_owned(), who.to_owned()));
    }

    /// What was recorded.
    pub(super) fn recorded(&mut self, told: Vec<(&'static str, String)>) {
        self.also.extend(told.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }

    pub(super) fn initiated(&mut self) {
        self.tell(Event::Initiated, "initiated", Vec::new());
    }

    pub(super) fn ringing(&mut self) {
        self.ledger.move_to(&self.identity.call_sid, CallStatus::Ringing);
        self.tell(Event::Ringing, CallStatus::Ringing.as_str(), Vec::new());
    }

    pub(super) fn answered(&mut self) {
        self.ledger.move_to(&self.identity.call_sid, CallStatus::InProgress);
        self.tell(Event::Answered, CallStatus::InProgress.as_str(), Vec::new());
    }

    /// The call is over, and this is what SIP said about it.
    pub(super) fn ended(&mut self, status: CallStatus, sip_response: u16) {
        let call_sid = &self.identity.call_sid;
        self.ledger.move_to(call_sid, status);
        let mut terms = vec![("SipResponseCode".to_owned(), sip_response.to_string())];
        if status == CallStatus::Completed {
            let entry = self.ledger.find(call_sid.as_str());
            let seconds = entry.and_then(|(entry, _)| entry.duration()).unwrap_or_default();
            terms.push(("CallDuration".to_owned(), seconds.to_string()));
            // In minutes, begun ones counted.
            terms.push(("Duration".to_owned(), ((seconds + 59) / 60).max(1).to_string()));
        }
        self.tell(Event::Completed, status.as_str(), terms);
    }

    fn tell(&mut self, event: Event, status: &str, terms: Vec<(String, String)>) {
        let Some(Subscription { url, method, events }) = &self.subscription else { return };
        if !events.contains(&event) {
            return;
        }
        let mut parameters = self.identity.parameters(status);
        parameters.push(("Timestamp".to_owned(), rfc2822(self.ledger.wall())));
        parameters.push(("CallbackSource".to_owned(), "call-progress-events".to_owned()));
        parameters.push(("SequenceNumber".to_owned(), self.sequence.to_string()));
        parameters.extend(self.also.iter().cloned().chain(terms));
        self.sequence += 1;
        self.courier.post(Callback { url: url.clone(), method: *method, parameters });
    }

    /// The call is over: what is still to be told.
    pub(super) fn into_courier(self) -> Courier {
        self.courier
    }
}
