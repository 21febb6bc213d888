//! The edge's client of Twilio's REST interface against the lab's.

use std::{net::SocketAddr, sync::atomic::Ordering, time::Duration};

use edge::twilio::{
    rest::{Change, HttpRest, NewCall, Reason, Refused, Rest, RestConfig, RestError, Updated},
    sid::CallSid,
};
use offhook_hosting::{clock::Clock, entropy::Entropy};
use phone_lab::twilio::{
    self, Account, CallEnd, Callee, Twilio,
    rest::{ApiKey, EndedCall, RestServer, RestSettings},
    url::Url,
};
use tokio::net::TcpListener;

use crate::{
    network::{Fault, network},
    support::{callee, pair},
};

const ORIGIN: &str = "https://voice.example.test";

/// A Twilio of its own, whose calls find no edge.
async fn twilio(settings: RestSettings) -> (Twilio, RestServer) {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let twilio = Twilio::new(twilio::Settings::new(nobody, &Url::parse(ORIGIN).unwrap()), Clock, Entropy::from_seed(1));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rest = RestServer::start(listener, twilio.clone(), settings).unwrap();
    (twilio, rest)
}

fn client(address: SocketAddr, secret: &str) -> HttpRest {
    let config = RestConfig {
        account: Account::default().account_sid.parse().unwrap(),
        key: ApiKey::default().sid.parse().unwrap(),
        secret: secret.into(),
        base: format!("http://{address}").parse().unwrap(),
    };
    HttpRest::new(config, Clock, Entropy::from_seed(2)).unwrap()
}

fn keyed(address: SocketAddr) -> HttpRest {
    client(address, &ApiKey::default().secret)
}

fn call() -> NewCall {
    NewCall {
        to: "+15550100001".to_owned(),
        from: "+15550100100".to_owned(),
        url: format!("{ORIGIN}/incoming-call"),
        fallback_url: format!("{ORIGIN}/failover"),
        status_callback: format!("{ORIGIN}/"),
        ring: Duration::from_secs(30),
        time_limit: None,
        recording_callback: None,
        detection: None,
    }
}

fn refused(status: u16, code: u32) -> RestError {
    RestError::Refused(Refused { status, code: Some(code) })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_placed_and_redirected_and_ended() {
    let pair = pair("greeting: good morning", RestSettings::new(callee("[listen, {wait: 60s}]"))).await;
    let client = keyed(pair.rest.address());
    let placed = client.create(call()).await.unwrap();
    assert_eq!(pair.twilio.live_calls(), [placed.to_string()]);
    while pair.bedrock.live_sessions() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let document = "<Response><Say>one moment</Say><Pause length=\"60\"/></Response>".to_owned();
    assert_eq!(client.update(&placed, Change::Twiml(document)).await, Ok(Updated::Done));
    assert!(pair.sessions_end_within(Duration::from_secs(10)).await, "the stream goes on");
    assert_eq!(client.update(&placed, Change::Completed).await, Ok(Updated::Done));
    let report = pair.rest.report(placed.as_str()).await;
    assert_eq!((report.end, report.spoken_by_twilio), (CallEnd::EndedByRest, vec!["one moment".to_owned()]));
    assert_eq!(client.update(&placed, Change::Completed).await, Ok(Updated::Gone));
    pair.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_not_processed_is_made_again_and_places_one_call() {
    let (twilio, rest) = twilio(RestSettings::new(Callee::NoAnswer)).await;
    rest.throttle(2);
    let placed = keyed(rest.address()).create(call()).await.unwrap();
    assert_eq!(twilio.live_calls(), [placed.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_twilio_that_stays_busy_places_nothing() {
    let (twilio, rest) = twilio(RestSettings::new(Callee::NoAnswer)).await;
    rest.throttle(usize::MAX);
    assert_eq!(keyed(rest.address()).create(call()).await, Err(RestError::Throttled));
    assert!(twilio.live_calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn never_two_calls_for_one_request_whose_answer_is_lost() {
    for fault in [Fault::AnswerLost, Fault::BadGateway] {
        let (twilio, rest) = twilio(RestSettings::new(Callee::NoAnswer)).await;
        let (address, seen) = network(rest.address(), fault, 1).await;
        assert_eq!(keyed(address).create(call()).await, Err(RestError::FateUnknown), "{fault:?}");
        assert_eq!((seen.load(Ordering::SeqCst), twilio.live_calls().len()), (1, 1), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_whose_answer_is_lost_is_made_again() {
    for fault in [Fault::AnswerLost, Fault::BadGateway] {
        let (twilio, rest) = twilio(RestSettings::new(Callee::NoAnswer)).await;
        let placed = keyed(rest.address()).create(call()).await.unwrap();
        let (address, seen) = network(rest.address(), fault, 1).await;
        let again = keyed(address).update(&placed, Change::Completed).await;
        // The first request has ended it.
        assert_eq!((again, seen.load(Ordering::SeqCst)), (Ok(Updated::Gone), 2), "{fault:?}");
        assert!(twilio.live_calls().is_empty(), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_by_its_code_and_not_tried_again() {
    let settings =
        RestSettings { owned_numbers: vec!["+15550100199".to_owned()], ..RestSettings::new(Callee::NoAnswer) };
    let (_, rest) = twilio(settings).await;
    let client = keyed(rest.address());
    assert_eq!(client.create(call()).await, Err(refused(400, 21210)));
    let owned = NewCall { from: "+15550100199".to_owned(), ..call() };
    assert_eq!(client.create(NewCall { to: "12".to_owned(), ..owned }).await, Err(refused(400, 21211)));
    let (_, rest) = twilio(RestSettings::new(Callee::Refused(21215))).await;
    let RestError::Refused(geo) = keyed(rest.address()).create(call()).await.unwrap_err() else {
        panic!("not refused")
    };
    assert_eq!(geo.reason(), Reason::NoPermissionForCountry);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_opens_nothing() {
    let (twilio, rest) = twilio(RestSettings::new(Callee::NoAnswer)).await;
    assert_eq!(client(rest.address(), "guessed").create(call()).await, Err(refused(401, 20003)));
    assert!(twilio.live_calls().is_empty());
}

// Pitfall 9.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_over_is_gone_however_twilio_says_it() {
    for ended_call in [EndedCall::NotFound, EndedCall::WrongState] {
        let (_, rest) = twilio(RestSettings { ended_call, ..RestSettings::new(Callee::Busy) }).await;
        let client = keyed(rest.address());
        let placed = client.create(call()).await.unwrap();
        rest.report(placed.as_str()).await;
        for change in [Change::Completed, Change::Url(format!("{ORIGIN}/next")), Change::Twiml("<Response/>".into())] {
            assert_eq!(client.update(&placed, change).await, Ok(Updated::Gone), "{ended_call:?}");
        }
    }
    let (_, rest) = twilio(RestSettings::new(Callee::Busy)).await;
    let unheard_of: CallSid = format!("CA{:032}", 7).parse().unwrap();
    assert_eq!(keyed(rest.address()).update(&unheard_of, Change::Completed).await, Ok(Updated::Gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_that_cannot_be_reached_has_placed_nothing() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(keyed(address).create(call()).await, Err(RestError::Unreachable));
}
