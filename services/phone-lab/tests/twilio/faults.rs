//! What goes wrong on a media socket because a test asks for it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use offhook_hosting::{clock::Clock, entropy::Entropy};
use phone_lab::{
    tones,
    twilio::{
        CallEnd, CallOptions, MediaTiming, SecondSocket, SecondSocketEnd, Settings, SignedUrl, Signing, Sound, Twilio,
        codes, url::Url,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};
use tokio_tungstenite::tungstenite::Message;

use crate::edge::{Edge, Line, PUBLIC_URL, TOKEN, caller, connect, pcm, signature, twiml};

#[tokio::test(start_paused = true)]
async fn a_second_socket_for_the_same_url_is_reported_and_an_error_unless_refused() {
    let options = || CallOptions { second_socket: Some(SecondSocket::SameUrl), ..CallOptions::default() };
    let welcoming = Edge::talking(|mut line: Line| async move { line.drain().await });
    let report = welcoming.call_with("{ wait: 1s }, hang_up", options()).await;
    assert_eq!((&report.second_socket, report.end), (&Some(SecondSocketEnd::Served), CallEnd::CallerHungUp));
    assert_eq!(report.codes.iter().map(|code| code.code).collect::<Vec<_>>(), [codes::LAB]);
    let upgrades: Vec<_> = welcoming.seen().into_iter().filter(|seen| seen.target == "/media/7").collect();
    let [first, second] = &upgrades[..] else { panic!("two upgrades") };
    assert_eq!(first.header("x-twilio-signature"), second.header("x-twilio-signature"));
    let strict = Edge::strict(|mut line: Line| async move { line.drain().await });
    let report = strict.call_with("{ wait: 1s }, hang_up", options()).await;
    let Some(SecondSocketEnd::Refused(why)) = &report.second_socket else { panic!("{:?}", report.second_socket) };
    assert!(why.contains("403"), "{why}");
    assert_eq!((report.end, report.code_numbers()), (CallEnd::CallerHungUp, vec![]));
}

#[tokio::test(start_paused = true)]
async fn two_sockets_may_claim_the_same_call_under_urls_of_their_own() {
    let starts: Arc<Mutex<Vec<_>>> = Arc::default();
    let to = starts.clone();
    let edge = Edge::talking(move |mut line: Line| {
        let to = to.clone();
        async move {
            let start = line.next("start").await.unwrap();
            let second = !to.lock().unwrap().is_empty();
            to.lock().unwrap().push((start["start"]["callSid"].clone(), start["streamSid"].clone()));
            if second { line.close().await } else { line.drain().await }
        }
    });
    let options = CallOptions { second_socket: Some(SecondSocket::NewUrl), ..CallOptions::default() };
    let report = edge.call_with("{ wait: 1s }, hang_up", options).await;
    assert_eq!((&report.second_socket, report.code_numbers()), (&Some(SecondSocketEnd::Closed), vec![]));
    let starts = starts.lock().unwrap().clone();
    let [(call, stream), (second_call, second_stream)] = &starts[..] else { panic!("{starts:?}") };
    assert_eq!((call, call), (second_call, &report.call_sid.into()));
    assert_ne!(stream, second_stream);
    assert_eq!(edge.seen().iter().filter(|seen| seen.target == "/incoming-call").count(), 2);
}

/// When each media message arrived, in ms since `start`, and what was said in them.
async fn arrivals(options: CallOptions) -> (Vec<u64>, String) {
    let got: Arc<Mutex<(Vec<u64>, String)>> = Arc::default();
    let to = got.clone();
    let edge = Edge::talking(move |mut line: Line| {
        let to = to.clone();
        async move {
            line.next("start").await;
            let (began, mut ear) = (Clock.now(), tones::Ear::new());
            let mut heard = Vec::new();
            while let Some(media) = line.next("media").await {
                to.lock().unwrap().0.push(Clock.now().duration_since(began).as_millis() as u64);
                heard.extend(ear.listen(&pcm(&media)));
            }
            to.lock().unwrap().1 = tones::text(&heard);
        }
    });
    edge.call_with("{ say: all of this arrives }, { wait: 2s }, hang_up", options).await;
    // The server still reads what was sent.
    tokio::time::sleep(Duration::from_secs(1)).await;
    got.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn jittered_media_is_late_but_whole_and_the_same_seed_repeats_it() {
    let jittered =
        || CallOptions { media_timing: MediaTiming::Jittered(Duration::from_millis(60)), ..CallOptions::default() };
    let (times, heard) = arrivals(jittered()).await;
    assert_eq!(heard, "all of this arrives");
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().any(|gap| *gap > 30) && gaps.iter().any(|gap| *gap < 10), "{gaps:?}");
    assert_eq!(arrivals(jittered()).await.0, times);
    let (steady, _) = arrivals(CallOptions::default()).await;
    assert!(steady.windows(2).all(|pair| (15..=25).contains(&(pair[1] - pair[0]))), "{steady:?}");
    assert!(steady.len().abs_diff(times.len()) <= 3, "nothing is lost");
}

#[tokio::test(start_paused = true)]
async fn bunched_media_comes_several_at_once_and_whole() {
    let options = CallOptions { media_timing: MediaTiming::Bunched(10), ..CallOptions::default() };
    let (times, heard) = arrivals(options).await;
    assert_eq!(heard, "all of this arrives");
    let together = times.chunk_by(|one, other| one == other).map(<[_]>::len).max().unwrap();
    assert!((4..=20).contains(&together), "{together}");
}

#[tokio::test(start_paused = true)]
async fn ten_seconds_of_early_media_arrive_in_one_burst_right_after_start() {
    let words = "so many words before anybody listens ".repeat(14);
    let options = CallOptions { early_media: Some(Sound::words(&words)), ..CallOptions::default() };
    let (times, heard) = arrivals(options).await;
    assert!(words.len() > 500 && heard.starts_with(words.trim_end()), "{heard}");
    assert!(heard.ends_with("all of this arrives"));
    let at_once = times.iter().filter(|at| **at < 20).count();
    assert!(at_once >= words.len(), "{at_once} messages within 20 ms");
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_unless_the_stream_is_deaf_to_them() {
    for deaf_to_pings in [false, true] {
        let pongs: Arc<Mutex<usize>> = Arc::default();
        let to = pongs.clone();
        let edge = Edge::talking(move |mut line: Line| {
            let to = to.clone();
            async move {
                line.next("start").await;
                line.socket.send(Message::Ping("are you there".into())).await.unwrap();
                line.say("yes").await;
                while let Some(Ok(message)) = line.socket.next().await {
                    *to.lock().unwrap() += usize::from(message == Message::Pong("are you there".into()));
                }
            }
        });
        let options = CallOptions { deaf_to_pings, ..CallOptions::default() };
        let report = edge.call_with("listen, hang_up", options).await;
        assert_eq!((report.heard[0].text.as_str(), report.code_numbers()), ("yes", vec![]));
        tokio::task::yield_now().await;
        assert_eq!(*pongs.lock().unwrap(), usize::from(!deaf_to_pings), "deaf: {deaf_to_pings}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_protocol_may_leave_the_socket_standing_for_half_a_minute_while_the_call_goes_on() {
    let died: Arc<Mutex<Option<(Instant, Instant)>>> = Arc::default();
    let to = died.clone();
    let edge = Edge::talking(move |mut line: Line| {
        let to = to.clone();
        async move {
            line.next("start").await;
            let broken: Instant = Clock.now().into();
            // A frame of reserved opcode 3.
            line.socket.get_mut().write_all(&[0x83, 0x00]).await.unwrap();
            line.drain().await;
            *to.lock().unwrap() = Some((broken, Clock.now().into()));
        }
    });
    let report = edge.call_with("", CallOptions { slow_death: true, ..CallOptions::default() }).await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::HungUpByDocument, vec![codes::STREAM_PROTOCOL]));
    let over = report.timeline.last().unwrap().at;
    assert!(over < Duration::from_secs(3), "the call does not wait for the socket: {over:?}");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (broken, gone) = died.lock().unwrap().unwrap();
    let stood = gone.duration_since(broken).as_secs();
    assert!((29..=46).contains(&stood), "{stood}");
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_may_be_signed_with_a_slash_or_a_port_or_the_secondary_token() {
    for (stream_signed_url, stream_signing, url, token) in [
        (SignedUrl::TrailingSlash, Signing::Right, "wss://voice.example.test/media/7/", TOKEN),
        (SignedUrl::Port443, Signing::Right, "wss://voice.example.test:443/media/7", TOKEN),
        (
            SignedUrl::AsWritten,
            Signing::SecondaryToken,
            "wss://voice.example.test/media/7",
            "phone-lab-secondary-token",
        ),
    ] {
        let edge = Edge::talking(Line::close);
        let signing = stream_signing;
        let options = CallOptions { stream_signed_url, stream_signing, signing, ..CallOptions::default() };
        edge.call_with("", options).await;
        let seen = edge.seen();
        let upgrade = &seen[1];
        assert_eq!(upgrade.target, "/media/7", "what is asked for does not change");
        assert_eq!(upgrade.header("x-twilio-signature"), Some(&*signature(token, url, &[])));
        let webhook = signature(token, "https://voice.example.test/incoming-call", &seen[0].form);
        assert_eq!(seen[0].header("x-twilio-signature"), Some(&*webhook));
    }
}

#[tokio::test(start_paused = true)]
async fn a_subprotocol_or_an_extension_in_the_answer_is_no_proper_101() {
    for header in ["sec-websocket-protocol", "sec-websocket-extensions"] {
        let edge = Edge::answering_upgrades_with(
            |seen| if seen.target == "/incoming-call" { connect() } else { twiml("<Hangup/>") },
            (header, "permessage-deflate"),
        );
        let report = edge.call("").await;
        assert_eq!((report.end, report.code_numbers()), (CallEnd::HungUpByDocument, vec![codes::STREAM_HANDSHAKE]));
    }
}

/// A call to a server that answers one webhook with a stream and then does this to whoever connects.
async fn after_the_webhook(listens_on: bool) -> Vec<u32> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        let still_listening = listens_on.then_some(listener);
        let _ = first.read(&mut [0; 4096]).await;
        let body = "<Response><Connect><Stream url=\"/media/1\"/></Connect></Response>";
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n\r\n", body.len());
        first.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let _listener = still_listening;
        std::future::pending::<()>().await;
    });
    let settings = Settings::new(address, &Url::parse(PUBLIC_URL).unwrap());
    let twilio = Twilio::new(settings, Clock, Entropy::from_seed(7));
    let report = twilio.call(caller("{ wait: 60s }"), CallOptions::default()).await;
    assert_eq!(report.end, CallEnd::DocumentEnded);
    report.code_numbers()
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_answers_and_one_that_is_refused_have_their_codes() {
    assert_eq!(after_the_webhook(true).await, [codes::STREAM_TIMEOUT]);
    assert_eq!(after_the_webhook(false).await, [codes::STREAM_REFUSED]);
}
