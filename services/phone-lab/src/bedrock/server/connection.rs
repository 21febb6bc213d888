//! One connection: TLS, and HTTP/2 or HTTP/1.1 in it.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{net::TcpListener, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        fault::Outage,
        tap::{Resets, Tap},
    },
    Counted, ResponseBody, Shared,
};
use crate::network::{Goodbye, Line};

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// After a failed accept (out of sockets, most likely), before the next.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// What a session can do to its connection.
#[derive(Clone, Default)]
pub(in super::super) struct Connection {
    /// Ends it.
    pub(in super::super) dropped: CancellationToken,
    /// Takes no more sessions: HTTP/2 says GOAWAY, HTTP/1.1 ends with the session.
    pub(in super::super) leaving: CancellationToken,
    pub(in super::super) resets: Resets,
}

/// Serves connections until the lab stops.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener, acceptor: TlsAcceptor) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        match accepted {
            Ok((socket, _)) if shared.refuses_connections() => {
                // Reset, so that the client does not take it for a goodbye.
                let _ = socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO));
                shared.refused("the region is lost".into());
            }
            Ok((socket, _)) => {
                // Latency is what the lab measures; a socket that cannot be told so is about to fail anyway.
                let _ = socket.set_nodelay(true);
                let connection = connect(Arc::clone(&shared), shared.line(socket), acceptor.clone());
                shared.tasks.spawn(connection);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn connect(shared: Arc<Shared>, line: Line, acceptor: TlsAcceptor) {
    let _counted = Counted::new(&shared.connections);
    let goodbye = line.goodbye();
    let handshake = tokio::select! {
        handshake = timeout(HANDSHAKE_LIMIT, acceptor.accept(line)) => handshake,
        () = shared.stop.cancelled() => return,
    };
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return shared.refused(format!("TLS handshake failed: {error}")),
        Err(_) => return shared.refused("TLS handshake timed out".into()),
    };
    let speaks_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    if !speaks_h2 && !shared.settings.http1 {
        return shared.refused("the client did not negotiate h2: HTTP/1.1 is not served".into());
    }
    let handle = Connection::default();
    if speaks_h2 {
        serve_http2(shared, stream, handle, goodbye).await
    } else {
        serve_http1(shared, stream, handle, goodbye).await
    }
}

async fn serve_http2(shared: Arc<Shared>, stream: TlsStream<Line>, handle: Connection, goodbye: Goodbye) {
    let socket = TokioIo::new(Tap::new(stream, handle.resets.clone()));
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(shared.settings.max_concurrent_streams)
        .serve_connection(socket, sessions(&shared, &handle));
    serve(connection, &handle, &goodbye, &shared).await;
}

async fn serve_http1(shared: Arc<Shared>, stream: TlsStream<Line>, handle: Connection, goodbye: Goodbye) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), sessions(&shared, &handle));
    serve(connection, &handle, &goodbye, &shared).await;
}

/// Answers the requests of one connection.
fn sessions(
    shared: &Arc<Shared>,
    handle: &Connection,
) -> impl Service<
    http::Request<Incoming>,
    Response = http::Response<ResponseBody>,
    Error = http::Error,
    Future: Send + 'static,
> + use<> {
    let (shared, handle) = (Arc::clone(shared), handle.clone());
    service_fn(move |request| {
        let (shared, handle) = (Arc::clone(&shared), handle.clone());
        async move { shared.answer(request, handle).await }
    })
}

/// A connection that can be asked to take no more requests.
trait Leave {
    fn leave(self: Pin<&mut Self>);
}

impl<S> Leave for http1::Connection<TokioIo<TlsStream<Line>>, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = ResponseBody, Error = http::Error>,
{
    fn leave(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S> Leave for http2::Connection<TokioIo<Tap<TlsStream<Line>>>, S, TokioExecutor>
where
    S: hyper::service::HttpService<Incoming, ResBody = ResponseBody, Error = http::Error, Future: Send + 'static>,
{
    fn leave(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

async fn serve(
    connection: impl Future<Output = hyper::Result<()>> + Leave,
    handle: &Connection,
    goodbye: &Goodbye,
    shared: &Shared,
) {
    let mut outage = shared.outage.subscribe();
    let mut connection = pin!(connection);
    let mut leaving = false;
    loop {
        tokio::select! {
            // What is dropped says nothing more, whatever there is to say.
            biased;
            () = handle.dropped.cancelled() => return,
            () = shared.stop.cancelled() => return,
            _ = outage.wait_for(|outage| *outage == Some(Outage::Refuse)) => return,
            () = handle.leaving.cancelled(), if !leaving => {
                leaving = true;
                connection.as_mut().leave();
            }
            _ = goodbye.wanted(), if !leaving => handle.leaving.cancel(),
            result = &mut connection => {
                if let Err(error) = result {
                    tracing::debug!(%error, "connection failed");
                }
                return;
            }
        }
    }
}
