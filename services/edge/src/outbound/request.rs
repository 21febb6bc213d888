//! What is asked for: a JSON object of which every field may be missing. Fields that are not known, or null, are refused, so
//! that a misspelt or forgotten one is not a call that goes another way than its sender thinks.

use std::collections::BTreeMap;

use offhook_agents::{Agent, Agents, PhoneNumber};
use serde::{Deserialize, Deserializer};

use super::{
    callee::{Allowed, Callee},
    order::Order,
    problem::{Kind, Problem},
};
use crate::{
    call::{
        placed::OnMachine,
        reception::{Called, agent_of},
    },
    twilio::{rest::TWIML_LIMIT, twiml::farewell},
};

/// Bytes of a request.
pub const BODY_LIMIT: usize = 16 * 1024;
/// Variables of a call.
pub const MOST_VARIABLES: usize = 20;
/// Bytes of a variable's name.
pub const NAME_LIMIT: usize = 40;
/// Bytes of a variable's value: with its name it has to fit into a parameter of `<Stream>` (Twilio docs, `<Stream>`).
pub const VALUE_LIMIT: usize = 440;
/// Characters of a message for a machine.
pub const MESSAGE_LIMIT: usize = 1000;
/// Characters of an idempotency key.
pub const KEY_LIMIT: usize = 200;
/// Seconds of the longest call (Twilio docs, "Call resource").
pub const LONGEST_CALL: u32 = 4 * 60 * 60;

/// A request that can be carried out.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// What is to be placed.
    pub order: Order,
    /// The same key is the same call.
    pub idempotency_key: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Fields {
    #[serde(deserialize_with = "not_null")]
    to: Option<String>,
    #[serde(deserialize_with = "not_null")]
    agent: Option<String>,
    variables: BTreeMap<String, String>,
    machine_detection: MachineDetection,
    #[serde(deserialize_with = "not_null")]
    message: Option<String>,
    record: bool,
    #[serde(deserialize_with = "not_null")]
    time_limit: Option<u32>,
    #[serde(deserialize_with = "not_null")]
    idempotency_key: Option<String>,
}

/// What is there has a value: `null` would be the operator's own number for a callee, and no key for an idempotency key.
fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(field: D) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MachineDetection {
    #[default]
    Off,
    HangUp,
    LeaveMessage,
}

/// Reads a request; an empty one asks for a call to `default_to`. The call is to come from `line`.
///
/// # Errors
/// If it is not valid, or its callee may not be called.
pub fn read(
    body: &[u8],
    allowed: &Allowed,
    default_to: Option<&Callee>,
    agents: &Agents,
    line: &PhoneNumber,
) -> Result<Request, Problem> {
    let fields: Fields = match body {
        [] => Fields::default(),
        // A list would be taken for the fields in their order.
        body if body.trim_ascii_start().first() != Some(&b'{') => return Err(invalid("expected a JSON object")),
        body => serde_json::from_slice(body).map_err(|error| invalid(format!("{error}")))?,
    };
    let to = match &fields.to {
        Some(to) => allowed.callee(to)?,
        None => default_to.cloned().ok_or_else(|| {
            invalid("to: required, because the service has no number of its own to call (TWILIO_VERIFIED_CALLER_ID)")
        })?,
    };
    if fields.agent.as_ref().is_some_and(|name| agents.named(name).is_none()) {
        return Err(invalid("agent: there is none of this name"));
    }
    check_variables(&fields.variables)?;
    if fields.time_limit.is_some_and(|seconds| !(1..=LONGEST_CALL).contains(&seconds)) {
        return Err(invalid(format!("time_limit: expected 1 to {LONGEST_CALL} seconds")));
    }
    if fields.idempotency_key.as_ref().is_some_and(|key| !is_key(key)) {
        return Err(invalid(format!("idempotency_key: expected 1 to {KEY_LIMIT} visible ASCII characters")));
    }
    let called = Called { agent: fields.agent.as_deref(), line: Some(line.as_str()), sip_domain: None };
    let on_machine = on_machine(&fields, agent_of(agents, called))?;
    let Fields { agent, variables, record, time_limit, idempotency_key, .. } = fields;
    Ok(Request { order: Order { to, agent, variables, on_machine, record, time_limit }, idempotency_key })
}

