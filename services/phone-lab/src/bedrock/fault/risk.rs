//! Faults as a scenario has them: `FAULT`, or `{ fault: FAULT, probability: P }`.

use offhook_hosting::entropy::Entropy;
use serde::Deserialize;

use super::{super::probability::Probability, Fault, FaultError};

/// A fault, and how likely it strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Risk {
    fault: Fault,
    probability: Probability,
}

impl Risk {
    /// The fault, if it strikes this time. Draws once, whatever the probability.
    pub(in super::super) fn draw(&self, entropy: &mut Entropy) -> Option<Fault> {
        self.probability.strikes(entropy).then(|| self.fault.clone())
    }
}

/// A risk that was read and not looked at.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a fault such as reset, or { fault: reset, probability: 0.5 }")]
pub(in super::super) enum WrittenRisk {
    Certain(String),
    Likely(Likely),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Likely {
    fault: String,
    probability: f64,
}

/// Why it is no risk.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(in super::super) enum RiskError {
    #[error(transparent)]
    Fault(#[from] FaultError),
    #[error("probability {0}: expected a number from 0 to 1")]
    Probability(f64),
}

impl WrittenRisk {
    /// It says that nothing goes wrong.
    pub(in super::super) fn is_none(&self) -> bool {
        matches!(self, Self::Certain(text) if text == "none")
    }

    /// Makes sure that it is one; `read` reads the fault.
    pub(in super::super) fn check(self, read: fn(&str) -> Result<Fault, FaultError>) -> Result<Risk, RiskError> {
        let (fault, probability) = match self {
            Self::Certain(fault) => (fault, Probability::ALWAYS),
            Self::Likely(Likely { fault, probability }) => {
                (fault, Probability::new(probability).ok_or(RiskError::Probability(probability))?)
            }
        };
        Ok(Risk { fault: read(&fault)?, probability })
    }
}
