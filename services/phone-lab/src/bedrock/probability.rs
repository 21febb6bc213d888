//! How likely something is.

use std::{fmt, str::FromStr};

use offhook_hosting::entropy::Entropy;

/// Draws are made in so many parts.
const PARTS: u64 = 1_000_000;

/// A probability between 0 and 1, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probability(u64);

impl Probability {
    /// It does not happen.
    pub const NEVER: Self = Self(0);
    /// It happens each time.
    pub const ALWAYS: Self = Self(PARTS);

    /// None if it is no number from 0 to 1.
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then(|| Self((value * PARTS as f64).round() as u64))
    }

    /// Says whether it happens this time.
    pub(crate) fn strikes(self, entropy: &mut Entropy) -> bool {
        entropy.between(0, PARTS) < self.0
    }
}

impl FromStr for Probability {
    type Err = NoProbability;

    fn from_str(text: &str) -> Result<Self, NoProbability> {
        text.parse().ok().and_then(Self::new).ok_or(NoProbability)
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 as f64 / PARTS as f64)
    }
}

/// The text is no probability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a number from 0 to 1")]
pub struct NoProbability;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_is_a_number_from_0_to_1() {
        assert_eq!("0".parse(), Ok(Probability::NEVER));
        assert_eq!("1.0".parse(), Ok(Probability::ALWAYS));
        assert_eq!("0.05".parse::<Probability>().unwrap().to_string(), "0.05");
        for wrong in ["-0.1", "1.1", "NaN", "often"] {
            assert_eq!(wrong.parse::<Probability>(), Err(NoProbability));
        }
    }

    #[test]
    fn it_strikes_about_as_often_as_it_says() {
        let mut entropy = Entropy::from_seed(1);
        let mut struck = |share: f64| {
            let probability = Probability::new(share).unwrap();
            (0..1000).filter(|_| probability.strikes(&mut entropy)).count()
        };
        assert_eq!((struck(0.0), struck(1.0)), (0, 1000));
        assert!((250..350).contains(&struck(0.3)));
    }
}