fn on_machine(fields: &Fields, agent: &Agent) -> Result<Option<OnMachine>, Problem> {
    let Fields { machine_detection, message, .. } = fields;
    if message.is_some() && *machine_detection != MachineDetection::LeaveMessage {
        return Err(invalid("message: only with \"machine_detection\": \"leave_message\""));
    }
    match machine_detection {
        MachineDetection::Off => Ok(None),
        MachineDetection::HangUp => Ok(Some(OnMachine::HangUp)),
        MachineDetection::LeaveMessage => {
            let message = message.clone().or_else(|| agent.voicemail.clone());
            let message =
                message.ok_or_else(|| invalid("message: required, because the agent has no voicemail text"))?;
            let speakable = !message.trim().is_empty()
                && message.chars().count() <= MESSAGE_LIMIT
                && farewell(&message).chars().count() <= TWIML_LIMIT;
            if !speakable {
                return Err(invalid(format!("message: expected a text of at most {MESSAGE_LIMIT} characters")));
            }
            Ok(Some(OnMachine::LeaveMessage(message)))
        }
    }
}

fn check_variables(variables: &BTreeMap<String, String>) -> Result<(), Problem> {
    if variables.len() > MOST_VARIABLES {
        return Err(invalid(format!("variables: at most {MOST_VARIABLES}")));
    }
    let name_character = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let is_name = |name: &str| (1..=NAME_LIMIT).contains(&name.len()) && name.bytes().all(name_character);
    if !variables.keys().all(|name| is_name(name)) {
        return Err(invalid(format!(
            "variables: names have 1 to {NAME_LIMIT} letters, digits, hyphens and underscores"
        )));
    }
    let is_value = |value: &str| value.len() <= VALUE_LIMIT && !value.chars().any(char::is_control);
    if !variables.values().all(|value| is_value(value)) {
        return Err(invalid(format!("variables: values have at most {VALUE_LIMIT} bytes and no control characters")));
    }
    Ok(())
}

