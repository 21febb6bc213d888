//! What a caller is going to do, written in YAML.
//!
//! ```yaml
//! from: "+15550100001"
//! to: "+15550100100"
//! patience: 20s                     # optional; how long to wait for the agent, or for the end
//! steps:
//!   - listen                        # until the agent has spoken and then been quiet for 500 ms
//!   - listen: { quiet: 700ms }
//!   - say: "cancel my booking"      # in tone words
//!   - play: yes_please.wav          # a recording of the lab's, or a path with a slash in it
//!   - interrupt: { after: 700ms, say: "stop" }
//!   - press: "12#"
//!   - wait: 300ms
//!   - hear: "welcome back"          # until these words were heard, among whatever else
//!   - await_keys: "12#"             # until these keys were heard, from `<Play digits>` or from who is connected
//!   - connected                     # until connected to somebody whom `<Dial>` or a queue brought
//!   - repeat: { times: 60, steps: [{ say: "number {n}" }, listen] }    # {n} counts from 1
//!   - hang_up
//! sip_headers: { X-Tenant: t-42 }    # optional, where `to` is a SIP address
//! dialled:                          # optional; who answers `<Dial>`, by number or address: see `Human`
//!   "+15550100009": busy            # or declines, no_answer, unreachable
//!   otherwise: { after: 2s, steps: [listen, { press: "1" }, connected, { say: "desk here" }, hang_up] }
//! ```

pub(super) mod repeat;

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};

use super::human::Human;
use crate::{speech, tones};

const QUIET: Duration = Duration::from_millis(500);

/// A caller: who, whom, and what happens step by step. After the last step the caller stays until the other side ends
/// the call, at most for `patience`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallerScript {
    /// The caller's number.
    pub from: String,
    /// The number called.
    pub to: String,
    /// How long the caller waits for the agent to speak, or for the end; 30 s unless told.
    #[serde(default = "patience", deserialize_with = "duration")]
    pub patience: Duration,
    /// What the caller does, in order.
    #[serde(deserialize_with = "repeat::steps")]
    pub steps: Vec<Step>,
    /// Headers of a call to a SIP address (`to: sip:name@domain`): `X-` and `User-to-User`.
    #[serde(default)]
    pub sip_headers: BTreeMap<String, String>,
    /// Who answers `<Dial>`, by number or address, a SIP address without parameters and headers; `otherwise` is who has
    /// all others. Goes before what [`super::CallOptions`] says.
    #[serde(default)]
    pub dialled: BTreeMap<String, Human>,
}

/// One thing a caller does.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Waits until the agent has spoken, then been quiet for so long.
    Listen(Duration),
    /// Speaks.
    Say(Sound),
    /// Once the agent has been speaking for so long, speaks over it.
    Interrupt {
        /// For how long.
        after: Duration,
        /// What to say.
        say: Sound,
    },
    /// Presses keys, five a second.
    Press(String),
    /// Waits until these keys were heard, one after the other.
    AwaitKeys(String),
    /// Waits until these words were heard to their end since the last such step, whoever says them; without spaces.
    Hear(String),
    /// Waits until connected to somebody else.
    Connected,
    /// Does nothing for so long.
    Wait(Duration),
    /// Hangs up.
    HangUp,
}

/// Something to say, ready to be heard.
#[derive(Clone, PartialEq)]
pub struct Sound {
    text: String,
    recorded: bool,
    pcm: Arc<[i16]>,
}

impl Sound {
    /// Tone words.
    pub fn words(text: &str) -> Self {
        Self { text: tones::fold(text), recorded: false, pcm: tones::speak(text).into() }
    }

    /// A recording that comes with the lab, or with a slash in its name a WAV file.
    pub fn recording(name: &str) -> Result<Self, ScriptError> {
        let pcm = if name.contains('/') {
            speech::load(Path::new(name)).map_err(|source| ScriptError::Recording { name: name.to_owned(), source })?
        } else {
            speech::bundled(name).ok_or_else(|| ScriptError::NoSuchRecording { name: name.to_owned() })?
        };
        Ok(Self { text: name.to_owned(), recorded: true, pcm: pcm.into() })
    }

