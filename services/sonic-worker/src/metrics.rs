//! The worker's instruments, all of them. Call code reports facts; names and labels are decided here.

use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter, UpDownCounter},
};

use crate::{
    calls::{Entry, Outcome, ToolRun, Turn},
    conversation::Cause,
    nova::{Failure, Usage},
};

/// Seconds; from what we ourselves may take, over an instant answer, to a caller who gives up.
const LATENCY_BUCKETS: [f64; 15] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0];

/// Reports what happens on calls.
#[derive(Clone, Debug)]
pub struct Metrics {
    legs: UpDownCounter<i64>,
    refused_legs: Counter<u64>,
    ended: Counter<u64>,
    sessions: UpDownCounter<i64>,
    starts: Counter<u64>,
    ends: Counter<u64>,
    switches: Counter<u64>,
    interruptions: Counter<u64>,
    turn_latency: Histogram<f64>,
    tool_duration: Histogram<f64>,
    tokens: Counter<u64>,
    cost: Counter<f64>,
    dropped: Counter<u64>,
    ignored: Counter<u64>,
    skipped: Counter<u64>,
}

/// Why a leg was not taken.
#[derive(Clone, Copy, Debug)]
pub enum RefusedLeg {
    /// All sessions are in use.
    Full,
    /// The worker is draining.
    Draining,
    /// The edge did not say a valid `Start`, or not in time.
    NoStart,
    /// Its ticket has opened a leg before.
    UsedTicket,
    /// The call has a leg, about whose end nobody has asked.
    SecondOfCall,
}

/// Audio that was too late to be of use.
#[derive(Clone, Copy, Debug)]
pub enum Dropped {
    /// On the way to the model.
    CallerAudio,
    /// On the way to the edge.
    AgentAudio,
}

impl Metrics {
    /// Makes the instruments.
    pub fn new(meter: &Meter) -> Self {
        let seconds = |name: &'static str, description: &'static str| {
            let histogram = meter.f64_histogram(name).with_unit("s").with_description(description);
            histogram.with_boundaries(LATENCY_BUCKETS.to_vec()).build()
        };
        let count = |name: &'static str, description: &'static str| {
            meter.u64_counter(name).with_description(description).build()
        };
        let live = |name: &'static str, description: &'static str| {
            meter.i64_up_down_counter(name).with_description(description).build()
        };
        Self {
            legs: live("offhook.worker.legs", "Legs being served"),
            refused_legs: count("offhook.worker.legs.refused", "Legs not taken, by reason"),
            ended: count("offhook.worker.calls.ended", "Conversations ended, by outcome"),
            sessions: live("offhook.worker.sessions", "Model sessions open or opening"),
            starts: count("offhook.worker.session.starts", "Tries at opening a model session, by result"),
            ends: count("offhook.worker.session.ends", "Model sessions that ended, by what ended them"),
            switches: count("offhook.worker.session.switches", "Times one session took over from another, by cause"),
            interruptions: count("offhook.worker.interruptions", "Times a caller interrupted the agent"),
            turn_latency: seconds(
                "offhook.worker.turn.latency",
                "From the caller's last sound to the first sample of the answer that was played, by part",
            ),
            tool_duration: seconds("offhook.worker.tool.duration", "Tool runs, by whether they failed"),
            tokens: count("offhook.worker.tokens", "Tokens used, by direction and kind"),
            cost: meter
                .f64_counter("offhook.worker.cost.usd")
                .with_description("What the tokens used cost, in US dollars")
                .build(),
            dropped: count("offhook.worker.audio.dropped", "Pieces of audio dropped for being late, by direction"),
            skipped: count("offhook.worker.session.events.skipped", "Events of the model not known or not readable"),
            ignored: count("offhook.worker.messages.ignored", "Messages of the edge that meant nothing here"),
        }
    }

    /// A leg is being served, until the guard is dropped.
    pub fn leg(&self) -> Live {
        Live::begin(&self.legs)
    }

    /// A model session takes up a place, until the guard is dropped.
    pub fn session(&self) -> Live {
        Live::begin(&self.sessions)
    }

    /// A leg was not taken.
    pub fn leg_refused(&self, reason: RefusedLeg) {
        let reason = match reason {
            RefusedLeg::Full => "full",
            RefusedLeg::Draining => "draining",
            RefusedLeg::NoStart => "no_start",
            RefusedLeg::UsedTicket => "used_ticket",
            RefusedLeg::SecondOfCall => "second_of_call",
        };
        self.refused_legs.add(1, &[KeyValue::new("reason", reason)]);
    }

    /// A try at opening a session came to a result.
    pub fn session_start(&self, failure: Option<Failure>) {
        self.starts.add(1, &[KeyValue::new("result", failure.map_or("ok", Failure::as_str))]);
    }

    /// An open session's stream is over: as it was told to be, or through a failure.
    pub fn session_ended(&self, failure: Option<Failure>) {
        self.ends.add(1, &[KeyValue::new("kind", failure.map_or("closed", Failure::as_str))]);
    }

    /// The caller interrupted the agent.
    pub fn interrupted(&self) {
        self.interruptions.add(1, &[]);
    }

