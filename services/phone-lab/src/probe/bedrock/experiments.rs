//! The rules of the documentation's table, each broken once.

use std::time::Duration;

use serde_json::json;

use super::{
    events::{
        asked_after, asked_in_session, audio_input, audio_start, content_end, goodbye, opening, prompt_start, question,
        session_start, text, text_start, tool, tool_result, until_tool_use, with, with_audio, without,
    },
    plan::{Move, Plan},
    wire::{FrameFlaw, RequestFlaw},
};

/// A way of being wrong.
#[derive(Clone, Copy, Debug)]
pub struct Experiment {
    /// Number of the rule that it breaks; 0 for a session that breaks none.
    pub rule: u8,
    /// How.
    pub breach: &'static str,
    /// What it takes.
    pub kind: Kind,
    pub(super) plan: fn() -> Plan,
}

/// What an experiment takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A few seconds.
    Quick,
    /// Minutes, and how many of them is what it is about.
    Slow,
    /// As many sessions as the quota allows.
    Crowded,
}

const fn quick(rule: u8, breach: &'static str, plan: fn() -> Plan) -> Experiment {
    Experiment { rule, breach, kind: Kind::Quick, plan }
}

fn request(request: RequestFlaw) -> Plan {
    Plan { request, moves: asked_after(opening()) }
}

fn moves(moves: Vec<Move>) -> Plan {
    Plan { request: RequestFlaw::None, moves }
}

/// A frame that is wrong, in a session that is right.
fn frame(flaw: FrameFlaw) -> Plan {
    moves(asked_in_session(vec![Move::SendFlawed(audio_input("A", SAMPLE), flaw)]))
}

fn session(event: serde_json::Value) -> Plan {
    moves(asked_after([vec![event], opening().split_off(1)].concat()))
}

fn prompt(event: serde_json::Value) -> Plan {
    moves(asked_after([vec![session_start(), event], opening().split_off(2)].concat()))
}

/// A session with history between its system prompt and its audio.
fn history(blocks: &[(&str, &str)]) -> Plan {
    let names = ["H1", "H2", "H3", "H4", "H5"];
    let blocks = names.iter().zip(blocks).flat_map(|(name, (role, words))| text(name, role, false, words));
    moves(asked_after([opening(), blocks.collect()].concat()))
}

fn events(events: &[serde_json::Value]) -> Vec<Move> {
    events.iter().cloned().map(Move::Send).collect()
}

fn ended(mut all: Vec<Move>) -> Plan {
    all.push(Move::Finish { by_the_book: true });
    moves(all)
}

