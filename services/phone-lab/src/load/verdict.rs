//! Whether a run went as it should, and if not, what was wrong.
//!
//! Pure. Slowness is not judged: what is slow is for the reader of the figures to say.

use serde::Serialize;

use super::report::{FrameReport, ModelReport, Report, Way};

/// A report with its verdict.
#[derive(Debug, Serialize)]
pub struct Judged<'a> {
    /// Whether nothing was wrong.
    pub good: bool,
    /// What was.
    pub wrong: Vec<String>,
    /// The figures.
    #[serde(flatten)]
    pub report: &'a Report,
}

impl Report {
    /// Whether every call went to its end, no frame was lost, altered, reordered, repeated or astray, every
    /// interruption was followed by a `clear`, every session of the lab's own model ended by the book, and no forged
    /// request was accepted.
    pub fn is_good(&self) -> bool {
        self.wrong().is_empty()
    }

    /// The same with its reasons, as it goes into JSON.
    pub fn judged(&self) -> Judged<'_> {
        let wrong = self.wrong();
        Judged { good: wrong.is_empty(), wrong, report: self }
    }

    /// What was wrong, a line each.
    pub fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.placed == 0 {
            wrong.push("no call was placed".to_owned());
        }
        if !self.failures.is_empty() {
            let failed: usize = self.failures.values().sum();
            wrong.push(format!("{failed} calls did not go to their end"));
        }
        self.frames.iter().for_each(|frames| wrong_frames(frames, &mut wrong));
        if let Some(barge_in) = self.barge_in.filter(|barge_in| barge_in.missing > 0) {
            wrong.push(format!("{} interruptions were not followed by a clear within 2 s", barge_in.missing));
        }
        self.model.iter().for_each(|model| wrong_sessions(model, &mut wrong));
        let accepted = self.forgeries.iter().flat_map(|forgeries| &forgeries.accepted);
        wrong.extend(accepted.map(|forgery| format!("{forgery} was accepted")));
        wrong
    }
}

fn wrong_frames(frames: &FrameReport, wrong: &mut Vec<String>) {
    let FrameReport { there, back, there_and_back, .. } = frames;
    let before = wrong.len();
    for (name, way) in [("caller to model", there), ("model to caller", back)] {
        wrong.extend(way.as_ref().and_then(|way| wrong_with(name, way)));
    }
    // What each way alone explains needs no telling again.
    if wrong.len() == before {
        wrong.extend(wrong_with("there and back", there_and_back));
    }
}

fn wrong_with(name: &str, way: &Way) -> Option<String> {
    let faults = way.faults;
    let counts = [
        (faults.lost, "lost"),
        (faults.altered, "altered"),
        (faults.reordered, "reordered"),
        (faults.repeated, "repeated"),
        (faults.strayed, "strayed"),
    ];
    let told: Vec<_> =
        counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    (!told.is_empty()).then(|| format!("frames, {name}: {}", told.join(", ")))
}

fn wrong_sessions(model: &ModelReport, wrong: &mut Vec<String>) {
    if model.left_open > 0 {
        wrong.push(format!("{} sessions of the model were still open 5 s after the last call", model.left_open));
    }
    let badly = model.sessions.saturating_sub(model.by_the_book + model.left_open);
    if badly > 0 {
        wrong.push(format!("{badly} sessions of the model did not end by the book"));
    }
    let mistakes: usize = model.violations.values().sum();
    if mistakes > 0 {
        wrong.push(format!("{mistakes} mistakes were made in sessions of the model"));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{
        super::{
            forgery::{Forgeries, Forgery},
            report::{BargeIn, Spread},
            track::Faults,
        },
        *,
    };

    fn way(faults: Faults) -> Way {
        Way { faults, ..Way::default() }
    }

    fn frames(there: Faults, back: Faults, both: Faults) -> Option<FrameReport> {
        Some(FrameReport { sent: 1, there: Some(way(there)), back: Some(way(back)), there_and_back: way(both) })
    }

    /// A report of one call with which all is well, but for this.
    fn wrong(mar: impl FnOnce(&mut Report)) -> Vec<String> {
        let mut report = Report::of_one_call();
        mar(&mut report);
        assert_eq!((report.is_good(), report.judged().good), (report.wrong().is_empty(), report.wrong().is_empty()));
        report.wrong()
    }

    #[test]
    fn a_run_with_which_all_is_well_is_good() {
        let clean = Faults::default();
        assert_eq!(wrong(|report| report.frames = frames(clean, clean, clean)), [""; 0]);
        let by_the_book = ModelReport { sessions: 2, by_the_book: 2, ..ModelReport::default() };
        assert_eq!(wrong(|report| report.model = Some(by_the_book)), [""; 0]);
        let refused = Forgeries { refused: vec![Forgery::UnsignedSocket], ..Forgeries::default() };
        assert_eq!(wrong(|report| report.forgeries = Some(refused)), [""; 0]);
        let barge_in = BargeIn { clear: Spread::default(), missing: 0 };
        assert_eq!(wrong(|report| report.barge_in = Some(barge_in)), [""; 0]);
    }

    #[test]
    fn calls_that_were_not_placed_or_failed_are_told() {
        assert_eq!(wrong(|report| report.placed = 0), ["no call was placed"]);
        let failures = BTreeMap::from([("x".to_owned(), 2), ("y".to_owned(), 1)]);
        assert_eq!(wrong(|report| report.failures = failures), ["3 calls did not go to their end"]);
    }

    #[test]
    fn frames_are_told_of_by_the_way_on_which_it_happened() {
        let (clean, one) = (Faults::default(), Faults { lost: 1, ..Faults::default() });
        let told = |there, back, both| wrong(|report| report.frames = frames(there, back, both));
        assert_eq!(told(one, clean, one), ["frames, caller to model: 1 lost"]);
        let odd = Faults { lost: 0, altered: 2, reordered: 3, repeated: 4, strayed: 5 };
        let all = "frames, model to caller: 2 altered, 3 reordered, 4 repeated, 5 strayed";
        assert_eq!(told(clean, odd, odd), [all]);
        assert_eq!(told(clean, clean, one), ["frames, there and back: 1 lost"]);
    }

    #[test]
    fn an_interruption_without_a_clear_is_told() {
        let barge_in = BargeIn { clear: Spread::default(), missing: 2 };
        let told = wrong(|report| report.barge_in = Some(barge_in));
        assert_eq!(told, ["2 interruptions were not followed by a clear within 2 s"]);
    }

    #[test]
    fn sessions_that_were_left_open_or_ended_badly_and_mistakes_in_them_are_told() {
        let violations = BTreeMap::from([("x".to_owned(), 4)]);
        let model = ModelReport { sessions: 6, by_the_book: 1, left_open: 2, violations, ..ModelReport::default() };
        let expected = [
            "2 sessions of the model were still open 5 s after the last call",
            "3 sessions of the model did not end by the book",
            "4 mistakes were made in sessions of the model",
        ];
        assert_eq!(wrong(|report| report.model = Some(model)), expected);
    }

    #[test]
    fn an_accepted_forgery_is_told() {
        let accepted = vec![Forgery::ForgedWebhook, Forgery::UnsignedSocket];
        let forgeries = Forgeries { accepted, refused: vec![Forgery::UnsignedWebhook] };
        let expected = ["a wrongly signed webhook was accepted", "an unsigned media socket was accepted"];
        assert_eq!(wrong(|report| report.forgeries = Some(forgeries)), expected);
    }
}
