//! Compares a call with what its scenario expects of it. All of it is known on the caller's side alone.

use std::time::Duration;

use super::{bad_end, logged, missing, over_at, squeezed};
use crate::{
    scenario::{Ending, Expect},
    twilio::{CallReport, Happening, Stretch, codes},
};

/// Everything that is not as the scenario says, in words; empty if all is.
pub fn unmet(call: &CallReport, hears: &[String], expect: &Expect) -> Vec<String> {
    let mut unmet = missing(call, hears);
    unmet.extend(unwelcome(call, &expect.not_hears));
    unmet.extend(match expect.ends {
        Some(ending) => (Ending::of(call.end) != Some(ending))
            .then(|| format!("the call was to end as {ending:?}, it ended as {:?}", call.end)),
        None => bad_end(call),
    });
    match &expect.codes {
        Some(codes) => unmet.extend(other_codes(call, codes)),
        None => unmet.extend(logged(call)),
    }
    if let Some(dials) = expect.dials.as_ref().filter(|dials| !are_dialled(dials, &call.dialled)) {
        unmet.push(format!("{dials:?} was to be dialled, {:?} was", call.dialled));
    }
    let (answers, unanswered) = answers(call);
    let waited = answers.into_iter().chain(unanswered).max();
    unmet.extend(too_long("the answer was to begin within", expect.answers_within, waited));
    unmet.extend(too_long(
        "the line was to be silent for at most",
        expect.silent_at_most,
        Some(longest_silence(call).lasted),
    ));
    let unheard = longest_unheard(call).lasted;
    unmet.extend(too_long("the caller was to hear nothing for at most", expect.hears_nothing_at_most, Some(unheard)));
    unmet.extend(too_long("the call was to be over within", expect.within, Some(over_at(call))));
    unmet
}

/// An address without parameters and headers is expected with any.
fn are_dialled(expected: &[String], dialled: &[String]) -> bool {
    let is_meant = |(expected, dialled): (&String, &String)| {
        let plain = dialled.split(['?', ';']).next().unwrap_or_default();
        [dialled, plain].contains(&expected.as_str())
    };
    expected.len() == dialled.len() && expected.iter().zip(dialled).all(is_meant)
}

fn unwelcome(call: &CallReport, words: &[String]) -> Vec<String> {
    let heard: String = call.heard.iter().map(|utterance| squeezed(&utterance.text)).collect();
    let found = words.iter().filter(|words| heard.contains(&squeezed(words)));
    found.map(|words| format!("the caller heard {words:?}")).collect()
}

fn other_codes(call: &CallReport, expected: &[u32]) -> Option<String> {
    let ignored = |code: u32| code == codes::STREAM_CLOSED && !expected.contains(&code);
    let mut logged: Vec<_> = call.code_numbers().into_iter().filter(|&code| !ignored(code)).collect();
    let mut expected = expected.to_vec();
    logged.sort_unstable();
    expected.sort_unstable();
    (logged != expected).then(|| format!("twilio was to log {expected:?}, it would log {logged:?}"))
}

fn too_long(what: &str, limit: Option<Duration>, took: Option<Duration>) -> Option<String> {
    let (limit, took) = (limit?, took?);
    (took > limit).then(|| format!("{what} {limit:?}, it took {took:?}"))
}

/// From the end of the caller's words to the first sound of each answer.
pub fn answer_times(call: &CallReport) -> impl Iterator<Item = Duration> {
    answers(call).0.into_iter()
}

/// The same; and for the caller's last words, if nothing was heard after them, to the end of the call.
fn answers(call: &CallReport) -> (Vec<Duration>, Option<Duration>) {
    let mut order: Vec<_> = call.said.iter().map(|said| (said, true)).collect();
    order.extend(call.heard.iter().map(|heard| (heard, false)));
    order.sort_by_key(|(utterance, _)| utterance.at);
    // The end of the caller's words, and whether anything began to be heard since they began.
    let (mut ended, mut answered): (Option<Duration>, bool) = (None, false);
    let answers = order.into_iter().filter_map(|(utterance, said)| {
        if said {
            (ended, answered) = (Some(utterance.at + utterance.lasted), false);
            return None;
        }
        answered = true;
        let waited = utterance.at.checked_sub(ended?)?;
        ended = None;
        Some(waited)
    });
    let answers = answers.collect();
    (answers, ended.filter(|_| !answered).map(|ended| over_at(call).saturating_sub(ended)))
}

