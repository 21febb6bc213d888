#![expect(clippy::disallowed_methods, reason = "an instant cannot be invented; the tests only add to it")]

use offhook_hosting::entropy::Entropy;

use super::*;
use crate::{
    bedrock::{HeardUtterance, ModelEventKind, SaidUtterance},
    twilio::{CallEnd, CallEvent, Clear, Happening, Utterance},
};

const MS: Duration = Duration::from_millis(1);

/// A call put together by hand: times in milliseconds, an utterance lasts 20 ms a character.
struct Rig {
    placed: Instant,
    call: CallReport,
    sessions: Vec<SessionReport>,
    events: Vec<ModelEvent>,
    entropy: Entropy,
}

fn utterance(at: u32, text: &str) -> Utterance {
    let lasted = text.len() as u32 * 20 * MS;
    Utterance { text: text.into(), at: at * MS, lasted, pcm: Vec::new() }
}

impl Rig {
    /// A call that the server ends after a minute.
    fn new() -> Self {
        let mut call = CallReport::of_nothing(CallEnd::HungUpByDocument);
        call.timeline = vec![CallEvent { at: 60_000 * MS, what: Happening::Ended { end: call.end } }];
        let (sessions, events) = (Vec::new(), Vec::new());
        Self { placed: Instant::now(), call, sessions, events, entropy: Entropy::from_seed(1) }
    }

    /// Two sessions, the second from 10 s on, and a word heard and answered in each; a third answer comes without a
    /// change before it.
    fn switched() -> Self {
        let mut rig = Self::new();
        rig.session(0, 11_000).session(10_000, 59_000);
        rig.turn(0, 1000, "one", 1000).turn(1, 12_000, "two", 1200).turn(1, 20_000, "three", 1000);
        rig
    }

    fn session(&mut self, from: u32, until: u32) -> &mut Self {
        let mut session = SessionReport::of_nothing(&mut self.entropy);
        session.end = Some(SessionEnd::ByTheBook);
        self.sessions.push(session);
        let nth = self.sessions.len() - 1;
        self.event(nth, from, ModelEventKind::Listens);
        self.event(nth, until, ModelEventKind::Closed(SessionEnd::ByTheBook))
    }

    fn event(&mut self, session: usize, at: u32, kind: ModelEventKind) -> &mut Self {
        let session = self.sessions[session].id;
        self.events.push(ModelEvent { session, at: self.placed + at * MS, kind });
        self.events.sort_by_key(|event| event.at);
        self
    }

    /// How many such events of the session there are before.
    fn before(&self, session: usize, at: u32, is_it: fn(&ModelEventKind) -> bool) -> usize {
        let (id, at) = (self.sessions[session].id, self.placed + at * MS);
        self.events.iter().filter(|event| event.session == id && event.at <= at && is_it(&event.kind)).count()
    }

    /// A fault strikes the session.
    fn lose(&mut self, session: usize, at: u32) -> &mut Self {
        let id = self.sessions[session].id;
        let end = SessionEnd::Fault("stream reset".into());
        self.sessions[session].end = Some(end.clone());
        self.events.retain(|event| event.session != id || !matches!(event.kind, ModelEventKind::Closed(_)));
        self.event(session, at, ModelEventKind::Closed(end))
    }

    fn caller_says(&mut self, at: u32, text: &str) -> &mut Self {
        self.call.said.push(utterance(at, text));
        self.call.said.sort_by_key(|said| said.at);
        self
    }

    fn caller_hears(&mut self, at: u32, text: &str) -> &mut Self {
        self.call.heard.push(utterance(at, text));
        self.call.heard.sort_by_key(|heard| heard.at);
        self
    }

    fn hears(&mut self, session: usize, at: u32, text: &str) -> &mut Self {
        let heard = HeardUtterance { text: text.into(), at_sample: 0, pcm: Vec::new() };
        let nth = self.before(session, at, |kind| matches!(kind, ModelEventKind::Heard(_)));
        self.sessions[session].heard.insert(nth, heard);
        self.event(session, at, ModelEventKind::Heard(text.into()))
    }

    fn says(&mut self, session: usize, at: u32, text: &str) -> &mut Self {
        let said = SaidUtterance { text: text.into(), pcm: Vec::new(), interrupted_at_sample: None };
        let nth = self.before(session, at, |kind| matches!(kind, ModelEventKind::Said(_)));
        self.sessions[session].said.insert(nth, said);
        self.event(session, at, ModelEventKind::Said(text.into()))
    }

    fn reads(&mut self, session: usize, at: u32, text: &str) -> &mut Self {
        self.event(session, at, ModelEventKind::Read(text.into()))
    }

