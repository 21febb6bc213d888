//! A run as JUnit XML, the shape that CI systems read: a suite for each scenario, a case for each call.

use std::{collections::BTreeMap, io};

use quick_xml::{
    Writer,
    events::{BytesDecl, BytesText, Event},
};

use super::{Call, NotPlayed, Run};

const INDENT: usize = 2;

/// The run's calls as test cases. A bad call is a failure with its reasons; every played call has its timeline as
/// output.
///
/// # Errors
/// None that a buffer in memory could have.
pub fn junit(run: &Run) -> io::Result<String> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', INDENT);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let suites = suites(run);
    let all = Counts::of(suites.values());
    let element = writer.create_element("testsuites").with_attribute(("name", "phone-lab"));
    let element =
        element.with_attributes(all.attributes(run.lasted_ms).iter().map(|(name, value)| (*name, value.as_str())));
    element.write_inner_content(|writer| {
        suites.iter().try_for_each(|(name, suite)| write_suite(writer, name, suite, run))
    })?;
    let mut xml = String::from_utf8(writer.into_inner()).map_err(io::Error::other)?;
    xml.push('\n');
    Ok(xml)
}

/// The calls of one scenario.
#[derive(Default)]
struct Suite<'a> {
    played: Vec<&'a Call>,
    skipped: Vec<&'a NotPlayed>,
}

fn suites(run: &Run) -> BTreeMap<&str, Suite<'_>> {
    let mut suites: BTreeMap<&str, Suite<'_>> = BTreeMap::new();
    run.calls.iter().for_each(|call| suites.entry(&call.scenario).or_default().played.push(call));
    run.not_played.iter().for_each(|call| suites.entry(&call.scenario).or_default().skipped.push(call));
    suites
}

#[derive(Default)]
struct Counts {
    tests: usize,
    failures: usize,
    skipped: usize,
}

impl Counts {
    fn of<'a>(suites: impl IntoIterator<Item = &'a Suite<'a>>) -> Self {
        suites.into_iter().fold(Self::default(), |counts, suite| Self {
            tests: counts.tests + suite.played.len() + suite.skipped.len(),
            failures: counts.failures + suite.played.iter().filter(|call| !call.good).count(),
            skipped: counts.skipped + suite.skipped.len(),
        })
    }

    fn attributes(&self, took_ms: f64) -> [(&'static str, String); 5] {
        [
            ("tests", self.tests.to_string()),
            ("failures", self.failures.to_string()),
            ("errors", "0".to_owned()),
            ("skipped", self.skipped.to_string()),
            ("time", seconds(took_ms)),
        ]
    }
}

fn write_suite(writer: &mut Writer<Vec<u8>>, name: &str, suite: &Suite<'_>, run: &Run) -> io::Result<()> {
    let took = suite.played.iter().map(|call| call.lasted_ms).sum();
    // Without a fraction and without a zone, as the shape has it.
    let timestamp = run.started_at.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let element = writer.create_element("testsuite").with_attribute(("name", clean(name).as_str()));
    let counts = Counts::of([suite]).attributes(took);
    let element = element.with_attributes(counts.iter().map(|(name, value)| (*name, value.as_str())));
    let element = element.with_attribute(("timestamp", timestamp.as_str()));
    element.write_inner_content(|writer| {
        suite.played.iter().try_for_each(|call| write_call(writer, call))?;
        suite.skipped.iter().try_for_each(|call| write_skipped(writer, call))
    })?;
    Ok(())
}

fn write_call(writer: &mut Writer<Vec<u8>>, call: &Call) -> io::Result<()> {
    let element = writer.create_element("testcase").with_attribute(("name", clean(&call.name).as_str()));
    let element = element.with_attribute(("classname", clean(&call.scenario).as_str()));
    element.with_attribute(("time", seconds(call.lasted_ms).as_str())).write_inner_content(|writer| {
        if let Some(first) = call.reasons.first() {
            let failure = writer.create_element("failure").with_attribute(("message", clean(first).as_str()));
            let text = clean(&call.reasons.join("\n"));
            failure.with_attribute(("type", "call")).write_text_content(BytesText::new(&text))?;
        }
        let mut timeline: String = call.timeline.iter().map(|entry| format!("{entry}\n")).collect();
        timeline.extend(call.continuity.iter().map(|continuity| format!("{continuity}\n")));
        writer.create_element("system-out").write_text_content(BytesText::new(&clean(&timeline)))?;
        Ok(())
    })?;
    Ok(())
}

