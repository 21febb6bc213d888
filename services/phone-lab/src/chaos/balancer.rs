//! What stands between Twilio and several edges: a small TCP load balancer.
//!
//! Each connection goes to the edge with the fewest, among equals in turn, and to another if it cannot be opened. (By
//! turns alone, calls of two connections each would all stream through one of two edges.) When an edge dies, its open
//! connections break. With no edge to be had, the answer is 503, as an ALB's is. Each call has a
//! [`Door`], a port of its own, so that it is known which edges carried it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use offhook_hosting::clock::Clock;
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

/// How long an edge has to take a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// When accepting fails, nothing is gained by trying at once.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
const NOBODY_THERE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// The edges, and whose turn it is.
#[derive(Debug)]
pub struct Balancer {
    edges: Vec<Edge>,
    turn: AtomicUsize,
    clock: Clock,
}

#[derive(Debug)]
struct Edge {
    address: SocketAddr,
    in_service: AtomicBool,
    open: AtomicUsize,
}

/// A connection that an edge took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Which edge.
    pub edge: usize,
    /// When.
    pub opened: Instant,
    /// When it was over; none while it is up.
    pub closed: Option<Instant>,
}

impl Connection {
    /// Whether it was up at this time.
    pub fn was_up(&self, at: Instant) -> bool {
        self.opened <= at && self.closed.is_none_or(|closed| at < closed)
    }
}

impl Balancer {
    /// Between the doors and these edges, all of them in service.
    pub fn new(edges: impl IntoIterator<Item = SocketAddr>, clock: Clock) -> Self {
        let edge = |address| Edge { address, in_service: AtomicBool::new(true), open: AtomicUsize::new(0) };
        let edges = edges.into_iter().map(edge).collect();
        Self { edges, turn: AtomicUsize::new(0), clock }
    }

    /// Whether an edge gets new connections. Those that it has stay.
    pub fn set_in_service(&self, edge: usize, in_service: bool) {
        self.edges[edge].in_service.store(in_service, Ordering::Relaxed);
    }

    /// Opens a door.
    ///
    /// # Errors
    /// If there is no port on loopback.
    pub async fn door(self: &Arc<Self>) -> std::io::Result<Door> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, connections) = (listener.local_addr()?, Arc::default());
        let task = tokio::spawn(accept(listener, Arc::clone(self), Arc::clone(&connections)));
        Ok(Door { address, connections, _task: AbortOnDropHandle::new(task) })
    }

    /// A connection to the first edge that takes one, counted from now on.
    async fn connect(&self) -> Option<(usize, TcpStream)> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.edges.len();
        let mut order: Vec<_> = (0..count).map(|step| first.wrapping_add(step) % count).collect();
        order.sort_by_key(|edge| self.edges[*edge].open.load(Ordering::Relaxed));
        for edge in order {
            let Edge { address, in_service, open } = &self.edges[edge];
            if !in_service.load(Ordering::Relaxed) {
                continue;
            }
            open.fetch_add(1, Ordering::Relaxed);
            if let Ok(Ok(stream)) = timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
                return Some((edge, stream));
            }
            self.over(edge);
        }
        None
    }

    /// A connection of this edge is no more.
    fn over(&self, edge: usize) {
        self.edges[edge].open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts while a connection is up; it may be dropped with its door.
struct Up<'a>(&'a Balancer, usize);

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.0.over(self.1);
    }
}

type Connections = Arc<Mutex<Vec<Connection>>>;

/// Where one call comes in. Closes with its connections when dropped.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    connections: Connections,
    _task: AbortOnDropHandle<()>,
}

impl Door {
    /// What Twilio dials.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connections that came in here so far and found an edge, in order.
    pub fn connections(&self) -> Vec<Connection> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn accept(listener: TcpListener, balancer: Arc<Balancer>, connections: Connections) {
    let mut carried = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                carried.spawn(carry(stream, Arc::clone(&balancer), Arc::clone(&connections)));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
        while carried.try_join_next().is_some() {}
    }
}

