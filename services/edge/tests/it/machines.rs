//! What the edge does once Twilio has found out who took a call.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use edge::call::placed::{OnMachine, Seals};
use hyper::StatusCode;
use offhook_proto::voice::v1::{AnsweredBy, NextStep, report_request::Event};
use tokio::net::TcpListener;

use crate::support::{
    ACCOUNT, CALL, Edge,
    twilio::{form, get_signed, post, post_signed},
    worker::Worker,
};

const KEY: &str = "a ticket key that only these tests use";

/// Twilio's REST interface: takes everything with this status, and says what it took.
#[derive(Clone)]
struct Rest {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<(String, String)>>>,
}

impl Rest {
    async fn answering(statuses: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let rest = Self { address: listener.local_addr().unwrap(), taken: Arc::default() };
        let taken = rest.taken.clone();
        let answer = async move |uri: http::Uri, body: String| {
            let mut taken = taken.lock().unwrap();
            taken.push((uri.path().to_owned(), body));
            let status = statuses.get(taken.len() - 1).or(statuses.last()).unwrap();
            (StatusCode::from_u16(*status).unwrap(), "{}")
        };
        let router = axum::Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        rest
    }

    /// The parameters that were sent.
    fn taken(&self) -> Vec<(String, String)> {
        let taken = std::mem::take(&mut *self.taken.lock().unwrap());
        let parameter = |(path, body): (String, String)| {
            assert_eq!(path, format!("/2010-04-01/Accounts/{ACCOUNT}/Calls/{CALL}.json"));
            let mut parameters = form_urlencoded::parse(body.as_bytes()).into_owned();
            let parameter = parameters.next().unwrap();
            assert_eq!(parameters.next(), None);
            parameter
        };
        taken.into_iter().map(parameter).collect()
    }
}

async fn edge(rest: &Rest) -> (Edge, Worker) {
    let worker = Worker::willing().await;
    worker.decides(NextStep { step: None });
    let (workers, base) = (format!("http://{}", worker.address), format!("http://{}", rest.address));
    let variables = [
        ("SONIC_WORKERS", workers.as_str()),
        ("OFFHOOK_TICKET_KEY", KEY),
        ("TWILIO_API_SID", "SK00000000000000000000000000000001"),
        ("TWILIO_API_SECRET", "a secret"),
        ("TWILIO_API_BASE_URL", base.as_str()),
    ];
    (Edge::with_env(&variables).await, worker)
}

fn callback(on_machine: &OnMachine) -> String {
    format!("/amd-status?placed={}", Seals::new(KEY.as_bytes()).seal_on_machine(on_machine, [7; 12]).unwrap())
}

fn verdict(answered_by: &str) -> String {
    form(&[("AnsweredBy", answered_by), ("MachineDetectionDuration", "2300")])
}

const TAKEN: (StatusCode, String) = (StatusCode::NO_CONTENT, String::new());

#[tokio::test]
async fn a_callback_that_comes_twice_leaves_one_message_and_both_reach_the_record() {
    let rest = Rest::answering(&[200]).await;
    let (edge, worker) = edge(&rest).await;
    let target = callback(&OnMachine::LeaveMessage("please call back".to_owned()));
    for _ in 0..2 {
        assert_eq!(post(edge.public, &target, &verdict("machine_end_beep")).await, TAKEN);
    }
    let [(name, document)] = <[_; 1]>::try_from(rest.taken()).unwrap();
    assert_eq!(name, "Twiml");
    assert!(document.ends_with("<Response><Say>please call back</Say><Hangup/></Response>"), "{document}");
    let found = AnsweredBy { answered_by: "machine_end_beep".to_owned(), machine_detection_ms: Some(2300) };
    assert_eq!(worker.reported(), [Event::AnsweredBy(found.clone()), Event::AnsweredBy(found)]);
}

#[tokio::test]
async fn a_human_or_nobody_knows_who_is_only_written_down() {
    let rest = Rest::answering(&[200]).await;
    let (edge, worker) = edge(&rest).await;
    for answered_by in ["human", "unknown", "something new"] {
        let target = callback(&OnMachine::HangUp);
        assert_eq!(post(edge.public, &target, &verdict(answered_by)).await, TAKEN);
        assert_eq!(get_signed(edge.public, &format!("{target}&{}", verdict(answered_by))).await, TAKEN);
    }
    assert_eq!((rest.taken(), worker.reported().len()), (Vec::new(), 6));
}

#[tokio::test]
async fn a_message_that_twilio_does_not_take_ends_the_call_instead() {
    let rest = Rest::answering(&[400, 200]).await;
    let (edge, _worker) = edge(&rest).await;
    let target = callback(&OnMachine::LeaveMessage("please call back".to_owned()));
    assert_eq!(post(edge.public, &target, &verdict("machine_end_other")).await, TAKEN);
    let names: Vec<_> = rest.taken().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["Twiml", "Status"]);
}

#[tokio::test]
async fn what_was_sealed_elsewhere_or_not_signed_by_twilio_does_nothing() {
    let rest = Rest::answering(&[200]).await;
    let (edge, worker) = edge(&rest).await;
    let sealed = Seals::new(b"another key").seal_on_machine(&OnMachine::HangUp, [7; 12]).unwrap();
    for target in [format!("/amd-status?placed={sealed}"), "/amd-status".to_owned()] {
        assert_eq!(post(edge.public, &target, &verdict("machine_start")).await, TAKEN);
    }
    assert_eq!((rest.taken(), worker.reported().len()), (Vec::new(), 2));
    let target = callback(&OnMachine::HangUp);
    assert_eq!(post_signed(edge.public, &target, &verdict("machine_start"), None).await.0, StatusCode::FORBIDDEN);
    assert_eq!(post(edge.public, &target, &form(&[])).await.0, StatusCode::BAD_REQUEST);
    assert_eq!((rest.taken(), worker.reported().len()), (Vec::new(), 0));
}
