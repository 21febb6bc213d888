//! What was heard beside what was said, word by word.
//!
//! A word is *missing* if it was said and not heard, *added* if it was heard and not said, *altered* if another was heard
//! in its place. It is *cut*, and nobody's fault, if the sentence may break off (the agent was interrupted in it, its
//! session was lost to an injected fault, or the caller hung up) and nothing after it was heard of that sentence; a word
//! that broke off in the middle is cut as well, if what was heard of it is how it begins. Whether a sentence broke off at
//! the right place is for the [`oracle`](crate::oracle) to say.

use std::cmp::Reverse;

use serde::Serialize;

use super::words::{CUT, Word};

/// Words that are aligned at a time, on either side. Texts that differ by more than this at one place are still aligned,
/// but perhaps not in the best way.
const WINDOW: usize = 256;

/// One direction of a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Diff {
    /// Words said.
    pub said: usize,
    /// Words heard.
    pub heard: usize,
    /// Of these, heard as said.
    pub same: usize,
    /// Said and not heard.
    pub missing: usize,
    /// Heard and not said.
    pub added: usize,
    /// Heard as something else.
    pub altered: usize,
    /// Not heard to the end, as it should be.
    pub cut: usize,
    /// Every word that was not heard as said, in order.
    pub differences: Vec<Difference>,
}

/// A word that was not heard as said.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// In what way.
    pub kind: Kind,
    /// What was said, if anything was.
    pub said: Option<Word>,
    /// What was heard, if anything was.
    pub heard: Option<Word>,
}

/// How a word differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Said and not heard.
    Missing,
    /// Heard and not said.
    Added,
    /// Heard as something else.
    Altered,
    /// Not heard to the end, as it should be.
    Cut,
}

/// A word that was said, and what may become of it.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) word: Word,
    /// The sentence it belongs to.
    pub(super) sentence: usize,
    pub(super) may_break_off: bool,
}

/// Places in both texts that belong together; one is none where the other has something more.
pub(super) type Pair = (Option<usize>, Option<usize>);

impl Diff {
    /// Compares texts that were aligned.
    pub(super) fn new(said: &[Said], heard: &[Word], pairs: &[Pair]) -> Self {
        let mut diff = Self { said: said.len(), heard: heard.len(), ..Self::default() };
        for (n, &(said_at, heard_at)) in pairs.iter().enumerate() {
            let (was, is) = (said_at.map(|at| &said[at]), heard_at.map(|at| &heard[at]));
            let kind = match (was, is) {
                (Some(was), Some(is)) if was.word.text == is.text => {
                    diff.same += 1;
                    continue;
                }
                (Some(was), is)
                    if was.may_break_off
                        && is.is_none_or(|is| begins(&was.word, is))
                        && breaks_off(was.sentence, said, &pairs[n + 1..]) =>
                {
                    diff.cut += 1;
                    Kind::Cut
                }
                (Some(_), Some(_)) => {
                    diff.altered += 1;
                    Kind::Altered
                }
                (Some(_), None) => {
                    diff.missing += 1;
                    Kind::Missing
                }
                (None, _) => {
                    diff.added += 1;
                    Kind::Added
                }
            };
            let said = was.map(|was| was.word.clone());
            diff.differences.push(Difference { kind, said, heard: is.cloned() });
        }
        diff
    }

    /// How many words are wrong: missing, added or altered.
    pub fn wrong(&self) -> usize {
        self.missing + self.added + self.altered
    }
}

/// Whether this is how the word begins. A cut between two characters leaves nothing of the second.
fn begins(said: &Word, heard: &Word) -> bool {
    said.text.starts_with(heard.text.trim_end_matches(CUT))
}

/// Whether nothing more was heard of the sentence.
fn breaks_off(sentence: usize, said: &[Said], later: &[Pair]) -> bool {
    let rest = later.iter().take_while(|(at, _)| at.is_none_or(|at| said[at].sentence == sentence));
    rest.into_iter().all(|pair| !matches!(pair, (Some(_), Some(_))))
}

