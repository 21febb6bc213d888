use serde_json::{Value, json};

use super::{Tool, ToolError, ToolFuture};
use crate::nova::ToolSpec;

/// Cancels a reservation of the demo hotel, which has no reservations: it confirms any number that looks like one.
#[derive(Debug)]
pub(super) struct CancelReservation;

impl Tool for CancelReservation {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "cancel_reservation",
            description: "Cancels a hotel reservation. Ask the caller for the reservation number first.",
            input_schema: json!({
                "type": "object",
                "properties": { "reservation_id": { "type": "string", "description": "such as R-1042" } },
                "required": ["reservation_id"],
            }),
        }
    }

    fn run(&self, input: Value) -> ToolFuture {
        Box::pin(std::future::ready(cancel(&input)))
    }
}

fn cancel(input: &Value) -> Result<Value, ToolError> {
    let id = input["reservation_id"].as_str().map(str::trim).filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| ToolError::Input("the reservation number is missing: ask the caller for it".into()))?;
    // The input comes back in the result: with several results in flight the model mixes them up otherwise.
    Ok(
        json!({ "reservation_id": id, "status": "cancelled", "confirmation": format!("C-{}", id.trim_start_matches("R-")) }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_reservation_has_a_confirmation_and_its_own_number() {
        let result = cancel(&json!({ "reservation_id": "R-1042" })).unwrap();
        assert_eq!(result, json!({ "reservation_id": "R-1042", "status": "cancelled", "confirmation": "C-1042" }));
    }

    #[test]
    fn without_a_number_the_model_is_told_to_ask_for_it() {
        for input in [json!({}), Value::Null, json!({ "reservation_id": " " })] {
            assert!(cancel(&input).is_err(), "{input}");
        }
    }
}
