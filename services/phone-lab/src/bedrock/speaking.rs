//! One turn of the model, piece by piece: when it thinks, writes, speaks and asks.
//!
//! Pure. [`Speaking::poll_piece`] gives what is due; audio comes at four times real time, whatever the pace.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{model::Ask, timing::Timing};
use crate::tones;

/// Samples of one `audioOutput`: 100 ms at 8 kHz.
const CHUNK: usize = 800;
/// How long such a piece takes to generate: a quarter of what it takes to play.
const CHUNK_EVERY: Duration = Duration::from_millis(25);
/// Silence after each sentence, which keeps it apart from the next: 60 ms.
const REST: usize = 480;

/// What a turn is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Transcript(String),
    Sentence(String),
    Tool(Ask),
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Transcript(String),
    Text(String),
    AudioStart,
    Audio(Vec<i16>),
    /// The sentence's audio is complete; `last` if no sentence follows right away.
    AudioEnd {
        last: bool,
    },
    Tool(Ask),
}

#[derive(Debug)]
pub(super) struct Speaking {
    timing: Timing,
    /// How long a piece of audio takes to generate.
    chunk_every: Duration,
    /// From this turn's transcript to its first text.
    think: Duration,
    steps: VecDeque<Step>,
    due: Option<Instant>,
    sentence: Sentence,
    /// A sentence of this turn has begun.
    audible: bool,
}

/// Where the sentence at the head of the steps stands.
#[derive(Debug)]
enum Sentence {
    Planned,
    Written(Vec<i16>),
    Speaking { pcm: Vec<i16>, sent: usize },
}

/// What was left of a turn that was stopped.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stopped {
    /// The caller's words, if they were not written yet.
    pub(super) transcript: Option<String>,
    /// Whether the client knows of the turn.
    pub(super) audible: bool,
}

impl Speaking {
    /// With `bursts`, all audio of a sentence comes at once.
    pub(super) fn new(timing: Timing, bursts: bool) -> Self {
        let chunk_every = chunk_every(bursts);
        let (steps, sentence, think) = (VecDeque::new(), Sentence::Planned, Duration::ZERO);
        Self { timing, chunk_every, think, steps, due: None, sentence, audible: false }
    }

    /// From now on all audio of a sentence comes, or does not come, at once.
    pub(super) fn set_bursts(&mut self, bursts: bool) {
        self.chunk_every = chunk_every(bursts);
    }

