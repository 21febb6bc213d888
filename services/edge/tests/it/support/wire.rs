//! The network between an edge and a worker: carries everything until it is cut or falls silent.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// A network with one worker at its end.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Carries,
    Silent,
    Cut,
}

impl Wire {
    pub(crate) async fn to(worker: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, changes) = watch::channel(State::Carries);
        tokio::spawn(carry(listener, worker, changes));
        Self { address, state }
    }

    /// From now on nothing arrives and nobody is told: the host at the other end has died.
    pub(crate) fn falls_silent(&self) {
        self.state.send_replace(State::Silent);
    }

    /// Both ends are told that the connection is gone, and no new one is made.
    pub(crate) fn is_cut(&self) {
        self.state.send_replace(State::Cut);
    }
}

async fn carry(listener: TcpListener, worker: SocketAddr, mut changes: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                connections.spawn(connect(accepted.unwrap().0, worker, changes.clone()));
            }
            () = becomes(&mut changes, State::Cut) => return,
        }
    }
}

async fn connect(mut near: TcpStream, worker: SocketAddr, mut changes: watch::Receiver<State>) {
    let mut far = TcpStream::connect(worker).await.unwrap();
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        () = becomes(&mut changes, State::Silent) => std::future::pending().await,
    }
}

async fn becomes(changes: &mut watch::Receiver<State>, wanted: State) {
    changes.wait_for(|state| *state == wanted).await.map(drop).unwrap_or_default();
}
