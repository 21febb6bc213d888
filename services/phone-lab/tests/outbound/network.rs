//! The network between the edge and Twilio's REST interface.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What a network between edge and Twilio does to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Twilio gets it, and its answer is lost.
    AnswerLost,
    /// Twilio gets it, and somebody else answers for it.
    BadGateway,
}

/// Hands the first requests on with a fault, all others without. Where it listens, and how many came.
pub(crate) async fn network(to: SocketAddr, fault: Fault, faults: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, network_at(listener, to, fault, faults))
}

/// The same at an address that was chosen before.
pub(crate) fn network_at(listener: TcpListener, to: SocketAddr, fault: Fault, faults: usize) -> Arc<AtomicUsize> {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = seen.clone();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let request = message(&mut socket).await;
            let mut twilio = TcpStream::connect(to).await.unwrap();
            twilio.write_all(&request).await.unwrap();
            let answer = message(&mut twilio).await;
            let faulty = counted.fetch_add(1, Ordering::SeqCst) < faults;
            let answer: &[u8] = match fault {
                _ if !faulty => &answer,
                Fault::AnswerLost => b"",
                Fault::BadGateway => b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
            };
            socket.write_all(answer).await.unwrap();
        }
    });
    seen
}

/// One HTTP message with a length.
async fn message(socket: &mut TcpStream) -> Vec<u8> {
    let mut message = Vec::new();
    loop {
        let head = String::from_utf8_lossy(&message).to_ascii_lowercase();
        if let Some((head, body)) = head.split_once("\r\n\r\n") {
            let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return message;
            }
        }
        assert_ne!(socket.read_buf(&mut message).await.unwrap(), 0, "the message broke off");
    }
}
