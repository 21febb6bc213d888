//! What a network is like, as text: `delay=40ms,jitter=20ms,burst=200ms/2s,to.rate=64kbit,cut=rst@12s`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::cut::{Cut, How};

/// No time in a setting is longer than this.
pub(super) const LONGEST: Duration = Duration::from_secs(86_400);

/// No burst holds for less: each is drawn, and a day of them has to be.
const SHORTEST_HOLD: Duration = Duration::from_millis(1);

/// How one network between the lab and what is under test behaves, on every connection that goes over it.
///
/// The lab's documentation has the settings. `Display` gives a text that reads back as the same conditions. `FromStr`
/// takes those of either network; on the other, `goaway` closes media streams with 1000, and `close` says GOAWAY.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// What the lab sends.
    pub(super) to: Way,
    /// What the lab is sent.
    pub(super) from: Way,
    pub(super) cut: Option<Cut>,
}

/// One direction. What is none does not happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) delay: Option<Duration>,
    pub(super) jitter: Option<Duration>,
    pub(super) bursts: Option<Bursts>,
    pub(super) rate: Option<Rate>,
    pub(super) stall: Option<Stall>,
}

/// Every so often, everything is held for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bursts {
    pub(super) hold: Duration,
    /// On average, from one to the next; at least half of it.
    pub(super) every: Duration,
}

/// Bits a second; at least 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate(pub(super) u64);

/// Everything is held once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stall {
    pub(super) lasts: Duration,
    /// Since the connection was made.
    pub(super) at: Duration,
}

/// Why a text is no [`Conditions`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionsError {
    /// A part of it sets nothing.
    #[error("{0:?} is no setting of a network: expected KEY=VALUE with commas between, such as delay=40ms,jitter=20ms")]
    NoSetting(String),
    /// It sets something that a network does not have.
    #[error(
        "a network has no {0:?}: it has delay, jitter, burst, rate and stall, each also as to.KEY and from.KEY, and cut"
    )]
    Key(String),
    /// It sets something to what it cannot be.
    #[error("{key} cannot be {value:?}: expected {expected}")]
    Value {
        /// What.
        key: String,
        /// To what.
        value: String,
        /// What it can be.
        expected: &'static str,
    },
    /// It sets something again.
    #[error("{0:?} sets again what is set already")]
    Twice(String),
    /// It asks for something that only the other network has.
    #[error("{found} is for {other}: here a cut is {here}")]
    Side {
        /// What is asked for.
        found: &'static str,
        /// What has it.
        other: &'static str,
        /// What there is instead.
        here: &'static str,
    },
}

impl Conditions {
    /// Reads those of the network between Twilio and the server that it calls.
    pub fn of_twilio(text: &str) -> Result<Self, ConditionsError> {
        let conditions: Self = text.parse()?;
        match conditions.cut {
            Some(cut) if cut.is_go_away() => Err(ConditionsError::Side {
                found: "goaway",
                other: "the network to Bedrock",
                here: "rst, fin, close or close:CODE",
            }),
            Some(_) | None => Ok(conditions),
        }
    }

    /// Reads those of the network between Bedrock and its clients.
    pub fn of_bedrock(text: &str) -> Result<Self, ConditionsError> {
        let conditions: Self = text.parse()?;
        match conditions.cut {
            Some(cut) if cut.is_close() => Err(ConditionsError::Side {
                found: "close",
                other: "the network to Twilio",
                here: "rst, fin or goaway",
            }),
            Some(_) | None => Ok(conditions),
        }
    }

