use edge::twilio::signature::sign;
use http_body_util::Full;
use hyper::{Request, StatusCode};

use crate::support::{
    Edge, HOST, TOKEN,
    twilio::{Stream, arrive, form, get, get_signed, post, post_signed, send, stream_path},
    worker::Worker,
};

#[tokio::test]
async fn an_incoming_call_is_connected_to_a_stream_of_its_own() {
    let edge = Edge::with_env(&[]).await;
    let (status, document) = post(edge.public, "/incoming-call?agent=nobody", &form(&[])).await;
    assert_eq!(status, StatusCode::OK);
    let path = stream_path(&document);
    assert_eq!(
        document,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>\
             <Connect action=\"https://{HOST}/stream-ended\" method=\"POST\"><Stream url=\"wss://{HOST}{path}\" \
             statusCallback=\"https://{HOST}/stream-status\">\
             <Parameter name=\"from\" value=\"+15005550006\"/><Parameter name=\"to\" value=\"+15005550009\"/>\
             <Parameter name=\"direction\" value=\"inbound\"/><Parameter name=\"agent\" value=\"demo\"/>\
             </Stream></Connect><Hangup/></Response>"
        )
    );
    assert!(path.starts_with("/media-stream/") && !path.contains('?'));
}

#[tokio::test]
async fn a_call_that_no_worker_has_a_place_for_is_not_connected_to_nobody() {
    let (full, willing) = (Worker::full().await, Worker::willing().await);
    let edge = Edge::with_workers(&[full.address, full.address]).await;
    let (_, document) = post(edge.public, "/incoming-call", &form(&[])).await;
    assert!(!document.contains("<Stream") && document.ends_with("<Hangup/></Response>"), "{document}");
    let edge = Edge::with_workers(&[full.address, willing.address]).await;
    let (_, document) = post(edge.public, "/incoming-call", &form(&[])).await;
    assert!(document.contains("<Stream"), "{document}");
}

#[tokio::test]
async fn a_webhook_may_be_configured_as_get() {
    let edge = Edge::with_env(&[]).await;
    let (status, document) = get_signed(edge.public, &format!("/incoming-call?{}", form(&[]))).await;
    assert_eq!(status, StatusCode::OK);
    assert!(document.contains("<Stream"));
}

#[tokio::test]
async fn what_twilio_has_not_signed_is_refused_without_a_word() {
    let edge = Edge::with_env(&[]).await;
    let other_token = sign(&"54321".into(), &format!("https://{HOST}/incoming-call"), form(&[]).as_bytes());
    let other_body = sign(&TOKEN.into(), &format!("https://{HOST}/incoming-call"), b"");
    for signature in [None, Some("rubbish"), Some(&*other_token), Some(&*other_body)] {
        for target in ["/incoming-call", "/stream-ended", "/failover"] {
            let refused = post_signed(edge.public, target, &form(&[]), signature).await;
            assert_eq!(refused, (StatusCode::FORBIDDEN, String::new()), "{target} {signature:?}");
        }
    }
    assert_eq!(edge.metric("edge_requests_refused_total", "reason=\"missing\"").await, Some(3.0));
    assert_eq!(edge.metric("edge_requests_refused_total", "reason=\"mismatch\"").await, Some(6.0));
}

#[tokio::test]
async fn a_body_that_the_signature_does_not_cover_is_refused() {
    let edge = Edge::with_env(&[]).await;
    let signature = sign(&TOKEN.into(), &format!("https://{HOST}/incoming-call"), b"");
    let request = Request::post(format!("http://{}/incoming-call", edge.public))
        .header("content-type", "application/json")
        .header("x-twilio-signature", signature);
    let (status, _) = send(request.body(Full::from("{}")).unwrap()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn calls_of_another_account_are_refused() {
    let edge = Edge::with_env(&[]).await;
    let foreign = form(&[]).replace("AC00000000000000000000000000000001", "AC00000000000000000000000000000009");
    assert_eq!(post(edge.public, "/incoming-call", &foreign).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_request_that_names_no_call_is_told_what_is_missing() {
    let edge = Edge::with_env(&[]).await;
    let (status, text) = post(edge.public, "/incoming-call", &form(&[]).replace("CallSid", "Other")).await;
    assert_eq!((status, text.as_str()), (StatusCode::BAD_REQUEST, "CallSid is missing or malformed\n"));
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_unread() {
    let edge = Edge::with_env(&[]).await;
    let large = form(&[("Extra", &"x".repeat(65 * 1024))]);
    assert_eq!(post(edge.public, "/incoming-call", &large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn the_front_page_needs_no_signature() {
    let edge = Edge::with_env(&[]).await;
    assert_eq!(get(edge.public, "/").await.0, StatusCode::OK);
    assert_eq!(get(edge.public, "/metrics").await.0, StatusCode::NOT_FOUND);
    assert_eq!(get(edge.admin, "/readyz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_media_socket_needs_a_signature_and_a_ticket() {
    let edge = Edge::with_env(&[]).await;
    let path = arrive(edge.public).await;
    let as_https = sign(&TOKEN.into(), &format!("https://{HOST}{path}"), b"");
    for signature in [None, Some(&*as_https)] {
        let refused = Stream::open_signed(edge.public, &path, signature).await.err();
        assert_eq!(refused, Some(StatusCode::FORBIDDEN), "{signature:?}");
    }
    let mut changed = path.clone();
    let last = if changed.ends_with('A') { 'Q' } else { 'A' };
    changed.pop();
    changed.push(last);
    for path in [&*changed, "/media-stream/guessed"] {
        assert_eq!(Stream::open(edge.public, path).await.err(), Some(StatusCode::FORBIDDEN), "{path}");
    }
    assert!(Stream::open(edge.public, &path).await.is_ok());
}

#[tokio::test]
async fn a_ticket_opens_one_socket() {
    let edge = Edge::with_env(&[]).await;
    let path = arrive(edge.public).await;
    let _socket = Stream::open(edge.public, &path).await.unwrap();
    assert_eq!(Stream::open(edge.public, &path).await.err(), Some(StatusCode::FORBIDDEN));
    assert_eq!(edge.metric("edge_requests_refused_total", "reason=\"used_ticket\"").await, Some(1.0));
}
