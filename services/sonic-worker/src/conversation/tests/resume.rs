//! Another leg of a call goes on with its conversation.

use super::*;
use crate::calls::{Begun, CallRecord, CallSid, Direction, LegNo, Since, ToolRun, TransferEnded, TurnKind};

const TALKED: Duration = Duration::from_secs(30);

fn turn(seconds: i64, speaker: Speaker, text: &str) -> Turn {
    let at = Timestamp::from_second(seconds - 1_000).unwrap();
    let heard = (speaker == Speaker::Agent).then(|| text.to_owned());
    Turn { heard, ..Turn::plain(speaker, TurnKind::Speech, text.into(), at) }
}

/// What was said and done before, until the agent asked for a human.
fn past(since: Since) -> Past {
    let started_at = Timestamp::from_second(-990).unwrap();
    let input = json!({ "reason": "a discount" });
    let result = Some(json!({ "status": "connecting" }));
    Past {
        leg: LegNo::FIRST,
        turns: vec![
            turn(0, Speaker::Agent, "Good morning."),
            turn(5, Speaker::Caller, "a human please"),
            turn(7, Speaker::Agent, "One moment."),
        ],
        tools: vec![ToolRun { name: "support".into(), input, result, started_at, duration_ms: 0 }],
        talked: TALKED,
        since: Some(since),
    }
}

fn transferred(status: &str, bridged: bool) -> Since {
    Since::Transferred(Some(TransferEnded {
        dial_call_sid: Some("CA1".into()),
        dial_call_status: status.into(),
        bridged,
        dial_call_duration_s: None,
        sip_response_code: None,
    }))
}

fn opening(past: Past) -> Rig {
    let tools = Tools::built_in(offhook_hosting::clock::Clock).specs(true);
    let limits = Limits { silence_ask_after: Duration::MAX, call_limit: Duration::MAX, ..Limits::default() };
    let mut rig = Rig::with_past(tools, limits, past, start());
    assert!(matches!(&rig.outputs()[..], [Output::OpenStream { .. }]));
    rig
}

const USED: &str = r#"[Used support with {"reason":"a discount"}: {"status":"connecting"}]"#;

#[test]
fn the_next_leg_remembers_the_conversation_and_speaks_first_about_what_happened_since() {
    let cases = [
        (transferred("busy", false), "could not be connected to a person: their line is busy"),
        (transferred("no-answer", false), "could not be connected to a person: nobody answered"),
        (transferred("completed", false), "could not be connected to a person: the person did not take the call"),
        (transferred("answered", false), "could not be connected to a person: the person did not take the call"),
        (transferred("failed", false), "could not be connected to a person: the connection failed"),
        (transferred("canceled", false), "could not be connected to a person: the attempt was cancelled"),
        (transferred("completed", true), "has spoken with a person, who has left the call"),
        (Since::Transferred(None), "could not be connected to a person"),
    ];
    for (since, what) in cases {
        let mut rig = opening(past(since));
        let expected =
            ["USER: hi", "ASSISTANT: Good morning.", "USER: a human please", &format!("ASSISTANT: One moment. {USED}")];
        let told = texts(&rig.opened());
        assert_eq!(told[..4], expected, "{what}");
        assert_eq!(told[4..], [format!("user: Note: The caller {what}. The caller is back with you.")]);
        let owes = rig.conversation.debt.stalled_at(Duration::ZERO);
        assert_eq!(owes, Some(rig.now), "a model that says nothing to it has stalled");
    }
}

#[test]
fn keys_that_were_sent_and_a_line_that_was_away_are_told_likewise() {
    let digits = Since::DigitsSent("1w23#".try_into().unwrap());
    let told = texts(&opening(past(digits)).opened());
    assert_eq!(told.last().unwrap(), "user: Note: The keys 1 2 3 # were sent into the line.");
    let told = texts(&opening(past(Since::Interrupted)).opened());
    let expected = "user: Note: The line was interrupted for a moment. The caller is back with you.";
    assert_eq!(told.last().unwrap(), expected);
}

