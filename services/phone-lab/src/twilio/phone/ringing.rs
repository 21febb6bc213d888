//! A caller who hears that somebody is being rung.

use std::{future::Future, time::Duration};

use super::{Left, Phone, QUIET, Spoken, time_of};
use crate::twilio::{caller::TICK, playout::FRAME, report::Stretch, ringback};

impl Phone {
    /// The caller hears it ring for so long. It is no speech to anybody.
    pub(in crate::twilio) async fn ring_for(&mut self, length: Duration) -> Result<(), Left> {
        for nth in 0..length.as_millis() / TICK.as_millis() {
            self.next_frame().await;
            self.ring(nth as u64).left.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    /// It rings until something is done, or given up with the caller gone.
    pub(in crate::twilio) async fn ring_during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Left> {
        let mut work = std::pin::pin!(work);
        let mut nth = 0;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = self.next_frame() => self.ring(nth).left.map_or(Ok(()), Err)?,
            }
            nth += 1;
        }
    }

    fn ring(&mut self, nth: u64) -> Spoken {
        let (at, lasted) = (time_of(self.frames * FRAME as u64), TICK);
        match self.report.ringing.last_mut().filter(|last| last.at + last.lasted == at) {
            Some(last) => last.lasted += lasted,
            None => self.report.ringing.push(Stretch { at, lasted }),
        }
        self.exchange(&ringback::frame(nth), &QUIET)
    }
}