/// Brings two texts together so that as little as possible differs.
pub(super) fn align(said: &[&str], heard: &[&str]) -> Vec<Pair> {
    let (mut s, mut h, mut pairs) = (0, 0, Vec::new());
    while s < said.len() || h < heard.len() {
        let (left, right) = (&said[s..], &heard[h..]);
        if let (Some(said), Some(heard)) = (left.first(), right.first())
            && said == heard
        {
            pairs.push((Some(s), Some(h)));
            (s, h) = (s + 1, h + 1);
            continue;
        }
        // Where one side is at its end, the rest of the other is all there is.
        let whole = left.len().max(right.len()) <= WINDOW || left.is_empty() || right.is_empty();
        let (left, right) = (&left[..left.len().min(WINDOW)], &right[..right.len().min(WINDOW)]);
        let (from_s, from_h) = (s, h);
        for (in_left, in_right) in path(left, right, whole) {
            // The end of a window depends on what follows: only its beginning is kept.
            if !whole && (s - from_s).max(h - from_h) >= WINDOW / 2 {
                break;
            }
            pairs.push((in_left.map(|at| from_s + at), in_right.map(|at| from_h + at)));
            s += usize::from(in_left.is_some());
            h += usize::from(in_right.is_some());
        }
    }
    pairs
}

