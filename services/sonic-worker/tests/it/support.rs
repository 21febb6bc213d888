use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use offhook_hosting::{clock::Clock, entropy::Entropy, lifecycle::Lifecycle, telemetry::Telemetry};
use offhook_proto::voice::v1::{
    BriefingRequest, BriefingResponse, CallRecord, CallerAudio, ClaimOutboundRequest, Ended, EndedReason, FromEdge,
    GetRequest, NextStep, NextStepRequest, ReportRequest, ReserveRequest, SettleOutboundRequest, Start, TellRequest,
    ToEdge, calls_client::CallsClient, calls_server::CallsServer, claim_outbound_response::Verdict,
    conversations_client::ConversationsClient, conversations_server::ConversationsServer, from_edge,
    report_request::Event, settle_outbound_request, to_edge,
};
use serde_json::{Value, json};
use sonic_worker::{
    agent::Agents,
    bedrock::{ModelOutput, ModelStreams, OpenFuture, OpenRequest, Region, StreamFailure},
    calls::{MemoryStore, RecordFiles},
    conversation::Limits,
    grpc::{CallsService, ConversationsService, LiveCalls, Places, Questions, Worker},
    metrics::Metrics,
    nova::{ClientEvent, Failure, ServerEvent, ToolSpec},
    prices::Prices,
    runner::Services,
    tools::{Tool, ToolFuture, Tools},
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Response, Status, Streaming,
    transport::{Channel, Server, server::TcpIncoming},
};

const AGENTS: &str = "
default: demo
agents:
  demo:
    prompt: You answer the phone.
  reminders:
    prompt: You remind people of what is due.
    voice: amy
    greeting: Hello from the library.
    introduction: The library is calling about a book.
";

pub(crate) const CALL: &str = "CA00000000000000000000000000000001";

/// A worker on a port of its own.
pub(crate) struct TestWorker {
    pub(crate) lifecycle: Lifecycle,
    pub(crate) models: mpsc::Receiver<ModelDouble>,
    channel: Channel,
}

impl TestWorker {
    pub(crate) async fn start(refusals: impl IntoIterator<Item = Failure>, files: Option<RecordFiles>) -> Self {
        Self::start_with(Tools::built_in(Clock), refusals, files).await
    }

