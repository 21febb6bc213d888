//! The model's end of a chaos run: it greets, says every sound that it hears, and writes down which words they were.
//!
//! Each worker has a simulated Bedrock, and so [`Ears`], of its own: a word that is heard there came through that worker.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use offhook_hosting::clock::Clock;

use super::words::{Reader, Word};
use crate::{
    bedrock::{Echo, EchoListener, EchoReply},
    tones::{self, Ear, Heard},
};

/// What callers wait for: it is no word of theirs.
const GREETING: &str = "hello";
/// A sample louder than this is sound.
const SOUND: i16 = 64;

/// A session of the model, and what it heard.
#[derive(Clone, Debug)]
pub struct Session {
    /// Through which worker.
    pub worker: usize,
    /// When it was opened.
    pub opened: Instant,
    /// The words that it heard whole, in order.
    pub heard: Vec<Word>,
}

/// What the model heard through one worker. Clones are handles to the same.
#[derive(Clone, Debug)]
pub struct Ears {
    worker: usize,
    clock: Clock,
    sessions: Arc<Mutex<Vec<Session>>>,
}

impl Ears {
    /// At the end of this worker.
    pub fn new(worker: usize, clock: Clock) -> Self {
        Self { worker, clock, sessions: Arc::default() }
    }

    /// All sessions so far.
    pub fn sessions(&self) -> Vec<Session> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Echo for Ears {
    fn listener(&self) -> Box<dyn EchoListener> {
        let session = Session { worker: self.worker, opened: self.clock.now(), heard: Vec::new() };
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.push(session);
        let number = sessions.len() - 1;
        drop(sessions);
        Box::new(Listener {
            ears: self.clone(),
            number,
            ear: Ear::new(),
            reader: Reader::default(),
            repeater: Repeater::default(),
        })
    }
}

/// A model that greets and says every sound that it hears, and keeps nothing.
#[derive(Clone, Copy, Debug)]
pub struct Parrot;

impl Echo for Parrot {
    fn listener(&self) -> Box<dyn EchoListener> {
        Box::new(Repeater::default())
    }
}

/// One session of a model that repeats.
#[derive(Debug, Default)]
struct Repeater {
    /// Whether the caller was heard to be there, or was greeted.
    met: bool,
}

impl EchoListener for Repeater {
    fn hear(&mut self, pcm: &[i16], _: Instant) -> EchoReply {
        let silent = pcm.iter().all(|sample| sample.saturating_abs() <= SOUND);
        match (silent, std::mem::replace(&mut self.met, true)) {
            (true, false) => EchoReply::Instead(tones::speak(GREETING)),
            // Echoed silence would keep for ever whatever delay a call began with.
            (true, true) => EchoReply::Instead(Vec::new()),
            (false, _) => EchoReply::Say,
        }
    }
}

/// One session whose words are written down.
#[derive(Debug)]
struct Listener {
    ears: Ears,
    number: usize,
    ear: Ear,
    reader: Reader<()>,
    repeater: Repeater,
}

impl EchoListener for Listener {
    fn hear(&mut self, pcm: &[i16], at: Instant) -> EchoReply {
        for heard in self.ear.listen(pcm) {
            let character = match heard {
                Heard::Character { character, .. } => character,
                Heard::Noise { .. } => char::REPLACEMENT_CHARACTER,
                Heard::Silence { .. } => continue,
            };
            if let Some((word, ())) = self.reader.read(character, ()) {
                let mut sessions = self.ears.sessions.lock().unwrap_or_else(PoisonError::into_inner);
                sessions[self.number].heard.push(word);
            }
        }
        self.repeater.hear(pcm, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(listener: &mut dyn EchoListener, pcm: &[i16]) -> Vec<EchoReply> {
        pcm.chunks(160).map(|piece| listener.hear(piece, Clock.now())).collect()
    }

    #[test]
    fn a_caller_is_greeted_and_then_every_sound_is_said_and_silence_is_not() {
        let ears = Ears::new(1, Clock);
        let mut session = ears.listener();
        let word = Word { call: 3, number: 14 };
        let greeting = EchoReply::Instead(tones::speak("hello"));
        assert_eq!(hear(&mut *session, &[0; 320]), [greeting, EchoReply::Instead(Vec::new())]);
        let said = hear(&mut *session, &tones::speak(&word.to_string()));
        assert!(said.len() == 6 && said.iter().all(|reply| *reply == EchoReply::Say), "{said:?}");
        let sessions = ears.sessions();
        assert_eq!((sessions.len(), sessions[0].worker, &sessions[0].heard[..]), (1, 1, &[word][..]));
    }

    #[test]
    fn a_caller_who_is_speaking_already_is_not_greeted_and_half_a_word_is_none() {
        let ears = Ears::new(0, Clock);
        let mut session = ears.listener();
        let (half, whole) = (tones::speak("14."), tones::speak("#3:15."));
        let replies = hear(&mut *session, &[&half[..], &[0; 800], &whole, &[0; 160]].concat());
        assert_eq!(replies.iter().filter(|reply| **reply == EchoReply::Say).count(), 9);
        assert!(replies.iter().all(|reply| [EchoReply::Say, EchoReply::Instead(Vec::new())].contains(reply)));
        assert_eq!(ears.sessions()[0].heard, [Word { call: 3, number: 15 }]);
    }
}