async fn carry(mut outside: TcpStream, balancer: Arc<Balancer>, connections: Connections) {
    let Some((edge, mut inside)) = balancer.connect().await else {
        // Whoever does not wait for the answer does not need it.
        let _ = outside.write_all(NOBODY_THERE).await;
        return;
    };
    let _up = Up(&balancer, edge);
    // A socket that cannot be told so is about to fail anyway.
    let _ = (outside.set_nodelay(true), inside.set_nodelay(true));
    let number = note(&connections, Connection { edge, opened: balancer.clock.now(), closed: None });
    // Either end may break: then both are closed.
    let _ = copy_bidirectional(&mut outside, &mut inside).await;
    connections.lock().unwrap_or_else(PoisonError::into_inner)[number].closed = Some(balancer.clock.now());
}

fn note(connections: &Connections, connection: Connection) -> usize {
    let mut known = connections.lock().unwrap_or_else(PoisonError::into_inner);
    known.push(connection);
    known.len() - 1
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// Says its name to whoever connects, and waits until they leave.
    async fn edge(name: u8) -> (SocketAddr, AbortOnDropHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut taken = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.write_all(&[name]).await.unwrap();
                taken.spawn(async move { stream.read(&mut [0]).await });
            }
        });
        (address, AbortOnDropHandle::new(task))
    }

    async fn connect(door: &Door) -> (TcpStream, u8) {
        let mut stream = TcpStream::connect(door.address()).await.unwrap();
        let name = stream.read_u8().await.unwrap();
        (stream, name)
    }

    #[tokio::test]
    async fn connections_take_turns_and_pass_by_who_is_dead_or_out_of_service() {
        let ((first, one), (second, two), (third, three)) = (edge(b'1').await, edge(b'2').await, edge(b'3').await);
        let balancer = Arc::new(Balancer::new([first, second, third], Clock));
        let door = balancer.door().await.unwrap();
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(connect(&door).await);
        }
        assert_eq!(open.iter().map(|(_, name)| *name).collect::<Vec<_>>(), *b"123");
        drop(two);
        balancer.set_in_service(2, false);
        for _ in 0..4 {
            assert_eq!(connect(&door).await.1, b'1');
        }
        drop((one, three));
    }

    #[tokio::test]
    async fn calls_of_two_connections_each_are_spread_over_the_edges() {
        let ((first, one), (second, two)) = (edge(b'1').await, edge(b'2').await);
        let balancer = Arc::new(Balancer::new([first, second], Clock));
        let door = balancer.door().await.unwrap();
        let mut media = Vec::new();
        for call in 1..=6 {
            drop(connect(&door).await);
            while balancer.edges.iter().map(|edge| edge.open.load(Ordering::Relaxed)).sum::<usize>() >= call {
                tokio::task::yield_now().await;
            }
            media.push(connect(&door).await);
        }
        assert_eq!(media.iter().filter(|(_, name)| *name == b'1').count(), 3);
        drop((one, two));
    }

    #[tokio::test]
    async fn the_connections_of_an_edge_break_with_it_and_the_others_stay() {
        let ((first, one), (second, two)) = (edge(b'1').await, edge(b'2').await);
        let balancer = Arc::new(Balancer::new([first, second], Clock));
        let door = balancer.door().await.unwrap();
        let ((mut on_one, _), (on_two, _)) = (connect(&door).await, connect(&door).await);
        drop(one);
        assert_eq!(on_one.read(&mut [0]).await.unwrap(), 0);
        drop(on_one);
        while door.connections()[0].closed.is_none() {
            tokio::task::yield_now().await;
        }
        let now = Clock.now();
        let connections = door.connections();
        assert_eq!(connections.iter().map(|connection| connection.edge).collect::<Vec<_>>(), [0, 1]);
        assert!(connections[0].was_up(connections[0].opened) && !connections[0].was_up(now));
        assert!(connections[1].was_up(now) && !connections[1].was_up(connections[0].opened));
        drop((on_two, two));
    }

    #[tokio::test]
    async fn with_nobody_there_the_answer_is_503_and_with_the_door_all_is_closed() {
        let (first, one) = edge(b'1').await;
        let balancer = Arc::new(Balancer::new([first], Clock));
        let door = balancer.door().await.unwrap();
        let (mut open, _) = connect(&door).await;
        balancer.set_in_service(0, false);
        let mut answer = String::new();
        TcpStream::connect(door.address()).await.unwrap().read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        drop(door);
        assert!(matches!(open.read(&mut [0]).await, Ok(0) | Err(_)));
        drop(one);
    }
}
