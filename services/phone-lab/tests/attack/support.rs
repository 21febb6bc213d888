//! Two edges, one worker, and a call that is none of the attacker's business.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use offhook_hosting::{
    clock::Clock,
    entropy::Entropy,
    env::Env,
    lifecycle::{Drained, Lifecycle},
    telemetry::Telemetry,
};
use phone_lab::{
    bedrock::{self, Pace, Script},
    oracle,
    pair::{FROM_NUMBER, Pair, Settings, nobody_picks_up},
    twilio::{Account, CallOptions, CallReport, CallerScript},
};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};

use crate::http::{Answer, Request};

pub(crate) const HOST: &str = "voice.example.test";
pub(crate) const TICKET_KEY: &str = "a ticket key that both edges of these tests use";
/// The bearer of those who may have calls placed.
const OUTBOUND_TOKEN: &str = "the-outbound-token-of-these-tests-which-is-long";
/// A call that is not the honest one.
pub(crate) const CALL: &str = "CA00000000000000000000000000000077";
/// Between one attack and the next.
const PAUSE: Duration = Duration::from_millis(50);
/// Nothing in these tests takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

const CONVERSATION: &str = "[listen, say: one, listen, say: two, listen, say: three, listen, hang_up]";

/// Waits for what has to happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("this should have happened by now")
}

/// What is attacked.
pub(crate) struct Doors {
    pub(crate) pair: Pair,
    /// Where both edges listen.
    pub(crate) edges: [SocketAddr; 2],
    telemetry: Arc<Telemetry>,
    second: Lifecycle,
    running: JoinHandle<anyhow::Result<Drained>>,
}

impl Doors {
    pub(crate) async fn open() -> Self {
        let script = "greeting: 'good morning'\notherwise: 'you said {heard}'";
        let bedrock = bedrock::Settings {
            script: Script::from_yaml(script).unwrap(),
            pace: Pace::new(0.1).unwrap(),
            ..bedrock::Settings::default()
        };
        let telemetry = Arc::new(Telemetry::for_metrics("attack"));
        let shared = [
            ("OFFHOOK_TICKET_KEY", TICKET_KEY),
            ("OFFHOOK_OUTBOUND_TOKEN", OUTBOUND_TOKEN),
            ("TRUSTED_PROXIES", "127.0.0.0/8"),
            // Twilio's part is played as well, more often than it plays it.
            ("MAX_CALLS_PER_CALLER", "0"),
            ("MAX_CALLS_PER_NUMBER", "0"),
            ("MAX_SESSIONS", "1000"),
        ];
        let environment: Vec<_> = shared.map(|(name, value)| (name, value.to_owned())).into();
        let rest = nobody_picks_up();
        let mut second = environment.clone();
        second.extend([
            ("PUBLIC_URL", format!("https://{HOST}")),
            ("TWILIO_AUTH_TOKEN", Account::default().auth_token),
            ("TWILIO_ACCOUNT_SID", Account::default().account_sid),
            ("TWILIO_API_SID", rest.api_key.sid.clone()),
            ("TWILIO_API_SECRET", rest.api_key.secret.clone()),
            ("TWILIO_FROM_NUMBER", FROM_NUMBER.to_owned()),
        ]);
        let settings = Settings { bedrock, second_bedrock: None, environment, rest, seed: 1 };
        let pair = Pair::start(settings, Arc::clone(&telemetry)).await.unwrap();
        second.push(("SONIC_WORKERS", pair.worker_url.clone()));
        second.push(("TWILIO_API_BASE_URL", format!("http://{}", pair.rest.address())));
        let config = edge::Config::from_env(&Env::from_iter(second)).unwrap();
        let listeners = edge::Listeners { public: bind().await, admin: bind().await };
        let edges = [pair.edge_address, listeners.public.local_addr().unwrap()];
        let (lifecycle, reports) = (Lifecycle::default(), Arc::clone(&telemetry));
        let serving = lifecycle.clone();
        let running =
            tokio::spawn(
                async move { edge::run(config, listeners, &reports, serving, Clock, Entropy::from_seed(2)).await },
            );
        Self { pair, edges, telemetry, second: lifecycle, running }
    }

    /// Attacks again and again while an honest call is up; then everything is as if nobody had come.
    pub(crate) async fn beside_an_honest_call(&self, attack: impl AsyncFn(&Self)) {
        self.beside(CallOptions::default(), attack).await;
    }

