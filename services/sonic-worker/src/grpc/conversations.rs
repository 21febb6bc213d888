use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use offhook_hosting::{entropy::Entropy, lifecycle::Lifecycle, telemetry};
use offhook_proto::voice::v1::{FromEdge, ToEdge, conversations_server::Conversations, from_edge};
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};
use tracing::{Instrument, info, info_span, warn};

use super::{
    LiveCalls, Place, Places, Question, Questions,
    convert::{self, Start},
    used_tickets::UsedTickets,
};
use crate::{
    agent::Agents,
    calls::{CallRecord, NextStep},
    conversation::{CallTime, Conversation, Input, Past, Terms},
    metrics::RefusedLeg,
    runner::{Runner, Services, ToEdgeSender},
};

/// How long an edge may take to say `Start`.
const START_DEADLINE: Duration = Duration::from_secs(5);
/// A call takes in a text a second, so that whoever tells it more notices.
const BETWEEN_TEXTS: Duration = Duration::from_secs(1);
/// Room for messages on the way to the edge. Small, because what is in it can no longer be hushed.
const TO_EDGE_CAPACITY: usize = 16;

/// What a worker serves legs with.
pub struct Worker {
    /// What every leg needs.
    pub services: Services,
    /// Who answers.
    pub agents: Agents,
    /// The legs that there may be at a time.
    pub places: Places,
    /// Who is told what Twilio asks about ended legs.
    pub questions: Questions,
    /// Who is told what models are to be told.
    pub live_calls: LiveCalls,
    /// When to stop taking legs, and when to end them.
    pub lifecycle: Lifecycle,
    /// Where each leg's randomness comes from.
    pub entropy: Entropy,
}

/// Takes legs.
pub struct ConversationsService {
    services: Services,
    agents: Agents,
    places: Places,
    tickets: Arc<UsedTickets>,
    questions: Questions,
    live_calls: LiveCalls,
    lifecycle: Lifecycle,
    entropy: Mutex<Entropy>,
}

impl ConversationsService {
    /// Takes legs for `worker`.
    pub fn new(worker: Worker) -> Self {
        let Worker { services, agents, places, questions, live_calls, lifecycle, entropy } = worker;
        let (tickets, entropy) = (Arc::new(UsedTickets::new(services.clock)), Mutex::new(entropy));
        Self { services, agents, places, tickets, questions, live_calls, lifecycle, entropy }
    }

    fn leg(&self) -> Leg {
        Leg {
            services: self.services.clone(),
            agents: self.agents.clone(),
            places: self.places.clone(),
            tickets: Arc::clone(&self.tickets),
            questions: self.questions.clone(),
            live_calls: self.live_calls.clone(),
            lifecycle: self.lifecycle.clone(),
            entropy: self.entropy.lock().unwrap_or_else(PoisonError::into_inner).fork(),
        }
    }
}

#[tonic::async_trait]
impl Conversations for ConversationsService {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<ToEdge, Status>> + Send>>;

    async fn attach(&self, request: Request<Streaming<FromEdge>>) -> Result<Response<Self::AttachStream>, Status> {
        // What cannot be served whichever call it is need not say `Start`.
        if self.lifecycle.is_draining() && !self.places.any_held() {
            return Err(draining(&self.services));
        }
        if !self.places.may_have_one() {
            return Err(full(&self.services));
        }
        let span = info_span!(
            "leg",
            otel.kind = "server",
            call.sid = tracing::field::Empty,
            stream.sid = tracing::field::Empty
        );
        telemetry::continue_trace(&span, telemetry::received_trace(request.metadata()));
        let (to_edge, messages) = mpsc::channel(TO_EDGE_CAPACITY);
        let leg = self.leg();
        let serve = async move {
            if let Some(question) = leg.serve(request.into_inner(), to_edge).await {
                question.asked().await;
            }
        };
        self.lifecycle.tasks().spawn(serve.instrument(span));
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }
}

fn full(services: &Services) -> Status {
    services.metrics.leg_refused(RefusedLeg::Full);
    Status::resource_exhausted("all sessions of this worker are in use")
}

fn draining(services: &Services) -> Status {
    services.metrics.leg_refused(RefusedLeg::Draining);
    Status::unavailable("this worker is draining")
}

/// A leg that somebody wants to have served.
struct Leg {
    services: Services,
    agents: Agents,
    places: Places,
    tickets: Arc<UsedTickets>,
    questions: Questions,
    live_calls: LiveCalls,
    lifecycle: Lifecycle,
    entropy: Entropy,
}

