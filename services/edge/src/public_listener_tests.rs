//! One connection of the public listener, over a pipe and in paused time.

use axum::routing::{get, post};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
};

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";

struct Client {
    socket: DuplexStream,
    stop: CancellationToken,
    served: JoinHandle<()>,
    began: Instant,
}

impl Client {
    fn connected() -> Self {
        let (ours, theirs) = duplex(64 * 1024);
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/body", post(|body: String| async move { body }))
            .route("/never", get(std::future::pending::<()>));
        let stop = CancellationToken::new();
        let peer = Peer([203, 0, 113, 9].into());
        let served = tokio::spawn(serve_connection((theirs, ()), peer, router, stop.clone()));
        Self { socket: ours, stop, served, began: Clock.now() }
    }

    async fn says(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    /// The status of the next answer; all of them have a body of at most five bytes, or none.
    async fn hears(&mut self) -> u16 {
        let mut text = Vec::new();
        while !text.ends_with(b"hello") && !text.ends_with(b"\r\n\r\n") {
            let byte = self.socket.read_u8().await.unwrap();
            text.push(byte);
            if text.ends_with(b"content-length: 5\r\n") {
                let mut rest = vec![0; 1024];
                let read = self.socket.read(&mut rest).await.unwrap();
                text.extend_from_slice(&rest[..read]);
            }
        }
        String::from_utf8(text[9..12].to_vec()).unwrap().parse().unwrap()
    }

    /// Everything until the connection is closed, and when that was.
    async fn rest(&mut self) -> (String, Duration) {
        let mut text = String::new();
        self.socket.read_to_string(&mut text).await.unwrap();
        (text, Clock.now() - self.began)
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_in_is_cut_off() {
    let mut client = Client::connected();
    for byte in &GET[..HEAD_DEADLINE.as_secs() as usize] {
        client.says(&[*byte]).await;
        sleep(Duration::from_millis(999)).await;
    }
    assert_eq!(client.rest().await, (String::new(), HEAD_DEADLINE));
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_is_asked_is_cut_off() {
    assert_eq!(Client::connected().rest().await, (String::new(), HEAD_DEADLINE));
}

#[tokio::test(start_paused = true)]
async fn the_second_head_on_a_connection_has_no_more_time_than_the_first() {
    let mut client = Client::connected();
    client.says(GET).await;
    assert_eq!(client.hears().await, 200);
    sleep(Duration::from_secs(30)).await;
    client.says(&GET[..5]).await;
    assert_eq!(client.rest().await, (String::new(), Duration::from_secs(30) + HEAD_DEADLINE));
}

/// Pitfall 27: balancers cut what is idle for a minute, and must not find it closed before.
#[tokio::test(start_paused = true)]
async fn an_idle_connection_outlives_a_load_balancers_minute() {
    let mut client = Client::connected();
    for _ in 0..3 {
        client.says(GET).await;
        assert_eq!(client.hears().await, 200);
        sleep(Duration::from_secs(61)).await;
    }
    client.says(GET).await;
    assert_eq!(client.hears().await, 200);
    let before = Clock.now() - client.began;
    assert_eq!(client.rest().await, (String::new(), before + IDLE_LIMIT));
}

#[tokio::test(start_paused = true)]
async fn a_body_may_take_longer_than_a_head() {
    let mut client = Client::connected();
    client.says(b"POST /body HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhel").await;
    sleep(HEAD_DEADLINE + Duration::from_secs(5)).await;
    client.says(b"lo").await;
    assert_eq!(client.hears().await, 200);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_is_not_waited_for() {
    let mut client = Client::connected();
    client.says(b"GET /never HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    let (answer, after) = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && after == ANSWER_DEADLINE, "{after:?} {answer}");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_large_or_has_too_many_fields_is_refused() {
    let long = format!("GET / HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "x".repeat(HEAD_LIMIT));
    let many = format!("GET / HTTP/1.1\r\nhost: h\r\n{}\r\n", "x: y\r\n".repeat(100));
    for head in [long, many] {
        let mut client = Client::connected();
        client.says(head.as_bytes()).await;
        let (answer, _) = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_http_1_is_refused() {
    for head in
        ["\x16\x03\x01\x02\x00\x01\x00", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\nno field\r\n\r\n"]
    {
        let mut client = Client::connected();
        client.says(head.as_bytes()).await;
        let (answer, after) = client.rest().await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{head:?}: {answer}");
        assert_eq!(after, Duration::ZERO, "{head:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_closes_idle_connections_and_answers_what_was_asked() {
    let mut idle = Client::connected();
    idle.says(GET).await;
    assert_eq!(idle.hears().await, 200);
    let mut asking = Client::connected();
    asking.says(b"POST /body HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhel").await;
    sleep(Duration::from_secs(1)).await;
    for client in [&idle, &asking] {
        client.stop.cancel();
    }
    assert_eq!(idle.rest().await, (String::new(), Duration::from_secs(1)));
    asking.says(b"lo").await;
    let (answer, _) = asking.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello"), "{answer}");
    asking.served.await.unwrap();
}
