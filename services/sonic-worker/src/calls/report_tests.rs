use offhook_hosting::entropy::Entropy;

use super::*;
use crate::calls::{CallSid, Direction, Entry, LegNo, Since};

fn placed() -> CallRecord {
    let call_sid = CallSid::try_from(format!("CA{}", "0".repeat(32))).unwrap();
    let hang_up = NextStep::HangUp { say: None };
    CallRecord::new(call_sid, "demo".into(), Direction::Outbound, Timestamp::UNIX_EPOCH, hang_up)
}

/// A record whose first leg ended so.
fn after_leg(outcome: Outcome, next_step: NextStep) -> CallRecord {
    let mut record = placed();
    let leg = record.begin_leg(placed());
    record.apply(Entry::Ended { leg, at: Timestamp::UNIX_EPOCH, outcome, next_step });
    record
}

fn transferred() -> CallRecord {
    after_leg(Outcome::Transferred, NextStep::Transfer { reason: None, say: None })
}

fn reported(record: &mut CallRecord, report: Report) {
    record.apply(Entry::Reported { at: Timestamp::UNIX_EPOCH, report });
}

fn status(status: &str, sequence_number: Option<u32>) -> Report {
    let status = CallStatus::from(status.to_owned());
    Report::Progress { status, sequence_number, duration_s: None, sip_response_code: None }
}

fn answered_by(who: &str) -> Report {
    Report::AnsweredBy(AnsweredBy::from(who.to_owned()))
}

fn ended(sid: Option<&str>, status: &str, bridged: bool) -> TransferEnded {
    TransferEnded {
        dial_call_sid: sid.map(str::to_owned),
        dial_call_status: status.into(),
        bridged,
        dial_call_duration_s: None,
        sip_response_code: None,
    }
}

fn transfer_ended(sid: Option<&str>, status: &str, bridged: bool) -> Report {
    Report::TransferEnded(ended(sid, status, bridged))
}

fn call_status(record: &CallRecord) -> Option<&str> {
    record.call_status.as_ref().map(CallStatus::as_str)
}

#[test]
fn an_older_status_changes_nothing_and_a_call_that_is_over_stays_so() {
    let mut record = placed();
    reported(&mut record, status("ringing", Some(1)));
    reported(&mut record, status("initiated", Some(0)));
    assert_eq!(call_status(&record), Some("ringing"));
    reported(&mut record, status("in-progress", None));
    assert_eq!(call_status(&record), Some("in-progress"));
    reported(&mut record, status("completed", None));
    for late in [status("in-progress", Some(9)), status("failed", None), status("ringing", None)] {
        reported(&mut record, late);
        assert_eq!(call_status(&record), Some("completed"));
    }
}

#[test]
fn what_the_end_of_a_call_tells_besides_is_kept_whichever_report_tells_it() {
    let mut record = placed();
    reported(&mut record, status("completed", Some(3)));
    let status = CallStatus::from("completed".to_owned());
    let twice =
        Report::Progress { status, sequence_number: Some(3), duration_s: Some(41), sip_response_code: Some(200) };
    reported(&mut record, twice);
    assert_eq!((record.call_duration_s, record.call_sip_response_code), (Some(41), Some(200)));
}

#[test]
fn a_call_that_nobody_took_is_over_without_having_been_reached() {
    for why in ["busy", "failed", "no-answer", "canceled"] {
        let mut record = placed();
        reported(&mut record, status("ringing", Some(0)));
        assert_eq!((record.outcome, record.is_over()), (None, false));
        reported(&mut record, status(why, Some(1)));
        assert_eq!((record.outcome, call_status(&record)), (Some(Outcome::NotReached), Some(why)));
        assert!(record.ended_at.is_some() && record.is_over());
    }
}

