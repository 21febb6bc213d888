use proptest::prelude::{any, prop, proptest};

use super::*;

const EXAMPLE: &str = include_str!("../../../docs/agents.example.yaml");

fn mistakes(text: &str) -> Vec<String> {
    let human = "sip:help@example.com".parse().unwrap();
    let wrong = Agents::parse_with_human(text, Some(&human)).expect_err("there is a mistake");
    wrong.iter().map(|mistake| mistake.to_string()).collect()
}

fn one(lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!("agents:\n  one:\n{lines}")
}

fn agent(lines: &str) -> Agent {
    let agents = Agents::parse(&one(lines)).unwrap();
    Agent::clone(agents.default_agent())
}

#[test]
fn the_example_in_the_documentation_is_right() {
    let agents = Agents::parse_with_human(EXAMPLE, None).unwrap();
    let names: Vec<_> = agents.iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!(names, ["reception", "reminders"]);
    assert_eq!(agents.default_agent().name.as_str(), "reception");
    assert_eq!(agents.of_number("+15005550007").unwrap().name.as_str(), "reception");
    assert_eq!(agents.of_sip_domain("Aurora.SIP.Twilio.com").unwrap().name.as_str(), "reception");
    let reception = agents.named("reception").unwrap();
    assert_eq!(reception.fallback, Fallback::Queue);
    let to = "sip:front-desk@pbx.example.com;transport=tls".parse().unwrap();
    assert_eq!(reception.transfer, Some(Transfer { to, ring_seconds: 25, screen: true, caller_id: None }));
    let reminders = agents.named("reminders").unwrap();
    assert!(reminders.sentences.apology.starts_with("We are sorry, we cannot go on"));
    assert_eq!(reminders.sentences.hand_over, Sentences::default().hand_over);
}

#[test]
fn two_lines_are_an_agent() {
    let agents = Agents::parse("agents:\n  one: {prompt: Be kind.}").unwrap();
    let one = agents.default_agent();
    assert_eq!((one.prompt.as_str(), one.voice.as_str(), one.fallback), ("Be kind.", "matthew", Fallback::Apology));
    assert!(agents.of_number("+15005550006").is_none() && agents.named("two").is_none());
}

