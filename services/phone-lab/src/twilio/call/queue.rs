//! `<Enqueue>`: a caller who waits, what is heard meanwhile, and how the queue is left (Twilio docs, `<Enqueue>`).
//!
//! What a call in a queue meets is whole: `waitUrl`, over and over, with what it is told of the queue; `<Leave>`, a full
//! queue, a redirect, and an agent who takes the call out. The agent's own call is not: [`super::CallOptions`] says when
//! somebody comes.

use std::{future::pending, time::Duration};

use tokio::sync::mpsc;

use super::{Call, Performed, leg::Leg};
use crate::{
    tones,
    twilio::{
        CallStatus,
        callbacks::Progress,
        human::Party,
        interpreter::{Action, Ended, Interpreter, NextDocument, Place},
        ledger::QueueView,
        phone::Left,
        report::{CallEnd, Finding},
        resource::{Direction, Identity, LONGEST_CALL},
        sid::CallSid,
        twiml::Method,
        url::Url,
    },
};

/// What plays without a `waitUrl`, and the silence after it.
const HOLD_MUSIC: &str = "la la la";
const REST: Duration = Duration::from_secs(2);

/// A queue that a call is in.
pub(super) struct Waiting {
    name: String,
    connected: bool,
}

/// How waiting ended.
enum Waited {
    Left,
    AgentCame,
    Over(CallEnd),
    Failed(Finding),
}

impl Call {
    /// Waits in a queue until it is left.
    pub(super) async fn enqueue(
        &mut self,
        name: String,
        wait: Option<(Url, Method)>,
        most: usize,
    ) -> Result<Performed, Left> {
        let ledger = self.progress.ledger().clone();
        let call_sid = self.progress.identity().call_sid.clone();
        if let Err(full) = ledger.enter_queue(&name, &call_sid, most, &mut self.entropy) {
            return Ok(Performed::Done(Ended::With(result("queue-full", Some(full)))));
        }
        self.waiting = Some(Waiting { name, connected: false });
        let before = Interpreter::new(self.settings.voice_url.clone()).in_place(Place::Queue);
        let before = std::mem::replace(&mut self.interpreter, before);
        let agent = self.options.queue_agent.as_ref().and_then(|human| human.party());
        let comes = agent.as_ref().map(|agent| agent.after);
        let waited = tokio::select! {
            biased;
            () = after(comes) => Ok(Waited::AgentCame),
            waited = Box::pin(self.hold(wait)) => waited,
        };
        self.interpreter = before;
        let how = match waited? {
            Waited::Left => "leave",
            Waited::Over(end) => return Ok(Performed::Over(end)),
            Waited::Failed(finding) => {
                self.phone.found(finding);
                "error"
            }
            Waited::AgentCame => {
                self.phone.cut_off();
                if let Some(agent) = agent {
                    self.talk_to(agent).await?;
                }
                "bridged"
            }
        };
        Ok(Performed::Done(Ended::With(self.leave_queue(how))))
    }

    /// The caller is connected to who came, until one of them is gone.
    async fn talk_to(&mut self, agent: Party) -> Result<(), Left> {
        if let Some(waiting) = &mut self.waiting {
            waiting.connected = true;
        }
        let progress = self.agent();
        // Nobody can update a call that is not the account's.
        let (_, updates) = mpsc::channel(1);
        let mut leg = Leg::answered(self, progress, updates, agent, None);
        let parted = self.talk(&mut leg, LONGEST_CALL, false).await;
        let (report, couriers) = leg.end(CallStatus::Completed, 200);
        self.couriers.extend(couriers);
        self.phone.party_left(report);
        parted
    }

    /// An agent's own call, which is nobody's business here.
    fn agent(&mut self) -> Progress {
        let host = self.progress.identity();
        let identity = Identity {
            call_sid: CallSid::draw(&mut self.entropy),
            account_sid: host.account_sid.clone(),
            from: host.to.clone(),
            to: host.from.clone(),
            direction: Direction::Inbound,
            parent: None,
            sip: None,
        };
        Progress::new(self.progress.ledger().clone(), identity, None, self.courier())
    }

    /// Leaves the queue that the call is in. Gives what `action` is told.
    pub(super) fn leave_queue(&mut self, how: &str) -> Vec<(String, String)> {
        let Some(Waiting { name, .. }) = self.waiting.take() else { return Vec::new() };
        let call_sid = &self.progress.identity().call_sid;
        result(how, self.progress.ledger().leave_queue(&name, call_sid))
    }

    /// Whether the call is in a queue, and whether somebody has come for it.
    pub(super) fn in_queue(&self) -> Option<bool> {
        self.waiting.as_ref().map(|waiting| waiting.connected)
    }

    /// What the caller hears until somebody comes.
    async fn hold(&mut self, wait: Option<(Url, Method)>) -> Result<Waited, Left> {
        let Some((url, method)) = wait else { return self.hold_music().await };
        loop {
            let parameters = self.told_of_the_queue();
            let mut action = Action::Request(NextDocument { url: url.clone(), method, parameters });
            loop {
                action = match Box::pin(self.perform(action)).await? {
                    Performed::Over(CallEnd::DocumentEnded) => break,
                    Performed::Over(end) => return Ok(Waited::Over(end)),
                    Performed::LeftQueue => return Ok(Waited::Left),
                    Performed::Failed(finding) => return Ok(Waited::Failed(finding)),
                    Performed::Done(ended) => self.next(ended),
                };
            }
        }
    }

    async fn hold_music(&mut self) -> Result<Waited, Left> {
        loop {
            self.phone.twilio_says(HOLD_MUSIC);
            self.phone.hear(&tones::speak(HOLD_MUSIC)).await?;
            self.phone.silence(REST).await?;
        }
    }

    /// What `waitUrl` is told.
    fn told_of_the_queue(&self) -> Vec<(String, String)> {
        let Some(Waiting { name, .. }) = &self.waiting else { return Vec::new() };
        let call_sid = &self.progress.identity().call_sid;
        let Some(view) = self.progress.ledger().view_queue(name, call_sid) else { return Vec::new() };
        [
            ("QueuePosition", view.position.to_string()),
            ("QueueSid", view.sid),
            ("QueueTime", view.waited.as_secs().to_string()),
            ("AvgQueueTime", view.average.as_secs().to_string()),
            ("CurrentQueueSize", view.size.to_string()),
            ("MaxQueueSize", view.most.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

async fn after(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => pending().await,
    }
}

fn result(how: &str, view: Option<QueueView>) -> Vec<(String, String)> {
    let mut told = vec![("QueueResult".to_owned(), how.to_owned())];
    if let Some(QueueView { sid, waited, .. }) = view {
        told.push(("QueueSid".to_owned(), sid));
        told.push(("QueueTime".to_owned(), waited.as_secs().to_string()));
    }
    told
}
