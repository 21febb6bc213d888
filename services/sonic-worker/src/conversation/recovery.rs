//! What to do when a session breaks or is not to be had: how often, after which pause, and with how much of what was
//! said before.

use std::time::Duration;

use offhook_hosting::entropy::Entropy;

use crate::nova::{Failure, HistoryLimits, Remedy};

/// Failures in a row, without a session that worked in between, after which the caller is told.
const MOST_FAILURES: u32 = 4;
/// The pauses before each new try are drawn from half of this to all of it.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3)];
/// As the first of them, where the service asked for patience.
const FIRST_PAUSE_LATER: Duration = Duration::from_millis(300);

/// What has failed since a session last worked.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    failures: u32,
    once_more: u32,
    shortened: u32,
    /// Not forgotten when a session works: what was blocked is still a part of what was said.
    rephrased: u32,
    /// The last exchange was blocked.
    blocked: bool,
}

/// What is to be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Open another session.
    Open {
        /// After this pause.
        pause: Duration,
        /// In another region, if there is one.
        elsewhere: bool,
    },
    /// It is of no use.
    GiveUp,
}

impl Recovery {
    /// A session broke or could not be opened.
    pub(super) fn failed(&mut self, failure: Failure, entropy: &mut Entropy) -> Plan {
        self.failures += 1;
        let remedy = failure.remedy();
        self.blocked |= remedy == Remedy::Rephrase;
        let tries = match remedy {
            Remedy::Rephrase => Some(&mut self.rephrased),
            Remedy::Shorten => Some(&mut self.shortened),
            Remedy::OnceMore => Some(&mut self.once_more),
            Remedy::Renew | Remedy::Later | Remedy::Elsewhere | Remedy::GiveUp => None,
        };
        let too_often = tries.is_some_and(|tries| {
            *tries += 1;
            *tries > 1
        });
        if remedy == Remedy::GiveUp || too_often || self.failures >= MOST_FAILURES {
            return Plan::GiveUp;
        }
        let longest = match (remedy, self.failures) {
            (Remedy::Later, 1) => FIRST_PAUSE_LATER,
            (_, failures) => PAUSES[failures as usize - 1],
        };
        let longest = longest.as_millis() as u64;
        let pause = Duration::from_millis(entropy.between(longest / 2, longest + 1));
        Plan::Open { pause, elsewhere: matches!(remedy, Remedy::Elsewhere) }
    }

    /// How many failures there were in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// A session has shown that it works.
    pub(super) fn worked(&mut self) {
        *self = Self { rephrased: self.rephrased, ..Self::default() };
    }

    /// How much the next session may be told of what was said.
    pub(super) fn history_limits(&self) -> HistoryLimits {
        let limits = HistoryLimits::default();
        match self.shortened {
            0 => limits,
            _ => HistoryLimits { total_bytes: limits.total_bytes / 2, ..limits },
        }
    }

    /// Whether what the caller said last was blocked.
    pub(super) fn was_blocked(&self) -> bool {
        self.blocked
    }
}
