//! What follows a leg: a goodbye, a human, keys, the conversation again.

use edge::twilio::twiml::{APOLOGY, NOBODY_ANSWERED};
use hyper::StatusCode;
use offhook_proto::voice::v1::{
    CallProgress, HangUp, NextStep, Reattach, SendDigits, Transfer, TransferEnded, next_step::Step,
    report_request::Event,
};

use crate::support::{
    CALL, Edge,
    twilio::{Stream, form, get_signed, post, stream_path},
    worker::Worker,
};

/// The human's leg.
const LEG: &str = "CA00000000000000000000000000000007";
const GOODBYE: &str = "<Response><Hangup/></Response>";

fn then(step: Step) -> NextStep {
    NextStep { step: Some(step) }
}

fn transfer() -> NextStep {
    then(Step::Transfer(Transfer { reason: "angry".to_owned(), say: "One moment.".to_owned() }))
}

fn reattach() -> NextStep {
    then(Step::Reattach(Reattach {}))
}

async fn stream_ended(edge: &Edge) -> String {
    post(edge.public, "/stream-ended", &form(&[])).await.1
}

/// What Twilio says when a transfer is over and the caller is still there.
async fn transfer_result(edge: &Edge, told: &[(&str, &str)]) -> String {
    let (status, document) = post(edge.public, "/transfer-result", &live(told)).await;
    assert_eq!(status, StatusCode::OK);
    document
}

fn live(told: &[(&str, &str)]) -> String {
    form(told).replace("CallStatus=ringing", "CallStatus=in-progress")
}

fn over(told: &[(&str, &str)]) -> String {
    form(told).replace("CallStatus=ringing", "CallStatus=completed")
}

#[tokio::test]
async fn the_worker_that_knows_a_call_decides_what_comes_next() {
    let (ignorant, worker) = (Worker::willing().await, Worker::willing().await);
    let edge = Edge::with_workers(&[ignorant.address, worker.address]).await;
    worker.decides(then(Step::HangUp(HangUp { say: "Good <bye>".to_owned() })));
    let (status, document) = post(edge.public, "/stream-ended", &form(&[])).await;
    assert_eq!(status, StatusCode::OK);
    assert!(document.ends_with("<Response><Say>Good &lt;bye&gt;</Say><Hangup/></Response>"), "{document}");
}

#[tokio::test]
async fn a_transfer_dials_the_human_and_is_the_same_when_twilio_asks_twice() {
    let worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    worker.decides(transfer());
    let expected = format!(
        "<Response><Say>One moment.</Say><Dial action=\"https://voice.example.com/transfer-result?agent=demo\" method=\"POST\" \
         answerOnBridge=\"true\" timeout=\"20\"><Sip>sip:help@example.com?X-Offhook-Call-Sid={CALL}\
         &amp;X-Offhook-Reason=angry</Sip></Dial><Hangup/></Response>"
    );
    for _ in 0..2 {
        let document = stream_ended(&edge).await;
        assert!(document.ends_with(&expected), "{document}");
    }
    assert_eq!(worker.reserved(), 0);
}

#[tokio::test]
async fn a_transfer_without_a_human_ends_with_a_sentence() {
    let worker = Worker::willing().await;
    let workers = format!("http://{}", worker.address);
    let edge = Edge::with_env(&[("SONIC_WORKERS", &workers), ("SIP_ENDPOINT", "")]).await;
    worker.decides(transfer());
    assert!(stream_ended(&edge).await.contains(NOBODY_ANSWERED));
}

#[tokio::test]
async fn a_conversation_goes_on_at_the_worker_that_holds_it_in_a_stream_of_its_own() {
    let (other, mut worker) = (Worker::willing().await, Worker::willing().await);
    let edge = Edge::with_workers(&[other.address, worker.address]).await;
    worker.decides(reattach());
    let (first, second) = (stream_ended(&edge).await, stream_ended(&edge).await);
    let path = stream_path(&second);
    assert_ne!(stream_path(&first), path, "each ticket opens one leg");
    assert!(second.contains("<Parameter name=\"agent\" value=\"demo\"/>"), "{second}");
    assert!(second.ends_with("</Connect><Hangup/></Response>"), "{second}");
    let mut stream = Stream::open(edge.public, &path).await.unwrap();
    stream.start(CALL).await;
    worker.accepted().await;
    assert_eq!((other.reserved(), worker.reserved()), (0, 2));
}

