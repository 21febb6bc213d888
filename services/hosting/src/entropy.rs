//! Randomness, as a value that is handed in.

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use uuid::{Builder, Uuid};

/// A source of randomness. From the operating system in production, from a seed in tests and lab runs.
#[derive(Debug)]
pub struct Entropy(StdRng);

impl Entropy {
    /// Seeded by the operating system.
    pub fn from_os() -> Self {
        Self(StdRng::try_from_rng(&mut rand::rngs::SysRng).expect("the operating system has randomness"))
    }

    /// The same seed gives the same sequence.
    pub fn from_seed(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// An independent source for one call, so that calls do not share a sequence.
    pub fn fork(&mut self) -> Self {
        Self(StdRng::from_rng(&mut self.0))
    }

    /// A random (version 4) UUID.
    pub fn uuid(&mut self) -> Uuid {
        Builder::from_random_bytes(self.bytes()).into_uuid()
    }

    /// Random bytes, fit for keys when the source is the operating system.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A number in `low..high`.
    ///
    /// # Panics
    /// If the range is empty.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..high)
    }
}
