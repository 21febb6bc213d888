//! A region that is lost, and credentials that last for a while.

use std::time::Duration;

use aws_sdk_bedrockruntime::{Client, error::ProvideErrorMetadata};
use jiff::SignedDuration;
use offhook_hosting::clock::Clock;
use phone_lab::bedrock::{Outage, SessionEnd, Settings, TokenExpiry};
use tokio::time::timeout;

use crate::support::{End, Lab, MODEL, call, quick, session_start, start};

const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// The error code of a start; none if it was well, "nothing" if it is not answered.
async fn refusal(client: &Client) -> Option<String> {
    match timeout(Duration::from_millis(500), start(client, MODEL, vec![session_start()])).await {
        Err(_) => Some("nothing".to_owned()),
        Ok(Err(error)) => Some(error.code().unwrap_or("no answer").to_owned()),
        Ok(Ok(_)) => None,
    }
}

/// How an open session ends when its region is lost so, and what a client hears that comes then.
async fn lost(outage: Outage) -> (Option<End>, Option<String>, Lab) {
    let lab = Lab::quick().await;
    let mut open = call(&lab.client().await).await;
    lab.server.lose(outage);
    let end = timeout(Duration::from_millis(500), open.ended()).await.ok();
    drop(open);
    let refused = refusal(&lab.client().await).await;
    (end, refused, lab)
}

#[tokio::test]
async fn a_region_may_be_lost_in_three_ways_and_come_back() {
    let (refusing, unavailable, frozen) =
        tokio::join!(lost(Outage::Refuse), lost(Outage::Unavailable), lost(Outage::Freeze));
    assert_eq!((&refusing.0, refusing.1.as_deref()), (&Some(End::Broken), Some("no answer")));
    let told = matches!(&unavailable.0, Some(End::Exception(kind, _)) if kind == "serviceUnavailableException");
    assert!(told && unavailable.1.as_deref() == Some("ServiceUnavailableException"), "{:?}", unavailable.0);
    assert_eq!((&frozen.0, frozen.1.as_deref()), (&None, Some("nothing")));
    for (_, _, lab) in [refusing, unavailable, frozen] {
        lab.until(|server| server.live_sessions() == 0).await;
        assert_eq!(lab.report().end, Some(SessionEnd::Fault("region lost".into())));
        lab.server.recover();
        assert_eq!(refusal(&lab.client().await).await, None);
    }
}

#[tokio::test]
async fn a_fault_may_lose_the_region_of_its_session() {
    let lab = Lab::quick().await;
    lab.server.inject("outage=unavailable@read:6".parse().unwrap());
    let mut struck = call(&lab.client().await).await;
    assert!(matches!(struck.ended().await, End::Exception(kind, _) if kind == "serviceUnavailableException"));
    assert_eq!(refusal(&lab.client().await).await.as_deref(), Some("ServiceUnavailableException"));
}

/// A client with a token that is good for so long from now, less if it is negative.
async fn client_for(lab: &Lab, settings: &Settings, left: SignedDuration) -> Client {
    let life = SignedDuration::try_from(settings.token_life.unwrap()).unwrap();
    let (token, _) = settings.temporary_token(Clock.wall() - life + left).unwrap();
    lab.client_as("us-east-1", KEY, SECRET, Some(&token)).await
}

#[tokio::test]
async fn temporary_tokens_are_good_until_each_expires_and_end_its_sessions_then() {
    let settings =
        Settings { token_life: Some(Duration::from_secs(60)), token_expiry: TokenExpiry::Exception, ..quick("{}") };
    let lab = Lab::start(settings.clone()).await;
    let expired = client_for(&lab, &settings, SignedDuration::from_secs(-1)).await;
    assert_eq!(refusal(&expired).await.as_deref(), Some("ExpiredTokenException"));
    assert_eq!(refusal(&lab.client().await).await.as_deref(), Some("UnrecognizedClientException"), "no token");
    let altered = lab.client_as("us-east-1", KEY, SECRET, Some("phone-lab.99999999999999.00")).await;
    assert_eq!(refusal(&altered).await.as_deref(), Some("UnrecognizedClientException"));
    let mut short = call(&client_for(&lab, &settings, SignedDuration::from_millis(600)).await).await;
    let mut long = call(&client_for(&lab, &settings, SignedDuration::from_secs(60)).await).await;
    assert!(matches!(short.ended().await, End::Exception(kind, _) if kind == "ExpiredTokenException"));
    long.say("still here").await;
    assert_eq!(long.turn().await, "you said still here");
}
