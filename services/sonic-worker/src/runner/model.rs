use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio_util::sync::PollSender;
use tracing::{Span, debug, info, info_span, warn};

use crate::{
    bedrock::{INPUT_CAPACITY, ModelOutput, OpenFuture, OpenRequest, Region, SharedStreams, StreamFailure},
    conversation::{Input, SessionNo},
    metrics::{Dropped, Live, Metrics},
    nova::{ClientEvent, Failure, ServerEvent},
    outbox::Outbox,
};

/// Caller audio that may wait for a model: three seconds, in events of about 20 ms.
const MOST_CALLER_AUDIO_EVENTS: usize = 150;

/// The streams of a leg's model sessions: one as a rule, two or three while one takes over from another.
#[derive(Default)]
pub(super) struct Models {
    models: Vec<Model>,
    /// Who is asked first, so that one that says a lot silences no other.
    first: usize,
    /// Where a stream failed last.
    failed_in: Option<Region>,
}

/// One stream, from its opening to its end.
struct Model {
    session: SessionNo,
    state: State,
    input: Option<PollSender<ClientEvent>>,
    outbox: Outbox<ClientEvent>,
    /// Nothing more is to come: the input ends when all is sent.
    input_ends: bool,
    span: Span,
    _live: Live,
}

enum State {
    Opening(OpenFuture),
    Open(ModelOutput),
}

impl Models {
    pub(super) fn open(
        &mut self,
        streams: &SharedStreams,
        session: SessionNo,
        opening: Vec<ClientEvent>,
        elsewhere: bool,
        metrics: &Metrics,
    ) {
        let (sender, input) = mpsc::channel(INPUT_CAPACITY);
        let mut outbox = Outbox::new(MOST_CALLER_AUDIO_EVENTS);
        for event in opening {
            // The channel is new and larger than any opening; whatever does not fit goes the way of all events.
            if let Err(error) = sender.try_send(event) {
                outbox.push(error.into_inner());
            }
        }
        let number = tracing::field::display(session);
        let span =
            info_span!("model session", otel.kind = "client", session = number, aws.request_id = tracing::field::Empty);
        let not_in = self.failed_in.clone().filter(|_| elsewhere);
        let opening = span.in_scope(|| streams.open(OpenRequest { input, not_in }));
        self.models.push(Model {
            session,
            state: State::Opening(opening),
            input: Some(PollSender::new(sender)),
            outbox,
            input_ends: false,
            span,
            _live: metrics.session(),
        });
    }

    /// Sends what must arrive, in order.
    pub(super) fn send(&mut self, session: SessionNo, event: ClientEvent) {
        if let Some(model) = self.get(session) {
            model.outbox.push(event);
        }
    }

    pub(super) fn send_audio(&mut self, session: SessionNo, event: ClientEvent, metrics: &Metrics) {
        if let Some(model) = self.get(session) {
            metrics.dropped(Dropped::CallerAudio, model.outbox.push_audio(event, 1));
        }
    }

    /// The input ends after everything that was to be sent before.
    pub(super) fn end_input(&mut self, session: SessionNo) {
        if let Some(model) = self.get(session) {
            model.input_ends = true;
        }
    }

    pub(super) fn abandon(&mut self, session: SessionNo) {
        if let Some(model) = self.get(session) {
            model.span.in_scope(|| warn!("the model did not end its stream; dropped it"));
        }
        self.models.retain(|model| model.session != session);
    }

    /// Moves on what waits to be sent, and tells what comes back; nothing ever, while there is no stream.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>, metrics: &Metrics) -> Poll<Input> {
        let count = self.models.len();
        for at in (0..count).map(|nth| (self.first + nth) % count) {
            let model = &mut self.models[at];
            model.poll_send(context);
            if let Poll::Ready(input) = model.poll_next(context, metrics, &mut self.failed_in) {
                self.first = at + 1;
                if matches!(input, Input::StreamEnded { .. } | Input::StreamRefused { .. }) {
                    self.models.remove(at);
                }
                return Poll::Ready(input);
            }
        }
        Poll::Pending
    }

    fn get(&mut self, session: SessionNo) -> Option<&mut Model> {
        self.models.iter_mut().find(|model| model.session == session)
    }
}

