//! What may become of a transfer, and the caller and the human who make it so.

use std::time::Duration;

use offhook_hosting::entropy::Entropy;
use phone_lab::twilio::{CallerScript, Human, Sound, script::Step};

/// Until the agent has said something after the transfer and been answered.
const BACK: &str = "{ hear: welcome back }, { say: thank you }, { hear: you said thank you }, hang_up";
/// The number that the edge hands over to. What follows the number is the lab's.
pub(crate) const HUMAN: &str = "+15550100900";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    HumanLeaves,
    CallerLeavesHuman,
    Busy,
    Declined,
    NoAnswer,
    Unreachable,
    DeclinedByKey,
    DeclinedBySilence,
    HumanLeavesWhenAsked,
    CallerLeavesWhileItRings,
    CallerLeavesWhileHumanIsAsked,
    /// Twilio's REST interface does not answer: the edge closes the media socket instead.
    WithoutRest,
    /// Somebody else redirects the call, by REST, while the human is being rung or talks.
    Redirected,
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) nth: usize,
    pub(crate) outcome: Outcome,
    pub(crate) human: Human,
    pub(crate) caller: CallerScript,
    /// What the caller says that nobody else says.
    pub(crate) secret: String,
    /// How long after the human was dialled somebody redirects the call.
    pub(crate) redirect_after: Duration,
}

fn secret(nth: usize, time: usize) -> String {
    format!("order {time} {}", 10_000 + nth)
}

impl Run {
    /// The same call once more, which can be told from the first.
    pub(crate) fn again(mut self, time: usize) -> Self {
        let again = secret(self.nth, time);
        for step in &mut self.caller.steps {
            if let Step::Say(said) = step
                && said.text() == self.secret
            {
                *said = Sound::words(&again);
            }
        }
        Self { secret: again, ..self }
    }
}

impl Outcome {
    pub(crate) const ALL: [Self; 13] = [
        Self::HumanLeaves,
        Self::CallerLeavesHuman,
        Self::Busy,
        Self::Declined,
        Self::NoAnswer,
        Self::Unreachable,
        Self::DeclinedByKey,
        Self::DeclinedBySilence,
        Self::HumanLeavesWhenAsked,
        Self::CallerLeavesWhileItRings,
        Self::CallerLeavesWhileHumanIsAsked,
        Self::WithoutRest,
        Self::Redirected,
    ];

    /// A call that ends so, at moments that are drawn.
    pub(crate) fn run(self, nth: usize, entropy: &mut Entropy) -> Run {
        let mut millis = |from: u64, to: u64| entropy.between(from, to);
        let (rings, thinks, talks) = (millis(100, 2500), millis(100, 1500), millis(100, 2000));
        let (waits, leaves) = (millis(0, 700), millis(100, 3500));
        let secret = secret(nth, 0);
        let takes =
            format!("{{ hear: press 1 to take the call }}, {{ wait: {thinks}ms }}, {{ press: '1' }}, connected");
        let human = |after: u64, steps: &str| Human::acts(Duration::from_millis(after), &format!("[{steps}]")).unwrap();
        let human = match self {
            Self::HumanLeaves | Self::WithoutRest => {
                human(rings, &format!("{takes}, {{ say: desk here }}, {{ wait: {talks}ms }}, hang_up"))
            }
            Self::CallerLeavesHuman | Self::Redirected => {
                human(rings, &format!("{takes}, {{ say: desk here }}, {{ wait: 60s }}"))
            }
            Self::Busy => Human::Busy,
            Self::Declined => Human::Declines,
            Self::NoAnswer => Human::NoAnswer,
            Self::Unreachable => Human::Unreachable,
            Self::DeclinedByKey => {
                human(rings, &format!("{}, {{ wait: 60s }}", takes.replace("'1' }, connected", "'2' }")))
            }
            Self::DeclinedBySilence => human(rings, "{ wait: 60s }"),
            Self::HumanLeavesWhenAsked => human(rings, &format!("{{ wait: {talks}ms }}, hang_up")),
            Self::CallerLeavesWhileItRings => human(60_000, "{ wait: 60s }"),
            Self::CallerLeavesWhileHumanIsAsked => human(200, "{ wait: 60s }"),
        };
        let asks = format!("listen, {{ say: {secret} }}, listen, {{ wait: {waits}ms }}, {{ say: a human please }}");
        let then = match self {
            Self::CallerLeavesHuman => format!("connected, listen, {{ wait: {talks}ms }}, hang_up"),
            // From the agent's last words: the line that Twilio says, then some of the ringing.
            Self::CallerLeavesWhileItRings => format!("listen, {{ wait: {leaves}ms }}, hang_up"),
            Self::CallerLeavesWhileHumanIsAsked => format!("listen, {{ wait: {}ms }}, hang_up", 1200 + leaves),
            Self::HumanLeaves | Self::WithoutRest => format!("connected, {BACK}"),
            Self::Busy
            | Self::Declined
            | Self::NoAnswer
            | Self::Unreachable
            | Self::DeclinedByKey
            | Self::DeclinedBySilence
            | Self::HumanLeavesWhenAsked
            | Self::Redirected => BACK.to_owned(),
        };
        let from = format!("+1555{:07}", 2_000_000 + nth);
        let yaml = format!("from: '{from}'\nto: '+15550100100'\npatience: 40s\nsteps: [{asks}, {then}]");
        let caller = CallerScript::from_yaml(&yaml).unwrap();
        Run { nth, outcome: self, human, caller, secret, redirect_after: Duration::from_millis(leaves) }
    }

    /// Whether the caller hangs up in the middle, and so does not come back to the agent.
    pub(crate) fn ends_the_call(self) -> bool {
        matches!(self, Self::CallerLeavesHuman | Self::CallerLeavesWhileItRings | Self::CallerLeavesWhileHumanIsAsked)
    }

    /// What the agent is told, and so says.
    pub(crate) fn told(self) -> Option<&'static str> {
        match self {
            Self::HumanLeaves | Self::WithoutRest => Some("has spoken with a person"),
            Self::Busy | Self::Declined => Some("their line is busy"),
            Self::NoAnswer => Some("nobody answered"),
            Self::Unreachable => Some("the connection failed"),
            Self::DeclinedByKey | Self::DeclinedBySilence | Self::HumanLeavesWhenAsked => {
                Some("the person did not take the call")
            }
            // Whether the human had taken the call by then is up to the moment.
            Self::Redirected => Some("is back with you"),
            Self::CallerLeavesHuman | Self::CallerLeavesWhileItRings | Self::CallerLeavesWhileHumanIsAsked => None,
        }
    }

    /// What the record says of the transfer: Twilio's word, and whether they spoke.
    pub(crate) fn recorded(self) -> Option<(&'static str, bool)> {
        match self {
            Self::HumanLeaves | Self::WithoutRest => Some(("completed", true)),
            Self::Busy | Self::Declined => Some(("busy", false)),
            Self::NoAnswer => Some(("no-answer", false)),
            Self::Unreachable => Some(("failed", false)),
            Self::DeclinedByKey | Self::DeclinedBySilence | Self::HumanLeavesWhenAsked => Some(("completed", false)),
            Self::Redirected
            | Self::CallerLeavesHuman
            | Self::CallerLeavesWhileItRings
            | Self::CallerLeavesWhileHumanIsAsked => None,
        }
    }
}
