use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::{keypad, notes};
use crate::{
    calls::{Speaker, ToolRun, Turn, TurnKind},
    nova::{HistoryLimits, Message, ending},
};

/// How much more than a session is told is remembered, because blank and merged messages leave room.
const TIMES_THE_LIMIT: usize = 3;
/// A tool's input and result are told in so many bytes each: enough for what an agent has to remember of them.
const TOOL_PIECE_BYTES: usize = 300;

/// What the next model session is told of the call: the caller's words and keys, the agent's words as far as they were
/// heard, and what its tools did, in the order in which it happened. The oldest is forgotten first.
#[derive(Debug)]
pub(super) struct Memory {
    limits: HistoryLimits,
    remembered: VecDeque<Remembered>,
    bytes: usize,
    /// What the caller said and no session may be told.
    left_out: Vec<String>,
}

#[derive(Debug)]
struct Remembered {
    at: Timestamp,
    message: Message,
}

impl Memory {
    /// Remembers enough for a history of these limits.
    pub(super) fn new(limits: HistoryLimits) -> Self {
        Self { limits, remembered: VecDeque::new(), bytes: 0, left_out: Vec::new() }
    }

    /// Somebody said something.
    pub(super) fn note_turn(&mut self, turn: &Turn) {
        if let Some(remembered) = Remembered::turn(turn, self.limits) {
            self.note(remembered);
        }
    }

    /// A tool was used.
    pub(super) fn note_tool(&mut self, run: &ToolRun) {
        let took = SignedDuration::from_millis(run.duration_ms.into());
        let at = run.started_at.saturating_add(took).unwrap_or(Timestamp::MAX);
        self.note(Remembered { at, message: Message::assistant(used(run)) });
    }

    /// All that is remembered, and the turns of which not all is known yet.
    pub(super) fn messages(&self, unsettled: &[Turn]) -> Vec<Message> {
        let mut all: Vec<(Timestamp, Message)> =
            self.remembered.iter().map(|remembered| (remembered.at, remembered.message.clone())).collect();
        let unsettled = unsettled.iter().filter_map(|turn| Remembered::turn(turn, self.limits));
        all.extend(unsettled.map(|remembered| (remembered.at, remembered.message)));
        all.sort_by_key(|(at, _)| *at);
        let messages = all.into_iter().map(|(_, message)| message);
        messages.filter(|message| !self.left_out.contains(&message.text)).collect()
    }

    /// These words of the caller are told to no session any more. That happens once or twice in a call.
    pub(super) fn leave_out(&mut self, words: Vec<String>) {
        self.left_out.extend(words);
    }

    /// Turns come only when they are settled, so that a tool's run may come before what led to it.
    fn note(&mut self, new: Remembered) {
        self.bytes += new.message.text.len();
        let after = self.remembered.partition_point(|before| before.at <= new.at);
        self.remembered.insert(after, new);
        while self.bytes > self.limits.total_bytes.saturating_mul(TIMES_THE_LIMIT)
            && let Some(oldest) = self.remembered.pop_front()
        {
            self.bytes -= oldest.message.text.len();
        }
    }
}

impl Remembered {
    /// `None` for what nobody heard.
    fn turn(turn: &Turn, limits: HistoryLimits) -> Option<Self> {
        let message = |text: &str| match turn.speaker {
            Speaker::Caller | Speaker::System => Message::user(ending(text, limits.message_bytes)),
            Speaker::Agent => Message::assistant(ending(text, limits.message_bytes)),
        };
        let message = match turn.kind {
            TurnKind::Digits => message(&keypad::told(&turn.text)),
            TurnKind::Note => message(&notes::told(std::slice::from_ref(&turn.text))),
            TurnKind::Speech => message(turn.heard.as_ref().unwrap_or(&turn.text)),
        };
        (!message.text.is_empty()).then_some(Self { at: turn.at, message })
    }
}