    /// The caller says something, and hears that they did, so long after they said it.
    fn turn(&mut self, session: usize, at: u32, text: &str, wait: u32) -> &mut Self {
        let end = at + text.len() as u32 * 20;
        let answer = format!("you said {text}.");
        self.caller_says(at, text).hears(session, end + 300, text);
        self.says(session, end + wait - 100, &answer).caller_hears(end + wait, &answer)
    }

    fn judged(&self) -> Continuity {
        continuity(&self.call, &self.sessions, &self.events, self.placed, &[])
    }

    fn reason(&self) -> String {
        let reasons = self.judged().reasons;
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        reasons[0].clone()
    }
}

#[test]
fn a_switch_that_loses_nothing_is_good_and_its_silence_is_measured() {
    let judged = Rig::switched().judged();
    assert_eq!(judged.reasons, [""; 0]);
    assert_eq!((judged.sessions, judged.switches, judged.losses), (2, 1, 0));
    assert_eq!(judged.answer_ms, Some(1000.0));
    assert_eq!(judged.added_at_switches_ms, Some(Spread { p50: 200.0, p95: 200.0, max: 200.0 }));
    assert_eq!(judged.added_at_losses_ms, None);
    let limits = |at_switches| Limits { switches: 1, at_switches: Some(at_switches * MS), ..Limits::default() };
    assert_eq!(judged.beyond(&limits(200)), [""; 0]);
    assert_eq!(judged.beyond(&limits(199)), ["switches were to add 199 ms of silence at p95, they added 200 ms"]);
    let more = judged.beyond(&Limits { switches: 2, losses: 1, ..Limits::default() });
    assert_eq!(more.len(), 2, "{more:?}");
}

#[test]
fn a_word_that_no_session_heard_is_found() {
    let mut rig = Rig::switched();
    rig.caller_says(9_000, "between the two").hears(0, 9_700, "between the").hears(1, 10_800, "o");
    assert_eq!(rig.judged().words_lost_to_agent, 1);
    assert!(rig.reason().contains("no session that could answer heard \"two\""), "{}", rig.reason());
    rig.hears(1, 10_900, "the two");
    assert_eq!(rig.judged().reasons, [""; 0], "together they heard all of it");
}

#[test]
fn a_word_is_lost_too_that_was_heard_only_by_who_does_not_answer_any_more() {
    let switched = |part: &str| {
        let mut rig = Rig::switched();
        rig.caller_says(10_000, "between the two").hears(0, 10_700, "between the two").hears(1, 10_900, part);
        rig
    };
    let reason = switched("the two").reason();
    assert!(reason.contains("no session that could answer heard \"between\""), "{reason}");
    assert_eq!(switched("between the two").judged().reasons, [""; 0]);
    let mut taken_back = Rig::switched();
    taken_back.session(15_000, 0).lose(2, 15_900);
    taken_back.caller_says(15_100, "all of it").hears(2, 15_500, "it").hears(1, 15_700, "all of it");
    assert_eq!(taken_back.judged().reasons, [""; 0], "its successor was lost");
}

#[test]
fn what_nobody_said_is_found() {
    let mut rig = Rig::switched();
    rig.hears(1, 14_000, "ghost");
    assert!(rig.reason().contains("\"ghost\", which nobody said"));
    let mut rig = Rig::switched();
    rig.hears(0, 1020, "three");
    assert!(rig.reason().contains("nobody said"), "not by then");
}

#[test]
fn an_answer_that_the_caller_did_not_hear_is_found() {
    let mut rig = Rig::switched();
    rig.call.heard.remove(1);
    assert!(rig.reason().contains("session 2 said \"you said two.\""), "{}", rig.reason());
    let mut rig = Rig::switched();
    rig.call.heard[1].text = "you said t\u{fffd}".into();
    assert!(rig.reason().contains("session 2 said \"you said two.\""));
    let mut rig = Rig::switched();
    rig.caller_hears(30_000, "i am a ghost");
    assert!(rig.reason().contains("nobody said"));
}

#[test]
fn what_a_session_begins_after_it_was_replaced_need_not_be_heard() {
    let mut rig = Rig::switched();
    rig.says(0, 10_500, "too late.");
    let judged = rig.judged();
    assert_eq!((judged.reasons, judged.unheard_after_replacement), (Vec::new(), 1));
    let mut rig = Rig::switched();
    rig.says(0, 5_000, "in time.");
    assert!(rig.reason().contains("in time"), "it was current long enough");
}

