//! What a new session is told of the conversation before it, in the only shape that the model takes.
//!
//! Text of the caller and the agent, the caller first, in turns, within limits of size, and before any audio (AWS, "Chat
//! history"). A history that breaks a rule does not merely get shorter: it ends the session, and the call is without a
//! model. So whatever comes in here, what comes out keeps to all of them.

/// Who said a [`Message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryRole {
    /// The caller, or whoever speaks to the model in the caller's place.
    User,
    /// The agent.
    Assistant,
}

impl HistoryRole {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "USER",
            Self::Assistant => "ASSISTANT",
        }
    }
}

/// Something that was said before the session began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// By whom.
    pub role: HistoryRole,
    /// What.
    pub text: String,
}

impl Message {
    /// Something that the caller said.
    pub fn user(text: impl Into<String>) -> Self {
        Self { role: HistoryRole::User, text: text.into() }
    }

    /// Something that the agent said.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self { role: HistoryRole::Assistant, text: text.into() }
    }
}

/// How much of a conversation a new session is told, in bytes of UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// The longest message.
    pub message_bytes: usize,
    /// All messages together.
    pub total_bytes: usize,
}

impl Default for HistoryLimits {
    /// Far less than the 50 and 200 KB of the documentation: a history of 21,600 characters has been refused, one of 10,800
    /// has not.
    fn default() -> Self {
        Self { message_bytes: 4_000, total_bytes: 10_000 }
    }
}

/// A word that is longer than this is none, but text in a script without spaces: it is cut between characters.
const LONGEST_WORD_BYTES: usize = 64;

/// The newest messages that fit, as a history that the model takes: it begins with the caller, roles alternate, nothing is
/// blank, and no marker of an interruption is left in it. Doing it twice changes nothing.
///
/// - A history that would begin with the agent, as after a greeting, gets `opening` before it: what made the agent speak. Without
///   one that fits, it begins later.
/// - Of a message that is too long the end stays, which is nearest to what the conversation is about now. One that does
///   not fit beside the newer ones goes as a whole, and all before it: half of "I do not want it" is worse than nothing.
pub fn sanitise(messages: Vec<Message>, opening: &str, limits: HistoryLimits) -> Vec<Message> {
    let most_opening_bytes = limits.message_bytes.min(limits.total_bytes / 2);
    let opening = alternating(vec![Message::user(opening)]).pop();
    let opening = opening.filter(|opening| opening.text.len() <= most_opening_bytes);
    let opening_bytes = opening.as_ref().map_or(0, |opening| opening.text.len());
    let longest = limits.message_bytes.min(limits.total_bytes.saturating_sub(opening_bytes));
    let mut left = limits.total_bytes;
    let mut kept: Vec<Message> = alternating(messages)
        .into_iter()
        .rev()
        .map(|message| Message { text: ending(&message.text, longest).to_owned(), ..message })
        .take_while(|message| {
            let rest = left.checked_sub(message.text.len());
            left = rest.unwrap_or(0);
            rest.is_some() && !message.text.is_empty()
        })
        .collect();
    if kept.last().is_some_and(|first| first.role == HistoryRole::Assistant) {
        match opening.filter(|opening| bytes(&kept) + opening.text.len() <= limits.total_bytes) {
            Some(opening) => kept.push(opening),
            None => drop(kept.pop()),
        }
    }
    kept.reverse();
    kept
}

/// The end of a text, no longer than `most_bytes`, from the beginning of a word.
pub(crate) fn ending(text: &str, most_bytes: usize) -> &str {
    let text = text.trim();
    let cut_at = text.ceil_char_boundary(text.len().saturating_sub(most_bytes));
    let (before, rest) = text.split_at(cut_at);
    let is_in_a_word = !before.is_empty() && !before.ends_with(char::is_whitespace);
    let word_ends = rest.find(char::is_whitespace).filter(|at| is_in_a_word && *at <= LONGEST_WORD_BYTES);
    rest[word_ends.unwrap_or(0)..].trim()
}

