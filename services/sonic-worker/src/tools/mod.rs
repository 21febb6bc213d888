//! What the agent can do besides talking.
//!
//! A [`Tool`] runs beside the audio, never in its way. Two tools are not run at all: [`HANG_UP`] and [`SUPPORT`] are
//! decisions about the call, which the conversation carries out itself.

mod cancel_reservation;
mod date_and_time;

use std::{pin::Pin, sync::Arc};

use offhook_hosting::clock::Clock;
use serde_json::{Value, json};

use self::{cancel_reservation::CancelReservation, date_and_time::DateAndTime};
use crate::nova::ToolSpec;

/// Says goodbye and closes the line.
pub const HANG_UP: &str = "hang_up";
/// Hands the caller to a human.
pub const SUPPORT: &str = "support";

/// Plays keys into the line, as for a menu.
pub const SEND_DIGITS: &str = "send_digits";

/// Something the model can ask for.
pub trait Tool: Send + Sync + 'static {
    /// As the model is told of it.
    fn spec(&self) -> ToolSpec;

    /// Does it. `input` is a JSON object, or null when the model sent none; so is the result an object. Dropping the
    /// future must leave nothing half done: it happens when the call ends first.
    fn run(&self, input: Value) -> ToolFuture;
}

/// What [`Tool::run`] answers with.
pub type ToolFuture = Pin<Box<dyn Future<Output = Result<Value, ToolError>> + Send>>;

/// Why a tool has no result. The message is for the model, which explains it to the caller.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The model must ask again with other input.
    #[error("{0}")]
    Input(String),
}

/// The tools of a worker.
#[derive(Clone)]
pub struct Tools(Arc<[Offered]>);

/// A tool and what the model is told of it, which is asked for once.
struct Offered {
    spec: ToolSpec,
    tool: Box<dyn Tool>,
}

impl Tools {
    /// The built-in ones.
    pub fn built_in(clock: Clock) -> Self {
        Self::of([Box::new(DateAndTime::new(clock)) as Box<dyn Tool>, Box::new(CancelReservation)])
    }

    /// These ones.
    pub fn of(tools: impl IntoIterator<Item = Box<dyn Tool>>) -> Self {
        Self(tools.into_iter().map(|tool| Offered { spec: tool.spec(), tool }).collect())
    }

    /// What a model is offered: these tools, hanging up, sending keys, and a human where one can be reached.
    pub fn specs(&self, transfer_available: bool) -> Vec<ToolSpec> {
        let mut specs: Vec<_> = self.0.iter().map(|offered| offered.spec.clone()).collect();
        specs.extend([hang_up(), send_digits()]);
        specs.extend(transfer_available.then(support));
        specs
    }

    /// Runs a tool; what goes wrong becomes a result that tells the model so.
    pub async fn run(&self, name: &str, input: Value) -> Value {
        let Some(Offered { tool, .. }) = self.0.iter().find(|offered| offered.spec.name == name) else {
            return json!({ "error": format!("there is no tool {name}") });
        };
        tool.run(input).await.unwrap_or_else(|error| json!({ "error": error.to_string() }))
    }
}

fn hang_up() -> ToolSpec {
    ToolSpec {
        name: HANG_UP,
        description: "Ends the call. Use it after you said goodbye, when the caller has nothing left to ask.",
        input_schema: json!({ "type": "object", "properties": {} }),
    }
}

fn send_digits() -> ToolSpec {
    ToolSpec {
        name: SEND_DIGITS,
        description: "Presses keys of the telephone into the line, as for a menu that asks for them. You hear nothing \
            while they are sent, and are told when they were.",
        input_schema: json!({
            "type": "object",
            "properties": {
                "digits": { "type": "string", "description": "1 to 32 of 0-9, *, # and w; w waits half a second" },
            },
            "required": ["digits"],
        }),
    }
}

fn support() -> ToolSpec {
    ToolSpec {
        name: SUPPORT,
        description: "Connects the caller to a human. Use it when the caller asks for a person, or when you cannot help.",
        input_schema: json!({
            "type": "object",
            "properties": { "reason": { "type": "string", "description": "why, in a few words" } },
        }),
    }
}

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|offered| offered.spec.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a model may ask a tool: something for every property that it has.
    fn input(spec: &ToolSpec) -> Value {
        let value = |property: &str| if property == "time_zone" { "Europe/Paris" } else { "R-1042" };
        let properties = spec.input_schema["properties"].as_object().unwrap().keys();
        properties.map(|property| (property.clone(), json!(value(property)))).collect()
    }

    #[tokio::test]
    async fn every_result_repeats_what_was_asked_so_that_several_in_flight_are_not_mixed_up() {
        let tools = Tools::built_in(Clock);
        for Offered { spec, .. } in tools.0.iter() {
            let input = input(spec);
            let result = tools.run(spec.name, input.clone()).await;
            for (property, value) in input.as_object().unwrap() {
                assert_eq!(&result[property], value, "{}: {result}", spec.name);
            }
        }
    }
}
