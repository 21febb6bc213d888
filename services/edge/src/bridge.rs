//! The one task of a leg: moves messages between a media socket, the leg's rules and a worker's stream.
//!
//! Everything that is awaited is awaited in one `select!`. A socket that takes nothing holds up only itself: what is to
//! be written stays with the rules, which know what may be dropped.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::extract::ws::{CloseFrame, Message, close_code};
use futures_util::{Sink, Stream, StreamExt, future::BoxFuture};
use http::Uri;
use offhook_hosting::telemetry::continue_trace;
use offhook_proto::voice::v1::{FromEdge, Start, ToEdge, from_edge, to_edge};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, timeout},
};
use tonic::{Code, Status};
use tracing::{Span, debug, info, info_span};

use crate::{
    App,
    awaited::Awaiting,
    call::{
        attach::Action,
        leg::{Frame, Leg, Setup},
        outcome::Outcome,
        redirect::NotRedirected,
        ticket::Admitted,
    },
    twilio::rest::{Change, RestError, Updated},
    worker::{FromWorker, Lease, Preference, WorkerId},
};

/// Load balancers cut sockets that are idle for a minute; Twilio answers pings as RFC 6455 demands.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Twilio asks what comes next about 0.7 s after its socket was closed.
const FAREWELL: Duration = Duration::from_secs(3);
/// Messages between a leg and its worker's connection; the leg keeps the rest, where audio can still be dropped.
const TO_WORKER_CAPACITY: usize = 8;

/// Serves a leg until both its sides are closed, and stays until Twilio has asked what comes next.
pub(crate) async fn serve<S, E>(app: Arc<App>, socket: S, Admitted { claims, ticket }: Admitted)
where
    S: Stream<Item = Result<Message, E>> + Sink<Message, Error = E> + Unpin,
{
    let call = claims.call.clone();
    let mut farewell = app.farewells.expect(&call);
    app.monitor.leg_started();
    let agents = app.agents.clone();
    let preference = Preference { worker: claims.worker, ticket: ticket.clone() };
    farewell.set_note(Some(claims.worker));
    let setup = Setup { claims, ticket, agents, can_redirect: app.rest.is_some() };
    let leg = Leg::new(setup, app.clock.now());
    let (farewell_of, span) = (&farewell, Span::none());
    let (link, redirecting, asked) = (None, None, Vec::new());
    let bridge = Bridge { app: &app, leg, preference, link, redirecting, asked, farewell: farewell_of, span };
    let outcome = bridge.run(socket).await;
    app.monitor.leg_ended(outcome);
    info!(call.sid = %call, outcome = outcome.label(), "leg ended");
    if outcome.twilio_goes_on() {
        // Not cut by a hard stop: the calls that it ends have nobody else to ask. Twilio may also never ask.
        let _ = timeout(FAREWELL, farewell.happened()).await;
    }
}

struct Bridge<'a> {
    app: &'a App,
    leg: Leg,
    preference: Preference,
    link: Option<Link>,
    redirecting: Option<Redirecting>,
    asked: Vec<Uri>,
    farewell: &'a Awaiting<Option<WorkerId>>,
    span: Span,
}

/// Twilio's answer whether it goes on with the next document.
type Redirecting = BoxFuture<'static, Result<Updated, RestError>>;

/// A worker's side of the leg.
struct Link {
    lease: Lease,
    accepted: bool,
    to_worker: Option<mpsc::Sender<FromEdge>>,
    from_worker: FromWorker,
}

enum Event<E> {
    Socket(Option<Result<Message, E>>),
    Written(Result<(), E>),
    Worker(Option<Result<ToEdge, Status>>),
    WorkerTakes,
    Resolved,
    Redirected(Result<Updated, RestError>),
    Deadline,
    Ping,
    HardStop,
}

