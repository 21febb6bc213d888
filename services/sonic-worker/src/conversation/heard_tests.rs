use proptest::prelude::*;

use super::*;

/// Samples of a character, where a test speaks evenly.
const EVENLY: u64 = 160;

/// A speech whose sentences are spoken evenly and whole, one after the other.
fn spoken(sentences: &[&str]) -> Speech {
    let mut speech = Speech::default();
    let mut position = 0;
    for sentence in sentences {
        speech.says(sentence);
        let samples = sentence.chars().count() as u64 * EVENLY;
        speech.audio(quiet(position, samples));
        speech.block_ended();
        position += samples;
    }
    speech
}

/// Audio without any voice in it.
fn quiet(first_sample: u64, samples: u64) -> Piece {
    Piece::of(first_sample, &vec![0; samples as usize * 2])
}

fn heard(speech: &Speech, position: u64) -> String {
    speech.heard(position, Pace::default())
}

#[test]
fn a_word_counts_once_all_of_it_was_played() {
    let speech = spoken(&["One two."]);
    assert_eq!(heard(&speech, 3 * EVENLY - 1), "");
    assert_eq!(heard(&speech, 3 * EVENLY), "One");
    assert_eq!(heard(&speech, 8 * EVENLY - 1), "One");
    assert_eq!(heard(&speech, 8 * EVENLY), "One two.");
}

#[test]
fn sentences_are_heard_one_after_the_other() {
    let speech = spoken(&["One.", "Two three."]);
    assert_eq!(speech.said(), "One. Two three.");
    assert_eq!(heard(&speech, 4 * EVENLY), "One.");
    assert_eq!(heard(&speech, 7 * EVENLY), "One. Two");
    assert!(!speech.is_heard_out(14 * EVENLY - 1));
    assert!(speech.is_heard_out(14 * EVENLY));
    assert_eq!(heard(&speech, 14 * EVENLY), speech.said());
}

#[test]
fn a_text_is_spread_over_the_voice_in_its_audio_and_not_over_the_silence_around_it() {
    let pcm = |silence: usize, voice: usize| [[0_u8, 0].repeat(silence), [0, 0x80].repeat(voice)].concat();
    let mut speech = Speech::default();
    speech.says("One two.");
    speech.audio(Piece::of(0, &pcm(500, 0)));
    speech.audio(Piece::of(500, &pcm(300, 4 * EVENLY as usize)));
    speech.audio(quiet(800 + 4 * EVENLY, 100));
    speech.audio(Piece::of(900 + 4 * EVENLY, &pcm(0, 4 * EVENLY as usize - 100)));
    speech.audio(quiet(800 + 8 * EVENLY, 1_000));
    speech.block_ended();
    assert_eq!(heard(&speech, 800 + 3 * EVENLY - 1), "");
    assert_eq!(heard(&speech, 800 + 3 * EVENLY), "One");
    assert_eq!(heard(&speech, 800 + 8 * EVENLY), "One two.");
    assert!(!speech.is_heard_out(800 + 8 * EVENLY), "the silence is still to come");
}

#[test]
fn characters_count_not_bytes() {
    let speech = spoken(&["\u{e4}\u{e4}\u{e4}\u{e4} \u{1f600}\u{1f600} z"]);
    assert_eq!(heard(&speech, 4 * EVENLY), "\u{e4}\u{e4}\u{e4}\u{e4}");
    assert_eq!(heard(&speech, 7 * EVENLY), "\u{e4}\u{e4}\u{e4}\u{e4} \u{1f600}\u{1f600}");
}

#[test]
fn a_text_without_audio_was_not_heard_and_is_never_heard_out() {
    let mut speech = spoken(&["One."]);
    speech.says("Two.");
    assert_eq!(heard(&speech, u64::MAX), "One.");
    assert!(!speech.is_heard_out(u64::MAX));
    speech.block_ended();
    assert_eq!(heard(&speech, u64::MAX), "One.", "an empty block speaks no text");
    speech.says("Three.");
    speech.audio(quiet(640, 640));
    speech.block_ended();
    assert_eq!((speech.said().as_str(), heard(&speech, u64::MAX).as_str()), ("One. Two. Three.", "One."));
}

#[test]
fn texts_before_one_block_of_audio_are_spoken_by_it() {
    let mut speech = Speech::default();
    speech.says("One. ");
    speech.says(" Two.");
    speech.audio(quiet(0, 9 * EVENLY));
    speech.block_ended();
    assert_eq!((speech.said().as_str(), heard(&speech, 4 * EVENLY).as_str()), ("One. Two.", "One."));
}

