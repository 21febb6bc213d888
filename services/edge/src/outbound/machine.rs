//! What a machine that takes a call gets (Twilio docs, "Answering Machine Detection").

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use crate::{
    call::placed::OnMachine,
    twilio::{rest::Change, sid::CallSid, twiml::farewell},
};

/// Calls that are remembered. Twilio repeats a callback within seconds if at all.
const REMEMBERED: usize = 1024;

/// The calls whose machines have had what was ordered for them, at this edge: a callback may come twice.
#[derive(Debug, Default)]
pub struct Machines(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    calls: HashSet<CallSid>,
    in_order: VecDeque<CallSid>,
}

impl Machines {
    /// Whether nothing was done about this call yet; from now on something was.
    pub fn is_first(&self, call: &CallSid) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.calls.insert(call.clone()) {
            return false;
        }
        seen.in_order.push_back(call.clone());
        if seen.in_order.len() > REMEMBERED
            && let Some(oldest) = seen.in_order.pop_front()
        {
            seen.calls.remove(&oldest);
        }
        true
    }
}

/// What becomes of the call; `None`: it goes on. Only a machine whose greeting is over hears a message; who knows no more
/// than that it is a machine, or a fax, hangs up where a machine is not to be talked to.
pub fn change(answered_by: &str, ordered: Option<&OnMachine>) -> Option<Change> {
    let ordered = ordered?;
    let is_machine = answered_by.starts_with("machine_");
    match ordered {
        OnMachine::LeaveMessage(message) if answered_by.starts_with("machine_end_") => {
            Some(Change::Twiml(farewell(message)))
        }
        OnMachine::HangUp if is_machine => Some(Change::Completed),
        OnMachine::HangUp | OnMachine::LeaveMessage(_) => (answered_by == "fax").then_some(Change::Completed),
    }
}

/// What was found, for logs.
pub fn label(answered_by: &str) -> &'static str {
    match answered_by {
        "human" => "human",
        "machine_start" => "machine_start",
        "machine_end_beep" => "machine_end_beep",
        "machine_end_silence" => "machine_end_silence",
        "machine_end_other" => "machine_end_other",
        "fax" => "fax",
        "unknown" => "unknown",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: [&str; 3] = ["machine_end_beep", "machine_end_silence", "machine_end_other"];

    fn leave() -> OnMachine {
        OnMachine::LeaveMessage("please call back".to_owned())
    }

    #[test]
    fn a_human_is_never_hung_up_on() {
        for answered_by in ["human", "unknown", "", "something new"] {
            for ordered in [None, Some(OnMachine::HangUp), Some(leave())] {
                assert!(change(answered_by, ordered.as_ref()).is_none(), "{answered_by}");
            }
        }
    }

    #[test]
    fn a_message_is_left_once_the_greeting_is_over() {
        for answered_by in END {
            let Some(Change::Twiml(document)) = change(answered_by, Some(&leave())) else { panic!("{answered_by}") };
            assert!(document.ends_with("<Say>please call back</Say><Hangup/></Response>"), "{document}");
        }
        assert!(change("machine_start", Some(&leave())).is_none(), "it still speaks");
    }

    #[test]
    fn a_machine_or_a_fax_is_hung_up_on_where_that_was_ordered() {
        for answered_by in END.into_iter().chain(["machine_start", "fax"]) {
            assert_eq!(change(answered_by, Some(&OnMachine::HangUp)), Some(Change::Completed), "{answered_by}");
            assert!(change(answered_by, None).is_none());
        }
        assert_eq!(change("fax", Some(&leave())), Some(Change::Completed), "nobody listens to a fax's message");
    }

    #[test]
    fn only_the_first_of_two_callbacks_does_something() {
        let (machines, call) = (Machines::default(), |number: usize| format!("CA{number:032}").parse().unwrap());
        assert!(machines.is_first(&call(0)) && !machines.is_first(&call(0)));
        (1..=REMEMBERED).for_each(|number| assert!(machines.is_first(&call(number))));
        assert_eq!(machines.0.lock().unwrap().calls.len(), REMEMBERED);
        assert!(machines.is_first(&call(0)), "it is forgotten by now");
    }
}