impl Bridge<'_> {
    async fn run<S, E>(mut self, socket: S) -> Outcome
    where
        S: Stream<Item = Result<Message, E>> + Sink<Message, Error = E> + Unpin,
    {
        let (sink, mut source) = socket.split();
        let mut writer = Writer::new(sink);
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.reset();
        // A child of its own: waiting on the process's token would take a lock that all legs share, at every frame.
        let hard_stop = self.app.lifecycle.hard_stop().child_token().cancelled_owned();
        let mut stopping = false;
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer, hard_stop);
        let mut armed = None;
        loop {
            self.act();
            self.redirect();
            self.tell_worker();
            if let Some(outcome) = self.leg.is_over() {
                self.app.monitor.counted(self.leg.take_counts());
                return outcome;
            }
            let due = self.leg.poll_deadline();
            // A deadline that only moved away is looked at when the old one fires: that spares a timer a frame.
            if armed.is_none_or(|at| due.is_some_and(|due| due < at)) {
                armed = due;
                timer.as_mut().reset(due.unwrap_or_else(|| self.app.clock.now()).into());
            }
            let (has_for_worker, needs_worker) = (self.leg.has_for_worker(), self.leg.has_action());
            let (from_worker, to_worker) =
                self.link.as_mut().map(|link| (&mut link.from_worker, link.to_worker.as_ref())).unzip();
            let event = tokio::select! {
                message = next(from_worker) => Event::Worker(message),
                message = source.next(), if writer.readable => Event::Socket(message),
                result = writer.write(&mut self.leg, self.app) => Event::Written(result),
                () = room(to_worker.flatten()), if has_for_worker => Event::WorkerTakes,
                () = self.app.pool.resolved(), if needs_worker => Event::Resolved,
                answer = answer(self.redirecting.as_mut()) => Event::Redirected(answer),
                () = &mut timer => { armed = None; Event::Deadline }
                _ = ping.tick() => Event::Ping,
                () = &mut hard_stop, if !stopping => { stopping = true; Event::HardStop }
            };
            self.handle(event, &mut writer);
        }
    }

    fn handle<S, E>(&mut self, event: Event<E>, writer: &mut Writer<S>) {
        let now = self.app.clock.now();
        match event {
            Event::Socket(Some(Ok(message))) => self.on_socket(message, now),
            Event::Socket(None | Some(Err(_))) => {
                (writer.sink, writer.readable) = (None, false);
                self.leg.handle_socket_lost(now);
            }
            // What was received before the socket broke is still to be read: a `stop` may be in it.
            Event::Written(Err(_)) => writer.sink = None,
            Event::Written(Ok(())) => {
                for since in writer.cleared.drain(..) {
                    self.app.monitor.cleared(now.saturating_duration_since(since));
                }
            }
            Event::Worker(Some(Ok(ToEdge { message }))) => {
                if let (Some(to_edge::Message::Accepted(_)), Some(link)) = (&message, &mut self.link) {
                    link.accepted = true;
                }
                self.leg.handle_worker(message, now);
            }
            Event::Worker(Some(Err(status))) => self.on_worker_end(Err(&status), now),
            Event::Worker(None) => self.on_worker_end(Ok(()), now),
            Event::WorkerTakes | Event::Resolved => {}
            Event::Redirected(answer) => {
                self.redirecting = None;
                self.leg.handle_redirect(redirected(answer), now);
            }
            Event::Deadline => self.on_deadline(now),
            Event::Ping => {
                writer.ping_due = true;
                self.app.monitor.counted(self.leg.take_counts());
            }
            Event::HardStop => self.leg.handle_hard_stop(now),
        }
    }

    fn on_socket(&mut self, message: Message, now: Instant) {
        match message {
            Message::Text(text) => self.leg.handle_text(&text, now),
            Message::Binary(_) => self.leg.handle_bad_frame(now),
            // After the peer's close the socket's stream ends by itself.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => self.leg.handle_alive(now),
        }
    }

    fn on_deadline(&mut self, now: Instant) {
        let was_ending = self.leg.is_ending();
        self.leg.handle_deadline(now);
        // The time to attach is over, and this worker has it on its conscience.
        if let Some(Link { lease, accepted: false, .. }) = &self.link
            && !was_ending
            && self.leg.is_ending()
        {
            self.app.monitor.attach_failed(Code::DeadlineExceeded);
            self.app.pool.avoid(lease.address());
        }
    }

    fn on_worker_end(&mut self, end: Result<(), &Status>, now: Instant) {
        if let Some(Link { lease, accepted, .. }) = self.link.take() {
            let code = end.err().map_or(Code::Ok, Status::code);
            debug!(parent: &self.span, address = %lease.address(), ?code, accepted, "the worker's stream is over");
            // Who is told before it accepts that the leg is over has not failed.
            if !accepted && !self.leg.is_ending() {
                self.app.monitor.attach_failed(code);
            }
            if matches!(code, Code::Unavailable | Code::Unknown) {
                self.app.pool.avoid(lease.address());
                self.farewell.set_note(None);
            }
        }
        self.leg.handle_worker_end(end.map_err(Status::code), now);
    }

    fn act(&mut self) {
        // Until then the pool may be empty for no other reason than that this process has just started.
        while self.leg.has_action()
            && self.app.pool.is_resolved()
            && let Some(Action::Attach { start, traceparent }) = self.leg.poll_action()
        {
            if self.asked.is_empty() {
                self.span = info_span!("leg", call.sid = start.call_sid, stream.sid = start.stream_sid);
                continue_trace(&self.span, traceparent.as_deref());
            }
            match self.app.pool.lease(&self.asked, &self.preference) {
                Some(lease) => self.attach(lease, *start),
                None => self.leg.handle_no_worker(self.app.clock.now()),
            }
        }
    }

    fn attach(&mut self, lease: Lease, start: Start) {
        self.asked.push(lease.address().clone());
        self.farewell.set_note(Some(WorkerId::of(lease.address())));
        let (to_worker, messages) = mpsc::channel(TO_WORKER_CAPACITY);
        let start = FromEdge { message: Some(from_edge::Message::Start(start)) };
        to_worker.try_send(start).expect("the channel is new and has room");
        let from_worker = lease.worker().attach(&self.span, messages);
        self.link = Some(Link { lease, accepted: false, to_worker: Some(to_worker), from_worker });
    }

    /// Asks Twilio for the next document when it is time, and not any more when Twilio is on its way to it: a second
    /// request would take it away from there.
    fn redirect(&mut self) {
        if self.leg.poll_redirect()
            && let Some(rest) = &self.app.rest
        {
            let next = Change::Url(self.app.public_url.page("/stream-ended"));
            self.redirecting = Some(rest.update(self.leg.call(), next));
        }
        if self.leg.is_ending() {
            self.redirecting = None;
        }
    }

    /// Hands on what the worker's connection takes now.
    fn tell_worker(&mut self) {
        let Some(link) = &mut self.link else { return };
        let Some(sender) = &link.to_worker else { return };
        while let Ok(permit) = sender.try_reserve()
            && let Some(message) = self.leg.poll_worker()
        {
            permit.send(message);
        }
        let all_told = self.leg.is_ending() && !self.leg.has_for_worker();
        if all_told || sender.is_closed() {
            link.to_worker = None;
        }
    }
}

