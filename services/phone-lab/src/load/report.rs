//! What a load run found: the figures of all calls, put together and judged.
//!
//! Pure. Percentiles are hdrhistogram's, to three significant figures of microseconds.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{
    call::{Placed, TICK},
    ears::Ears,
    forgery::Forgeries,
    process::{ProcessReport, ratio},
    track::{self, Faults},
};

/// Longer than this is reported as this.
const LONGEST: Duration = Duration::from_secs(120);
/// The generator's p99 lateness from which its figures are to be doubted.
const DOUBTFUL: Duration = Duration::from_millis(5);

/// Everything about a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Calls that were placed.
    pub placed: usize,
    /// Of these, calls that did not go to their end, by reason.
    pub failures: BTreeMap<String, usize>,
    /// Whether the run was stopped before all calls were placed and had said all.
    pub stopped_early: bool,
    /// Seconds until all were to be placed.
    pub ramp_seconds: f64,
    /// The most calls that were up at once, counted from asking for their documents.
    pub most_at_once: usize,
    /// Seconds from the first call to the last one's end.
    pub lasted_seconds: f64,
    /// Seconds that all calls' streams were up, added up.
    pub call_seconds: f64,
    /// What became of requests that Twilio has not signed; none if none were made.
    pub forgeries: Option<Forgeries>,
    /// From asking for a call's document to having it.
    pub webhook: Spread,
    /// From dialling the media socket to its 101.
    pub socket: Spread,
    /// From `start` to the first audio of the agent.
    pub first_audio: Spread,
    /// What became of frames; none if nothing echoes them.
    pub frames: Option<FrameReport>,
    /// How far the gap between two media messages was from the length of the audio in the first. Pauses from 500 ms on
    /// are left out.
    pub jitter: Spread,
    /// What interrupting took; none if the model is not the lab's own.
    pub barge_in: Option<BargeIn>,
    /// The processes under watch.
    pub processes: Vec<ProcessReport>,
    /// How well the lab itself did.
    pub generator: Generator,
    /// What the lab's own model noticed; none if the model is another.
    pub model: Option<ModelReport>,
}

/// Some durations, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// How many.
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

/// What became of the frames that callers said.
#[derive(Clone, Debug, Serialize)]
pub struct FrameReport {
    /// How many were sent.
    pub sent: u64,
    /// From the caller's socket to the model; none if the model is not the lab's own.
    pub there: Option<Way>,
    /// From the model to the caller's socket; none likewise.
    pub back: Option<Way>,
    /// From socket to socket.
    pub there_and_back: Way,
}

/// Frames on one way.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Way {
    /// How long each was under way.
    pub latency: Spread,
    /// How many took 20 ms or more longer than the median of their call.
    pub late: u64,
    /// What was wrong with them.
    #[serde(flatten)]
    pub faults: Faults,
}

/// What interrupting took: from the interrupting frame to `clear`, with a model that needs no time to notice.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BargeIn {
    /// Where `clear` came.
    pub clear: Spread,
    /// Calls in which it did not come within 2 s.
    pub missing: u64,
}

/// The lab itself.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Generator {
    /// How late frames were sent because of the lab.
    pub lateness: Spread,
    /// Frames that were a whole frame's length late or more.
    pub missed: u64,
    /// CPU time this process used, for each second of each call; with a model of its own in it.
    pub cpu_ms_per_call_second: f64,
    /// The same, as a number of cores.
    pub cores: f64,
    /// Whether the figures are in doubt: a deadline was missed, or p99 lateness is 5 ms or more.
    pub doubtful: bool,
}

/// The lab's own model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ModelReport {
    /// Sessions opened.
    pub sessions: usize,
    /// Sessions that the client ended as it should.
    pub by_the_book: usize,
    /// Sessions that were still open 5 s after the last call.
    pub left_open: usize,
    /// How the others ended, and how often.
    pub other_ends: BTreeMap<String, usize>,
    /// What the client did wrong, and how often.
    pub violations: BTreeMap<String, usize>,
    /// Requests that became no session, by reason.
    pub refusals: BTreeMap<String, usize>,
}

/// What a run gives besides its calls.
pub(super) struct Run<'a> {
    pub(super) stopped_early: bool,
    pub(super) ramp: Duration,
    pub(super) most_at_once: usize,
    pub(super) lasted: Duration,
    pub(super) own_cpu: Duration,
    /// Whether frames can be expected back.
    pub(super) echoed: bool,
    pub(super) ears: Option<&'a Ears>,
}