/// Pitfall 23: keys in a stream's audio are not heard as keys.
#[tokio::test]
async fn keys_are_played_by_twilio_before_the_conversation_goes_on() {
    let worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    worker.decides(then(Step::SendDigits(SendDigits { digits: "1w23#".to_owned() })));
    let document = stream_ended(&edge).await;
    assert!(document.contains("<Response><Play digits=\"1w23#\"/><Connect "), "{document}");
}

#[tokio::test]
async fn a_call_that_no_worker_knows_gets_what_its_agent_falls_back_to() {
    let worker = Worker::willing().await;
    let workers = [worker.address, "127.0.0.1:1".parse().unwrap()].map(|worker| format!("http://{worker}")).join(",");
    let edge = Edge::with_env(&[("SONIC_WORKERS", &workers)]).await;
    let document = stream_ended(&edge).await;
    assert!(document.contains("<Say>I am sorry, I cannot go on. ") && document.contains("<Sip>"), "{document}");
    let without_a_human = Edge::with_env(&[("SONIC_WORKERS", &workers), ("SIP_ENDPOINT", "")]).await;
    let document = stream_ended(&without_a_human).await;
    assert!(document.contains("<Say>We are sorry, ") && document.ends_with("</Say><Hangup/></Response>"), "{document}");
}

#[tokio::test]
async fn a_conversation_that_has_no_place_to_go_on_is_handed_to_the_human_or_ends_with_an_apology() {
    let worker = Worker::full().await;
    worker.decides(reattach());
    let workers = format!("http://{}", worker.address);
    let with_human = Edge::with_env(&[("SONIC_WORKERS", &workers)]).await;
    assert!(stream_ended(&with_human).await.contains("<Response><Dial "));
    let without = Edge::with_env(&[("SONIC_WORKERS", &workers), ("SIP_ENDPOINT", "")]).await;
    assert!(stream_ended(&without).await.contains(APOLOGY));
}

#[tokio::test]
async fn a_caller_who_has_hung_up_gets_an_empty_document_and_no_place() {
    let worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    worker.decides(reattach());
    let transferred = over(&[("DialCallStatus", "completed"), ("DialCallSid", LEG)]);
    for (target, form) in [("/stream-ended", over(&[])), ("/transfer-result", transferred)] {
        let (_, document) = post(edge.public, target, &form).await;
        assert!(document.ends_with(GOODBYE), "{target}: {document}");
        let told = CallProgress { call_status: "completed".to_owned(), ..CallProgress::default() };
        assert_eq!(worker.reported(), [Event::Progress(told)], "{target}");
    }
    assert_eq!(worker.reserved(), 0);
}

#[tokio::test]
async fn whatever_became_of_a_transfer_its_worker_is_told_and_takes_the_caller_back() {
    let worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    worker.decides(reattach());
    for status in ["completed", "answered", "busy", "no-answer", "failed", "canceled", "on-fire"] {
        for bridged in [true, false] {
            let said = bridged.to_string();
            let told = [
                ("DialCallStatus", status),
                ("DialCallSid", LEG),
                ("DialBridged", &*said),
                ("DialCallDuration", "17"),
                ("DialSipResponseCode", "486"),
            ];
            let document = transfer_result(&edge, &told).await;
            assert!(document.contains("<Connect "), "{status} {bridged}: {document}");
            let expected = TransferEnded {
                dial_call_sid: LEG.to_owned(),
                dial_call_status: status.to_owned(),
                bridged,
                dial_call_duration_s: Some(17),
                sip_response_code: Some(486),
            };
            assert_eq!(worker.reported(), [Event::TransferEnded(expected)], "{status}");
        }
    }
}

#[tokio::test]
async fn a_transfer_result_that_says_little_is_still_answered() {
    let worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    worker.decides(reattach());
    assert!(transfer_result(&edge, &[]).await.contains("<Connect "));
    assert_eq!(worker.reported(), []);
}