#[test]
fn words_of_the_caller_that_had_no_answer_when_the_line_went_get_it_on_the_next_leg() {
    let mut past = past(Since::Interrupted);
    past.turns.push(turn(20, Speaker::Caller, "what time is it"));
    let told = texts(&opening(past).opened());
    assert!(told[3].starts_with("ASSISTANT:"), "{told:?}");
    let expected = "user: what time is it Note: The line was interrupted for a moment. The caller is back with you.";
    assert_eq!(told[4..], [expected]);
}

#[test]
fn the_record_says_what_the_agent_was_told_and_its_echo_is_nothing_that_the_caller_said() {
    let mut rig = opening(past(Since::Interrupted));
    rig.opened();
    rig.model(caller_said("Note: the line was interrupted for a moment. The caller is back with you."));
    rig.model(says_for("Here I am again.", 160));
    rig.handle(Input::LegEnded(LegEnd::Stopped));
    let turns: Vec<_> = rig.turns().iter().map(|turn| (turn.speaker, turn.kind)).collect();
    assert_eq!(turns, [(Speaker::System, TurnKind::Note), (Speaker::Agent, TurnKind::Speech)]);
}

#[test]
fn a_session_that_breaks_before_it_spoke_is_followed_by_one_that_is_told_the_same() {
    let mut rig = opening(past(transferred("busy", false)));
    let first = texts(&rig.opened());
    rig.ended(Some(Failure::Reset));
    rig.later(1_000);
    assert_eq!(texts(&rig.opened()), first);
}

#[test]
fn a_caller_goes_not_back_and_forth_between_a_model_and_a_human_who_are_both_not_there() {
    for (since, next_step) in [
        (transferred("busy", false), Agent::demo().apologise()),
        (transferred("completed", true), Agent::demo().hand_over()),
        (Since::Interrupted, Agent::demo().hand_over()),
    ] {
        let mut rig = opening(past(since));
        rig.refused(Failure::AccessDenied);
        assert_eq!(rig.outcome().unwrap(), (Outcome::ModelRefused, &next_step));
    }
}

#[test]
fn an_agent_with_a_greeting_is_told_it_on_the_first_leg_only() {
    let terms = |past| Terms {
        agent: Agent { greeting: Some("Hello from the library.".into()), ..Agent::demo() }.into(),
        tools: Vec::new(),
        prices: Prices::default(),
        limits: Limits::default(),
        context: CallContext::default(),
        past,
    };
    assert!(terms(Past::default()).setup().system_prompt.contains("Hello from the library."));
    assert!(!terms(past(Since::Interrupted)).setup().system_prompt.contains("Hello from the library."));
}

#[test]
fn legs_share_the_time_that_a_call_may_take() {
    let tools = Tools::built_in(offhook_hosting::clock::Clock).specs(true);
    let limits = Limits { call_limit: 2 * TALKED, call_limit_warning: Duration::ZERO, ..Limits::default() };
    let mut rig = Rig::with_past(tools, limits, past(Since::Interrupted), start());
    rig.outputs();
    rig.opened();
    rig.later(29_999);
    assert_eq!(rig.outcome(), None);
    rig.later(1);
    assert_eq!(rig.outcome().unwrap().0, Outcome::TimeUp);
}

#[test]
fn a_leg_of_which_nothing_was_heard_is_followed_by_one_that_greets() {
    let call_sid = CallSid::try_from(format!("CA{}", "0".repeat(32))).unwrap();
    let apology = Agent::demo().apologise();
    let leg = CallRecord::new(call_sid, "demo".into(), Direction::Inbound, Timestamp::UNIX_EPOCH, apology);
    let mut before = leg.clone();
    before.begin_leg(leg.clone());
    let second = before.clone().begin_leg(leg);
    let past = |before: &CallRecord| Past::from(Begun { leg: second, before: Some(before.clone()) });
    assert_eq!(texts(&opening(past(&before)).opened()), ["user: hi"]);
    let next_step = NextStep::Transfer { reason: None, say: None };
    before.apply(Entry::Ended {
        leg: LegNo::FIRST,
        at: Timestamp::UNIX_EPOCH,
        outcome: Outcome::ModelRefused,
        next_step,
    });
    let told = texts(&opening(past(&before)).opened());
    assert_eq!(told, ["user: Note: The caller could not be connected to a person. The caller is back with you."]);
}
