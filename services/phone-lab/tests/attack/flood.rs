//! A thousand triggers a second.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{
    http::{Answer, Request},
    support::{Doors, form, soon},
};

const CONNECTIONS: u16 = 20;
/// Of each connection: fifty a second make a thousand.
const EVERY: Duration = Duration::from_millis(20);
/// Of each connection: two seconds' worth.
const REQUESTS: u16 = 100;

/// A call to place or to answer, without a right to it. Half of them come by a proxy that says from whom.
fn trigger(number: u16) -> Request {
    let request = match number % 4 {
        0 => Request { method: "GET", ..Request::webhook("/outbound-call", "") },
        1 => Request::webhook("/outbound-call", "{}").with("authorization", "Bearer guessed"),
        2 => Request::webhook("/incoming-call", &form(&[])),
        _ => Request::webhook("/incoming-call", &form(&[])).with("x-twilio-signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    };
    if number % 8 < 4 { request.with("x-forwarded-for", "198.51.100.66") } else { request }
}

async fn pull(edge: SocketAddr, connection: u16) -> BTreeMap<u16, usize> {
    let (mut socket, mut statuses) = (TcpStream::connect(edge).await.unwrap(), BTreeMap::new());
    let mut pace = interval(EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for number in 0..REQUESTS {
        pace.tick().await;
        socket.write_all(trigger(connection + number).to_text().as_bytes()).await.unwrap();
        let answer = soon(Answer::read(&mut socket)).await.expect("never a hang, and never a word too little");
        assert!(!answer.body.contains("<Response"), "{answer:?}");
        if answer.status == 429 {
            // Whoever is shed is hung up on, and calls again.
            socket = TcpStream::connect(edge).await.unwrap();
        }
        *statuses.entry(answer.status).or_default() += 1;
    }
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_triggers_a_second_trigger_nothing() {
    let doors = Doors::open().await;
    doors
        .beside_an_honest_call(async |doors| {
            let mut pulling = JoinSet::new();
            for connection in 0..CONNECTIONS {
                pulling.spawn(pull(doors.edges[usize::from(connection % 2)], connection));
            }
            let mut statuses = BTreeMap::new();
            for (status, count) in pulling.join_all().await.into_iter().flatten() {
                *statuses.entry(status).or_default() += count;
            }
            assert_eq!(statuses.values().sum::<usize>(), usize::from(CONNECTIONS * REQUESTS));
            assert!(statuses.keys().all(|status| [401, 403, 429].contains(status)), "{statuses:?}");
            assert!(statuses.contains_key(&429) && statuses.contains_key(&403), "{statuses:?}");
        })
        .await;
    assert!(doors.limited("source") > 0.0);
    doors.close().await;
}
