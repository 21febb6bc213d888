//! A report as a table for people.

use std::fmt::{self, Display, Formatter};

use super::report::{Report, Spread, Way};

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let failed: usize = self.failures.values().sum();
        let early = if self.stopped_early { ", stopped early" } else { "" };
        writeln!(
            f,
            "{} calls in {:.1} s{early}, placed within {:.1} s, {} at once at most, {:.0} call-seconds, {failed} failed",
            self.placed, self.lasted_seconds, self.ramp_seconds, self.most_at_once, self.call_seconds
        )?;
        for (why, count) in &self.failures {
            writeln!(f, "  {count} x {why}")?;
        }
        writeln!(f, "\n{:<34}{:>9}{:>9}{:>9}{:>9}{:>9}", "milliseconds", "count", "p50", "p90", "p99", "max")?;
        row(f, "set-up: webhook", &self.webhook)?;
        row(f, "set-up: media socket", &self.socket)?;
        row(f, "set-up: start to first audio", &self.first_audio)?;
        if let Some(frames) = &self.frames {
            let ways = [("caller to model", &frames.there), ("model to caller", &frames.back)];
            for (name, way) in ways.into_iter().filter_map(|(name, way)| Some((name, way.as_ref()?))) {
                row(f, &format!("frames: {name}"), &way.latency)?;
            }
            row(f, "frames: there and back", &frames.there_and_back.latency)?;
        }
        row(f, "arrival jitter", &self.jitter)?;
        if let Some(barge_in) = &self.barge_in {
            row(f, "barge-in: frame to clear", &barge_in.clear)?;
        }
        row(f, "the lab's own lateness", &self.generator.lateness)?;
        self.fmt_frames(f)?;
        self.fmt_processes(f)?;
        self.fmt_model(f)?;
        self.fmt_forgeries(f)?;
        self.fmt_verdict(f)
    }
}

impl Report {
    fn fmt_frames(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(frames) = &self.frames else {
            return writeln!(
                f,
                "\nframes cannot be judged: nothing was said to echo them (--echo), and the model is not the lab's own \
                 (--bedrock-listen)"
            );
        };
        writeln!(
            f,
            "\n{:<34}{:>9}{:>9}{:>9}{:>10}{:>9}{:>9}",
            format!("{} frames", frames.sent),
            "lost",
            "altered",
            "late",
            "reordered",
            "repeated",
            "strayed"
        )?;
        if let (Some(there), Some(back)) = (&frames.there, &frames.back) {
            faults(f, "caller to model", there)?;
            faults(f, "model to caller", back)?;
        }
        faults(f, "there and back", &frames.there_and_back)
    }

    fn fmt_processes(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.processes.is_empty() {
            writeln!(
                f,
                "\n{:<34}{:>14}{:>9}{:>14}{:>12}",
                "process", "CPU ms/call-s", "cores", "RSS kB/call", "RSS kB"
            )?;
        }
        for process in &self.processes {
            writeln!(
                f,
                "{:<34}{:>14.2}{:>9.2}{:>14.0}{:>12}",
                format!("{} ({})", process.name, process.pid),
                process.cpu_ms_per_call_second,
                process.cores,
                process.rss_kb_per_call,
                process.rss_peak_kb
            )?;
        }
        let with = if self.model.is_some() { ", with the simulated Bedrock in it" } else { "" };
        writeln!(
            f,
            "\nthe lab itself used {:.2} CPU ms/call-s, {:.2} cores{with}",
            self.generator.cpu_ms_per_call_second, self.generator.cores
        )
    }

    fn fmt_model(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(model) = &self.model else { return Ok(()) };
        writeln!(
            f,
            "the model had {} sessions, {} ended by the book, {} left open",
            model.sessions, model.by_the_book, model.left_open
        )?;
        for (what, counts) in [("end", &model.other_ends), ("mistake", &model.violations), ("refused", &model.refusals)]
        {
            for (why, count) in counts {
                writeln!(f, "  {count} x {what}: {why}")?;
            }
        }
        Ok(())
    }

    fn fmt_forgeries(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(forgeries) = &self.forgeries else {
            return writeln!(f, "requests that Twilio has not signed were not tried");
        };
        let (refused, accepted) = (forgeries.refused.len(), forgeries.accepted.len());
        writeln!(f, "requests that Twilio has not signed: {refused} refused, {accepted} accepted")
    }

    fn fmt_verdict(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let generator = &self.generator;
        if generator.doubtful {
            writeln!(
                f,
                "WARNING: the lab itself was late: p99 {:.1} ms, {} frames by 20 ms or more. Latencies count from the \
                 real sending, but the load was not even",
                generator.lateness.p99, generator.missed
            )?;
        }
        let wrong = self.wrong();
        for what in &wrong {
            writeln!(f, "WRONG: {what}")?;
        }
        match &self.frames {
            _ if !wrong.is_empty() => Ok(()),
            Some(_) => writeln!(f, "every frame arrived as it was sent, once and in order"),
            None => writeln!(f, "every call went to its end"),
        }
    }
}

fn row(f: &mut Formatter<'_>, name: &str, spread: &Spread) -> fmt::Result {
    let Spread { count, p50, p90, p99, max } = spread;
    if *count == 0 {
        return writeln!(f, "{name:<34}{count:>9}{:>9}{:>9}{:>9}{:>9}", "-", "-", "-", "-");
    }
    writeln!(f, "{name:<34}{count:>9}{p50:>9.2}{p90:>9.2}{p99:>9.2}{max:>9.2}")
}

fn faults(f: &mut Formatter<'_>, name: &str, way: &Way) -> fmt::Result {
    let faults = way.faults;
    writeln!(
        f,
        "{name:<34}{:>9}{:>9}{:>9}{:>10}{:>9}{:>9}",
        faults.lost, faults.altered, way.late, faults.reordered, faults.repeated, faults.strayed
    )
}