    /// One model session took over from another.
    pub fn switched(&self, cause: Cause) {
        let cause = match cause {
            Cause::Renewal => "renewal",
            Cause::Failure(failure) => failure.as_str(),
        };
        self.switches.add(1, &[KeyValue::new("cause", cause)]);
    }

    /// Pieces of audio were dropped, if any were.
    pub fn dropped(&self, what: Dropped, pieces: usize) {
        if pieces == 0 {
            return;
        }
        let direction = match what {
            Dropped::CallerAudio => "caller",
            Dropped::AgentAudio => "agent",
        };
        self.dropped.add(pieces as u64, &[KeyValue::new("direction", direction)]);
    }

    /// The edge sent something that meant nothing here.
    pub fn ignored(&self) {
        self.ignored.add(1, &[]);
    }

    /// The model sent an event that this version does not know or cannot read.
    pub fn event_skipped(&self) {
        self.skipped.add(1, &[]);
    }

    /// Something was added to a call's record.
    pub fn noted(&self, entry: &Entry) {
        match entry {
            Entry::Turn(turn) => self.turn(turn),
            Entry::Tool(run) => self.tool(run),
            Entry::Usage { usage, cost } => {
                self.usage(*usage);
                self.cost.add(cost.as_usd(), &[]);
            }
            Entry::Ended { outcome, .. } => self.call_ended(*outcome),
            Entry::Asked | Entry::Reported { .. } => {}
        }
    }

    fn turn(&self, turn: &Turn) {
        let Some(latency) = turn.latency else { return };
        let parts = [
            ("total", Some(latency.total_ms)),
            ("endpointing", latency.endpointing_ms),
            ("model", Some(latency.model_ms)),
            ("tool", Some(latency.tool_ms)),
            ("own", Some(latency.own_ms)),
        ];
        for (part, ms) in parts.into_iter().filter_map(|(part, ms)| Some((part, ms?))) {
            self.turn_latency.record(f64::from(ms) / 1_000.0, &[KeyValue::new("part", part)]);
        }
    }

    fn tool(&self, run: &ToolRun) {
        // No label for the name: it comes from the model, which may make names up.
        let failed = run.result.as_ref().is_none_or(|result| result.get("error").is_some());
        let duration = Duration::from_millis(run.duration_ms.into()).as_secs_f64();
        self.tool_duration.record(duration, &[KeyValue::new("failed", failed)]);
    }

    fn usage(&self, usage: Usage) {
        let kinds = [
            ("input", "speech", usage.input_speech_tokens),
            ("input", "text", usage.input_text_tokens),
            ("output", "speech", usage.output_speech_tokens),
            ("output", "text", usage.output_text_tokens),
        ];
        for (direction, kind, tokens) in kinds {
            self.tokens.add(tokens, &[KeyValue::new("direction", direction), KeyValue::new("kind", kind)]);
        }
    }

    fn call_ended(&self, outcome: Outcome) {
        self.ended.add(1, &[KeyValue::new("outcome", outcome.as_str())]);
    }
}

/// Counts as live until it is dropped.
#[derive(Debug)]
pub struct Live(UpDownCounter<i64>);

impl Live {
    fn begin(counter: &UpDownCounter<i64>) -> Self {
        counter.add(1, &[]);
        Self(counter.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.add(-1, &[]);
    }
}

#[cfg(test)]
mod tests {
    use offhook_hosting::telemetry::Telemetry;

    use super::*;
    use crate::{
        calls::{Latency, Speaker, TurnKind},
        prices::Prices,
    };

    #[test]
    fn what_calls_cost_adds_up_in_dollars() {
        let telemetry = Telemetry::for_metrics("test");
        let metrics = Metrics::new(&telemetry.meter("test"));
        let usage = Usage { output_speech_tokens: 500, ..Usage::default() };
        for _ in 0..2 {
            metrics.noted(&Entry::Usage { usage, cost: Prices::default().cost(usage) });
        }
        let families = telemetry.registry().gather();
        let cost = families.iter().find(|family| family.name() == "offhook_worker_cost_usd_total").unwrap();
        let usd = cost.get_metric()[0].get_counter().get_value();
        assert!((usd - 0.012).abs() < 1e-12, "{usd}");
    }
    #[test]
    fn a_wait_is_measured_part_by_part_without_what_is_not_known() {
        let telemetry = Telemetry::for_metrics("test");
        let metrics = Metrics::new(&telemetry.meter("test"));
        let latency = Latency { total_ms: 700, endpointing_ms: None, model_ms: 500, tool_ms: 0, own_ms: 200 };
        let at = jiff::Timestamp::UNIX_EPOCH;
        let turn = Turn::plain(Speaker::Agent, TurnKind::Speech, String::new(), at);
        metrics.noted(&Entry::Turn(Turn { latency: Some(latency), ..turn }));
        let families = telemetry.registry().gather();
        let waits = families.iter().find(|family| family.name() == "offhook_worker_turn_latency_seconds").unwrap();
        let waits = waits.get_metric().iter().map(|series| {
            let part = series.get_label().iter().find(|label| label.name() == "part").unwrap();
            (part.value(), series.get_histogram().get_sample_sum())
        });
        let waits: std::collections::BTreeMap<_, _> = waits.collect();
        assert_eq!(waits, [("model", 0.5), ("own", 0.2), ("tool", 0.0), ("total", 0.7)].into());
    }
}
