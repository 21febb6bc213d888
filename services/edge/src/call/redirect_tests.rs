use offhook_proto::voice::v1::{HangUp, NextStep, Reattach, SendDigits, Transfer, next_step::Step};

use super::*;
use crate::call::redirect::{NotRedirected, REDIRECT_DEADLINE};

fn next(step: Step) -> Message {
    Message::Next(Next { step: Some(NextStep { step: Some(step) }) })
}

fn transfer() -> Step {
    Step::Transfer(Transfer::default())
}

/// A leg whose caller has heard everything before a transfer, and about which Twilio has just been asked.
fn redirecting() -> Rig {
    let mut rig = Rig::live_where_twilio_can_be_asked();
    rig.worker(speak(0, 160, 0));
    rig.worker(next(transfer()));
    rig.leg.handle_worker_end(Ok(()), rig.now);
    rig.written();
    assert!(!rig.leg.poll_redirect(), "the caller has not heard the last words");
    rig.twilio(&echo("0:160"));
    assert!(rig.leg.poll_redirect());
    assert!(!rig.leg.poll_redirect(), "Twilio is asked once");
    rig
}

#[test]
fn before_a_transfer_or_keys_twilio_is_asked_to_go_on_and_before_anything_else_the_socket_closes() {
    let keys = Step::SendDigits(SendDigits { digits: "1".to_owned() });
    let (bye, again) = (Step::HangUp(HangUp::default()), Step::Reattach(Reattach {}));
    for (step, asks) in [(transfer(), true), (keys, true), (bye, false), (again, false)] {
        let mut rig = Rig::live_where_twilio_can_be_asked();
        rig.worker(next(step.clone()));
        let closes = rig.written() == ["close"];
        assert_eq!((rig.leg.poll_redirect(), closes), (asks, !asks), "{step:?}");
    }
    let mut without_rest = Rig::live();
    without_rest.worker(next(transfer()));
    assert!(!without_rest.leg.poll_redirect());
    assert_eq!(without_rest.written(), ["close"]);
}

/// Pitfall 8: an app that takes the `stop` for a hang-up ends the transfer that it has just begun.
#[test]
fn the_stop_that_follows_a_redirect_is_no_hang_up() {
    for answered_first in [true, false] {
        let mut rig = redirecting();
        if answered_first {
            rig.leg.handle_redirect(Ok(()), rig.now);
        }
        rig.twilio(&media(&[1; 160]));
        rig.twilio(&echo("0:160"));
        rig.twilio(&stop());
        assert!(rig.told_worker().is_empty());
        let outcome = rig.outcome().unwrap();
        assert_eq!(outcome, Outcome::Redirected);
        assert!(outcome.twilio_goes_on() && outcome.reason().is_none());
        assert_eq!(rig.leg.take_counts(), Counts::default());
    }
}

#[test]
fn a_socket_that_closes_while_twilio_goes_on_is_not_lost() {
    let mut rig = redirecting();
    rig.leg.handle_socket_lost(rig.now);
    assert_eq!(rig.leg.is_over(), Some(Outcome::Redirected));
}

#[test]
fn where_twilio_cannot_be_asked_or_does_not_go_on_in_time_the_socket_closes() {
    let mut failed = redirecting();
    failed.leg.handle_redirect(Err(NotRedirected::Failed), failed.now);
    let mut slow = redirecting();
    slow.leg.handle_redirect(Ok(()), slow.now);
    slow.advance(REDIRECT_DEADLINE - Duration::from_millis(1));
    assert!(slow.written().is_empty());
    slow.advance(Duration::from_millis(1));
    for mut rig in [failed, slow] {
        assert_eq!(rig.written(), ["close"]);
        assert_eq!(rig.outcome(), Some(Outcome::Finished));
    }
}

/// Pitfall 9: a caller who has left already is no error.
#[test]
fn a_call_that_twilio_does_not_know_any_more_was_ended_by_the_caller() {
    let mut rig = redirecting();
    rig.leg.handle_redirect(Err(NotRedirected::CallOver), rig.now);
    assert_eq!(rig.written(), ["close"]);
    assert_eq!(rig.outcome(), Some(Outcome::Stopped));
}

#[test]
fn a_caller_who_hangs_up_before_twilio_is_asked_has_hung_up() {
    let mut rig = Rig::live_where_twilio_can_be_asked();
    rig.worker(speak(0, 160, 0));
    rig.worker(next(transfer()));
    rig.twilio(&stop());
    assert!(!rig.leg.poll_redirect());
    assert_eq!(rig.outcome(), Some(Outcome::Stopped));
}

#[test]
fn an_answer_that_comes_when_the_leg_is_over_changes_nothing() {
    let mut rig = redirecting();
    rig.twilio(&stop());
    rig.leg.handle_redirect(Err(NotRedirected::CallOver), rig.now);
    assert_eq!(rig.outcome(), Some(Outcome::Redirected));
}

#[test]
fn last_words_whose_echo_is_missing_hold_up_a_redirect_only_so_long() {
    let mut rig = Rig::live_where_twilio_can_be_asked();
    rig.worker(speak(0, 8000, 0));
    rig.written();
    rig.worker(next(transfer()));
    rig.advance(Duration::from_secs(1) + ECHO_GRACE);
    assert!(rig.leg.poll_redirect());
}

#[test]
fn a_hard_stop_does_not_wait_for_twilio() {
    let mut rig = redirecting();
    rig.leg.handle_hard_stop(rig.now);
    assert_eq!(rig.written(), ["close"]);
    assert_eq!(rig.outcome(), Some(Outcome::EdgeStopping));
}

#[test]
fn a_leg_that_waits_for_twilio_knows_when_to_come_back() {
    let rig = redirecting();
    assert_eq!(rig.leg.poll_deadline(), Some(rig.now + REDIRECT_DEADLINE));
}
