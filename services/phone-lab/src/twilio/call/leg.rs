//! Somebody who is brought into a call: a call of its own, with a phone and a human on it.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{Call, Detection, Placed};
use crate::twilio::{
    CallOptions,
    callbacks::{Courier, Progress},
    human::Party,
    interpreter::Place,
    ledger::{Source, Update},
    phone::Left,
    playout::FRAME,
    report::{CallEnd, CallReport},
    resource::{CallStatus, Identity, LONGEST_CALL},
    script::CallerScript,
    twiml::Method,
    url::Url,
};

/// Somebody who has answered.
pub(super) struct Leg {
    call: Box<Call>,
    verdict: Option<(Duration, Courier)>,
}

impl Leg {
    /// Somebody answers.
    pub(super) fn answered(
        host: &mut Call,
        progress: Progress,
        updates: mpsc::Receiver<Update>,
        party: Party,
        detection: Option<Detection>,
    ) -> Self {
        let identity = progress.identity();
        let script = CallerScript {
            from: identity.from.clone(),
            to: identity.to.clone(),
            patience: party.patience,
            steps: party.steps,
            sip_headers: Default::default(),
            dialled: Default::default(),
        };
        let options = CallOptions {
            signing: host.options.signing,
            callbacks: host.options.callbacks,
            network: host.options.network.clone(),
            keep_audio: host.options.keep_audio,
            ..CallOptions::default()
        };
        let (first, fallback) = (Source::Twiml(String::new()), None);
        let (outbound, recording) = (Some(LONGEST_CALL), None);
        let placed = Placed { progress, updates, first, fallback, outbound, detection, recording };
        let (settings, clock, entropy) = (host.settings.clone(), host.phone.clock(), host.entropy.fork());
        let mut call = Box::new(Call::new(settings, clock, entropy, script, options, None, placed));
        call.progress.answered();
        call.phone.came_with(sip_headers(call.progress.identity()));
        let url = call.settings.voice_url.clone();
        call.interpreter = super::Interpreter::new(url).in_place(Place::Leg);
        call.interpreter.answered();
        let verdict = call.detect_beside();
        Self { call, verdict }
    }

    /// Sends keys and runs a document, before the caller hears anything. Says whether the leg is still there and may be
    /// connected.
    pub(super) async fn prepare(&mut self, keys: &str, screen: Option<(Url, Method)>) -> bool {
        if let Err(left) = self.call.phone.play_keys(keys).await {
            return self.gone(left);
        }
        let Some((url, method)) = screen else { return true };
        match Box::pin(self.call.follow(Source::Url { url, method })).await {
            Ok(CallEnd::DocumentEnded) => true,
            Ok(end) => self.gone(Left::Gone(end)),
            Err(left) => self.gone(left),
        }
    }

    fn gone(&mut self, left: Left) -> bool {
        let end = match left {
            Left::Gone(end) => end,
            // The REST interface redirects no legs, and they have no streams.
            Left::Redirected(_) | Left::StreamStopped => CallEnd::EndedByRest,
        };
        self.call.phone.end(end);
        false
    }

    /// It is over. Gives what it leaves, and the callbacks that are still on their way.
    pub(super) fn end(mut self, status: CallStatus, sip_response: u16) -> (CallReport, Vec<Courier>) {
        self.call.phone.end_unless_over(CallEnd::OtherSideHungUp);
        self.call.progress.ended(status, sip_response);
        let now = self.call.phone.now();
        let mut couriers = std::mem::take(&mut self.call.couriers);
        couriers.extend(self.verdict.filter(|(takes, _)| *takes <= now).map(|(_, courier)| courier));
        couriers.push(self.call.progress.into_courier());
        (self.call.phone.into_report(), couriers)
    }

    pub(super) fn call_sid(&self) -> String {
        self.call.progress.identity().call_sid.to_string()
    }

    /// How long it has been up.
    pub(super) fn lasted(&self) -> Duration {
        self.call.phone.now()
    }
}

/// What the INVITE to a SIP address carries: the headers of the address, and Twilio's own (Twilio docs, `<Sip>`). None
/// for a number.
fn sip_headers(identity: &Identity) -> Vec<(String, String)> {
    let (address, headers) = identity.to.split_once('?').unwrap_or((&identity.to, ""));
    if !address.starts_with("sip") {
        return Vec::new();
    }
    // In a SIP address a plus is a plus.
    let headers = headers.replace('+', "%2B");
    let own = form_urlencoded::parse(headers.as_bytes()).into_owned();
    let twilio = [
        ("X-Twilio-ApiVersion", "2010-04-01"),
        ("X-Twilio-AccountSid", &identity.account_sid),
        ("X-Twilio-CallSid", identity.call_sid.as_str()),
    ];
    own.chain(twilio.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}

impl Call {
    /// The caller and the leg hear each other until one of them is gone.
    pub(super) async fn talk(&mut self, leg: &mut Leg, limit: Duration, star: bool) -> Result<(), Left> {
        self.connect_until_parted(leg, limit, star).await?;
        self.phone.cut_off();
        Ok(())
    }

    async fn connect_until_parted(&mut self, leg: &mut Leg, limit: Duration, star: bool) -> Result<(), Left> {
        let mut from_leg = [0; FRAME];
        let until = self.phone.now() + limit;
        self.phone.connected();
        leg.call.phone.connected();
        loop {
            self.phone.next_frame().await;
            let spoken = self.phone.frame(&from_leg);
            if let Some(left) = spoken.left {
                return Err(left);
            }
            if star && spoken.keys.contains(&'*') {
                return Ok(());
            }
            spoken.keys.into_iter().for_each(|key| leg.call.phone.hear_key(key));
            let answer = leg.call.phone.frame(&spoken.pcm);
            from_leg = answer.pcm;
            answer.keys.into_iter().for_each(|key| self.phone.hear_key(key));
            if let Some(left) = answer.left {
                leg.gone(left);
                return Ok(());
            }
            if until <= self.phone.now() {
                return Ok(());
            }
        }
    }
}