#[tokio::test]
async fn a_caller_whose_worker_is_gone_is_connected_anew_unless_a_human_has_helped() {
    let mut worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    for status in ["busy", "no-answer", "failed", "canceled", "on-fire"] {
        let document = transfer_result(&edge, &[("DialCallStatus", status), ("DialBridged", "false")]).await;
        assert!(document.contains("<Connect "), "{status}: {document}");
    }
    let declined = transfer_result(&edge, &[("DialCallStatus", "completed"), ("DialBridged", "false")]).await;
    Stream::open(edge.public, &stream_path(&declined)).await.unwrap().start(CALL).await;
    worker.accepted().await;
    let helped = transfer_result(&edge, &[("DialCallStatus", "completed"), ("DialBridged", "true")]).await;
    assert!(helped.ends_with(GOODBYE), "{helped}");
}

#[tokio::test]
async fn a_caller_who_is_connected_anew_gets_the_agent_whom_they_called() {
    let worker = Worker::willing().await;
    let edge = Edge::with_agents(&[worker.address]).await;
    let (_, document) = post(edge.public, "/transfer-result?agent=queue", &live(&[("DialCallStatus", "busy")])).await;
    assert!(document.contains("<Parameter name=\"agent\" value=\"queue\"/>"), "{document}");
}

#[tokio::test]
async fn every_step_may_reach_another_edge() {
    let (other, mut worker) = (Worker::willing().await, Worker::willing().await);
    let workers = format!("http://{},http://{}", other.address, worker.address);
    let shared = [("SONIC_WORKERS", &*workers), ("OFFHOOK_TICKET_KEY", "a key that both edges of this test have")];
    let (one, two) = (Edge::with_env(&shared).await, Edge::with_env(&shared).await);
    worker.decides(transfer());
    let documents = [stream_ended(&one).await, stream_ended(&two).await];
    assert!(documents[0] == documents[1] && documents[0].contains("<Dial "), "{documents:?}");
    worker.decides(reattach());
    let told = [("DialCallStatus", "busy"), ("DialCallSid", LEG), ("DialBridged", "false")];
    let path = stream_path(&transfer_result(&two, &told).await);
    assert!(matches!(&worker.reported()[..], [Event::TransferEnded(_)]));
    Stream::open(one.public, &path).await.unwrap().start(CALL).await;
    assert_eq!(worker.accepted().await.start.call_sid, CALL);
    assert!(other.reported().is_empty() && other.reserved() == 0);
}

#[tokio::test]
async fn a_human_who_could_not_be_reached_is_not_dialled_again_at_once() {
    let (worker, full) = (Worker::willing().await, Worker::full().await);
    worker.decides(transfer());
    full.decides(reattach());
    for address in [worker.address, full.address] {
        let edge = Edge::with_workers(&[address]).await;
        let missed = transfer_result(&edge, &[("DialCallStatus", "busy"), ("DialBridged", "false")]).await;
        assert!(missed.ends_with(&format!("<Say>{NOBODY_ANSWERED}</Say><Hangup/></Response>")), "{missed}");
        let helped = transfer_result(&edge, &[("DialCallStatus", "completed"), ("DialBridged", "true")]).await;
        assert!(helped.ends_with(GOODBYE), "{helped}");
    }
}

/// Pitfall 22: a redirect during a transfer also asks for its result, and only the other document counts.
#[tokio::test]
async fn the_double_callback_of_a_redirect_during_a_transfer_gives_one_course() {
    let mut worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    worker.decides(reattach());
    let told = [("DialCallStatus", "completed"), ("DialCallSid", LEG), ("DialBridged", "true")];
    let ignored = transfer_result(&edge, &told).await;
    let followed = stream_ended(&edge).await;
    assert!(ignored.contains("<Connect ") && followed.contains("<Connect "));
    Stream::open(edge.public, &stream_path(&followed)).await.unwrap().start(CALL).await;
    worker.accepted().await;
    assert!(!worker.was_asked(), "one leg");
}

