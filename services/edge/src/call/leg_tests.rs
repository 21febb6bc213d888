use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use offhook_proto::voice::v1::{
    Accepted, CallerAudio, Digit, Direction, Ended, EndedReason, Heard, Hush, Next, Speak,
    from_edge::Message as ToWorker,
};
use proptest::prelude::*;

use super::*;
use crate::{call::uplink::CAPACITY_KEYS, worker::WorkerId};

#[path = "redirect_tests.rs"]
mod redirecting;

const CALL: &str = "CA00000000000000000000000000000002";
const ACCOUNT: &str = "AC00000000000000000000000000000001";
const STREAM: &str = "MZ00000000000000000000000000000003";

/// A leg with invented time and no peers.
struct Rig {
    leg: Leg,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        Self::with(false)
    }

    #[expect(clippy::disallowed_methods, reason = "an arbitrary point from which a test's time starts")]
    fn with(can_redirect: bool) -> Self {
        let now = Instant::now();
        let worker = WorkerId::from_bytes(*b"worker 1");
        let claims = Claims { call: CALL.parse().unwrap(), account: ACCOUNT.parse().unwrap(), worker };
        let agents = Arc::new(Agents::demo(Some(&"sip:help@example.com".parse().unwrap())));
        let setup = Setup { claims, ticket: "t".to_owned(), agents, can_redirect };
        Self { leg: Leg::new(setup, now), now }
    }

    fn attaching() -> Self {
        Self::new().attached()
    }

    fn attached(mut self) -> Self {
        let rig = &mut self;
        rig.twilio(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
        rig.twilio(&start(CALL));
        assert!(rig.leg.poll_action().is_some());
        self
    }

    fn live() -> Self {
        Self::attaching().accepted()
    }

    fn live_where_twilio_can_be_asked() -> Self {
        Self::with(true).attached().accepted()
    }

    fn accepted(mut self) -> Self {
        self.worker(Message::Accepted(Accepted {}));
        self
    }

    fn twilio(&mut self, text: &str) {
        self.leg.handle_text(text, self.now);
    }

    fn worker(&mut self, message: Message) {
        self.leg.handle_worker(Some(message), self.now);
    }

    fn worker_ends(&mut self, code: Code) {
        self.leg.handle_worker_end(Err(code), self.now);
    }

    fn advance(&mut self, by: Duration) {
        self.now += by;
        self.leg.handle_deadline(self.now);
    }

    fn written(&mut self) -> Vec<String> {
        let show = |frame| match frame {
            Frame::Text(text) | Frame::Clear { text, .. } => text,
            Frame::Close => "close".to_owned(),
        };
        std::iter::from_fn(|| self.leg.poll_frame(self.now).map(show)).collect()
    }

    fn told_worker(&mut self) -> Vec<ToWorker> {
        std::iter::from_fn(|| self.leg.poll_worker()?.message).collect()
    }

    /// Both sides go away, as they do in the end.
    fn outcome(&mut self) -> Option<Outcome> {
        self.leg.handle_worker_end(Ok(()), self.now);
        self.leg.handle_socket_lost(self.now);
        self.leg.is_over()
    }
}

fn start(call: &str) -> String {
    format!(
        r#"{{"event":"start","sequenceNumber":"1","start":{{"accountSid":"{ACCOUNT}","streamSid":"{STREAM}",
        "callSid":"{call}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},
        "customParameters":{{"from":"+15005550006","to":"+15005550009","direction":"outbound-api","agent":"demo",
        "traceparent":"00-1-2-01","tenant":"t-42"}}}},"streamSid":"{STREAM}"}}"#
    )
}

fn media(mulaw: &[u8]) -> String {
    let payload = STANDARD.encode(mulaw);
    format!(
        r#"{{"event":"media","sequenceNumber":"2","media":{{"track":"inbound","chunk":"1","timestamp":"5","payload":"{payload}"}},"streamSid":"{STREAM}"}}"#
    )
}

