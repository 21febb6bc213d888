//! Keys, numbers and SIP domains of an account, and that calls go where these say.

use phone_lab::twilio::{CallEnd, CallOptions, CallerScript, Twilio, codes};
use serde_json::Value;

use crate::{
    edge::{Edge, twiml},
    rest::{Client, answers},
};

const ACCOUNT: &str = "/2010-04-01/Accounts/AC00000000000000000000000000000000";

fn at(path: &str) -> String {
    format!("{ACCOUNT}/{path}")
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}")).to_owned()
}

async fn set_up() -> (Edge, Twilio, Client) {
    let edge = Edge::answering(|seen| twiml(&format!("<Say>{}</Say>", seen.target.trim_start_matches('/'))));
    let twilio = edge.twilio();
    let client = Client::with(twilio.clone(), answers("")).await;
    (edge, twilio, client)
}

async fn calls(twilio: &Twilio, to: &str) -> (CallEnd, Vec<String>) {
    let script = CallerScript::from_yaml(&format!("from: '+15550100001'\nto: '{to}'\nsteps: []")).unwrap();
    let report = twilio.call(script, CallOptions::default()).await;
    (report.end, report.spoken_by_twilio)
}

#[tokio::test(start_paused = true)]
async fn a_number_is_bought_and_told_where_its_calls_go() {
    let (edge, twilio, client) = set_up().await;
    let offered = client.get(&at("AvailablePhoneNumbers/US/Local.json?VoiceEnabled=true&PageSize=1")).await.1;
    let number = text(&offered["available_phone_numbers"][0], "phone_number");
    let (status, bought) = client.post(&at("IncomingPhoneNumbers.json"), &[("PhoneNumber", &number)]).await;
    assert_eq!((status, &bought["voice_url"]), (201, &Value::Null));
    assert_eq!(
        client.post(&at("IncomingPhoneNumbers.json"), &[("PhoneNumber", &number)]).await.1["code"],
        codes::NOT_FOR_SALE
    );
    let uri = at(&format!("IncomingPhoneNumbers/{}.json", text(&bought, "sid")));
    assert_eq!(calls(&twilio, &number).await, (CallEnd::Rejected, vec![]), "Twilio's own silence without a Voice URL");
    assert_eq!(twilio.debugger().len(), 0);
    let form = [
        ("VoiceUrl", "https://voice.example.test/voice"),
        ("VoiceFallbackUrl", "https://voice.example.test/failover"),
        ("StatusCallback", "https://voice.example.test/status"),
    ];
    let (status, shown) = client.post(&uri, &form).await;
    assert_eq!((status, text(&shown, "status_callback").as_str()), (200, "https://voice.example.test/status"));
    assert_eq!(calls(&twilio, &number).await, (CallEnd::DocumentEnded, vec!["voice".into()]));
    assert_eq!(edge.seen().last().unwrap().target, "/status");
    let url = format!("{}?PhoneNumber={}", at("IncomingPhoneNumbers.json"), number.replace('+', "%2B"));
    assert_eq!(client.get(&url).await.1["incoming_phone_numbers"][0]["sid"], bought["sid"]);
    assert_eq!(client.post(&uri, &[("VoiceUrl", "voice")]).await.1["code"], codes::BAD_NUMBER_URL);
    assert_eq!(
        calls(&twilio, "+15550100100").await.1,
        ["incoming-call"],
        "other numbers go where the lab's settings say"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pitfall_29_number_without_a_voice_url_has_calls_rejected_and_nothing_logged() {
    let (_, twilio, client) = set_up().await;
    client.post(&at("IncomingPhoneNumbers.json"), &[("PhoneNumber", "+15550199001")]).await;
    assert_eq!(calls(&twilio, "+15550199001").await, (CallEnd::Rejected, vec![]));
    assert_eq!(twilio.debugger(), []);
}

#[tokio::test(start_paused = true)]
async fn calls_placed_by_rest_come_from_a_number_of_the_account_once_it_has_one() {
    let (_, _, client) = set_up().await;
    let call = [("To", "+15550100001"), ("From", "+15550100100"), ("Twiml", "<Response/>")];
    assert_eq!(client.post(&at("Calls.json"), &call).await.0, 201);
    client.post(&at("IncomingPhoneNumbers.json"), &[("PhoneNumber", "+15550199001")]).await;
    assert_eq!(client.post(&at("Calls.json"), &call).await.1["code"], codes::FOREIGN_FROM);
    let owned = [call[0], ("From", "+15550199001"), call[2]];
    assert_eq!(client.post(&at("Calls.json"), &owned).await.0, 201);
}

#[tokio::test(start_paused = true)]
async fn a_key_opens_the_account_until_it_is_deleted_and_makes_no_keys() {
    let (edge, _, mut client) = set_up().await;
    let (status, key) = client.post(&at("Keys.json"), &[("FriendlyName", "offhook")]).await;
    assert_eq!(status, 201);
    let (sid, secret) = (text(&key, "sid"), text(&key, "secret"));
    assert!(client.get(&at("Keys.json")).await.1["keys"][0].get("secret").is_none(), "a secret is shown once");
    client.sign_in(&sid, &secret);
    assert_eq!(client.get(&at("IncomingPhoneNumbers.json")).await.0, 200);
    assert_eq!(client.post(&at("Keys.json"), &[]).await.0, 401, "keys make no keys");
    client.sign_in(&edge.settings().account.account_sid, &edge.settings().account.auth_token);
    assert_eq!(client.delete(&at(&format!("Keys/{sid}.json"))).await.0, 204);
    client.sign_in(&sid, &secret);
    assert_eq!(client.get(&at("IncomingPhoneNumbers.json")).await.0, 401);
}

#[tokio::test(start_paused = true)]
async fn a_sip_domain_takes_calls_once_it_knows_who_may_call() {
    let (edge, twilio, client) = set_up().await;
    let domain = "acme.sip.twilio.com";
    let form = [("DomainName", domain), ("VoiceUrl", "https://voice.example.test/sip"), ("SipRegistration", "true")];
    assert_eq!(
        client.post(&at("SIP/Domains.json"), &[("DomainName", "acme.example.com")]).await.1["code"],
        codes::BAD_DOMAIN
    );
    let (status, made) = client.post(&at("SIP/Domains.json"), &form).await;
    assert_eq!((status, &made["sip_registration"]), (201, &true.into()));
    assert_eq!(client.post(&at("SIP/Domains.json"), &form).await.1["code"], codes::DOMAIN_TAKEN);
    let to = format!("sip:agent@{domain}");
    assert_eq!(calls(&twilio, &to).await.0, CallEnd::Rejected);
    assert_eq!(twilio.debugger().last().unwrap().code, codes::BAD_SIP_CREDENTIALS);
    let list = text(&client.post(&at("SIP/CredentialLists.json"), &[("FriendlyName", "desks")]).await.1, "sid");
    let credentials = at(&format!("SIP/CredentialLists/{list}/Credentials.json"));
    let weak = client.post(&credentials, &[("Username", "desk"), ("Password", "12345")]).await;
    assert_eq!(weak.1["code"], codes::BAD_CREDENTIAL);
    assert_eq!(client.post(&credentials, &[("Username", "desk"), ("Password", "Correct4horse")]).await.0, 201);
    let sid = text(&made, "sid");
    for kind in ["Calls", "Registrations"] {
        let mapping = at(&format!("SIP/Domains/{sid}/Auth/{kind}/CredentialListMappings.json"));
        assert_eq!(client.post(&mapping, &[("CredentialListSid", &list)]).await.0, 201);
        assert_eq!(client.post(&mapping, &[("CredentialListSid", "CL1")]).await.1["code"], codes::BAD_CREDENTIAL_LIST);
    }
    assert_eq!(calls(&twilio, &to).await, (CallEnd::DocumentEnded, vec!["sip".into()]));
    assert_eq!(edge.seen()[0].parameter("SipDomainSid"), Some(sid.as_str()));
}
