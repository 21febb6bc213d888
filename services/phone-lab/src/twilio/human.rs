//! Whoever is reached by `<Dial>`, or takes a call out of a queue.

use std::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    outbound::AnsweredBy,
    script::{self, ScriptError, Sound, Step},
};

/// How long a human stays silent before hanging up.
const FAREWELL: Duration = Duration::from_millis(200);
/// How long it rings unless told.
const RINGS: Duration = Duration::from_millis(200);
/// How long detection takes unless told.
const DETECTION_TAKES: Duration = Duration::from_secs(2);

/// Somebody with a phone.
#[derive(Clone, Debug, PartialEq)]
pub enum Human {
    /// Answers after ringing for so long, says this once connected, and hangs up.
    Answers {
        /// How long it rings.
        after: Duration,
        /// In tone words.
        says: String,
    },
    /// Answers and follows a script, from the moment of the answer: what a document that screens the call says is heard,
    /// and keys are pressed for it, before the caller is.
    Acts(Box<Party>),
    /// Is on the phone.
    Busy,
    /// Declines the call, which SIP calls 603 and Twilio busy.
    Declines,
    /// Lets it ring.
    NoAnswer,
    /// Has an address that leads to nobody.
    Unreachable,
}

/// What somebody does who answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Party {
    /// After ringing for so long.
    pub after: Duration,
    /// What is done then, in order. Who is through with it stays until the other side hangs up.
    pub steps: Vec<Step>,
    /// How long a step is waited for, or the end.
    pub patience: Duration,
    /// What Twilio detects, if it is asked to.
    pub detected: AnsweredBy,
    /// How long that takes.
    pub detection_takes: Duration,
}

impl Default for Human {
    fn default() -> Self {
        Self::Answers { after: RINGS, says: "human here".to_owned() }
    }
}

impl Human {
    /// Somebody who answers after so long and follows these steps, written as in [`script`]:
    /// `[listen, { press: "1" }, connected, { say: hello }, hang_up]`.
    ///
    /// # Errors
    /// If they are no steps.
    pub fn acts(after: Duration, steps: &str) -> Result<Self, ScriptError> {
        let steps: Vec<Step> = serde_saphyr::from_str(steps).map_err(|error| ScriptError::Yaml(error.to_string()))?;
        Ok(Self::Acts(Box::new(Party::new(after, steps))))
    }

    /// What is done by who answers.
    pub(super) fn party(&self) -> Option<Party> {
        match self {
            Self::Answers { after, says } => {
                let steps = vec![Step::Connected, Step::Say(Sound::words(says)), Step::Wait(FAREWELL), Step::HangUp];
                Some(Party::new(*after, steps))
            }
            Self::Acts(party) => Some(Party::clone(party)),
            Self::Busy | Self::Declines | Self::NoAnswer | Self::Unreachable => None,
        }
    }
}

impl Party {
    /// A person with the usual patience.
    pub fn new(after: Duration, steps: Vec<Step>) -> Self {
        let (detected, detection_takes) = (AnsweredBy::Human, DETECTION_TAKES);
        Self { after, steps, patience: script::patience(), detected, detection_takes }
    }
}

impl<'de> Deserialize<'de> for Human {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HumanVisitor)
    }
}

const KINDS: &[&str] = &["busy", "declines", "no_answer", "unreachable"];

struct HumanVisitor;

impl<'de> Visitor<'de> for HumanVisitor {
    type Value = Human;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of {}, or what somebody who answers does: {{ after: 2s, steps: [...] }}", KINDS.join(", "))
    }

    fn visit_str<E: de::Error>(self, kind: &str) -> Result<Human, E> {
        match kind {
            "busy" => Ok(Human::Busy),
            "declines" => Ok(Human::Declines),
            "no_answer" => Ok(Human::NoAnswer),
            "unreachable" => Ok(Human::Unreachable),
            unknown => Err(E::unknown_variant(unknown, KINDS)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Human, A::Error> {
        let Written { after, steps, patience, detected } = Written::deserialize(MapAccessDeserializer::new(map))?;
        let party = Party { patience, detected, ..Party::new(after, steps) };
        Ok(Human::Acts(Box::new(party)))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default = "rings", deserialize_with = "script::duration")]
    after: Duration,
    #[serde(deserialize_with = "script::repeat::steps")]
    steps: Vec<Step>,
    #[serde(default = "script::patience", deserialize_with = "script::duration")]
    patience: Duration,
    #[serde(default)]
    detected: AnsweredBy,
}

fn rings() -> Duration {
    RINGS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twilio::CallerScript;

    fn dialled(yaml: &str) -> Result<Human, String> {
        let script = CallerScript::from_yaml(&format!("from: a\nto: b\nsteps: []\ndialled: {{ otherwise: {yaml} }}"));
        Ok(script.map_err(|error| error.to_string())?.dialled["otherwise"].clone())
    }

    #[test]
    fn who_answers_is_read() {
        assert_eq!(dialled("busy"), Ok(Human::Busy));
        assert_eq!(dialled("no_answer"), Ok(Human::NoAnswer));
        let steps = "[listen, { press: '1' }, connected, hang_up]";
        let acts = dialled(&format!("{{ after: 3s, steps: {steps} }}"));
        assert_eq!(acts, Ok(Human::acts(Duration::from_secs(3), steps).unwrap()));
        let Ok(Human::Acts(machine)) = dialled("{ steps: [], detected: machine, patience: 5s }") else {
            panic!("acts")
        };
        assert_eq!((machine.detected, machine.patience.as_secs()), (AnsweredBy::Machine, 5));
    }

    #[test]
    fn what_nobody_does_is_explained() {
        for (yaml, explanation) in [
            ("asleep", "busy"),
            ("{ after: 1s }", "steps"),
            ("{ steps: [], loud: yes }", "loud"),
            ("{ steps: [shout] }", "shout"),
            ("{ steps: [], detected: robot }", "robot"),
        ] {
            let error = dialled(yaml).unwrap_err();
            assert!(error.contains(explanation), "{yaml}: {error}");
        }
        assert!(Human::acts(RINGS, "[shout]").is_err());
    }
}