#[test]
fn of_one_sentence_of_two_sessions_that_which_has_to_be_heard_was() {
    let mut rig = Rig::new();
    rig.session(0, 13_000).session(10_000, 15_000).session(13_450, 59_000);
    rig.turn(0, 1000, "one", 1000).turn(1, 12_000, "two", 1000).turn(2, 20_000, "three", 1000);
    rig.hears(0, 12_370, "two").says(0, 12_980, "you said two.");
    let judged = rig.judged();
    assert_eq!((judged.reasons, judged.unheard_after_replacement), (Vec::new(), 1));
}

#[test]
fn a_sentence_that_breaks_off_with_its_session_must_be_gone_on_with() {
    let lost = || {
        let mut rig = Rig::new();
        rig.session(0, 0).session(3000, 59_000).lose(0, 2500);
        rig.caller_says(1000, "story").hears(0, 1500, "story");
        rig.says(0, 2000, "once upon a time there was a fox.").caller_hears(2100, "once upon a ti\u{fffd}");
        rig.turn(1, 9000, "two", 1000);
        rig
    };
    let rig = lost();
    assert!(rig.reason().contains("did not hear \"time there was a fox.\" of it"), "{}", rig.reason());
    assert_eq!(rig.judged().sentences_lost_to_caller, 1);
    let resumed_with = |rest: &str, heard: &str| {
        let mut rig = lost();
        rig.reads(1, 3100, "Please go on.").says(1, 4000, rest).caller_hears(4200, heard);
        rig
    };
    let whole = resumed_with("time there was a fox.", "time there was a fox.").judged();
    assert_eq!((whole.reasons, whole.resumed, whole.losses), (Vec::new(), 1, 1));
    let spread = whole.added_at_losses_ms.unwrap();
    assert_eq!(spread.max, 1760.0, "from the last sound of the broken sentence on");
    let overlapping = resumed_with("a time there was a fox.", "a time there was a fox.");
    assert_eq!(overlapping.judged().reasons, [""; 0], "a word may be said again");
    let too_late = resumed_with("there was a fox.", "there was a fox.");
    assert!(too_late.reason().contains("\"time there was a fox.\""), "{}", too_late.reason());
}

#[test]
fn a_caller_who_does_not_wait_for_the_next_session_has_talked_over_what_broke_off() {
    let mut rig = Rig::new();
    rig.session(0, 0).session(6000, 59_000).lose(0, 2500);
    rig.caller_says(1000, "story").hears(0, 1500, "story");
    rig.says(0, 2000, "once upon a time there was a fox.").caller_hears(2100, "once upon a ti\u{fffd}");
    assert!(rig.reason().contains("no later session"));
    rig.turn(1, 6500, "two", 1000);
    assert!(rig.reason().contains("no later session"), "there was one by then");
    rig.caller_says(5000, "hello").hears(1, 6100, "hello");
    let judged = rig.judged();
    assert_eq!((judged.reasons, judged.talked_over), (Vec::new(), 1));
}

#[test]
fn a_sentence_that_had_been_played_when_its_session_was_lost_has_no_excuse() {
    let mut rig = Rig::new();
    rig.session(0, 0).session(9100, 59_000).lose(0, 9000);
    rig.caller_says(1000, "one").hears(0, 1400, "one").says(0, 2000, "you said one.").turn(1, 12_000, "two", 1000);
    assert!(rig.reason().contains("you said one"), "{}", rig.reason());
}

#[test]
fn what_two_sessions_answer_is_found() {
    let mut rig = Rig::new();
    rig.session(0, 11_000).session(5000, 59_000);
    rig.turn(0, 3000, "one", 1000);
    rig.hears(1, 5100, "one").says(1, 5500, "you said one.").caller_hears(5600, "you said one.");
    assert!(rig.reason().contains("had been answered"));
    assert_eq!(rig.judged().said_twice, 1);
    let mut part = Rig::new();
    part.session(0, 11_000).session(5000, 59_000);
    part.turn(0, 3000, "one two", 1000);
    part.hears(1, 5100, "two").says(1, 5500, "you said two.").caller_hears(5600, "you said two.");
    assert!(part.reason().contains("had been answered"), "a part of the words is enough");
    let mut text = Rig::new();
    text.session(0, 11_000).session(5000, 59_000);
    text.turn(0, 3000, "one", 1000);
    text.reads(1, 5100, "one").says(1, 5500, "you said one.").caller_hears(5600, "you said one.");
    assert!(text.reason().contains("had been answered"), "so are words that came as text");
    let mut asked = Rig::new();
    asked.session(0, 11_000).session(5000, 59_000);
    asked.turn(0, 3000, "one", 1000);
    asked.reads(1, 5100, "Please go on.").says(1, 5500, "you said one.").caller_hears(5600, "you said one.");
    assert!(asked.reason().contains("had been answered"), "so is an answer that something else asked for");
}

