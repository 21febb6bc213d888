//! How patiently a URL is requested, which its fragment may say: `https://example.com/a#rt=5000&rc=2&rp=ct,5xx`
//! (Twilio docs, "Connection Overrides").
//!
//! Pure. Which code an out-of-range number has is not documented: the lab takes 11240 for every value that is none, save
//! those that have a code of their own. Nor is what happens then: the lab does not make the request.

use std::{ops::RangeInclusive, time::Duration};

use http::StatusCode;

use super::{codes, report::Finding};

/// Where Twilio's requests may come from.
const EDGES: &[&str] = &["ashburn", "dublin", "frankfurt", "sao-paulo", "singapore", "sydney", "tokyo", "umatilla"];

/// What a request may take, and when it is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrides {
    /// For a connection.
    pub connect: Duration,
    /// For the first byte of an answer, and between two pieces of it.
    pub read: Duration,
    /// For everything, redirects and retries included.
    pub total: Duration,
    /// How often a request is made again.
    pub retries: u32,
    policy: Policy,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Policy {
    connect: bool,
    read: bool,
    client_error: bool,
    server_error: bool,
}

/// How far a request got that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// There was no connection.
    Connect,
    /// There was no answer in time.
    Read,
    /// There was an answer, or a part of one.
    Answer,
}

impl Default for Overrides {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(15),
            total: Duration::from_secs(15),
            retries: 1,
            policy: Policy { connect: true, ..Policy::default() },
        }
    }
}

impl Overrides {
    /// Reads a URL's fragment. A key that is not Twilio's says nothing.
    pub fn parse(fragment: Option<&str>) -> Result<Self, Finding> {
        let mut overrides = Self::default();
        for pair in fragment.into_iter().flat_map(|fragment| fragment.split('&')) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let milliseconds = |range| number(key, value, range).map(|number| Duration::from_millis(number.into()));
            match key {
                "ct" => overrides.connect = milliseconds(100..=10_000)?,
                "rt" => overrides.read = milliseconds(100..=15_000)?,
                "tt" => overrides.total = milliseconds(100..=15_000)?,
                "rc" => overrides.retries = number(key, value, 0..=5)?,
                "rp" => overrides.policy = Policy::parse(value)?,
                "e" => edges(value)?,
                "sni" if !matches!(value, "y" | "n") => {
                    return Err(Finding::new(codes::BAD_OVERRIDE, "sni is neither y nor n"));
                }
                _ => {}
            }
        }
        Ok(overrides)
    }

    /// Whether a request that failed is made again, while retries are left.
    pub fn retries_failure(&self, stage: Stage) -> bool {
        match stage {
            Stage::Connect => self.policy.connect,
            Stage::Read => self.policy.read,
            Stage::Answer => false,
        }
    }

    /// Whether a request that was answered like this is made again, while retries are left.
    pub fn retries_answer(&self, status: StatusCode) -> bool {
        self.policy.client_error && status.is_client_error() || self.policy.server_error && status.is_server_error()
    }
}

impl Policy {
    fn parse(list: &str) -> Result<Self, Finding> {
        let mut policy = Self::default();
        for item in list.split(',') {
            match item {
                "ct" => policy.connect = true,
                "rt" => policy.read = true,
                "4xx" => policy.client_error = true,
                "5xx" => policy.server_error = true,
                "all" => policy = Self { connect: true, read: true, client_error: true, server_error: true },
                _ => return Err(Finding::new(codes::BAD_RETRY_POLICY, format!("{item:?} is no retry policy"))),
            }
        }
        Ok(policy)
    }
}

fn number(key: &str, value: &str, range: RangeInclusive<u32>) -> Result<u32, Finding> {
    let number = value.parse().ok().filter(|number| range.contains(number));
    let detail = || format!("{key} is not {} to {}", range.start(), range.end());
    number.ok_or_else(|| Finding::new(codes::BAD_OVERRIDE, detail()))
}

/// Where the lab's requests come from is always the same; a wrong name is wrong all the same.
fn edges(list: &str) -> Result<(), Finding> {
    for edge in list.split(',') {
        let plain = edge.strip_suffix("-ix");
        if edge.is_empty() {
            return Err(Finding::new(codes::BAD_OVERRIDE, "e names no edge"));
        }
        if !EDGES.contains(&plain.unwrap_or(edge)) {
            return Err(Finding::new(codes::UNKNOWN_EDGE, format!("{edge:?} is no edge")));
        }
        if plain.is_some() {
            return Err(Finding::new(codes::NO_INTERCONNECT, "the lab's account has no Interconnect"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_changes_what_it_names_and_nothing_else() {
        let overrides =
            Overrides::parse(Some("ct=100&rt=5000&tt=9000&rc=5&rp=rt,4xx&sni=n&e=dublin,tokyo&x=1")).unwrap();
        let seconds = (overrides.connect.as_millis(), overrides.read.as_millis(), overrides.total.as_millis());
        assert_eq!((seconds, overrides.retries), ((100, 5000, 9000), 5));
        assert!(overrides.retries_failure(Stage::Read) && !overrides.retries_failure(Stage::Connect));
        assert!(overrides.retries_answer(StatusCode::NOT_FOUND) && !overrides.retries_answer(StatusCode::BAD_GATEWAY));
        assert_eq!(Overrides::parse(Some("top")).unwrap(), Overrides::default());
        assert_eq!(Overrides::parse(None).unwrap(), Overrides::default());
    }

    #[test]
    fn by_default_only_a_failure_to_connect_is_tried_again() {
        let overrides = Overrides::default();
        assert!(overrides.retries_failure(Stage::Connect) && overrides.retries == 1);
        assert!(!overrides.retries_failure(Stage::Read) && !overrides.retries_failure(Stage::Answer));
        assert!(!overrides.retries_answer(StatusCode::SERVICE_UNAVAILABLE));
    }

    #[test]
    fn what_is_out_of_range_has_its_code() {
        for (fragment, code) in [
            ("ct=99", codes::BAD_OVERRIDE),
            ("ct=10001", codes::BAD_OVERRIDE),
            ("rt=15001", codes::BAD_OVERRIDE),
            ("tt=0", codes::BAD_OVERRIDE),
            ("rc=6", codes::BAD_OVERRIDE),
            ("rc=-1", codes::BAD_OVERRIDE),
            ("rt=soon", codes::BAD_OVERRIDE),
            ("sni=maybe", codes::BAD_OVERRIDE),
            ("e=", codes::BAD_OVERRIDE),
            ("e=atlantis", codes::UNKNOWN_EDGE),
            ("e=dublin-ix", codes::NO_INTERCONNECT),
            ("rp=3xx", codes::BAD_RETRY_POLICY),
            ("rp=", codes::BAD_RETRY_POLICY),
        ] {
            assert_eq!(Overrides::parse(Some(fragment)).unwrap_err().code, code, "{fragment}");
        }
    }
}