    /// The same beside a call with something special.
    pub(crate) async fn beside(&self, options: CallOptions, attack: impl AsyncFn(&Self)) {
        let (twilio, earlier) = (self.pair.twilio.clone(), self.pair.bedrock.reports().len());
        let call = tokio::spawn(async move { twilio.call(caller(), options).await });
        soon(async {
            while self.pair.bedrock.live_sessions() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let mut rounds = 0;
        while rounds == 0 || !call.is_finished() {
            soon(attack(self)).await;
            tokio::time::sleep(PAUSE).await;
            rounds += 1;
        }
        let call = soon(call).await.unwrap();
        assert!(self.pair.sessions_end_within(Duration::from_secs(5)).await, "a session is left open");
        self.assert_unharmed(&call, earlier);
    }

    fn assert_unharmed(&self, call: &CallReport, earlier: usize) {
        let sessions = self.pair.bedrock.reports().split_off(earlier);
        assert_eq!(sessions.len(), 1, "somebody else has reached the model");
        assert_eq!(oracle::differences(call, &sessions, &[]), Vec::<String>::new(), "{call:?}");
        let heard: Vec<_> = call.heard.iter().map(|heard| heard.text.as_str()).collect();
        assert_eq!(heard, ["good morning", "you said one", "you said two", "you said three"]);
        assert!(self.pair.rest.debugger().is_empty(), "{:?}", self.pair.rest.debugger());
    }

    /// How often requests were refused for this reason, at either edge.
    pub(crate) fn refused(&self, reason: &str) -> f64 {
        self.counted("edge_requests_refused_total", reason)
    }

    /// How often this limit was hit, at either edge.
    pub(crate) fn limited(&self, limit: &str) -> f64 {
        self.counted("edge_limited_total", limit)
    }

    /// How many legs the worker did not take for this reason.
    pub(crate) fn legs_refused(&self, reason: &str) -> f64 {
        self.counted("offhook_worker_legs_refused_total", reason)
    }

    fn counted(&self, name: &str, label: &str) -> f64 {
        let families = self.telemetry.registry().gather();
        let metrics = families.iter().filter(|family| family.name() == name).flat_map(|family| family.get_metric());
        let labelled = metrics.filter(|metric| metric.get_label().iter().any(|pair| pair.value() == label));
        labelled.map(|metric| metric.get_counter().get_value()).sum()
    }

    /// Both edges, the worker and the model end as if nothing had been.
    pub(crate) async fn close(self) {
        self.second.soft_stop().cancel();
        assert_eq!(soon(self.running).await.unwrap().unwrap(), Drained::Whole);
        self.pair.stop().await.unwrap();
    }
}

fn caller() -> CallerScript {
    CallerScript::from_yaml(&format!("from: '+15550100001'\nto: '+15550100100'\nsteps: {CONVERSATION}")).unwrap()
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// The parameters of a call that arrives, as a form.
pub(crate) fn form(extra: &[(&str, &str)]) -> String {
    let account = Account::default().account_sid;
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs([("CallSid", CALL), ("AccountSid", &account), ("From", "+15550100002"), ("To", "+15550100100")]);
    form.extend_pairs([("CallStatus", "ringing"), ("Direction", "inbound"), ("ApiVersion", "2010-04-01")]);
    form.extend_pairs(extra);
    form.finish()
}

/// A refusal that tells nothing: no document, no socket, no word on why.
pub(crate) fn assert_refused(answer: &Answer, what: &str) {
    assert!((400..500).contains(&answer.status), "{what}: {answer:?}");
    assert!(!answer.body.contains("<Response") && !answer.body.contains("media-stream"), "{what}: {answer:?}");
}

/// A call of Twilio's, and the path of the stream that it is connected to.
pub(crate) async fn genuine_stream(edge: SocketAddr) -> (String, String) {
    static CALLS: AtomicUsize = AtomicUsize::new(100);
    let call = format!("CA{:032}", CALLS.fetch_add(1, Ordering::Relaxed));
    let answer = Request::webhook("/incoming-call", &form(&[]).replace(CALL, &call)).signed().send(edge).await;
    (call, stream_of(&answer))
}

/// The path of the stream that a document connects.
pub(crate) fn stream_of(answer: &Answer) -> String {
    let (_, url) =
        answer.body.split_once(&format!("<Stream url=\"wss://{HOST}")).unwrap_or_else(|| panic!("{answer:?}"));
    url.split('"').next().unwrap().to_owned()
}
