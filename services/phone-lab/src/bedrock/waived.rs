//! Rules that the simulated service is told not to enforce.

use std::str::FromStr;

/// The rules that nobody has seen the real service enforce. The others cannot be waived.
const DOUBTFUL: [u8; 20] = [2, 3, 4, 5, 7, 9, 14, 15, 16, 17, 20, 24, 31, 36, 38, 43, 45, 48, 51, 54];

/// Rules by their number in the lab's documentation. What breaks a waived rule is accepted, and put on record only
/// where the session goes on differently for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waived(u64);

impl Waived {
    /// Every rule is enforced.
    pub const NONE: Self = Self(0);

    /// Waives this rule as well. None if there is no doubt about it, or no such rule.
    pub fn and(self, rule: u8) -> Option<Self> {
        DOUBTFUL.contains(&rule).then(|| Self(self.0 | 1 << rule))
    }

    pub(super) fn contains(self, rule: u8) -> bool {
        self.0 & 1 << rule != 0
    }
}

impl FromStr for Waived {
    type Err = NoSuchRule;

    /// Reads numbers with commas between them.
    fn from_str(text: &str) -> Result<Self, NoSuchRule> {
        text.split(',').try_fold(Self::NONE, |waived, rule| {
            let number = rule.trim().parse().ok();
            number.and_then(|number| waived.and(number)).ok_or_else(|| NoSuchRule(rule.to_owned()))
        })
    }
}

/// The text names a rule that does not exist or cannot be waived.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the number of a rule that can be waived")]
pub struct NoSuchRule(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_doubtful_rules_can_be_waived() {
        let waived: Waived = "31, 43".parse().unwrap();
        assert!(waived.contains(31) && waived.contains(43) && !waived.contains(45));
        assert_eq!(Waived::NONE.and(31).unwrap().and(43), Some(waived));
        assert_eq!("23".parse::<Waived>(), Err(NoSuchRule("23".into())));
        assert!("31,".parse::<Waived>().is_err() && "99".parse::<Waived>().is_err());
    }
}
