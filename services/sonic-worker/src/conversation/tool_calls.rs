use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{CallTime, ToolCall};
use crate::{
    calls::{Digits, NextStep, ToolRun},
    nova::{ToolSpec, ToolUseId},
    tools::{HANG_UP, SEND_DIGITS, SUPPORT},
};

/// A tool that has not answered by then is answered for: without a result the model waits for ever.
const LONGEST_RUN: Duration = Duration::from_secs(15);
/// Tools that may run beside each other on one call.
const MOST_AT_ONCE: usize = 16;
const CONNECTING: &str = "Please hold the line while I connect you.";

/// The tools the model has asked for and not yet been answered about.
#[derive(Debug)]
pub(super) struct ToolCalls {
    time: CallTime,
    running: BTreeMap<ToolUseId, Running>,
    /// Every request there ever was: one that the model repeats must not be carried out twice.
    seen: HashSet<ToolUseId>,
}

#[derive(Debug)]
struct Running {
    name: String,
    input: Value,
    since: Instant,
}

/// What a request leads to.
pub(super) enum Requested {
    /// It was requested before.
    Again,
    Run(ToolCall),
    Leave {
        next_step: NextStep,
        result: Value,
    },
    /// It cannot be run.
    Refused {
        result: Value,
    },
}

impl ToolCalls {
    pub(super) fn new(time: CallTime) -> Self {
        Self { time, running: BTreeMap::new(), seen: HashSet::new() }
    }

    pub(super) fn request(
        &mut self,
        offered: &[ToolSpec],
        id: ToolUseId,
        name: String,
        input: Value,
        now: Instant,
    ) -> Requested {
        if !self.seen.insert(id.clone()) {
            return Requested::Again;
        }
        let busy = self.running.len() >= MOST_AT_ONCE;
        self.running.insert(id.clone(), Running { name: name.clone(), input: input.clone(), since: now });
        match name.as_str() {
            name if !offered.iter().any(|tool| tool.name == name) => {
                Requested::Refused { result: json!({ "error": format!("there is no tool {name}") }) }
            }
            _ if busy => {
                Requested::Refused { result: json!({ "error": "too many tools are running: ask again later" }) }
            }
            HANG_UP => Requested::Leave {
                next_step: NextStep::HangUp { say: None },
                result: json!({ "status": "the line closes after your goodbye" }),
            },
            SUPPORT => Requested::Leave {
                next_step: NextStep::Transfer {
                    reason: input["reason"].as_str().map(str::to_owned),
                    say: Some(CONNECTING.to_owned()),
                },
                result: json!({ "status": "the caller will be connected to a human" }),
            },
            SEND_DIGITS => match Digits::try_from(input["digits"].as_str().unwrap_or_default()) {
                Ok(digits) => Requested::Leave {
                    next_step: NextStep::SendDigits { digits },
                    result: json!({ "status": "the keys are sent once you have been heard out" }),
                },
                Err(error) => Requested::Refused { result: json!({ "error": error.to_string() }) },
            },
            _ => Requested::Run(ToolCall { id, name, input }),
        }
    }

    /// The finished run, or `None` when the request is unknown or was answered before.
    pub(super) fn finish(&mut self, id: &ToolUseId, result: Value, now: Instant) -> Option<ToolRun> {
        let running = self.running.remove(id)?;
        Some(self.run(running, Some(result), now))
    }

    /// Requests whose tool has been silent for too long, with what to tell the model.
    pub(super) fn overdue(&self, now: Instant) -> Vec<(ToolUseId, Value)> {
        let overdue = self.running.iter().filter(|(_, running)| running.since + LONGEST_RUN <= now);
        overdue.map(|(id, _)| (id.clone(), json!({ "error": "the tool did not answer in time" }))).collect()
    }

    /// Whether the model waits for a result.
    pub(super) fn is_running(&self) -> bool {
        !self.running.is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.running.values().map(|running| running.since + LONGEST_RUN).min()
    }

    /// The call is over: what still runs stays without a result.
    pub(super) fn give_up(&mut self, now: Instant) -> Vec<(ToolUseId, ToolRun)> {
        let running = std::mem::take(&mut self.running).into_iter();
        running.map(|(id, running)| (id, self.run(running, None, now))).collect()
    }

    fn run(&self, Running { name, input, since }: Running, result: Option<Value>, now: Instant) -> ToolRun {
        let duration_ms = u32::try_from(now.duration_since(since).as_millis()).unwrap_or(u32::MAX);
        ToolRun { name, input, result, started_at: self.time.at(since), duration_ms }
    }
}

/// A result in words, for a session that has not asked for it.
pub(super) fn told_late(ToolRun { name, result, .. }: &ToolRun) -> String {
    let result = result.as_ref().unwrap_or(&Value::Null);
    format!("The tool {name} answered: {result}")
}
