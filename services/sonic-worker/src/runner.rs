//! The one task of a leg: carries out what the [`Conversation`] decides and tells it what happens.
//!
//! This is the only place of a leg that awaits. Nothing in it waits for one party alone: what the edge or the model is
//! too slow to take stays in a bounded outbox.

use std::time::{Duration, Instant};

use offhook_hosting::clock::Clock;
use offhook_proto::voice::v1::ToEdge;
use serde_json::Value;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::{Instrument, Span, debug, info, info_span, warn};

use crate::{
    bedrock::{INPUT_CAPACITY, ModelOutput, OpenFuture, SharedStreams},
    calls::{CallSid, Entry, RecordFiles, SharedStore},
    conversation::{Conversation, Input, LegEnd, Output},
    grpc::convert,
    metrics::{Dropped, Live, Metrics},
    nova::{ClientEvent, Failure, ToolUseId},
    outbox::Outbox,
    tools::Tools,
};

/// Caller audio that may wait for the model: three seconds, in events of about 20 ms.
const MOST_CALLER_AUDIO_EVENTS: usize = 150;
/// Agent audio that may wait for the edge: a minute, in samples.
const MOST_AGENT_AUDIO_SAMPLES: usize = 60 * 8_000;
/// How long the last words for the edge may take.
const FLUSH_DEADLINE: Duration = Duration::from_secs(1);

/// What legs need of their worker.
#[derive(Clone)]
pub struct Services {
    /// Where models are.
    pub streams: SharedStreams,
    /// What agents can do.
    pub tools: Tools,
    /// Where records are kept.
    pub store: SharedStore,
    /// Where ended calls are left as files, if anywhere.
    pub files: Option<RecordFiles>,
    /// The worker's instruments.
    pub metrics: Metrics,
    /// The worker's clock.
    pub clock: Clock,
}

/// Messages to the edge: what a leg's gRPC stream answers with.
pub type ToEdgeSender = mpsc::Sender<Result<ToEdge, Status>>;

/// Serves one leg to its end.
pub struct Runner {
    services: Services,
    call: CallSid,
    conversation: Conversation,
    edge: Option<ToEdgeSender>,
    edge_outbox: Outbox<Result<ToEdge, Status>>,
    model: Model,
    model_input: Option<mpsc::Sender<ClientEvent>>,
    input_ends: bool,
    model_outbox: Outbox<ClientEvent>,
    tools: JoinSet<(ToolUseId, Value)>,
    hard_stop: CancellationToken,
}

/// What comes back from the model, as far as its stream is open.
#[derive(Default)]
struct Model {
    opening: Option<OpenFuture>,
    output: Option<ModelOutput>,
    span: Option<Span>,
    _live: Option<Live>,
}

impl Runner {
    /// `conversation` begins its work when [`Runner::run`] does.
    pub fn new(
        services: Services,
        call: CallSid,
        conversation: Conversation,
        edge: ToEdgeSender,
        hard_stop: CancellationToken,
    ) -> Self {
        Self {
            services,
            call,
            conversation,
            edge: Some(edge),
            edge_outbox: Outbox::new(MOST_AGENT_AUDIO_SAMPLES),
            model: Model::default(),
            model_input: None,
            input_ends: false,
            model_outbox: Outbox::new(MOST_CALLER_AUDIO_EVENTS),
            tools: JoinSet::new(),
            hard_stop,
        }
    }

    /// Runs until the conversation is finished. `from_edge` ends when the edge does.
    pub async fn run(mut self, mut from_edge: impl Stream<Item = Input> + Unpin) {
        let mut edge_is_there = true;
        let mut stopping = false;
        loop {
            while let Some(output) = self.conversation.poll_output() {
                if matches!(output, Output::Finished) {
                    return self.leave().await;
                }
                self.carry_out(output).await;
            }
            let input = tokio::select! {
                () = send(&mut self.edge, &mut self.edge_outbox), if self.edge.is_some() && !self.edge_outbox.is_empty() => continue,
                () = send(&mut self.model_input, &mut self.model_outbox), if self.model_input.is_some() && !self.model_outbox.is_empty() => {
                    self.end_input_when_sent();
                    continue;
                }
                input = from_edge.next(), if edge_is_there => input.unwrap_or_else(|| {
                    edge_is_there = false;
                    Input::LegEnded(LegEnd::ConnectionLost)
                }),
                input = self.model.recv(&self.services.metrics) => input,
                Some(done) = self.tools.join_next() => match done {
                    Ok((id, result)) => Input::ToolFinished { id, result },
                    Err(error) => { warn!(%error, "a tool broke; its deadline answers for it"); continue }
                },
                () = until(self.conversation.poll_deadline()) => Input::Deadline,
                () = self.hard_stop.cancelled(), if !stopping => { stopping = true; Input::Stop }
            };
            if matches!(input, Input::StreamEnded(_) | Input::StreamRefused(_)) {
                self.forget_model();
            }
            self.conversation.handle(input, self.services.clock.now());
        }
    }

