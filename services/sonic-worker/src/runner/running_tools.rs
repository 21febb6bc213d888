use std::{collections::HashMap, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{Instrument, error, info_span};

use crate::{conversation::ToolCall, nova::ToolUseId, tools::Tools};

/// The tools of a leg that are at work, each in a task of its own. Dropping it stops them all.
#[derive(Default)]
pub(super) struct RunningTools {
    tasks: JoinSet<(ToolUseId, Value)>,
    handles: HashMap<ToolUseId, AbortHandle>,
}

impl RunningTools {
    pub(super) fn start(&mut self, tools: Tools, ToolCall { id, name, input }: ToolCall) {
        let span = info_span!("tool", tool.use_id = %id);
        let key = id.clone();
        let run = async move {
            // The panic's message may hold what the caller said; the process's panic hook tells where it was.
            let result = AssertUnwindSafe(tools.run(&name, input)).catch_unwind().await.unwrap_or_else(|_| {
                error!("a tool panicked");
                json!({ "error": "the tool broke" })
            });
            (id, result)
        };
        self.handles.insert(key, self.tasks.spawn(run.instrument(span)));
    }

    /// Stops a tool; nothing happens if it has finished.
    pub(super) fn stop(&mut self, id: &ToolUseId) {
        if let Some(handle) = self.handles.remove(id) {
            handle.abort();
        }
    }

    /// The next result; nothing ever, while no tool is at work. May be dropped and called again.
    pub(super) async fn next(&mut self) -> (ToolUseId, Value) {
        loop {
            match self.tasks.join_next().await {
                Some(Ok((id, result))) => {
                    self.handles.remove(&id);
                    return (id, result);
                }
                // It was stopped.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        nova::ToolSpec,
        tools::{Tool, ToolFuture},
    };

    struct Panics;

    impl Tool for Panics {
        fn spec(&self) -> ToolSpec {
            ToolSpec { name: "panic", description: "", input_schema: json!({}) }
        }

        fn run(&self, _: Value) -> ToolFuture {
            Box::pin(async { panic!("as it should") })
        }
    }

    fn call() -> ToolCall {
        ToolCall { id: ToolUseId::from("T"), name: "panic".into(), input: Value::Null }
    }

    #[tokio::test]
    async fn a_tool_that_panics_is_answered_for_at_once() {
        let mut tools = RunningTools::default();
        tools.start(Tools::of([Box::new(Panics) as Box<dyn Tool>]), call());
        assert_eq!(tools.next().await, (ToolUseId::from("T"), json!({ "error": "the tool broke" })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_tool_has_no_result() {
        let mut tools = RunningTools::default();
        tools.start(Tools::of([Box::new(Panics) as Box<dyn Tool>]), call());
        tools.stop(&ToolUseId::from("T"));
        assert!(tokio::time::timeout(Duration::from_secs(1), tools.next()).await.is_err());
    }
}