/// The worker's next message; never, where there is no worker.
async fn next(from_worker: Option<&mut FromWorker>) -> Option<Result<ToEdge, Status>> {
    match from_worker {
        Some(messages) => messages.next().await,
        None => std::future::pending().await,
    }
}

/// Twilio's answer; never, where it was not asked.
async fn answer(redirecting: Option<&mut Redirecting>) -> Result<Updated, RestError> {
    match redirecting {
        Some(answer) => answer.await,
        None => std::future::pending().await,
    }
}

fn redirected(answer: Result<Updated, RestError>) -> Result<(), NotRedirected> {
    match answer {
        Ok(Updated::Done) => Ok(()),
        Ok(Updated::Gone) => Err(NotRedirected::CallOver),
        Err(_) => Err(NotRedirected::Failed),
    }
}

/// Completes when the worker's connection takes another message, or never will.
async fn room(to_worker: Option<&mpsc::Sender<FromEdge>>) {
    match to_worker {
        Some(sender) => drop(sender.reserve().await),
        None => std::future::pending().await,
    }
}

/// The writing half of a media socket. Writes as much as the socket takes, whatever happens to the future that asks.
struct Writer<S> {
    sink: Option<S>,
    readable: bool,
    /// Since when the `clear`s that are written but not flushed were due.
    cleared: VecDeque<Instant>,
    ping_due: bool,
    dirty: bool,
}

impl<S: Sink<Message> + Unpin> Writer<S> {
    fn new(sink: S) -> Self {
        Self { sink: Some(sink), readable: true, cleared: VecDeque::new(), ping_due: false, dirty: false }
    }

    /// Completes when all that was due is on the wire; never, where nothing is due.
    async fn write(&mut self, leg: &mut Leg, app: &App) -> Result<(), S::Error> {
        std::future::poll_fn(|context| self.poll_write(leg, app, context)).await
    }

    fn poll_write(&mut self, leg: &mut Leg, app: &App, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let Some(sink) = &mut self.sink else { return Poll::Pending };
        let mut sink = Pin::new(sink);
        loop {
            ready!(sink.as_mut().poll_ready(context))?;
            let message = if std::mem::take(&mut self.ping_due) {
                Message::Ping(axum::body::Bytes::new())
            } else {
                match leg.poll_frame(app.clock.now()) {
                    Some(Frame::Text(text)) => Message::Text(text.into()),
                    Some(Frame::Clear { text, since }) => {
                        self.cleared.push_back(since);
                        Message::Text(text.into())
                    }
                    Some(Frame::Close) => {
                        Message::Close(Some(CloseFrame { code: close_code::NORMAL, reason: "".into() }))
                    }
                    None => break,
                }
            };
            sink.as_mut().start_send(message)?;
            self.dirty = true;
        }
        if !self.dirty {
            return Poll::Pending;
        }
        ready!(sink.poll_flush(context))?;
        self.dirty = false;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[path = "bridge_tests.rs"]
mod tests;
