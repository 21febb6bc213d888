use std::time::Duration;

use aws_sdk_bedrockruntime::{Client, error::ProvideErrorMetadata};
use jiff::SignedDuration;
use offhook_hosting::clock::Clock;
use phone_lab::bedrock::{Fault, Refusal, SessionEnd, Settings, TokenExpiry};

use crate::{raw::*, support::*};

const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// Status and error code of a start that is refused.
async fn refused(client: &Client, model: &str) -> (u16, String) {
    let error = start(client, model, vec![session_start()]).await.err().expect("a refusal");
    let status = error.raw_response().map(|response| response.status().as_u16());
    (status.unwrap(), error.code().unwrap_or_default().to_owned())
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn a_request_that_is_signed_wrongly_is_forbidden() {
    let lab = Lab::quick().await;
    let wrong_secret = lab.client_as("us-east-1", KEY, "wrong", None).await;
    assert_eq!(refused(&wrong_secret, MODEL).await, is(403, "InvalidSignatureException"));
    let wrong_region = lab.client_as("us-west-2", KEY, SECRET, None).await;
    assert_eq!(refused(&wrong_region, MODEL).await, is(403, "InvalidSignatureException"));
    let wrong_key = lab.client_as("us-east-1", "AKIDOTHER", SECRET, None).await;
    assert_eq!(refused(&wrong_key, MODEL).await, is(403, "UnrecognizedClientException"));
    assert_eq!(lab.server.refusals().len(), 3);
    assert!(lab.server.reports().is_empty());
}

#[tokio::test]
async fn a_session_token_has_to_be_the_right_one() {
    let token = Some("token".to_owned());
    let lab = Lab::start(Settings { session_token: token, ..quick("{}") }).await;
    let right = lab.client_as("us-east-1", KEY, SECRET, Some("token")).await;
    assert!(start(&right, MODEL, vec![session_start()]).await.is_ok());
    let wrong = lab.client_as("us-east-1", KEY, SECRET, Some("other")).await;
    assert_eq!(refused(&wrong, MODEL).await, is(403, "UnrecognizedClientException"));
    assert_eq!(refused(&lab.client().await, MODEL).await, is(403, "UnrecognizedClientException"));
}

#[tokio::test]
async fn models_that_are_not_offered_are_not_found() {
    let lab = Lab::quick().await;
    let client = lab.client().await;
    assert_eq!(refused(&client, "amazon.nova-9-sonic-v1:0").await, is(404, "ResourceNotFoundException"));
    // At its end of life since 2026-09-14.
    assert_eq!(refused(&client, "amazon.nova-sonic-v1:0").await, is(404, "ResourceNotFoundException"));
    let elsewhere = Lab::start(Settings { region: "eu-west-1".into(), ..quick("{}") }).await;
    let client = elsewhere.client_as("eu-west-1", KEY, SECRET, None).await;
    assert_eq!(refused(&client, MODEL).await, is(404, "ResourceNotFoundException"));
}

#[tokio::test]
async fn sessions_beyond_the_quota_are_throttled_until_one_ends() {
    let lab = Lab::start(Settings { max_sessions: 2, ..quick("{}") }).await;
    let client = lab.client().await;
    let (first, _second) = (call(&client).await, call(&client).await);
    assert_eq!(refused(&client, MODEL).await, is(429, "ThrottlingException"));
    first.hear(&[0; 800]).await;
    assert_eq!(first.close().await, End::Clean);
    call(&client).await;
}

#[tokio::test]
async fn the_doubtful_refusals_have_another_wording() {
    let settings = Settings {
        max_sessions: 0,
        over_quota: Refusal::quota_exceeded(),
        unknown_model: Refusal::invalid_model(),
        ..quick("{}")
    };
    let client = Lab::start(settings).await;
    let client = client.client().await;
    assert_eq!(refused(&client, MODEL).await, is(400, "ServiceQuotaExceededException"));
    assert_eq!(refused(&client, "amazon.nova-9-sonic-v1:0").await, is(400, "ValidationException"));
}

#[tokio::test]
async fn a_denied_account_may_not_use_the_model() {
    let lab = Lab::start(Settings { access_denied: true, ..quick("{}") }).await;
    assert_eq!(refused(&lab.client().await, MODEL).await, is(403, "AccessDeniedException"));
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let expired = Some("2026-01-01T00:00:00Z".parse().unwrap());
    let token = Some("token".to_owned());
    let settings = Settings { session_token: token, session_token_expires_at: expired, ..quick("{}") };
    let lab = Lab::start(settings).await;
    let client = lab.client_as("us-east-1", KEY, SECRET, Some("token")).await;
    assert_eq!(refused(&client, MODEL).await, is(403, "ExpiredTokenException"));
}

/// A lab whose session token expires soon, and a call that will be open then.
async fn expiring(token_expiry: TokenExpiry) -> (Lab, Call) {
    let token = Some("token".to_owned());
    // Late enough to be there when the session starts, however slow the machine.
    let expires = Some(Clock.wall() + SignedDuration::from_secs(5));
    let settings = Settings { session_token: token, session_token_expires_at: expires, token_expiry, ..quick("{}") };
    let lab = Lab::start(settings).await;
    let call = call(&lab.client_as("us-east-1", KEY, SECRET, Some("token")).await).await;
    (lab, call)
}

#[tokio::test]
async fn a_token_that_expires_in_mid_stream_ends_the_session_or_does_not() {
    let expired = "The security token included in the request is expired";
    let (told, reset, nothing) = tokio::join!(
        async {
            let (lab, mut call) = expiring(TokenExpiry::Exception).await;
            (call.ended().await, lab.report().end)
        },
        async {
            let (lab, mut call) = expiring(TokenExpiry::Reset).await;
            (call.ended().await, lab.report().end)
        },
        async {
            let (lab, mut call) = expiring(TokenExpiry::Nothing).await;
            let late = lab.client_as("us-east-1", KEY, SECRET, Some("token")).await;
            while refused_or_not(&late).await.as_deref() != Some("ExpiredTokenException") {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            call.say("still here").await;
            call.turn().await
        }
    );
    let end = Some(SessionEnd::Violation(expired.into()));
    assert_eq!(told, (End::Exception("ExpiredTokenException".into(), expired.into()), end.clone()));
    assert_eq!(reset, (End::Broken, end));
    assert_eq!(nothing, "you said still here");
}

/// The error code of a start that may be refused.
async fn refused_or_not(client: &Client) -> Option<String> {
    let error = start(client, MODEL, vec![session_start()]).await.err()?;
    Some(error.code().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn models_are_offered_everywhere_and_forever_where_that_is_waived() {
    let waived = "9".parse().unwrap();
    let lab = Lab::start(Settings { region: "eu-west-1".into(), waived, ..quick("{}") }).await;
    let client = lab.client_as("eu-west-1", KEY, SECRET, None).await;
    for model in [MODEL, "amazon.nova-sonic-v1:0"] {
        assert!(start(&client, model, vec![session_start()]).await.is_ok(), "{model}");
    }
}

#[tokio::test]
async fn signatures_that_do_not_match_pass_where_that_is_waived() {
    let lab = Lab::start(Settings { waived: "4".parse().unwrap(), ..quick("{}") }).await;
    let mut call = call(&lab.client_as("us-east-1", KEY, "wrong", None).await).await;
    call.say("hello").await;
    assert_eq!(call.turn().await, "you said hello");
}

#[tokio::test]
async fn requests_of_another_kind_are_refused() {
    let operation = operation();
    let lab = Lab::quick().await;
    let mut raw = Raw::connect(&lab).await;
    let not_found = is(404, "UnknownOperationException");
    assert_eq!(raw.request("GET", &operation, EVENT_STREAM).await, not_found);
    assert_eq!(raw.request("POST", "/model/x/converse", EVENT_STREAM).await, not_found);
    assert_eq!(raw.request("POST", &operation, "application/json").await, is(415, "ValidationException"));
    assert_eq!(raw.request("POST", &operation, EVENT_STREAM).await, is(403, "MissingAuthenticationTokenException"));
    let waived = Lab::start(Settings { waived: "2".parse().unwrap(), ..quick("{}") }).await;
    let answer = Raw::connect(&waived).await.request("POST", &operation, "application/json").await;
    assert_eq!(answer, is(403, "MissingAuthenticationTokenException"));
    let wrong_content_type = Refusal::invalid("no event stream");
    let worded = Lab::start(Settings { wrong_content_type, ..quick("{}") }).await;
    let answer = Raw::connect(&worded).await.request("POST", &operation, "application/json").await;
    assert_eq!(answer, is(400, "ValidationException"));
}

#[tokio::test]
async fn streams_beyond_the_limit_of_a_connection_wait() {
    let lab = Lab::start(Settings { max_concurrent_streams: 1, ..quick("{}") }).await;
    let client = lab.client().await;
    let first = call(&client).await;
    let waiting = call(&client);
    tokio::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err() && lab.server.live_sessions() == 1);
    first.hear(&[0; 800]).await;
    assert_eq!(first.close().await, End::Clean);
    waiting.await;
}

#[tokio::test]
async fn injected_refusals_strike_once_each_in_order() {
    let lab = Lab::quick().await;
    let client = lab.client().await;
    let refusals = [
        Refusal::throttled(),
        Refusal::access_denied(),
        Refusal::not_found(),
        Refusal::internal(),
        Refusal::unavailable(),
        Refusal::quota_exceeded(),
        Refusal::invalid("wrong"),
        Refusal::model_not_ready(),
        Refusal::model_error(),
        Refusal::model_timeout(),
    ];
    for refusal in &refusals {
        lab.server.inject(Fault::Refuse(refusal.clone()));
    }
    for Refusal { status, error, .. } in &refusals {
        assert_eq!(refused(&client, MODEL).await, is(*status, error));
    }
    call(&client).await;
}

#[tokio::test]
async fn the_answer_waits_for_the_first_event() {
    let lab = Lab::quick().await;
    let client = lab.client().await;
    let starting = start(&client, MODEL, Vec::new());
    tokio::pin!(starting);
    tokio::select! {
        _ = &mut starting => panic!("answered before any event"),
        // More than enough for the connect delay, which is what could have answered.
        () = async {
            lab.until(|server| server.live_sessions() == 1).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        } => {}
    }
    let eager = Lab::start(Settings { answer_immediately: true, ..quick("{}") }).await;
    let client = eager.client().await;
    assert!(start(&client, MODEL, Vec::new()).await.is_ok());
}