#[test]
fn every_mistake_is_told_at_once_in_the_files_order_and_with_its_place() {
    let text = "\
default: nobody
agent: {}
agents:
  Front:
    prompt: Hello.
  one:
    prompt: '  '
    voice: Matthew
    greting: Hello.
    numbers: ['+1 500', '+15005550006']
    fallback: voicemail
    transfer: {to: 'tel:1', ring_seconds: 3, screen: maybe}
  two:
    prompt: Hello.
    prompt: Hello again.
    numbers: +15005550006
  three:
    prompt: Hello.
    numbers: ['+15005550007', '+15005550007']
    sip_domains: [nowhere]
  four:
    prompt: Hello.
    transfer: {to: 'sip:a@example.com', caller_id: '+15005550006'}
    numbers: ['+15005550007']
";
    let found = mistakes(text);
    let expected = [
        "line 1, column 10: default: there is no agent of this name",
        "line 2, column 1: agent: there is no such setting here; there are default, agents",
        "line 4, column 3: agents.Front: expected a name of up to 64 lower-case letters",
        "line 7, column 13: agents.one.prompt: it is empty",
        "line 8, column 12: agents.one.voice: expected a voice's id in lower case",
        "line 9, column 5: agents.one.greting: there is no such setting here; there are prompt, voice, greeting",
        "line 10, column 15: agents.one.numbers: expected a number such as +15005550006",
        "line 11, column 15: agents.one.fallback: expected human, queue, busy or apology",
        "line 12, column 20: agents.one.transfer.to: expected a SIP URI",
        "line 12, column 43: agents.one.transfer.ring_seconds: expected 5 to 600 seconds",
        "line 12, column 54: agents.one.transfer.screen: expected true or false",
        "line 15, column 5: agents.two.prompt: this is there twice",
        "line 16, column 14: agents.two.numbers: expected a list",
        "line 19, column 31: agents.three.numbers: the agent three has this one",
        "line 20, column 19: agents.three.sip_domains: expected a SIP domain",
        "line 23, column 52: agents.four.transfer.caller_id: this is for numbers only",
        "line 24, column 15: agents.four.numbers: the agent three has this one",
    ];
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\nwas to be\n{expected}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn a_report_repeats_no_value_because_it_may_end_in_a_log() {
    let report = mistakes(&one("prompt: Hello.\nnumbers: ['+1 500 555 0006']\ntransfer: {to: 'sip jane@example.com'}"));
    assert_eq!(report.len(), 2);
    assert!(!report.iter().any(|line| line.contains("555 0006") || line.contains("jane")), "{report:?}");
}

#[test]
fn a_file_that_is_no_yaml_is_told_where_it_breaks() {
    for (broken, line) in [("agents:\n  one: [", "line 2"), ("agents: {\n\n", "line "), ("a: b: c", "line 1")] {
        let found = mistakes(broken);
        assert!(found.len() == 1 && found[0].starts_with(line) && found[0].contains("this is no YAML"), "{found:?}");
    }
}

#[test]
fn what_stands_for_something_else_is_refused() {
    for wrong in
        ["agents: &a {one: {prompt: *a}}", "agents: !big {}", "<<: {}\nagents: {}", "---\nagents: {}\n---\nb: c"]
    {
        assert!(!mistakes(wrong).is_empty(), "{wrong}");
    }
    let deep = format!("agents: {}{}", "[".repeat(100), "]".repeat(100));
    assert!(mistakes(&deep)[0].contains("nested too deeply"));
}

#[test]
fn a_file_without_agents_says_what_is_missing() {
    for (text, problem) in [
        ("", "agents: required"),
        ("agents:", "agents: required"),
        ("agents: {}", "expected 1 to 200 agents"),
        ("agents: [one]", "expected the agents by their names"),
        ("agents: one", "expected the agents by their names"),
        ("- agents", "expected lines of the form"),
        ("agents: {one: }", "expected lines of the form"),
    ] {
        assert!(mistakes(text)[0].contains(problem), "{text}: {:?}", mistakes(text));
    }
}

#[test]
fn several_agents_need_a_default() {
    let text = "agents:\n  one: {prompt: Hello.}\n  two: {prompt: Hello.}\n";
    assert!(mistakes(text)[0].contains("default: required where there are several agents"));
    let agents = Agents::parse(&format!("{text}default: two\n")).unwrap();
    assert_eq!(agents.default_agent().name.as_str(), "two");
}

#[test]
fn the_human_of_an_agent_is_its_own_or_the_one_beside_the_file() {
    let beside: SipUri = "sip:help@example.com".parse().unwrap();
    let with =
        |lines: &str, human| Agents::parse_with_human(&one(lines), human).map(|agents| agents.default_agent().clone());
    let plain = with("prompt: Hello.", Some(&beside)).unwrap();
    assert_eq!((plain.transfer.clone(), plain.fallback), (Some(Transfer::to_human(&beside)), Fallback::Human));
    let own = with("prompt: Hello.\ntransfer: {to: +15005550006}", Some(&beside)).unwrap();
    let transfer = own.transfer.clone().unwrap();
    assert!(matches!(transfer.to, Target::Number(_)) && transfer.screen, "a mailbox must not take the caller");
    let nobody = with("prompt: Hello.\nfallback: human", None).unwrap_err();
    assert!(nobody.to_string().contains("agents.one.fallback: there is no human"), "{nobody}");
    assert!(Agents::parse(&one("prompt: Hello.\nfallback: human")).is_ok(), "who reads it may not know the human");
}

#[test]
fn what_is_too_long_is_refused() {
    let long = |name: &str, length: usize| one(&format!("prompt: Hello.\n{name}: {}", "x".repeat(length)));
    assert!(Agents::parse(&long("greeting", 1_000)).is_ok());
    assert!(mistakes(&long("greeting", 1_001))[0].contains("longer than 1000 characters"));
    assert!(mistakes(&long("introduction", 301))[0].contains("longer than 300 characters"));
    assert!(mistakes(&one(&format!("prompt: {}", "x".repeat(40_001))))[0].contains("longer than 40000 characters"));
    assert!(mistakes(&"#".repeat(LONGEST_FILE + 1))[0].contains("longer than 1048576 bytes"));
}

#[test]
fn a_prompt_may_have_lines_and_a_number_needs_no_quotes() {
    let agent = agent("prompt: |\n  One.\n  Two.\nnumbers: [+15005550006]");
    assert_eq!((agent.prompt.as_str(), agent.numbers[0].as_str()), ("One.\nTwo.", "+15005550006"));
}

#[test]
fn the_built_in_agent_falls_back_to_the_human_where_there_is_one() {
    let human: SipUri = "sip:help@example.com".parse().unwrap();
    assert_eq!(Agents::demo(None).default_agent().fallback, Fallback::Apology);
    let agents = Agents::demo(Some(&human));
    assert_eq!(agents.default_agent().fallback, Fallback::Human);
    assert_eq!(agents.named("demo").unwrap().transfer, Some(Transfer::to_human(&human)));
}

#[test]
fn debug_shows_no_number_no_address_and_no_text() {
    let agents = Agents::parse(EXAMPLE).unwrap();
    let shown = format!("{agents:?} {:?}", agents.iter().collect::<Vec<_>>());
    assert!(shown.contains("reception"));
    for hidden in ["1500", "front-desk", "Aurora"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        let _ = Agents::parse(&text);
    }

    #[test]
    fn no_change_to_the_example_makes_the_reader_panic(at in 0..EXAMPLE.len(), with in prop::sample::select(vec!['{', '[', '"', ':', '-', '\t', '\n', '&', '*', '|', '\u{0}', 'ä'])) {
        let mut text: String = EXAMPLE.to_owned();
        if text.is_char_boundary(at) {
            text.insert(at, with);
        }
        match Agents::parse(&text) {
            Ok(agents) => assert!(agents.iter().count() > 0),
            Err(mistakes) => assert!(mistakes.iter().count() > 0, "refused, and nobody says why"),
        }
    }
}
