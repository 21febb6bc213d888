//! A bridge with one defect is found out: what was done wrong is counted exactly, and nothing else is held against it.

use phone_lab::load::{
    forgery::Forgery,
    report::{ModelReport, Report},
    track::Faults,
};

use crate::{
    bad_bridge::{Defect, Entry, Mischief, Way},
    setting::{Run, alone, run},
};

const CALLS: u16 = 2;
/// With the frame that interrupts, not a number of which the last is mangled.
const FRAMES: u32 = 25;
/// Of 25 frames each fourth, in both calls.
const MANGLED: u64 = 12;

const NO_FORGERIES: [Forgery; 0] = [];

async fn found(defect: Defect) -> Run {
    let _alone = alone().await;
    run(defect, CALLS, FRAMES).await
}

/// What is found wrong when frames are mangled, which must be as many as the bridge says.
async fn mangled(way: Way, mischief: Mischief) -> (Run, [Faults; 3]) {
    let run = found(Defect::Mangles(way, mischief)).await;
    assert_eq!(run.books.mangled(), MANGLED, "what the bridge was told to do");
    let faults = run.faults();
    assert_ne!(faults[2], Faults::default());
    let name = match way {
        Way::There => "frames, caller to model: 12 ",
        Way::Back => "frames, model to caller: 12 ",
    };
    assert!(run.report.wrong().iter().all(|wrong| wrong.starts_with(name)), "{}", run.report);
    (run, faults)
}

fn model(report: &Report) -> ModelReport {
    report.model.clone().unwrap()
}

const CLEAN: Faults = Faults { lost: 0, altered: 0, reordered: 0, repeated: 0, strayed: 0 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_bridge_is_found_faultless() {
    let Run { report, books } = &found(Defect::None).await;
    assert_eq!(report.wrong(), [""; 0], "{report}");
    let frames = report.frames.clone().unwrap();
    assert_eq!(frames.sent, 50);
    let calls = u64::from(CALLS);
    // The forged requests are in nobody's books: of the document asked for between them, nothing came.
    assert_eq!((books.count(Entry::Webhook), books.count(Entry::Socket)), (calls + 1, calls));
    assert_eq!((books.count(Entry::There), books.count(Entry::Clear)), (50 + calls, calls));
    assert_eq!((report.webhook.count, report.socket.count, report.first_audio.count), (calls, calls, calls));
    let expected = ModelReport { sessions: 2, by_the_book: 2, ..ModelReport::default() };
    assert_eq!(model(report), expected);
    let forgeries = report.forgeries.clone().unwrap();
    assert_eq!((forgeries.accepted.len(), forgeries.refused.len()), (0, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_leaked_are_found_open_after_the_calls() {
    let Run { report, .. } = &found(Defect::LeaksSessions).await;
    assert_eq!(report.wrong(), ["2 sessions of the model were still open 5 s after the last call"]);
    assert_eq!(model(report), ModelReport { sessions: 2, left_open: 2, ..ModelReport::default() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_left_without_a_word_are_found_not_to_end_by_the_book() {
    let Run { report, .. } = &found(Defect::LeavesSessions).await;
    let model = model(report);
    assert_eq!((model.sessions, model.by_the_book, model.left_open), (2, 0, 0), "{report}");
    let ended = ("the client is gone: the stream ended without promptEnd and sessionEnd".to_owned(), 2);
    assert_eq!(model.other_ends.into_iter().collect::<Vec<_>>(), [ended]);
    assert!(report.wrong().contains(&"2 sessions of the model did not end by the book".to_owned()), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_that_hears_the_model_out_is_found_to_ignore_interruptions() {
    let Run { report, books } = &found(Defect::IgnoresInterruptions).await;
    assert_eq!(report.wrong(), ["2 interruptions were not followed by a clear within 2 s"]);
    let barge_in = report.barge_in.unwrap();
    assert_eq!((barge_in.missing, barge_in.clear.count, books.count(Entry::Clear)), (2, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_dropped_on_the_way_to_the_model_are_counted_there() {
    let lost = Faults { lost: MANGLED, ..CLEAN };
    assert_eq!(mangled(Way::There, Mischief::Drop).await.1, [lost, CLEAN, lost]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_dropped_on_the_way_to_the_caller_are_counted_there() {
    let lost = Faults { lost: MANGLED, ..CLEAN };
    assert_eq!(mangled(Way::Back, Mischief::Drop).await.1, [CLEAN, lost, lost]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_altered_on_the_way_to_the_model_is_seen_there() {
    let altered = Faults { altered: MANGLED, ..CLEAN };
    assert_eq!(mangled(Way::There, Mischief::Alter).await.1, [altered, CLEAN, altered]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_altered_on_the_way_to_the_caller_is_seen_there() {
    let altered = Faults { altered: MANGLED, ..CLEAN };
    assert_eq!(mangled(Way::Back, Mischief::Alter).await.1, [CLEAN, altered, altered]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_overtake_on_the_way_to_the_model_are_counted_there() {
    let reordered = Faults { reordered: MANGLED, ..CLEAN };
    assert_eq!(mangled(Way::There, Mischief::Swap).await.1, [reordered, CLEAN, reordered]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_overtake_on_the_way_to_the_caller_are_counted_there() {
    let reordered = Faults { reordered: MANGLED, ..CLEAN };
    assert_eq!(mangled(Way::Back, Mischief::Swap).await.1, [CLEAN, reordered, reordered]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_go_to_the_model_twice_are_counted_there() {
    let repeated = Faults { repeated: MANGLED, ..CLEAN };
    assert_eq!(mangled(Way::There, Mischief::Repeat).await.1, [repeated, CLEAN, repeated]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_go_to_the_caller_twice_are_counted_there() {
    let repeated = Faults { repeated: MANGLED, ..CLEAN };
    assert_eq!(mangled(Way::Back, Mischief::Repeat).await.1, [CLEAN, repeated, repeated]);
}

/// Which forged requests are accepted; that they were, and nothing else, is what is wrong.
async fn accepted(defect: Defect) -> Vec<Forgery> {
    let Run { report, .. } = &found(defect).await;
    let accepted = report.forgeries.clone().unwrap().accepted;
    let expected: Vec<_> = accepted.iter().map(|forgery| format!("{forgery} was accepted")).collect();
    assert_eq!(report.wrong(), expected, "{report}");
    assert_eq!(model(report).sessions, usize::from(CALLS), "no forgery becomes a call");
    accepted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_that_answers_unsigned_webhooks_is_found_out() {
    assert_eq!(accepted(Defect::None).await, NO_FORGERIES);
    let both = [Forgery::UnsignedWebhook, Forgery::ForgedWebhook];
    assert_eq!(accepted(Defect::TakesUnsignedWebhooks).await, both);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_that_takes_any_signature_for_twilios_is_found_out() {
    assert_eq!(accepted(Defect::TakesWrongSignatures).await, [Forgery::ForgedWebhook]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_that_opens_unsigned_media_sockets_is_found_out() {
    let both = [Forgery::UnsignedSocket, Forgery::ForgedSocket];
    assert_eq!(accepted(Defect::TakesUnsignedSockets).await, both);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_that_signs_its_requests_to_the_model_wrongly_is_refused_and_reported() {
    let Run { report, .. } = &found(Defect::SignsWrongly).await;
    assert_eq!(report.wrong(), ["2 calls did not go to their end"]);
    let model = model(report);
    assert_eq!((model.sessions, model.refusals.values().sum::<usize>()), (0, 2));
    assert!(model.refusals.keys().all(|why| why.starts_with("403 InvalidSignatureException")), "{report}");
}