#[test]
fn audio_without_text_is_waited_for_and_says_nothing() {
    let mut speech = spoken(&["One."]);
    speech.audio(quiet(4 * EVENLY, 800));
    speech.block_ended();
    assert_eq!(heard(&speech, 4 * EVENLY), "One.");
    assert!(!speech.is_heard_out(4 * EVENLY));
    assert!(speech.is_heard_out(4 * EVENLY + 800));
    assert_eq!(speech.said(), "One.");
}

#[test]
fn of_a_block_that_broke_off_no_more_is_claimed_than_its_audio_can_have_said() {
    let broken_off = |told_to_be_over: bool| {
        let mut speech = spoken(&["One two three four."]);
        speech.says("Five six seven eight.");
        speech.audio(quiet(19 * EVENLY, 10 * EVENLY));
        if told_to_be_over {
            speech.block_ended();
        }
        speech.broken_off();
        heard(&speech, 29 * EVENLY)
    };
    // Ten characters of audio: enough for two words, not for the third.
    for told_to_be_over in [false, true] {
        assert_eq!(broken_off(told_to_be_over), "One two three four. Five six");
    }
}

#[test]
fn a_block_that_broke_off_but_is_as_long_as_its_text_takes_is_heard_to_the_last_word() {
    let broken_off = |samples: u64, position: u64| {
        let mut speech = spoken(&["One two three four."]);
        speech.says("Five six.");
        speech.audio(quiet(19 * EVENLY, samples));
        speech.broken_off();
        heard(&speech, 19 * EVENLY + position)
    };
    assert_eq!(broken_off(9 * EVENLY, 9 * EVENLY), "One two three four. Five six.");
    assert_eq!(broken_off(9 * EVENLY, 9 * EVENLY - 1), "One two three four. Five");
    assert_eq!(broken_off(9 * EVENLY - 1, 9 * EVENLY), "One two three four. Five");
}

#[test]
fn without_a_whole_sentence_to_go_by_speech_is_taken_to_be_slow() {
    let mut speech = Speech::default();
    speech.says("One two three.");
    speech.audio(quiet(0, 4 * SLOW));
    assert_eq!(heard(&speech, 3 * SLOW - 1), "");
    assert_eq!(heard(&speech, 3 * SLOW), "One");
    let mut pace = Pace::default();
    pace.learn(&spoken(&["Four."]));
    assert_eq!(speech.heard(9 * EVENLY, pace), "One two");
}

#[test]
fn a_final_text_belongs_to_the_first_sentence_of_its_words() {
    let mut speech = spoken(&["Yes, it is.", "Yes.", "Yes."]);
    assert!(speech.confirm("yes", true) && speech.confirm("Yes.", true));
    assert!(!speech.confirm("Yes.", true), "both are confirmed");
    assert!(speech.confirm("Yes, it", false));
    assert!(!speech.confirm("No.", false) && !speech.confirm("...", false));
    let spoken: Vec<_> = speech.sentences.iter().map(|sentence| sentence.spoken).collect();
    assert_eq!(spoken, [Some("Yes, it".len()), Some(4), Some(4)]);
}

#[test]
fn a_final_text_that_says_less_bounds_what_was_heard_of_a_cut_sentence() {
    let mut speech = spoken(&["One two three four."]);
    speech.confirm("One tw", false);
    assert_eq!(heard(&speech, 15 * EVENLY), "One");
    assert_eq!(heard(&speech, 19 * EVENLY), speech.said(), "all of its audio was played");
}

#[test]
fn a_final_text_that_says_all_shows_that_the_block_was_whole() {
    let mut speech = spoken(&["One two."]);
    speech.broken_off();
    assert_eq!(heard(&speech, u64::MAX), "");
    speech.confirm("One two.", true);
    speech.broken_off();
    assert_eq!(heard(&speech, u64::MAX), "One two.");
}

#[derive(Clone, Debug)]
enum Step {
    Says(String),
    Audio(u64),
    BlockEnds,
    Confirms { nth: usize, chars: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        // Words of one to several bytes a character, odd white space, and nothing at all.
        3 => "[a-z\u{e9}\u{928}\u{1f600}.,]{0,4}([ \u{a0}\t]{1,2}[a-z\u{e9}\u{928}]{1,6}){0,5}[ ]{0,1}".prop_map(Step::Says),
        4 => (1_u64..9_000).prop_map(Step::Audio),
        2 => Just(Step::BlockEnds),
        1 => (0_usize..4, 0_usize..20).prop_map(|(nth, chars)| Step::Confirms { nth, chars }),
    ]
}

