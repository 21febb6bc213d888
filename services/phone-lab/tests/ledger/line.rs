//! Worker, edge and Twilio in a row, with messages that take their time between them and never overtake each other.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use edge::{
    call::{
        leg::{Frame, Leg, Setup},
        ticket::Claims,
    },
    worker::WorkerId,
};
use jiff::Timestamp;
use offhook_agents::Agents;
use offhook_hosting::{clock::Clock, entropy::Entropy};
use offhook_proto::voice::v1::{Accepted, Hush, Speak, from_edge, to_edge};
use sonic_worker::{
    agent::Agent,
    calls::{Entry, Turn},
    context::CallContext,
    conversation::{CallTime, Conversation, Input, Limits, Output, Past, SessionNo, Terms},
    nova::{GenerationStage, Role, ServerEvent, StopReason},
    prices::Prices,
    tools::Tools,
};

use crate::{
    agent::Story,
    media::{ACCOUNT, Manners, Media},
};

const MS: Duration = Duration::from_millis(1);

/// One way of a network. Times are in milliseconds.
struct Way<T> {
    delay: u64,
    jitter: u64,
    held: VecDeque<(u64, T)>,
}

impl<T> Way<T> {
    fn draw(delay: u64, jitter: u64, dice: &mut Entropy) -> Self {
        Self { delay: dice.between(0, delay + 1), jitter: dice.between(0, jitter + 1), held: VecDeque::new() }
    }

    /// Messages that are sent at once arrive together.
    fn send(&mut self, messages: impl IntoIterator<Item = T>, now: u64, dice: &mut Entropy) {
        let arrives = now + self.delay + dice.between(0, self.jitter + 1);
        let arrives = self.held.back().map_or(arrives, |(before, _)| arrives.max(*before));
        self.held.extend(messages.into_iter().map(|message| (arrives, message)));
    }

    fn receive(&mut self, now: u64) -> Option<T> {
        self.held.pop_front_if(|(at, _)| *at <= now).map(|(_, message)| message)
    }
}

/// A call.
pub(crate) struct Line {
    pub(crate) dice: Entropy,
    started: Instant,
    millis: u64,
    model: VecDeque<(u64, ServerEvent)>,
    conversation: Conversation,
    session: SessionNo,
    turns: Vec<Turn>,
    to_edge: Way<to_edge::Message>,
    to_worker: Way<Input>,
    leg: Leg,
    to_twilio: Way<String>,
    from_twilio: Way<String>,
    media: Media,
}

