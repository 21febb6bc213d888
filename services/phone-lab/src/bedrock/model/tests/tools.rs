//! Tools: one or several, answered soon, late, in any order or never.

use super::*;

const COMPARE: &str = r#"
dialogue:
  - heard: "compare"
    tools:
      - { name: price, input: { of: "a" }, reply: "a costs {tool.price}." }
      - { name: price, input: { of: "b" } }
    reply: "all in all {tool.price} and {tool.tax}."
  - heard: "slow"
    tool: { name: price, filler: "let me see." }
    meanwhile: "this takes a while."
    reply: "it is {tool.price}."
  - heard: "one by one"
    tools: [{ name: price, filler: "first this." }, { name: price, filler: "then another, which takes a little longer to say." }]
    reply: "so {tool.price}."
  - heard: "unknown"
    tools: [{ name: price }, { name: nobody_knows }]
    reply: "got {tool.price}, {tool.other}."
  - heard: "cancel"
    tool: { name: cancel }
    reply: "cancelled {tool.id}."
"#;

/// What is said, of these events.
fn said(events: &[String]) -> Vec<&str> {
    let after_speculative = |pair: &[String]| pair[0] == "ASSISTANT SPECULATIVE";
    events.windows(2).filter(|pair| after_speculative(pair)).map(|pair| pair[1].as_str()).collect()
}

