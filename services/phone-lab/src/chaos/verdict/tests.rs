use offhook_hosting::clock::Clock;

use super::*;
use crate::twilio::{CallEvent, Happening};

const MS: Duration = Duration::from_millis(1);
const WORD: u32 = 6;
const WORKER: Victim = Victim { role: Role::Worker, index: 0 };
const EDGE: Victim = Victim { role: Role::Edge, index: 0 };

fn speech(text: &str, at: u32) -> Utterance {
    let characters = text.chars().count() as u32;
    Utterance { text: text.to_owned(), at: MS * at, lasted: CHARACTER * characters, pcm: Vec::new() }
}

/// Words of call 1, by number and milliseconds.
fn spoken(words: &[(u32, u32)]) -> Vec<Utterance> {
    words.iter().map(|(number, at)| speech(&format!("#1:{number}."), *at)).collect()
}

/// A call of ten seconds on edge 0.
struct Rig {
    start: Instant,
    placed: Placed,
    sessions: Vec<CallSession>,
    struck: Vec<Struck>,
}

impl Rig {
    /// What the caller said and heard, by number and milliseconds, and which of these words the model heard, all on
    /// worker 0.
    fn new(said: &[(u32, u32)], model: &[u32], heard: &[(u32, u32)]) -> Self {
        let start = Clock.now();
        let mut report = CallReport::of_nothing(CallEnd::CallerHungUp);
        (report.said, report.heard) = (spoken(said), spoken(heard));
        let end = Happening::Ended { end: CallEnd::CallerHungUp };
        report.timeline = vec![CallEvent { at: 10_000 * MS, what: end }];
        let connections = vec![Connection { edge: 0, opened: start + 50 * MS, closed: Some(start + 10_000 * MS) }];
        let placed = Placed { call: 1, placed: start, over: start + 10_000 * MS, connections, report };
        let heard = model.iter().copied().collect();
        let sessions = vec![CallSession { worker: 0, opened: start + 100 * MS, heard }];
        Self { start, placed, sessions, struck: Vec::new() }
    }

    /// A call whose words 0 to 3 were all heard.
    fn good() -> Self {
        let said = [(0, 500), (1, 1000), (2, 1500), (3, 2000)];
        Self::new(&said, &[0, 1, 2, 3], &said.map(|(number, at)| (number, at + 80)))
    }

    fn killed(mut self, victim: Victim, at: u32) -> Self {
        let at = self.start + MS * at;
        self.struck.push(Struck { victim, at, told: at, back: Some(at + 1000 * MS) });
        self
    }

    fn ended(mut self, end: CallEnd) -> Self {
        self.placed.report.end = end;
        self
    }

    fn verdict(&self) -> Verdict {
        judge(&self.placed, Some(&self.sessions), &self.struck, false)
    }

    fn touched(&self) -> Vec<(usize, Touch)> {
        self.verdict().touched
    }
}

#[test]
fn a_call_in_which_every_word_came_back_lived_and_its_quiet_is_how_long_an_answer_took() {
    let verdict = Rig::good().verdict();
    assert!(verdict.is_good() && verdict.touched.is_empty(), "{verdict:?}");
    assert_eq!((verdict.said, verdict.longest_quiet_ms), (4, 80));
}

#[test]
fn a_word_is_lost_on_the_way_on_which_it_was_lost() {
    let said = [(0, 500), (1, 1000), (2, 1500), (3, 2000)];
    let verdict = Rig::new(&said, &[0, 1, 3], &[(0, 580), (3, 2080)]).verdict();
    assert_eq!((verdict.said, verdict.lost, verdict.lost_to_model, verdict.lost_to_caller), (4, 2, Some(1), Some(1)));
    assert!(verdict.lived && !verdict.is_good());
    assert_eq!(verdict.longest_quiet_ms, 2080 - 1000, "from the first word that was lost to the next that was heard");
}

#[test]
fn a_word_that_is_never_answered_is_waited_for_until_the_end() {
    assert_eq!(Rig::new(&[(0, 500), (1, 1000)], &[0], &[(0, 580)]).verdict().longest_quiet_ms, 9000);
    assert_eq!(Rig::new(&[], &[], &[]).verdict().longest_quiet_ms, 10_000, "nobody ever greeted");
}

#[test]
fn an_earlier_word_is_no_answer_and_neither_is_one_of_another_call() {
    let mut rig = Rig::new(&[(0, 500), (1, 600)], &[0, 1], &[(0, 650), (1, 900)]);
    assert_eq!(rig.verdict().longest_quiet_ms, 300);
    rig.placed.report.heard[1].text = "#2:1.".into();
    let verdict = rig.verdict();
    assert_eq!((verdict.lost_to_caller, verdict.longest_quiet_ms), (Some(1), 9400));
}

#[test]
fn a_word_that_ran_dry_half_way_is_heard_where_it_began_and_one_that_was_cut_is_not_said() {
    let mut rig = Rig::new(&[(0, 500), (1, 1000)], &[0], &[]);
    rig.placed.report.heard = vec![speech("#1:", 560), speech("0.", 900)];
    rig.placed.report.said[1].lasted = CHARACTER * (WORD - 3);
    let verdict = rig.verdict();
    assert_eq!((verdict.said, verdict.longest_quiet_ms), (1, 60));
    assert!(verdict.is_good());
}

