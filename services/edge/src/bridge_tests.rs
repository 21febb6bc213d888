use std::convert::Infallible;

use axum::body::Bytes;
use base64::{Engine, engine::general_purpose::STANDARD};
use offhook_hosting::{clock::Clock, entropy::Entropy, env::Env, lifecycle::Lifecycle, telemetry::Telemetry};
use offhook_proto::voice::v1::{
    Accepted, BriefingResponse, ClaimOutboundRequest, Ended, EndedReason, Hush, Next, NextStep, NextStepResponse,
    ReportRequest, SettleOutboundRequest, Speak, Transfer, claim_outbound_response::Verdict, next_step::Step,
};
use tokio::{
    sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::PollSender;

use super::*;
use crate::{
    Config,
    call::ticket::Claims,
    twilio::{
        rest::{NewCall, Rest},
        sid::CallSid,
    },
    worker::{Answer, Worker, WorkerPool},
};

const CALL: &str = "CA00000000000000000000000000000002";
const ACCOUNT: &str = "AC00000000000000000000000000000001";
const STREAM: &str = "MZ00000000000000000000000000000003";

/// A media socket in memory that takes one message ahead of its reader.
struct Socket {
    from_twilio: UnboundedReceiver<Message>,
    to_twilio: PollSender<Message>,
}

/// The two directions of a leg, at its worker.
type Attached = (Receiver<FromEdge>, Sender<Result<ToEdge, Status>>);

/// A worker in memory: hands each leg's two directions to the test.
struct Double(UnboundedSender<Attached>);

/// A REST interface in memory: hands each change to the test, and answers as told, or never.
struct RestDouble(Option<Result<Updated, RestError>>, UnboundedSender<Change>);

/// One leg between a Twilio and a worker that the test plays. Time is paused.
struct Rig {
    app: Arc<App>,
    task: JoinHandle<()>,
    say: Option<UnboundedSender<Message>>,
    hear: Receiver<Message>,
    attached: UnboundedReceiver<Attached>,
}

impl Rig {
    fn new() -> Self {
        Self::with_workers("http://127.0.0.1:1")
    }

    fn with_workers(addresses: &str) -> Self {
        Self::with(addresses, None)
    }

    /// Twilio can be asked to go on, and answers like this.
    fn with_rest(answer: Option<Result<Updated, RestError>>) -> (Self, UnboundedReceiver<Change>) {
        let (sender, changes) = unbounded_channel();
        (Self::with("http://127.0.0.1:1", Some(Arc::new(RestDouble(answer, sender)))), changes)
    }

    fn with(addresses: &str, rest: Option<Arc<dyn Rest>>) -> Self {
        let (workers, attached) = unbounded_channel();
        let app = Arc::new(app(Arc::new(Double(workers)), addresses, rest));
        let ((say, from_twilio), (to_twilio, hear)) = (unbounded_channel(), mpsc::channel(1));
        let socket = Socket { from_twilio, to_twilio: PollSender::new(to_twilio) };
        let worker = WorkerId::of(&addresses.split(',').next().unwrap().parse().unwrap());
        let claims = Claims { call: CALL.parse().unwrap(), account: ACCOUNT.parse().unwrap(), worker };
        let task = tokio::spawn(serve(app.clone(), socket, Admitted { claims, ticket: "t".to_owned() }));
        Self { app, task, say: Some(say), hear, attached }
    }

    fn say(&self, text: String) {
        self.say.as_ref().unwrap().send(Message::Text(text.into())).unwrap();
    }

    fn start(&self) {
        self.say(format!(
            r#"{{"event":"start","start":{{"accountSid":"{ACCOUNT}","streamSid":"{STREAM}","callSid":"{CALL}"}}}}"#
        ));
    }

    async fn started(&mut self) -> Attached {
        self.start();
        let (mut from_edge, to_edge) = self.attached.recv().await.unwrap();
        assert!(matches!(heard(&mut from_edge).await, Some(from_edge::Message::Start(_))));
        (from_edge, to_edge)
    }

    async fn live(&mut self) -> Attached {
        let (from_edge, to_edge) = self.started().await;
        tell(&to_edge, to_edge::Message::Accepted(Accepted {})).await;
        (from_edge, to_edge)
    }

    fn media(&self, fill: u8) {
        let payload = STANDARD.encode([fill; 160]);
        self.say(format!(r#"{{"event":"media","media":{{"track":"inbound","payload":"{payload}"}}}}"#));
    }

    /// Everything in memory has nothing left to do.
    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn app(double: Arc<Double>, workers: &str, rest: Option<Arc<dyn Rest>>) -> App {
    let required = [("PUBLIC_URL", "https://voice.example.com"), ("TWILIO_AUTH_TOKEN", "12345")];
    let env: Env = required.into_iter().chain([("SONIC_WORKERS", workers)]).collect();
    let config = Config::from_env(&env).unwrap();
    let pool = WorkerPool::new(config.workers.clone(), Arc::new(move |_| double.clone() as Arc<dyn Worker>), Clock);
    App::new(config, pool, rest, &Telemetry::for_metrics("edge"), Lifecycle::default(), Clock, Entropy::from_seed(1))
}

async fn tell(to_edge: &Sender<Result<ToEdge, Status>>, message: to_edge::Message) {
    to_edge.send(Ok(ToEdge { message: Some(message) })).await.unwrap();
}

async fn heard(from_edge: &mut Receiver<FromEdge>) -> Option<from_edge::Message> {
    from_edge.recv().await?.message
}

fn ended(reason: EndedReason) -> Option<from_edge::Message> {
    Some(from_edge::Message::Ended(Ended { reason: reason.into() }))
}

fn speak(epoch: u32, samples: usize) -> to_edge::Message {
    to_edge::Message::Speak(Speak { first_sample: 0, mulaw: Bytes::from(vec![0; samples]), epoch })
}

impl Worker for Double {
    fn attach(&self, _: &Span, messages: Receiver<FromEdge>) -> FromWorker {
        let (to_edge, replies) = mpsc::channel(8);
        self.0.send((messages, to_edge)).unwrap();
        ReceiverStream::new(replies).boxed()
    }

    fn reserve(&self, _: &Span, _: &CallSid) -> Answer<()> {
        nobody_asks()
    }

    fn next_step(&self, _: &Span, _: &CallSid) -> Answer<NextStepResponse> {
        nobody_asks()
    }

    fn briefing(&self, _: &Span, _: &CallSid) -> Answer<BriefingResponse> {
        nobody_asks()
    }

    fn report(&self, _: &Span, _: ReportRequest) -> Answer<()> {
        nobody_asks()
    }

    fn claim_outbound(&self, _: &Span, _: ClaimOutboundRequest) -> Answer<Verdict> {
        nobody_asks()
    }

    fn settle_outbound(&self, _: &Span, _: SettleOutboundRequest) -> Answer<()> {
        nobody_asks()
    }
}

fn nobody_asks<T: Send + 'static>() -> Answer<T> {
    Box::pin(async { Err(Status::not_found("no such call")) })
}

impl Rest for RestDouble {
    fn create(&self, _: NewCall) -> BoxFuture<'static, Result<CallSid, RestError>> {
        Box::pin(async { Err(RestError::Unreachable) })
    }

    fn update(&self, call: &CallSid, change: Change) -> BoxFuture<'static, Result<Updated, RestError>> {
        assert_eq!(call.as_str(), CALL);
        self.1.send(change).unwrap();
        let answer = self.0;
        Box::pin(async move {
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }
}

impl Stream for Socket {
    type Item = Result<Message, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.from_twilio.poll_recv(context).map(|message| message.map(Ok))
    }
}

impl Sink<Message> for Socket {
    type Error = Infallible;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        ready!(self.to_twilio.poll_reserve(context)).expect("the test listens");
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Infallible> {
        self.to_twilio.send_item(message).expect("the test listens");
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_takes_nothing_is_still_read_and_a_hush_overtakes_what_waits_for_it() {
    let mut rig = Rig::new();
    let (mut from_edge, to_edge) = rig.live().await;
    for _ in 0..20 {
        tell(&to_edge, speak(0, 8000)).await;
    }
    rig.media(1);
    assert!(matches!(heard(&mut from_edge).await, Some(from_edge::Message::Audio(_))));
    tell(&to_edge, to_edge::Message::Hush(Hush { epoch: 1 })).await;
    rig.settle().await;
    let mut written = Vec::new();
    while written.last().is_none_or(|last| *last != "clear") {
        let Some(Message::Text(text)) = rig.hear.recv().await else { panic!("no clear after {written:?}") };
        written.extend(
            ["media", "mark", "clear"].into_iter().find(|event| text.contains(&format!("\"event\":\"{event}\""))),
        );
    }
    assert_eq!(written, ["media", "mark", "clear"], "only what the socket already held comes first");
    rig.settle().await;
    let Ok(Message::Text(mark)) = rig.hear.try_recv() else { panic!("the clear's own mark is missing") };
    assert!(mark.contains("1:160"), "{mark}");
    assert!(rig.hear.try_recv().is_err(), "nothing stale follows");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_takes_nothing_does_not_hold_up_the_caller() {
    let mut rig = Rig::new();
    let (mut from_edge, to_edge) = rig.live().await;
    for fill in 0..200 {
        rig.media(fill);
    }
    rig.settle().await;
    tell(&to_edge, speak(0, 160)).await;
    assert!(matches!(rig.hear.recv().await, Some(Message::Text(text)) if text.contains("media")));
    let mut positions = Vec::new();
    while let Ok(Some(from_edge::Message::Audio(audio))) =
        timeout(Duration::from_millis(1), heard(&mut from_edge)).await
    {
        positions.push(audio.first_sample / 160);
    }
    let (early, late) = positions.split_at(TO_WORKER_CAPACITY);
    assert_eq!(early, (0..TO_WORKER_CAPACITY as u64).collect::<Vec<_>>());
    assert_eq!(late, (50..200).collect::<Vec<_>>(), "the oldest that waited were dropped");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_socket_is_pinged() {
    let mut rig = Rig::new();
    let _worker = rig.live().await;
    let before = rig.app.clock.now();
    assert!(matches!(rig.hear.recv().await, Some(Message::Ping(_))));
    assert_eq!(rig.app.clock.now() - before, PING_EVERY);
}

#[tokio::test(start_paused = true)]
async fn no_start_in_time_ends_the_task() {
    let mut rig = Rig::new();
    let before = rig.app.clock.now();
    assert!(matches!(rig.hear.recv().await, Some(Message::Close(_))));
    assert_eq!(rig.app.clock.now() - before, crate::call::leg::START_DEADLINE);
    rig.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_never_accepts_is_told_that_nobody_waits() {
    let mut rig = Rig::new();
    let (mut from_edge, to_edge) = rig.started().await;
    let before = rig.app.clock.now();
    assert_eq!(heard(&mut from_edge).await, ended(EndedReason::ConnectionLost));
    assert_eq!(rig.app.clock.now() - before, crate::call::leg::ATTACH_DEADLINE);
    assert!(matches!(rig.hear.recv().await, Some(Message::Close(_))));
    to_edge.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_never_accepts_is_asked_last_by_the_next_call() {
    let mut rig = Rig::with_workers("http://127.0.0.1:1,http://127.0.0.1:2");
    let (mut from_edge, _to_edge) = rig.started().await;
    let hung = rig.app.farewells.note(&CALL.parse().unwrap()).unwrap();
    assert_eq!(heard(&mut from_edge).await, ended(EndedReason::ConnectionLost));
    let next = [(); 2].map(|()| rig.app.pool.candidates().first().unwrap().id);
    assert!(next.iter().all(|worker| *worker != hung), "{next:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leg_waits_for_the_first_resolution_without_standing_still() {
    let mut rig = Rig::with_workers("dns://127.0.0.1:1");
    rig.start();
    assert!(matches!(rig.hear.recv().await, Some(Message::Close(_))), "the time to attach does not stand still");
    assert!(rig.attached.try_recv().is_err());

    let mut rig = Rig::with_workers("dns://127.0.0.1:1");
    rig.start();
    rig.settle().await;
    assert!(rig.attached.try_recv().is_err());
    let app = rig.app.clone();
    tokio::select! {
        never = app.pool.keep_resolving() => match never {},
        attached = rig.attached.recv() => assert!(attached.is_some()),
        () = tokio::time::sleep(crate::call::leg::ATTACH_DEADLINE) => panic!("no worker was asked"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_worker_that_serves_the_call_is_remembered_until_twilio_has_asked() {
    let call = CALL.parse().unwrap();
    for (end, remembered) in [(None, true), (Some(Status::unavailable("gone")), false)] {
        let mut rig = Rig::new();
        let (_from_edge, to_edge) = rig.live().await;
        let worker = rig.app.farewells.note(&call);
        assert_eq!(worker, Some(WorkerId::of(&Uri::from_static("http://127.0.0.1:1"))));
        if let Some(status) = end {
            to_edge.send(Err(status)).await.unwrap();
        }
        drop(to_edge);
        assert!(matches!(rig.hear.recv().await, Some(Message::Close(_))));
        rig.say = None;
        rig.settle().await;
        assert_eq!(rig.app.farewells.note(&call), worker.filter(|_| remembered));
        rig.task.await.unwrap();
        assert_eq!(rig.app.farewells.note(&call), None);
    }
}

#[tokio::test(start_paused = true)]
async fn neither_side_can_keep_an_ended_leg_alive() {
    let mut rig = Rig::new();
    let (mut from_edge, to_edge) = rig.live().await;
    rig.say(r#"{"event":"stop"}"#.to_owned());
    assert_eq!(heard(&mut from_edge).await, ended(EndedReason::Stopped));
    assert_eq!(heard(&mut from_edge).await, None);
    let before = rig.app.clock.now();
    rig.task.await.unwrap();
    assert!(rig.app.clock.now() - before <= crate::call::leg::CLOSE_DEADLINE);
    assert!(to_edge.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_leg_that_this_edge_closed_stays_until_twilio_asks_or_does_not() {
    for asks in [true, false] {
        let mut rig = Rig::new();
        let (_, to_edge) = rig.live().await;
        drop(to_edge);
        assert!(matches!(rig.hear.recv().await, Some(Message::Close(_))));
        rig.say = None;
        rig.settle().await;
        assert!(!rig.task.is_finished());
        let before = rig.app.clock.now();
        if asks {
            rig.app.farewells.happened(&CALL.parse().unwrap());
        }
        rig.task.await.unwrap();
        assert_eq!(rig.app.clock.now() - before < FAREWELL - Duration::from_secs(1), asks);
    }
}

#[tokio::test(start_paused = true)]
async fn a_leg_whose_socket_was_lost_stays_until_twilio_asks() {
    let mut rig = Rig::new();
    let (mut from_edge, to_edge) = rig.live().await;
    rig.say = None;
    assert_eq!(heard(&mut from_edge).await, ended(EndedReason::ConnectionLost));
    drop(to_edge);
    rig.settle().await;
    assert!(!rig.task.is_finished());
    rig.app.farewells.happened(&CALL.parse().unwrap());
    rig.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_hard_stop_ends_the_leg_at_once_and_leaves_time_for_twilios_question() {
    let mut rig = Rig::new();
    let (mut from_edge, to_edge) = rig.live().await;
    rig.settle().await;
    let before = rig.app.clock.now();
    rig.app.lifecycle.hard_stop().cancel();
    assert_eq!(heard(&mut from_edge).await, ended(EndedReason::EdgeStopping));
    assert_eq!(rig.app.clock.now(), before);
    drop(to_edge);
    rig.say = None;
    rig.task.await.unwrap();
    assert_eq!(rig.app.clock.now() - before, FAREWELL);
}

fn transfer() -> to_edge::Message {
    let step = NextStep { step: Some(Step::Transfer(Transfer::default())) };
    to_edge::Message::Next(Next { step: Some(step) })
}

#[tokio::test(start_paused = true)]
async fn before_a_transfer_twilio_is_asked_to_go_on_and_its_stop_is_no_hang_up() {
    for answer in [Some(Ok(Updated::Done)), None] {
        let (mut rig, mut changes) = Rig::with_rest(answer);
        let (mut from_edge, to_edge) = rig.live().await;
        tell(&to_edge, transfer()).await;
        assert!(
            matches!(changes.recv().await, Some(Change::Url(url)) if url == "https://voice.example.com/stream-ended")
        );
        rig.settle().await;
        assert!(rig.hear.try_recv().is_err(), "the socket stays open");
        rig.say(r#"{"event":"stop"}"#.to_owned());
        assert!(matches!(rig.hear.recv().await, Some(Message::Close(_))));
        assert_eq!(heard(&mut from_edge).await, None, "the worker is told of no hang-up");
        rig.say = None;
        rig.settle().await;
        assert!(!rig.task.is_finished(), "Twilio is going to ask");
        rig.app.farewells.happened(&CALL.parse().unwrap());
        rig.task.await.unwrap();
        assert!(changes.try_recv().is_err(), "Twilio was asked once");
    }
}

/// Pitfall 7: where Twilio is not asked, or does not do it, closing the socket has it ask for the next document.
#[tokio::test(start_paused = true)]
async fn where_twilio_does_not_go_on_the_socket_closes_within_a_second_and_a_half() {
    let refused = RestError::Throttled;
    for answer in [Some(Err(refused)), Some(Err(RestError::FateUnknown)), Some(Ok(Updated::Gone)), None] {
        let (mut rig, mut changes) = Rig::with_rest(answer);
        let (_, to_edge) = rig.live().await;
        tell(&to_edge, transfer()).await;
        changes.recv().await.unwrap();
        let before = rig.app.clock.now();
        assert!(matches!(rig.hear.recv().await, Some(Message::Close(_))));
        let waited = rig.app.clock.now() - before;
        assert_eq!(waited >= Duration::from_millis(1_500), answer.is_none(), "{answer:?}: {waited:?}");
        assert!(waited <= Duration::from_millis(1_510), "{answer:?}: {waited:?}");
    }
}
