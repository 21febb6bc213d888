use offhook_hosting::entropy::Entropy;

use super::*;
use crate::{
    bedrock::SessionReport,
    network::{LineReport, WayReport},
    twilio::{CallEvent, Clear, Happening},
};

/// A call in which every utterance lasts a second and begins at its place in the list.
fn call(said: &[(u64, &str)], heard: &[(u64, &str)], end: CallEnd) -> CallReport {
    let utterance = |&(at, text): &(u64, &str)| Utterance {
        text: text.to_owned(),
        at: Duration::from_secs(at),
        lasted: Duration::from_secs(1),
        pcm: Vec::new(),
    };
    let mut call = CallReport::of_nothing(end);
    call.said = said.iter().map(utterance).collect();
    call.heard = heard.iter().map(utterance).collect();
    call
}

fn session(heard: &[&str], said: &[(&str, Option<usize>)]) -> SessionReport {
    let mut session = SessionReport::of_nothing(&mut Entropy::from_seed(1));
    session.heard =
        heard.iter().map(|text| HeardUtterance { text: (*text).into(), at_sample: 0, pcm: Vec::new() }).collect();
    let said = said.iter().map(|&(text, interrupted_at_sample)| SaidUtterance {
        text: text.into(),
        pcm: Vec::new(),
        interrupted_at_sample,
    });
    session.said = said.collect();
    session.end = Some(SessionEnd::ByTheBook);
    session
}

fn is_good(call: &CallReport, session: SessionReport) -> bool {
    differences(call, &[session], &[]).is_empty()
}

#[test]
fn a_call_in_which_all_was_heard_is_good() {
    let call = call(&[(2, "cancel it")], &[(0, "hello."), (4, "done. bye.")], CallEnd::HungUpByDocument);
    assert!(is_good(&call, session(&["cancel it"], &[("Hello.", None), ("Done.", None), ("Bye.", None)])));
}

#[test]
fn what_either_side_did_not_hear_or_heard_wrong_is_found() {
    let heard_wrong = call(&[(2, "cancel it")], &[(0, "hello.")], CallEnd::HungUpByDocument);
    assert!(!is_good(&heard_wrong, session(&["cancel xt"], &[("Hello.", None)])));
    assert!(!is_good(&heard_wrong, session(&[], &[("Hello.", None)])));
    assert!(!is_good(&heard_wrong, session(&["cancel it", "ghost"], &[("Hello.", None)])));
    assert!(!is_good(&heard_wrong, session(&["cancel it"], &[("Hello.", None), ("Done.", None)])));
    assert!(!is_good(&heard_wrong, session(&["cancel it"], &[("Hello there.", None)])));
    assert!(!is_good(&heard_wrong, session(&["cancel it"], &[])));
}

#[test]
fn hanging_up_excuses_only_what_it_cut() {
    let mut left = call(&[(2, "cancel it")], &[(0, "hello."), (4, "do\u{fffd}")], CallEnd::CallerHungUp);
    left.timeline = vec![CallEvent { at: Duration::from_secs(5), what: Happening::HungUp }];
    let said = [("Hello.", None), ("Done.", None)];
    assert!(is_good(&left, session(&["cancel it"], &said)));
    assert!(!is_good(&left, session(&["cancel it"], &[("Hello my friend.", None), ("Done.", None)])));
    assert!(!is_good(&left, session(&["cancel xt"], &said)), "long before the end");
    left.timeline[0].at = Duration::from_secs(9);
    assert!(!is_good(&left, session(&["cancel it"], &said)), "the sentence broke off long before the hang-up");
}

#[test]
fn an_interruption_must_clear_the_line_where_the_sentence_breaks_off() {
    let mut cut = call(&[(1, "stop")], &[(0, "once up\u{fffd}"), (3, "yes?")], CallEnd::HungUpByDocument);
    let said = [("Once upon a time.", Some(9)), ("It was dark.", Some(0)), ("Yes?", None)];
    assert!(!is_good(&cut, session(&["stop"], &said)), "nothing was cleared");
    cut.clears = vec![Clear { at: Duration::from_secs(1), dropped_samples: 800 }];
    assert!(is_good(&cut, session(&["stop"], &said)));
    cut.clears[0].at = Duration::from_secs(3);
    assert!(!is_good(&cut, session(&["stop"], &said)), "it broke off long before the clear");
    let all = call(&[(1, "stop")], &[(0, "once upon a time. it was dark."), (3, "yes?")], CallEnd::HungUpByDocument);
    assert!(!is_good(&all, session(&["stop"], &said)), "the story was played to its end");
}

#[test]
fn a_clear_may_still_be_on_the_network_when_the_caller_hangs_up() {
    let mut left = call(&[(1, "stop")], &[(0, "hello."), (1, "once up\u{fffd}")], CallEnd::CallerHungUp);
    left.timeline = vec![CallEvent { at: Duration::from_secs(2), what: Happening::HungUp }];
    let said = [("Hello.", None), ("Once upon a time.", Some(9))];
    assert!(!is_good(&left, session(&["stop"], &said)), "without a network in between it has no time to be");
    let way = || WayReport { bytes: 0, held: Vec::new() };
    left.network = vec![LineReport {
        conditions: "delay=80ms".parse().unwrap(),
        seed: 1,
        lasted: Duration::from_secs(2),
        to: way(),
        from: way(),
        cut: None,
    }];
    assert!(is_good(&left, session(&["stop"], &said)));
    left.timeline[0].at = Duration::from_secs(9);
    assert!(!is_good(&left, session(&["stop"], &said)), "it had all the time it needs");
}