impl Model {
    fn poll_send(&mut self, context: &mut Context<'_>) {
        while let Some(input) = self.input.as_mut().filter(|_| !self.outbox.is_empty()) {
            match input.poll_reserve(context) {
                Poll::Pending => return,
                Poll::Ready(reserved) => {
                    let sent =
                        reserved.is_ok() && self.outbox.pop().is_some_and(|event| input.send_item(event).is_ok());
                    if !sent {
                        // Nobody reads any more; what the stream has to say about that comes from its other half.
                        self.input = None;
                    }
                }
            }
        }
        if self.input_ends && self.outbox.is_empty() {
            self.input = None;
        }
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        metrics: &Metrics,
        failed_in: &mut Option<Region>,
    ) -> Poll<Input> {
        match &mut self.state {
            State::Opening(opening) => {
                let opened = std::task::ready!(self.span.in_scope(|| opening.as_mut().poll(context)));
                Poll::Ready(self.handle_opened(opened, metrics, failed_in))
            }
            State::Open(output) => {
                let told = std::task::ready!(output.poll_recv(context));
                let region = output.region().clone();
                Poll::Ready(self.handle_told(told, region, metrics, failed_in))
            }
        }
    }

    fn handle_opened(
        &mut self,
        opened: Result<ModelOutput, StreamFailure>,
        metrics: &Metrics,
        failed_in: &mut Option<Region>,
    ) -> Input {
        metrics.session_start(opened.as_ref().err().map(|failure| failure.kind));
        let session = self.session;
        match opened {
            Ok(output) => {
                let credentials_expire = output.credentials_expire();
                self.state = State::Open(output);
                Input::StreamOpened { session, credentials_expire }
            }
            Err(StreamFailure { kind: failure, message, region }) => {
                self.span.in_scope(|| info!(%failure, error = message, "the model took no session"));
                *failed_in = region.or(failed_in.take());
                Input::StreamRefused { session, failure }
            }
        }
    }

    fn handle_told(
        &self,
        told: Option<Result<ServerEvent, StreamFailure>>,
        region: Region,
        metrics: &Metrics,
        failed_in: &mut Option<Region>,
    ) -> Input {
        let session = self.session;
        let failure = match told {
            Some(Ok(event)) => {
                if event == ServerEvent::Unknown {
                    metrics.event_skipped();
                }
                return Input::Model { session, event };
            }
            Some(Err(failure)) => Some(failure),
            None => None,
        };
        let kind = failure.as_ref().map(|failure| failure.kind);
        let broke = !self.input_ends;
        metrics.session_ended(broke.then(|| kind.unwrap_or(Failure::EndedEarly)));
        if broke {
            *failed_in = Some(region);
        }
        if let Some(StreamFailure { kind, message, .. }) = failure {
            // A stream that we are closing may end any way it likes.
            self.span.in_scope(|| match broke {
                false => debug!(failure = %kind, error = message, "the model's stream did not end cleanly"),
                true => warn!(failure = %kind, error = message, "the model's stream broke"),
            });
        }
        Input::StreamEnded { session, failure: kind }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use offhook_hosting::telemetry::Telemetry;

    use super::*;

    #[test]
    fn a_session_that_says_a_lot_silences_no_other() {
        let metrics = Metrics::new(&Telemetry::for_metrics("test").meter("test"));
        let mut models = Models::default();
        let mut floods = Vec::new();
        for number in 1..=2 {
            let (sender, events) = mpsc::channel(8);
            (0..8).for_each(|_| sender.try_send(Ok(ServerEvent::CompletionStart)).unwrap());
            floods.push(sender);
            let output = ModelOutput::from_channel(events, Region::from("us-east-1"), None);
            models.models.push(Model {
                session: SessionNo::from(number),
                state: State::Open(output),
                input: None,
                outbox: Outbox::new(1),
                input_ends: false,
                span: Span::none(),
                _live: metrics.session(),
            });
        }
        let mut context = Context::from_waker(Waker::noop());
        let mut told = Vec::new();
        while let Poll::Ready(Input::Model { session, .. }) = models.poll_next(&mut context, &metrics) {
            told.push(session);
        }
        assert_eq!(told, [1, 2].map(SessionNo::from).repeat(8));
    }
}
