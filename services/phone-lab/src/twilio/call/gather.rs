//! `<Gather>`: keys that the caller presses while Twilio speaks or waits.

use std::time::Duration;

use super::Call;
use crate::{
    tones,
    twilio::{
        caller::TICK,
        interpreter::Ended,
        phone::Left,
        playout::FRAME,
        twiml::{Gather, Prompt},
    },
};

const QUIET: [i16; FRAME] = [0; FRAME];

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
    /// Speaks until a key is pressed, then waits for further ones.
    pub(super) async fn gather(&mut self, gather: &Gather) -> Result<Ended, Left> {
        let mut pressed = Pressed::default();
        self.prompt(gather, &mut pressed).await?;
        let mut quiet = Duration::ZERO;
        while !pressed.complete && quiet < gather.timeout {
            let keys = self.phone.keys_during(&QUIET).await?;
            quiet = if keys.is_empty() { quiet + TICK } else { Duration::ZERO };
            keys.into_iter().for_each(|key| pressed.take(key, gather));
        }
        Ok(Ended::Gather(pressed.digits))
    }

    async fn prompt(&mut self, gather: &Gather, pressed: &mut Pressed) -> Result<(), Left> {
        for prompt in &gather.prompts {
            let pcm = match prompt {
                Prompt::Say(text) => {
                    self.phone.twilio_says(text);
                    tones::speak(text)
                }
                Prompt::Pause(length) => vec![0; (length.as_millis() / TICK.as_millis()) as usize * FRAME],
            };
            for piece in pcm.chunks(FRAME) {
                let mut frame = QUIET;
                frame[..piece.len()].copy_from_slice(piece);
                let keys = self.phone.keys_during(&frame).await?;
                if !keys.is_empty() {
                    self.phone.cut_off();
                    keys.into_iter().for_each(|key| pressed.take(key, gather));
                    return Ok(());
                }
            }
            self.phone.cut_off();
        }
        Ok(())
    }
}