    /// What a WebSocket is closed with, if it is to be.
    pub(super) fn close_code(&self) -> u16 {
        match self.cut.map(|cut| cut.how) {
            Some(How::Close(code)) => code,
            Some(How::Reset | How::Finish | How::GoAway) | None => 1000,
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ConditionsError> {
        if key == "cut" {
            return put(&mut self.cut, key, Cut::parse(value)?);
        }
        let way = match key.split_once('.') {
            Some(("to", name)) => return self.to.set(key, name, value),
            Some(("from", name)) => return self.from.set(key, name, value),
            Some(_) => return Err(ConditionsError::Key(key.to_owned())),
            None => key,
        };
        self.to.set(key, way, value)?;
        self.from.set(key, way, value)
    }
}

impl FromStr for Conditions {
    type Err = ConditionsError;

    fn from_str(text: &str) -> Result<Self, ConditionsError> {
        let mut conditions = Self::default();
        for part in text.split(',') {
            let setting = part.split_once('=').ok_or_else(|| ConditionsError::NoSetting(part.trim().to_owned()))?;
            conditions.set(setting.0.trim(), setting.1.trim())?;
        }
        Ok(conditions)
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for ((key, to), (_, from)) in self.to.settings().into_iter().zip(self.from.settings()) {
            if to == from {
                parts.extend(to.map(|value| format!("{key}={value}")));
            } else {
                parts.extend(to.map(|value| format!("to.{key}={value}")));
                parts.extend(from.map(|value| format!("from.{key}={value}")));
            }
        }
        parts.extend(self.cut.map(|cut| format!("cut={cut}")));
        f.write_str(&parts.join(","))
    }
}

impl Serialize for Conditions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a scenario's conditions of the network to Twilio.
pub(crate) fn of_twilio<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Conditions>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Conditions::of_twilio(&text).map(Some).map_err(de::Error::custom)
}

/// Reads a scenario's conditions of the network to Bedrock.
pub(crate) fn of_bedrock<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Conditions>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Conditions::of_bedrock(&text).map(Some).map_err(de::Error::custom)
}

impl Way {
    fn set(&mut self, key: &str, name: &str, value: &str) -> Result<(), ConditionsError> {
        match name {
            "delay" => put(&mut self.delay, key, checked(key, value, "a time such as 40ms", time(value))?),
            "jitter" => put(&mut self.jitter, key, checked(key, value, "a time such as 20ms", time(value))?),
            "burst" => {
                let expected = "HOLD/EVERY such as 200ms/2s, with a hold of 1ms to half of every";
                put(&mut self.bursts, key, checked(key, value, expected, Bursts::parse(value))?)
            }
            "rate" => {
                let expected = "bits a second such as 64kbit or 1Mbit, from 1kbit on";
                put(&mut self.rate, key, checked(key, value, expected, Rate::parse(value))?)
            }
            "stall" => {
                let expected = "LENGTH@TIME such as 3s@10s";
                put(&mut self.stall, key, checked(key, value, expected, Stall::parse(value))?)
            }
            _ => Err(ConditionsError::Key(key.to_owned())),
        }
    }