/// The messages that are not blank, with those of one speaker that follow each other made one.
fn alternating(messages: Vec<Message>) -> Vec<Message> {
    let mut alternating: Vec<Message> = Vec::with_capacity(messages.len());
    for Message { role, text } in messages {
        // What is left of a message may be blank only once the marker in it is complete.
        alternating.pop_if(|last| last.text.is_empty());
        if alternating.last().is_none_or(|last| last.role != role) {
            alternating.push(Message { role, text: String::new() });
        }
        if let Some(last) = alternating.last_mut() {
            append(&mut last.text, text.trim());
        }
    }
    alternating.pop_if(|last| last.text.is_empty());
    alternating
}

/// Adds to a text without such markers, so that none is in it then.
fn append(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    for c in more.chars() {
        text.push(c);
        if let Some(before) = before_marker(text) {
            text.truncate(before);
            text.push(' ');
        }
    }
    text.truncate(text.trim_end().len());
    text.drain(..text.len() - text.trim_start().len());
}

/// Where the marker `{ "interrupted" : true }`, in any spacing, begins that the text ends with.
fn before_marker(text: &str) -> Option<usize> {
    let mut before = text.strip_suffix('}')?;
    for part in ["true", ":", "\"interrupted\"", "{"] {
        before = before.trim_end().strip_suffix(part)?;
    }
    Some(before.len())
}

