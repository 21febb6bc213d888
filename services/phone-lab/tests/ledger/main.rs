//! The heard-text ledger from end to end, in invented time: the worker's conversation, the edge's leg and Twilio's
//! playout, each as it is, with a network between any two. The ear is known sample by sample.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agent;
mod line;
mod media;

use std::{num::NonZero, ops::Range, time::Duration};

use offhook_hosting::entropy::Entropy;

use self::{agent::Story, line::Line, media::Manners};

/// Interrupted stories, counted.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    calls: u64,
    /// The record claims the words that the ear heard whole, and no other.
    right: u64,
    /// It claims a word that the ear did not hear whole.
    invented: u64,
    /// The ear heard some of the story and not all.
    heard_in_part: u64,
}

impl Tally {
    /// A call on which the caller interrupts a story at a random position. A character takes so many milliseconds.
    fn of_call(seed: u64, character: u64, manners: Manners) -> Self {
        let mut dice = Entropy::from_seed(seed);
        let mut draw = |sentences| Story::draw(sentences, character, &mut dice);
        let (greeting, story, answer) = (draw(1..3), draw(3..6), draw(1..3));
        let mut line = Line::new(manners, dice);
        line.say(&greeting);
        line.pass(greeting.lasts() + Duration::from_secs(2));
        let before = line.samples_played();
        line.say(&story);
        let after = line.dice.between(1, story.lasts().as_millis() as u64);
        line.pass(Duration::from_millis(after));
        line.interrupt();
        line.pass(Duration::from_secs(1));
        let heard = story.words_over(line.cleared_at().expect("the line was cleared") - before);
        line.say(&answer);
        line.pass(answer.lasts() + Duration::from_secs(2));

        let [greeted, told, answered] = line.turns() else { panic!("seed {seed}: {:?}", line.turns()) };
        for (turn, whole) in [(greeted, greeting.text()), (answered, answer.text())] {
            assert_eq!((turn.text.as_str(), turn.heard.as_deref()), (&*whole, Some(&*whole)), "seed {seed}");
        }
        let claimed = told.heard.as_deref().expect("what was heard of a turn is told");
        assert!(story.text().starts_with(claimed), "seed {seed}: {claimed:?}");
        let claimed = claimed.split_whitespace().count();
        let heard_in_part = 0 < heard && heard < story.text().split_whitespace().count();
        let [right, invented, heard_in_part] = [claimed == heard, claimed > heard, heard_in_part].map(u64::from);
        Self { calls: 1, right, invented, heard_in_part }
    }

    /// So many calls, a character of which takes so many milliseconds.
    fn of_calls(calls: u64, characters: &Range<u64>, manners: Manners) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get) as u64;
        let character = |seed| characters.start + seed % (characters.end - characters.start);
        let some = |first: u64| {
            let seeds = (first..calls).step_by(threads as usize);
            seeds.map(|seed| Self::of_call(seed, character(seed), manners)).fold(Self::default(), Self::and)
        };
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|first| scope.spawn(move || some(first))).collect();
            running.into_iter().map(|run| run.join().expect("no call panics")).fold(Self::default(), Self::and)
        })
    }

    fn and(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            right: self.right + other.right,
            invented: self.invented + other.invented,
            heard_in_part: self.heard_in_part + other.heard_in_part,
        }
    }
}

/// At the pace of people, 40 to 80 ms a character; the network to Twilio takes up to 150 ms each way, and up to 30 more
/// for some messages than for others.
#[test]
fn of_a_thousand_barge_ins_at_random_positions_the_record_is_right_to_the_word_and_claims_nothing_unheard() {
    let tally = Tally::of_calls(1_000, &(40..81), Manners::default());
    assert!(tally.right >= 990 && tally.invented <= 1, "{tally:?}");
    assert!(tally.heard_in_part > 800, "the interruptions strike too little: {tally:?}");
}

/// Tone words are three times as fast as people: 20 ms more or less are a word more often.
#[test]
fn barge_ins_into_tone_words_are_recorded_right_to_the_word_too() {
    let tally = Tally::of_calls(300, &(20..21), Manners::default());
    assert!(tally.right >= 290 && tally.invented <= 1, "{tally:?}");
}

/// Nothing is known of how the two directions of a real stream lie to each other, and a caller's audio may be late.
#[test]
fn whenever_twilio_sends_the_callers_audio_no_word_is_claimed_that_was_not_heard() {
    for manners in [7, 13].map(|media_after| Manners { media_after, ..Manners::default() }) {
        let tally = Tally::of_calls(150, &(40..81), manners);
        assert!(tally.right >= 135 && tally.invented == 0, "{manners:?}: {tally:?}");
    }
    let late = Manners { media_late: 40, ..Manners::default() };
    let tally = Tally::of_calls(150, &(40..81), late);
    assert!(tally.right >= 128 && tally.invented <= 1, "{late:?}: {tally:?}");
}
