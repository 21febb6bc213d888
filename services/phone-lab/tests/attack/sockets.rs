//! Media sockets that nobody asked for. Even signatures of Twilio are given to the attacker here.

use std::net::SocketAddr;

use edge::{
    call::ticket::{Claims, LIFETIME, Tickets},
    worker::WorkerId,
};
use futures_util::{SinkExt, StreamExt};
use offhook_hosting::clock::Clock;
use phone_lab::twilio::{Account, CallOptions, SecondSocket};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::{
    http::Request,
    support::{CALL, Doors, TICKET_KEY, assert_refused, form, genuine_stream, soon, stream_of},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_media_socket_opens_for_nobody_but_twilio() {
    let doors = Doors::open().await;
    doors
        .beside_an_honest_call(async |doors| {
            for edge in doors.edges {
                let (call, path) = genuine_stream(edge).await;
                assert_refused(&Request::upgrade(&path).send(edge).await, "no signature");
                // Somebody who replays the webhook gets a new URL, and has no signature for it but the old one's.
                let webhook = Request::webhook("/incoming-call", &form(&[]).replace(CALL, &call)).signed();
                let newer = stream_of(&webhook.send(edge).await);
                assert_ne!(newer, path);
                let old = Request::upgrade(&path).signature();
                let replayed = Request::upgrade(&newer).with("x-twilio-signature", &old);
                assert_refused(&replayed.send(edge).await, "another ticket's signature");
            }
        })
        .await;
    doors.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_was_not_issued_or_is_too_old_opens_no_socket() {
    let doors = Doors::open().await;
    doors
        .beside_an_honest_call(async |doors| {
            let now = u64::try_from(Clock.wall().as_second()).unwrap();
            let claims = Claims {
                call: CALL.parse().unwrap(),
                account: Account::default().account_sid.parse().unwrap(),
                worker: WorkerId::from_bytes([7; WorkerId::BYTES]),
            };
            let forged = Tickets::new("another key, as long as the right one is", [1; 8]).issue(&claims, now);
            let expired = Tickets::new(TICKET_KEY, [1; 8]).issue(&claims, now - LIFETIME.as_secs());
            let good = Tickets::new(TICKET_KEY, [1; 8]).issue(&claims, now);
            let truncated = &good[..good.len() - 4];
            for edge in doors.edges {
                for ticket in [&*forged, &*expired, truncated, "x", "../incoming-call"] {
                    let upgrade = Request::upgrade(&format!("/media-stream/{ticket}")).signed();
                    assert_refused(&upgrade.send(edge).await, ticket);
                }
            }
        })
        .await;
    assert!(doors.refused("expired_ticket") >= 2.0 && doors.refused("forged_ticket") >= 6.0);
    doors.close().await;
}

/// Also with everything that Twilio sent the first time, and at the other edge, which has not seen the ticket.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_one_leg_at_whichever_edge() {
    let doors = Doors::open().await;
    let [first, second] = doors.edges;
    let (call, path) = genuine_stream(first).await;
    let mut genuine = open(first, &path).await.unwrap();
    start(&mut genuine, &call).await;
    soon(async {
        while doors.pair.bedrock.live_sessions() == 0 {
            tokio::task::yield_now().await
        }
    })
    .await;
    assert_refused(&Request::upgrade(&path).signed().send(first).await, "the same edge");
    let mut replayed = open(second, &path).await.unwrap();
    start(&mut replayed, &call).await;
    assert_eq!(soon(said_to(&mut replayed)).await, 0, "whoever brings a used ticket hears nothing");
    assert_eq!(doors.legs_refused("used_ticket"), 1.0);
    assert_eq!((doors.pair.bedrock.live_sessions(), doors.pair.bedrock.reports().len()), (1, 1));
    drop(genuine);
    doors.pair.sessions_end_within(std::time::Duration::from_secs(5)).await;
    doors.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_serves_no_other_call_than_its_own() {
    let doors = Doors::open().await;
    doors
        .beside_an_honest_call(async |doors| {
            for edge in doors.edges {
                let mut socket = open(edge, &genuine_stream(edge).await.1).await.unwrap();
                start(&mut socket, CALL).await;
                assert_eq!(soon(said_to(&mut socket)).await, 0);
            }
        })
        .await;
    doors.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_socket_on_the_url_of_a_live_call_is_refused_and_the_call_does_not_notice() {
    let doors = Doors::open().await;
    let options = CallOptions { second_socket: Some(SecondSocket::SameUrl), ..CallOptions::default() };
    doors.beside(options, async |_| tokio::task::yield_now().await).await;
    assert!(doors.refused("used_ticket") >= 1.0);
    doors.close().await;
}

/// Though both documents, tickets and signatures are Twilio's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_call_gets_no_second_socket() {
    let doors = Doors::open().await;
    let options = CallOptions { second_socket: Some(SecondSocket::NewUrl), ..CallOptions::default() };
    doors.beside(options, async |_| tokio::task::yield_now().await).await;
    assert!(doors.legs_refused("second_of_call") >= 1.0);
    doors.close().await;
}

type Socket = WebSocketStream<TcpStream>;

/// Opens a media socket as Twilio does.
async fn open(edge: SocketAddr, path: &str) -> Option<Socket> {
    let mut request = format!("ws://{edge}{path}").into_client_request().unwrap();
    let signature = Request::upgrade(path).signature();
    request.headers_mut().insert("x-twilio-signature", signature.parse().unwrap());
    let tcp = TcpStream::connect(edge).await.unwrap();
    Some(soon(client_async(request, tcp)).await.ok()?.0)
}

async fn start(socket: &mut Socket, call: &str) {
    let (account, stream) = (Account::default().account_sid, "MZ00000000000000000000000000000003");
    let start = format!(
        r#"{{"event":"start","sequenceNumber":"1","start":{{"accountSid":"{account}","streamSid":"{stream}",
        "callSid":"{call}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,
        "channels":1}},"customParameters":{{}}}},"streamSid":"{stream}"}}"#
    );
    for text in [r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#, &start] {
        // One that is closed already says so when it is read.
        let _ = socket.send(Message::text(text)).await;
    }
}

/// How many messages come before the edge closes the socket.
async fn said_to(socket: &mut Socket) -> usize {
    let mut said = 0;
    while let Some(Ok(message)) = socket.next().await {
        said += usize::from(message.is_text() || message.is_binary());
    }
    said
}