    /// The words, or the recording's name.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How long it is.
    pub(crate) fn lasts(&self) -> Duration {
        Duration::from_micros(self.pcm.len() as u64 * 1_000_000 / u64::from(speech::SAMPLE_RATE))
    }

    /// The samples.
    pub fn pcm(&self) -> &Arc<[i16]> {
        &self.pcm
    }
}

impl fmt::Debug for Sound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sound({:?})", self.text)
    }
}

/// Why a caller's script cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The YAML is broken or says something unknown.
    #[error("the caller's script is wrong: {0}")]
    Yaml(String),
    /// No recording of that name comes with the lab.
    #[error("no recording {name:?} comes with the lab; a path needs a slash in it")]
    NoSuchRecording {
        /// What was asked for.
        name: String,
    },
    /// The file cannot be played.
    #[error("the recording {name:?} cannot be played")]
    Recording {
        /// What was asked for.
        name: String,
        /// Why not.
        source: speech::SpeechError,
    },
}

impl CallerScript {
    /// Reads a script, with everything it plays.
    pub fn from_yaml(text: &str) -> Result<Self, ScriptError> {
        serde_saphyr::from_str(text).map_err(|error| ScriptError::Yaml(error.to_string()))
    }
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(StepVisitor)? {
            Written::One(step) => Ok(step),
            Written::Repeated(_) => {
                Err(de::Error::custom("repeat stands among a caller's steps, not in another repeat"))
            }
        }
    }
}

/// A step, or several that are repeated.
enum Written {
    One(Step),
    Repeated(Vec<Step>),
}

impl Written {
    fn steps(self) -> Vec<Step> {
        match self {
            Self::One(step) => vec![step],
            Self::Repeated(steps) => steps,
        }
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StepVisitor)
    }
}

const STEPS: &[&str] =
    &["listen", "hear", "say", "play", "interrupt", "press", "await_keys", "connected", "wait", "hang_up", "repeat"];

struct StepVisitor;

