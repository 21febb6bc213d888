//! HTTP/1.1: not spoken unless wanted, and then with chunked bodies both ways at once.

use std::time::Duration;

use phone_lab::bedrock::{Protocol, SessionEnd, Settings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{kept::Kept, raw::*, support::*};

const HTTP1: &[&[u8]] = &[b"http/1.1"];

#[tokio::test]
async fn http_1_is_not_spoken() {
    let lab = Lab::quick().await;
    assert!(connect(&lab, &[b"http/1.1"]).await.is_err());
    let mut silent = connect(&lab, &[]).await.unwrap();
    // The server may be gone before this is written.
    let _ = silent.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut answer = Vec::new();
    let _ = silent.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "{answer:?}");
    lab.until(|server| server.refusals().len() == 2).await;
    let refusals = lab.server.refusals();
    assert!(refusals[0].starts_with("TLS handshake failed"), "{refusals:?}");
    assert_eq!(refusals[1], "the client did not negotiate h2: HTTP/1.1 is not served");
}

async fn lab() -> Lab {
    Lab::start(Settings { http1: true, ..quick("{}") }).await
}

#[tokio::test]
async fn where_http_1_is_wanted_both_bodies_flow_at_once() {
    let lab = lab().await;
    let mut raw = Raw::connect_by_http1(&lab, HTTP1).await;
    let mut session = Kept::open(&mut raw).await;
    // The answer to each is read before the next is said: the request's body is open all the while.
    for words in ["hello", "hello again"] {
        session.say(words).await;
        session.confirmed(&format!("you said {words}")).await.unwrap();
    }
    session.close().await.unwrap();
    let report = lab.report();
    assert_eq!((report.protocol, report.end), (Protocol::Http1, Some(SessionEnd::ByTheBook)));
    assert_eq!((report.protocol.to_string(), report.violations), ("HTTP/1.1".into(), vec![]));
    // The connection takes the next one.
    let mut next = raw.open();
    next.send_event(&session_start()).await;
    next.send_event(&session_start()).await;
    assert_eq!(next.exception().await.0, "validationException");
}

#[tokio::test]
async fn clients_that_offer_http_2_get_it_all_the_same() {
    let lab = lab().await;
    let mut call = call(&lab.client().await).await;
    call.say("hello").await;
    assert_eq!(call.turn().await, "you said hello");
    assert_eq!((lab.report().protocol, lab.report().protocol.to_string()), (Protocol::Http2, "HTTP/2".into()));
}

#[tokio::test]
async fn a_client_without_alpn_speaks_http_1() {
    let lab = lab().await;
    let mut call = Raw::connect_by_http1(&lab, &[]).await.open();
    call.send_event(&session_start()).await;
    lab.until(|server| server.live_sessions() == 1).await;
    assert_eq!(lab.report().protocol, Protocol::Http1);
}

#[tokio::test]
async fn an_exception_is_read_although_the_request_goes_on() {
    let lab = lab().await;
    let mut call = Raw::connect_by_http1(&lab, HTTP1).await.open();
    call.send_event(&prompt_start()).await;
    // More than any buffer on the way holds.
    for _ in 0..40 {
        call.send_bytes(vec![0; 256 * 1024]).await;
    }
    let (kind, message) = call.exception().await;
    assert_eq!(kind, "validationException");
    assert!(message.starts_with(&format!("RequestId={} : ", call.id)), "{message}");
    lab.until(|server| server.live_sessions() == 0).await;
}

#[tokio::test]
async fn a_reset_ends_the_connection_before_its_last_chunk() {
    let lab = lab().await;
    for fault in ["reset@read:1", "reset-no-error@read:1", "drop@read:1"] {
        lab.server.inject(fault.parse().unwrap());
        let mut call = Raw::connect_by_http1(&lab, HTTP1).await.open();
        call.send_event(&session_start()).await;
        assert!(call.next().await.is_err(), "{fault}");
        lab.until(|server| server.open_connections() == 0).await;
    }
}

#[tokio::test]
async fn a_connection_that_is_going_away_ends_with_its_session() {
    let lab = lab().await;
    lab.server.inject("goaway@read:1".parse().unwrap());
    let mut call = Raw::connect_by_http1(&lab, HTTP1).await.open();
    call.send_event(&session_start()).await;
    call.send_event(&prompt_start()).await;
    call.send_event(&session_start()).await;
    assert_eq!(call.exception().await.0, "validationException");
    call.end_body();
    lab.until(|server| server.open_connections() == 0).await;
}

#[tokio::test]
async fn a_frozen_session_stays_until_the_client_gives_up() {
    let lab = lab().await;
    for fault in ["freeze@read:1", "never-answer"] {
        lab.server.inject(fault.parse().unwrap());
        let mut raw = Raw::connect_by_http1(&lab, HTTP1).await;
        let mut call = raw.open();
        call.send_event(&session_start()).await;
        call.send_event(&prompt_start()).await;
        assert!(timeout(Duration::from_millis(200), call.next()).await.is_err(), "{fault}");
        assert_eq!(lab.server.live_sessions(), 1);
        raw.vanish();
        lab.until(|server| server.live_sessions() == 0).await;
    }
}