/// What a tool did, in the agent's words: a history has no other place for it.
fn used(run: &ToolRun) -> String {
    let piece = |json: &serde_json::Value| {
        let json = json.to_string();
        let end = json.floor_char_boundary(TOOL_PIECE_BYTES);
        if end < json.len() { format!("{}…", &json[..end]) } else { json }
    };
    let result = run.result.as_ref().map_or_else(|| "no result".to_owned(), piece);
    format!("[Used {} with {}: {result}]", run.name, piece(&run.input))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::nova::{HistoryRole, sanitise};

    fn memory() -> Memory {
        Memory::new(HistoryLimits::default())
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    fn turn(millis: i64, speaker: Speaker, text: &str) -> Turn {
        Turn::plain(speaker, TurnKind::Speech, text.into(), at(millis))
    }

    fn heard(millis: i64, text: &str, heard: &str) -> Turn {
        Turn { heard: Some(heard.into()), ..turn(millis, Speaker::Agent, text) }
    }

    fn cancelled(millis: i64, result: Option<Value>) -> ToolRun {
        let input = json!({ "reservation_id": "R-1042" });
        ToolRun { name: "cancel_reservation".into(), input, result, started_at: at(millis), duration_ms: 500 }
    }

    #[test]
    fn of_the_agent_only_what_was_heard_is_told() {
        let mut memory = memory();
        memory.note_turn(&heard(0, "Good morning. How can I help?", "Good morning."));
        memory.note_turn(&turn(1, Speaker::Caller, "cancel it"));
        memory.note_turn(&heard(2, "Never heard.", ""));
        assert_eq!(memory.messages(&[]), [Message::assistant("Good morning."), Message::user("cancel it")]);
    }

    #[test]
    fn keys_are_told_in_the_words_in_which_the_model_was_told_of_them() {
        let mut memory = memory();
        memory.note_turn(&Turn { kind: TurnKind::Digits, ..turn(0, Speaker::Caller, "123") });
        assert_eq!(memory.messages(&[]), [Message::user("The caller pressed 1 2 3 on the keypad.")]);
    }

    #[test]
    fn notes_are_told_again_in_the_words_in_which_the_model_was_told_of_them() {
        let mut memory = memory();
        memory.note_turn(&Turn { kind: TurnKind::Note, ..turn(0, Speaker::System, "The caller is a regular.") });
        assert_eq!(memory.messages(&[]), [Message::user("Note: The caller is a regular.")]);
    }

    #[test]
    fn a_tool_comes_after_what_led_to_it_also_when_that_is_settled_later() {
        let mut memory = memory();
        memory.note_tool(&cancelled(1_000, Some(json!({ "confirmation": "C-1042" }))));
        let one_moment = heard(1_200, "One moment.", "One moment.");
        memory.note_turn(&turn(900, Speaker::Caller, "R-1042"));
        let told = memory.messages(&[one_moment, turn(1_600, Speaker::Caller, "thanks")]);
        let used = r#"[Used cancel_reservation with {"reservation_id":"R-1042"}: {"confirmation":"C-1042"}]"#;
        let [before, moment] = [Message::user("R-1042"), Message::assistant("One moment.")];
        assert_eq!(told, [before, moment, Message::assistant(used), Message::user("thanks")]);
        assert_eq!(memory.messages(&[]).len(), 2, "unsettled turns are not remembered");
    }

    #[test]
    fn a_tool_without_a_result_or_with_a_long_one_is_told_in_a_few_words() {
        let mut memory = memory();
        memory.note_tool(&cancelled(0, None));
        memory.note_tool(&cancelled(1, Some(json!("\u{e9}".repeat(400)))));
        let [given_up, long] = &memory.messages(&[])[..] else { panic!() };
        assert!(given_up.text.ends_with(": no result]"), "{}", given_up.text);
        assert!(long.text.ends_with("\u{e9}\u{2026}]") && long.text.len() < 500, "{}", long.text);
    }

    #[test]
    fn however_long_a_call_is_little_is_remembered_and_it_is_the_newest() {
        let mut memory = memory();
        for nth in 0..2_000 {
            let speaker = if nth % 2 == 0 { Speaker::Caller } else { Speaker::Agent };
            memory.note_turn(&turn(nth, speaker, &format!("{nth} {}", "word ".repeat(20))));
            assert!(memory.bytes <= 30_000);
        }
        memory.note_turn(&turn(2_000, Speaker::Caller, &"long ".repeat(10_000)));
        let told = memory.messages(&[]);
        assert_eq!(told.iter().map(|message| message.text.len()).sum::<usize>(), memory.bytes);
        let history = sanitise(told, "hi", HistoryLimits::default());
        assert!(history.len() > 10, "{history:?}");
        let [.., before, last] = &history[..] else { panic!() };
        assert_eq!((last.role, last.text.len()), (HistoryRole::User, 3_999));
        assert!(before.text.starts_with("1999 "), "{before:?}");
    }
}