impl Leg {
    /// Serves the leg to its end; the question that Twilio will ask then, if it will.
    async fn serve(self, mut from_edge: Streaming<FromEdge>, to_edge: ToEdgeSender) -> Option<Question> {
        let (start, place, question) = match self.admitted(&mut from_edge).await {
            Ok(admitted) => admitted,
            Err(status) => {
                warn!(error = status.message(), "refused a leg");
                // An edge that is gone does not need to know.
                let _ = to_edge.send(Err(status)).await;
                return None;
            }
        };
        let live = self.services.metrics.leg();
        let span = tracing::Span::current();
        span.record("call.sid", start.call.as_str()).record("stream.sid", &start.stream_sid);
        info!("a leg begins");
        let (call, store) = (start.call.clone(), Arc::clone(&self.services.store));
        self.converse(start, from_edge, to_edge).await;
        drop((live, place));
        let record = store.record(&call).await.ok().flatten()?;
        (!record.has_hung_up()).then_some(question)
    }

    /// A valid `Start` of a call without another leg, with a ticket that has opened none, and the place that the call gets. A worker that drains
    /// still takes a call that was promised a place.
    async fn admitted(&self, from_edge: &mut Streaming<FromEdge>) -> Result<(Start, Place, Question), Status> {
        let metrics = &self.services.metrics;
        let start = tokio::select! {
            start = receive_start(from_edge) => start,
            () = self.lifecycle.hard_stop().cancelled() => Err(Status::unavailable("this worker is stopping")),
        };
        let start = start.inspect_err(|_| metrics.leg_refused(RefusedLeg::NoStart))?;
        if self.lifecycle.is_draining() && !self.places.is_held(&start.call) {
            return Err(draining(&self.services));
        }
        if !self.tickets.admit(&start.ticket_id) {
            metrics.leg_refused(RefusedLeg::UsedTicket);
            return Err(Status::already_exists("the ticket has opened a leg before"));
        }
        let question = self.questions.expect(&start.call).ok_or_else(|| {
            metrics.leg_refused(RefusedLeg::SecondOfCall);
            Status::already_exists("the call has a leg")
        })?;
        let place = self.places.take(&start.call).ok_or_else(|| full(&self.services))?;
        Ok((start, place, question))
    }

    async fn converse(self, start: Start, from_edge: Streaming<FromEdge>, to_edge: ToEdgeSender) {
        let Self { services, agents, live_calls, lifecycle, entropy, .. } = self;
        let hard_stop = lifecycle.hard_stop().clone();
        let time = CallTime { started: services.clock.now(), started_at: services.clock.wall() };
        let agent = Arc::clone(agents.named(&start.agent));
        if !start.agent.is_empty() && start.agent != agent.name {
            warn!(agent = agent.name, "the edge named an agent that this worker does not have: the default one speaks");
        }
        // Until the conversation decides: who asks meanwhile has lost the leg's socket, and this side has not noticed.
        let (name, next_step) = (agent.name.clone(), NextStep::Reattach);
        let mut leg = CallRecord::new(start.call.clone(), name, start.context.direction, time.started_at, next_step);
        leg.caller = start.context.caller().cloned();
        leg.parameters.clone_from(&start.context.parameters);
        let mut context = start.context;
        // First, so that a report that the call is over finds either the record or the leg.
        let mut live = live_calls.begin(&start.call);
        let past = match services.store.begin(leg).await {
            Ok(begun) if begun.is_over() => {
                info!("the call is over already");
                // An edge that is gone does not need to know.
                let _ = to_edge.send(Ok(convert::next(NextStep::HangUp { say: None }))).await;
                return;
            }
            Ok(begun) => {
                context.remember(begun.before.as_ref());
                Past::from(begun)
            }
            Err(error) => {
                warn!(%error, "the call has no record");
                Past::default()
            }
        };
        let tools = services.tools.specs(start.transfer_available);
        let (prices, limits) = (services.prices, services.limits);
        let terms = Terms { agent, tools, prices, limits, context, past };
        let conversation = Conversation::new(terms, time, entropy);
        let metrics = services.metrics.clone();
        let from_edge = from_edge.filter_map(move |message| {
            let input: Option<Input> = message.map_or_else(|status| Some(convert::broken(&status)), convert::input);
            if input.is_none() {
                metrics.ignored();
            }
            input
        });
        let over = Box::pin(live.over().map(|()| Some(Input::CallOver)));
        let told = Box::pin(live.throttle(BETWEEN_TEXTS));
        // The leg is over with the edge's stream, not with what it might still be told.
        let from_edge = from_edge.map(Some).chain(tokio_stream::once(None));
        let inputs = from_edge.merge(told.map(|text| Some(Input::Told(text)))).merge(over);
        let inputs = inputs.map_while(std::convert::identity);
        // Boxed: a leg holds all that is known of its conversation, too much to be moved about.
        Box::pin(Runner::new(services, start.call, conversation, to_edge).run(inputs, hard_stop)).await;
    }
}

async fn receive_start(from_edge: &mut Streaming<FromEdge>) -> Result<Start, Status> {
    let first = tokio::time::timeout(START_DEADLINE, from_edge.message()).await;
    let message = first.map_err(|_| Status::deadline_exceeded("no start came in time"))??;
    match message.and_then(|message| message.message) {
        Some(from_edge::Message::Start(start)) => start.try_into(),
        Some(_) | None => Err(Status::invalid_argument("the first message must be start")),
    }
}