fn echo(name: &str) -> String {
    format!(r#"{{"event":"mark","sequenceNumber":"4","streamSid":"{STREAM}","mark":{{"name":"{name}"}}}}"#)
}

fn stop() -> String {
    format!(
        r#"{{"event":"stop","sequenceNumber":"9","streamSid":"{STREAM}","stop":{{"accountSid":"{ACCOUNT}","callSid":"{CALL}"}}}}"#
    )
}

fn speak(first_sample: u64, samples: usize, epoch: u32) -> Message {
    Message::Speak(Speak { first_sample, mulaw: Bytes::from(vec![0xff; samples]), epoch })
}

fn ended(reason: EndedReason) -> ToWorker {
    ToWorker::Ended(Ended { reason: reason.into() })
}

#[test]
fn the_worker_learns_from_start_who_calls_whom() {
    let mut rig = Rig::new();
    rig.twilio(&start(CALL));
    let Some(Action::Attach { start, traceparent }) = rig.leg.poll_action() else { panic!("no attach") };
    assert_eq!(traceparent.as_deref(), Some("00-1-2-01"));
    let expected = Start {
        call_sid: CALL.to_owned(),
        stream_sid: STREAM.to_owned(),
        account_sid: ACCOUNT.to_owned(),
        agent: "demo".to_owned(),
        direction: Direction::Outbound.into(),
        from: "+15005550006".to_owned(),
        to: "+15005550009".to_owned(),
        parameters: HashMap::from([("tenant".to_owned(), "t-42".to_owned())]),
        transfer_available: true,
        ticket_id: "t".to_owned(),
    };
    assert_eq!(*start, expected);
    assert_eq!(rig.leg.poll_action(), None);
}

#[test]
fn debug_shows_neither_who_calls_nor_what_they_press() {
    let mut rig = Rig::new();
    rig.twilio(&start(CALL));
    let waiting = format!("{:?}", rig.leg);
    let action = format!("{:?}", rig.leg.poll_action());
    let shown = format!("{waiting} {action}");
    assert!(shown.contains(STREAM) && !shown.contains("1500555") && !shown.contains("t-42"), "{shown}");
}

#[test]
fn a_key_that_no_telephone_has_is_a_bad_frame() {
    let mut rig = Rig::live();
    rig.twilio(r#"{"event":"dtmf","dtmf":{"track":"inbound_track","digit":"12"}}"#);
    assert!(rig.told_worker().is_empty());
    assert_eq!(rig.leg.take_counts().bad_frames, 1);
}

#[test]
fn keys_that_the_worker_does_not_take_are_counted_beyond_a_bound() {
    let mut rig = Rig::attaching();
    for _ in 0..CAPACITY_KEYS + 3 {
        rig.twilio(r##"{"event":"dtmf","dtmf":{"track":"inbound_track","digit":"#"}}"##);
    }
    assert_eq!(rig.leg.take_counts().caller_keys_dropped, 3);
}

#[test]
fn a_start_that_does_not_come_in_time_or_names_another_call_or_account_closes_the_socket() {
    let mut silent = Rig::new();
    silent.advance(START_DEADLINE - Duration::from_millis(1));
    assert!(silent.written().is_empty());
    silent.advance(Duration::from_millis(1));
    assert_eq!(silent.written(), ["close"]);
    assert_eq!(silent.outcome(), Some(Outcome::NoStart));

    let another_call = start("CA00000000000000000000000000000009");
    let another_account = start(CALL).replace(ACCOUNT, "AC00000000000000000000000000000009");
    for other in [another_call, another_account] {
        let mut wrong = Rig::new();
        wrong.twilio(&other);
        assert_eq!(wrong.leg.poll_action(), None);
        assert_eq!(wrong.written(), ["close"], "{other}");
        assert_eq!(wrong.outcome(), Some(Outcome::StartMismatch), "{other}");
    }
}

#[test]
fn what_the_caller_says_before_the_worker_listens_is_kept_for_three_seconds() {
    let mut rig = Rig::attaching();
    for fill in 0..160 {
        rig.twilio(&media(&[fill; 160]));
    }
    assert!(rig.told_worker().is_empty());
    rig.worker(Message::Accepted(Accepted {}));
    let told = rig.told_worker();
    assert_eq!(told.len(), 150);
    assert_eq!(told[0], ToWorker::Audio(CallerAudio { first_sample: 1600, mulaw: Bytes::from(vec![10; 160]) }));
    assert_eq!(rig.leg.take_counts().caller_frames_dropped, 10);
}

#[test]
fn keys_and_heard_positions_reach_the_worker() {
    let mut rig = Rig::live();
    let key = format!(
        r#"{{"event":"dtmf","streamSid":"{STREAM}","sequenceNumber":"5","dtmf":{{"track":"inbound_track","digit":"*"}}}}"#
    );
    rig.twilio(&key);
    rig.worker(speak(0, 800, 0));
    assert_eq!(rig.written().len(), 4);
    rig.twilio(&echo("0:800"));
    let heard = ToWorker::Heard(Heard { sample: 800, epoch: 0 });
    assert_eq!(rig.told_worker(), [ToWorker::Digit(Digit { digit: "*".to_owned() }), heard]);
}

#[test]
fn a_hush_is_written_before_anything_else_and_what_was_heard_until_it_arrived_is_told_once() {
    let mut rig = Rig::live();
    rig.worker(speak(0, 1600, 0));
    assert_eq!(rig.written().len(), 6);
    rig.twilio(&echo("0:160"));
    let heard = |sample| ToWorker::Heard(Heard { sample, epoch: 0 });
    assert_eq!(rig.told_worker(), [heard(160)]);
    rig.worker(speak(1600, 800, 0));
    rig.worker(Message::Hush(Hush { epoch: 1 }));
    rig.worker(speak(1600, 800, 0));
    let hushed_at = rig.now;
    rig.now += Duration::from_millis(3);
    let clear = format!(r#"{{"event":"clear","streamSid":"{STREAM}"}}"#);
    assert_eq!(rig.leg.poll_frame(rig.now), Some(Frame::Clear { text: clear, since: hushed_at }));
    let [mark] = &rig.written()[..] else { panic!("only the mark behind the clear is due") };
    assert!(mark.contains("1:1600"), "{mark}");
    rig.twilio(&media(&[0xff; 160]));
    rig.twilio(&media(&[0xff; 160]));
    rig.twilio(&echo("0:960"));
    rig.twilio(&echo("0:1600"));
    rig.twilio(&echo("1:1600"));
    let told = rig.told_worker();
    let behind_it = ToWorker::Heard(Heard { sample: 1600, epoch: 1 });
    assert_eq!(told[2..], [heard(480), behind_it], "two frames were played before the clear came");
}

#[test]
fn a_caller_who_hangs_up_has_heard_what_was_played_until_then() {
    let mut rig = Rig::live();
    rig.worker(speak(0, 1600, 0));
    rig.written();
    rig.twilio(&echo("0:160"));
    rig.twilio(&media(&[0xff; 160]));
    rig.twilio(&stop());
    let heard = ToWorker::Heard(Heard { sample: 320, epoch: 0 });
    assert_eq!(rig.told_worker()[1..], [heard, ended(EndedReason::Stopped)]);
}

#[test]
fn a_caller_who_hangs_up_in_the_last_words_has_heard_what_was_played_of_them() {
    let mut rig = Rig::live();
    rig.worker(speak(0, 1600, 0));
    rig.worker(Message::Next(Next { step: None }));
    rig.written();
    rig.twilio(&echo("0:160"));
    rig.twilio(&media(&[0xff; 160]));
    rig.twilio(&stop());
    let heard = |sample| ToWorker::Heard(Heard { sample, epoch: 0 });
    assert_eq!(rig.told_worker(), [heard(320), ended(EndedReason::Stopped)]);
}

#[test]
fn after_next_the_socket_closes_once_all_was_heard() {
    let mut rig = Rig::live();
    rig.worker(speak(0, 1600, 0));
    rig.worker(Message::Next(Next { step: None }));
    rig.leg.handle_worker_end(Ok(()), rig.now);
    assert_eq!(rig.written().len(), 6);
    rig.twilio(&echo("0:960"));
    assert!(rig.written().is_empty());
    rig.twilio(&echo("0:1600"));
    assert_eq!(rig.written(), ["close"]);
    assert_eq!(rig.outcome(), Some(Outcome::Finished));
}

#[test]
fn after_next_the_socket_closes_at_once_when_nothing_is_to_be_heard() {
    let mut rig = Rig::live();
    rig.worker(Message::Next(Next { step: None }));
    assert_eq!(rig.written(), ["close"]);
}

#[test]
fn after_next_a_missing_echo_is_waited_for_only_so_long() {
    let mut rig = Rig::live();
    rig.worker(speak(0, 8000, 0));
    rig.written();
    rig.worker(Message::Next(Next { step: None }));
    rig.advance(Duration::from_millis(2999));
    assert!(rig.written().is_empty());
    rig.advance(Duration::from_millis(1));
    assert_eq!(rig.written(), ["close"]);
    assert!(rig.told_worker().is_empty(), "the worker has said the last word itself");
}

#[test]
fn a_worker_that_cannot_be_reached_or_is_full_is_followed_by_the_next() {
    let mut rig = Rig::attaching();
    for code in [Code::ResourceExhausted, Code::Unavailable, Code::Unknown] {
        rig.worker_ends(code);
        assert!(matches!(rig.leg.poll_action(), Some(Action::Attach { traceparent: Some(_), .. })), "{code}");
    }
    rig.leg.handle_no_worker(rig.now);
    assert_eq!(rig.written(), ["close"]);
    assert_eq!(rig.outcome(), Some(Outcome::NoWorker));
}

#[test]
fn a_worker_that_says_the_call_cannot_be_served_is_believed() {
    for code in [Code::FailedPrecondition, Code::InvalidArgument, Code::Internal] {
        let mut rig = Rig::attaching();
        rig.worker_ends(code);
        assert_eq!(rig.leg.poll_action(), None);
        assert_eq!(rig.written(), ["close"]);
        assert_eq!(rig.outcome(), Some(Outcome::WorkerRefused));
    }
}

#[test]
fn workers_that_ponder_too_long_count_as_none() {
    let mut rig = Rig::attaching();
    rig.twilio(&media(&[1; 160]));
    rig.advance(ATTACH_DEADLINE);
    assert_eq!(rig.written(), ["close"]);
    assert_eq!(rig.told_worker(), [ended(EndedReason::ConnectionLost)]);
    assert_eq!(rig.outcome(), Some(Outcome::NoWorker));
}

#[test]
fn a_lost_worker_closes_the_socket_whatever_the_status() {
    for code in [Code::Unavailable, Code::Internal, Code::Unknown] {
        let mut rig = Rig::live();
        rig.worker(speak(0, 8000, 0));
        rig.worker_ends(code);
        assert_eq!(rig.written(), ["close"]);
        assert_eq!(rig.outcome(), Some(Outcome::WorkerLost));
    }
}

#[test]
fn a_caller_who_hangs_up_is_reported_in_every_phase() {
    for mut rig in [Rig::attaching(), Rig::live()] {
        rig.twilio(&media(&[1; 160]));
        rig.twilio(&stop());
        assert_eq!(rig.told_worker(), [ended(EndedReason::Stopped)]);
        rig.twilio(&media(&[1; 160]));
        assert!(rig.told_worker().is_empty());
        assert_eq!(rig.outcome(), Some(Outcome::Stopped));
    }
    let mut before_start = Rig::new();
    before_start.twilio(&stop());
    assert_eq!(before_start.outcome(), Some(Outcome::Stopped));
}

#[test]
fn a_lost_socket_is_reported_and_not_closed_again() {
    let mut rig = Rig::live();
    rig.leg.handle_socket_lost(rig.now);
    assert!(rig.written().is_empty());
    assert_eq!(rig.told_worker(), [ended(EndedReason::ConnectionLost)]);
    assert_eq!(rig.leg.is_over(), None);
    rig.leg.handle_worker_end(Ok(()), rig.now);
    assert_eq!(rig.leg.is_over(), Some(Outcome::ConnectionLost));
}

#[test]
fn a_socket_that_falls_quiet_counts_as_lost() {
    let mut rig = Rig::live();
    rig.advance(QUIET_DEADLINE - Duration::from_secs(1));
    rig.leg.handle_alive(rig.now);
    rig.advance(QUIET_DEADLINE - Duration::from_secs(1));
    assert!(rig.written().is_empty());
    rig.advance(Duration::from_secs(1));
    assert_eq!(rig.told_worker(), [ended(EndedReason::ConnectionLost)]);
}

#[test]
fn sides_that_do_not_close_are_dropped_after_a_second() {
    let mut rig = Rig::live();
    rig.twilio(&stop());
    rig.advance(CLOSE_DEADLINE - Duration::from_millis(1));
    assert_eq!(rig.leg.is_over(), None);
    rig.advance(Duration::from_millis(1));
    assert_eq!(rig.leg.is_over(), Some(Outcome::Stopped));
    assert_eq!(rig.leg.poll_deadline(), None);
}

#[test]
fn a_hard_stop_tells_both_sides() {
    let mut rig = Rig::live();
    rig.leg.handle_hard_stop(rig.now);
    assert_eq!(rig.written(), ["close"]);
    assert_eq!(rig.told_worker(), [ended(EndedReason::EdgeStopping)]);
}

#[test]
fn some_bad_frames_are_borne_but_not_only_bad_ones() {
    let mut rig = Rig::live();
    for _ in 0..BAD_FRAME_LIMIT - 1 {
        rig.twilio("{");
    }
    rig.twilio(&media(&[1; 160]));
    for _ in 0..BAD_FRAME_LIMIT - 1 {
        rig.leg.handle_bad_frame(rig.now);
    }
    rig.twilio(r#"{"event":"weather"}"#);
    assert!(rig.written().is_empty());
    rig.twilio(&start(CALL));
    assert_eq!(rig.written(), ["close"]);
    assert_eq!(rig.leg.take_counts().bad_frames, u64::from(2 * BAD_FRAME_LIMIT - 1));
    assert_eq!(rig.outcome(), Some(Outcome::ProtocolError));
}

#[test]
fn a_leg_always_knows_when_to_come_back() {
    for mut rig in [Rig::new(), Rig::attaching(), Rig::live()] {
        let mut rounds = 0;
        while let Some(deadline) = rig.leg.poll_deadline() {
            assert!(deadline > rig.now, "a deadline in the past would spin");
            rig.now = deadline;
            rig.leg.handle_deadline(rig.now);
            rounds += 1;
        }
        assert_eq!(rounds, 2, "one deadline ends the leg, the next one closes it");
        assert!(rig.leg.is_over().is_some());
    }
}

fn mangled() -> impl Strategy<Value = String> {
    let whole = prop_oneof![
        Just(media(&[0x55; 160])),
        Just(start(CALL)),
        Just(echo("0:800")),
        Just(stop()),
        Just(r#"{"event":"connected"}"#.to_owned()),
    ];
    (whole, 0..400usize, any::<char>(), 0..4u8).prop_map(|(text, at, replacement, how)| {
        let mut characters: Vec<char> = text.chars().collect();
        let at = at.min(characters.len() - 1);
        match how {
            0 => characters[at] = replacement,
            1 => characters.truncate(at),
            2 => characters.insert(at, replacement),
            _ => drop(characters.remove(at)),
        }
        characters.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// 20 legs with 50 mangled messages each.
    #[test]
    fn mangled_messages_never_panic_and_the_leg_lives_or_ends_as_defined(
        texts in proptest::collection::vec(mangled(), 50),
        accepted in any::<bool>(),
    ) {
        let mut rig = if accepted { Rig::live() } else { Rig::attaching() };
        rig.worker(speak(0, 1600, 0));
        for text in &texts {
            rig.twilio(text);
            rig.written();
            rig.told_worker();
        }
        prop_assert!(rig.leg.is_over().is_none());
        let outcome = rig.outcome();
        prop_assert!(matches!(
            outcome,
            Some(Outcome::Stopped | Outcome::ProtocolError | Outcome::WorkerLost | Outcome::WorkerRefused)
        ), "{outcome:?}");
    }
}