#[test]
fn a_caller_who_waits_in_vain_had_no_good_call() {
    let waited = call(&[], &[(0, "hello.")], CallEnd::PatienceEnded);
    assert!(!is_good(&waited, session(&[], &[("Hello.", None)])));
}

#[test]
fn what_twilio_or_a_human_says_is_nobody_elses_word() {
    let mut transferred = call(&[], &[(0, "hello."), (2, "one moment."), (4, "human here")], CallEnd::HungUpByDocument);
    transferred.spoken_by_twilio = vec!["One moment.".to_owned()];
    let session = session(&[], &[("Hello.", None)]);
    assert!(!differences(&transferred, std::slice::from_ref(&session), &[]).is_empty());
    assert_eq!(differences(&transferred, &[session], &["human here".to_owned()]), Vec::<String>::new());
}

#[test]
fn what_was_to_be_heard_is_looked_for_in_order() {
    let call = call(&[], &[(0, "one. two."), (2, "three.")], CallEnd::HungUpByDocument);
    let missed = |hears: &[&str]| missing(&call, &hears.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()).len();
    assert_eq!([missed(&["One.", "three."]), missed(&["three.", "One."]), missed(&["four."])], [0, 1, 1]);
}

#[test]
fn what_is_said_to_somebody_who_was_brought_in_is_not_for_the_agent() {
    let mut transferred = call(&[(1, "a person"), (6, "thank you")], &[(0, "hello.")], CallEnd::HungUpByDocument);
    let session = session(&["a person"], &[("Hello.", None)]);
    let found = |call: &CallReport| differences(call, std::slice::from_ref(&session), &[]).len();
    transferred.parties = vec![call(&[], &[(0, "thank you")], CallEnd::CallerHungUp)];
    assert_eq!(found(&transferred), 1, "nobody was connected");
    transferred.timeline = vec![CallEvent { at: Duration::from_secs(5), what: Happening::Connected }];
    assert_eq!(found(&transferred), 0);
    transferred.parties[0].heard.clear();
    assert_eq!(found(&transferred), 1, "nor did they hear it");
}

#[test]
fn a_session_that_a_fault_ended_may_break_off_but_not_skip() {
    let struck = |said: &[(&str, Option<usize>)]| SessionReport {
        end: Some(SessionEnd::Fault("stream reset".into())),
        ..session(&[], said)
    };
    let apology = |heard: &str| {
        let mut call = call(&[], &[(0, heard), (3, "sorry")], CallEnd::HungUpByDocument);
        call.spoken_by_twilio = vec!["Sorry".into()];
        call
    };
    let said = [("Hello.", None), ("How are you?", None), ("Well?", None)];
    assert!(is_good(&apology("hello."), struck(&said)), "what was queued may be lost with the session");
    assert!(is_good(&apology("hello. how a\u{fffd}"), struck(&said)));
    assert!(!is_good(&apology("hello. well?"), struck(&said)), "a sentence in between is missing");
    assert!(!is_good(&apology("hello. how a\u{fffd}"), session(&[], &said)), "no fault, no excuse");
}

#[test]
fn what_the_caller_says_between_a_fault_and_the_next_session_may_be_lost() {
    let call = call(&[(0, "one"), (2, "two"), (4, "three")], &[], CallEnd::HungUpByDocument);
    let end = |end| SessionReport { end: Some(end), ..session(&["one"], &[]) };
    let fault = || SessionEnd::Fault("stream reset".into());
    let next = |heard: &[&str]| session(heard, &[]);
    assert!(differences(&call, &[end(fault()), next(&["three"])], &[]).is_empty());
    assert!(differences(&call, &[end(fault())], &[]).is_empty());
    assert!(!differences(&call, &[end(fault()), next(&["three", "two"])], &[]).is_empty());
    assert!(!differences(&call, &[end(SessionEnd::ByTheBook), next(&["three"])], &[]).is_empty(), "no fault");
}

#[test]
fn a_key_cuts_what_twilio_says() {
    let mut keyed = call(&[], &[(0, "press one for a\u{fffd}"), (3, "hello.")], CallEnd::HungUpByDocument);
    keyed.spoken_by_twilio = vec!["Press one for a person.".to_owned()];
    assert!(!is_good(&keyed, session(&[], &[("Hello.", None)])), "no key was pressed");
    keyed.timeline = vec![CallEvent { at: Duration::from_secs(1), what: Happening::Pressed { digit: '1' } }];
    assert!(is_good(&keyed, session(&[], &[("Hello.", None)])));
    keyed.timeline[0].at = Duration::from_secs(2);
    assert!(!is_good(&keyed, session(&[], &[("Hello.", None)])), "it was pressed later");
}
