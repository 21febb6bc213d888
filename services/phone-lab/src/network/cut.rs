//! When a connection is cut, and how.

use std::{fmt, time::Duration};

use offhook_hosting::entropy::Entropy;

use super::conditions::{ConditionsError, LONGEST, time};
use crate::bedrock::Probability;

/// One cut of every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) how: How,
    when: When,
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// TCP RST, to both ends. What is on its way is lost.
    Reset,
    /// TCP FIN, to both ends, and no word of the protocol above. What is on its way arrives before it.
    Finish,
    /// A WebSocket close frame of this code, to both ends.
    Close(u16),
    /// HTTP/2 GOAWAY from the server: streams that are open go on.
    GoAway,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Since the connection was made.
    After(Duration),
    /// Once so many bytes have come out of it, both ways together.
    Bytes(u64),
    /// In each second, as likely as this.
    EachSecond(Probability),
}

/// The moment of a cut, once everything was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    At(Duration),
    AfterBytes(u64),
}

const EXPECTED: &str = "rst, fin, close, close:CODE (1000 to 1014 or 3000 to 4999) or goaway, then when: @12s, @20kB or \
                        @0.05/s such as rst@12s";

impl Cut {
    pub(super) fn parse(text: &str) -> Result<Self, ConditionsError> {
        let parsed = text
            .split_once('@')
            .and_then(|(how, when)| Some(Self { how: How::parse(how.trim())?, when: When::parse(when.trim())? }));
        parsed.ok_or_else(|| ConditionsError::Value {
            key: "cut".to_owned(),
            value: text.to_owned(),
            expected: EXPECTED,
        })
    }

    pub(super) fn is_go_away(self) -> bool {
        self.how == How::GoAway
    }

    pub(super) fn is_close(self) -> bool {
        matches!(self.how, How::Close(_))
    }

    /// When it strikes this connection, if it does.
    pub(super) fn draw(self, entropy: &mut Entropy) -> Option<Moment> {
        match self.when {
            When::After(time) => Some(Moment::At(time)),
            When::Bytes(bytes) => Some(Moment::AfterBytes(bytes)),
            When::EachSecond(probability) => {
                let second = (0..LONGEST.as_secs()).find(|_| probability.strikes(entropy))?;
                Some(Moment::At(Duration::from_millis(second * 1000 + entropy.between(0, 1000))))
            }
        }
    }
}

impl How {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "rst" => Some(Self::Reset),
            "fin" => Some(Self::Finish),
            "goaway" => Some(Self::GoAway),
            "close" => Some(Self::Close(1000)),
            _ => {
                let code = text.strip_prefix("close:")?.parse().ok()?;
                // What may be on the wire: RFC 6455, section 7.4, and the registry it opened.
                matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999).then_some(Self::Close(code))
            }
        }
    }
}

impl When {
    fn parse(text: &str) -> Option<Self> {
        if let Some(probability) = text.strip_suffix("/s") {
            return probability.parse().ok().map(Self::EachSecond);
        }
        let bytes = |number: &str, unit: u64| number.trim().parse::<u64>().ok()?.checked_mul(unit).map(Self::Bytes);
        match (text.strip_suffix("MB"), text.strip_suffix("kB"), text.strip_suffix('B')) {
            (Some(number), _, _) => bytes(number, 1_000_000),
            (None, Some(number), _) => bytes(number, 1000),
            (None, None, Some(number)) => bytes(number, 1),
            (None, None, None) => time(text).map(Self::After),
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@", self.how)?;
        match self.when {
            When::After(time) => write!(f, "{}", humantime::format_duration(time)),
            When::Bytes(bytes) => write!(f, "{bytes}B"),
            When::EachSecond(probability) => write!(f, "{probability}/s"),
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset => f.write_str("rst"),
            Self::Finish => f.write_str("fin"),
            Self::Close(code) => write!(f, "close:{code}"),
            Self::GoAway => f.write_str("goaway"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_is_read_and_shown() {
        for (text, shown) in [
            ("rst@12s", "rst@12s"),
            ("fin@20kB", "fin@20000B"),
            ("close@1MB", "close:1000@1000000B"),
            ("close:1001@300ms", "close:1001@300ms"),
            ("goaway@0.05/s", "goaway@0.05/s"),
            ("rst@7B", "rst@7B"),
        ] {
            let cut = Cut::parse(text).unwrap();
            assert_eq!(cut.to_string(), shown);
            assert_eq!(Cut::parse(shown), Ok(cut), "what is shown reads back");
        }
        for wrong in ["rst", "rst@", "close:1005@1s", "close:x@1s", "rst@2/s", "rst@-1B", "bang@1s", "rst@1days 1s"] {
            assert!(Cut::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_cut_by_chance_strikes_about_as_often_as_it_says_and_the_same_seed_draws_the_same() {
        let cut = Cut::parse("rst@0.1/s").unwrap();
        let drawn = |seed| match cut.draw(&mut Entropy::from_seed(seed)) {
            Some(Moment::At(time)) => time,
            other => panic!("{other:?}"),
        };
        let mean = (0..400).map(|seed| drawn(seed).as_secs_f64()).sum::<f64>() / 400.0;
        assert!((8.0..11.5).contains(&mean), "one in ten seconds: {mean}");
        assert_eq!(drawn(3), drawn(3));
        assert_eq!(Cut::parse("rst@0/s").unwrap().draw(&mut Entropy::from_seed(1)), None);
    }
}