    /// Says whether a turn is under way.
    pub(super) fn is_active(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Says whether a sentence of this turn has begun.
    pub(super) fn is_audible(&self) -> bool {
        self.audible
    }

    /// Begins a turn whose first step is due then, and whose first text comes so long after a transcript. There must
    /// be none under way.
    pub(super) fn start(&mut self, steps: impl IntoIterator<Item = Step>, due: Instant, think: Duration) {
        self.think = think;
        self.steps = steps.into_iter().collect();
        self.due = Some(due);
        self.audible = false;
    }

    /// Stops the turn, if there is one.
    pub(super) fn stop(&mut self) -> Stopped {
        let transcript = self.steps.drain(..).find_map(|step| match step {
            Step::Transcript(text) => Some(text),
            Step::Sentence(_) | Step::Tool(_) => None,
        });
        self.sentence = Sentence::Planned;
        Stopped { transcript, audible: std::mem::take(&mut self.audible) }
    }

    /// When the next piece is due.
    pub(super) fn poll_deadline(&self) -> Option<Instant> {
        self.due.filter(|_| self.is_active())
    }

    /// The next piece, if it is due.
    pub(super) fn poll_piece(&mut self, now: Instant) -> Option<Piece> {
        let due = self.poll_deadline().filter(|due| *due <= now)?;
        let (piece, next) = match self.steps.front()? {
            Step::Transcript(text) => (Piece::Transcript(text.clone()), self.think),
            Step::Tool(ask) => (Piece::Tool(ask.clone()), Duration::ZERO),
            Step::Sentence(text) => match std::mem::replace(&mut self.sentence, Sentence::Planned) {
                Sentence::Planned => {
                    let wait = if self.audible { Duration::ZERO } else { self.timing.voice() };
                    self.audible = true;
                    let mut pcm = tones::speak(text);
                    pcm.resize(pcm.len() + REST, 0);
                    self.sentence = Sentence::Written(pcm);
                    (Piece::Text(text.clone()), wait)
                }
                Sentence::Written(pcm) => {
                    self.sentence = Sentence::Speaking { pcm, sent: 0 };
                    (Piece::AudioStart, Duration::ZERO)
                }
                Sentence::Speaking { pcm, sent } if sent < pcm.len() => {
                    let end = (sent + CHUNK).min(pcm.len());
                    let chunk = pcm[sent..end].to_vec();
                    self.sentence = Sentence::Speaking { pcm, sent: end };
                    (Piece::Audio(chunk), self.chunk_every)
                }
                Sentence::Speaking { .. } => {
                    let last = !matches!(self.steps.get(1), Some(Step::Sentence(_)));
                    (Piece::AudioEnd { last }, Duration::ZERO)
                }
            },
        };
        if matches!(piece, Piece::Transcript(_) | Piece::Tool(_) | Piece::AudioEnd { .. }) {
            self.steps.pop_front();
        }
        self.audible &= self.is_active();
        // From when it was due, so that late polls do not slow the audio down.
        self.due = Some(due + next);
        Some(piece)
    }
}

fn chunk_every(bursts: bool) -> Duration {
    if bursts { Duration::ZERO } else { CHUNK_EVERY }
}

/// The sentences of a text, each with its closing punctuation.
pub(super) fn sentences(text: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut current = String::new();
    for word in text.split_whitespace() {
        if !current.is_empty() {
            current.push(' ');
        }
        current.push_str(word);
        if word.ends_with(['.', '!', '?']) {
            sentences.push(std::mem::take(&mut current));
        }
    }
    sentences.extend(Some(current).filter(|rest| !rest.is_empty()));
    sentences
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant cannot be invented; the tests only add to it")]
mod tests {
    use super::{
        super::{model::Asking, script::Script, settings::Pace, timing::Profile},
        *,
    };

    fn begin(steps: &[Step]) -> (Speaking, Instant) {
        let mut speaking = Speaking::new(Timing::new(Profile::Real, Pace::REAL), false);
        let now = Instant::now();
        speaking.start(steps.iter().cloned(), now, Duration::from_millis(450));
        (speaking, now)
    }

    /// All pieces with the millisecond at which each is due.
    fn play(speaking: &mut Speaking, start: Instant) -> Vec<(u128, Piece)> {
        std::iter::from_fn(|| {
            let due = speaking.poll_deadline()?;
            assert_eq!(speaking.poll_piece(due - Duration::from_nanos(1)), None);
            Some(((due - start).as_millis(), speaking.poll_piece(due)?))
        })
        .collect()
    }

    fn sentence(text: &str) -> Step {
        Step::Sentence(text.into())
    }

    #[test]
    fn a_turn_is_timed_as_measured() {
        let (mut speaking, start) = begin(&[Step::Transcript("hi".into()), sentence("0123456789.")]);
        let pieces = play(&mut speaking, start);
        // 11 characters of 20 ms and the rest of 60 ms: 280 ms in three pieces.
        let times: Vec<_> = pieces.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [0, 450, 550, 550, 575, 600, 625]);
        assert_eq!(pieces[1].1, Piece::Text("0123456789.".into()));
        assert_eq!(pieces[6].1, Piece::AudioEnd { last: true });
        let audio: Vec<i16> = pieces
            .iter()
            .flat_map(|(_, piece)| if let Piece::Audio(pcm) = piece { pcm.clone() } else { Vec::new() })
            .collect();
        assert_eq!(audio.len(), 11 * 160 + 480);
        assert!(audio.starts_with(&tones::speak("0123456789.")));
    }

    #[test]
    fn only_the_last_sentence_before_silence_or_a_tool_ends_the_turn() {
        let script = Script::from_yaml("dialogue: [{heard: x, tool: {name: t}}]").unwrap();
        let mut tools = Asking::default().plan(script.react_to_words("x").tools, None);
        let (mut speaking, start) = begin(&[sentence("a"), sentence("b"), tools.remove(0)]);
        let ends: Vec<_> = play(&mut speaking, start)
            .into_iter()
            .filter_map(|(_, piece)| match piece {
                Piece::AudioEnd { last } => Some(last),
                Piece::Transcript(_) | Piece::Text(_) | Piece::AudioStart | Piece::Audio(_) | Piece::Tool(_) => None,
            })
            .collect();
        assert_eq!(ends, [false, true]);
        assert!(!speaking.is_active());
    }

    #[test]
    fn a_stopped_turn_says_what_the_client_does_not_know_yet() {
        let (mut speaking, start) = begin(&[Step::Transcript("hi".into()), sentence("a")]);
        assert_eq!(speaking.stop(), Stopped { transcript: Some("hi".into()), audible: false });
        assert_eq!(speaking.poll_deadline(), None);
        speaking.start([sentence("a")], start, Duration::ZERO);
        assert_eq!(speaking.poll_piece(start), Some(Piece::Text("a".into())));
        assert_eq!(speaking.stop(), Stopped { transcript: None, audible: true });
    }

    #[test]
    fn texts_fall_into_sentences() {
        assert_eq!(sentences("Hello, you. It is  R-1.5 now!  ok"), ["Hello, you.", "It is R-1.5 now!", "ok"]);
        assert_eq!(sentences(" "), [""; 0]);
    }
}
