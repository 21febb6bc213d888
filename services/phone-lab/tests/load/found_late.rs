//! A bridge that is late is found out, and the figures are right within 2 ms.
//!
//! What the lab measured is held against what the bridge's own clock says, and both against an honest bridge that
//! carries the same load at the same time: what the machine costs, it costs both. Medians are compared. Where the lab's
//! own timers fired late, because the machine had other things to do, so did everything else: by as much as the p90 of
//! the lab's lateness lies above 2 ms, figures may differ more. (Half of these 2 ms is the timers' grain.) What
//! else the machine does may still fall on one figure of one run, so such a figure is measured again; a lab that measures
//! wrongly does so each time.

use std::collections::BTreeMap;

use crate::{
    bad_bridge::{Defect, Entry, Mischief, Way},
    setting::{Run, alone, run},
};

const CALLS: u16 = 2;
const FRAMES: u32 = 40;
/// How near figures are to be, and how late timers may fire on an idle machine, in milliseconds.
const NEAR: f64 = 2.0;
const ALL: [Entry; 7] =
    [Entry::Webhook, Entry::Socket, Entry::FirstAudio, Entry::There, Entry::Back, Entry::Clear, Entry::Jitter];

/// How often a figure that is not right is measured again.
const ATTEMPTS: usize = 5;

/// Sees to it that this figure is larger by at least so much than on an honest bridge, and that all figures are right.
async fn is_late(defect: Defect, what: Entry, by_ms: f64) {
    let _alone = alone().await;
    let mut unproven: Option<BTreeMap<String, String>> = None;
    for _ in 0..ATTEMPTS {
        let (honest, late) = tokio::join!(run(Defect::None, CALLS, FRAMES), run(defect, CALLS, FRAMES));
        let mut wrong = wrong_figures(&honest, &late);
        let own = late.own(what) - honest.own(what);
        if own < by_ms {
            wrong.insert("defect".to_owned(), format!("{what:?}: the bridge was to be late, and was by {own:.2} ms"));
        }
        wrong.retain(|figure, _| unproven.as_ref().is_none_or(|unproven| unproven.contains_key(figure)));
        if wrong.is_empty() {
            return;
        }
        unproven = Some(wrong);
    }
    panic!("{:#?}", unproven.unwrap_or_default());
}

fn wrong_figures(honest: &Run, late: &Run) -> BTreeMap<String, String> {
    let excess = |run: &Run| run.report.generator.lateness.p90 - NEAR;
    let tolerance = NEAR + excess(honest).max(excess(late)).max(0.0);
    let mut wrong = BTreeMap::new();
    let mut judge = |figure: String, lab: f64, own: f64| {
        if (lab - own).abs() > tolerance {
            wrong.insert(figure, format!("{lab:.2} ms instead of {own:.2} ms, not within {tolerance:.2} ms"));
        }
    };
    for entry in ALL {
        let (lab, own) = (late.lab(entry) - honest.lab(entry), late.own(entry) - honest.own(entry));
        judge(format!("{entry:?}, more than honest"), lab, own);
        judge(format!("{entry:?}"), late.lab(entry), late.own(entry));
        judge(format!("{entry:?}, honest"), honest.lab(entry), honest.own(entry));
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_held_for_30_ms_on_the_way_to_the_model_are_that_late_there_and_not_back() {
    is_late(Defect::Delays(Way::There), Entry::There, 29.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_held_for_30_ms_on_the_way_to_the_caller_are_that_late_back_and_not_there() {
    is_late(Defect::Delays(Way::Back), Entry::Back, 29.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_go_three_at_a_time_are_jitter() {
    is_late(Defect::Mangles(Way::Back, Mischief::Bunch), Entry::Jitter, 10.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clear_that_is_held_for_30_ms_makes_interrupting_take_that_much_longer() {
    is_late(Defect::ClearsLate, Entry::Clear, 29.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_is_answered_30_ms_late_is_that_late() {
    is_late(Defect::AnswersLate, Entry::Webhook, 29.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_media_socket_that_opens_30_ms_late_is_that_late() {
    is_late(Defect::OpensSocketsLate, Entry::Socket, 29.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_begins_300_ms_late_makes_the_first_audio_that_late() {
    is_late(Defect::OpensSessionsLate, Entry::FirstAudio, 200.0).await;
}
