use edge::{
    Config,
    call::placed::{Placed, Seals},
};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use offhook_hosting::env::Env;

use crate::support::{
    AGENTS, CALL, Edge, TICKET_KEY, TOKEN,
    twilio::{Stream, form, get_signed, post, stream_path},
    worker::Worker,
};

/// The parameters of a connected call, by the agent that gets it.
fn agent(document: &str) -> &str {
    document.split("name=\"agent\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("nobody")
}

async fn agent_of(edge: &Edge, target: &str, extra: &[(&str, &str)]) -> String {
    agent(&post(edge.public, target, &form(extra)).await.1).to_owned()
}

#[tokio::test]
async fn a_call_reaches_the_agent_asked_for_or_of_its_number_or_of_its_sip_domain() {
    let worker = Worker::willing().await;
    let edge = Edge::with_agents(&[worker.address]).await;
    let sip = [("To", "sip:desk@aurora.sip.twilio.com"), ("SipDomain", "aurora.sip.twilio.com")];
    assert_eq!(agent_of(&edge, "/incoming-call", &[]).await, "number", "it has the number that was called");
    assert_eq!(agent_of(&edge, "/incoming-call", &sip).await, "queue");
    assert_eq!(agent_of(&edge, "/incoming-call?agent=busy", &sip).await, "busy");
    assert_eq!(agent_of(&edge, "/incoming-call?agent=nobody", &sip).await, "queue", "an unknown name is passed over");
    assert_eq!(agent_of(&edge, "/incoming-call", &[("To", "+15005550001")]).await, "human", "the default");
    let placed = [("Direction", "outbound-api"), ("From", "+15005550009"), ("To", "+15005550001")];
    assert_eq!(agent_of(&edge, "/incoming-call", &placed).await, "number", "of our own calls our number counts");
}

#[tokio::test]
async fn the_worker_is_told_the_agent_and_what_twilio_knows_of_the_call() {
    let mut worker = Worker::willing().await;
    let edge = Edge::with_agents(&[worker.address]).await;
    let mut told = Vec::new();
    for (name, transfer) in [("human", true), ("apology", false)] {
        let target = format!("/incoming-call?agent={name}&tenant=north");
        let (_, document) = post(edge.public, &target, &form(&[("SipHeader_X-Order", "1042")])).await;
        let mut caller = Stream::open(edge.public, &stream_path(&document)).await.unwrap();
        caller.start_with(CALL, &parameters(&document)).await;
        let leg = worker.accepted().await;
        assert_eq!((leg.start.agent.as_str(), leg.start.transfer_available), (name, transfer));
        told.push(leg.start.parameters.clone());
    }
    assert_eq!((told[0]["sip.x-order"].as_str(), told[0]["query.tenant"].as_str()), ("1042", "north"));
}

#[tokio::test]
async fn a_call_that_was_placed_has_the_agent_and_the_variables_it_was_placed_with_at_any_edge_with_the_key() {
    let worker = Worker::willing().await;
    let edge = Edge::with_agents(&[worker.address]).await;
    let variables =
        [("order", "1042"), ("name", "Zoë & <co>")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let placed = Placed { agent: Some("apology".to_owned()), variables: variables.clone().into() };
    let sealed = Seals::new(TICKET_KEY.as_bytes()).seal(&placed, [7; 12]).unwrap();
    let answered = form(&[("Direction", "outbound-api"), ("CallStatus", "in-progress")]);
    let (_, document) = post(edge.public, &format!("/incoming-call?placed={sealed}"), &answered).await;
    assert_eq!(agent(&document), "apology");
    assert!(document.contains("name=\"var.order\" value=\"1042\""), "{document}");
    assert!(document.contains("name=\"var.name\" value=\"Zoë &amp; &lt;co&gt;\"") && !document.contains("query."));
    let (_, after_queue) = post(edge.public, &format!("/queue-left?agent=queue&placed={sealed}"), &answered).await;
    assert!(agent(&after_queue) == "queue" && after_queue.contains("name=\"var.order\""), "{after_queue}");
    let (_, document) = post(edge.public, &format!("/incoming-call?agent=busy&placed={sealed}x"), &answered).await;
    assert!(agent(&document) == "busy" && !document.contains("var."), "what was changed is not believed: {document}");
}

/// As Twilio hands them on: by name.
fn parameters(document: &str) -> Vec<(String, String)> {
    let quoted = |text: &str, name: &str| {
        text.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    document.split("<Parameter ").skip(1).map(|text| (quoted(text, "name"), quoted(text, "value"))).collect()
}

#[tokio::test]
async fn every_parameter_of_twilio_is_taken_unknown_double_and_empty_ones_too() {
    let worker = Worker::willing().await;
    let edge = Edge::with_agents(&[worker.address]).await;
    let many: Vec<_> = (0..200).map(|number| (format!("Unknown{number}"), "x".repeat(50))).collect();
    let mut extra: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    extra.extend([
        ("To", ""),
        ("From", "+15005550007"),
        ("ToState", ""),
        ("", "no name"),
        ("SipHeader_X-A", "ü\u{0}\u{7}"),
    ]);
    let (status, document) = post(edge.public, "/incoming-call", &form(&extra)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(agent(&document), "number", "the To that has a value counts: {document}");
    assert!(
        document.contains("name=\"from\" value=\"+15005550007\"") && document.contains("value=\"ü\""),
        "{document}"
    );
    let huge = "h".repeat(600);
    post(edge.public, "/incoming-call", &form(&[("SipHeader_X-A", &huge)])).await;
    assert_eq!(edge.metric("edge_context_left_out_total", "").await, Some(1.0));
}

#[tokio::test]
async fn a_webhook_that_is_asked_again_connects_the_same_call_anew() {
    let mut worker = Worker::willing().await;
    let edge = Edge::with_agents(&[worker.address]).await;
    let first = stream_path(&post(edge.public, "/incoming-call", &form(&[])).await.1);
    let second = stream_path(&post(edge.public, "/incoming-call", &form(&[])).await.1);
    assert_ne!(first, second);
    let mut caller = Stream::open(edge.public, &second).await.unwrap();
    caller.start(CALL).await;
    assert_eq!(worker.accepted().await.start.call_sid, CALL);
}

#[tokio::test]
async fn a_webhook_configured_as_get_reaches_its_agent_and_tells_it_no_parameter_of_twilios() {
    let worker = Worker::willing().await;
    let edge = Edge::with_agents(&[worker.address]).await;
    let (_, document) = get_signed(edge.public, &format!("/incoming-call?agent=busy&{}", form(&[]))).await;
    assert_eq!(agent(&document), "busy");
    assert!(!document.contains("query."), "{document}");
}

#[tokio::test]
async fn a_draining_edge_lets_the_fallback_of_the_agent_decide() {
    let worker = Worker::willing().await;
    let edge = Edge::with_agents(&[worker.address]).await;
    let _live = edge.lifecycle.tasks().token();
    edge.lifecycle.soft_stop().cancel();
    for (agent, verb) in [("human", "<Dial"), ("queue", "<Enqueue"), ("busy", "<Reject"), ("apology", "<Say>")] {
        let (_, document) = post(edge.public, &format!("/incoming-call?agent={agent}"), &form(&[])).await;
        assert!(document.contains(&format!("<Response>{verb}")), "{agent}: {document}");
    }
    let (_, waits) = post(edge.public, "/queue-wait?agent=queue", &form(&[("QueueTime", "8")])).await;
    assert!(waits.contains("hold-music.wav"), "another edge will have a place: {waits}");
}

#[tokio::test]
async fn the_music_needs_no_signature_and_may_be_kept() {
    let edge = Edge::with_env(&[]).await;
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::get(format!("http://{}/hold-music.wav", edge.public)).body(Full::default()).unwrap();
    let response = client.request(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "audio/wav");
    assert!(response.headers()["cache-control"].to_str().unwrap().contains("max-age=86400"));
    assert!(response.into_body().collect().await.unwrap().to_bytes().starts_with(b"RIFF"));
}

#[tokio::test]
async fn what_became_of_callers_is_counted() {
    let worker = Worker::full().await;
    let edge = Edge::with_agents(&[worker.address]).await;
    for agent in ["human", "queue", "busy", "apology", "apology"] {
        post(edge.public, &format!("/incoming-call?agent={agent}"), &form(&[])).await;
    }
    for (how, count) in [("human", 1.0), ("queue", 1.0), ("busy", 1.0), ("apology", 2.0)] {
        assert_eq!(edge.metric("edge_admissions_total", &format!("how=\"{how}\"")).await, Some(count), "{how}");
    }
}

#[test]
fn a_file_of_agents_with_mistakes_is_told_among_the_other_mistakes_of_the_configuration() {
    let file = std::env::temp_dir().join(format!("offhook-agents-{}.yaml", std::process::id()));
    std::fs::write(&file, AGENTS.replace("prompt: Hello.", "promt: Hello.")).unwrap();
    let env = [
        ("PUBLIC_URL", "http://h"),
        ("TWILIO_AUTH_TOKEN", TOKEN),
        ("AGENTS_FILE", file.to_str().unwrap()),
        ("DRAIN_SECONDS", "soon"),
    ];
    let error = Config::from_env(&Env::from_iter(env)).unwrap_err();
    assert_eq!(error.names().collect::<Vec<_>>(), ["PUBLIC_URL", "AGENTS_FILE", "DRAIN_SECONDS"]);
    assert!(error.to_string().contains("line 3, column 10: agents.human.prompt: required"), "{error}");
    std::fs::remove_file(file).unwrap();
}
