//! How documents are asked for, and which ones are refused.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, header};
use http_body_util::Full;
use offhook_hosting::{clock::Clock, entropy::Entropy};
use phone_lab::twilio::{
    CallEnd, CallOptions, CallReport, Happening, Settings, Signing, Twilio, codes, twiml, url::Url,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

use crate::edge::{Answer, Edge, PUBLIC_URL, Seen, TOKEN, answer, caller, signature, twiml};

const HANG_UP: &str = "<Hangup/>";

#[tokio::test(start_paused = true)]
async fn a_webhook_is_a_signed_form_with_every_parameter_blank_ones_too() {
    let edge = Edge::answering(|_| twiml(HANG_UP));
    let report = edge.call("").await;
    assert_eq!(report.end, CallEnd::HungUpByDocument);
    let [seen] = &edge.seen()[..] else { panic!("one webhook") };
    assert_eq!((&seen.method, seen.target.as_str()), (&Method::POST, "/incoming-call"));
    for (name, value) in [
        ("CallSid", report.call_sid.as_str()),
        ("From", "+15550100001"),
        ("Caller", "+15550100001"),
        ("To", "+15550100100"),
        ("Called", "+15550100100"),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("ApiVersion", "2010-04-01"),
        ("FromCity", ""),
        ("CalledZip", ""),
    ] {
        assert_eq!(seen.parameter(name), Some(value), "{name}");
    }
    assert!(seen.form.iter().any(|(name, _)| name.starts_with("NewParameter")), "the set is open");
    let signed = signature(TOKEN, "https://voice.example.test/incoming-call", &seen.form);
    assert_eq!(seen.header("x-twilio-signature"), Some(signed.as_str()));
    for (name, value) in [
        ("host", "voice.example.test"),
        ("user-agent", "TwilioProxy/1.1"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip"),
        ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("x-forwarded-proto", "https"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert!(seen.header("i-twilio-idempotency-token").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_get_webhook_signs_its_url_with_the_parameters_in_it() {
    let edge = Edge::answering(|_| twiml(HANG_UP));
    let settings = Settings { voice_method: twiml::Method::Get, ..edge.settings() };
    call(settings, CallOptions::default()).await;
    let [seen] = &edge.seen()[..] else { panic!("one webhook") };
    assert_eq!(seen.method, Method::GET);
    assert!(seen.target.contains("From=%2B15550100001"), "{}", seen.target);
    let signed = signature(TOKEN, &format!("{PUBLIC_URL}{}", seen.target), &[]);
    assert_eq!(seen.header("x-twilio-signature"), Some(signed.as_str()));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_or_missing_signature_is_what_the_edge_gets_when_asked_for() {
    let edge = Edge::answering(|_| twiml(HANG_UP));
    edge.call_with("", CallOptions { signing: Signing::WrongToken, ..CallOptions::default() }).await;
    edge.call_with("", CallOptions { signing: Signing::Missing, ..CallOptions::default() }).await;
    let [wrong, missing] = &edge.seen()[..] else { panic!("two webhooks") };
    let right = signature(TOKEN, "https://voice.example.test/incoming-call", &wrong.form);
    assert!(wrong.header("x-twilio-signature").is_some_and(|sent| sent.len() == 28 && sent != right));
    assert_eq!(missing.header("x-twilio-signature"), None);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_followed_signed_anew_and_with_the_calls_cookies() {
    let edge = Edge::answering(|seen| match seen.target.as_str() {
        "/incoming-call" => {
            let mut response = answer(307, "text/plain", "");
            response.headers_mut().insert(header::LOCATION, "/moved".parse().unwrap());
            response.headers_mut().insert(header::SET_COOKIE, "session=a1; Path=/; HttpOnly".parse().unwrap());
            response
        }
        "/moved" => twiml("<Redirect method=\"POST\">next</Redirect>"),
        _ => twiml(HANG_UP),
    });
    let report = edge.call("").await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::HungUpByDocument, vec![]));
    let [first, moved, next] = &edge.seen()[..] else { panic!("three requests") };
    assert_eq!(first.header("cookie"), None);
    assert_eq!((&moved.method, moved.header("cookie")), (&Method::POST, Some("session=a1")));
    let signed = signature(TOKEN, "https://voice.example.test/moved", &moved.form);
    assert_eq!(moved.header("x-twilio-signature"), Some(signed.as_str()));
    assert_eq!((next.target.as_str(), next.header("cookie")), ("/next", Some("session=a1")));
    assert_ne!(first.header("i-twilio-idempotency-token"), next.header("i-twilio-idempotency-token"));
}

/// What becomes of a call whose first answer is this.
async fn refused(respond: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> CallReport {
    let report = Edge::answering(respond).call("").await;
    assert_eq!(report.end, CallEnd::ApplicationError);
    assert!(report.spoken_by_twilio[0].contains("application error"));
    assert!(report.heard[0].text.contains("application error"), "the caller is told: {:?}", report.heard);
    report
}

#[tokio::test(start_paused = true)]
async fn what_twilio_would_not_take_ends_the_call_with_its_code() {
    let code = |report: CallReport| report.code_numbers();
    assert_eq!(code(refused(|_| answer(500, "text/xml", "<Response/>")).await), [codes::RETRIEVAL]);
    assert_eq!(code(refused(|_| answer(403, "text/xml", "<Response/>")).await), [codes::RETRIEVAL]);
    assert_eq!(code(refused(|_| answer(200, "application/json", "{}")).await), [codes::CONTENT_TYPE]);
    assert_eq!(code(refused(|_| Response::new(Full::from("<Response/>"))).await), [codes::CONTENT_TYPE]);
    let large = format!("<Response><!--{}--></Response>", "x".repeat(64 * 1024));
    assert_eq!(code(refused(move |_| answer(200, "text/xml", &large)).await), [codes::TOO_LARGE]);
    assert_eq!(code(refused(|_| answer(200, "text/xml", " <?xml version=\"1.0\"?>")).await), [codes::PARSE_FAILURE]);
    let binary = |_: &Seen| {
        let response = Response::builder().header(header::CONTENT_TYPE, "text/xml");
        response.body(Full::from(Bytes::from_static(&[0xff, 0xfe]))).unwrap()
    };
    assert_eq!(code(refused(binary).await), [codes::PARSE_FAILURE]);
    assert_eq!(code(refused(|_| redirect("/incoming-call")).await), [codes::TOO_MANY_REDIRECTS]);
    assert_eq!(code(refused(|_| redirect("https://other.example.test/")).await), [codes::NO_SUCH_HOST]);
    assert_eq!(code(refused(|_| redirect("https://a b/")).await), [codes::MALFORMED_URL]);
    assert_eq!(code(refused(|_| twiml("<Redirect>/incoming-call</Redirect>")).await), [codes::LAB]);
}

fn redirect(to: &str) -> Answer {
    Response::builder().status(302).header(header::LOCATION, to).body(Full::default()).unwrap()
}

/// A server that answers every connection with these bytes, or never.
async fn raw(reply: Option<&'static str>) -> Settings {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                if let Some(reply) = reply {
                    return stream.write_all(reply.as_bytes()).await;
                }
                std::future::pending().await
            });
        }
    });
    Settings::new(address, &Url::parse(PUBLIC_URL).unwrap())
}

async fn call(settings: Settings, options: CallOptions) -> CallReport {
    Twilio::new(settings, Clock, Entropy::from_seed(7)).call(caller(""), options).await
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_speak_http_properly_is_refused() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\n";
    let chunked: &'static str = format!("{head}transfer-encoding: chunked\r\n\r\n0\r\n\r\n").leak();
    for (reply, code) in [
        (chunked, codes::EMPTY_CHUNKED),
        ("HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: 100\r\n\r\n<Resp", codes::CONNECTION),
        ("good morning\r\n\r\n", codes::HTTP_VIOLATION),
        ("", codes::CONNECTION),
    ] {
        let report = call(raw(Some(reply)).await, CallOptions::default()).await;
        assert_eq!(report.code_numbers(), [code], "{reply:?}: {:?}", report.codes);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_fifteen_seconds_for_an_answer() {
    let report = call(raw(None).await, CallOptions::default()).await;
    assert_eq!((report.code_numbers(), report.end), (vec![codes::RETRIEVAL], CallEnd::ApplicationError));
    let at = report.codes[0].at;
    assert!((Duration::from_secs(15)..Duration::from_secs(16)).contains(&at), "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_its_own_code() {
    // Bound but not listening, so that nobody else gets the port meanwhile.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let settings = Settings::new(socket.local_addr().unwrap(), &Url::parse(PUBLIC_URL).unwrap());
    assert_eq!(call(settings, CallOptions::default()).await.code_numbers(), [codes::CONNECTION]);
}

#[tokio::test(start_paused = true)]
async fn the_fallback_url_takes_over_and_is_told_why() {
    let edge = Edge::answering(|seen| match seen.target.as_str() {
        "/incoming-call" => answer(503, "text/xml", ""),
        _ => twiml("<Say>please call again</Say>"),
    });
    let fallback_url = Some(Url::parse("https://voice.example.test/failover").unwrap());
    let report = call(Settings { fallback_url, ..edge.settings() }, CallOptions::default()).await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::DocumentEnded, vec![codes::RETRIEVAL]));
    assert_eq!(report.heard[0].text, "please call again");
    let [_, fallback] = &edge.seen()[..] else { panic!("two requests") };
    assert_eq!(fallback.target, "/failover");
    assert_eq!(fallback.parameter("ErrorCode"), Some("11200"));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_fails_too_ends_the_call() {
    let edge = Edge::answering(|_| answer(500, "text/xml", ""));
    let fallback_url = Some(Url::parse("https://voice.example.test/failover").unwrap());
    let report = call(Settings { fallback_url, ..edge.settings() }, CallOptions::default()).await;
    assert_eq!(report.end, CallEnd::ApplicationError);
    assert_eq!(report.code_numbers(), [codes::RETRIEVAL, codes::RETRIEVAL]);
}

#[tokio::test(start_paused = true)]
async fn plain_text_is_obeyed_if_it_is_twiml_and_read_aloud_if_not() {
    let report = Edge::answering(|_| answer(200, "text/plain", "<Response><Reject/></Response>")).call("").await;
    assert_eq!(report.end, CallEnd::Rejected);
    assert!(
        !report.timeline.iter().any(|event| event.what == Happening::Answered),
        "a rejected call is never answered"
    );
    let report = Edge::answering(|_| answer(200, "text/plain", "we are closed")).call("").await;
    assert_eq!((report.end, report.heard[0].text.as_str()), (CallEnd::DocumentEnded, "we are closed"));
}

/// A call to a number whose Voice URL has this after its host.
async fn call_to(edge: &Edge, url: &str) -> CallReport {
    let voice_url = Url::parse(url).unwrap();
    call(Settings { voice_url, ..edge.settings() }, CallOptions::default()).await
}

#[tokio::test(start_paused = true)]
async fn overrides_decide_how_long_and_how_often_a_document_is_asked_for_and_are_not_signed() {
    for (overrides, requests) in [("", 1), ("#rp=5xx", 2), ("#rc=3&rp=ct,5xx", 4), ("#rc=0&rp=all", 1), ("#rp=4xx", 1)]
    {
        let edge = Edge::answering(|_| answer(503, "text/xml", ""));
        let report = call_to(&edge, &format!("{PUBLIC_URL}/incoming-call{overrides}")).await;
        assert_eq!((edge.seen().len(), report.code_numbers()), (requests, vec![codes::RETRIEVAL]), "{overrides}");
        for seen in edge.seen() {
            let signed = signature(TOKEN, &format!("{PUBLIC_URL}/incoming-call"), &seen.form);
            assert_eq!((seen.target.as_str(), seen.header("x-twilio-signature")), ("/incoming-call", Some(&*signed)));
        }
    }
    for (overrides, seconds) in [("#rt=2000", 2), ("#tt=4000", 4), ("#rt=2000&rc=2&rp=rt", 6), ("#rt=9000&rp=rt", 15)] {
        let settings = raw(None).await;
        let voice_url = Url::parse(&format!("{PUBLIC_URL}/incoming-call{overrides}")).unwrap();
        let report = call(Settings { voice_url, ..settings }, CallOptions::default()).await;
        assert_eq!(report.code_numbers(), [codes::RETRIEVAL]);
        assert_eq!(report.codes[0].at.as_secs(), seconds, "{overrides}");
    }
}

#[tokio::test(start_paused = true)]
async fn overrides_out_of_range_are_refused_before_anything_is_asked() {
    for (overrides, code) in [
        ("#ct=1", codes::BAD_OVERRIDE),
        ("#e=atlantis", codes::UNKNOWN_EDGE),
        ("#e=tokyo-ix", codes::NO_INTERCONNECT),
        ("#rp=sometimes", codes::BAD_RETRY_POLICY),
    ] {
        let edge = Edge::answering(|_| twiml(HANG_UP));
        let report = call_to(&edge, &format!("{PUBLIC_URL}/incoming-call{overrides}")).await;
        assert_eq!((report.code_numbers(), edge.seen().len()), (vec![code], 0), "{overrides}");
    }
}

#[tokio::test(start_paused = true)]
async fn name_and_password_are_given_only_when_asked_for_and_then_for_the_whole_call() {
    let edge = Edge::answering(|seen| match (seen.header("authorization"), seen.target.as_str()) {
        (None, _) => {
            let mut response = answer(401, "text/plain", "");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, "Basic realm=\"edge\"".parse().unwrap());
            response
        }
        (Some(_), "/incoming-call") => twiml("<Redirect>/next</Redirect>"),
        (Some(_), _) => twiml(HANG_UP),
    });
    let report = call_to(&edge, "https://twilio:secret@voice.example.test/incoming-call").await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::HungUpByDocument, vec![]));
    let basic = Some("Basic dHdpbGlvOnNlY3JldA==");
    let seen: Vec<_> = edge.seen();
    let asked: Vec<_> = seen.iter().map(|seen| (seen.target.as_str(), seen.header("authorization"))).collect();
    assert_eq!(asked, [("/incoming-call", None), ("/incoming-call", basic), ("/next", basic)]);
    let signed = signature(TOKEN, &format!("{PUBLIC_URL}/incoming-call"), &seen[1].form);
    assert_eq!(seen[1].header("x-twilio-signature"), Some(signed.as_str()));
    assert!(!format!("{report:?}").contains("secret"));
}

