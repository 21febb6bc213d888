//! Which rules the house has, and what it remarks on.

use offhook_hosting::entropy::Entropy;

use super::{
    super::{
        events::Generation,
        probability::Probability,
        settings::{HistoryLimits, Settings},
        waived::Waived,
    },
    Violation,
};

/// What the order of events is judged by.
#[derive(Debug)]
pub(in super::super) struct Policy {
    pub(in super::super) model: Generation,
    pub(in super::super) waived: Waived,
    /// History has to alternate.
    pub(in super::super) strict_history: bool,
    pub(in super::super) history: HistoryLimits,
    /// How likely interactive text is refused for nothing, and what to draw that from.
    pub(in super::super) slipped_audio: Option<(Probability, Entropy)>,
}

impl Policy {
    pub(in super::super) fn new(settings: &Settings, model: Generation, entropy: Entropy) -> Self {
        let slips = settings.slipped_audio != Probability::NEVER;
        Self {
            waived: settings.waived,
            strict_history: settings.strict_history,
            history: settings.history_limits.unwrap_or(model.history_limits()),
            slipped_audio: slips.then_some((settings.slipped_audio, entropy)),
            ..Self::of(model)
        }
    }

    /// The default for this model.
    pub(in super::super) fn of(model: Generation) -> Self {
        let history = model.history_limits();
        Self { model, waived: Waived::NONE, strict_history: false, history, slipped_audio: None }
    }
}

/// The policy at work.
#[derive(Debug)]
pub(super) struct House {
    policy: Policy,
    remarks: Vec<String>,
}

impl House {
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, remarks: Vec::new() }
    }

    pub(super) fn model(&self) -> Generation {
        self.policy.model
    }

    pub(super) fn history(&self) -> HistoryLimits {
        self.policy.history
    }

    pub(super) fn waives(&self, rule: u8) -> bool {
        self.policy.waived.contains(rule)
    }

    /// Puts on record what is tolerated but should not be.
    pub(super) fn remark(&mut self, remark: &str) {
        self.remarks.push(remark.into());
    }

    /// The rule is broken: refuses generically, or puts it on record where the rule is waived.
    pub(super) fn tolerate(&mut self, rule: u8, remark: &str) -> Result<(), Violation> {
        if !self.waives(rule) {
            return Err(Violation::generic());
        }
        self.remark(remark);
        Ok(())
    }

    /// Two messages of the same role follow each other in the history.
    pub(super) fn repeats_role(&mut self) -> Result<(), Violation> {
        match (self.policy.strict_history, self.waives(36)) {
            (true, _) => Err(Violation::generic()),
            (false, true) => Ok(()),
            (false, false) => {
                self.remark("history roles do not alternate");
                Ok(())
            }
        }
    }

    /// Says whether this interactive text is refused as if audio had slipped into it.
    pub(super) fn audio_slips(&mut self) -> bool {
        self.policy.slipped_audio.as_mut().is_some_and(|(probability, entropy)| probability.strikes(entropy))
    }

    pub(super) fn take_remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }
}
