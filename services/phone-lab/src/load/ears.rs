//! The model's end of a load run: a simulated Bedrock that echoes, and writes down which frames reached it, and when.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{
    stamp::{Cut, Cutter, Frames, Kind},
    track::Track,
};
use crate::{
    bedrock::{Echo, EchoListener, EchoReply},
    mulaw,
};

/// What the model heard of every call. Clones are handles to the same; one of them goes into
/// [`Settings::echo`](crate::bedrock::Settings::echo).
#[derive(Clone, Debug)]
pub struct Ears {
    frames: Arc<Frames>,
    /// One lock a call: only the call's own session takes it while the run lasts.
    tracks: Arc<[Mutex<Track>]>,
}

impl Ears {
    /// For so many calls of about so many frames each.
    pub fn new(calls: u16, frames: usize) -> Self {
        let tracks = (0..calls).map(|call| Mutex::new(Track::new(call, frames))).collect();
        Self { frames: Arc::default(), tracks }
    }

    /// What arrived of a call so far.
    pub(super) fn track(&self, call: u16) -> Option<MutexGuard<'_, Track>> {
        Some(self.tracks.get(usize::from(call))?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Echo for Ears {
    fn listener(&self) -> Box<dyn EchoListener> {
        let (ears, cutter) = (self.clone(), Cutter::default());
        Box::new(Listener { ears, cutter, codes: Vec::new(), call: None, sounds_before: 0 })
    }
}

/// One session.
#[derive(Debug)]
struct Listener {
    ears: Ears,
    cutter: Cutter,
    codes: Vec<u8>,
    /// Whose session it is, as its first frame says.
    call: Option<u16>,
    sounds_before: u32,
}

impl EchoListener for Listener {
    fn hear(&mut self, pcm: &[i16], at: Instant) -> EchoReply {
        self.codes.clear();
        self.codes.extend(pcm.iter().map(|sample| mulaw::encode(*sample)));
        let Self { ears, cutter, codes, call, sounds_before } = self;
        let mut reply = EchoReply::Say;
        cutter.push(codes, at, &ears.frames, |cut, at| {
            match cut {
                Cut::Frame { stamp, .. } => {
                    call.get_or_insert(stamp.call);
                    if stamp.kind == Kind::Interrupt {
                        reply = EchoReply::Interrupt;
                    }
                }
                Cut::Sound if call.is_none() => *sounds_before += 1,
                Cut::Sound => {}
            }
            let Some(mut track) = call.and_then(|call| ears.track(call)) else { return };
            (0..std::mem::take(sounds_before)).for_each(|_| track.arrived(Cut::Sound, at));
            track.arrived(cut, at);
        });
        reply
    }
}

#[cfg(test)]
mod tests {
    use offhook_hosting::clock::Clock;

    use super::{
        super::{stamp::Stamp, track::Faults},
        *,
    };

    fn pcm(stamp: Stamp) -> Vec<i16> {
        mulaw::decode_all(&Frames::default().build(stamp)).collect()
    }

    #[test]
    fn frames_are_booked_to_the_call_that_the_session_is_of() {
        let ears = Ears::new(2, 10);
        let mut session = ears.listener();
        let stamp = |call, sequence| Stamp { kind: Kind::Echo, call, sequence };
        assert_eq!(session.hear(&[5000; 160], Clock.now()), EchoReply::Say);
        for stamp in [stamp(1, 1), stamp(1, 2), stamp(0, 0)] {
            assert_eq!(session.hear(&pcm(stamp), Clock.now()), EchoReply::Say);
        }
        let faults = ears.track(1).unwrap().faults(3);
        assert_eq!(faults, Faults { altered: 1, strayed: 1, ..Faults::default() });
        assert_eq!(ears.track(0).unwrap().count(), 0);
    }

    #[test]
    fn an_interruption_is_taken_for_one_and_a_call_that_nobody_placed_is_nobodys() {
        let ears = Ears::new(1, 10);
        let interrupt = Stamp { kind: Kind::Interrupt, call: 9, sequence: 0 };
        assert_eq!(ears.listener().hear(&pcm(interrupt), Clock.now()), EchoReply::Interrupt);
    }
}
