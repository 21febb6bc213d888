use phone_lab::{
    bedrock::{ExceptionKind, Fault, Moment},
    twilio::CallOptions,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{assert_nothing_left, caller, calls_to_end, pair, play};

#[tokio::test(flavor = "multi_thread")]
async fn the_private_listeners_tell_health_readiness_and_what_was_counted() {
    let pair = pair("greeting: 'good morning'").await;
    play(&pair, caller("[listen, hang_up]"), CallOptions::default()).await;
    calls_to_end(&pair).await;
    for url in &pair.admin_urls {
        assert!(get(url, "/healthz").await.starts_with("HTTP/1.1 200 "));
        assert!(get(url, "/readyz").await.starts_with("HTTP/1.1 200 "));
        let metrics = get(url, "/metrics").await;
        for line in [
            r#"edge_legs_ended_total{reason="stopped",otel_scope_name="edge"} 1"#,
            r#"offhook_worker_calls_ended_total{outcome="caller_hung_up",otel_scope_name="sonic-worker"} 1"#,
            r#"edge_messages_unknown_total{otel_scope_name="edge"} 0"#,
            r#"offhook_worker_session_ends_total{kind="closed",otel_scope_name="sonic-worker"} 1"#,
            r#"offhook_worker_sessions{otel_scope_name="sonic-worker"} 0"#,
        ] {
            assert!(metrics.lines().any(|found| found == line), "{line} is not in {metrics}");
        }
    }
    assert_nothing_left(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_service_ended_is_counted_by_what_ended_it() {
    let pair = pair("greeting: 'good morning'").await;
    let message = "RequestId=1 : Timed out waiting for audio bytes or interactive content.".to_owned();
    pair.bedrock.inject(Fault::Exception { kind: ExceptionKind::Validation, message, at: Moment::FirstAudio });
    play(&pair, caller("[listen, hang_up]"), CallOptions::default()).await;
    calls_to_end(&pair).await;
    let metrics = get(&pair.admin_urls[1], "/metrics").await;
    let line = r#"offhook_worker_session_ends_total{kind="idle",otel_scope_name="sonic-worker"} 1"#;
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
    assert_nothing_left(pair).await;
}

pub(crate) async fn get(url: &str, path: &str) -> String {
    let address = url.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}