    pub(crate) async fn start_with(
        tools: Tools,
        refusals: impl IntoIterator<Item = Failure>,
        files: Option<RecordFiles>,
    ) -> Self {
        let (doubles, models) = mpsc::channel(8);
        let lifecycle = Lifecycle::default();
        let services = Services {
            streams: Arc::new(Doubles { refusals: Mutex::new(refusals.into_iter().collect()), doubles }),
            tools,
            store: Arc::new(MemoryStore::new(Clock)),
            files,
            prices: Prices::default(),
            limits: Limits::default(),
            metrics: Metrics::new(&Telemetry::for_metrics("test").meter("test")),
            clock: Clock,
        };
        let (questions, live_calls) = (Questions::default(), LiveCalls::default());
        let agents = offhook_agents::Agents::parse(AGENTS).unwrap();
        let worker = Worker {
            services,
            agents: Agents::from(&agents),
            places: Places::new(2, Clock),
            questions,
            live_calls,
            lifecycle: lifecycle.clone(),
            entropy: Entropy::from_seed(1),
        };
        let calls = CallsService::new(&worker);
        let server = Server::builder()
            .add_service(ConversationsServer::new(ConversationsService::new(worker)))
            .add_service(CallsServer::new(calls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        Self { lifecycle, models, channel }
    }

    pub(crate) async fn attach(&self) -> Result<Leg, Status> {
        let (to_worker, messages) = mpsc::channel(64);
        let from_worker = ConversationsClient::new(self.channel.clone()).attach(ReceiverStream::new(messages)).await?;
        Ok(Leg { to_worker, from_worker: from_worker.into_inner() })
    }

    /// A leg that has said `Start`, and the model session it opened.
    pub(crate) async fn live_leg(&mut self) -> (Leg, ModelDouble) {
        self.live_leg_told(&[]).await
    }

    /// The same, with these parameters in its `Start`.
    pub(crate) async fn live_leg_told(&mut self, parameters: &[(&str, &str)]) -> (Leg, ModelDouble) {
        let mut leg = self.attach().await.unwrap();
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        leg.send(from_edge::Message::Start(Start { parameters, ..start() })).await;
        let model = self.models.recv().await.unwrap();
        assert!(matches!(leg.next().await, Ok(Some(to_edge::Message::Accepted(_)))));
        (leg, model)
    }

    pub(crate) async fn reserve(&self, call_sid: &str) -> Result<(), Status> {
        let request = ReserveRequest { call_sid: call_sid.into() };
        CallsClient::new(self.channel.clone()).reserve(request).await.map(drop)
    }

    pub(crate) async fn next_step(&self) -> Result<NextStep, Status> {
        let request = NextStepRequest { call_sid: CALL.into() };
        Ok(CallsClient::new(self.channel.clone()).next_step(request).await?.into_inner().step.unwrap())
    }

    pub(crate) async fn tell(&self, text: &str) -> Result<(), Status> {
        let request = TellRequest { call_sid: CALL.into(), text: text.into() };
        CallsClient::new(self.channel.clone()).tell(request).await.map(drop)
    }

    pub(crate) async fn briefing(&self) -> Result<BriefingResponse, Status> {
        let request = BriefingRequest { call_sid: CALL.into() };
        CallsClient::new(self.channel.clone()).briefing(request).await.map(Response::into_inner)
    }

    pub(crate) async fn claim(&self, key: &str, fingerprint: &[u8]) -> Result<Verdict, Status> {
        let request = ClaimOutboundRequest { idempotency_key: key.into(), fingerprint: fingerprint.to_vec().into() };
        Ok(CallsClient::new(self.channel.clone()).claim_outbound(request).await?.into_inner().verdict.unwrap())
    }

    pub(crate) async fn settle(&self, key: &str, result: settle_outbound_request::Result) -> Result<(), Status> {
        let request = SettleOutboundRequest { idempotency_key: key.into(), result: Some(result) };
        CallsClient::new(self.channel.clone()).settle_outbound(request).await.map(drop)
    }

    pub(crate) async fn report(&self, event: Event) -> Result<(), Status> {
        let request = ReportRequest { call_sid: CALL.into(), event: Some(event) };
        CallsClient::new(self.channel.clone()).report(request).await.map(drop)
    }

    pub(crate) async fn record(&self, call_sid: &str) -> Result<CallRecord, Status> {
        let request = GetRequest { call_sid: call_sid.into() };
        Ok(CallsClient::new(self.channel.clone()).get(request).await?.into_inner().record.unwrap())
    }
}

/// What a leg begins with.
pub(crate) fn start() -> Start {
    Start {
        call_sid: CALL.into(),
        stream_sid: "MZ00000000000000000000000000000001".into(),
        account_sid: "AC00000000000000000000000000000001".into(),
        from: "+4930901820".into(),
        transfer_available: true,
        ..Start::default()
    }
}

/// The edge's end of a leg.
pub(crate) struct Leg {
    to_worker: mpsc::Sender<FromEdge>,
    from_worker: Streaming<ToEdge>,
}

impl Leg {
    pub(crate) async fn send(&self, message: from_edge::Message) {
        self.to_worker.send(FromEdge { message: Some(message) }).await.unwrap();
    }

    pub(crate) async fn start(&self) {
        self.send(from_edge::Message::Start(start())).await;
    }

    pub(crate) async fn start_as(&self, call_sid: &str, ticket_id: &str) {
        let start = Start { call_sid: call_sid.into(), ticket_id: ticket_id.into(), ..start() };
        self.send(from_edge::Message::Start(start)).await;
    }

    pub(crate) async fn says(&self, first_sample: u64, mulaw: Vec<u8>) {
        self.send(from_edge::Message::Audio(CallerAudio { first_sample, mulaw: mulaw.into() })).await;
    }

    pub(crate) async fn hangs_up(&self) {
        self.send(from_edge::Message::Ended(Ended { reason: EndedReason::Stopped.into() })).await;
    }

    pub(crate) async fn next(&mut self) -> Result<Option<to_edge::Message>, Status> {
        let next = tokio::time::timeout(Duration::from_secs(30), self.from_worker.message()).await;
        Ok(next.expect("the worker says something")?.map(|message| message.message.unwrap()))
    }

    /// The status that the worker ends the leg with, after whatever it still says.
    pub(crate) async fn end(&mut self) -> Status {
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok(""),
                Err(status) => return status,
            }
        }
    }
}