#[test]
fn a_tool_is_asked_for_after_its_filler_and_its_result_is_spoken() {
    let mut rig = Rig::listening();
    rig.say("cancel it");
    rig.silence(3000 * MS);
    let filler =
        ["ASSISTANT SPECULATIVE", "one moment.", "audio", "AUDIO END_TURN", r#"cancel({"id":"7"})"#, "TOOL TOOL_USE"];
    assert_eq!(rig.events()[3..], filler);
    rig.silence(5000 * MS);
    assert_eq!(rig.events(), ["ASSISTANT FINAL", "one moment."]);
    rig.answer_tool(r#"{"id":"R-7"}"#);
    rig.silence(1000 * MS);
    assert_eq!(rig.events(), ["ASSISTANT SPECULATIVE", "R-7 is gone.", "audio", "AUDIO END_TURN"]);
}

#[test]
fn a_tool_without_a_reply_is_followed_by_silence() {
    let mut rig = Rig::listening();
    rig.say("bye");
    rig.silence(3000 * MS);
    assert_eq!(rig.events()[3..], ["hang_up({})", "TOOL TOOL_USE"]);
    rig.answer_tool("{}");
    rig.silence(9000 * MS);
    assert_eq!(rig.events(), [""; 0]);
}

#[test]
fn speaking_up_before_a_result_is_spoken_does_not_lose_it() {
    let mut rig = Rig::listening();
    rig.say("cancel it");
    rig.silence(7000 * MS);
    rig.events();
    rig.answer_tool(r#"{"id":"R-7"}"#);
    rig.say("are you there");
    rig.silence(6000 * MS);
    let said: Vec<_> = rig.events().into_iter().filter(|event| !event.contains(char::is_uppercase)).collect();
    assert_eq!(said, ["are you there", "you said are you there", "audio", "audio", "you said are you there"]);
    let noted = |note: &&Note| matches!(note, Note::Said(text) if text == "R-7 is gone.");
    assert_eq!(rig.notes.iter().filter(noted).count(), 1);
}

#[test]
fn a_tool_that_is_never_answered_for_is_never_spoken_of_and_the_limits_go_on() {
    let mut rig = Rig::listening();
    rig.say("cancel it");
    rig.silence(7000 * MS);
    rig.events();
    rig.silence(20_000 * MS);
    assert_eq!(rig.events(), [""; 0]);
    rig.say("hi there");
    rig.silence(7000 * MS);
    assert!(rig.events().contains(&"you said hi there".to_owned()));
    rig.wait(55_000 * MS);
    assert!(rig.events()[0].starts_with("validationException Timed out waiting"));
}

#[test]
fn several_tools_are_asked_for_in_one_turn_and_their_results_may_come_in_any_order() {
    let mut rig = Rig::playing(COMPARE);
    rig.say("compare them");
    rig.silence(3000 * MS);
    let asked = [r#"price({"of":"a"})"#, "TOOL TOOL_USE", r#"price({"of":"b"})"#, "TOOL TOOL_USE"];
    assert_eq!(rig.events()[3..], asked);
    rig.answer_nth_tool(1, r#"{"price":2,"tax":3}"#);
    rig.silence(2000 * MS);
    assert_eq!(rig.events(), [""; 0], "there is nothing to say to b alone");
    rig.answer_nth_tool(0, r#"{"price":1}"#);
    rig.silence(2000 * MS);
    assert_eq!(said(&rig.events()), ["a costs 1.", "all in all 1 and 3."]);
}

#[test]
fn what_the_caller_says_while_tools_are_pending_is_answered_and_may_open_more() {
    let mut rig = Rig::playing(COMPARE);
    rig.say("compare them");
    rig.silence(3000 * MS);
    rig.events();
    rig.say("still there");
    rig.silence(6000 * MS);
    assert_eq!(said(&rig.events()), ["you said still there"]);
    rig.say("cancel it");
    rig.silence(3000 * MS);
    assert!(rig.events().ends_with(&["cancel({})".to_owned(), "TOOL TOOL_USE".to_owned()]));
    rig.answer_tool(r#"{"id":"R-7"}"#);
    rig.silence(4000 * MS);
    assert_eq!(said(&rig.events()), ["cancelled R-7."]);
    rig.answer_nth_tool(0, r#"{"price":1}"#);
    rig.silence(4000 * MS);
    assert_eq!(said(&rig.events()), ["a costs 1."]);
    rig.answer_nth_tool(0, r#"{"tax":2}"#);
    rig.silence(4000 * MS);
    assert_eq!(said(&rig.events()), ["all in all 1 and 2."]);
}

#[test]
fn the_model_may_talk_while_a_tool_is_pending_and_is_not_cut_short_by_the_result() {
    let mut rig = Rig::playing(COMPARE);
    rig.say("slow");
    rig.silence(2500 * MS);
    let events = rig.events();
    let order = ["let me see.", "price({})", "this takes a while."];
    let at = order.map(|event| events.iter().position(|other| other == event).unwrap());
    assert!(at.is_sorted(), "{events:?}");
    rig.answer_tool(r#"{"price":9}"#);
    rig.silence(4000 * MS);
    let events = rig.events();
    assert!(!events.contains(&"TEXT INTERRUPTED".to_owned()), "{events:?}");
    assert_eq!(said(&events), ["it is 9."]);
}

#[test]
fn a_barge_in_does_not_cancel_what_was_asked_for() {
    let mut rig = Rig::playing(COMPARE);
    rig.say("one by one");
    // The first was asked for; the filler of the second is being said.
    rig.silence(2300 * MS);
    assert_eq!(rig.asked.len(), 1);
    rig.say("wait a moment");
    rig.silence(4000 * MS);
    let events = rig.events();
    assert!(events.contains(&"TEXT INTERRUPTED".to_owned()), "{events:?}");
    assert_eq!(rig.asked.len(), 1, "the second is never asked for");
    rig.answer_tool(r#"{"price":5}"#);
    rig.silence(4000 * MS);
    assert_eq!(said(&rig.events()), ["so 5."]);
}

#[test]
fn a_tool_that_the_client_does_not_offer_has_no_result() {
    let mut rig = Rig::playing(COMPARE);
    rig.say("unknown");
    rig.silence(3000 * MS);
    let remark = "the script asks for tool nobody_knows, which the client does not offer";
    assert!(rig.notes.contains(&Note::Remark(remark.into())));
    rig.answer_tool(r#"{"price":4}"#);
    rig.silence(3000 * MS);
    assert_eq!(said(&rig.events()), ["got 4, nothing."]);
}
