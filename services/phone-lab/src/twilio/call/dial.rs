//! `<Dial>`: whoever is brought into a call, what the legs' callbacks are told, and what `action` is.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{Call, Detection, leg::Leg, recorded::Recording};
use crate::twilio::{
    CallStatus, Human,
    callbacks::{Courier, Event, Progress, Subscription},
    human::Party,
    interpreter::{DialLeg, DialOrder, Ended},
    ledger::Update,
    outbound::DetectionMode,
    phone::Left,
    recording::RecordingOrder,
    resource::{Direction, Identity},
    sid::CallSid,
    twiml::Target,
};

/// The legs that ring, or the one that is up.
pub(super) struct Dialling {
    ringing: Vec<Ringing>,
    to_sip: bool,
    /// Who has answered.
    leg: Option<Leg>,
    /// Whether the caller has been connected.
    bridged: bool,
    recording: Option<RecordingOrder>,
    recorded: Option<Recording>,
}

/// A leg that nobody has answered.
struct Ringing {
    order: DialLeg,
    human: Human,
    progress: Progress,
    updates: mpsc::Receiver<Update>,
}

/// What makes a recording here.
const SOURCE: &str = "DialVerb";

/// How a leg that nobody answers ends, and after how long.
fn unanswered(human: &Human, ring_limit: Duration) -> (CallStatus, u16, Duration) {
    match human {
        Human::Busy => (CallStatus::Busy, 486, Duration::ZERO),
        Human::Declines => (CallStatus::Busy, 603, Duration::ZERO),
        Human::Unreachable => (CallStatus::Failed, 404, Duration::ZERO),
        Human::NoAnswer | Human::Answers { .. } | Human::Acts(_) => (CallStatus::NoAnswer, 487, ring_limit),
    }
}

impl Call {
    /// Rings everybody at once, or one after the other, until somebody is connected.
    pub(super) async fn dial(&mut self, order: DialOrder) -> Result<Ended, Left> {
        let mut rounds: Vec<Vec<DialLeg>> = if order.terms.sequential {
            order.legs.iter().map(|leg| vec![leg.clone()]).collect()
        } else {
            vec![order.legs.clone()]
        };
        rounds.retain(|round| !round.is_empty());
        let mut told = unconnected();
        for round in rounds {
            let (connected, parameters) = self.ring_round(&order, round).await?;
            told = parameters;
            if connected {
                break;
            }
        }
        Ok(Ended::With(told))
    }

    /// Says whether somebody was connected, and what `action` is told of it.
    async fn ring_round(
        &mut self,
        order: &DialOrder,
        legs: Vec<DialLeg>,
    ) -> Result<(bool, Vec<(String, String)>), Left> {
        let to_sip = matches!(legs.first(), Some(DialLeg { target: Target::Sip(_), .. }));
        let ringing: Vec<_> = legs.into_iter().map(|leg| self.ring(order, leg)).collect();
        let answers = ringing.iter().enumerate().filter_map(|(place, leg)| Some((place, leg.human.party()?)));
        let first = answers.filter(|(_, party)| party.after < order.terms.timeout).min_by_key(|(_, party)| party.after);
        let ends = ringing.iter().map(|leg| unanswered(&leg.human, order.terms.timeout));
        let last = ends.max_by_key(|(_, _, after)| *after);
        let (mut recording, mut recorded) = (order.recording.clone(), None);
        if let Some(order) = recording.take_if(|order| order.from_ringing) {
            recorded = Some(self.record(order, SOURCE));
        }
        self.dialling = Some(Dialling { ringing, to_sip, leg: None, bridged: false, recording, recorded });
        let Some((place, party)) = first else {
            let (status, sip_response, after) = last.unwrap_or((CallStatus::Failed, 404, Duration::ZERO));
            self.phone.ring_for(after).await?;
            return Ok((false, self.end_dial(order.terms.timeout, status, sip_response)));
        };
        self.phone.ring_for(party.after).await?;
        let connected = self.connect(order, place, party).await?;
        Ok((connected, self.end_dial(order.terms.timeout, CallStatus::Completed, 200)))
    }

    /// Somebody has answered, and the others need not ring any longer.
    async fn connect(&mut self, order: &DialOrder, place: usize, party: Party) -> Result<bool, Left> {
        let Some(dialling) = &mut self.dialling else { return Ok(false) };
        let Ringing { order: leg_order, progress, updates, .. } = dialling.ringing.remove(place);
        dialling.to_sip = matches!(leg_order.target, Target::Sip(_));
        for mut other in std::mem::take(&mut dialling.ringing) {
            let (status, sip_response, after) = unanswered(&other.human, order.terms.timeout);
            let over = after <= party.after && status != CallStatus::NoAnswer;
            let (status, sip_response) = if over { (status, sip_response) } else { (CallStatus::Canceled, 487) };
            other.progress.ended(status, sip_response);
            self.couriers.push(other.progress.into_courier());
        }
        let detection = leg_order.detection.map(|wanted| {
            let mode = if wanted.message_end { DetectionMode::MessageEnd } else { DetectionMode::Enable };
            let (verdict, takes) = (party.detected.verdict(mode), party.detection_takes);
            Detection { verdict, takes, callback: wanted.callback, asynchronous: true }
        });
        let leg = Leg::answered(self, progress, updates, party, detection);
        let Some(dialling) = &mut self.dialling else { return Ok(false) };
        let leg = dialling.leg.insert(leg);
        if !self.phone.ring_during(leg.prepare(&leg_order.send_digits, leg_order.screen)).await? {
            return Ok(false);
        }
        self.answer();
        self.record_talk();
        let Some(mut leg) = self.dialling.as_mut().and_then(|dialling| dialling.leg.take()) else { return Ok(false) };
        let parted = self.talk(&mut leg, order.terms.time_limit, order.terms.hangup_on_star).await;
        if let Some(dialling) = &mut self.dialling {
            (dialling.leg, dialling.bridged) = (Some(leg), true);
        }
        parted.map(|()| true)
    }

