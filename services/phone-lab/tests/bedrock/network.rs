//! A network between the service and its client: below TLS, so that the client sees what it would see.

use std::time::Duration;

use offhook_hosting::clock::Clock;
use phone_lab::{
    bedrock::{SessionEnd, Settings},
    network::Conditions,
};
use tokio::time::timeout;

use crate::support::*;

/// A lab whose clients are at the other end of such a network.
async fn lab(conditions: &str) -> Lab {
    let network = Some(Conditions::of_bedrock(conditions).unwrap());
    Lab::start(Settings { network, ..quick("{}") }).await
}

#[tokio::test]
async fn a_conversation_over_a_rough_network_is_heard_whole() {
    let lab = lab("delay=80ms,jitter=40ms,burst=300ms/1s").await;
    let client = lab.client().await;
    let started = Clock.now();
    let mut call = call(&client).await;
    assert!(Clock.now() - started > Duration::from_millis(320), "TLS and the request take two turns");
    for words in ["hello", "are you still there"] {
        call.say(words).await;
        assert_eq!(call.turn().await, format!("you said {words}"));
    }
    assert_eq!(call.close().await, End::Clean);
    assert_eq!((lab.report().end, lab.report().violations), (Some(SessionEnd::ByTheBook), vec![]));
    let [line] = &lab.server.network()[..] else { panic!("one connection") };
    assert!(line.to.bytes > 10_000 && line.from.bytes > 10_000 && line.cut.is_none(), "{line:?}");
}

#[tokio::test]
async fn connections_have_seeds_of_their_own_which_the_labs_seed_repeats() {
    let seeds = async |seed| {
        let network = Some("delay=1ms".parse().unwrap());
        let lab = Lab::start_with_seed(Settings { network, ..quick("{}") }, seed).await;
        for _ in 0..2 {
            call(&lab.client().await).await.close().await;
        }
        lab.server.network().iter().map(|line| line.seed).collect::<Vec<_>>()
    };
    let (first, again, other) = (seeds(1).await, seeds(1).await, seeds(2).await);
    assert_eq!(first, again);
    assert!(first[0] != first[1] && first != other, "{first:?} {other:?}");
}

#[tokio::test]
async fn a_cut_breaks_every_session_of_the_connection_and_the_next_has_another() {
    for how in ["rst", "fin"] {
        let lab = lab(&format!("cut={how}@4s")).await;
        let client = lab.client().await;
        // Long before the cut, however slow the machine.
        let (mut one, mut two) = (call(&client).await, call(&client).await);
        assert_eq!((one.ended().await, two.ended().await), (End::Broken, End::Broken), "{how}");
        lab.until(|server| server.open_connections() == 0 && server.live_sessions() == 0).await;
        let ends: Vec<_> = lab.server.reports().into_iter().map(|report| report.end).collect();
        assert!(ends.iter().all(|end| matches!(end, Some(SessionEnd::ClientVanished(_)))), "{how}: {ends:?}");
        let next = call(&client).await;
        let lines = lab.server.network();
        assert!(lines.len() == 2 && lines[0].cut >= Some(Duration::from_secs(4)) && lines[1].cut.is_none());
        drop(next);
    }
}

#[tokio::test]
async fn a_goaway_leaves_the_session_alone_and_the_next_has_another_connection() {
    let lab = lab("cut=goaway@3s").await;
    let client = lab.client().await;
    let mut first = call(&client).await;
    lab.until(|server| server.network()[0].cut.is_some()).await;
    first.say("still here").await;
    assert_eq!(first.turn().await, "you said still here");
    let mut second = call(&client).await;
    assert_eq!(lab.server.open_connections(), 2);
    second.say("me too").await;
    assert_eq!(second.turn().await, "you said me too");
    assert_eq!((first.close().await, second.close().await), (End::Clean, End::Clean));
}

#[tokio::test]
async fn a_service_that_reads_slowly_holds_its_client_up() {
    const PIECES: usize = 2000;
    let hear = async |lab: &Lab| {
        let client = lab.client().await;
        let call = call(&client).await;
        let (mut sent, began) = (0, Clock.now());
        let sending = async {
            while sent < PIECES {
                call.send(audio(&[0; 800])).await;
                sent += 1;
            }
        };
        let _ = timeout(Duration::from_secs(3), sending).await;
        (sent, Clock.now() - began)
    };
    let slow = lab("from.rate=800kbit").await;
    let (sent, took) = hear(&slow).await;
    assert!(sent < PIECES, "a client is held up that has sent more than the network takes");
    let arrived = slow.server.network()[0].from.bytes as f64;
    let most = 100_000.0 * (took.as_secs_f64() + 1.0);
    assert!((100_000.0..most).contains(&arrived), "{arrived} bytes in {took:?}");
}