impl Line {
    /// A call whose conversation has just begun.
    pub(crate) fn new(manners: Manners, mut dice: Entropy) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an arbitrary point from which a test's time starts")]
        let started = Instant::now();
        let time = CallTime { started, started_at: Timestamp::UNIX_EPOCH };
        let tools = Tools::built_in(Clock).specs(false);
        let (prices, limits) = (Prices::default(), Limits::default());
        let terms = Terms {
            agent: Arc::new(Agent::demo()),
            tools,
            prices,
            limits,
            context: CallContext::default(),
            past: Past::default(),
        };
        let mut conversation = Conversation::new(terms, time, dice.fork());
        let Some(Output::OpenStream { session, .. }) = conversation.poll_output() else {
            panic!("a call has a session")
        };
        let mut media = Media::new(manners, dice.fork());
        let start = media.start();
        let call = start.split('"').find(|word| word.starts_with("CA")).unwrap().parse().unwrap();
        let worker = WorkerId::from_bytes(*b"worker 1");
        let claims = Claims { call, account: ACCOUNT.parse().unwrap(), worker };
        let setup = Setup { claims, ticket: String::new(), agents: Agents::demo(None).into(), can_redirect: false };
        let mut leg = Leg::new(setup, started);
        leg.handle_text(&start, started);
        leg.poll_action().expect("the leg has begun");
        leg.handle_worker(Some(to_edge::Message::Accepted(Accepted {})), started);
        let mut line = Self {
            started,
            millis: 0,
            model: VecDeque::new(),
            conversation,
            session,
            turns: Vec::new(),
            to_edge: Way::draw(10, 5, &mut dice),
            to_worker: Way::draw(10, 5, &mut dice),
            leg,
            to_twilio: Way::draw(150, 30, &mut dice),
            from_twilio: Way::draw(150, 30, &mut dice),
            media,
            dice,
        };
        line.handle(Input::StreamOpened { session, credentials_expire: None });
        line
    }

    /// From now on the model says this.
    pub(crate) fn say(&mut self, story: &Story) {
        let now = self.millis;
        let events = story.events().into_iter();
        self.model = events.map(|(after, event)| (now + after.as_millis() as u64, event)).collect();
    }

    /// The model notices that the caller speaks.
    pub(crate) fn interrupt(&mut self) {
        if !self.model.is_empty() {
            self.model.clear();
            self.hear_model(ServerEvent::AudioEnd(StopReason::EndTurn));
        }
        let start = ServerEvent::TextStart { role: Role::Assistant, stage: GenerationStage::Final };
        self.hear_model(start);
        self.hear_model(ServerEvent::TextEnd(StopReason::Interrupted));
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.millis + time.as_millis() as u64;
        while self.millis < until {
            self.millis += 1;
            self.step();
        }
    }

    pub(crate) fn samples_played(&self) -> u64 {
        self.media.samples_played
    }

    /// How much had been played when the line was cleared.
    pub(crate) fn cleared_at(&self) -> Option<u64> {
        self.media.cleared_at
    }

    /// Who said what, by the record.
    pub(crate) fn turns(&self) -> &[Turn] {
        &self.turns
    }

    fn now(&self) -> Instant {
        self.started + self.millis as u32 * MS
    }

    fn step(&mut self) {
        let now = self.millis;
        while let Some((_, event)) = self.model.pop_front_if(|(at, _)| *at <= now) {
            self.hear_model(event);
        }
        while let Some(input) = self.to_worker.receive(now) {
            self.handle(input);
        }
        if self.conversation.poll_deadline().is_some_and(|at| at <= self.now()) {
            self.handle(Input::Deadline);
        }
        while let Some(message) = self.to_edge.receive(now) {
            self.leg.handle_worker(Some(message), self.now());
        }
        let mut said = self.media.pass(now);
        while let Some(text) = self.to_twilio.receive(now) {
            said.extend(self.media.take(&text));
        }
        if !said.is_empty() {
            self.from_twilio.send(said, now, &mut self.dice);
        }
        while let Some(text) = self.from_twilio.receive(now) {
            self.leg.handle_text(&text, self.now());
        }
        self.drain_leg();
    }

    fn hear_model(&mut self, event: ServerEvent) {
        let session = self.session;
        self.handle(Input::Model { session, event });
    }

    fn drain_leg(&mut self) {
        let now = self.now();
        let frames = std::iter::from_fn(|| self.leg.poll_frame(now)).map(|frame| match frame {
            Frame::Text(text) | Frame::Clear { text, .. } => text,
            Frame::Close => panic!("the edge gives the stream up"),
        });
        let frames: Vec<_> = frames.collect();
        if !frames.is_empty() {
            self.to_twilio.send(frames, self.millis, &mut self.dice);
        }
        while let Some(message) = self.leg.poll_worker() {
            if let Some(from_edge::Message::Heard(heard)) = message.message {
                let heard = Input::Heard { sample: heard.sample, epoch: heard.epoch };
                self.to_worker.send([heard], self.millis, &mut self.dice);
            }
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "what goes to the model and to tools concerns no test here")]
    fn handle(&mut self, input: Input) {
        let now = self.now();
        self.conversation.handle(input, now);
        while let Some(output) = self.conversation.poll_output() {
            let message = match output {
                Output::Speak { first_sample, epoch, mulaw } => {
                    to_edge::Message::Speak(Speak { first_sample, mulaw, epoch })
                }
                Output::Hush { epoch } => to_edge::Message::Hush(Hush { epoch }),
                Output::Note(Entry::Turn(turn)) => {
                    self.turns.push(turn);
                    continue;
                }
                _ => continue,
            };
            self.to_edge.send([message], self.millis, &mut self.dice);
        }
    }
}
