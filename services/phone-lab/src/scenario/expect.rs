//! What a scenario says of a call besides what is done and heard.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::bedrock::TokenExpiry;
use crate::oracle::continuity;
use crate::twilio::{
    CallEnd, Delivery,
    script::{duration, some_duration},
};

/// What must be so at the end of a call. What is left out is judged as usual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// What the caller must not have heard, from anybody.
    #[serde(default)]
    pub not_hears: Vec<String>,
    /// How the call ends. Unless told, any end will do that a caller could want.
    pub ends: Option<Ending>,
    /// Exactly the codes that Twilio logs, in any order, 31921 aside unless it is listed. Unless told, none.
    pub codes: Option<Vec<u32>>,
    /// Exactly who is dialled, in this order.
    pub dials: Option<Vec<String>>,
    /// From the end of the caller's words to the first sound of each answer.
    #[serde(default, deserialize_with = "some_duration")]
    pub answers_within: Option<Duration>,
    /// The longest that the line may be silent both ways, from the answer to the end.
    #[serde(default, deserialize_with = "some_duration")]
    pub silent_at_most: Option<Duration>,
    /// The longest that the caller may hear nothing, from the answer to the end, whoever spoke: ringing, music and keys
    /// are something.
    #[serde(default, deserialize_with = "some_duration")]
    pub hears_nothing_at_most: Option<Duration>,
    /// From the moment the call is placed to its end.
    #[serde(default, deserialize_with = "some_duration")]
    pub within: Option<Duration>,
    /// Both ends are compared strictly over all sessions of the model, and these figures are kept to.
    pub continuity: Option<continuity::Limits>,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The caller hangs up as planned.
    Caller,
    /// The other side ends it: by `<Hangup>`, the end of its document or REST, or somebody who was connected hangs up.
    Server,
    /// By `<Reject>`.
    Rejected,
    /// With Twilio's application error.
    ApplicationError,
    /// The caller waits in vain and hangs up.
    OutOfPatience,
}

impl Ending {
    /// Which one it was; none for ends that only calls placed by REST have.
    pub fn of(end: CallEnd) -> Option<Self> {
        match end {
            CallEnd::CallerHungUp => Some(Self::Caller),
            CallEnd::HungUpByDocument | CallEnd::DocumentEnded | CallEnd::EndedByRest | CallEnd::OtherSideHungUp => {
                Some(Self::Server)
            }
            CallEnd::Rejected => Some(Self::Rejected),
            CallEnd::ApplicationError => Some(Self::ApplicationError),
            CallEnd::PatienceEnded => Some(Self::OutOfPatience),
            CallEnd::TimeLimit | CallEnd::NotAnswered => None,
        }
    }
}

pub(super) fn token_expiry<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TokenExpiry, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// A delivery as the file has it.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Delivering {
    Prompt,
    Doubled,
    OutOfOrder,
    Late(Span),
}

#[derive(Deserialize)]
struct Span(#[serde(deserialize_with = "duration")] Duration);

pub(super) fn delivery<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Delivery, D::Error> {
    Ok(match Delivering::deserialize(deserializer)? {
        Delivering::Prompt => Delivery::Prompt,
        Delivering::Doubled => Delivery::Doubled,
        Delivering::OutOfOrder => Delivery::OutOfOrder,
        Delivering::Late(Span(by)) => Delivery::Late(by),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Scenario, ScenarioCall};

    fn call(more: &str) -> Result<ScenarioCall, String> {
        let yaml = format!("calls: [{{name: a, caller: {{from: a, to: b, steps: []}}, {more}}}]");
        Scenario::from_yaml(&yaml).map(|mut scenario| scenario.calls.remove(0)).map_err(|error| error.to_string())
    }

    #[test]
    fn everything_that_may_be_expected_is_read() {
        let expect = "expect: {not_hears: [sorry], ends: server, codes: [11200], dials: ['sip:a@b.example'], \
                      answers_within: 2s, silent_at_most: 3s, hears_nothing_at_most: 4s, within: 1m, \
                      continuity: {switches: 60, losses: 1, at_switches: 300ms, at_losses: 2s}}";
        let expected = Expect {
            not_hears: vec!["sorry".to_owned()],
            ends: Some(Ending::Server),
            codes: Some(vec![11200]),
            dials: Some(vec!["sip:a@b.example".to_owned()]),
            answers_within: Some(Duration::from_secs(2)),
            silent_at_most: Some(Duration::from_secs(3)),
            hears_nothing_at_most: Some(Duration::from_secs(4)),
            within: Some(Duration::from_secs(60)),
            continuity: Some(continuity::Limits {
                switches: 60,
                losses: 1,
                at_switches: Some(Duration::from_millis(300)),
                at_losses: Some(Duration::from_secs(2)),
            }),
        };
        assert_eq!(call(expect).unwrap().expect, expected);
        assert_eq!(call("hears: []").unwrap().expect, Expect::default());
    }

    #[test]
    fn callbacks_are_delivered_as_the_file_says() {
        let options = |more| call(more).unwrap().options();
        assert_eq!(options("callbacks: out_of_order").callbacks, Delivery::OutOfOrder);
        assert_eq!(options("callbacks: {late: 2s}").callbacks, Delivery::Late(Duration::from_secs(2)));
    }

    #[test]
    fn what_nobody_could_expect_is_refused() {
        for (more, complaint) in [
            ("expect: {hears: [a]}", "hears"),
            ("expect: {continuity: {deaf: 1}}", "deaf"),
            ("expect: {ends: soon}", "soon"),
            ("expect: {within: soon}", "300ms or 2s"),
            ("callbacks: {late: 2s, doubled: yes}", "expected"),
        ] {
            let error = call(more).unwrap_err();
            assert!(error.contains(complaint), "{more}: {error}");
        }
    }
}
