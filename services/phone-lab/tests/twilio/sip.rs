//! Calls to a SIP domain of the account, and what goes along to a SIP address that is dialled.

use std::time::Duration;

use phone_lab::twilio::{CallOptions, CallerScript, Human};

use crate::edge::{Edge, twiml};

#[tokio::test(start_paused = true)]
async fn a_call_to_a_sip_domain_tells_its_addresses_and_its_headers() {
    let edge = Edge::answering(|_| twiml("<Say>hello</Say>"));
    let script = CallerScript::from_yaml(
        "from: sip:alice@acme.sip.twilio.com\nto: sip:sales@acme.sip.twilio.com;transport=tls\nsteps: []\n\
         sip_headers: { X-Tenant: t-42 }\n",
    );
    edge.twilio().call(script.unwrap(), CallOptions::default()).await;
    let seen = &edge.seen()[0];
    for (name, value) in [
        ("From", "sip:alice@acme.sip.twilio.com"),
        ("Called", "sip:sales@acme.sip.twilio.com;transport=tls"),
        ("SipDomain", "acme.sip.twilio.com"),
        ("SipHeader_X-Tenant", "t-42"),
        ("SipSourceIp", "198.51.100.9"),
    ] {
        assert_eq!(seen.parameter(name), Some(value), "{name}");
    }
    assert!(seen.parameter("SipDomainSid").unwrap().starts_with("SD"));
    assert!(seen.parameter("SipCallId").is_some() && seen.parameter("StirVerstat").is_none());
    edge.call("").await;
    assert!(edge.seen()[1].form.iter().all(|(name, _)| !name.starts_with("Sip")), "a call to a number has none");
}

#[tokio::test(start_paused = true)]
async fn who_is_dialled_by_sip_sees_the_headers_of_the_address_as_they_read() {
    let edge = Edge::answering(|_| {
        twiml("<Dial><Sip>sip:desk@pbx.example.test?X-Summary=lost%20card%2C+call%20back&amp;X-Call=CA1</Sip></Dial>")
    });
    let human = Human::acts(Duration::from_secs(1), "[connected, hang_up]").unwrap();
    let report = edge.call_with("", CallOptions { human: human.clone(), ..CallOptions::default() }).await;
    let desk = &report.parties[0];
    let header = |name: &str| desk.sip_headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!((header("X-Summary"), header("X-Call")), (Some("lost card,+call back"), Some("CA1")));
    assert_eq!(header("X-Twilio-CallSid"), Some(desk.call_sid.as_str()));
    let number = Edge::answering(|_| twiml("<Dial>+15550100009</Dial>"));
    let report = number.call_with("", CallOptions { human, ..CallOptions::default() }).await;
    assert_eq!(report.parties[0].sip_headers, []);
}
