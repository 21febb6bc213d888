//! What came of the experiments, side by side.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::{
    experiments::{Experiment, Kind},
    facts::Facts,
    plan::Outcome,
};

/// Times of an outcome that is a matter of time, such as the idle limit, may differ by this share.
const TIMES_AGREE: f64 = 0.2;

/// What a run found out.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// A session that is right, at the simulator.
    pub simulator: Facts,
    /// The same at the service.
    pub service: Facts,
    /// The experiments.
    pub findings: Vec<Finding>,
}

/// How both reacted to one breach.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Number of the rule; 0 for none.
    pub rule: u8,
    /// How it was broken.
    pub breach: &'static str,
    /// How the simulator reacted.
    pub simulator: Outcome,
    /// Seconds until then.
    pub simulator_seconds: f64,
    /// How the service reacted.
    pub service: Outcome,
    /// Seconds until then.
    pub service_seconds: f64,
    /// Whether that is the same.
    pub agrees: bool,
}

impl Finding {
    pub(super) fn new(experiment: &Experiment, simulated: (Outcome, Duration), real: (Outcome, Duration)) -> Self {
        let (simulator_seconds, service_seconds) = (simulated.1.as_secs_f64(), real.1.as_secs_f64());
        let in_time = (simulator_seconds - service_seconds).abs() <= TIMES_AGREE * simulator_seconds;
        let agrees = simulated.0 == real.0 && real.0.is_telling() && (experiment.kind != Kind::Slow || in_time);
        Self {
            rule: experiment.rule,
            breach: experiment.breach,
            simulator: simulated.0,
            simulator_seconds,
            service: real.0,
            service_seconds,
            agrees,
        }
    }
}

impl Report {
    /// Whether service and simulator reacted alike to everything.
    pub fn agrees(&self) -> bool {
        self.findings.iter().all(|finding| finding.agrees)
    }

    fn differing(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.agrees)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "a session that is right, at the simulator and at the service")?;
        facts(f, &self.simulator, &self.service)?;
        for Finding { rule, breach, simulator, service, service_seconds, simulator_seconds, agrees } in &self.findings {
            if *agrees {
                writeln!(f, "rule {rule:2}, {breach}: {simulator}")?;
            } else {
                writeln!(f, "rule {rule:2}, {breach}: DIFFERS")?;
                writeln!(f, "    simulator, {simulator_seconds:.1} s: {simulator}")?;
                writeln!(f, "    service, {service_seconds:.1} s: {service}")?;
            }
        }
        let count = self.differing().count();
        writeln!(f, "{} experiments, {count} outcomes differ", self.findings.len())?;
        let stricter =
            |finding: &&Finding| matches!(finding.service, Outcome::Answered | Outcome::Ended | Outcome::Silent);
        let mut rules: Vec<_> = self.differing().filter(stricter).map(|finding| finding.rule.to_string()).collect();
        rules.dedup();
        if !rules.is_empty() {
            writeln!(f, "the service accepts what the simulator does not: rules {}", rules.join(", "))?;
        }
        Ok(())
    }
}

fn facts(f: &mut fmt::Formatter<'_>, simulator: &Facts, service: &Facts) -> fmt::Result {
    let number = |value: Option<u64>| value.map_or_else(|| "?".to_owned(), |value| value.to_string());
    let mut line = |what: &str, of: &dyn Fn(&Facts) -> String| {
        writeln!(f, "  {what:<46} {:>12} {:>12}", of(simulator), of(service))
    };
    line("streams at a time on a connection", &|facts| facts.max_concurrent_streams.to_string())?;
    line("request to response, ms", &|facts| number(facts.response_ms))?;
    line("question to first audio, ms", &|facts| number(facts.first_audio_ms))?;
    line("bytes of audio in an audioOutput, median", &|facts| {
        number(facts.audio_output_bytes.map(|bytes| bytes as u64))
    })?;
    line("seconds of audio in a second", &|facts| facts.audio_speed.map_or_else(|| "?".into(), |x| format!("{x:.1}")))?;
    line("last audio to last FINAL text, ms", &|facts| number(facts.final_text_ms))?;
    line("promptEnd to completionEnd, ms", &|facts| number(facts.completion_end_ms))?;
    line("field p beside the bytes", &|facts| if facts.padded { "yes" } else { "no" }.to_owned())?;
    for (who, facts) in [("simulator", simulator), ("service", service)] {
        writeln!(f, "  {who}: {}", facts.events.join(", "))?;
    }
    Ok(())
}
