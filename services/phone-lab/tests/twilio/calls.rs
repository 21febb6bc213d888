//! Whole calls: a caller and a server that talk, and what is left of it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use phone_lab::{
    tones,
    twilio::{CallEnd, CallOptions, Happening, Human, codes},
};
use tokio::sync::mpsc;

use crate::edge::{Edge, Line, caller, twiml};

/// Greets, hears the caller out, answers and closes.
async fn receptionist(mut line: Line, heard: Arc<Mutex<String>>) {
    line.next("start").await;
    line.say("how may i help").await;
    *heard.lock().unwrap() = line.hear().await;
    line.say("it is cancelled").await;
    line.mark("end").await;
    line.next("mark").await;
    line.close().await;
}

fn reception() -> (Edge, Arc<Mutex<String>>) {
    let heard: Arc<Mutex<String>> = Arc::default();
    let to = Arc::clone(&heard);
    (Edge::talking(move |line| receptionist(line, to.clone())), heard)
}

#[tokio::test(start_paused = true)]
async fn both_sides_hear_what_the_other_said_and_the_report_tells_when() {
    let (edge, heard) = reception();
    let report = edge.call("listen, { say: cancel my booking }, listen").await;
    assert_eq!(*heard.lock().unwrap(), "cancel my booking");
    let texts: Vec<_> = report.heard.iter().map(|utterance| utterance.text.as_str()).collect();
    assert_eq!(texts, ["how may i help", "it is cancelled"]);
    assert_eq!((report.end, report.code_numbers()), (CallEnd::HungUpByDocument, vec![codes::STREAM_CLOSED]));
    let [said] = &report.said[..] else { panic!("one utterance") };
    let greeting = &report.heard[0];
    let pause = said.at - (greeting.at + greeting.lasted);
    assert!((Duration::from_millis(500)..Duration::from_millis(560)).contains(&pause), "{pause:?}");
    assert_eq!(said.lasted, Duration::from_millis(17 * 20));
    assert_eq!(said.pcm, tones::speak("cancel my booking"));
    assert_eq!(report.said_pcm.len(), report.heard_pcm.len());
    let from = (said.at.as_millis() * 8) as usize;
    assert_eq!(report.said_pcm[from..from + said.pcm.len()], said.pcm, "the track is in real time");
    assert_eq!(tones::text(&tones::Ear::new().listen(&report.heard_pcm)), "how may i help it is cancelled");
    let arrived: usize = report.arrivals.iter().map(|arrival| arrival.samples).sum();
    assert_eq!(arrived, ("how may i help".len() + "it is cancelled".len()) * 160);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_sees_the_timeline_while_it_happens() {
    let (edge, _) = reception();
    let (events, mut watched) = mpsc::channel(64);
    let report =
        edge.twilio().call_watched(caller("listen, { say: yes }, listen"), CallOptions::default(), events).await;
    let mut seen = Vec::new();
    while let Some(event) = watched.recv().await {
        seen.push(event);
    }
    assert_eq!(seen, report.timeline);
    assert!(seen.windows(2).all(|pair| pair[0].at <= pair[1].at));
    let answered = seen.iter().position(|event| event.what == Happening::Answered).unwrap();
    let speaks = seen.iter().position(|event| event.what == Happening::CallerSpeaks { text: "yes".into() }).unwrap();
    assert!(answered < speaks);
    assert_eq!(seen.last().unwrap().what, Happening::Ended { end: CallEnd::HungUpByDocument });
}

#[tokio::test(start_paused = true)]
async fn a_report_is_json_without_the_sound() {
    let (edge, _) = reception();
    let report = edge.call("listen, { say: yes }, listen").await;
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["heard"][0]["text"], "how may i help");
    assert_eq!(json["end"], "hung_up_by_document");
    assert!(json["heard"][0]["at"].is_f64());
    assert!(json.get("heard_pcm").is_none() && json["heard"][0].get("pcm").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_call_need_not_keep_its_sound_to_know_its_words() {
    let (edge, _) = reception();
    let options = CallOptions { keep_audio: false, ..CallOptions::default() };
    let report = edge.call_with("listen, { say: yes }, listen", options).await;
    assert!(report.heard_pcm.is_empty() && report.said_pcm.is_empty());
    assert_eq!(report.heard[1].text, "it is cancelled");
    assert!(report.heard[1].pcm.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_interrupts_hears_what_was_cut_off_and_then_the_answer() {
    let edge = Edge::talking(|mut line: Line| async move {
        line.next("start").await;
        line.say("let me tell you everything that there is to know about it").await;
        let heard = line.hear().await;
        line.clear().await;
        line.say(&format!("you said {heard}")).await;
        line.mark("end").await;
        line.next("mark").await;
        line.close().await;
    });
    let report = edge.call("{ interrupt: { after: 300ms, say: stop } }, listen").await;
    let [cut, reply] = &report.heard[..] else { panic!("{:?}", report.heard) };
    assert!("let me tell you everything that there".starts_with(&cut.text), "{cut:?}");
    assert_eq!(reply.text, "you said stop");
    assert!(report.clears[0].dropped_samples > 1600, "{:?}", report.clears);
    let into = report.said[0].at - cut.at;
    assert!((Duration::from_millis(280)..=Duration::from_millis(320)).contains(&into), "{into:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_are_sent_one_by_one_and_a_recording_sounds_like_speech() {
    let digits = Arc::new(Mutex::new(String::new()));
    let to = Arc::clone(&digits);
    let edge = Edge::talking(move |mut line: Line| {
        let to = to.clone();
        async move {
            for _ in 0..3 {
                let dtmf = line.next("dtmf").await.unwrap();
                to.lock().unwrap().push_str(dtmf["dtmf"]["digit"].as_str().unwrap());
            }
            line.drain().await;
        }
    });
    let report = edge.call("{ press: '12#' }, { play: yes_please.wav }, hang_up").await;
    assert_eq!(*digits.lock().unwrap(), "12#");
    assert_eq!(report.said[0].text, "yes_please.wav");
    assert!(report.said_pcm.iter().any(|sample| sample.abs() > 8000));
    assert_eq!(report.end, CallEnd::CallerHungUp);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_waits_in_vain_gives_up() {
    let edge = Edge::talking(|mut line: Line| async move { line.drain().await });
    let report = edge.call("listen").await;
    assert_eq!(report.end, CallEnd::PatienceEnded);
    assert!(report.heard.is_empty());
}

#[tokio::test(start_paused = true)]
async fn twilio_itself_can_be_heard() {
    let edge = Edge::answering(|_| twiml("<Pause length=\"2\"/><Say>one moment</Say><Say>please</Say>"));
    let report = edge.call("").await;
    assert_eq!(report.spoken_by_twilio, ["one moment", "please"]);
    let texts: Vec<_> = report.heard.iter().map(|utterance| utterance.text.as_str()).collect();
    assert_eq!(texts, ["one moment", "please"]);
    assert!(report.heard[0].at >= Duration::from_secs(2));
    assert_eq!(report.end, CallEnd::DocumentEnded);
}

/// What a call that dials this human leaves, and the parameters that `action` was asked with.
async fn transfer(human: Human) -> (phone_lab::twilio::CallReport, crate::edge::Seen) {
    let edge = Edge::answering(|seen| match seen.target.as_str() {
        "/incoming-call" => {
            twiml("<Dial action=\"/transfer-result\" timeout=\"5\"><Sip>sip:desk@pbx.example.test</Sip></Dial>")
        }
        _ => twiml("<Hangup/>"),
    });
    let report = edge.call_with("", CallOptions { human, ..CallOptions::default() }).await;
    let action = edge.seen().pop().unwrap();
    assert_eq!(action.target, "/transfer-result");
    assert_eq!(report.dialled, ["sip:desk@pbx.example.test"]);
    (report, action)
}

#[tokio::test(start_paused = true)]
async fn a_dialled_human_answers_and_the_action_is_told() {
    let (report, action) = transfer(Human::default()).await;
    assert_eq!(report.heard[0].text, "human here");
    for (name, value) in [("DialCallStatus", "completed"), ("DialBridged", "true"), ("DialSipResponseCode", "200")] {
        assert_eq!(action.parameter(name), Some(value), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_human_who_is_busy_or_away_is_told_to_the_action() {
    let (report, action) = transfer(Human::Busy).await;
    assert_eq!((report.heard.len(), action.parameter("DialCallStatus")), (0, Some("busy")));
    let (report, action) = transfer(Human::NoAnswer).await;
    assert_eq!(action.parameter("DialCallStatus"), Some("no-answer"));
    let asked = report.timeline.iter().rfind(|event| matches!(event.what, Happening::Requested { .. })).unwrap();
    assert!((Duration::from_secs(5)..Duration::from_secs(6)).contains(&asked.at), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn one_document_may_hold_one_stream_after_the_other() {
    let edge = Edge::start(
        |_| twiml("<Connect><Stream url=\"/media/1\"/></Connect><Connect><Stream url=\"/media/2\"/></Connect>"),
        |mut line: Line| async move {
            line.next("media").await;
            line.close().await;
        },
    );
    let report = edge.call("").await;
    assert_eq!((report.end, report.stream_sids.len()), (CallEnd::DocumentEnded, 2));
    assert_ne!(report.stream_sids[0], report.stream_sids[1]);
}

#[tokio::test(start_paused = true)]
async fn calls_run_beside_each_other_under_their_own_names() {
    let (edge, _) = reception();
    let twilio = edge.twilio();
    let call = || twilio.call(caller("listen, { say: yes }, listen"), CallOptions::default());
    let (one, other) = tokio::join!(call(), call());
    assert_ne!(one.call_sid, other.call_sid);
    assert!([&one, &other].iter().all(|report| report.heard.len() == 2));
}

/// What a caller who follows these steps at this `<Gather>` makes the edge ask for, and what Twilio says then.
async fn gathered(gather: &'static str, steps: &str) -> (Vec<String>, Vec<String>) {
    let edge = Edge::answering(move |seen| match seen.parameter("Digits") {
        None => twiml(&format!("{gather}<Say>nobody there</Say>")),
        Some(digits) => twiml(&format!("<Say>you pressed {digits}</Say>")),
    });
    let report = edge.call(steps).await;
    assert_eq!((report.end, report.code_numbers()), (CallEnd::DocumentEnded, vec![]));
    (edge.seen().into_iter().map(|seen| seen.target).collect(), report.spoken_by_twilio)
}

#[tokio::test(start_paused = true)]
async fn keys_are_gathered_until_there_are_enough_or_one_ends_them_or_none_comes() {
    let prompt = "<Gather action=\"/keys\" numDigits=\"3\" timeout=\"2\"><Say>enter your number</Say></Gather>";
    for (gather, keys, said) in [
        (prompt, "{ wait: 200ms }, { press: '1234' }", "you pressed 123"),
        (prompt, "{ wait: 1s }, { press: '12#3' }", "you pressed 12"),
        (prompt, "{ press: '7' }", "you pressed 7"),
        ("<Gather action=\"/keys\" finishOnKey=\"\" timeout=\"1\"/>", "{ press: '1#' }", "you pressed 1#"),
    ] {
        let (asked, spoken) = gathered(gather, keys).await;
        assert_eq!(asked, ["/incoming-call", "/keys"], "{keys}");
        assert_eq!(spoken.last().unwrap(), said, "{keys}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_keys_the_next_verb_runs_unless_the_action_wants_to_know() {
    let (asked, spoken) = gathered("<Gather timeout=\"2\"><Pause/><Say>well</Say></Gather>", "").await;
    assert_eq!((asked.len(), spoken), (1, vec!["well".to_owned(), "nobody there".to_owned()]));
    let (asked, _) = gathered("<Gather timeout=\"2\" action=\"/keys\" actionOnEmptyResult=\"true\"/>", "").await;
    assert_eq!(asked, ["/incoming-call", "/keys"]);
    let (asked, _) = gathered("<Gather numDigits=\"1\"/>", "{ press: '5' }").await;
    assert_eq!(asked, ["/incoming-call", "/incoming-call"], "without an action it is the document's own URL");
}

#[tokio::test(start_paused = true)]
async fn a_key_cuts_the_prompt_off() {
    let edge = Edge::answering(|seen| match seen.parameter("Digits") {
        None => twiml("<Gather numDigits=\"1\"><Say>for the weather press one, for the news press two</Say></Gather>"),
        Some(_) => twiml("<Hangup/>"),
    });
    let report = edge.call("{ wait: 300ms }, { press: '1' }").await;
    assert!("for the weather press".starts_with(&report.heard[0].text), "{:?}", report.heard);
}