fn after(steps: &[Step], broken_off: bool) -> (Speech, u64) {
    let (mut speech, mut sent) = (Speech::default(), 0);
    for step in steps {
        match step {
            Step::Says(text) => speech.says(text),
            Step::Audio(samples) => {
                speech.audio(quiet(sent, *samples));
                sent += samples;
            }
            Step::BlockEnds => speech.block_ended(),
            Step::Confirms { nth, chars } => {
                let text = speech.sentences.get(*nth).map(|sentence| sentence.text.chars().take(*chars).collect());
                speech.confirm(&text.unwrap_or_else(String::new), false);
            }
        }
    }
    if broken_off {
        speech.broken_off();
    }
    (speech, sent)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_was_heard_is_whole_words_of_what_was_said_and_grows_with_the_position(
        steps in prop::collection::vec(step(), 0..12), broken_off: bool, positions in prop::collection::vec(0_u64..60_000, 1..8),
    ) {
        let (speech, sent) = after(&steps, broken_off);
        let said = speech.said();
        let mut positions = positions;
        positions.sort_unstable();
        let mut before = String::new();
        for position in positions {
            let heard = heard(&speech, position);
            prop_assert!(said.starts_with(&heard), "{heard:?} of {said:?}");
            let rest = &said[heard.len()..];
            prop_assert!(heard.is_empty() || rest.is_empty() || rest.starts_with(char::is_whitespace), "{heard:?} of {said:?}");
            prop_assert!(heard.starts_with(&before), "{before:?} then {heard:?}");
            if speech.is_heard_out(position) {
                prop_assert!(position >= sent);
            }
            before = heard;
        }
    }

    #[test]
    fn no_word_is_claimed_whose_audio_was_not_played_and_none_is_missed_that_was(
        sentences in prop::collection::vec("[a-z\u{e9}]{1,6}( [a-z\u{e9}]{1,6}){0,6}", 1..5), position in 0_u64..30_000,
    ) {
        let speech = spoken(&sentences.iter().map(String::as_str).collect::<Vec<_>>());
        // Spoken evenly, each character takes as long as any: the ear heard these, sentence after sentence.
        let by_ear: String = sentences.concat().chars().take((position / EVENLY) as usize).collect();
        let claimed = heard(&speech, position);
        let claimed_chars = sentence_chars(&claimed, &sentences);
        prop_assert!(claimed_chars <= by_ear.chars().count(), "{claimed:?}, heard {by_ear:?}");
        // The next word was not heard whole.
        if claimed != speech.said() {
            let rest = speech.said()[claimed.len()..].trim_start().to_owned();
            let next = rest.split(' ').next().unwrap_or("").chars().count();
            let gap_before = usize::from(claimed_chars > 0);
            prop_assert!(claimed_chars + next + gap_before > by_ear.chars().count(), "{claimed:?}, heard {by_ear:?}");
        }
    }

    #[test]
    fn a_sentence_cut_short_by_the_model_claims_no_word_beyond_its_audio(
        whole in "[a-z]{1,6}( [a-z]{1,6}){2,8}", cut in "[a-z]{1,6}( [a-z]{1,6}){2,8}", chars in 1_u64..40, told_to_be_over: bool,
    ) {
        let mut speech = spoken(&[&whole]);
        let (first, chars) = (whole.len() as u64 * EVENLY, chars.min(cut.len() as u64));
        speech.says(&cut);
        speech.audio(quiet(first, chars * EVENLY));
        if told_to_be_over {
            speech.block_ended();
        }
        speech.broken_off();
        let heard = heard(&speech, u64::MAX);
        let claimed = heard.strip_prefix(&whole).unwrap().trim_start();
        prop_assert!(claimed.len() as u64 <= chars, "{claimed:?} of {chars} characters");
    }
}

/// How many characters of the sentences' texts, without what joins them, are in a prefix of the whole.
fn sentence_chars(prefix: &str, sentences: &[String]) -> usize {
    let (mut rest, mut chars) = (prefix, 0);
    for sentence in sentences {
        let within = rest.len().min(sentence.len());
        chars += rest[..within].chars().count();
        rest = rest[within..].trim_start();
    }
    chars
}