/// The longest stretch, from the answer to the end, in which neither side was to be heard.
pub fn longest_silence(call: &CallReport) -> Stretch {
    longest_without(call, to_caller(call).chain(call.said.iter().map(|said| (said.at, said.lasted))))
}

/// The longest stretch, from the answer to the end, in which the caller heard nothing: nobody, no `<Say>` or music, no
/// key, nor that somebody is being rung. What the caller said meanwhile does not count.
pub fn longest_unheard(call: &CallReport) -> Stretch {
    longest_without(call, to_caller(call))
}

/// Everything that was to be heard on the caller's side.
fn to_caller(call: &CallReport) -> impl Iterator<Item = (Duration, Duration)> {
    let heard = call.heard.iter().map(|heard| (heard.at, heard.lasted));
    let rung = call.ringing.iter().map(|ringing| (ringing.at, ringing.lasted));
    let keys = call.timeline.iter().filter(|event| matches!(event.what, Happening::KeyHeard { .. }));
    heard.chain(rung).chain(keys.map(|key| (key.at, Duration::ZERO)))
}

fn longest_without(call: &CallReport, sounds: impl Iterator<Item = (Duration, Duration)>) -> Stretch {
    let Some(answered) = call.timeline.iter().find(|event| event.what == Happening::Answered) else {
        return Stretch { at: Duration::ZERO, lasted: Duration::ZERO };
    };
    let mut sounds: Vec<_> = sounds.chain([(over_at(call), Duration::ZERO)]).collect();
    sounds.sort_unstable();
    let mut quiet_since = answered.at;
    let mut longest = Stretch { at: quiet_since, lasted: Duration::ZERO };
    for (at, lasted) in sounds {
        let quiet = at.saturating_sub(quiet_since);
        if quiet > longest.lasted {
            longest = Stretch { at: quiet_since, lasted: quiet };
        }
        quiet_since = quiet_since.max(at + lasted);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twilio::{CallEnd, CallEvent, DebuggerEntry, Utterance};

    const MS: Duration = Duration::from_millis(1);

    /// Answered at 1 s; said from 2 s to 3 s, heard from 5 s to 6 s, hung up by the server at 10 s.
    fn call() -> CallReport {
        let mut call = CallReport::of_nothing(CallEnd::HungUpByDocument);
        let utterance = |text: &str, at| Utterance { text: text.into(), at, lasted: 1000 * MS, pcm: Vec::new() };
        call.said = vec![utterance("are you there", 2000 * MS)];
        call.heard = vec![utterance("i am sorry", 5000 * MS)];
        let ended = Happening::Ended { end: call.end };
        call.timeline = vec![
            CallEvent { at: 1000 * MS, what: Happening::Answered },
            CallEvent { at: 10_000 * MS, what: ended },
            CallEvent { at: 11_000 * MS, what: Happening::HungUp },
        ];
        let entry = |code| DebuggerEntry { code, at: MS, detail: String::new(), stream_sid: None };
        call.codes = vec![entry(codes::STREAM_CLOSED), entry(codes::RETRIEVAL)];
        call.dialled = vec!["sip:desk@pbx.example.test".into()];
        call
    }

    fn unmet_by(expect: Expect) -> Vec<String> {
        unmet(&call(), &[], &Expect { codes: expect.codes.clone().or(Some(vec![codes::RETRIEVAL])), ..expect })
    }

    #[test]
    fn what_is_as_expected_is_not_mentioned() {
        let expect = Expect {
            not_hears: vec!["hello".into()],
            ends: Some(Ending::Server),
            codes: Some(vec![codes::RETRIEVAL, codes::STREAM_CLOSED]),
            dials: Some(vec!["sip:desk@pbx.example.test".into()]),
            answers_within: Some(2000 * MS),
            silent_at_most: Some(4000 * MS),
            hears_nothing_at_most: Some(4000 * MS),
            within: Some(10_000 * MS),
            continuity: None,
        };
        assert_eq!(unmet(&call(), &["I am".into()], &expect), Vec::<String>::new());
        assert_eq!(unmet_by(Expect::default()), Vec::<String>::new());
    }

    #[test]
    fn an_address_is_expected_with_any_headers_unless_some_are_named() {
        let dialled = ["sip:desk@pbx.example.test;transport=tls?X-Call=1".to_owned()];
        for (expected, met) in [("sip:desk@pbx.example.test", true), (&*dialled[0], true), ("sip:desk@pbx", false)] {
            assert_eq!(are_dialled(&[expected.to_owned()], &dialled), met, "{expected}");
        }
        assert!(!are_dialled(&["sip:desk@pbx.example.test;transport=udp".to_owned()], &dialled));
        assert!(!are_dialled(&[], &dialled));
    }

    #[test]
    fn each_expectation_that_is_not_met_is_named() {
        let wrong = [
            (Expect { not_hears: vec!["Sorry".into()], ..Expect::default() }, "the caller heard \"Sorry\""),
            (Expect { ends: Some(Ending::Caller), ..Expect::default() }, "it ended as HungUpByDocument"),
            (Expect { codes: Some(vec![]), ..Expect::default() }, "it would log [11200]"),
            (Expect { codes: Some(vec![11200, 11200]), ..Expect::default() }, "to log [11200, 11200]"),
            (Expect { dials: Some(vec![]), ..Expect::default() }, "[] was to be dialled"),
            (Expect { answers_within: Some(1999 * MS), ..Expect::default() }, "it took 2s"),
            (Expect { silent_at_most: Some(3999 * MS), ..Expect::default() }, "it took 4s"),
            (Expect { hears_nothing_at_most: Some(3999 * MS), ..Expect::default() }, "hear nothing for at most 3.999s"),
            (Expect { within: Some(9999 * MS), ..Expect::default() }, "it took 10s"),
        ];
        for (expect, reason) in wrong {
            let unmet = unmet_by(expect);
            assert!(unmet.len() == 1 && unmet[0].contains(reason), "{reason}: {unmet:?}");
        }
    }

    #[test]
    fn ringing_and_keys_are_something_to_hear_and_the_callers_own_words_are_nothing() {
        let stretch = |at, lasted| Stretch { at: at * MS, lasted: lasted * MS };
        assert_eq!(longest_unheard(&call()), stretch(1000, 4000), "the first of two");
        let mut rung = call();
        rung.ringing = vec![stretch(6500, 3000)];
        rung.timeline.push(CallEvent { at: 3000 * MS, what: Happening::KeyHeard { digit: '1' } });
        assert_eq!((longest_unheard(&rung), longest_silence(&rung)), (stretch(1000, 2000), stretch(3000, 2000)));
        rung.timeline.clear();
        assert_eq!(longest_unheard(&rung), stretch(0, 0), "a call that nobody answered");
    }

    #[test]
    fn words_that_nobody_answers_wait_until_the_end_of_the_call() {
        let mut ignored = call();
        ignored.heard.clear();
        let within =
            |limit| Expect { answers_within: Some(limit), codes: Some(vec![codes::RETRIEVAL]), ..Expect::default() };
        assert_eq!(unmet(&ignored, &[], &within(7000 * MS)), Vec::<String>::new());
        let unmet = unmet(&ignored, &[], &within(6999 * MS));
        assert!(unmet.len() == 1 && unmet[0].contains("it took 7s"), "{unmet:?}");
        let mut early = call();
        early.heard[0].at = 2500 * MS;
        assert_eq!(super::unmet(&early, &[], &within(MS)), Vec::<String>::new(), "it did not wait for the last word");
    }

    #[test]
    fn without_expectations_a_call_is_judged_as_usual() {
        let unmet = unmet(&call(), &["goodbye".into()], &Expect::default());
        assert_eq!(unmet.len(), 2, "{unmet:?}");
        assert!(unmet[0].contains("goodbye") && unmet[1].contains("11200"), "{unmet:?}");
    }

    #[test]
    fn a_bad_end_is_fine_where_it_is_expected() {
        let mut waited = call();
        waited.end = CallEnd::PatienceEnded;
        waited.codes.clear();
        assert_eq!(unmet(&waited, &[], &Expect::default()).len(), 1);
        assert!(unmet(&waited, &[], &Expect { ends: Some(Ending::OutOfPatience), ..Expect::default() }).is_empty());
    }
}
