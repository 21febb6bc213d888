//! Twilio's end of a media stream, and how it keeps time.

use std::collections::VecDeque;

use offhook_hosting::entropy::Entropy;
use phone_lab::twilio::{
    media::{Incoming, Outgoing},
    playout::{FRAME, Playout},
    sid::{CallSid, StreamSid},
};

/// How Twilio's messages follow on what it plays. Times are in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manners {
    /// From playing 20 ms of the agent to sending 20 ms of the caller.
    pub(crate) media_after: u64,
    /// The caller's audio is up to so much late at Twilio itself.
    pub(crate) media_late: u64,
}

/// A stream. Plays what it is sent to an ear that counts.
pub(crate) struct Media {
    manners: Manners,
    dice: Entropy,
    outgoing: Outgoing,
    playout: Playout,
    /// When the frames of the caller leave that are late.
    held: VecDeque<u64>,
    pub(crate) samples_played: u64,
    pub(crate) cleared_at: Option<u64>,
}

impl Media {
    pub(crate) fn new(manners: Manners, mut dice: Entropy) -> Self {
        let outgoing = Outgoing::new(ACCOUNT, CallSid::draw(&mut dice), StreamSid::draw(&mut dice), 155);
        let playout = Playout::new();
        Self { manners, dice, outgoing, playout, held: VecDeque::new(), samples_played: 0, cleared_at: None }
    }

    pub(crate) fn start(&mut self) -> String {
        self.outgoing.start(&[])
    }

    /// What Twilio says in this millisecond.
    pub(crate) fn pass(&mut self, millis: u64) -> Vec<String> {
        let mut said = Vec::new();
        if millis.is_multiple_of(20) {
            let queued = self.playout.queued();
            self.playout.tick();
            self.samples_played += (queued - self.playout.queued()) as u64;
            while let Some(name) = self.playout.poll_mark() {
                said.push(self.outgoing.mark(&name));
            }
            let late = if self.manners.media_late > 0 { self.dice.between(0, self.manners.media_late) } else { 0 };
            let due = millis + self.manners.media_after + late;
            self.held.push_back(self.held.back().map_or(due, |before| due.max(*before)));
        }
        while self.held.pop_front_if(|due| *due <= millis).is_some() {
            said.push(self.outgoing.media(&[0xff; FRAME]));
        }
        said
    }

    /// Takes a message of the edge; what Twilio says at once.
    pub(crate) fn take(&mut self, text: &str) -> Vec<String> {
        match Incoming::parse(text, self.outgoing.stream_sid()).unwrap() {
            Incoming::Media(mulaw) => self.playout.media(&mulaw).map(|()| Vec::new()).unwrap(),
            Incoming::Mark(name) => self.playout.mark(name).map(|name| self.outgoing.mark(&name)).into_iter().collect(),
            Incoming::Clear => {
                self.cleared_at = Some(self.samples_played);
                let marks = self.playout.clear().marks;
                marks.iter().map(|name| self.outgoing.mark(name)).collect()
            }
        }
    }
}

/// The account of every call.
pub(crate) const ACCOUNT: &str = "AC00000000000000000000000000000001";