fn bytes(messages: &[Message]) -> usize {
    messages.iter().map(|message| message.text.len()).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sane(messages: impl IntoIterator<Item = Message>) -> Vec<Message> {
        sanitise(messages.into_iter().collect(), "hi", HistoryLimits::default())
    }

    fn limits(message_bytes: usize, total_bytes: usize) -> HistoryLimits {
        HistoryLimits { message_bytes, total_bytes }
    }

    #[test]
    fn a_history_that_begins_with_the_greeting_gets_the_line_that_led_to_it() {
        let history = sane([Message::assistant("Good morning."), Message::user("hello")]);
        assert_eq!(history, [Message::user("hi"), Message::assistant("Good morning."), Message::user("hello")]);
        assert_eq!(sane([]), []);
        let unopened = sanitise(vec![Message::assistant("Hello.")], " ", HistoryLimits::default());
        assert_eq!(unopened, [], "an agent that spoke first for no reason cannot be told of");
    }

    #[test]
    fn neighbours_of_one_speaker_become_one_message_also_across_a_blank_one() {
        let history =
            sane([Message::user("one"), Message::user(" two "), Message::assistant(" \n"), Message::user("three")]);
        assert_eq!(history, [Message::user("one two three")]);
    }

    #[test]
    fn the_marker_of_an_interruption_is_gone_in_any_spacing() {
        let marked = "Your room{ \"interrupted\" : true }is {\"interrupted\":\n true} ready.{\"interrupted\":true}";
        let history =
            sane([Message::user("a"), Message::assistant(marked), Message::user("{ \"interrupted\" : true }")]);
        assert_eq!(history, [Message::user("a"), Message::assistant("Your room is   ready.")]);
        let pieces = [Message::user("{"), Message::user("\"interrupted\": true }"), Message::assistant("Yes?")];
        assert_eq!(sane(pieces), [Message::user("hi"), Message::assistant("Yes?")], "merging must not make one");
        let nested = "{{\"interrupted\":true}\"interrupted\":true}{\"interrupted\":false}";
        assert_eq!(sane([Message::user(nested)]), [Message::user("{\"interrupted\":false}")]);
    }

    #[test]
    fn the_newest_messages_stay_and_the_first_that_does_not_fit_takes_all_before_it_with_it() {
        let messages = ["a", "bbbbbbbb", "cc", "dd"].map(str::to_owned);
        let [a, b, c, d] = messages;
        let all = vec![Message::user(a), Message::assistant(b), Message::user(c), Message::assistant(d)];
        let fitting = |total| sanitise(all.clone(), "hi", limits(100, total));
        assert_eq!(fitting(13), all);
        assert_eq!(fitting(12), all[2..], "no line fits before the answer that would come first");
        assert_eq!(fitting(4), all[2..]);
        assert_eq!(fitting(3), [], "nothing that the model takes fits");
    }

    #[test]
    fn of_a_long_message_the_end_stays_from_the_beginning_of_a_word() {
        let cut = |text: &str, most| ending(text, most).to_owned();
        assert_eq!(cut("one two three", 9), "two three");
        assert_eq!(cut("one two three", 8), "three");
        assert_eq!(cut("one two three", 13), "one two three");
        assert_eq!(
            cut("\u{20ac}\u{20ac}\u{20ac}", 7),
            "\u{20ac}\u{20ac}",
            "between characters where there are no words"
        );
        assert_eq!(cut(&format!("{} z", "\u{6f22}".repeat(100)), 290), format!("{} z", "\u{6f22}".repeat(96)));
        assert_eq!((cut("one", 0), cut("\u{20ac}", 2)), (String::new(), String::new()));
    }

    /// Texts of all kinds, and of what markers are made of.
    fn text() -> impl Strategy<Value = String> {
        let marker = prop_oneof![
            Just("{"),
            Just("}"),
            Just("\"interrupted\""),
            Just(":"),
            Just("true"),
            Just(" "),
            Just("\n\u{2003}"),
            Just("{ \"interrupted\" : true }"),
            Just("{\"interrupted\":true}"),
            Just("no"),
        ];
        prop_oneof![
            any::<String>(),
            "[ \t\u{a0}]{0,3}",
            "([a-z\u{e9}\u{6f22}\u{1f600}]{1,9}[ ]{1,2}){0,40}",
            prop::collection::vec(marker, 0..12).prop_map(|parts| parts.concat()),
        ]
    }

    fn message() -> impl Strategy<Value = Message> {
        (any::<bool>(), text()).prop_map(|(is_user, text)| Message {
            role: if is_user { HistoryRole::User } else { HistoryRole::Assistant },
            text,
        })
    }

    fn has_marker(text: &str) -> bool {
        let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        squeezed.contains("{\"interrupted\":true}")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_500))]

        #[test]
        fn whatever_was_said_the_model_takes_it_and_twice_changes_nothing(
            messages in prop::collection::vec(message(), 0..12), opening in text(),
            message_bytes in 0_usize..300, total_bytes in 0_usize..600,
        ) {
            let limits = limits(message_bytes, total_bytes);
            let history = sanitise(messages, &opening, limits);
            for (nth, message) in history.iter().enumerate() {
                let expected = if nth % 2 == 0 { HistoryRole::User } else { HistoryRole::Assistant };
                prop_assert_eq!(message.role, expected);
                prop_assert!(!message.text.trim().is_empty(), "{:?}", history);
                prop_assert!(message.text.len() <= message_bytes, "{:?}", history);
                prop_assert!(!has_marker(&message.text), "{:?}", history);
            }
            prop_assert!(bytes(&history) <= total_bytes, "{:?}", history);
            prop_assert_eq!(&sanitise(history.clone(), &opening, limits), &history);
        }

        #[test]
        fn what_fits_is_kept_to_the_word(messages in prop::collection::vec(message(), 0..12)) {
            let words = |messages: &[Message]| -> Vec<String> {
                messages.iter().flat_map(|message| message.text.split_whitespace()).map(str::to_owned).collect()
            };
            let messages: Vec<Message> = messages.into_iter().filter(|message| !message.text.contains('}')).collect();
            let history = sanitise(messages.clone(), "hi", limits(100_000, 100_000));
            let told = words(&history);
            let opened = usize::from(told.len() > words(&messages).len());
            prop_assert_eq!(&told[opened..], &words(&messages)[..]);
        }

        #[test]
        fn an_ending_is_the_end_of_its_text_and_whole_words_where_there_are_any(
            text in "[a-z\u{e9}]{1,9}( [a-z\u{e9}]{1,9}){0,30}", most_bytes in 0_usize..200,
        ) {
            let end = ending(&text, most_bytes);
            prop_assert!(end.len() <= most_bytes && text.ends_with(end));
            let before = &text[..text.len() - end.len()];
            let is_last_word = !end.contains(' ');
            prop_assert!(before.is_empty() || before.ends_with(' ') || is_last_word, "{end:?} of {text:?}");
        }
    }
}