/// The cheapest way through both texts; if they are not `whole`, to the end of either.
fn path(said: &[&str], heard: &[&str], whole: bool) -> Vec<Pair> {
    const ONE_SIDED: u32 = 2;
    let width = heard.len() + 1;
    let mut costs = vec![0_u32; (said.len() + 1) * width];
    let at = |s: usize, h: usize| s * width + h;
    let together = |s: usize, h: usize| match (said[s], heard[h]) {
        (said, heard) if said == heard => 0,
        (said, heard) if heard.strip_suffix(CUT).is_some_and(|beginning| said.starts_with(beginning)) => 1,
        (said, heard) if said.starts_with(heard) => 2,
        (_, _) => 3,
    };
    for s in 0..=said.len() {
        for h in 0..=heard.len() {
            let above = s.checked_sub(1).map(|s| costs[at(s, h)] + ONE_SIDED);
            let left = h.checked_sub(1).map(|h| costs[at(s, h)] + ONE_SIDED);
            let both = s.checked_sub(1).zip(h.checked_sub(1)).map(|(s, h)| costs[at(s, h)] + together(s, h));
            costs[at(s, h)] = [above, left, both].into_iter().flatten().min().unwrap_or(0);
        }
    }
    let ends = (0..=said.len()).map(|s| (s, heard.len())).chain((0..=heard.len()).map(|h| (said.len(), h)));
    // The further both got, the more a way may have cost.
    let cheapest = ends.min_by_key(|&(s, h)| (i64::from(costs[at(s, h)]) - (s + h) as i64, Reverse(s + h)));
    let (mut s, mut h) = cheapest.filter(|_| !whole).unwrap_or((said.len(), heard.len()));
    let mut pairs = Vec::new();
    while s > 0 || h > 0 {
        let cost = costs[at(s, h)];
        // Of ways that cost the same, the one in which words follow one another on both sides; then the one in which words
        // belong together early and the end is missing.
        let goes_on = s > 0
            && h > 0
            && said[s - 1] == heard[h - 1]
            && cost == costs[at(s - 1, h - 1)]
            && pairs.last().is_some_and(|last| *last == (Some(s), Some(h)) && said[s] == heard[h]);
        if goes_on {
            (s, h) = (s - 1, h - 1);
            pairs.push((Some(s), Some(h)));
        } else if s > 0 && cost == costs[at(s - 1, h)] + ONE_SIDED {
            s -= 1;
            pairs.push((Some(s), None));
        } else if h > 0 && cost == costs[at(s, h - 1)] + ONE_SIDED {
            h -= 1;
            pairs.push((None, Some(h)));
        } else {
            (s, h) = (s - 1, h - 1);
            pairs.push((Some(s), Some(h)));
        }
    }
    pairs.reverse();
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sentences, and whether each may break off, beside what was heard.
    fn diff(sentences: &[(&str, bool)], heard: &str) -> Diff {
        let words = |text: &str| text.split(' ').map(|word| Word::new(word.to_owned(), 0)).collect::<Vec<_>>();
        let said: Vec<_> = sentences
            .iter()
            .enumerate()
            .flat_map(|(sentence, &(text, may_break_off))| {
                words(text).into_iter().map(move |word| Said { word, sentence, may_break_off })
            })
            .collect();
        let heard = if heard.is_empty() { Vec::new() } else { words(heard) };
        let texts: Vec<_> = said.iter().map(|said| said.word.text.as_str()).collect();
        let ears: Vec<_> = heard.iter().map(|word| word.text.as_str()).collect();
        Diff::new(&said, &heard, &align(&texts, &ears))
    }

    fn kinds(diff: &Diff) -> Vec<(Kind, String)> {
        let word =
            |difference: &Difference| difference.said.as_ref().or(difference.heard.as_ref()).unwrap().text.clone();
        diff.differences.iter().map(|difference| (difference.kind, word(difference))).collect()
    }

    #[test]
    fn each_way_of_being_wrong_has_its_name() {
        let found = diff(&[("one two three four", false)], "one three tree vier four");
        assert_eq!((found.said, found.heard, found.same, found.wrong()), (4, 5, 3, 3));
        assert_eq!((found.missing, found.added, found.altered), (1, 2, 0));
        let found = diff(&[("one two three", false)], "one too three");
        assert_eq!(kinds(&found), [(Kind::Altered, "two".to_owned())]);
        assert_eq!(found.differences[0].heard.as_ref().unwrap().text, "too");
        assert_eq!(kinds(&diff(&[("one two", false)], "one")), [(Kind::Missing, "two".to_owned())]);
        assert_eq!(kinds(&diff(&[("one", false)], "one one")), [(Kind::Added, "one".to_owned())]);
    }

    #[test]
    fn a_sentence_that_may_break_off_is_cut_where_it_does() {
        let found = diff(&[("once upon a time", true), ("yes?", false)], "once up\u{fffd} yes?");
        assert_eq!((found.cut, found.wrong(), found.same), (3, 0, 2), "{found:?}");
        assert_eq!(diff(&[("once upon a time", true)], "").cut, 4);
        let found = diff(&[("by the sea", true), ("yes?", false)], "by t yes?");
        assert_eq!((found.cut, found.wrong()), (2, 0), "between two characters: {found:?}");
    }

    #[test]
    fn a_sentence_of_which_nothing_was_heard_lends_no_word_to_the_next() {
        let said = [("this is it", true), ("how can i help you", true), ("i will see", false)];
        let found = diff(&said, "th\u{fffd} i will see");
        assert_eq!((found.cut, found.wrong(), found.same), (8, 0, 3), "{found:?}");
    }

    #[test]
    fn nothing_else_is_cut() {
        assert_eq!(diff(&[("once upon a time", false)], "once up\u{fffd}").wrong(), 3, "it may not break off");
        let found = diff(&[("once upon a time", true)], "once a time");
        assert_eq!((found.missing, found.cut), (1, 0), "it went on");
        let found = diff(&[("once upon a time", true)], "once it\u{fffd}");
        assert_eq!((found.altered, found.cut), (1, 2), "that is not how the word begins");
    }

    #[test]
    fn a_loss_in_a_long_conversation_stays_where_it_is() {
        let text: Vec<String> = (0..5000).map(|n| format!("w{n}")).collect();
        let said: Vec<_> = text.iter().map(String::as_str).collect();
        let mut heard = said.clone();
        heard.drain(1000..1100);
        heard.insert(3000, "ghost");
        let pairs = align(&said, &heard);
        let missing: Vec<_> = pairs.iter().filter(|pair| pair.1.is_none()).map(|pair| pair.0.unwrap()).collect();
        assert_eq!(missing, (1000..1100).collect::<Vec<_>>());
        assert_eq!(pairs.iter().filter(|pair| pair.0.is_none()).count(), 1);
        assert_eq!(pairs.len(), 5001);
    }

    #[test]
    fn texts_without_anything_in_common_come_to_an_end() {
        let said = vec!["a"; 1000];
        let heard = vec!["b"; 700];
        let pairs = align(&said, &heard);
        assert_eq!(pairs.iter().filter(|pair| pair.0.is_some()).count(), 1000);
        assert_eq!(pairs.iter().filter(|pair| pair.1.is_some()).count(), 700);
    }
}
