//! `<Dial>`: whoever is brought into a call, what the legs' callbacks are told, and what `action` is.

use std::time::Duration;

use super::{Call, FAREWELL};
use crate::{
    tones,
    twilio::{
        CallStatus, Human,
        callbacks::{Courier, Event, Progress, Subscription},
        interpreter::{DialLeg, Ended},
        phone::Left,
        resource::{Direction, Identity},
        sid::CallSid,
        twiml::Target,
    },
};

/// The legs that ring, or the one that is up.
pub(super) struct Dialling {
    legs: Vec<Progress>,
    to_sip: bool,
    /// Since when the first leg is connected.
    bridged: Option<Duration>,
}

impl Call {
    /// Rings everybody; the human answers for the first of them.
    pub(super) async fn dial(&mut self, legs: Vec<DialLeg>, ring_limit: Duration) -> Result<Ended, Left> {
        let Some(first) = legs.first() else { return Ok(Ended::Dial(unconnected())) };
        let to_sip = matches!(first.target, Target::Sip(_));
        let legs = legs.into_iter().map(|leg| self.ring(leg)).collect();
        self.dialling = Some(Dialling { legs, to_sip, bridged: None });
        let (status, sip_response) = match self.options.human.clone() {
            Human::Busy => (CallStatus::Busy, 486),
            Human::Declines => (CallStatus::Busy, 603),
            Human::Unreachable => (CallStatus::Failed, 404),
            Human::Answers { after, says } if after < ring_limit => {
                self.phone.silence(after).await?;
                self.bridge();
                self.phone.hear(&tones::speak(&says)).await?;
                self.phone.silence(FAREWELL).await?;
                (CallStatus::Completed, 200)
            }
            Human::NoAnswer | Human::Answers { .. } => {
                self.phone.silence(ring_limit).await?;
                (CallStatus::NoAnswer, 487)
            }
        };
        Ok(Ended::Dial(self.end_dial(status, sip_response)))
    }

    /// A leg is a call of its own (Twilio docs, `<Sip>` and `<Number>`, `statusCallback`).
    fn ring(&mut self, leg: DialLeg) -> Progress {
        self.phone.dialled(leg.target.address());
        let parent = self.progress.identity();
        let identity = Identity {
            call_sid: CallSid::draw(&mut self.entropy),
            from: parent.from.clone(),
            to: leg.target.address().to_owned(),
            direction: Direction::OutboundDial,
            parent: Some(parent.call_sid.clone()),
            account_sid: parent.account_sid.clone(),
        };
        let ledger = self.progress.ledger().clone();
        // A leg hears of no updates: the lab redirects callers only.
        ledger.enter(identity.clone(), CallStatus::Queued, Duration::ZERO);
        let events = leg.events.iter().filter_map(|event| Event::parse(event)).collect();
        let subscription = leg.status_callback.map(|(url, method)| Subscription { url, method, events });
        let client = self.settings.client(self.options.signing, self.entropy.fork());
        let courier = Courier::start(client, self.options.callbacks, self.phone.clock());
        let mut progress = Progress::new(ledger, identity, subscription, courier);
        progress.initiated();
        progress.ringing();
        progress
    }

    /// The first leg is connected, and the others need not ring any longer.
    fn bridge(&mut self) {
        let Some(dialling) = &mut self.dialling else { return };
        dialling.bridged = Some(self.phone.now());
        let mut rest = dialling.legs.split_off(1);
        rest.iter_mut().for_each(|leg| leg.ended(CallStatus::Canceled, 487));
        self.couriers.extend(rest.into_iter().map(Progress::into_courier));
        dialling.legs.iter_mut().for_each(Progress::answered);
    }

    /// All legs are over. Gives what `action` is told (Twilio docs, `<Dial>`).
    fn end_dial(&mut self, status: CallStatus, sip_response: u16) -> Vec<(String, String)> {
        let Some(Dialling { mut legs, to_sip, bridged }) = self.dialling.take() else { return unconnected() };
        legs.iter_mut().for_each(|leg| leg.ended(status, sip_response));
        let mut parameters = vec![("DialCallStatus", status.as_str().to_owned())];
        parameters.extend(legs.first().map(|leg| ("DialCallSid", leg.identity().call_sid.to_string())));
        parameters.push(("DialBridged", bridged.is_some().to_string()));
        if let Some(since) = bridged {
            parameters.push(("DialCallDuration", (self.phone.now() - since).as_secs().to_string()));
        }
        if to_sip {
            parameters.push(("DialSipCallId", format!("{}@sip.example.test", self.entropy.uuid())));
            parameters.push(("DialSipResponseCode", sip_response.to_string()));
        }
        self.couriers.extend(legs.into_iter().map(Progress::into_courier));
        parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// A dialled leg that is broken off by REST has its `action` asked for all the same, as if it had been completed;
    /// the answer controls nothing. That is how Twilio was seen to do it.
    pub(super) async fn interrupt_dial(&mut self) -> Result<(), Left> {
        if self.dialling.is_none() {
            return Ok(());
        }
        let parameters = self.end_dial(CallStatus::Completed, 200);
        let Some(next) = self.interpreter.interrupted(parameters) else { return Ok(()) };
        let parameters = [self.parameters(), next.parameters].concat();
        self.requested(&next.url, next.method);
        let answer = self.phone.wait_for(self.client.request(&next.url, next.method, &parameters)).await?;
        answer.err().into_iter().for_each(|finding| self.phone.found(finding));
        Ok(())
    }

    /// The caller is gone, and whoever was dialled with that. Whether `action` hears of it is an option.
    pub(super) async fn abandon_dial(&mut self) {
        let Some(dialling) = &self.dialling else { return };
        let (status, sip_response) =
            if dialling.bridged.is_some() { (CallStatus::Completed, 200) } else { (CallStatus::Canceled, 487) };
        let parameters = self.end_dial(status, sip_response);
        if !self.options.dial_action_after_hang_up {
            return;
        }
        let Some(next) = self.interpreter.interrupted(parameters) else { return };
        let mut parameters = self.progress.identity().parameters(CallStatus::Completed.as_str());
        parameters.extend(next.parameters);
        self.requested(&next.url, next.method);
        let answer = self.client.request(&next.url, next.method, &parameters).await;
        answer.err().into_iter().for_each(|finding| self.phone.found(finding));
    }
}

/// What `action` is told when nobody could be dialled.
fn unconnected() -> Vec<(String, String)> {
    [("DialCallStatus", "failed"), ("DialBridged", "false")].map(|(name, value)| (name.into(), value.into())).into()
}