#[test]
fn a_machine_that_took_the_call_is_its_outcome_in_whatever_order_that_is_told() {
    let hung_up = || Entry::Ended {
        leg: LegNo::FIRST,
        at: Timestamp::UNIX_EPOCH,
        outcome: Outcome::CallerHungUp,
        next_step: NextStep::HangUp { say: None },
    };
    let reported = |report| Entry::Reported { at: Timestamp::UNIX_EPOCH, report };
    let orders: [fn(&mut Vec<Entry>); 4] =
        [|_| {}, |all| all.reverse(), |all| all.rotate_left(1), |all| all.swap(0, 1)];
    for who in ["machine_start", "machine_end_beep", "machine_end_silence", "machine_end_other", "fax"] {
        for order in orders {
            let mut record = placed();
            record.begin_leg(placed());
            let mut all = vec![reported(answered_by(who)), hung_up(), reported(status("completed", Some(2)))];
            order(&mut all);
            all.into_iter().for_each(|entry| record.apply(entry));
            assert_eq!(record.outcome, Some(Outcome::AnsweringMachine), "{who}");
        }
    }
    for (who, last) in [("human", "human"), ("unknown", "unknown")] {
        let mut record = after_leg(Outcome::CallerHungUp, NextStep::HangUp { say: None });
        self::reported(&mut record, answered_by(who));
        assert_eq!(record.outcome, Some(Outcome::CallerHungUp));
        self::reported(&mut record, answered_by("unknown"));
        assert_eq!(record.answered_by.as_ref().map(AnsweredBy::as_str), Some(last));
    }
}

#[test]
fn a_machine_that_the_agent_hung_up_on_leaves_that_the_outcome() {
    let mut record = after_leg(Outcome::AgentHungUp, NextStep::HangUp { say: None });
    reported(&mut record, answered_by("machine_end_beep"));
    assert_eq!(record.outcome, Some(Outcome::AgentHungUp));
}

#[test]
fn after_a_transfer_the_conversation_goes_on_and_asking_twice_changes_nothing() {
    let mut record = transferred();
    assert_eq!(record.since_last_leg(), Some(Since::Transferred(None)));
    reported(&mut record, transfer_ended(Some("CA1"), "busy", false));
    reported(&mut record, transfer_ended(Some("CA1"), "busy", false));
    assert_eq!((record.transfers.len(), &record.next_step), (1, &NextStep::Reattach));
    assert_eq!(record.since_last_leg(), Some(Since::Transferred(Some(ended(Some("CA1"), "busy", false)))));
    let leg = record.begin_leg(placed());
    reported(&mut record, transfer_ended(Some("CA1"), "busy", false));
    assert_ne!(record.next_step, NextStep::Reattach, "the next leg is up");
    let hang_up = NextStep::HangUp { say: None };
    record.apply(Entry::Ended {
        leg,
        at: Timestamp::UNIX_EPOCH,
        outcome: Outcome::AgentHungUp,
        next_step: hang_up.clone(),
    });
    reported(&mut record, transfer_ended(Some("CA1"), "busy", false));
    assert_eq!((record.transfers.len(), &record.next_step), (1, &hang_up));
    assert_eq!(record.since_last_leg(), Some(Since::Interrupted), "that was told already");
}

#[test]
fn a_human_who_took_a_call_that_the_agent_could_not_serve_ends_it_and_one_who_did_not_leaves_it_another_try() {
    for outcome in
        [Outcome::ModelRefused, Outcome::ModelFailed, Outcome::ConnectionLost, Outcome::ProtocolError, Outcome::Stopped]
    {
        for (bridged, next_step) in [(true, NextStep::HangUp { say: None }), (false, NextStep::Reattach)] {
            let mut record = after_leg(outcome, NextStep::Transfer { reason: None, say: None });
            reported(&mut record, transfer_ended(Some("CA1"), "completed", bridged));
            assert_eq!(record.next_step, next_step, "{outcome:?}, {bridged}");
        }
    }
}

#[test]
fn a_transfer_without_a_leg_is_told_once() {
    let mut record = transferred();
    for _ in 0..2 {
        reported(&mut record, transfer_ended(None, "failed", false));
    }
    assert_eq!((record.transfers.len(), &record.next_step), (1, &NextStep::Reattach));
    let leg = record.begin_leg(placed());
    let next_step = NextStep::Transfer { reason: None, say: None };
    record.apply(Entry::Ended { leg, at: Timestamp::UNIX_EPOCH, outcome: Outcome::Transferred, next_step });
    reported(&mut record, transfer_ended(None, "no-answer", false));
    assert_eq!(record.since_last_leg(), Some(Since::Transferred(Some(ended(None, "no-answer", false)))));
}

#[test]
fn nothing_follows_a_transfer_of_a_call_that_is_over_in_whatever_order_that_is_told() {
    for over_first in [true, false] {
        let mut record = transferred();
        let mut reports = [status("completed", Some(4)), transfer_ended(Some("CA1"), "completed", true)];
        if !over_first {
            reports.reverse();
        }
        reports.into_iter().for_each(|report| reported(&mut record, report));
        assert_eq!((record.outcome, &record.next_step), (Some(Outcome::Transferred), &NextStep::HangUp { say: None }));
        assert_eq!(record.transfers.len(), 1);
    }
}