#[tokio::test]
async fn a_human_is_told_who_calls_and_why_and_takes_the_call_with_1() {
    let (ignorant, worker) = (Worker::willing().await, Worker::willing().await);
    let edge = Edge::with_workers(&[ignorant.address, worker.address]).await;
    worker.decides(transfer());
    worker.briefs("+15005550006", "Wants a refund");
    let on_the_leg = |told: &[(&str, &str)]| live(told).replacen(CALL, LEG, 1);
    let (_, asked) = post(edge.public, "/transfer-whisper", &on_the_leg(&[("ParentCallSid", CALL)])).await;
    assert!(asked.contains("A call from 1 5 0 0 5 5 5 0 0 0 6 for you. Wants a refund. Press 1"), "{asked}");
    let asks = "<Response><Gather action=\"https://voice.example.com/transfer-whisper?pressed=1\" ";
    assert!(asked.contains(asks) && asked.ends_with("</Gather><Hangup/></Response>"), "{asked}");
    for (key, taken) in [("1", true), ("2", false), ("#", false), ("", false), ("11", false)] {
        let form = on_the_leg(&[("ParentCallSid", CALL), ("Digits", key)]);
        let (_, document) = post(edge.public, "/transfer-whisper?pressed=1", &form).await;
        let expected = if taken { "<Response></Response>" } else { GOODBYE };
        assert!(document.ends_with(expected), "{key}: {document}");
    }
}

#[tokio::test]
async fn a_human_is_asked_also_where_no_worker_can_say_who_calls() {
    let edge = Edge::with_workers(&["127.0.0.1:1".parse().unwrap()]).await;
    for parent in [CALL, "rubbish", ""] {
        let form = live(&[("ParentCallSid", parent)]).replacen(CALL, LEG, 1);
        let (status, asked) = post(edge.public, "/transfer-whisper", &form).await;
        assert_eq!(status, StatusCode::OK);
        assert!(asked.contains("Press 1 to take the call."), "{parent}: {asked}");
    }
}

#[tokio::test]
async fn failover_needs_no_worker_and_no_other_door() {
    let nobody = ("SONIC_WORKERS", "http://127.0.0.1:1");
    let with_human = Edge::with_env(&[nobody]).await;
    let failed = [("ErrorCode", "11200"), ("ErrorUrl", "https://voice.example.com/incoming-call")];
    let get = get_signed(with_human.public, &format!("/failover?{}", form(&failed))).await.1;
    for document in [post(with_human.public, "/failover", &form(&failed)).await.1, get] {
        assert!(document.contains("<Dial answerOnBridge=\"true\" timeout=\"20\"><Sip>sip:help@example.com?"));
        assert!(document.ends_with("Goodbye.</Say><Hangup/></Response>") && !document.contains("https://"));
    }
    let without = Edge::with_env(&[nobody, ("SIP_ENDPOINT", "")]).await;
    let (status, document) = post(without.public, "/failover", &form(&[])).await;
    assert_eq!(status, StatusCode::OK);
    assert!(document.ends_with(&format!("<Response><Say>{APOLOGY}</Say><Hangup/></Response>")), "{document}");
}

#[tokio::test]
async fn failover_dials_nobody_on_a_human_s_leg_and_no_human_who_was_just_on_the_phone() {
    let edge = Edge::with_env(&[]).await;
    let (_, leg) = post(edge.public, "/failover", &live(&[("ParentCallSid", CALL)])).await;
    assert!(leg.ends_with(GOODBYE), "{leg}");
    let failed = [("ErrorUrl", "https://voice.example.com/transfer-result?agent=demo")];
    let (_, after) = post(edge.public, "/failover", &live(&failed)).await;
    assert!(after.ends_with("please call again later. Goodbye.</Say><Hangup/></Response>"), "{after}");
    assert!(!after.contains("<Dial"), "{after}");
}

/// Pitfall 6: a pause after the stream would keep the caller on a silent line.
#[tokio::test]
async fn every_document_on_a_caller_s_leg_ends_in_a_hang_up_and_none_in_a_pause() {
    let worker = Worker::willing().await;
    let edge = Edge::with_workers(&[worker.address]).await;
    let (bye, keys) = (HangUp { say: "Goodbye.".to_owned() }, SendDigits { digits: "1".to_owned() });
    for step in [NextStep { step: None }, transfer(), reattach(), then(Step::HangUp(bye)), then(Step::SendDigits(keys))]
    {
        worker.decides(step);
        for target in ["/incoming-call", "/stream-ended", "/transfer-result", "/failover", "/transfer-whisper"] {
            let (_, document) = post(edge.public, target, &live(&[("DialCallStatus", "busy")])).await;
            assert!(document.ends_with("<Hangup/></Response>") && !document.contains("<Pause"), "{target}: {document}");
        }
    }
}