#[test]
fn what_one_session_is_given_to_hear_twice_is_found() {
    let mut rig = Rig::switched();
    rig.hears(1, 13_000, "two").says(1, 13_600, "you said two.").caller_hears(13_700, "you said two.");
    assert!(rig.reason().contains("session 2 heard \"two\", which it had heard already"), "{}", rig.reason());
    assert_eq!(rig.judged().said_twice, 1);
    let mut repeated = Rig::switched();
    repeated.caller_says(30_000, "yes").caller_says(30_200, "yes").hears(1, 30_600, "yes").hears(1, 30_700, "yes");
    assert_eq!(repeated.judged().reasons, [""; 0], "the caller said it twice");
    let mut parts = Rig::switched();
    parts.caller_says(30_000, "once upon a time").hears(1, 30_500, "once up").hears(1, 30_900, "on a time");
    let reasons = parts.judged().reasons;
    assert!(!reasons.iter().any(|reason| reason.contains("already")), "{reasons:?}");
}

#[test]
fn what_is_said_again_to_the_same_words_said_again_is_not_said_twice() {
    let mut rig = Rig::new();
    rig.session(0, 11_000).session(10_000, 59_000);
    rig.turn(0, 1000, "yes", 1000).turn(1, 12_000, "yes", 1000);
    assert_eq!(rig.judged().reasons, [""; 0]);
    let mut greeted = Rig::switched();
    greeted.says(0, 100, "hello.").caller_hears(200, "hello.").says(1, 10_100, "hello.").caller_hears(10_200, "hello.");
    assert_eq!(greeted.judged().reasons, [""; 0], "words of the caller lie between");
    let mut again = Rig::new();
    again.session(0, 2000).session(1000, 59_000);
    again.says(0, 100, "hello.").caller_hears(200, "hello.").says(1, 1100, "hello.").caller_hears(1200, "hello.");
    assert_eq!(again.judged().said_twice, 1);
}

#[test]
fn a_deaf_session_is_found() {
    let mut rig = Rig::switched();
    rig.session(30_000, 59_500);
    rig.caller_says(40_000, "hello");
    let reasons = rig.judged().reasons;
    assert_eq!(rig.judged().deaf_sessions, 1);
    assert!(reasons.iter().any(|reason| reason.contains("session 3 was deaf")), "{reasons:?}");
    let mut heard_by_the_old = Rig::switched();
    heard_by_the_old.session(30_000, 59_500).caller_says(40_000, "hello").hears(1, 40_400, "hello");
    assert!(heard_by_the_old.reason().contains("session 3 was deaf"), "whoever else heard it");
    let mut short = Rig::switched();
    short.session(30_000, 59_500).session(40_200, 59_000);
    short.caller_says(40_000, "hello").hears(3, 40_600, "hello");
    assert_eq!(short.judged().reasons, [""; 0], "it was replaced before it could");
}

#[test]
fn an_interruption_breaks_a_sentence_off_where_the_line_is_cleared() {
    let mut rig = Rig::new();
    rig.session(0, 59_000);
    rig.says(0, 1000, "once upon a time.").caller_hears(1100, "once up\u{fffd}");
    rig.sessions[0].said[0].interrupted_at_sample = Some(9);
    rig.turn(0, 2000, "stop", 1000);
    assert!(rig.reason().contains("the caller heard \"onceup"), "nothing was cleared: {}", rig.reason());
    rig.call.clears = vec![Clear { at: 1300 * MS, dropped_samples: 80 }];
    assert_eq!(rig.judged().reasons, [""; 0]);
}

#[test]
fn sessions_that_are_left_open_or_grow_too_old_are_told_and_violations_counted() {
    let mut rig = Rig::switched();
    rig.sessions[0].end = Some(SessionEnd::TimedOut("too old".into()));
    assert!(rig.reason().contains("session 1 did not end by the book"));
    rig.sessions[0].end = None;
    assert!(rig.reason().contains("session 1 is still open"));
    rig.sessions[0].end = Some(SessionEnd::ByTheBook);
    rig.sessions[1].violations.push("history roles do not alternate".into());
    assert_eq!((rig.judged().violations, rig.judged().reasons.len()), (1, 1));
}

#[test]
fn words_of_others_and_sounds_without_words_are_nobodys_and_end_no_silence() {
    let mut rig = Rig::switched();
    rig.call.spoken_by_twilio = vec!["One moment.".into()];
    rig.caller_hears(40_000, "one moment.");
    rig.call.heard.insert(1, utterance(12_100, "\u{fffd}"));
    let judged = rig.judged();
    assert_eq!((judged.reasons, judged.added_at_switches_ms.map(|spread| spread.max)), (Vec::new(), Some(200.0)));
}