/// Puts a run's figures together. What was forged, processes and the model's own report are the caller's to add.
pub(super) fn report(calls: &[Placed], run: &Run<'_>) -> Report {
    let spread = |pick: fn(&Placed) -> Option<Duration>| spread(calls.iter().filter_map(pick));
    let mut failures = BTreeMap::new();
    for failure in calls.iter().filter_map(|call| call.failure.clone()) {
        *failures.entry(failure).or_default() += 1;
    }
    let lateness = || calls.iter().flat_map(|call| &call.lateness).copied();
    let lateness_spread = self::spread(lateness());
    let missed = lateness().filter(|late| *late >= TICK).count() as u64;
    let (seconds, cpu) = (run.lasted.as_secs_f64(), run.own_cpu.as_secs_f64());
    let call_seconds = calls.iter().map(|call| call.streamed.as_secs_f64()).sum();
    Report {
        placed: calls.len(),
        failures,
        stopped_early: run.stopped_early,
        ramp_seconds: run.ramp.as_secs_f64(),
        most_at_once: run.most_at_once,
        lasted_seconds: seconds,
        call_seconds,
        forgeries: None,
        webhook: spread(|call| call.webhook),
        socket: spread(|call| call.socket),
        first_audio: spread(|call| call.first_audio),
        frames: run.echoed.then(|| frames(calls, run.ears)),
        jitter: self::spread(calls.iter().flat_map(|call| &call.jitter).copied()),
        barge_in: run.ears.map(|_| BargeIn {
            clear: spread(|call| call.barge_in.flatten()),
            missing: calls.iter().filter(|call| call.barge_in == Some(None)).count() as u64,
        }),
        processes: Vec::new(),
        generator: Generator {
            lateness: lateness_spread,
            missed,
            cpu_ms_per_call_second: ratio(cpu * 1000.0, call_seconds),
            cores: ratio(cpu, seconds),
            doubtful: missed > 0 || lateness_spread.p99 >= DOUBTFUL.as_secs_f64() * 1000.0,
        },
        model: None,
    }
}

fn frames(calls: &[Placed], ears: Option<&Ears>) -> FrameReport {
    let (mut there, mut back, mut both) = (Tally::default(), Tally::default(), Tally::default());
    for call in calls {
        let sent = || call.sent.iter().enumerate();
        let round = sent().filter_map(|(n, at)| Some(call.back.at(n)?.saturating_duration_since(*at)));
        let faults = call.back.faults(call.sent.len());
        both.add(round.collect(), faults);
        let Some(heard) = ears.and_then(|ears| ears.track(call.call)) else { continue };
        let heard_faults = heard.faults(call.sent.len());
        let up = sent().filter_map(|(n, at)| Some(heard.at(n)?.saturating_duration_since(*at)));
        there.add(up.collect(), heard_faults);
        let down = sent().filter_map(|(n, _)| Some(call.back.at(n)?.saturating_duration_since(heard.at(n)?)));
        back.add(down.collect(), faults.beyond(heard_faults));
    }
    FrameReport {
        sent: calls.iter().map(|call| call.sent.len() as u64).sum(),
        there: ears.map(|_| there.way()),
        back: ears.map(|_| back.way()),
        there_and_back: both.way(),
    }
}

/// One way's figures while calls are added up.
#[derive(Default)]
struct Tally {
    latencies: Vec<Duration>,
    late: u64,
    faults: Faults,
}

impl Tally {
    fn add(&mut self, latencies: Vec<Duration>, faults: Faults) {
        self.late += track::late(&latencies);
        self.latencies.extend(latencies);
        self.faults.add(faults);
    }

    fn way(self) -> Way {
        Way { latency: spread(self.latencies), late: self.late, faults: self.faults }
    }
}

