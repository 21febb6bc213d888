use jiff::tz::TimeZone;
use offhook_hosting::clock::Clock;
use serde_json::{Value, json};

use super::{Tool, ToolError, ToolFuture};
use crate::nova::ToolSpec;

/// Tells the date and the time, in UTC or in the time zone asked for.
#[derive(Debug)]
pub(super) struct DateAndTime {
    clock: Clock,
}

impl DateAndTime {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock }
    }
}

impl Tool for DateAndTime {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "get_date_and_time",
            description: "Tells the current date, weekday and time.",
            input_schema: json!({
                "type": "object",
                "properties": {
                    "time_zone": { "type": "string", "description": "IANA name such as Europe/Paris; UTC if left out" },
                },
            }),
        }
    }

    fn run(&self, input: Value) -> ToolFuture {
        Box::pin(std::future::ready(tell(&input, self.clock.wall())))
    }
}

fn tell(input: &Value, now: jiff::Timestamp) -> Result<Value, ToolError> {
    let name = input["time_zone"].as_str().unwrap_or("UTC");
    let unknown = |_| ToolError::Input(format!("there is no time zone {name}; use an IANA name such as Europe/Paris"));
    let now = now.to_zoned(TimeZone::get(name).map_err(unknown)?);
    Ok(json!({
        "date": now.date().to_string(),
        "weekday": now.strftime("%A").to_string(),
        "time": now.strftime("%H:%M").to_string(),
        "time_zone": name,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_told_where_the_caller_is() {
        let now = "2026-11-22T23:30:00Z".parse().unwrap();
        let told = tell(&json!({ "time_zone": "Europe/Paris" }), now).unwrap();
        assert_eq!(
            told,
            json!({ "date": "2026-11-23", "weekday": "Monday", "time": "00:30", "time_zone": "Europe/Paris" })
        );
        assert_eq!(tell(&Value::Null, now).unwrap()["time"], "23:30");
    }

    #[test]
    fn an_unknown_time_zone_is_explained() {
        let error = tell(&json!({ "time_zone": "Mars/Olympus" }), jiff::Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(error.to_string().contains("Europe/Paris"), "{error}");
    }
}
