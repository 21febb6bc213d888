//! The public listener: HTTP/1.1 with upgrades, for a load balancer in front and for strangers.
//!
//! - A request's head has to arrive whole within [`HEAD_DEADLINE`] of its first byte, so that a client which sends a byte
//!   a second holds nothing for long. (Bodies have a deadline where they are read, media sockets where they are served.)
//! - A connection without a request is kept for [`IDLE_LIMIT`], longer than load balancers keep theirs: otherwise a
//!   balancer would send a request into a connection that is just being closed, and answer 502.
//! - A head of more than [`HEAD_LIMIT`] bytes or 100 fields is refused with 431, a malformed one with 400.
//! - No answer takes longer than [`ANSWER_DEADLINE`].
//! - There are so many connections at most, media sockets included; one more is answered 503 and closed.

use std::{
    convert::Infallible,
    io::{self, Write},
    net::IpAddr,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Response},
};
use http::{Request, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use offhook_hosting::clock::Clock;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::{debug, error};

/// For a request's head, from its first byte to its last.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// Application Load Balancers keep idle connections for 60 s unless they are told otherwise.
pub const IDLE_LIMIT: Duration = Duration::from_secs(75);
/// Twilio waits 15 s; whoever waits longer waits in vain.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// For all of a request's head. Load balancers let single lines of 16 KiB through.
pub const HEAD_LIMIT: usize = 32 * 1024;
/// A process that has run out of file descriptors gets some back when calls end.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Who has opened the connection that a request came by; in its extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Serves `router` until `stop`, then until no connection has a request. `on_full` is told of each connection that was
/// one too many. Dropping the future ends all connections but those that were upgraded.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    most: usize,
    stop: CancellationToken,
    on_full: impl Fn(),
) {
    let free = Arc::new(Semaphore::new(most));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        let Ok(permit) = free.clone().try_acquire_owned() else {
            on_full();
            refuse(socket);
            continue;
        };
        // Frames are small and each one counts: never wait to fill a packet.
        if socket.set_nodelay(true).is_ok() {
            connections.spawn(serve_connection((socket, permit), Peer(peer.ip()), router.clone(), stop.clone()));
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    // The client's own doing, and its own loss.
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        error!(%error, "no connection can be accepted");
        sleep(ACCEPT_AGAIN).await;
    }
}

/// Says so, if that can be done without waiting.
fn refuse(socket: TcpStream) {
    if let Ok(mut socket) = socket.into_std() {
        let _ = socket.write_all(FULL);
    }
}

async fn serve_connection<S, K>((socket, keeps): (S, K), peer: Peer, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    K: Send + Unpin + 'static,
{
    let reading = Reading::new(Clock.now());
    let socket = Watched { socket, reading: reading.clone(), _keeps: keeps };
    let service = service_fn(|mut request: Request<Incoming>| {
        reading.head_is_whole();
        request.extensions_mut().insert(peer);
        let answer = timeout(ANSWER_DEADLINE, router.clone().call(request.map(Body::new)));
        let reading = reading.clone();
        async move {
            let answer = answer.await.map_or_else(|_| StatusCode::SERVICE_UNAVAILABLE.into_response(), unfailing);
            reading.is_answered();
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The library's own timer runs while a connection is idle as well.
        .header_read_timeout(IDLE_LIMIT)
        .max_header_size(HEAD_LIMIT)
        .max_buf_size(HEAD_LIMIT)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let (mut connection, mut late, mut stopping) = (pin!(connection), pin!(reading.late()), false);
    loop {
        tokio::select! {
            // First: what it reads starts and stops the time that `late` watches.
            biased;
            end = &mut connection => return end.unwrap_or_else(|error| debug!(%error, "connection ended")),
            () = &mut late => return debug!("a request's head took too long"),
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn unfailing(answer: Result<Response, Infallible>) -> Response {
    match answer {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Since when a request's head is being read.
#[derive(Clone)]
struct Reading(Arc<Mutex<Phase>>);

enum Phase {
    /// Nothing of the next request is here.
    Idle,
    Head {
        since: Instant,
    },
    /// Its body may still arrive; that is for who reads it.
    Answering,
}

impl Reading {
    /// A new connection: whoever opens one has something to say.
    fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Phase::Head { since: now })))
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bytes_came(&self, now: impl FnOnce() -> Instant) {
        let mut phase = self.phase();
        if let Phase::Idle = *phase {
            *phase = Phase::Head { since: now() };
        }
    }

    fn head_is_whole(&self) {
        *self.phase() = Phase::Answering;
    }

    fn is_answered(&self) {
        *self.phase() = Phase::Idle;
    }

    /// Completes when a head has taken too long. Looks at the phase only when it is polled.
    async fn late(&self) {
        let mut timer = pin!(sleep(Duration::ZERO));
        std::future::poll_fn(|context| {
            let Phase::Head { since } = *self.phase() else { return Poll::Pending };
            let due = (since + HEAD_DEADLINE).into();
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            timer.as_mut().poll(context)
        })
        .await;
    }
}

/// A socket that notes when bytes come in, and keeps something for as long as it is open, upgraded or not.
struct Watched<S, K> {
    socket: S,
    reading: Reading,
    _keeps: K,
}

impl<S: AsyncRead + Unpin, K: Unpin> AsyncRead for Watched<S, K> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.reading.bytes_came(|| Clock.now());
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, K: Unpin> AsyncWrite for Watched<S, K> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "public_listener_tests.rs"]
mod tests;
