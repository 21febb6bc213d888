//! Every document that the edge gives, word for word.

use std::{fs, path::Path};

use hyper::StatusCode;
use offhook_proto::voice::v1::{HangUp, NextStep, Reattach, SendDigits, Transfer, next_step::Step};

use crate::support::{
    CALL, Edge,
    documents::{assert_recorded, folder},
    twilio::{form, post},
    worker::Worker,
};

const SIP_CALL: [(&str, &str); 6] = [
    ("SipDomain", "aurora.sip.twilio.com"),
    ("SipHeader_X-Tenant", "t-42 & <more>"),
    ("SipHeader_User-to-User", "3132;encoding=hex"),
    ("CallerName", "Déjà \"vu\""),
    ("StirVerstat", "TN-Validation-Passed-A"),
    ("ForwardedFrom", "+15005550001"),
];

async fn recorded(edge: &Edge, name: &str, target: &str, extra: &[(&str, &str)]) {
    let (status, document) = post(edge.public, target, &form(extra)).await;
    assert_eq!(status, StatusCode::OK, "{document}");
    assert_recorded(name, &document);
}

#[tokio::test]
async fn a_call_is_connected_with_all_that_is_known_of_it() {
    let worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    recorded(&edge, "connect", "/incoming-call", &[]).await;
    recorded(&edge, "connect-sip", "/incoming-call?agent=demo&tenant=north", &SIP_CALL).await;
}

#[tokio::test]
async fn a_call_that_no_worker_takes_falls_back_as_its_agent_says() {
    let worker = Worker::full().await;
    let edge = Edge::with_agents(&[worker.address]).await;
    for name in ["full-human", "full-number", "full-queue", "full-busy", "full-apology"] {
        let agent = name.trim_start_matches("full-");
        recorded(&edge, name, &format!("/incoming-call?agent={agent}"), &[]).await;
    }
    let answered = [("CallStatus", "in-progress"), ("Direction", "outbound-api")];
    recorded(&edge, "full-busy-outbound", "/incoming-call?agent=busy", &answered).await;
    recorded(&edge, "full-queue-carries", "/incoming-call?agent=queue&tenant=a%26b&placed=s", &[]).await;
}

#[tokio::test]
async fn a_caller_in_the_queue_hears_music_until_there_is_a_place() {
    let (full, willing) = (Worker::full().await, Worker::willing().await);
    let edge = Edge::with_agents(&[full.address]).await;
    recorded(&edge, "queue-first", "/queue-wait?agent=queue", &[("QueueTime", "0")]).await;
    recorded(&edge, "queue-again", "/queue-wait?agent=queue", &[("QueueTime", "8")]).await;
    recorded(&edge, "queue-too-long", "/queue-wait?agent=queue", &[("QueueTime", "300")]).await;
    recorded(&edge, "queue-left-in-vain", "/queue-left?agent=queue", &[("QueueResult", "leave")]).await;
    recorded(&edge, "queue-left-for-human", "/queue-left?agent=human", &[("QueueResult", "leave")]).await;
    let edge = Edge::with_agents(&[willing.address]).await;
    recorded(&edge, "queue-place", "/queue-wait?agent=queue", &[("QueueTime", "8")]).await;
    recorded(&edge, "queue-left", "/queue-left?agent=queue&tenant=a%26b", &[("QueueResult", "leave")]).await;
    recorded(&edge, "queue-left-by-caller", "/queue-left?agent=queue", &[("QueueResult", "hangup")]).await;
}

#[tokio::test]
async fn a_call_goes_on_as_its_worker_says() {
    let (worker, stranger) = (Worker::willing().await, Worker::willing().await);
    let edge = Edge::with_agents(&[worker.address]).await;
    let (say, reason) = ("One <moment>.".to_owned(), "a refund & a voucher".to_owned());
    worker.decides(then(Step::Transfer(Transfer { say, reason })));
    recorded(&edge, "after-stream-transfer", "/stream-ended", &[]).await;
    worker.decides(then(Step::HangUp(HangUp { say: "Goodbye.".to_owned() })));
    recorded(&edge, "after-stream-goodbye", "/stream-ended", &[]).await;
    worker.decides(then(Step::SendDigits(SendDigits { digits: "1w2#".to_owned() })));
    recorded(&edge, "after-stream-digits", "/stream-ended", &[]).await;
    worker.decides(then(Step::Reattach(Reattach {})));
    let busy = [("CallStatus", "in-progress"), ("DialCallStatus", "busy"), ("DialBridged", "false")];
    recorded(&edge, "after-transfer", "/transfer-result", &busy).await;
    let over = [("CallStatus", "completed"), ("DialCallStatus", "completed")];
    recorded(&edge, "after-transfer-over", "/transfer-result", &over).await;
    let nobody_knows = Edge::with_agents(&[stranger.address]).await;
    recorded(&nobody_knows, "after-stream-unknown", "/stream-ended", &[]).await;
}

#[tokio::test]
async fn a_human_is_asked_whether_they_take_a_call() {
    let worker = Worker::willing().await;
    let edge = Edge::with_agents(&[worker.address]).await;
    worker.decides(NextStep { step: None });
    worker.briefs("+15005550006", "Wants a refund & a voucher");
    recorded(&edge, "whisper", "/transfer-whisper", &[("ParentCallSid", CALL)]).await;
    recorded(&edge, "whisper-unknown", "/transfer-whisper", &[]).await;
    recorded(&edge, "whisper-taken", "/transfer-whisper?pressed=1", &[("Digits", "1")]).await;
    recorded(&edge, "whisper-declined", "/transfer-whisper?pressed=1", &[("Digits", "2")]).await;
}

#[tokio::test]
async fn a_call_whose_other_doors_failed_is_not_left_alone() {
    let edge = Edge::with_agents(&["127.0.0.1:1".parse().unwrap()]).await;
    recorded(&edge, "failover-human", "/failover?agent=human", &[]).await;
    recorded(&edge, "failover-apology", "/failover?agent=apology", &[]).await;
}

fn then(step: Step) -> NextStep {
    NextStep { step: Some(step) }
}

#[test]
fn no_recorded_document_is_left_that_nothing_says_any_more() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let sources: String =
        fs::read_dir(tests).unwrap().filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok()).collect();
    for document in fs::read_dir(folder()).unwrap() {
        let path = document.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(sources.contains(&format!("\"{name}\"")), "{name}.xml is what nothing says");
    }
}
