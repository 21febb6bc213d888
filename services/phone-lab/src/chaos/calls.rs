//! The calls of a run: so many at a time, each of them planned to last to the end of it.
//!
//! A caller waits for the greeting, says a numbered word every half second, and hangs up two seconds after the last.
//! When a call ends early, another is placed a second later, as long as three seconds are left for it.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use offhook_hosting::{clock::Clock, entropy::Entropy};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::{
    balancer::Balancer,
    verdict::{LINGER, Placed},
    words::Word,
};
use crate::twilio::{
    CallOptions, CallerScript, Settings, Twilio,
    script::{Sound, Step},
};

/// From the beginning of a word to that of the next.
const PERIOD: Duration = Duration::from_millis(500);
/// How long the model has to be quiet after its greeting.
const QUIET: Duration = Duration::from_millis(300);
/// How long a caller waits for the greeting.
const PATIENCE: Duration = Duration::from_secs(15);
/// From the end of a call that ended early to the next.
const REDIAL: Duration = Duration::from_secs(1);
/// A call that would be shorter is not placed.
const SHORTEST: Duration = Duration::from_secs(3);

/// What all calls of a run share.
pub(super) struct Shared {
    pub(super) balancer: Arc<Balancer>,
    /// The edge is the door of each call.
    pub(super) settings: Settings,
    /// The last number that was given to a call.
    pub(super) calls: AtomicU32,
    /// When callers say their last word.
    pub(super) until: Instant,
    /// Calls end early from here on.
    pub(super) stop: CancellationToken,
}

/// Keeps one call up from `due` on: gives those that it took.
pub(super) async fn keep_up(
    shared: Arc<Shared>,
    mut due: Instant,
    mut entropy: Entropy,
) -> anyhow::Result<Vec<Placed>> {
    let mut calls = Vec::new();
    loop {
        tokio::select! {
            () = sleep_until(due.into()) => {}
            () = shared.stop.cancelled() => return Ok(calls),
        }
        if Clock.now() + SHORTEST > shared.until {
            return Ok(calls);
        }
        let call = place(&shared, &mut entropy).await?;
        due = call.over + REDIAL;
        calls.push(call);
    }
}

async fn place(shared: &Shared, entropy: &mut Entropy) -> anyhow::Result<Placed> {
    let door = shared.balancer.door().await?;
    let settings = Settings { edge: door.address(), ..shared.settings.clone() };
    let twilio = Twilio::new(settings, Clock, entropy.fork());
    let call = shared.calls.fetch_add(1, Ordering::Relaxed) + 1;
    let placed = Clock.now();
    let script = script(call, shared.until.saturating_duration_since(placed));
    let options = CallOptions { keep_audio: false, ..CallOptions::default() };
    let mut calling = pin!(Box::pin(twilio.call(script, options)));
    let report = tokio::select! {
        // First it has to be placed, or there is nothing to end.
        biased;
        report = &mut calling => report,
        () = shared.stop.cancelled() => {
            twilio.end_calls();
            calling.await
        }
    };
    Ok(Placed { call, placed, over: Clock.now(), connections: door.connections(), report })
}

/// A caller who says words for so long.
fn script(call: u32, length: Duration) -> CallerScript {
    let words = (length.as_millis() / PERIOD.as_millis()).max(1);
    let say = (0..u32::try_from(words).unwrap_or(u32::MAX)).flat_map(|number| {
        let sound = Sound::words(&Word { call, number }.to_string());
        let pause = PERIOD.saturating_sub(sound.lasts());
        [Step::Say(sound), Step::Wait(pause)]
    });
    let steps = std::iter::once(Step::Listen(QUIET)).chain(say).chain([Step::Wait(LINGER), Step::HangUp]).collect();
    CallerScript {
        from: format!("+1555{call:07}"),
        to: "+15550100100".into(),
        patience: PATIENCE,
        steps,
        sip_headers: BTreeMap::new(),
        dialled: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        tones,
        twilio::caller::{Act, Caller},
    };

    #[test]
    fn a_caller_says_a_word_every_half_second_once_greeted_and_hangs_up_two_seconds_after_the_last() {
        let mut caller = Caller::new(script(41, Duration::from_millis(1700)));
        caller.answered();
        let mut acts = Vec::new();
        let mut hear = |pcm: &[i16], from: usize| {
            for (tick, frame) in pcm.chunks_exact(160).enumerate() {
                let heard = frame.try_into().unwrap();
                let moment = caller.tick(&heard);
                acts.extend(moment.acts.into_iter().map(|act| (from + tick, act)));
            }
        };
        let greeting = [vec![0; 1600], tones::speak("hello")].concat();
        hear(&greeting, 0);
        hear(&[0; 160 * 300], 15);
        let began = 15 + 15;
        let says = |number: u32| Act::Speaks(format!("#41:{number}."));
        let tick_of = |wanted: &Act| acts.iter().find(|(_, act)| act == wanted).map(|(tick, _)| *tick);
        let said = [0, 1, 2, 3].map(|number| tick_of(&says(number)));
        assert_eq!(said, [Some(began), Some(began + 25), Some(began + 50), None]);
        assert_eq!(tick_of(&Act::HungUp), Some(began + 75 + 100));
    }
}