impl<'de> Visitor<'de> for StepVisitor {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a step, one of {}", STEPS.join(", "))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Written, E> {
        match name {
            "listen" => Ok(Written::One(Step::Listen(QUIET))),
            "hang_up" => Ok(Written::One(Step::HangUp)),
            "connected" => Ok(Written::One(Step::Connected)),
            known if STEPS.contains(&known) => Err(E::custom(format!("{known} needs a value"))),
            unknown => Err(E::unknown_variant(unknown, STEPS)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
        let name: String = map.next_key()?.ok_or_else(|| de::Error::custom("an empty step"))?;
        let step = match name.as_str() {
            "repeat" => {
                let steps = repeat::repeated(&mut map)?;
                return alone(&name, &mut map).map(|()| Written::Repeated(steps));
            }
            "listen" => Step::Listen(map.next_value::<Listen>()?.quiet),
            "say" => Step::Say(Sound::words(&map.next_value::<String>()?)),
            "play" => Step::Say(Sound::recording(&map.next_value::<String>()?).map_err(|error| explained(&error))?),
            "interrupt" => {
                let Interrupt { after, say } = map.next_value()?;
                Step::Interrupt { after, say: Sound::words(&say) }
            }
            "hear" => Step::Hear(heard(&map.next_value::<String>()?)?),
            "press" => Step::Press(keys(map.next_value()?)?),
            "await_keys" => Step::AwaitKeys(keys(map.next_value()?)?),
            "wait" => Step::Wait(map.next_value::<Span>()?.0),
            "hang_up" | "connected" => return Err(de::Error::custom(format!("{name} takes no value"))),
            unknown => return Err(de::Error::unknown_variant(unknown, STEPS)),
        };
        alone(&name, &mut map).map(|()| Written::One(step))
    }
}

/// Fails if another step follows this one in its map.
fn alone<'de, A: MapAccess<'de>>(name: &str, map: &mut A) -> Result<(), A::Error> {
    match map.next_key::<String>()? {
        None => Ok(()),
        Some(second) => Err(de::Error::custom(format!("{name} and {second} are two steps: begin each with a dash"))),
    }
}

/// An error with its cause, for a format that carries messages only.
fn explained<E: de::Error>(error: &ScriptError) -> E {
    match std::error::Error::source(error) {
        Some(cause) => E::custom(format!("{error}: {cause}")),
        None => E::custom(error),
    }
}

fn heard<E: de::Error>(words: &str) -> Result<String, E> {
    let words: String = tones::fold(words).split_whitespace().collect();
    if words.is_empty() { Err(E::custom("hear needs words")) } else { Ok(words) }
}

fn keys<E: de::Error>(keys: String) -> Result<String, E> {
    if !keys.is_empty() && keys.chars().all(|key| key.is_ascii_digit() || key == '*' || key == '#') {
        Ok(keys)
    } else {
        Err(E::custom("a phone has the keys 0 to 9, * and #"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listen {
    #[serde(deserialize_with = "duration")]
    quiet: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Interrupt {
    #[serde(deserialize_with = "duration")]
    after: Duration,
    say: String,
}

#[derive(Deserialize)]
struct Span(#[serde(deserialize_with = "duration")] Duration);

/// No duration is longer: a clock can always be set by it.
const LONGEST: Duration = Duration::from_secs(86_400);

/// A duration as scenarios have it, of a day at most.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).ok().filter(|duration| *duration <= LONGEST).ok_or_else(|| {
        de::Error::custom(format!("expected a duration such as 300ms or 2s, of a day at most, found {text:?}"))
    })
}

/// The same where there may be none.
pub(crate) fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

pub(super) fn patience() -> Duration {
    Duration::from_secs(30)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(steps: &str) -> Result<Vec<Step>, String> {
        let text = format!("from: '+15550100001'\nto: '+15550100100'\nsteps:\n{steps}");
        CallerScript::from_yaml(&text).map(|script| script.steps).map_err(|error| error.to_string())
    }

    #[test]
    fn every_step_is_read() {
        let read = steps(
            "  - listen\n  - listen: { quiet: 700ms }\n  - say: \"Cancel my booking\"\n  - play: yes_please.wav\n  \
             - interrupt: { after: 700ms, say: stop }\n  - press: \"12#\"\n  - wait: 300ms\n  - await_keys: \"1\"\n  \
             - hear: Welcome back\n  \
             - connected\n  - hang_up\n",
        )
        .unwrap();
        let expected = [
            Step::Listen(Duration::from_millis(500)),
            Step::Listen(Duration::from_millis(700)),
            Step::Say(Sound::words("cancel my booking")),
            Step::Say(Sound::recording("yes_please.wav").unwrap()),
            Step::Interrupt { after: Duration::from_millis(700), say: Sound::words("stop") },
            Step::Press("12#".into()),
            Step::Wait(Duration::from_millis(300)),
            Step::AwaitKeys("1".into()),
            Step::Hear("welcomeback".into()),
            Step::Connected,
            Step::HangUp,
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn a_wrong_step_is_explained() {
        for (step, explanation) in [
            ("  - shout: hello", "unknown variant `shout`"),
            ("  - say", "say needs a value"),
            ("  - press: 1a", "0 to 9"),
            ("  - await_keys: x", "0 to 9"),
            ("  - hear: ' '", "hear needs words"),
            ("  - connected: 1s", "connected takes no value"),
            ("  - wait: soon", "300ms or 2s"),
            ("  - wait: 99999999999days", "a day at most"),
            ("  - play: nobody.wav", "no recording \"nobody.wav\""),
            ("  - play: ./nobody.wav", "cannot be played: cannot read"),
            ("  - say: a\n    wait: 1s", "begin each with a dash"),
            ("  - interrupt: { after: 1s, say: a, loud: yes }", "loud"),
        ] {
            let error = steps(step).unwrap_err();
            assert!(error.contains(explanation), "{step}: {error}");
        }
    }

    #[test]
    fn patience_is_thirty_seconds_unless_told_and_an_unknown_field_is_refused() {
        let script = CallerScript::from_yaml("from: a\nto: b\nsteps: []").unwrap();
        assert_eq!(script.patience, Duration::from_secs(30));
        assert!(CallerScript::from_yaml("from: a\nto: b\nsteps: []\nvoice: c").is_err());
    }
}
