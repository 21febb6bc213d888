//! What tokens cost. Exact: amounts are whole numbers, never floats.

use std::{fmt, ops::AddAssign, str::FromStr};

use serde::{Serialize, Serializer};

use crate::nova::Usage;

/// Digits after the point of a price.
const PRICE_DECIMALS: usize = 6;
const PICO_USD_IN_MICRO_USD: u64 = 1_000_000;
const MICRO_USD_IN_USD: u64 = 1_000_000;

/// What the model's tokens cost, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prices {
    /// Of what the model hears.
    pub speech_in: Price,
    /// Of what the model speaks.
    pub speech_out: Price,
    /// Of what the model reads.
    pub text_in: Price,
    /// Of what the model writes.
    pub text_out: Price,
}

/// The price of a million tokens in millionths of a US dollar, which is that of one token in millionths of a millionth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price(u64);

/// An amount of money. Adds up without loss; shown in US dollars, rounded to six decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    pico_usd: u64,
}

/// The text is no table of prices.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrices {
    /// Something else than the four prices, or one of them twice or not at all.
    #[error("expected speech_in, speech_out, text_in and text_out once each, as in {DEFAULT}")]
    Shape,
    /// A price cannot be read.
    #[error("{0} must be US dollars per million tokens, below a million and with at most 6 decimals, such as 0.33")]
    Price(&'static str),
}

/// For Nova 2 Sonic in us-east-1, as price aggregators list it.
const DEFAULT: &str = "speech_in=3,speech_out=12,text_in=0.33,text_out=2.75";

impl Default for Prices {
    fn default() -> Self {
        let price = |milli_usd: u64| Price(milli_usd * 1_000);
        Self { speech_in: price(3_000), speech_out: price(12_000), text_in: price(330), text_out: price(2_750) }
    }
}

impl Prices {
    /// What these tokens cost.
    pub fn cost(&self, usage: Usage) -> Cost {
        let kinds = [
            (usage.input_speech_tokens, self.speech_in),
            (usage.output_speech_tokens, self.speech_out),
            (usage.input_text_tokens, self.text_in),
            (usage.output_text_tokens, self.text_out),
        ];
        let pico_usd = kinds.into_iter().map(|(tokens, Price(each))| tokens.saturating_mul(each));
        Cost { pico_usd: pico_usd.fold(0, u64::saturating_add) }
    }
}

impl FromStr for Prices {
    type Err = InvalidPrices;

    fn from_str(table: &str) -> Result<Self, InvalidPrices> {
        let entries: Vec<(&str, &str)> = table
            .split(',')
            .map(|entry| entry.split_once('=').map(|(name, price)| (name.trim(), price.trim())))
            .collect::<Option<_>>()
            .ok_or(InvalidPrices::Shape)?;
        let price = |wanted: &'static str| {
            let mut found = entries.iter().filter(|(name, _)| *name == wanted);
            match (found.next(), found.next()) {
                (Some((_, price)), None) => Price::parse(price).ok_or(InvalidPrices::Price(wanted)),
                (None, _) | (Some(_), Some(_)) => Err(InvalidPrices::Shape),
            }
        };
        let prices = Self {
            speech_in: price("speech_in")?,
            speech_out: price("speech_out")?,
            text_in: price("text_in")?,
            text_out: price("text_out")?,
        };
        if entries.len() == 4 { Ok(prices) } else { Err(InvalidPrices::Shape) }
    }
}

impl Price {
    fn parse(usd: &str) -> Option<Self> {
        let (whole, decimals) = usd.split_once('.').unwrap_or((usd, "0"));
        let is_number = |digits: &str| (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) {
            return None;
        }
        let micro: u64 = format!("{decimals:0<PRICE_DECIMALS$}").parse().ok()?;
        Some(Self(whole.parse::<u64>().ok()? * MICRO_USD_IN_USD + micro))
    }
}

impl Cost {
    /// In US dollars, for instruments; an amount that is shown or kept is never a float.
    pub fn as_usd(self) -> f64 {
        self.pico_usd as f64 / (PICO_USD_IN_MICRO_USD * MICRO_USD_IN_USD) as f64
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.pico_usd = self.pico_usd.saturating_add(other.pico_usd);
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micro_usd = self.pico_usd / PICO_USD_IN_MICRO_USD
            + u64::from(self.pico_usd % PICO_USD_IN_MICRO_USD * 2 >= PICO_USD_IN_MICRO_USD);
        write!(f, "{}.{:06}", micro_usd / MICRO_USD_IN_USD, micro_usd % MICRO_USD_IN_USD)
    }
}

impl Serialize for Cost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_table_that_the_report_of_a_mistake_shows() {
        assert_eq!(DEFAULT.parse(), Ok(Prices::default()));
    }

    #[test]
    fn each_kind_of_token_has_its_price() {
        let usage = Usage {
            input_speech_tokens: 1_000_000,
            output_speech_tokens: 100_000,
            input_text_tokens: 10_000,
            output_text_tokens: 1_000,
        };
        assert_eq!(Prices::default().cost(usage).to_string(), "4.206050");
    }

    #[test]
    fn small_amounts_add_up_without_loss() {
        let prices: Prices = "speech_in=0,speech_out=0,text_in=0.1,text_out=0".parse().unwrap();
        let mut sum = Cost::default();
        for _ in 0..1_000 {
            sum += prices.cost(Usage { input_text_tokens: 1, ..Usage::default() });
        }
        assert_eq!(sum.to_string(), "0.000100");
        assert_eq!(prices.cost(Usage { input_text_tokens: 4, ..Usage::default() }).to_string(), "0.000000");
        assert_eq!(prices.cost(Usage { input_text_tokens: 5, ..Usage::default() }).to_string(), "0.000001");
    }

    #[test]
    fn more_tokens_than_there_can_be_cost_the_most_that_there_is() {
        let usage = Usage { input_speech_tokens: u64::MAX, output_text_tokens: u64::MAX, ..Usage::default() };
        let mut cost = Prices::default().cost(usage);
        cost += cost;
        assert_eq!(cost, Cost { pico_usd: u64::MAX });
    }

    #[test]
    fn order_and_spaces_do_not_matter() {
        let table = " text_out = 2.75 , text_in=0.33, speech_out=12.0,speech_in=3";
        assert_eq!(table.parse(), Ok(Prices::default()));
    }

    #[test]
    fn a_wrong_table_is_told_from_a_wrong_price() {
        let others = "speech_out=12,text_in=0.33,text_out=2.75";
        for shape in ["", "3", "speech_in=3", others, "speech_in=3,speech_in=3,speech_out=12,text_in=1,text_out=1"] {
            assert_eq!(shape.parse::<Prices>(), Err(InvalidPrices::Shape), "{shape}");
        }
        assert_eq!(format!("speech_in=3,tax=1,{others}").parse::<Prices>(), Err(InvalidPrices::Shape));
        for price in ["", ".", "3.", ".5", "-3", "+3", "3e2", "3,5", "0.1234567", "1000000", "$3"] {
            let error = format!("{others},speech_in={price}").parse::<Prices>().unwrap_err();
            let expected = if price == "3,5" { InvalidPrices::Shape } else { InvalidPrices::Price("speech_in") };
            assert_eq!(error, expected, "{price}");
        }
    }
}
