//! Calls that Twilio places because the REST interface asked for them, and whoever they reach.

use std::{future::pending, time::Duration};

use offhook_hosting::entropy::Entropy;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{
    CallOptions, CallReport, CallerScript, Twilio,
    call::{Call, Detection, Placed},
    callbacks::{Courier, Delivery, Progress, Subscription},
    ledger::{Source, Update},
    recording::RecordingOrder,
    report::CallEnd,
    resource::{CallStatus, Identity},
    twiml::Method,
    url::Url,
};

/// From the call's turn to its ringing.
const SETUP: Duration = Duration::from_millis(200);

/// Whoever is at the other end of a call that Twilio places.
#[derive(Clone, Debug)]
pub enum Callee {
    /// Picks up.
    Answers(Box<Answering>),
    /// Is on the phone.
    Busy,
    /// Lets it ring.
    NoAnswer,
    /// Has a number that no network connects.
    Unreachable,
    /// Has a number that Twilio refuses to call, for this reason: 21214 to 21217, for instance.
    Refused(u32),
}

/// How a call is answered.
#[derive(Clone, Debug)]
pub struct Answering {
    /// After ringing for so long.
    pub after: Duration,
    /// What is done then. The numbers in it do not count: who calls whom is up to the request.
    pub script: CallerScript,
    /// What is special about the call from then on.
    pub options: CallOptions,
    /// What Twilio detects, if it is asked to.
    pub detected: AnsweredBy,
    /// How long that takes.
    pub detection_takes: Duration,
}

impl Callee {
    /// A human who picks up after so long and follows a script.
    pub fn answers(after: Duration, script: CallerScript) -> Self {
        Self::Answers(Box::new(Answering {
            after,
            script,
            options: CallOptions::default(),
            detected: AnsweredBy::Human,
            detection_takes: Duration::from_secs(2),
        }))
    }
}

/// Who, or what, picks up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    /// A person.
    #[default]
    Human,
    /// A machine, whose greeting ends with a beep.
    Machine,
    /// A fax.
    Fax,
    /// Twilio cannot tell.
    Unknown,
}

/// What detection waits for (Twilio docs, "Answering Machine Detection").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DetectionMode {
    Enable,
    MessageEnd,
}

impl AnsweredBy {
    pub(super) fn verdict(self, mode: DetectionMode) -> &'static str {
        match (self, mode) {
            (Self::Human, _) => "human",
            (Self::Machine, DetectionMode::Enable) => "machine_start",
            (Self::Machine, DetectionMode::MessageEnd) => "machine_end_beep",
            (Self::Fax, _) => "fax",
            (Self::Unknown, _) => "unknown",
        }
    }
}

/// What detection was asked for.
#[derive(Clone, Debug)]
pub(super) struct DetectionOrder {
    pub(super) mode: DetectionMode,
    pub(super) asynchronous: bool,
    pub(super) callback: Option<(Url, Method)>,
}

/// A call that was accepted.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) identity: Identity,
    pub(super) first: Source,
    pub(super) fallback: Option<(Url, Method)>,
    pub(super) subscription: Option<Subscription>,
    pub(super) ring_limit: Duration,
    pub(super) time_limit: Duration,
    pub(super) detection: Option<DetectionOrder>,
    pub(super) recording: Option<RecordingOrder>,
}

/// A call on its way.
pub(super) struct Outbound {
    pub(super) twilio: Twilio,
    pub(super) order: Order,
    pub(super) callee: Callee,
    pub(super) delivery: Delivery,
    pub(super) updates: mpsc::Receiver<Update>,
    pub(super) entropy: Entropy,
}

/// What became of the ringing.
enum Rung {
    Answered(Box<Answering>),
    Ended(CallStatus, u16),
}

impl Outbound {
    /// Waits for its turn, rings, and plays the call to its end. A call that is taken back before its turn leaves
    /// nothing but its entry.
    pub(super) async fn run<T>(mut self, turn: impl Future<Output = T>) -> Option<CallReport> {
        let _line = tokio::select! {
            biased;
            () = taken_back(&mut self.updates) => {
                self.twilio.ledger.move_to(&self.order.identity.call_sid, CallStatus::Canceled);
                return None;
            }
            line = turn => line,
        };
        let Self { twilio, order, callee, delivery, mut updates, mut entropy } = self;
        let usual = CallOptions::default();
        let options = match &callee {
            Callee::Answers(answering) => &answering.options,
            Callee::Busy | Callee::NoAnswer | Callee::Unreachable | Callee::Refused(_) => &usual,
        };
        let client = twilio.settings.client(options, entropy.fork());
        let courier = Courier::start(client, delivery, twilio.clock);
        let call_sid = order.identity.call_sid.to_string();
        let mut progress = Progress::new(twilio.ledger.clone(), order.identity, order.subscription, courier);
        progress.initiated();
        let rung = tokio::select! {
            biased;
            () = taken_back(&mut updates) => Rung::Ended(CallStatus::Canceled, 487),
            rung = ring(callee, order.ring_limit, &mut progress) => rung,
        };
        let answering = match rung {
            Rung::Answered(answering) => *answering,
            Rung::Ended(status, sip_response) => {
                progress.ended(status, sip_response);
                for finding in progress.into_courier().finish().await.into_iter().filter_map(|told| told.finding) {
                    twilio.ledger.log(Some(&call_sid), None, &finding);
                }
                return Some(CallReport { call_sid, ..CallReport::of_nothing(CallEnd::NotAnswered) });
            }
        };
        progress.answered();
        let Answering { script, options, detected, detection_takes: takes, .. } = answering;
        let detection = order.detection.map(|wanted| Detection {
            verdict: detected.verdict(wanted.mode),
            takes,
            callback: wanted.callback,
            asynchronous: wanted.asynchronous,
        });
        let (first, fallback, outbound) = (order.first, order.fallback, Some(order.time_limit));
        let recording = order.recording;
        let placed = Placed { progress, updates, first, fallback, outbound, detection, recording };
        let call = Call::new(twilio.settings.clone(), twilio.clock, entropy, script, options, None, placed);
        Some(Box::pin(call.run()).await)
    }
}

async fn ring(callee: Callee, limit: Duration, progress: &mut Progress) -> Rung {
    tokio::time::sleep(SETUP).await;
    match callee {
        Callee::Busy => Rung::Ended(CallStatus::Busy, 486),
        Callee::Unreachable | Callee::Refused(_) => Rung::Ended(CallStatus::Failed, 404),
        Callee::Answers(answering) if answering.after < limit => {
            progress.ringing();
            tokio::time::sleep(answering.after).await;
            Rung::Answered(answering)
        }
        Callee::Answers(_) | Callee::NoAnswer => {
            progress.ringing();
            tokio::time::sleep(limit).await;
            Rung::Ended(CallStatus::NoAnswer, 487)
        }
    }
}

/// Returns when the call is to end. There is nothing to redirect before it is answered.
async fn taken_back(updates: &mut mpsc::Receiver<Update>) {
    loop {
        match updates.recv().await {
            Some(Update::End | Update::Cancel) => return,
            Some(Update::Redirect(_) | Update::StopStream(_)) => {}
            None => pending().await,
        }
    }
}