    fn record_talk(&mut self) {
        let Some(order) = self.dialling.as_mut().and_then(|dialling| dialling.recording.take()) else { return };
        let recorded = self.record(order, SOURCE);
        if let Some(dialling) = &mut self.dialling {
            dialling.recorded = Some(recorded);
        }
    }

    /// A leg is a call of its own (Twilio docs, `<Sip>` and `<Number>`, `statusCallback`).
    fn ring(&mut self, order: &DialOrder, leg: DialLeg) -> Ringing {
        self.phone.dialled(leg.target.address());
        let parent = self.progress.identity();
        let identity = Identity {
            call_sid: CallSid::draw(&mut self.entropy),
            from: order.terms.caller_id.as_ref().unwrap_or(&parent.from).clone(),
            to: leg.target.address().to_owned(),
            direction: Direction::OutboundDial,
            parent: Some(parent.call_sid.clone()),
            account_sid: parent.account_sid.clone(),
            sip: None,
        };
        let ledger = self.progress.ledger().clone();
        let updates = ledger.enter(identity.clone(), CallStatus::Queued, Duration::ZERO);
        let events = leg.events.iter().filter_map(|event| Event::parse(event)).collect();
        let subscription = leg.status_callback.clone().map(|(url, method)| Subscription { url, method, events });
        let mut progress = Progress::new(ledger, identity, subscription, self.courier());
        progress.initiated();
        progress.ringing();
        let human = self.human(leg.target.address());
        Ringing { order: leg, human, progress, updates }
    }

    pub(super) fn courier(&mut self) -> Courier {
        let client = self.settings.client(&self.options, self.entropy.fork());
        Courier::start(client, self.options.callbacks, self.phone.clock())
    }

    /// Who has this number or address.
    fn human(&self, address: &str) -> Human {
        let plain = address.split(['?', ';']).next().unwrap_or_default();
        let known = self.options.humans.iter().find(|(known, _)| known == address || known == plain);
        known.map_or(&self.options.human, |(_, human)| human).clone()
    }

    /// All legs are over, which those that ring end like this. Gives what `action` is told (Twilio docs, `<Dial>`).
    pub(super) fn end_dial(
        &mut self,
        ring_limit: Duration,
        status: CallStatus,
        sip_response: u16,
    ) -> Vec<(String, String)> {
        let Some(dialling) = self.dialling.take() else { return unconnected() };
        let Dialling { ringing, to_sip, leg, bridged, recording, recorded } = dialling;
        let first = ringing.first().map(|leg| leg.progress.identity().call_sid.to_string());
        let mut parameters = vec![("DialCallStatus", status.as_str().to_owned())];
        parameters.extend(leg.as_ref().map(Leg::call_sid).or(first).map(|sid| ("DialCallSid", sid)));
        parameters.push(("DialBridged", bridged.to_string()));
        if let Some(leg) = &leg {
            parameters.push(("DialCallDuration", leg.lasted().as_secs().to_string()));
        }
        if to_sip {
            parameters.push(("DialSipCallId", format!("{}@sip.example.test", self.entropy.uuid())));
            parameters.push(("DialSipResponseCode", sip_response.to_string()));
        }
        match (recording, recorded) {
            (_, Some(recorded)) => {
                let told = self.recorded(&recorded);
                parameters.extend(told.into_iter().filter(|(name, _)| *name == "RecordingUrl"));
            }
            (Some(order), None) => self.not_recorded(order, SOURCE),
            (None, None) => {}
        }
        for mut other in ringing {
            let (own, own_response, _) = unanswered(&other.human, ring_limit);
            let canceled = matches!(status, CallStatus::Canceled | CallStatus::Completed);
            let (status, response) = if canceled { (status, sip_response) } else { (own, own_response) };
            other.progress.ended(status, response);
            self.couriers.push(other.progress.into_courier());
        }
        if let Some(leg) = leg {
            let (report, couriers) = leg.end(CallStatus::Completed, 200);
            self.couriers.extend(couriers);
            self.phone.party_left(report);
        }
        parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Whether anybody has answered who is not gone yet.
    pub(super) fn is_connected(&self) -> bool {
        self.dialling.as_ref().is_some_and(|dialling| dialling.leg.is_some())
    }
}

/// What `action` is told when nobody could be dialled.
fn unconnected() -> Vec<(String, String)> {
    [("DialCallStatus", "failed"), ("DialBridged", "false")].map(|(name, value)| (name.into(), value.into())).into()
}
