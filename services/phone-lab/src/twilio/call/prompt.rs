//! What the caller hears from Twilio itself: `<Say>`, `<Play>`, keys and pauses, and `<Gather>`, which waits for keys
//! meanwhile.

use std::{sync::Arc, time::Duration};

use super::{Call, Performed};
use crate::{
    speech::SAMPLE_RATE,
    tones,
    twilio::{
        caller::TICK,
        codes,
        interpreter::Ended,
        phone::Left,
        playout::FRAME,
        report::{Finding, Happening},
        twiml::{Gather, Prompt},
    },
};

const QUIET: [i16; FRAME] = [0; FRAME];

/// A prompt that is ready to be heard.
struct Sounding {
    pcm: Arc<[i16]>,
    times: u32,
    /// The words, if there are any.
    says: Option<String>,
}

/// What was pressed so far.
#[derive(Debug, Default)]
struct Pressed {
    digits: String,
    complete: bool,
}

impl Pressed {
    /// Takes a key: one that finishes is no digit itself.
    fn take(&mut self, key: char, gather: &Gather) {
        if self.complete {
            return;
        }
        self.complete = gather.finish_on_key.contains(key);
        if !self.complete {
            self.digits.push(key);
            self.complete = gather.num_digits.is_some_and(|most| self.digits.len() >= most);
        }
    }
}

impl Call {
    /// Lets the caller hear a prompt to its end.
    pub(super) async fn prompt(&mut self, prompt: &Prompt) -> Result<Performed, Left> {
        if let Prompt::Keys(keys) = prompt {
            self.phone.play_keys(keys).await?;
            return Ok(Performed::Done(Ended::Simply));
        }
        let Sounding { pcm, times, says } = match self.sounding(prompt).await? {
            Ok(sounding) => sounding,
            Err(finding) => return Ok(Performed::Failed(finding)),
        };
        for _ in 0..times {
            if let Some(text) = &says {
                self.phone.twilio_says(text);
            }
            self.phone.hear(&pcm).await?;
            self.phone.cut_off();
        }
        Ok(Performed::Done(Ended::Simply))
    }

    async fn sounding(&mut self, prompt: &Prompt) -> Result<Result<Sounding, Finding>, Left> {
        Ok(Ok(match prompt {
            Prompt::Say { text, times } => {
                Sounding { pcm: tones::speak(text).into(), times: *times, says: Some(text.clone()) }
            }
            Prompt::Play { url, times } => match self.file(url).await? {
                Ok(pcm) => Sounding { pcm, times: *times, says: None },
                Err(finding) => return Ok(Err(finding)),
            },
            // Second by second: how long it is, is up to the document.
            Prompt::Pause(length) => {
                let times = u32::try_from(length.as_secs()).unwrap_or(u32::MAX);
                Sounding { pcm: vec![0; SAMPLE_RATE as usize].into(), times, says: None }
            }
            // They are played, not heard.
            Prompt::Keys(_) => Sounding { pcm: Arc::default(), times: 0, says: None },
        }))
    }

    /// Fetches a file to play, unless the account has it still.
    async fn file(&mut self, url: &str) -> Result<Result<Arc<[i16]>, Finding>, Left> {
        let url = match self.interpreter.resolve(url) {
            Ok(url) => url,
            Err(finding) => return Ok(Err(finding)),
        };
        self.phone.happened(Happening::Plays { path: url.path().to_owned() });
        let ledger = self.progress.ledger().clone();
        let now = self.phone.clock().now();
        let audio = self.phone.wait_for(self.client.audio(&url, &ledger.audio, now)).await?;
        Ok(audio.map(|audio| {
            audio.beyond.into_iter().for_each(|finding| self.phone.found(finding));
            audio.pcm
        }))
    }

    /// Prompts until a key is pressed, then waits for further ones.
    pub(super) async fn gather(&mut self, gather: &Gather) -> Result<Performed, Left> {
        let mut pressed = Pressed::default();
        if let Err(finding) = self.prompt_for_keys(gather, &mut pressed).await? {
            return Ok(Performed::Failed(finding));
        }
        let mut quiet = Duration::ZERO;
        while !pressed.complete && quiet < gather.timeout {
            let keys = self.phone.keys_during(&QUIET).await?;
            quiet = if keys.is_empty() { quiet + TICK } else { Duration::ZERO };
            keys.into_iter().for_each(|key| pressed.take(key, gather));
        }
        Ok(Performed::Done(Ended::Gather(pressed.digits)))
    }

    async fn prompt_for_keys(&mut self, gather: &Gather, pressed: &mut Pressed) -> Result<Result<(), Finding>, Left> {
        for prompt in &gather.prompts {
            if let Prompt::Keys(keys) = prompt {
                self.phone.play_keys(keys).await?;
            }
            let Sounding { pcm, times, says } = match self.sounding(prompt).await? {
                Ok(sounding) => sounding,
                Err(Finding { code: codes::PLAY_CONTENT_TYPE, detail }) => {
                    return Ok(Err(Finding { code: codes::GATHER_PLAY_CONTENT_TYPE, detail }));
                }
                Err(finding) => return Ok(Err(finding)),
            };
            for _ in 0..times {
                if let Some(text) = &says {
                    self.phone.twilio_says(text);
                }
                let keys = self.hear_until_a_key(&pcm).await?;
                self.phone.cut_off();
                if !keys.is_empty() {
                    keys.into_iter().for_each(|key| pressed.take(key, gather));
                    return Ok(Ok(()));
                }
            }
        }
        Ok(Ok(()))
    }

    async fn hear_until_a_key(&mut self, pcm: &[i16]) -> Result<Vec<char>, Left> {
        for piece in pcm.chunks(FRAME) {
            let mut frame = QUIET;
            frame[..piece.len()].copy_from_slice(piece);
            let keys = self.phone.keys_during(&frame).await?;
            if !keys.is_empty() {
                return Ok(keys);
            }
        }
        Ok(Vec::new())
    }
}
