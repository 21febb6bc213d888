//! Webhooks that Twilio has not sent.

use phone_lab::twilio::{Account, CallOptions};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    http::{Answer, Request},
    support::{CALL, Doors, assert_refused, form, soon},
};

const DOORS: [&str; 11] = [
    "/incoming-call",
    "/queue-wait",
    "/queue-left",
    "/stream-ended",
    "/transfer-result",
    "/transfer-whisper",
    "/failover",
    "/call-status",
    "/stream-status",
    "/recording-status",
    "/amd-status",
];

/// Pitfall 5: strangers spend somebody else's model credit where requests are not checked.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_forged_opens_no_door() {
    let doors = Doors::open().await;
    doors
        .beside_an_honest_call(async |doors| {
            for edge in doors.edges {
                for door in DOORS {
                    let unsigned = Request::webhook(door, &form(&[]));
                    assert_refused(&unsigned.send(edge).await, "no signature");
                    let other = unsigned.clone().to("/").signature();
                    for signature in ["", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=", &other, &unsigned.signature()[..20]] {
                        let forged = unsigned.clone().with("x-twilio-signature", signature);
                        assert_refused(&forged.send(edge).await, signature);
                    }
                    let twice = unsigned.clone().with("x-twilio-signature", &other).signed();
                    assert_refused(&twice.send(edge).await, "two signatures");
                }
            }
        })
        .await;
    assert!(
        doors.refused("missing") >= 16.0 && doors.refused("mismatch") >= 16.0 && doors.refused("malformed") >= 16.0
    );
    doors.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_signed_for_something_else_opens_no_door() {
    let doors = Doors::open().await;
    doors
        .beside_an_honest_call(async |doors| {
            for edge in doors.edges {
                let genuine = Request::webhook("/failover", &form(&[])).signed();
                for door in DOORS.into_iter().filter(|door| *door != "/failover") {
                    assert_refused(&genuine.clone().to(door).send(edge).await, door);
                }
                for other in
                    [form(&[("Digits", "1")]), form(&[]).replace(CALL, &CALL.replace("77", "78")), String::new()]
                {
                    let changed = Request { body: other, ..genuine.clone() };
                    assert_refused(&changed.send(edge).await, "another form");
                }
                let as_get = Request { method: "GET", body: String::new(), ..genuine.clone() };
                assert_refused(&as_get.clone().send(edge).await, "a GET without the form");
                assert_refused(&as_get.to(&format!("/failover?{}", form(&[]))).send(edge).await, "a GET");
                let json = Request::webhook("/failover", "{}").with("x-twilio-signature", &genuine.signature());
                assert_refused(&json.send(edge).await, "another body");
            }
        })
        .await;
    doors.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_truncated_is_not_taken_for_whole() {
    let doors = Doors::open().await;
    doors
        .beside_an_honest_call(async |doors| {
            for edge in doors.edges {
                let genuine = Request::webhook("/incoming-call", &form(&[])).signed();
                let cut = genuine.body[..genuine.body.len() - 1].to_owned();
                assert_refused(&Request { body: cut, ..genuine.clone() }.send(edge).await, "a form without its end");
                let text = genuine.to_text();
                for length in [10, text.len() / 2, text.len() - 1] {
                    let mut socket = TcpStream::connect(edge).await.unwrap();
                    socket.write_all(&text.as_bytes()[..length]).await.unwrap();
                    socket.shutdown().await.unwrap();
                    if let Some(answer) = soon(Answer::read(&mut socket)).await {
                        assert_refused(&answer, "a request without its end");
                    }
                }
                let long = format!("{}\r\n", genuine.to_text().replace("content-length: ", "content-length: 0\r\nx: "));
                let mut socket = TcpStream::connect(edge).await.unwrap();
                socket.write_all(long.as_bytes()).await.unwrap();
                assert_refused(&soon(Answer::read(&mut socket)).await.unwrap(), "a form that is not in the body");
            }
        })
        .await;
    doors.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_accounts_calls_are_refused_though_they_are_signed_rightly() {
    let doors = Doors::open().await;
    doors
        .beside_an_honest_call(async |doors| {
            let (ours, theirs) = (Account::default().account_sid, "AC00000000000000000000000000000666");
            for edge in doors.edges {
                for door in DOORS {
                    let foreign = Request::webhook(door, &form(&[]).replace(&ours, theirs)).signed();
                    assert_refused(&foreign.send(edge).await, door);
                    let both = Request::webhook(door, &form(&[("AccountSid", theirs)])).signed();
                    assert_refused(&both.send(edge).await, "two accounts");
                }
            }
        })
        .await;
    assert!(doors.refused("other_account") >= 16.0);
    doors.close().await;
}

/// A signature has no date. Sent again, a call's requests are answered again, and the call does not notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_every_webhook_is_replayed_is_unharmed() {
    let doors = Doors::open().await;
    let options = CallOptions { replay_webhooks: true, ..CallOptions::default() };
    doors.beside(options, async |_| tokio::task::yield_now().await).await;
    doors.close().await;
}