fn write_skipped(writer: &mut Writer<Vec<u8>>, call: &NotPlayed) -> io::Result<()> {
    let element = writer.create_element("testcase").with_attribute(("name", clean(&call.name).as_str()));
    let element =
        element.with_attribute(("classname", clean(&call.scenario).as_str())).with_attribute(("time", "0.000"));
    element.write_inner_content(|writer| {
        writer.create_element("skipped").with_attribute(("message", "the run was stopped before it")).write_empty()?;
        Ok(())
    })?;
    Ok(())
}

fn seconds(milliseconds: f64) -> String {
    format!("{:.3}", milliseconds / 1000.0)
}

/// Without the characters that XML 1.0 cannot have.
fn clean(text: &str) -> String {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if allowed(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use offhook_hosting::clock::Clock;

    use super::*;
    use crate::{
        report::Placed,
        scenario::Scenario,
        twilio::{CallEnd, CallEvent, CallReport, Happening},
    };

    /// A good call, a bad one with characters that XML has no place for, and one that was not played.
    fn run() -> Run {
        let scenario = Scenario::demo();
        let placed = Placed { at: Clock.now(), wall: Timestamp::UNIX_EPOCH };
        let call = |nth: usize, end, text: &str| {
            let mut report = CallReport::of_nothing(end);
            let says = Happening::TwilioSays { text: text.to_owned() };
            report.timeline = vec![CallEvent { at: Duration::from_millis(1500), what: says }];
            let mut plan = scenario.calls[nth].clone();
            plan.hears.clear();
            Call::new("de<mo", &plan, &report, None, placed)
        };
        let mut bad = call(1, CallEnd::PatienceEnded, "\u{1}]]> & \u{fffd}");
        bad.reasons.push("a \"second\" <reason>".to_owned());
        let left = NotPlayed { scenario: "other".to_owned(), name: "left".to_owned() };
        let calls = vec![call(0, CallEnd::CallerHungUp, "hello"), bad];
        Run::new("http://127.0.0.1:3000".to_owned(), 1, placed, Duration::from_secs(3), calls, vec![left])
    }

    #[test]
    fn calls_are_cases_of_suites_and_the_counts_add_up() {
        let xml = junit(&run()).unwrap();
        let document = roxmltree::Document::parse(&xml).unwrap();
        let suites = document.root_element();
        assert!(suites.has_tag_name("testsuites"));
        let counts = |node: roxmltree::Node<'_, '_>| {
            ["tests", "failures", "errors", "skipped"].map(|name| node.attribute(name).unwrap().parse::<u32>().unwrap())
        };
        assert_eq!(counts(suites), [3, 1, 0, 1]);
        let of: Vec<_> = suites.children().filter(roxmltree::Node::is_element).collect();
        assert!(of.iter().all(|suite| suite.has_tag_name("testsuite")));
        assert_eq!((counts(of[0]), counts(of[1])), ([2, 1, 0, 0], [1, 0, 0, 1]));
        assert_eq!(
            (of[0].attribute("name"), of[0].attribute("timestamp")),
            (Some("de<mo"), Some("1970-01-01T00:00:00"))
        );
    }

    #[test]
    fn a_failure_has_its_reasons_and_every_played_call_its_timeline() {
        let xml = junit(&run()).unwrap();
        let document = roxmltree::Document::parse(&xml).unwrap();
        let cases: Vec<_> = document.descendants().filter(|node| node.has_tag_name("testcase")).collect();
        let names: Vec<_> = cases.iter().map(|case| case.attribute("name").unwrap()).collect();
        assert_eq!(names, ["recorded-caller", "interrupting-caller", "left"]);
        assert_eq!((cases[0].attribute("classname"), cases[0].attribute("time")), (Some("de<mo"), Some("1.500")));
        let within = |case: usize, name| cases[case].children().find(|node| node.has_tag_name(name));
        let failure = within(1, "failure").unwrap();
        assert_eq!(failure.attribute("message"), Some("the caller waited in vain"));
        assert_eq!(failure.text(), Some("the caller waited in vain\na \"second\" <reason>"));
        assert!(within(0, "failure").is_none() && within(2, "failure").is_none());
        assert!(within(0, "system-out").unwrap().text().unwrap().contains("1.500s  twilio  says  hello"));
        assert!(within(1, "system-out").unwrap().text().unwrap().contains("\u{fffd}]]> & \u{fffd}"));
        assert!(within(2, "skipped").is_some() && within(2, "system-out").is_none());
    }
}