fn spread(durations: impl IntoIterator<Item = Duration>) -> Spread {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let mut histogram =
        Histogram::<u64>::new_with_bounds(1, micros(LONGEST), 3).expect("these bounds make a histogram");
    durations.into_iter().for_each(|duration| histogram.saturating_record(micros(duration)));
    let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    let count = histogram.len();
    if count == 0 {
        return Spread::default();
    }
    Spread { count, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: histogram.max() as f64 / 1000.0 }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use offhook_hosting::clock::Clock;

    use super::{
        super::{
            call,
            stamp::{Cut, Kind, Stamp},
        },
        *,
    };

    const MS: Duration = Duration::from_millis(1);

    /// A call whose frame 0, 1, 2 … came back after so many milliseconds; 0 stands for never.
    fn call(back_after: &[u32], start: Instant) -> Placed {
        let mut placed = call::tests::nothing_measured();
        for (sequence, after) in back_after.iter().enumerate() {
            let sent = start + TICK * sequence as u32;
            placed.sent.push(sent);
            if *after > 0 {
                let stamp = Stamp { kind: Kind::Echo, call: 0, sequence: sequence as u32 };
                placed.back.arrived(Cut::Frame { stamp, intact: true }, sent + MS * *after);
            }
        }
        placed
    }

    fn run(ears: Option<&Ears>) -> Run<'_> {
        let (lasted, own_cpu) = (Duration::from_secs(10), Duration::from_secs(5));
        Run { stopped_early: false, ramp: Duration::ZERO, most_at_once: 1, lasted, own_cpu, echoed: true, ears }
    }

    fn near(measured: f64, expected: f64) -> bool {
        (measured - expected).abs() <= expected * 0.001
    }

    impl Report {
        pub(in super::super) fn of_one_call() -> Self {
            Self { frames: None, ..report(&[call(&[], Clock.now())], &run(None)) }
        }
    }

    #[test]
    fn percentiles_are_of_all_durations() {
        let spread = spread((1..=1000).map(|n| MS * n));
        assert_eq!(spread.count, 1000);
        let expected = [(spread.p50, 500.0), (spread.p90, 900.0), (spread.p99, 990.0), (spread.max, 1000.0)];
        assert!(expected.into_iter().all(|(measured, expected)| near(measured, expected)), "{spread:?}");
    }

    #[test]
    fn nothing_measured_is_a_count_of_nothing() {
        assert_eq!(spread([]), Spread::default());
    }

    #[test]
    fn frames_of_all_calls_are_added_up_and_judged() {
        let start = Clock.now();
        let good = report(&[call(&[5, 5, 5], start), call(&[5, 5], start)], &run(None));
        let frames = good.frames.clone().unwrap();
        assert_eq!((frames.sent, frames.there_and_back.latency.count), (5, 5));
        assert!(near(frames.there_and_back.latency.max, 5.0) && frames.there.is_none());
        assert!(good.is_good());
        let bad = report(&[call(&[5, 5, 5], start), call(&[5, 0, 30, 5], start)], &run(None));
        let way = bad.frames.clone().unwrap().there_and_back;
        assert_eq!((way.faults, way.late), (Faults { lost: 1, ..Faults::default() }, 1));
        assert!(!bad.is_good());
    }

    #[test]
    fn each_way_is_measured_where_the_model_is_the_labs_own() {
        let start = Clock.now();
        let ears = Ears::new(1, 3);
        let stamp = Stamp { kind: Kind::Echo, call: 0, sequence: 0 };
        ears.track(0).unwrap().arrived(Cut::Frame { stamp, intact: true }, start + 2 * MS);
        let report = report(&[call(&[5, 0], start)], &run(Some(&ears)));
        let frames = report.frames.clone().unwrap();
        let (there, back) = (frames.there.unwrap(), frames.back.unwrap());
        assert!(near(there.latency.max, 2.0) && near(back.latency.max, 3.0), "{frames:?}");
        assert_eq!((there.faults.lost, back.faults.lost, frames.there_and_back.faults.lost), (1, 0, 1));
    }

    #[test]
    fn a_call_that_failed_and_a_run_without_calls_are_no_success() {
        let mut failed = call(&[], Clock.now());
        failed.failure = Some("nobody is there".into());
        let report = report(&[failed], &run(None));
        assert_eq!(report.failures, BTreeMap::from([("nobody is there".to_owned(), 1)]));
        assert!(!report.is_good());
        assert!(!super::report(&[], &run(None)).is_good());
    }

    #[test]
    fn a_generator_that_missed_a_deadline_is_doubtful() {
        let mut late = call(&[5], Clock.now());
        late.lateness = vec![MS; 300];
        assert!(!report(std::slice::from_ref(&late), &run(None)).generator.doubtful);
        late.lateness.push(TICK);
        let generator = report(&[late], &run(None)).generator;
        assert_eq!((generator.missed, generator.doubtful, generator.cores), (1, true, 0.5));
    }
}
