//! A caller is handed to a human, in every way that can end, at moments drawn from a seed, many calls side by side: the
//! caller is never left in silence, comes back to the conversation they left, and nothing of the call stays behind.
//!
//! `TRANSFER_RUNS=2600 cargo test --release -p phone-lab --test transfer` does each of the outcomes two hundred times, in
//! some minutes; without the variable there are two hundred runs in all. `TRANSFER_SEED` is another seed.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails it as the test itself would")]

mod judge;
mod outcomes;
mod scenario;
mod world;

use offhook_hosting::{entropy::Entropy, env::Env};

use self::{outcomes::Outcome, world::World};

/// Runs unless told.
const RUNS: usize = 200;
/// Calls at a time. Two busy cores are to have room for the services: what is measured is them.
const AT_A_TIME: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_a_transfer_the_caller_is_never_left_alone_and_the_conversation_goes_on() {
    let env = Env::of_process();
    let number = |name: &str| env.value(name).map(|text| text.parse::<u64>().unwrap());
    let runs = number("TRANSFER_RUNS").map_or(RUNS, |runs| usize::try_from(runs).unwrap());
    let mut entropy = Entropy::from_seed(number("TRANSFER_SEED").unwrap_or(1));
    let outcomes = Outcome::ALL.into_iter().cycle().take(runs.max(Outcome::ALL.len()));
    let runs: Vec<_> = outcomes.enumerate().map(|(nth, outcome)| outcome.run(nth, &mut entropy)).collect();

    let world = World::start().await;
    let wrong = world.play(runs, AT_A_TIME).await;
    assert!(wrong.is_empty(), "{} calls were not as they should be:\n{}", wrong.len(), wrong.join("\n\n"));
    world.nothing_is_left().await;
}