/// Opens sessions with doubles, after the refusals it was given.
struct Doubles {
    refusals: Mutex<Vec<Failure>>,
    doubles: mpsc::Sender<ModelDouble>,
}

impl ModelStreams for Doubles {
    fn open(&self, OpenRequest { input, .. }: OpenRequest) -> OpenFuture {
        let queued_at_start = input.len();
        let refusal = self.refusals.lock().unwrap().pop();
        let doubles = self.doubles.clone();
        Box::pin(async move {
            if let Some(failure) = refusal {
                return Err(failure.into());
            }
            let (output, events) = mpsc::channel(64);
            doubles.send(ModelDouble { input, output, queued_at_start }).await.unwrap();
            Ok(ModelOutput::from_channel(events, Region::from("us-east-1"), None))
        })
    }
}

/// The model's end of a session.
pub(crate) struct ModelDouble {
    input: mpsc::Receiver<ClientEvent>,
    output: mpsc::Sender<Result<ServerEvent, StreamFailure>>,
    /// How many events were there already when it was asked to start.
    pub(crate) queued_at_start: usize,
}

impl ModelDouble {
    /// The next event that the worker sends, as name and body; `None` when it ended its input.
    pub(crate) async fn hears(&mut self) -> Option<(String, Value)> {
        let event =
            tokio::time::timeout(Duration::from_secs(30), self.input.recv()).await.expect("the worker sends")?;
        let mut event: Value = serde_json::from_slice(&event.into_bytes()).unwrap();
        let (name, body) = event["event"].as_object_mut().unwrap().iter_mut().next().unwrap();
        Some((name.clone(), body.take()))
    }

    /// Skips to the next event of a name.
    pub(crate) async fn hears_next(&mut self, name: &str) -> Value {
        loop {
            let (heard, body) = self.hears().await.expect("the input goes on");
            if heard == name {
                return body;
            }
        }
    }

    /// The names of all events until the worker ends its input.
    pub(crate) async fn hears_out(mut self) -> Vec<String> {
        let mut names = Vec::new();
        while let Some((name, _)) = self.hears().await {
            names.push(name);
        }
        names
    }

    pub(crate) async fn says(&self, event: Value) {
        let json = json!({ "event": event }).to_string();
        self.output.send(Ok(ServerEvent::parse(json.as_bytes()).unwrap())).await.unwrap();
    }

    pub(crate) async fn says_sentence(&self, text: &str, pcm: &[u8]) {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let fields = r#"{"generationStage":"SPECULATIVE"}"#;
        self.says(json!({"contentStart": {"type": "TEXT", "role": "ASSISTANT", "additionalModelFields": fields}}))
            .await;
        self.says(json!({"textOutput": {"content": text}})).await;
        self.says(json!({"contentEnd": {"type": "TEXT", "stopReason": "PARTIAL_TURN"}})).await;
        self.says(json!({"audioOutput": {"content": STANDARD.encode(pcm)}})).await;
        self.says(json!({"contentEnd": {"type": "AUDIO", "stopReason": "END_TURN"}})).await;
    }

    pub(crate) async fn is_interrupted(&self) {
        self.says(json!({"contentStart": {"type": "TEXT", "role": "ASSISTANT"}})).await;
        self.says(json!({"textOutput": {"content": "{ \"interrupted\" : true }"}})).await;
        self.says(json!({"contentEnd": {"type": "TEXT", "stopReason": "INTERRUPTED"}})).await;
    }

    pub(crate) async fn breaks(self, failure: Failure) {
        self.output.send(Err(failure.into())).await.unwrap();
    }
}

/// A tool that never answers, and says when its run was given up.
pub(crate) struct NeverAnswers {
    pub(crate) given_up: mpsc::Sender<()>,
}

impl Tool for NeverAnswers {
    fn spec(&self) -> ToolSpec {
        ToolSpec { name: "ponder", description: "Thinks for ever.", input_schema: json!({ "type": "object" }) }
    }

    fn run(&self, _: Value) -> ToolFuture {
        let on_drop = OnDrop(self.given_up.clone());
        Box::pin(async move {
            let _on_drop = on_drop;
            std::future::pending().await
        })
    }
}

struct OnDrop(mpsc::Sender<()>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.try_send(()).unwrap();
    }
}
