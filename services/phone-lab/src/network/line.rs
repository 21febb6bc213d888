//! A connection of the lab's, straight or with a network in between.

use std::{
    future::pending,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use offhook_hosting::{clock::Clock, entropy::Entropy};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    net::{TcpSocket, TcpStream},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    carrier::{Carrier, Ends, Far},
    conditions::Conditions,
    report::Record,
    schedule::Plan,
};

/// Between the lab's end and the network. What is under way is bounded by the network itself.
const PIPE: usize = 4 * 1024;
/// What the system may keep for a lab that reads slowly: all else that waits is to wait at the sender.
const RECEIVE_BUFFER: usize = 8 * 1024;
/// What an Ethernet lets through. Loopback's 64 KiB would have the sender's system keep megabytes.
const SEGMENT: u32 = 1460;

/// The lab's end of a TCP connection.
#[derive(Debug)]
pub(crate) enum Line {
    /// No network in between: every call goes to the socket.
    Straight(TcpStream),
    /// Under conditions.
    Through(Box<End>),
}

/// The lab's end of a connection under conditions. Dropped, what was written still arrives, on its schedule; the task
/// that carries it waits at most 5 s longer than that for whoever does not read.
#[derive(Debug)]
pub(crate) struct End {
    pipe: DuplexStream,
    record: Arc<Record>,
    goodbye: Goodbye,
    abrupt: Arc<AtomicBool>,
    _gone: DropGuard,
}

/// Conditions, and what a connection's share of chance is drawn from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network<'a> {
    pub(crate) conditions: &'a Conditions,
    pub(crate) seed: u64,
}

impl Conditions {
    /// Sees to it that a sender feels it when the lab reads slowly: 0.2 MB wait in the two systems, and not 4. For a
    /// socket that is about to connect, or whose connections are about to be accepted.
    pub(crate) fn prepare(&self, socket: SockRef<'_>) -> io::Result<()> {
        if self.from.rate.is_some() {
            socket.set_tcp_mss(SEGMENT)?;
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        }
        Ok(())
    }
}

impl<'a> Network<'a> {
    /// A connection's network; draws only if there is one.
    pub(crate) fn of(conditions: Option<&'a Conditions>, entropy: &mut Entropy) -> Option<Self> {
        conditions.map(|conditions| Self { conditions, seed: entropy.between(0, u64::MAX) })
    }
}

/// Tells when a cut wants the protocol above to say goodbye itself.
#[derive(Clone, Debug)]
pub(crate) struct Goodbye {
    /// None on a straight line, which never does.
    wanted: Option<CancellationToken>,
    code: u16,
}

impl Goodbye {
    /// Returns when it is wanted, with the WebSocket code to say.
    pub(crate) async fn wanted(&self) -> u16 {
        match &self.wanted {
            Some(wanted) => wanted.cancelled().await,
            None => pending().await,
        }
        self.code
    }
}

impl Line {
    /// Connects, through this network if there is one.
    pub(crate) async fn dial(address: SocketAddr, network: Option<Network<'_>>) -> io::Result<Self> {
        let Some(network) = network else { return Ok(Self::Straight(connected(TcpStream::connect(address).await?)?)) };
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        network.conditions.prepare(SockRef::from(&socket))?;
        let stream = connected(socket.connect(address).await?)?;
        let (end, carrier) = join(stream, network, Clock);
        // Ends by itself once this end is dropped.
        tokio::spawn(carrier);
        Ok(Self::Through(Box::new(end)))
    }

    /// Goes on through this network, if there is one; the future is what carries, and has to be polled.
    pub(crate) fn accept(
        stream: TcpStream,
        network: Option<Network<'_>>,
    ) -> (Self, Option<impl Future<Output = ()> + use<>>) {
        match network {
            None => (Self::Straight(stream), None),
            Some(network) => {
                let (end, carrier) = join(stream, network, Clock);
                (Self::Through(Box::new(end)), Some(carrier))
            }
        }
    }

    /// Dropped, the connection is to be reset, and what is on its way is lost.
    pub(crate) fn reset_when_dropped(&self) -> io::Result<()> {
        match self {
            Self::Straight(stream) => stream.set_zero_linger(),
            Self::Through(end) => {
                end.abrupt.store(true, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Whether, and when, the protocol above is to say goodbye.
    pub(crate) fn goodbye(&self) -> Goodbye {
        match self {
            Self::Straight(_) => Goodbye { wanted: None, code: 1000 },
            Self::Through(end) => end.goodbye.clone(),
        }
    }

    /// What is known about a connection under conditions.
    pub(crate) fn record(&self) -> Option<Arc<Record>> {
        match self {
            Self::Straight(_) => None,
            Self::Through(end) => Some(Arc::clone(&end.record)),
        }
    }
}

/// Latency is what the lab measures.
fn connected(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Puts a network into a connection: the lab's end of it, and what carries.
pub(super) fn join<S: Far>(far: S, network: Network<'_>, clock: Clock) -> (End, impl Future<Output = ()> + use<S>) {
    let Network { conditions, seed } = network;
    let (pipe, near) = duplex(PIPE);
    let record = Arc::new(Record::new(conditions.clone(), seed, clock.now()));
    let (gone, wanted) = (CancellationToken::new(), CancellationToken::new());
    let abrupt = Arc::new(AtomicBool::new(false));
    let ends =
        Ends { record: Arc::clone(&record), gone: gone.clone(), abrupt: Arc::clone(&abrupt), goodbye: wanted.clone() };
    let goodbye = Goodbye { wanted: Some(wanted), code: conditions.close_code() };
    let carrier = Carrier::new(Plan::new(conditions, seed), ends, clock);
    (End { pipe, record, goodbye, abrupt, _gone: gone.drop_guard() }, carrier.run(far, near))
}

#[cfg(test)]
impl End {
    pub(super) fn pipe(&mut self) -> &mut DuplexStream {
        &mut self.pipe
    }

    pub(super) fn record(&self) -> Arc<Record> {
        Arc::clone(&self.record)
    }

    pub(super) fn goodbye(&self) -> Goodbye {
        self.goodbye.clone()
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Straight(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Through(end) => Pin::new(&mut **end).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Straight(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Through(end) => Pin::new(&mut end.pipe).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Straight(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
            Self::Through(end) => Pin::new(&mut end.pipe).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Straight(stream) => stream.is_write_vectored(),
            Self::Through(end) => end.pipe.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Straight(stream) => Pin::new(stream).poll_flush(cx),
            Self::Through(end) => Pin::new(&mut end.pipe).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Straight(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Through(end) => Pin::new(&mut end.pipe).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for End {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.pipe).poll_read(cx, buf))?;
        let ended = buf.filled().len() == before && buf.remaining() > 0;
        if ended && self.record.is_reset() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }
}
