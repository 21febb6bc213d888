//! A plan and a report for people.

use std::{
    fmt::{self, Display, Formatter},
    time::Duration,
};

use super::{
    plan::{Kill, Outline},
    report::{Group, Report},
    verdict::{Touch, Verdict},
};

/// The plan, line by line.
pub(super) fn plan(outline: &Outline, kills: &[Kill]) -> String {
    let mut text = format!("seed {}, kills planned: {}\n", outline.seed, kills.len());
    for Kill { at, victim, restart_after } in kills {
        text += &format!("{:>8} s  {victim}, started again after {} s\n", tenths(*at), tenths(*restart_after));
    }
    text
}

fn tenths(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64())
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { seed, edges, workers, lines, lasted_seconds, .. } = self;
        let early = if self.stopped_early { ", stopped early" } else { "" };
        writeln!(
            f,
            "seed {seed}: {lines} calls kept up for {lasted_seconds:.1} s{early}, {edges} edges, {workers} workers, {} \
             calls placed\n",
            self.calls.len()
        )?;
        self.fmt_kills(f)?;
        self.fmt_calls(f)?;
        self.fmt_groups(f)?;
        self.crashes.iter().try_for_each(|crash| writeln!(f, "{crash}"))?;
        for (what, count) in self.violations.iter().flatten() {
            writeln!(f, "towards the model: {count} x {what}")?;
        }
        if self.is_mute() {
            writeln!(f, "no word ever came back: does the model say what it hears (phone-lab bedrock --echo)?")?;
        }
        let verdict = if self.is_good() {
            "every call lived and no word was lost"
        } else {
            "NOT every call and word came through"
        };
        writeln!(f, "{verdict}")
    }
}

impl Report {
    fn fmt_kills(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.kills.is_empty() {
            return Ok(());
        }
        let [a, b, c, d] = ["gone ms", "back ms", "its calls", "carried"];
        writeln!(f, "{:<16}{:>8}{a:>9}{b:>9}{c:>11}{d:>9}{:>7}{:>10}", "kill", "at s", "lived", "arriving")?;
        for (number, kill) in (1..).zip(&self.kills) {
            writeln!(
                f,
                "{:<16}{:>8.1}{:>9}{:>9}{:>11}{:>9}{:>7}{:>10}",
                format!("{number} {}", kill.victim),
                kill.at_seconds,
                known(kill.gone_after_ms),
                known(kill.back_after_ms),
                known(kill.legs),
                kill.carried,
                kill.lived,
                kill.arriving
            )?;
        }
        writeln!(f)
    }

    /// Every call that was touched or is not as it should be.
    fn fmt_calls(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let told: Vec<_> = self.calls.iter().filter(|call| !call.touched.is_empty() || !call.is_good()).collect();
        if told.is_empty() {
            return Ok(());
        }
        let [a, b, c] = ["to model", "to caller", "quiet ms"];
        let [d, e] = ["said", "lost"];
        writeln!(f, "{:<8}{:>7}{:>8}{d:>6}{e:>6}{a:>10}{b:>11}{c:>10}  kills and end", "call", "lived", "s")?;
        for call in told {
            writeln!(
                f,
                "{:<8}{:>7}{:>8.1}{:>6}{:>6}{:>10}{:>11}{:>10}  {}",
                call.call,
                if call.lived { "yes" } else { "no" },
                call.lasted_seconds,
                call.said,
                call.lost,
                known(call.lost_to_model),
                known(call.lost_to_caller),
                call.longest_quiet_ms,
                fate(call)
            )?;
        }
        let others = self.calls.iter().filter(|call| call.touched.is_empty() && call.is_good()).count();
        writeln!(f, "{others} other calls were untouched, lived and lost nothing\n")
    }

    fn fmt_groups(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [a, b, c] = ["to model", "to caller", "quiet p50 ms"];
        let [d, e, g] = ["lived", "%", "lost"];
        writeln!(f, "{:<20}{:>6}{d:>7}{e:>7}{g:>6}{a:>10}{b:>11}{c:>14}{:>8}{:>8}", "", "calls", "p95", "max")?;
        row(f, "carried by a victim", &self.carried)?;
        row(f, "arriving meanwhile", &self.arriving)?;
        row(f, "untouched", &self.untouched)
    }
}

fn row(f: &mut Formatter<'_>, name: &str, group: &Group) -> fmt::Result {
    let Group { calls, lived, lost, lost_to_model, lost_to_caller, longest_quiet } = group;
    let none = *calls == 0;
    let or_dash = |text: String| if none { "-".to_owned() } else { text };
    writeln!(
        f,
        "{name:<20}{calls:>6}{lived:>7}{:>7}{lost:>6}{:>10}{:>11}{:>14}{:>8}{:>8}",
        or_dash(format!("{:.0}", 100.0 * *lived as f64 / *calls as f64)),
        known(*lost_to_model),
        known(*lost_to_caller),
        or_dash(longest_quiet.p50_ms.to_string()),
        or_dash(longest_quiet.p95_ms.to_string()),
        or_dash(longest_quiet.max_ms.to_string())
    )
}

fn known(value: Option<impl Display>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

/// Which kills touched a call, and how it ended.
fn fate(call: &Verdict) -> String {
    let touch = |(number, touch): &(usize, Touch)| match touch {
        Touch::Carried => format!("{number}, "),
        Touch::Arriving => format!("{number} (arriving), "),
    };
    let end = serde_json::to_value(call.end).ok();
    let end = end.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
    let codes: Vec<_> = call.codes.iter().map(u32::to_string).collect();
    let codes = if codes.is_empty() { String::new() } else { format!(" ({})", codes.join(", ")) };
    format!("{}{end}{codes}", call.touched.iter().map(touch).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::{
        super::report::tests::{report, verdict},
        *,
    };
    use crate::twilio::CallEnd;

    #[test]
    fn a_call_that_was_touched_stands_in_the_table_with_what_became_of_it() {
        let touched = Verdict {
            lived: false,
            end: CallEnd::HungUpByDocument,
            codes: vec![31921],
            touched: vec![(1, Touch::Carried), (2, Touch::Arriving)],
            lost: 2,
            lost_to_model: None,
            lost_to_caller: None,
            ..verdict(7, 1234)
        };
        let text = report(vec![verdict(1, 60), touched]).to_string();
        assert!(text.contains("1, 2 (arriving), hung_up_by_document (31921)"), "{text}");
        assert!(text.contains("1 other calls were untouched, lived and lost nothing"), "{text}");
        assert!(text.contains("carried by a victim      1      0      0     2         -          -"), "{text}");
        assert!(!text.contains("no word ever came back"), "{text}");
        assert!(text.contains("NOT every call"), "{text}");
        let mute = Report { violations: None, ..report(vec![Verdict { lost: 20, ..verdict(1, 60) }]) };
        assert!(mute.to_string().contains("phone-lab bedrock --echo"), "{mute}");
        assert!(report(vec![verdict(1, 60)]).to_string().ends_with("every call lived and no word was lost\n"));
    }
}