#[test]
fn a_call_that_its_worker_carried_has_to_be_heard_again_to_live() {
    let rig = Rig::good().killed(WORKER, 1200);
    assert_eq!((rig.touched(), rig.verdict().lived), (vec![(1, Touch::Carried)], true));
    let rig = Rig::good().killed(WORKER, 1600);
    assert!(rig.verdict().lived, "a word that was said after it was heard");
    let rig = Rig::good().killed(WORKER, 1200).killed(WORKER, 2050);
    assert!(!rig.verdict().lived, "no word was said after the second");
    let mute = Rig::new(&[(0, 500), (1, 1000)], &[0], &[(0, 580)]).killed(WORKER, 800);
    assert!(!mute.verdict().lived, "the planned end alone does not do");
}

#[test]
fn a_call_that_ended_otherwise_than_planned_did_not_live() {
    for end in [CallEnd::HungUpByDocument, CallEnd::ApplicationError, CallEnd::PatienceEnded, CallEnd::EndedByRest] {
        assert!(!Rig::good().ended(end).verdict().lived, "{end:?}");
    }
}

#[test]
fn only_the_process_that_carries_a_call_touches_it() {
    for role in [Role::Worker, Role::Edge] {
        let on_it = Rig::good().killed(Victim { role, index: 0 }, 1200);
        assert_eq!(on_it.touched(), [(1, Touch::Carried)]);
        let beside = Rig::good().killed(Victim { role, index: 1 }, 1200);
        assert_eq!(beside.touched(), []);
    }
}

#[test]
fn a_call_that_has_moved_is_no_longer_carried_by_where_it_was() {
    let mut rig = Rig::good();
    let heard = [2, 3].into();
    rig.sessions.push(CallSession { worker: 1, opened: rig.start + 1300 * MS, heard });
    let rig = rig.killed(WORKER, 1200).killed(WORKER, 1400);
    assert_eq!(rig.touched(), [(1, Touch::Carried)]);
    let verdict = rig.verdict();
    assert!(verdict.is_good(), "what was heard in any session was heard: {verdict:?}");
    assert_eq!(verdict.carriers, [EDGE, WORKER, Victim { index: 1, ..WORKER }]);
}

#[test]
fn a_kill_after_the_call_touches_it_not() {
    assert_eq!(Rig::good().killed(WORKER, 10_000).touched(), []);
    assert_eq!(Rig::good().killed(EDGE, 10_500).touched(), []);
}

#[test]
fn a_call_that_is_being_set_up_or_is_placed_before_the_victim_is_back_is_arriving() {
    for (at, touched) in [(90, vec![(1, Touch::Arriving)]), (110, vec![(1, Touch::Carried)])] {
        assert_eq!(Rig::good().killed(WORKER, at).touched(), touched, "the session opened at 100 ms");
    }
    assert_eq!(Rig::good().killed(EDGE, 20).touched(), [(1, Touch::Arriving)], "not connected yet");
    let elsewhere = Victim { index: 1, ..EDGE };
    assert_eq!(Rig::good().killed(elsewhere, 60).touched(), [], "connected to another edge");
    for (back_after, touched) in [(600, vec![(1, Touch::Arriving)]), (400, vec![])] {
        let mut rig = Rig::good();
        let at = rig.start - 500 * MS;
        rig.struck.push(Struck { victim: WORKER, at, told: at, back: Some(at + MS * back_after) });
        assert_eq!(rig.touched(), touched, "back {back_after} ms later, placed 500 ms later");
    }
}

#[test]
fn a_call_that_the_lab_itself_ended_early_lived_and_its_last_words_do_not_count() {
    let said = [(0, 500), (1, 7900), (2, 8100)];
    let rig = Rig::new(&said, &[0, 1], &[(0, 580), (1, 7980)]).ended(CallEnd::EndedByRest);
    let verdict = judge(&rig.placed, Some(&rig.sessions), &rig.struck, true);
    assert!(verdict.is_good(), "{verdict:?}");
    assert_eq!((verdict.said, verdict.longest_quiet_ms), (2, 80));
}

#[test]
fn where_the_model_cannot_be_asked_a_word_that_did_not_come_back_is_lost_on_a_way_that_nobody_knows() {
    let said = [(0, 500), (1, 1000), (2, 1500), (3, 2000)];
    let rig = Rig::new(&said, &[], &[(0, 580), (3, 2080)]);
    let verdict = judge(&rig.placed, None, &[], false);
    assert_eq!((verdict.lost, verdict.lost_to_model, verdict.lost_to_caller), (2, None, None));
    assert!(verdict.lived && !verdict.is_good());
    assert_eq!(verdict.carriers, [EDGE], "which worker had it is not known");
}

#[test]
fn where_the_model_cannot_be_asked_the_one_worker_has_a_call_from_the_first_that_its_caller_heard() {
    let touched = |victim, at| {
        let rig = Rig::good().killed(victim, at);
        judge(&rig.placed, None, &rig.struck, false).touched
    };
    assert_eq!(touched(WORKER, 579), [(1, Touch::Arriving)]);
    assert_eq!(touched(WORKER, 580), [(1, Touch::Carried)]);
    assert_eq!(touched(WORKER, 10_000), []);
    assert_eq!(touched(EDGE, 20), [(1, Touch::Arriving)], "not connected yet");
    assert_eq!(touched(EDGE, 60), [(1, Touch::Carried)]);
}

#[test]
fn a_word_that_was_said_before_the_signal_had_certainly_been_sent_shows_nothing() {
    let mut rig = Rig::good().killed(WORKER, 1600);
    assert!(rig.verdict().lived);
    rig.struck[0].told += 401 * MS;
    assert!(!rig.verdict().lived, "the last word is from 2000 ms, and the signal may be from 2001");
}