#[test]
fn a_caller_who_hangs_up_while_keys_are_sent_has_hung_up() {
    let digits = "12".try_into().unwrap();
    let mut record = after_leg(Outcome::DigitsSent, NextStep::SendDigits { digits });
    reported(&mut record, status("completed", Some(4)));
    assert_eq!((record.outcome, &record.next_step), (Some(Outcome::CallerHungUp), &NextStep::HangUp { say: None }));
    assert!(record.ended_at.is_some());
}

#[test]
fn a_leg_that_begins_after_the_call_is_over_does_not_revive_it() {
    let mut record = transferred();
    reported(&mut record, status("completed", None));
    record.begin_leg(placed());
    assert!(record.is_over() && record.outcome.is_some());
}

#[test]
fn stream_errors_and_recordings_are_kept_once_each_and_not_without_end() {
    let mut record = placed();
    let error = |nth: usize| StreamError {
        stream_sid: "MZ1".into(),
        stream_event: "stream-error".into(),
        stream_error: format!("{nth}"),
    };
    let recording = |sid: &str, status: &str| Recording {
        recording_sid: sid.into(),
        recording_status: status.into(),
        recording_url: None,
        recording_duration_s: None,
    };
    for nth in [0, 0, 1] {
        reported(&mut record, Report::StreamError(error(nth)));
    }
    assert_eq!(record.stream_errors, [error(0), error(1)]);
    for (sid, status) in [("RE1", "completed"), ("RE1", "in-progress"), ("RE2", "in-progress"), ("RE2", "absent")] {
        reported(&mut record, Report::Recording(recording(sid, status)));
    }
    assert_eq!(record.recordings, [recording("RE1", "completed"), recording("RE2", "absent")]);
    for nth in 0..1_000 {
        reported(&mut record, Report::StreamError(error(nth)));
        reported(&mut record, Report::Recording(recording(&format!("RE{nth}"), "completed")));
        reported(&mut record, transfer_ended(Some(&format!("CA{nth}")), "busy", false));
    }
    let kept = [record.stream_errors.len(), record.recordings.len(), record.transfers.len()];
    assert_eq!(kept, [MOST_OF_A_KIND; 3]);
}

#[test]
fn in_whatever_order_and_however_often_reports_come_the_record_says_the_same_in_the_end() {
    let reports = || {
        vec![
            status("ringing", Some(1)),
            status("in-progress", Some(2)),
            status("completed", Some(3)),
            answered_by("machine_start"),
            transfer_ended(Some("CA1"), "completed", true),
        ]
    };
    let mut expected = transferred();
    reports().into_iter().for_each(|report| reported(&mut expected, report));
    for seed in 0..200 {
        let mut dice = Entropy::from_seed(seed);
        let mut record = transferred();
        let mut left: Vec<Report> = reports().into_iter().chain(reports()).collect();
        while !left.is_empty() {
            let next = dice.between(0, left.len() as u64) as usize;
            reported(&mut record, left.swap_remove(next));
        }
        let of = |record: &CallRecord| {
            (
                record.outcome,
                record.call_status.clone(),
                record.answered_by.clone(),
                record.next_step.clone(),
                record.transfers.clone(),
            )
        };
        assert_eq!(of(&record), of(&expected), "seed {seed}");
    }
}

#[test]
fn a_human_who_took_a_placed_call_that_never_got_to_the_agent_ends_it_and_one_who_was_missed_does_not() {
    for (bridged, next_step) in [(true, NextStep::HangUp { say: None }), (false, NextStep::Reattach)] {
        let mut record = placed();
        reported(&mut record, transfer_ended(Some("CA1"), "completed", bridged));
        assert_eq!((record.transfers.len(), record.next_step), (1, next_step));
    }
}

#[test]
fn whoever_asks_on_and_on_goes_in_circles_until_there_is_something_new() {
    let mut record = transferred();
    let asked = |record: &mut CallRecord, times: usize| (0..times).for_each(|_| record.apply(Entry::Asked));
    asked(&mut record, 4);
    assert!(!record.goes_in_circles());
    reported(&mut record, transfer_ended(Some("CA1"), "busy", false));
    asked(&mut record, 4);
    reported(&mut record, transfer_ended(Some("CA1"), "busy", false));
    assert!(!record.goes_in_circles());
    asked(&mut record, 1);
    assert!(record.goes_in_circles(), "the transfer was known");
    record.begin_leg(placed());
    assert!(!record.goes_in_circles());
}