    async fn carry_out(&mut self, output: Output) {
        match output {
            Output::OpenStream(opening) => self.open_stream(opening),
            Output::Send(event) => self.model_outbox.push(event),
            Output::SendAudio(event) => {
                let dropped = self.model_outbox.push_audio(event, 1);
                (0..dropped).for_each(|_| self.services.metrics.dropped(Dropped::CallerAudio));
            }
            Output::EndInput => {
                self.input_ends = true;
                self.end_input_when_sent();
            }
            Output::AbandonStream => {
                warn!("the model did not end its stream; dropped it");
                self.forget_model();
            }
            Output::Accepted => self.edge_outbox.push(Ok(convert::accepted())),
            Output::Refused => {
                info!("the model took no session");
                self.edge_outbox
                    .push(Err(Status::failed_precondition("the model took no session: ask Calls.NextStep")));
            }
            Output::Speak { first_sample, epoch, mulaw } => {
                let samples = mulaw.len();
                let dropped = self.edge_outbox.push_audio(Ok(convert::speak(first_sample, epoch, mulaw)), samples);
                (0..dropped).for_each(|_| self.services.metrics.dropped(Dropped::AgentAudio));
            }
            Output::Hush { epoch } => {
                self.services.metrics.interrupted();
                self.edge_outbox.drop_audio();
                self.edge_outbox.push(Ok(convert::hush(epoch)));
            }
            Output::RunTool(call) => {
                let tools = self.services.tools.clone();
                let span = info_span!("tool", tool.use_id = %call.id);
                self.tools.spawn(async move { (call.id, tools.run(&call.name, call.input).await) }.instrument(span));
            }
            Output::Note(entry) => self.note(entry).await,
            Output::Next(step) => self.edge_outbox.push(Ok(convert::next(step))),
            Output::Finished => {}
        }
    }

    fn open_stream(&mut self, opening: Vec<ClientEvent>) {
        let (input, events) = mpsc::channel(INPUT_CAPACITY);
        let span = info_span!("model session", otel.kind = "client");
        for event in opening {
            // The channel is new and larger than any opening; whatever does not fit goes the way of all events.
            if let Err(error) = input.try_send(event) {
                self.model_outbox.push(error.into_inner());
            }
        }
        let opening = self.services.streams.open(events).instrument(span.clone());
        self.model_input = Some(input);
        self.model = Model {
            opening: Some(Box::pin(opening)),
            _live: Some(self.services.metrics.session()),
            span: Some(span),
            output: None,
        };
    }

    fn forget_model(&mut self) {
        self.model = Model::default();
        self.model_input = None;
        self.model_outbox = Outbox::new(MOST_CALLER_AUDIO_EVENTS);
    }

    /// The end of the input comes after everything that was to be sent before it.
    fn end_input_when_sent(&mut self) {
        if self.input_ends && self.model_outbox.is_empty() {
            self.model_input = None;
        }
    }

    async fn note(&mut self, entry: Entry) {
        self.services.metrics.noted(&entry);
        if let Entry::Ended { outcome, .. } = &entry {
            info!(call.outcome = outcome.as_str(), "the conversation ended");
        }
        if let Err(error) = self.services.store.append(&self.call, entry).await {
            warn!(%error, "the call's record is not whole");
        }
    }

    /// Says the last words to the edge and leaves the record behind.
    async fn leave(mut self) {
        let flush = async {
            while self.edge.is_some() && !self.edge_outbox.is_empty() {
                send(&mut self.edge, &mut self.edge_outbox).await;
            }
        };
        if tokio::time::timeout(FLUSH_DEADLINE, flush).await.is_err() {
            debug!("the edge did not take the last messages");
        }
        self.edge = None;
        let Some(files) = &self.services.files else { return };
        match self.services.store.record(&self.call).await {
            Ok(Some(record)) => {
                if let Err(error) = files.write(&record).await {
                    warn!(%error, "the call's record could not be written to its file");
                }
            }
            Ok(None) => warn!("the call's record is gone before it could be written to its file"),
            Err(error) => warn!(%error, "the call's record could not be read"),
        }
    }
}

impl Model {
    /// What the stream does next; never, while there is none.
    async fn recv(&mut self, metrics: &Metrics) -> Input {
        if let Some(opening) = &mut self.opening {
            let opened = opening.await;
            self.opening = None;
            metrics.session_start(opened.as_ref().err().copied());
            return self.handle_opened(opened);
        }
        let Some(output) = &mut self.output else { return std::future::pending().await };
        match output.recv().await {
            Some(Ok(event)) => Input::Model(event),
            Some(Err(failure)) => self.handle_ended(Some(failure)),
            None => self.handle_ended(None),
        }
    }

    fn handle_opened(&mut self, opened: Result<ModelOutput, Failure>) -> Input {
        match opened {
            Ok(output) => {
                self.output = Some(output);
                Input::StreamOpened
            }
            Err(failure) => Input::StreamRefused(failure),
        }
    }

    fn handle_ended(&self, failure: Option<Failure>) -> Input {
        if let (Some(span), Some(failure)) = (&self.span, failure) {
            span.in_scope(|| warn!(%failure, "the model's stream broke"));
        }
        Input::StreamEnded(failure)
    }
}

/// Moves one item on as soon as there is room. A receiver that is gone takes everything with it.
async fn send<T>(sender: &mut Option<mpsc::Sender<T>>, outbox: &mut Outbox<T>) {
    let Some(open) = sender else { return };
    let Ok(permit) = open.reserve().await else {
        *sender = None;
        return;
    };
    if let Some(item) = outbox.pop() {
        permit.send(item);
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
