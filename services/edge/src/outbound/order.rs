//! A call as it was asked for, and as Twilio is asked for it.

use std::{collections::BTreeMap, time::Duration};

use sha2::{Digest, Sha256};

use super::{
    callee::Callee,
    problem::{Kind, Problem},
};
use crate::{
    call::placed::{OnMachine, Placed, QUERY, Seals, TooLong},
    config::PublicUrl,
    twilio::rest::{DetectUntil, Detection, NewCall},
};

/// How long a callee's phone rings.
const RING: Duration = Duration::from_secs(30);

/// What is to be placed. Personal through and through, so it has no form for logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Order {
    /// Who is called.
    pub to: Callee,
    /// Who speaks. `None`: the agent of the number that it comes from, else the default one.
    pub agent: Option<String>,
    /// What they are told.
    pub variables: BTreeMap<String, String>,
    /// What happens when a machine answers. `None`: nobody finds out.
    pub on_machine: Option<OnMachine>,
    /// Whether it is recorded.
    pub record: bool,
    /// Seconds that it may last. `None`: as long as the account allows.
    pub time_limit: Option<u32>,
}

impl Order {
    /// The same for the same order only.
    pub fn fingerprint(&self) -> Vec<u8> {
        let Self { to, agent, variables, on_machine, record, time_limit } = self;
        let parts = serde_json::to_vec(&(to.as_str(), agent, variables, on_machine, record, time_limit));
        Sha256::digest(parts.expect("these are texts, numbers and a map by texts")).to_vec()
    }

    /// The call that Twilio is asked for. Each nonce is drawn for this call.
    ///
    /// # Errors
    /// If it says more than a URL takes.
    pub fn to_call(
        &self,
        from: &str,
        public_url: &PublicUrl,
        seals: &Seals,
        nonces: [[u8; 12]; 2],
    ) -> Result<NewCall, Problem> {
        let origin = public_url.web_origin();
        let [nonce, second_nonce] = nonces;
        let placed = Placed { agent: self.agent.clone(), variables: self.variables.clone() };
        let sealed = seals.seal(&placed, nonce).map_err(|TooLong| too_long("variables"))?;
        let detection = match &self.on_machine {
            None => None,
            Some(on_machine) => {
                let sealed = seals.seal_on_machine(on_machine, second_nonce).map_err(|TooLong| too_long("message"))?;
                let until = match on_machine {
                    OnMachine::HangUp => DetectUntil::Known,
                    OnMachine::LeaveMessage(_) => DetectUntil::GreetingEnded,
                };
                Some(Detection { until, callback: format!("{origin}/amd-status?{QUERY}={sealed}") })
            }
        };
        Ok(NewCall {
            to: self.to.as_str().to_owned(),
            from: from.to_owned(),
            url: format!("{origin}/incoming-call?{QUERY}={sealed}"),
            fallback_url: format!("{origin}/failover"),
            status_callback: format!("{origin}/call-status"),
            ring: RING,
            time_limit: self.time_limit.map(|seconds| Duration::from_secs(seconds.into())),
            recording_callback: self.record.then(|| format!("{origin}/recording-status")),
            detection,
        })
    }
}

fn too_long(field: &str) -> Problem {
    Problem::of(Kind::InvalidRequest, format!("{field}: too long in all"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        Order {
            to: Callee::trusted(&"+15550100001".parse().unwrap()),
            agent: Some("shop".to_owned()),
            variables: [("name".to_owned(), "Zoë".to_owned())].into(),
            on_machine: None,
            record: false,
            time_limit: None,
        }
    }

    fn call(order: &Order) -> Result<NewCall, Problem> {
        let public_url = "https://voice.example.com".parse().unwrap();
        order.to_call("+15550100100", &public_url, &Seals::new(b"key"), [[1; 12], [2; 12]])
    }

    fn sealed(url: &str) -> &str {
        url.split_once("?placed=").unwrap().1
    }

    #[test]
    fn nothing_personal_is_readable_in_a_url() {
        let call =
            call(&Order { on_machine: Some(OnMachine::LeaveMessage("hello Zoë".to_owned())), ..order() }).unwrap();
        let callback = call.detection.unwrap().callback;
        for url in [&call.url, &callback] {
            assert!(url.is_ascii() && !url.contains("shop") && !url.contains("hello") && !url.contains("555"), "{url}");
        }
        let placed = Seals::new(b"key").open(sealed(&call.url)).unwrap();
        assert!(placed.agent == order().agent && placed.variables == order().variables);
        let on_machine = Seals::new(b"key").open_on_machine(sealed(&callback)).unwrap();
        assert!(on_machine == OnMachine::LeaveMessage("hello Zoë".to_owned()));
    }

    #[test]
    fn a_message_waits_for_the_end_of_the_greeting_and_hanging_up_does_not() {
        let until = |on_machine| call(&Order { on_machine, ..order() }).unwrap().detection.map(|found| found.until);
        assert_eq!(until(None), None);
        assert_eq!(until(Some(OnMachine::HangUp)), Some(DetectUntil::Known));
        assert_eq!(until(Some(OnMachine::LeaveMessage("hi".to_owned()))), Some(DetectUntil::GreetingEnded));
    }

    #[test]
    fn what_was_asked_for_is_what_twilio_is_asked_for() {
        let call = call(&Order { record: true, time_limit: Some(600), ..order() }).unwrap();
        assert_eq!((call.to.as_str(), call.from.as_str()), ("+15550100001", "+15550100100"));
        assert!(call.url.starts_with("https://voice.example.com/incoming-call?placed="));
        assert_eq!(call.fallback_url, "https://voice.example.com/failover");
        assert_eq!(call.status_callback, "https://voice.example.com/call-status");
        assert_eq!(call.recording_callback.as_deref(), Some("https://voice.example.com/recording-status"));
        assert_eq!(call.time_limit, Some(Duration::from_secs(600)));
    }

    #[test]
    fn each_part_of_an_order_changes_its_fingerprint() {
        let others = [
            Order { to: Callee::trusted(&"+15550100002".parse().unwrap()), ..order() },
            Order { agent: None, ..order() },
            Order { variables: BTreeMap::new(), ..order() },
            Order { on_machine: Some(OnMachine::HangUp), ..order() },
            Order { record: true, ..order() },
            Order { time_limit: Some(1), ..order() },
        ];
        assert_eq!(order().fingerprint(), order().fingerprint());
        for (at, other) in others.iter().enumerate() {
            assert_ne!(other.fingerprint(), order().fingerprint(), "{at}");
        }
    }

    #[test]
    fn what_is_too_long_for_a_url_is_told_to_whoever_asks() {
        let variables: BTreeMap<_, _> = (0..20).map(|at| (format!("v{at}"), "x".repeat(440))).collect();
        assert_eq!(call(&Order { variables, ..order() }).map(drop).unwrap_err().detail, "variables: too long in all");
        let message = OnMachine::LeaveMessage("\u{1f98a}".repeat(1000));
        let problem = call(&Order { on_machine: Some(message), ..order() }).map(drop).unwrap_err();
        assert_eq!(problem.detail, "message: too long in all");
    }
}