    fn settings(&self) -> [(&'static str, Option<String>); 5] {
        let time = |time: Duration| humantime::format_duration(time).to_string();
        let burst = self.bursts.map(|bursts| format!("{}/{}", time(bursts.hold), time(bursts.every)));
        let stall = self.stall.map(|stall| format!("{}@{}", time(stall.lasts), time(stall.at)));
        [
            ("delay", self.delay.map(time)),
            ("jitter", self.jitter.map(time)),
            ("burst", burst),
            ("rate", self.rate.map(|rate| format!("{}bit", rate.0))),
            ("stall", stall),
        ]
    }
}

impl Bursts {
    fn parse(text: &str) -> Option<Self> {
        let (hold, every) = text.split_once('/')?;
        let bursts = Self { hold: time(hold)?, every: time(every)? };
        (bursts.hold >= SHORTEST_HOLD && bursts.hold <= bursts.every / 2).then_some(bursts)
    }
}

impl Rate {
    fn parse(text: &str) -> Option<Self> {
        let number = text.strip_suffix("bit")?;
        let (number, unit) = match (number.strip_suffix('k'), number.strip_suffix('M')) {
            (Some(thousands), _) => (thousands, 1000),
            (None, Some(millions)) => (millions, 1_000_000),
            (None, None) => (number, 1),
        };
        let bits = number.trim().parse::<u64>().ok()?.checked_mul(unit)?;
        (bits >= 1000).then_some(Self(bits))
    }
}

impl Stall {
    fn parse(text: &str) -> Option<Self> {
        let (lasts, at) = text.split_once('@')?;
        Some(Self { lasts: time(lasts)?, at: time(at)? })
    }
}

/// A time of at most [`LONGEST`].
pub(super) fn time(text: &str) -> Option<Duration> {
    humantime::parse_duration(text.trim()).ok().filter(|time| *time <= LONGEST)
}

fn checked<T>(key: &str, value: &str, expected: &'static str, parsed: Option<T>) -> Result<T, ConditionsError> {
    parsed.ok_or_else(|| ConditionsError::Value { key: key.to_owned(), value: value.to_owned(), expected })
}

fn put<T>(place: &mut Option<T>, key: &str, value: T) -> Result<(), ConditionsError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(ConditionsError::Twice(key.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: &str = "to.delay=40ms,from.delay=80ms,jitter=20ms,burst=200ms/2s,to.rate=64000bit,\
                              from.stall=3s@10s,cut=rst@12s";

    #[test]
    fn conditions_are_read_and_shown_as_text() {
        let conditions: Conditions = EVERYTHING.parse().unwrap();
        let ms = Duration::from_millis;
        assert_eq!((conditions.to.delay, conditions.from.delay), (Some(ms(40)), Some(ms(80))));
        assert_eq!((conditions.to.jitter, conditions.from.jitter), (Some(ms(20)), Some(ms(20))));
        assert_eq!(conditions.from.bursts, Some(Bursts { hold: ms(200), every: ms(2000) }));
        assert_eq!((conditions.to.rate, conditions.from.rate), (Some(Rate(64_000)), None));
        assert_eq!(conditions.from.stall, Some(Stall { lasts: ms(3000), at: ms(10_000) }));
        assert_eq!(conditions.to_string(), EVERYTHING);
        let same: Conditions = " jitter = 20ms , delay=40ms, rate=1Mbit".parse().unwrap();
        assert_eq!(same.to_string(), "delay=40ms,jitter=20ms,rate=1000000bit");
    }

    #[test]
    fn what_is_no_condition_is_refused_with_what_to_write_instead() {
        for (text, complaint) in [
            ("", "expected KEY=VALUE"),
            ("delay=40ms,", "expected KEY=VALUE"),
            ("delay", "expected KEY=VALUE"),
            ("loss=1%", "it has delay, jitter, burst, rate and stall"),
            ("up.delay=1s", "it has delay, jitter, burst, rate and stall"),
            ("to.cut=rst@1s", "it has delay, jitter, burst, rate and stall"),
            ("delay=40", "such as 40ms"),
            ("delay=2days", "such as 40ms"),
            ("burst=200ms", "HOLD/EVERY"),
            ("burst=2s/3s", "to half"),
            ("burst=1us/2us", "of 1ms to"),
            ("rate=0kbit", "from 1kbit on"),
            ("rate=64", "64kbit or 1Mbit"),
            ("rate=99999999999999999999Mbit", "64kbit or 1Mbit"),
            ("stall=3s", "3s@10s"),
            ("cut=now", "rst@12s"),
            ("delay=1ms,to.delay=2ms", "\"to.delay\" sets again"),
            ("cut=rst@1s,cut=fin@2s", "\"cut\" sets again"),
        ] {
            let error = text.parse::<Conditions>().unwrap_err().to_string();
            assert!(error.contains(complaint), "{text}: {error}");
        }
    }

    #[test]
    fn each_network_has_its_own_way_of_closing() {
        assert!(Conditions::of_twilio("cut=close:1001@1s").is_ok() && Conditions::of_bedrock("cut=goaway@1s").is_ok());
        let twilio = Conditions::of_twilio("cut=goaway@1s").unwrap_err().to_string();
        assert_eq!(twilio, "goaway is for the network to Bedrock: here a cut is rst, fin, close or close:CODE");
        let bedrock = Conditions::of_bedrock("cut=close@1s").unwrap_err().to_string();
        assert_eq!(bedrock, "close is for the network to Twilio: here a cut is rst, fin or goaway");
    }
}
