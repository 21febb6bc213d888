//! The one task of a leg: carries out what the [`Conversation`] decides and tells it what happens.
//!
//! This is the only place of a leg that awaits. Nothing in it waits for one party alone: what the edge or the model is
//! too slow to take stays in a bounded outbox.

mod model;
mod record;
mod running_tools;

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use offhook_hosting::clock::Clock;
use offhook_proto::voice::v1::ToEdge;
use tokio::{sync::mpsc, time::Sleep};
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::{debug, warn};

use self::{model::Models, record::RecordWriter, running_tools::RunningTools};
use crate::{
    bedrock::SharedStreams,
    calls::{CallSid, RecordFiles, SharedStore},
    conversation::{Conversation, Input, LegEnd, Limits, Output},
    grpc::convert,
    metrics::{Dropped, Metrics},
    outbox::Outbox,
    prices::Prices,
    tools::Tools,
};

/// Agent audio that may wait for the edge: a minute, in samples.
const MOST_AGENT_AUDIO_SAMPLES: usize = 60 * 8_000;
/// How long the last words for the edge may take.
const LAST_WORDS_DEADLINE: Duration = Duration::from_secs(1);

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
    /// What tokens cost.
    pub prices: Prices,
    /// How long things may take.
    pub limits: Limits,
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
    conversation: Conversation,
    record: RecordWriter,
    edge: Option<ToEdgeSender>,
    edge_outbox: Outbox<Result<ToEdge, Status>>,
    models: Models,
    tools: RunningTools,
}

impl Runner {
    /// `conversation` begins its work when [`Runner::run`] does.
    pub fn new(services: Services, call: CallSid, conversation: Conversation, edge: ToEdgeSender) -> Self {
        Self {
            record: RecordWriter::new(services.store.clone(), call, services.metrics.clone()),
            services,
            conversation,
            edge: Some(edge),
            edge_outbox: Outbox::new(MOST_AGENT_AUDIO_SAMPLES),
            models: Models::default(),
            tools: RunningTools::default(),
        }
    }

    /// Runs until the conversation is finished. `from_edge` ends when the edge does; `hard_stop` when the worker must.
    pub async fn run(mut self, mut from_edge: impl Stream<Item = Input> + Unpin, hard_stop: CancellationToken) {
        let mut edge_is_there = true;
        // Both are registered once, not at every frame: other legs share the token and the timers.
        let hard_stop = hard_stop.cancelled_owned();
        let mut alarm = pin!(Alarm::default());
        let mut hard_stop = pin!(hard_stop.fuse());
        loop {
            while let Some(output) = self.conversation.poll_output() {
                if matches!(output, Output::Finished) {
                    return self.leave().await;
                }
                self.carry_out(output).await;
            }
            alarm.as_mut().set_for(self.conversation.poll_deadline());
            let input = tokio::select! {
                () = send(&mut self.edge, &mut self.edge_outbox), if self.edge.is_some() && !self.edge_outbox.is_empty() => continue,
                () = self.record.write_one(), if self.record.is_behind() => continue,
                input = from_edge.next(), if edge_is_there => input.unwrap_or_else(|| {
                    edge_is_there = false;
                    Input::LegEnded(LegEnd::ConnectionLost)
                }),
                input = poll_fn(|context| self.models.poll_next(context, &self.services.metrics)) => input,
                (id, result) = self.tools.next() => Input::ToolFinished { id, result },
                () = &mut alarm => Input::Deadline,
                () = &mut hard_stop => Input::Stop,
            };
            self.conversation.handle(input, self.services.clock.now());
        }
    }

    async fn carry_out(&mut self, output: Output) {
        match output {
            Output::OpenStream { session, opening, elsewhere } => {
                self.models.open(&self.services.streams, session, opening, elsewhere, &self.services.metrics);
            }
            Output::Send(session, event) => self.models.send(session, event),
            Output::SendAudio(session, event) => self.models.send_audio(session, event, &self.services.metrics),
            Output::EndInput(session) => self.models.end_input(session),
            Output::AbandonStream(session) => self.models.abandon(session),
            Output::Switched(cause) => self.services.metrics.switched(cause),
            Output::Accepted => self.edge_outbox.push(Ok(convert::accepted())),
            Output::Speak { first_sample, epoch, mulaw } => {
                let samples = mulaw.len();
                let dropped = self.edge_outbox.push_audio(Ok(convert::speak(first_sample, epoch, mulaw)), samples);
                self.services.metrics.dropped(Dropped::AgentAudio, dropped);
            }
            Output::Hush { epoch } => {
                self.services.metrics.interrupted();
                self.edge_outbox.drop_audio();
                self.edge_outbox.push(Ok(convert::hush(epoch)));
            }
            Output::RunTool(call) => self.tools.start(self.services.tools.clone(), call),
            Output::StopTool(id) => self.tools.stop(&id),
            Output::Note(entry) => self.record.note(entry),
            // The edge asks the store what comes next as soon as it knows that the leg is over.
            Output::Refused => {
                warn!("gave up opening a session");
                self.record.flush().await;
                self.edge_outbox.push(Err(convert::refused()));
            }
            Output::Next(step) => {
                self.record.flush().await;
                self.edge_outbox.push(Ok(convert::next(step)));
            }
            Output::Finished => {}
        }
    }

    /// Says the last words to the edge and leaves the record behind.
    async fn leave(mut self) {
        let flush = async {
            while self.edge.is_some() && !self.edge_outbox.is_empty() {
                send(&mut self.edge, &mut self.edge_outbox).await;
            }
        };
        if tokio::time::timeout(LAST_WORDS_DEADLINE, flush).await.is_err() {
            debug!("the edge did not take the last messages");
        }
        self.edge = None;
        self.record.finish(self.services.files.as_ref()).await;
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

/// A timer that is set anew only when its time changes, and never rings while it has none.
#[derive(Default)]
struct Alarm {
    at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    fn set_for(mut self: Pin<&mut Self>, at: Option<Instant>) {
        if self.at == at {
            return;
        }
        self.at = at;
        match (at, &mut self.sleep) {
            (Some(at), Some(sleep)) => sleep.as_mut().reset(at.into()),
            (Some(at), sleep @ None) => *sleep = Some(Box::pin(tokio::time::sleep_until(at.into()))),
            (None, sleep) => *sleep = None,
        }
    }
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = &mut self.sleep else { return Poll::Pending };
        std::task::ready!(sleep.as_mut().poll(context));
        // It rings once; the next time is set by whoever was woken.
        (self.at, self.sleep) = (None, None);
        Poll::Ready(())
    }
}