/// All of them, in the order of the rules.
pub const EXPERIMENTS: &[Experiment] = &[
    quick(0, "nothing", || moves(asked_after(opening()))),
    quick(1, "GET", || request(RequestFlaw::Method)),
    quick(1, "a query", || request(RequestFlaw::Query)),
    quick(2, "content type of JSON", || request(RequestFlaw::ContentType)),
    quick(3, "no Authorization", || request(RequestFlaw::Unsigned)),
    quick(4, "signed with a wrong secret", || request(RequestFlaw::Secret)),
    quick(4, "signed for another region", || request(RequestFlaw::Region)),
    quick(5, "unknown access key", || request(RequestFlaw::Key)),
    quick(5, "wrong session token", || request(RequestFlaw::Token)),
    quick(7, "signed six minutes ago", || request(RequestFlaw::Old(Duration::from_secs(360)))),
    quick(8, "unknown model", || request(RequestFlaw::Model("amazon.nova-9-sonic-v1:0"))),
    quick(9, "v1", || {
        let opening = [vec![json!({"sessionStart": {"inferenceConfiguration": {}}})], opening().split_off(1)].concat();
        Plan { request: RequestFlaw::Model("amazon.nova-sonic-v1:0"), moves: asked_after(opening) }
    }),
    Experiment {
        rule: 11,
        breach: "a 21st session",
        kind: Kind::Crowded,
        plan: || moves([vec![Move::Crowd(20)], asked_after(opening())].concat()),
    },
    quick(12, "no event", || moves(Vec::new())),
    quick(13, "wrong checksum", || frame(FrameFlaw::Checksum)),
    quick(14, "a message without signature", || frame(FrameFlaw::Unsigned)),
    quick(15, "a message out of its chain", || frame(FrameFlaw::Signature)),
    quick(16, "a message dated six minutes ago", || frame(FrameFlaw::Old(Duration::from_secs(360)))),
    quick(16, "a message dated two seconds ago", || frame(FrameFlaw::Old(Duration::from_secs(2)))),
    quick(17, "an event type that is not chunk", || frame(FrameFlaw::EventType)),
    quick(18, "no bytes", || frame(FrameFlaw::NoBytes)),
    quick(18, "bytes that are no base64", || frame(FrameFlaw::NoBase64)),
    quick(18, "bytes that are no JSON", || frame(FrameFlaw::NoJson)),
    quick(19, "an event over 1,000,000 bytes", || {
        moves(asked_in_session(events(&[audio_input("A", &"AAAA".repeat(250_000))])))
    }),
    quick(20, "no empty frame at the end", || {
        moves([with_audio(), goodbye(), vec![Move::Finish { by_the_book: false }]].concat())
    }),
    quick(21, "unknown event", || session(json!({"sessionBegin": {}}))),
    quick(21, "two events in one", || {
        session(with(session_start(), "/promptStart", prompt_start()["promptStart"].clone()))
    }),
    quick(22, "promptStart first", || moves(asked_after(opening().split_off(1)))),
    quick(22, "sessionStart twice", session_twice),
    quick(23, "flat endpointingSensitivity", || session(json!({"sessionStart": {"endpointingSensitivity": "HIGH"}}))),
    quick(23, "unknown field in sessionStart", || session(with(session_start(), "/sessionStart/lab", json!(1)))),
    quick(25, "temperature 1.5", || {
        session(with(session_start(), "/sessionStart/inferenceConfiguration/temperature", json!(1.5)))
    }),
    quick(25, "maxTokens 0", || {
        session(with(session_start(), "/sessionStart/inferenceConfiguration/maxTokens", json!(0)))
    }),
    quick(25, "sensitivity EXTREME", || {
        let sensitivity = "/sessionStart/turnDetectionConfiguration/endpointingSensitivity";
        session(with(session_start(), sensitivity, json!("EXTREME")))
    }),
    quick(26, "no promptName", || prompt(without(prompt_start(), "/promptStart/promptName"))),
    quick(26, "another prompt's promptName", || {
        moves(asked_in_session(events(&[with(audio_input("A", SAMPLE), "/audioInput/promptName", json!("X"))])))
    }),
    quick(27, "44100 Hz", || {
        prompt(with(prompt_start(), "/promptStart/audioOutputConfiguration/sampleRateHertz", json!(44_100)))
    }),
    quick(28, "voice in the wrong case", || {
        prompt(with(prompt_start(), "/promptStart/audioOutputConfiguration/voiceId", json!("Matthew")))
    }),
    quick(29, "tool schema as an object", || {
        let tool = with(tool("cancel"), "/toolSpec/inputSchema/json", json!({"type": "object"}));
        prompt(with(prompt_start(), "/promptStart/toolConfiguration/tools", json!([tool])))
    }),
    quick(30, "two tools of one name", || {
        let twins = json!([tool("cancel"), tool("cancel")]);
        prompt(with(prompt_start(), "/promptStart/toolConfiguration/tools", twins))
    }),
    quick(30, "toolChoice of an unknown tool", || {
        let choice = json!({"tool": {"name": "other"}});
        prompt(with(prompt_start(), "/promptStart/toolConfiguration/toolChoice", choice))
    }),
    quick(31, "a contentName again", || {
        moves(asked_after([opening(), text("S", "USER", false, "Hello.").into()].concat()))
    }),
    quick(32, "unknown role", || history(&[("NARRATOR", "Hello.")])),
    quick(32, "no matching configuration", || {
        moves(asked_after([opening(), vec![without(text_start("H", "USER", false), TEXT_CONFIGURATION)]].concat()))
    }),
    quick(33, "no system prompt", || moves(asked_after(vec![session_start(), prompt_start()]))),
    quick(34, "second system prompt", || history(&[("SYSTEM", "Be polite.")])),
    quick(35, "history that starts with ASSISTANT", || history(&[("ASSISTANT", "Hello."), ("USER", "Hello.")])),
    quick(36, "USER twice in the history", || history(&[("USER", "Hello."), ("USER", "Are you there?")])),
    quick(37, "45 KiB of history in one message", || history(&[("USER", &"hello ".repeat(7680))])),
    quick(37, "51 KiB of history in one message", || history(&[("USER", &"hello ".repeat(8704))])),
    quick(37, "210 KiB of history", || {
        let words = "hello ".repeat(7168);
        history(&[("USER", &words), ("ASSISTANT", &words), ("USER", &words), ("ASSISTANT", &words), ("USER", &words)])
    }),
    quick(38, "text of the USER after audio", || moves(asked_in_session(events(&text("H", "USER", false, "Hello."))))),
    quick(38, "text of the ASSISTANT after audio", || {
        moves(asked_in_session(events(&text("H", "ASSISTANT", false, "Hello."))))
    }),
    quick(39, "audio in a text block", || {
        moves(asked_in_session(vec![Move::Send(text_start("H", "USER", true)), Move::Silence(TENTH)]))
    }),
    quick(41, "a question before audio", || {
        moves([events(&opening()), vec![Move::Send(audio_start("A"))], question("Say hello.")].concat())
    }),
    quick(42, "audio without a role", || {
        let start = without(audio_start("A"), "/contentStart/role");
        let opening = events(&[opening(), vec![start]].concat());
        moves([opening, vec![Move::Silence(TENTH)], question("Say hello.")].concat())
    }),
    quick(43, "a second audio container", || moves(asked_in_session(events(&[audio_start("B")])))),
    quick(44, "audio for an unknown content", || moves(asked_in_session(events(&[audio_input("B", SAMPLE)])))),
    quick(45, "audio that is no base64", || moves(asked_in_session(events(&[audio_input("A", "?")])))),
    quick(45, "half a sample", || moves(asked_in_session(events(&[audio_input("A", "AAAA")])))),
    quick(46, "a block without data", || {
        moves(asked_in_session(events(&[text_start("H", "USER", true), content_end("H")])))
    }),
    quick(47, "a tool result that is no JSON", || {
        moves([until_tool_use(), vec![Move::ToolResult("T", json!("done"))]].concat())
    }),
    quick(48, "a result for no tool use", || {
        moves(asked_in_session(events(&tool_result("T", "tooluse_lab_unknown", &json!("{}")))))
    }),
    quick(48, "a second result", || {
        let results = ["T", "T2"].map(|name| Move::ToolResult(name, json!("{\"done\":true}")));
        moves([until_tool_use(), results.into()].concat())
    }),
    quick(49, "promptEnd around open content", || {
        moves([with_audio(), events(&[json!({"promptEnd": {"promptName": "P"}})])].concat())
    }),
    quick(50, "a prompt without audio", || {
        ended(events(&[opening(), vec![json!({"promptEnd": {"promptName": "P"}})]].concat()))
    }),
    quick(51, "sessionEnd before promptEnd", || {
        ended([with_audio(), events(&[content_end("A"), json!({"sessionEnd": {}})])].concat())
    }),
    quick(51, "an event after sessionEnd", || ended([with_audio(), goodbye(), events(&[session_start()])].concat())),
    Experiment { rule: 52, breach: "a client that says nothing more", kind: Kind::Slow, plan: || moves(with_audio()) },
    Experiment {
        rule: 53,
        breach: "ten minutes",
        kind: Kind::Slow,
        plan: || moves([with_audio(), vec![Move::KeepSilent(Duration::from_secs(600))]].concat()),
    },
    quick(54, "no goodbye", || ended(with_audio())),
];

/// One sample of silence.
const SAMPLE: &str = "AAA=";
const TENTH: Duration = Duration::from_millis(100);
const TEXT_CONFIGURATION: &str = "/contentStart/textInputConfiguration";

fn session_twice() -> Plan {
    let mut opening = opening();
    opening.insert(1, session_start());
    moves(asked_after(opening))
}
