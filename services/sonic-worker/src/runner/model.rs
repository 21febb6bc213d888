use tracing::{Instrument, Span, debug, info, info_span, warn};

use crate::{
    bedrock::{ModelOutput, OpenFuture, StreamFailure},
    conversation::Input,
    metrics::{Live, Metrics},
    nova::{Failure, ServerEvent},
};

/// What comes back from the model: nothing, a stream that is being opened, or an open one.
#[derive(Default)]
pub(super) struct Model {
    state: State,
    /// The session's span and its count among the live ones, for as long as there is one.
    session: Option<(Span, Live)>,
}

#[derive(Default)]
enum State {
    #[default]
    None,
    Opening(OpenFuture),
    Open(ModelOutput),
}

impl Model {
    pub(super) fn open(opening: OpenFuture, metrics: &Metrics) -> Self {
        let span = info_span!("model session", otel.kind = "client", aws.request_id = tracing::field::Empty);
        let opening = Box::pin(opening.instrument(span.clone()));
        Self { state: State::Opening(opening), session: Some((span, metrics.session())) }
    }

    /// What the stream does next; nothing ever, while there is none. May be dropped and called again.
    pub(super) async fn next(&mut self, metrics: &Metrics, closing: bool) -> Input {
        match &mut self.state {
            State::None => std::future::pending().await,
            State::Opening(opening) => {
                let opened = opening.await;
                self.handle_opened(opened, metrics)
            }
            State::Open(output) => match output.recv().await {
                Some(Ok(event)) => {
                    if event == ServerEvent::Unknown {
                        metrics.event_skipped();
                    }
                    Input::Model(event)
                }
                Some(Err(failure)) => {
                    metrics.session_ended((!closing).then_some(failure.kind));
                    self.handle_broken(&failure, closing)
                }
                None => {
                    metrics.session_ended((!closing).then_some(Failure::EndedEarly));
                    Input::StreamEnded(None)
                }
            },
        }
    }

    fn handle_opened(&mut self, opened: Result<ModelOutput, StreamFailure>, metrics: &Metrics) -> Input {
        metrics.session_start(opened.as_ref().err().map(|failure| failure.kind));
        match opened {
            Ok(output) => {
                self.state = State::Open(output);
                Input::StreamOpened
            }
            Err(StreamFailure { kind, message, .. }) => {
                self.in_span(|| info!(failure = %kind, error = message, "the model took no session"));
                Input::StreamRefused(kind)
            }
        }
    }

    fn handle_broken(&self, StreamFailure { kind, message, .. }: &StreamFailure, closing: bool) -> Input {
        // A stream that we are closing may end any way it likes.
        self.in_span(|| match closing {
            true => debug!(failure = %kind, error = message, "the model's stream did not end cleanly"),
            false => warn!(failure = %kind, error = message, "the model's stream broke"),
        });
        Input::StreamEnded(Some(*kind))
    }

    fn in_span(&self, log: impl FnOnce()) {
        match &self.session {
            Some((span, _)) => span.in_scope(log),
            None => log(),
        }
    }
}