fn is_key(key: &str) -> bool {
    (1..=KEY_LIMIT).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::of(Kind::InvalidRequest, detail)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn agents() -> Agents {
        let desk = "desk: {prompt: you are kind}";
        let shop = "shop: {prompt: you sell, voicemail: we called}";
        let line = "line: {prompt: you call, voicemail: our number called, numbers: ['+15550100100']}";
        Agents::parse(&format!("default: desk\nagents:\n  {desk}\n  {shop}\n  {line}")).unwrap()
    }

    fn line() -> PhoneNumber {
        "+15550100100".parse().unwrap()
    }

    fn asked(body: &Value) -> Result<Request, Problem> {
        read(body.to_string().as_bytes(), &Allowed::country_of(&line()), None, &agents(), &line())
    }

    fn with(field: &str, value: Value) -> Value {
        let mut body = json!({ "to": "+15550100001" });
        body[field] = value;
        body
    }

    #[test]
    fn a_number_is_enough() {
        let request = asked(&json!({ "to": "+15550100001" })).unwrap();
        assert_eq!(request.order.to.as_str(), "+15550100001");
        let Order { agent, variables, on_machine, record, time_limit, .. } = request.order;
        assert!(agent.is_none() && variables.is_empty() && on_machine.is_none() && !record && time_limit.is_none());
        assert!(request.idempotency_key.is_none());
    }

    #[test]
    fn everything_that_is_documented_is_understood() {
        let request = asked(&json!({
            "to": "+15550100001",
            "agent": "shop",
            "variables": { "first-name": "Zoë", "order_id": "12" },
            "machine_detection": "leave_message",
            "message": "please call back",
            "record": true,
            "time_limit": 600,
            "idempotency_key": "order-12/1",
        }))
        .unwrap();
        let Order { agent, variables, on_machine, record, time_limit, .. } = request.order;
        assert_eq!((agent.as_deref(), record, time_limit), (Some("shop"), true, Some(600)));
        assert_eq!(variables["first-name"], "Zoë");
        assert!(on_machine == Some(OnMachine::LeaveMessage("please call back".to_owned())));
        assert_eq!(request.idempotency_key.as_deref(), Some("order-12/1"));
    }

    #[test]
    fn nothing_asks_for_the_operators_own_number_if_there_is_one() {
        let allowed = Allowed::country_of(&line());
        let own = Callee::trusted(&"+4930555010".parse().unwrap());
        for body in ["", "{}"] {
            let request = read(body.as_bytes(), &allowed, Some(&own), &agents(), &line()).unwrap();
            assert_eq!(request.order.to.as_str(), "+4930555010");
            let without = read(body.as_bytes(), &allowed, None, &agents(), &line()).map(drop);
            assert!(without.unwrap_err().detail.contains("TWILIO_VERIFIED_CALLER_ID"));
        }
    }

    #[test]
    fn an_agents_own_message_is_left_where_the_request_has_none() {
        let leave =
            |agent: &str| asked(&json!({ "to": "+15550100001", "agent": agent, "machine_detection": "leave_message" }));
        let unnamed = asked(&json!({ "to": "+15550100001", "machine_detection": "leave_message" })).unwrap();
        assert!(unnamed.order.on_machine == Some(OnMachine::LeaveMessage("our number called".to_owned())));
        assert!(leave("shop").unwrap().order.on_machine == Some(OnMachine::LeaveMessage("we called".to_owned())));
        assert!(leave("desk").map(drop).unwrap_err().detail.starts_with("message: required"));
    }

    #[test]
    fn each_mistake_is_told_with_its_field() {
        let many: BTreeMap<_, _> = (0..=MOST_VARIABLES).map(|at| (format!("v{at}"), "")).collect();
        let long_message = |text: &str, times| json!({ "to": "+15550100001", "machine_detection": "leave_message", "message": text.repeat(times) });
        for (body, says) in [
            (with("too", json!("x")), "unknown field `too`, expected one of `to`, `agent`"),
            (with("to", json!("0555")), "to:"),
            (with("to", json!(15550100001_u64)), "expected a string"),
            (with("to", json!(null)), "invalid type: null"),
            (with("idempotency_key", json!(null)), "invalid type: null"),
            (with("time_limit", json!(null)), "invalid type: null"),
            (with("agent", json!("nobody")), "agent:"),
            (with("variables", json!(many)), "variables: at most"),
            (with("variables", json!({ "a b": "" })), "variables: names"),
            (with("variables", json!({ "": "" })), "variables: names"),
            (with("variables", json!({ "x".repeat(NAME_LIMIT + 1): "" })), "variables: names"),
            (with("variables", json!({ "a": "x".repeat(VALUE_LIMIT + 1) })), "variables: values"),
            (with("variables", json!({ "a": "\u{0}" })), "variables: values"),
            (with("variables", json!({ "a": 1 })), "expected a string"),
            (with("machine_detection", json!("maybe")), "unknown variant `maybe`"),
            (with("message", json!("hello")), "message: only with"),
            (long_message(" ", 3), "message: expected"),
            (long_message("x", MESSAGE_LIMIT + 1), "message: expected"),
            (long_message("&", MESSAGE_LIMIT), "message: expected"),
            (with("record", json!("yes")), "expected a boolean"),
            (with("time_limit", json!(0)), "time_limit:"),
            (with("time_limit", json!(LONGEST_CALL + 1)), "time_limit:"),
            (with("idempotency_key", json!("")), "idempotency_key:"),
            (with("idempotency_key", json!("two words")), "idempotency_key:"),
            (with("idempotency_key", json!("x".repeat(KEY_LIMIT + 1))), "idempotency_key:"),
            (json!(["+15550100001"]), "expected a JSON object"),
            (json!("call me"), "expected a JSON object"),
        ] {
            let problem = asked(&body).map(drop).unwrap_err();
            assert!(
                problem.kind == Kind::InvalidRequest && problem.detail.contains(says),
                "{body}: {}",
                problem.detail
            );
        }
    }

    #[test]
    fn the_longest_variable_fits_into_a_stream_parameter() {
        assert!("var.".len() + NAME_LIMIT + VALUE_LIMIT < 500);
    }
}
