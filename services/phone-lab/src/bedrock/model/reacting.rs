//! What the script makes of what was heard.

use super::{
    super::{
        fault::{Fault, Quirk, Risk},
        script::Reaction,
        speaking::Step,
    },
    Model, Output, say,
};

impl Model {
    /// What a reaction makes the model do. What may go wrong with it does so, or does not, from here on.
    pub(super) fn react(&mut self, reaction: Reaction) -> Vec<Step> {
        let Reaction { say: texts, tools, meanwhile, reply, risks } = reaction;
        self.risk(&risks);
        let steps = texts.iter().flat_map(|text| say(text)).chain(self.asking.plan(tools, reply));
        steps.chain(meanwhile.iter().flat_map(|text| say(text))).collect()
    }

    fn risk(&mut self, risks: &[Risk]) {
        let mut faults: Vec<_> = risks.iter().filter_map(|risk| risk.draw(&mut self.chances)).collect();
        // What ends this session comes last, or the others would not come at all.
        faults.sort_by_key(|fault| !fault.is_of_start());
        for fault in faults {
            if let Fault::Quirk(quirk) = fault {
                self.quirks.push(quirk);
                self.speaking.set_bursts(self.is_odd(Quirk::AudioBursts));
                self.confirming.set_late(self.is_odd(Quirk::LateFinalTexts));
            }
            self.outputs.push_back(Output::Fault(fault));
        }
    }
}
