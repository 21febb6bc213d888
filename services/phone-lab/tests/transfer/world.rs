//! Two pairs, one of which cannot reach Twilio's REST interface, and calls to them.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use offhook_hosting::{entropy::Entropy, telemetry::Telemetry};
use offhook_proto::voice::v1::{CallRecord, GetRequest, calls_client::CallsClient};
use phone_lab::{
    bedrock::{self, Pace, Script, SessionReport},
    pair::{Pair, Settings, nobody_picks_up},
    twilio::{Account, CallEvent, CallOptions, CallReport, Happening, rest::ApiKey},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::transport::Channel;

use crate::{
    judge,
    outcomes::{HUMAN, Outcome, Run},
};

/// Ten times faster than the real model; audio stays as long as it is.
const PACE: f64 = 0.1;
const MODEL: &str = "
greeting: 'good morning'
dialogue:
  - { heard: 'is back with you', reply: 'welcome back' }
  - { heard: human, say_first: 'one moment', tool: { name: support, input: { reason: 'a refund' } } }
";
/// How often a call that was silent for too long is played again.
const AGAIN: usize = 2;
/// Calls are placed this far apart at first, so that they do not all do the same at the same time.
const APART: Duration = Duration::from_millis(400);

pub(crate) struct World {
    usual: Arc<Pair>,
    without_rest: Arc<Pair>,
    agents: PathBuf,
}

impl World {
    pub(crate) async fn start() -> Self {
        let agents = std::env::temp_dir().join(format!("transfer-agents-{}.yaml", Entropy::from_os().uuid()));
        let text = format!(
            "agents:\n  desk:\n    prompt: You answer the phone.\n    transfer: {{ to: '{HUMAN}', ring_seconds: 5, screen: true }}\n"
        );
        fs::write(&agents, text).unwrap();
        let file = ("AGENTS_FILE", agents.display().to_string());
        let usual = Arc::new(pair(vec![file.clone()]).await);
        let nowhere = ("TWILIO_API_BASE_URL", "http://127.0.0.1:1".to_owned());
        let without_rest = Arc::new(pair(vec![file, nowhere]).await);
        Self { usual, without_rest, agents }
    }

    /// Plays all runs, so many at a time. Gives what was wrong, call by call.
    ///
    /// What the machine adds to a silence is not held against the services: a call in which it was too long is played
    /// again, few at a time, and has to be so again.
    pub(crate) async fn play(&self, runs: Vec<Run>, at_a_time: usize) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut silent = self.side_by_side(runs, at_a_time, &mut wrong).await;
        for time in 1..=AGAIN {
            let again = silent.into_iter().map(|(run, _)| run.again(time)).collect();
            silent = self.side_by_side(again, 2, &mut wrong).await;
        }
        wrong.extend(silent.into_iter().map(|(_, silence)| silence));
        wrong
    }

    /// Gives the runs that were silent for too long.
    async fn side_by_side(&self, runs: Vec<Run>, at_a_time: usize, wrong: &mut Vec<String>) -> Vec<(Run, String)> {
        let places = Arc::new(Semaphore::new(at_a_time));
        let mut calls = JoinSet::new();
        for run in runs {
            let (pair, place) = (self.pair_of(&run), places.clone().acquire_owned().await.unwrap());
            calls.spawn(async move {
                let played = played(&pair, &run).await;
                drop(place);
                (run, played)
            });
            sleep(APART).await;
        }
        let played = calls.join_all().await;
        let silent = played.into_iter().filter_map(|(run, played)| {
            wrong.extend(played.wrong);
            Some((run, played.silence?))
        });
        silent.collect()
    }

    fn pair_of(&self, run: &Run) -> Arc<Pair> {
        if run.outcome == Outcome::WithoutRest { self.without_rest.clone() } else { self.usual.clone() }
    }

    /// Stops everything; fails if anything of any call is left.
    pub(crate) async fn nothing_is_left(self) {
        fs::remove_file(&self.agents).unwrap();
        for pair in [self.usual, self.without_rest] {
            let tasks = || pair.edge_lifecycle.tasks().len() + pair.worker_lifecycle.tasks().len();
            let none = async {
                while tasks() > 0 {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            assert!(timeout(Duration::from_secs(10), none).await.is_ok(), "{} tasks of calls are left", tasks());
            assert_eq!((pair.bedrock.live_sessions(), pair.twilio.live_calls()), (0, vec![]));
            let Ok(pair) = Arc::try_unwrap(pair) else { panic!("a call still uses the pair") };
            pair.stop().await.unwrap();
        }
    }
}

async fn pair(environment: Vec<(&'static str, String)>) -> Pair {
    let script = Script::from_yaml(MODEL).unwrap();
    let bedrock = bedrock::Settings {
        pace: Pace::new(PACE).unwrap(),
        script,
        max_sessions: 200,
        keep_audio: false,
        ..bedrock::Settings::default()
    };
    let room = ("MAX_SESSIONS", "100".to_owned());
    // All callers are strangers to each other, but they call one number.
    let limits = ("MAX_CALLS_PER_NUMBER", "0".to_owned());
    let environment = environment.into_iter().chain([room, limits]).collect();
    let settings = Settings { bedrock, second_bedrock: None, environment, rest: nobody_picks_up(), seed: 1 };
    Pair::start(settings, Arc::new(Telemetry::for_metrics("transfer"))).await.unwrap()
}

/// What was wrong with a call, with all that happened in it.
struct Played {
    wrong: Option<String>,
    silence: Option<String>,
}

async fn played(pair: &Pair, run: &Run) -> Played {
    let options = CallOptions { human: run.human.clone(), keep_audio: false, ..CallOptions::default() };
    let (events, watched) = mpsc::channel(256);
    let redirect = redirect_when_dialled(pair, run, watched);
    let call = pair.twilio.call_watched(run.caller.clone(), options, events);
    let (call, ()) = tokio::join!(call, async {
        if run.outcome == Outcome::Redirected {
            redirect.await;
        }
    });
    let sessions = sessions_of(pair, run).await;
    let record = record_of(pair, &call).await;
    let told = |wrong: String| {
        let timeline: Vec<_> = call.timeline.iter().map(|event| format!("  {:?} {:?}", event.at, event.what)).collect();
        format!("run {} {:?}: {wrong}\n  {:?}\n{}", run.nth, run.outcome, run.human, timeline.join("\n"))
    };
    let wrong = judge::wrong(run, &call, &sessions, &record);
    Played { wrong: (!wrong.is_empty()).then(|| told(wrong.join("; "))), silence: judge::silence(&call).map(told) }
}

/// The model's sessions of a call, when they have ended: they know what its caller alone says.
async fn sessions_of(pair: &Pair, run: &Run) -> Vec<SessionReport> {
    let is_of = |session: &SessionReport| {
        let heard = session.heard.iter().map(|heard| heard.text.as_str());
        let history = session.history.iter().map(|message| message.text.as_str());
        heard.chain(history).any(|text| text.to_lowercase().contains(&run.secret))
    };
    let found = || -> Vec<_> { pair.bedrock.reports().into_iter().filter(is_of).collect() };
    let ended = async {
        while found().iter().any(|session| session.end.is_none()) {
            sleep(Duration::from_millis(200)).await;
        }
    };
    // One that never ends is found out by the judge.
    let _ = timeout(Duration::from_secs(10), ended).await;
    found()
}

/// The call's record, as soon as it is closed and Twilio has told of the end, or as it then is.
async fn record_of(pair: &Pair, call: &CallReport) -> CallRecord {
    let channel = Channel::from_shared(pair.worker_url.clone()).unwrap().connect().await.unwrap();
    let mut client = CallsClient::new(channel);
    for _ in 0..500 {
        let request = GetRequest { call_sid: call.call_sid.clone() };
        if let Ok(found) = client.get(request).await
            && let Some(record) = found.into_inner().record
            && !record.ended_at.is_empty()
            && record.call_status == "completed"
        {
            return record;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let request = GetRequest { call_sid: call.call_sid.clone() };
    client.get(request).await.unwrap().into_inner().record.unwrap()
}

/// Somebody else sends the call back to its first document, so long after the human was dialled.
async fn redirect_when_dialled(pair: &Pair, run: &Run, mut events: mpsc::Receiver<CallEvent>) {
    loop {
        let Some(event) = events.recv().await else { return };
        if matches!(event.what, Happening::Dialled { .. }) {
            break;
        }
    }
    sleep(run.redirect_after).await;
    let from = run.caller.from.replace('+', "%2B");
    // The human's leg has the same From, and a parent.
    let calls = rest(pair, "GET", &format!("Calls.json?From={from}"), "").await;
    let calls = calls["calls"].as_array().unwrap().clone();
    let call = calls.into_iter().find(|call| call["parent_call_sid"].is_null()).unwrap();
    let path = format!("Calls/{}.json", call["sid"].as_str().unwrap());
    let shown = rest(pair, "POST", &path, "Url=https%3A%2F%2Fvoice.example.test%2Fincoming-call").await;
    assert_eq!(shown["sid"], call["sid"], "{shown}");
}

async fn rest(pair: &Pair, method: &str, path: &str, form: &str) -> Value {
    let (ApiKey { sid, secret }, account) = (ApiKey::default(), Account::default().account_sid);
    let authorization = STANDARD.encode(format!("{sid}:{secret}"));
    let request = format!(
        "{method} /2010-04-01/Accounts/{account}/{path} HTTP/1.1\r\nhost: api.example.test\r\nconnection: close\r\n\
         authorization: Basic {authorization}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{form}",
        form.len()
    );
    let mut socket = TcpStream::connect(pair.rest.address()).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}
