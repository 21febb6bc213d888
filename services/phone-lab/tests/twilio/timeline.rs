//! What a call's timeline says of documents and callbacks.

use offhook_hosting::{clock::Clock, entropy::Entropy};
use phone_lab::twilio::{CallOptions, CallReport, Happening, Settings, Twilio, url::Url};

use crate::edge::{Edge, answer, caller, twiml};

const DOCUMENT: &str =
    "<Say>hello</Say><Gather action=\"/keys\"><Say>press</Say><Pause length=\"1\"/></Gather><Hangup/>";

/// A call whose end is told to somebody who answers with this status.
async fn call(status: u16) -> CallReport {
    let edge = Edge::answering(move |seen| match seen.target.as_str() {
        "/incoming-call" => twiml(DOCUMENT),
        "/told" => answer(status, "text/plain", ""),
        _ => answer(200, "text/plain", ""),
    });
    let status_callback = Some(Url::parse("https://voice.example.test/told").unwrap());
    let twilio = Twilio::new(Settings { status_callback, ..edge.settings() }, Clock, Entropy::from_seed(7));
    twilio.call(caller("wait: 400ms, press: '1#'"), CallOptions::default()).await
}

#[tokio::test(start_paused = true)]
async fn documents_are_on_it_with_their_verbs() {
    let call = call(200).await;
    let documents = call
        .timeline
        .iter()
        .filter_map(|event| if let Happening::Document { verbs } = &event.what { Some(verbs.join(" ")) } else { None });
    assert_eq!(documents.collect::<Vec<_>>(), ["Say Gather(Say, Pause) Hangup", ""], "the second is no TwiML");
}

#[tokio::test(start_paused = true)]
async fn callbacks_are_on_it_when_they_were_sent_and_so_is_what_went_wrong_with_them() {
    for (status, codes) in [(200, vec![]), (500, vec![15003])] {
        let call = call(status).await;
        let told: Vec<_> =
            call.timeline.iter().filter(|event| matches!(event.what, Happening::CalledBack { .. })).collect();
        assert_eq!(told.len(), 1, "{call:?}");
        let Happening::CalledBack { path, told: what, .. } = &told[0].what else { unreachable!("as filtered") };
        assert_eq!((path.as_str(), what.as_str()), ("/told", "completed"));
        let ended = call.timeline.iter().find(|event| matches!(event.what, Happening::Ended { .. })).unwrap();
        assert!(told[0].at >= ended.at - std::time::Duration::from_millis(1), "it is told when the call is over");
        assert!(call.timeline.is_sorted_by_key(|event| event.at));
        assert_eq!(call.code_numbers(), codes);
    }
}
