//! Who gets in, and how much of it.

use std::net::SocketAddr;

use edge::twilio::signature::sign;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    CALL, Edge, HOST, TOKEN, soon,
    twilio::{Stream, arrive, form, get, post, send},
};

const BUSY: &str = "<Response><Reject reason=\"busy\"/></Response>";

/// What Twilio says of the call with this number, which rings.
fn ringing(call: usize) -> String {
    form(&[]).replace(CALL, &format!("CA{call:032}"))
}

/// A webhook through a proxy on loopback, with headers of the sender's choice.
async fn post_with(edge: SocketAddr, headers: &[(&str, &str)], token: &str) -> StatusCode {
    let signature = sign(&token.into(), &format!("https://{HOST}/failover"), form(&[]).as_bytes());
    let mut request = Request::post(format!("http://{edge}/failover"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-twilio-signature", signature);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(request.body(Full::from(form(&[]))).unwrap()).await.0
}

/// Pitfalls 1 and 2: behind a proxy the process sees neither scheme nor host, and must not take them from the request.
#[tokio::test]
async fn no_header_says_which_url_was_signed() {
    let edge = Edge::with_env(&[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let spoofed = [
        ("host", "evil.example.net"),
        ("x-forwarded-host", "evil.example.net"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-port", "8080"),
        ("x-original-url", "/incoming-call"),
        ("x-rewrite-url", "/incoming-call"),
        ("forwarded", "for=198.51.100.1;host=evil.example.net;proto=http"),
    ];
    for header in spoofed {
        assert_eq!(post_with(edge.public, &[header], TOKEN).await, StatusCode::OK, "{header:?}");
    }
    let signed_for_another = sign(&TOKEN.into(), "https://evil.example.net/failover", form(&[]).as_bytes());
    for header in ["host", "x-forwarded-host"] {
        let request = Request::post(format!("http://{}/failover", edge.public))
            .header(header, "evil.example.net")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-twilio-signature", &signed_for_another);
        let answer = send(request.body(Full::from(form(&[]))).unwrap()).await;
        assert_eq!(answer, (StatusCode::FORBIDDEN, String::new()), "{header}");
    }
}

#[tokio::test]
async fn whoever_forges_is_shed_and_others_behind_the_same_proxy_are_not() {
    let edge = Edge::with_env(&[("TRUSTED_PROXIES", "127.0.0.0/8"), ("MAX_REQUESTS_PER_SOURCE", "30")]).await;
    let (forger, twilio) = ([("x-forwarded-for", "203.0.113.9")], [("x-forwarded-for", "198.51.100.1")]);
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(post_with(edge.public, &forger, "not-the-token").await);
    }
    assert_eq!(statuses[0], StatusCode::FORBIDDEN);
    assert_eq!(statuses[19], StatusCode::TOO_MANY_REQUESTS);
    assert!(edge.metric("edge_limited_total", "limit=\"source\"").await.unwrap() >= 10.0);
    assert_eq!(post_with(edge.public, &twilio, TOKEN).await, StatusCode::OK);
    let as_twilio = [("x-forwarded-for", "198.51.100.1, 203.0.113.9")];
    assert_eq!(post_with(edge.public, &as_twilio, TOKEN).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(post_with(edge.public, &[], TOKEN).await, StatusCode::OK, "the proxy itself");
    assert_eq!(get(edge.public, "/").await.0, StatusCode::OK);
}

/// A proxy sends others' requests over the same connection.
#[tokio::test]
async fn a_source_that_is_shed_is_told_that_its_connection_ends() {
    let edge = Edge::with_env(&[("TRUSTED_PROXIES", "127.0.0.0/8"), ("MAX_REQUESTS_PER_SOURCE", "1")]).await;
    let forger = [("x-forwarded-for", "203.0.113.9")];
    assert_eq!(post_with(edge.public, &forger, "not-the-token").await, StatusCode::FORBIDDEN);
    let mut socket = TcpStream::connect(edge.public).await.unwrap();
    let head = "POST /failover HTTP/1.1\r\nhost: h\r\nx-forwarded-for: 203.0.113.9\r\ncontent-length: 3\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    soon(socket.read_to_string(&mut text)).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 429 ") && text.contains("connection: close"), "{text}");
}

/// Twilio's addresses are everybody's who has an account there.
#[tokio::test]
async fn forgeries_that_twilio_was_made_to_send_do_not_shut_twilio_out() {
    let edge = Edge::with_env(&[("TRUSTED_PROXIES", "127.0.0.0/8"), ("MAX_REQUESTS_PER_SOURCE", "60")]).await;
    let twilio = [("x-forwarded-for", "198.51.100.1")];
    assert_eq!(post_with(edge.public, &twilio, TOKEN).await, StatusCode::OK);
    for _ in 0..20 {
        assert_eq!(post_with(edge.public, &twilio, "the token of another account").await, StatusCode::FORBIDDEN);
    }
    assert_eq!(post_with(edge.public, &twilio, TOKEN).await, StatusCode::OK);
}

#[tokio::test]
async fn a_proxy_that_was_not_named_is_not_punished_for_what_it_hands_over() {
    let edge = Edge::with_env(&[("MAX_REQUESTS_PER_SOURCE", "1")]).await;
    for _ in 0..10 {
        let forged = post_with(edge.public, &[("x-forwarded-for", "203.0.113.9")], "not-the-token").await;
        assert_eq!(forged, StatusCode::FORBIDDEN);
    }
    assert_eq!(post_with(edge.public, &[("x-forwarded-for", "198.51.100.1")], TOKEN).await, StatusCode::OK);
}

#[tokio::test]
async fn a_caller_who_redials_in_a_loop_finds_the_line_busy() {
    let edge = Edge::with_env(&[("MAX_CALLS_PER_CALLER", "2")]).await;
    for call in 0..2 {
        assert!(post(edge.public, "/incoming-call", &ringing(call)).await.1.contains("<Stream"));
    }
    assert!(post(edge.public, "/incoming-call", &ringing(1)).await.1.contains("<Stream"), "Twilio asks once more");
    let (status, document) = post(edge.public, "/incoming-call", &ringing(2)).await;
    assert_eq!(status, StatusCode::OK);
    assert!(document.ends_with(BUSY), "{document}");
    assert_eq!(edge.metric("edge_limited_total", "limit=\"caller\"").await, Some(1.0));
    let going_on = ringing(3).replace("ringing", "in-progress");
    assert!(post(edge.public, "/incoming-call", &going_on).await.1.contains("<Stream"), "a call that goes on");
    assert_eq!(post(edge.public, "/failover", &form(&[])).await.0, StatusCode::OK);
}

/// What is signed is the same text: names and values have nothing between them.
#[tokio::test]
async fn a_replay_that_hides_a_parameter_in_another_ones_value_is_a_replay() {
    let edge = Edge::with_env(&[]).await;
    let genuine = format!("{}&CallerZip=94105", ringing(1));
    let hidden = genuine.replace("&Direction=inbound", "").replace("94105", "94105Directioninbound");
    let signed = |form: &str| sign(&TOKEN.into(), "https://h", form.as_bytes());
    assert!(genuine != hidden && signed(&genuine) == signed(&hidden));
    for _ in 0..10 {
        assert!(post(edge.public, "/incoming-call", &hidden).await.1.contains("<Stream"));
    }
    let (_, document) = post(edge.public, "/incoming-call", &hidden).await;
    assert!(document.ends_with(BUSY), "{document}");
}

#[tokio::test]
async fn a_line_with_all_its_sockets_in_use_is_busy_until_one_is_closed() {
    let edge = Edge::with_env(&[("MAX_MEDIA_SOCKETS", "1"), ("MAX_CALLS_PER_CALLER", "0")]).await;
    let path = arrive(edge.public).await;
    assert!(post(edge.public, "/incoming-call", &ringing(5)).await.1.ends_with(BUSY), "its socket is due");
    let socket = Stream::open(edge.public, &path).await.unwrap();
    assert!(post(edge.public, "/incoming-call", &ringing(5)).await.1.ends_with(BUSY));
    assert_eq!(edge.metric("edge_limited_total", "limit=\"media_sockets\"").await, Some(2.0));
    drop(socket);
    post(edge.public, "/stream-ended", &form(&[])).await;
    let mut calls = 6..;
    let mut is_busy =
        async || post(edge.public, "/incoming-call", &ringing(calls.next().unwrap())).await.1.ends_with(BUSY);
    soon(async { while is_busy().await {} }).await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_closed() {
    let edge = Edge::with_env(&[("MAX_CONNECTIONS", "2")]).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut socket = TcpStream::connect(edge.public).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        assert_eq!(soon(socket.read_u8()).await.unwrap(), b'H');
        open.push(socket);
    }
    let mut text = String::new();
    soon(TcpStream::connect(edge.public).await.unwrap().read_to_string(&mut text)).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("connection: close"), "{text}");
    assert_eq!(edge.metric("edge_limited_total", "limit=\"connections\"").await, Some(1.0));
    open.clear();
    loop {
        let mut socket = TcpStream::connect(edge.public).await.unwrap();
        let asked = socket.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
        let mut text = String::new();
        let read = soon(socket.read_to_string(&mut text)).await;
        if asked.is_ok() && read.is_ok() && text.starts_with("HTTP/1.1 200 ") {
            break;
        }
    }
}