#[tokio::test(start_paused = true)]
async fn a_challenge_without_a_realm_and_credentials_that_are_refused_end_in_11200() {
    for (challenge, requests) in [("Basic", 1), ("Basic realm=\"edge\"", 2)] {
        let edge = Edge::answering(move |_| {
            let mut response = answer(401, "text/plain", "");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.parse().unwrap());
            response
        });
        let report = call_to(&edge, "https://twilio:wrong@voice.example.test/incoming-call").await;
        assert_eq!((report.code_numbers(), edge.seen().len()), (vec![codes::RETRIEVAL], requests), "{challenge}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_may_be_replayed_and_what_it_is_answered_controls_nothing() {
    let edge = Edge::answering(|_| twiml(HANG_UP));
    let report = edge.call_with("", CallOptions { replay_webhooks: true, ..CallOptions::default() }).await;
    assert_eq!((report.end, report.documents.len()), (CallEnd::HungUpByDocument, 1));
    let [first, again] = &edge.seen()[..] else { panic!("two requests") };
    assert_eq!((&first.headers, &first.form), (&again.headers, &again.form));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_comes_is_waited_for_twice_and_as_long_as_overrides_say() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    // Nobody accepts, and what may wait to be accepted is there already.
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let crowd: Vec<_> = (0..4).map(|_| tokio::spawn(TcpStream::connect(address))).collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    for (overrides, seconds) in [("", 10), ("#ct=2000", 4), ("#ct=2000&rc=0", 2), ("#ct=2000&rp=rt", 2)] {
        let voice_url = Url::parse(&format!("{PUBLIC_URL}/incoming-call{overrides}")).unwrap();
        let settings = Settings { voice_url, ..Settings::new(address, &Url::parse(PUBLIC_URL).unwrap()) };
        let report = call(settings, CallOptions::default()).await;
        assert_eq!(
            (report.code_numbers(), report.codes[0].at.as_secs()),
            (vec![codes::CONNECTION], seconds),
            "{overrides}"
        );
    }
    crowd.iter().for_each(tokio::task::JoinHandle::abort);
}
