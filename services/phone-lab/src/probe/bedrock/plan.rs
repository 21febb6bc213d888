//! One session that is wrong in one way, move by move, and what comes of it.

use std::time::Duration;

use offhook_hosting::clock::Clock;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{
    events,
    reading::Seen,
    wire::{FrameFlaw, RequestFlaw, Stream, Target},
};

/// What a probe does, after the request.
#[derive(Clone, Debug)]
pub(super) enum Move {
    Send(Value),
    SendFlawed(Value, FrameFlaw),
    /// Silence of this length, at once.
    Silence(Duration),
    /// Silence for this long, at its pace.
    KeepSilent(Duration),
    /// Waits until the model asks for a tool.
    UntilToolUse,
    /// A result, of this content, for the tool that was asked for.
    ToolResult(&'static str, Value),
    /// Ends the client's half, with the empty frame before it or without.
    Finish {
        by_the_book: bool,
    },
    /// This many further sessions, before this one.
    Crowd(usize),
}

impl Move {
    /// The event that is sent, if that is all there is to it.
    pub(super) fn event(&self) -> Option<Value> {
        match self {
            Self::Send(event) => Some(event.clone()),
            Self::Silence(length) => Some(events::silence(*length)),
            Self::SendFlawed(..)
            | Self::KeepSilent(_)
            | Self::UntilToolUse
            | Self::ToolResult(..)
            | Self::Finish { .. }
            | Self::Crowd(_) => None,
        }
    }
}

/// A request and moves.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) request: RequestFlaw,
    pub(super) moves: Vec<Move>,
}

/// How a service reacts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The request was refused.
    Refused {
        /// HTTP status.
        status: u16,
        /// Type of the error.
        error: String,
    },
    /// The stream ended with an exception.
    Exception {
        /// Its type, as on the wire.
        kind: String,
        /// Its text, without the request's id.
        message: String,
    },
    /// The stream broke: an HTTP/2 code, or that the connection is gone.
    Broken(String),
    /// The stream ended without a complaint.
    Ended,
    /// The model spoke.
    Answered,
    /// The stream is open, and the model says nothing.
    Silent,
    /// There was no response to the request.
    Waited,
    /// The model did not ask for the tool that the experiment is about; try again.
    NoToolUse,
    /// There was no connection to ask over, and why; try again.
    Unreachable(String),
}

impl Outcome {
    /// Whether it says anything about the rule. What does not agrees with nothing.
    pub(super) fn is_telling(&self) -> bool {
        !matches!(self, Self::NoToolUse | Self::Unreachable(_))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused { status, error } => write!(f, "{status} {error}"),
            Self::Exception { kind, message } => write!(f, "{kind}: {message}"),
            Self::Broken(how) => f.write_str(how),
            Self::Ended => f.write_str("the stream ends without a complaint"),
            Self::Answered => f.write_str("accepted, and the model speaks"),
            Self::Silent => f.write_str("accepted, and the model is silent"),
            Self::Waited => f.write_str("no response"),
            Self::NoToolUse => f.write_str("the model asked for no tool: try again"),
            Self::Unreachable(why) => write!(f, "not reached, try again: {why}"),
        }
    }
}

/// Carries out a plan. `patience` is how long a service that says nothing is listened to. One lost connection costs its
/// experiment, not the minutes of all others.
pub(super) async fn carry_out(plan: &Plan, target: &Target, patience: Duration, clock: Clock) -> Outcome {
    let tried = try_out(plan, target, patience, clock).await;
    tried.unwrap_or_else(|error| Outcome::Unreachable(format!("{error:#}")))
}

async fn try_out(plan: &Plan, target: &Target, patience: Duration, clock: Clock) -> anyhow::Result<Outcome> {
    let mut crowd = Vec::new();
    if let Some(&Move::Crowd(sessions)) = plan.moves.first() {
        for _ in 0..sessions {
            let mut probe = Probe::open(target, RequestFlaw::None, patience, clock).await?;
            for event in events::with_audio() {
                probe.act(&event).await?;
            }
            crowd.push(probe);
        }
    }
    let mut probe = Probe::open(target, plan.request, patience, clock).await?;
    for act in &plan.moves {
        probe.act(act).await?;
        if let Some(outcome) = probe.outcome.take() {
            return Ok(outcome);
        }
    }
    probe.listen_for("audioOutput").await;
    if probe.outcome == Some(Outcome::Answered) {
        probe.await_complaint().await;
    }
    Ok(probe.outcome.unwrap_or(if probe.responded { Outcome::Silent } else { Outcome::Waited }))
}

struct Probe {
    stream: Stream,
    clock: Clock,
    patience: Duration,
    responded: bool,
    tool_use_id: Option<String>,
    outcome: Option<Outcome>,
}

impl Probe {
    async fn open(target: &Target, flaw: RequestFlaw, patience: Duration, clock: Clock) -> anyhow::Result<Self> {
        let stream = Stream::open(target, flaw, clock.wall()).await?;
        Ok(Self { stream, clock, patience, responded: false, tool_use_id: None, outcome: None })
    }

    async fn act(&mut self, act: &Move) -> anyhow::Result<()> {
        let now = self.clock.wall();
        match act {
            Move::Send(_) | Move::Silence(_) => {
                if let Some(event) = act.event() {
                    self.stream.send(&event, now)?;
                }
            }
            Move::SendFlawed(event, flaw) => self.stream.send_flawed(event, *flaw, now)?,
            Move::KeepSilent(length) => self.keep_silent(*length).await?,
            Move::UntilToolUse => {
                self.listen_for("toolUse").await;
                if self.tool_use_id.is_none() && self.outcome.is_none() {
                    self.outcome = Some(Outcome::NoToolUse);
                }
            }
            Move::ToolResult(name, content) => {
                let tool_use_id = self.tool_use_id.clone().unwrap_or_default();
                for event in events::tool_result(name, &tool_use_id, content) {
                    self.stream.send(&event, now)?;
                }
            }
            Move::Finish { by_the_book } => self.stream.finish(*by_the_book, now)?,
            Move::Crowd(_) => {}
        }
        while let Ok(seen) = self.stream.seen.try_recv() {
            self.handle_seen(seen);
        }
        Ok(())
    }

    async fn keep_silent(&mut self, length: Duration) -> anyhow::Result<()> {
        const PIECE: Duration = Duration::from_millis(500);
        let mut rest = length;
        while !rest.is_zero() && self.outcome.is_none() {
            self.stream.send(&events::silence(PIECE), self.clock.wall())?;
            sleep(PIECE.min(rest)).await;
            rest = rest.saturating_sub(PIECE);
            while let Ok(seen) = self.stream.seen.try_recv() {
                self.handle_seen(seen);
            }
        }
        Ok(())
    }

    /// Reads on to an event of this name, the end, or the end of patience. The model's speech is an outcome.
    async fn listen_for(&mut self, expected: &str) {
        let patience = self.patience;
        let listening = async {
            while self.outcome.is_none() {
                let Some(seen) = self.stream.seen.recv().await else { return };
                if let Seen::Event { name, .. } = &seen {
                    let found = name == expected;
                    if found && name == "audioOutput" {
                        self.outcome = Some(Outcome::Answered);
                    }
                    self.handle_seen(seen);
                    if found {
                        return;
                    }
                } else {
                    self.handle_seen(seen);
                }
            }
        };
        // Patience that is over is told by what was seen until then.
        drop(timeout(patience, listening).await);
    }

    /// Speech may have been on its way before what is wrong was read.
    async fn await_complaint(&mut self) {
        let patience = self.patience / 10;
        let listening = async {
            while let Some(seen) = self.stream.seen.recv().await {
                self.handle_seen(seen);
            }
        };
        drop(timeout(patience, listening).await);
    }

    fn handle_seen(&mut self, seen: Seen) {
        match seen {
            Seen::Response { .. } => self.responded = true,
            Seen::Event { name, fields, .. } => {
                if name == "toolUse" {
                    self.tool_use_id = fields["toolUseId"].as_str().map(str::to_owned);
                }
            }
            Seen::Refused { status, error } => self.conclude(Outcome::Refused { status, error }),
            Seen::Exception { kind, message } => self.conclude(Outcome::Exception { kind, message }),
            Seen::Broken(how) => self.conclude(Outcome::Broken(how)),
            Seen::End => self.conclude(Outcome::Ended),
        }
    }

    /// A stream ends after its exception, and an exception may come after the speech that was on its way.
    fn conclude(&mut self, outcome: Outcome) {
        let stands = match self.outcome {
            None => false,
            Some(Outcome::Answered) => outcome == Outcome::Ended,
            Some(_) => true,
        };
        if !stands {
            self.outcome = Some(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use offhook_hosting::clock::Clock;

    use super::{
        super::{EXPERIMENTS, Finding, Settings, Simulator},
        *,
    };

    #[tokio::test]
    async fn a_service_that_is_gone_is_an_outcome_that_agrees_with_nothing() {
        let Simulator { server, target } = Simulator::start(Settings::default()).await.unwrap();
        server.stop().await;
        let outcome = carry_out(&Plan::default(), &target, Duration::ZERO, Clock).await;
        assert!(matches!(&outcome, Outcome::Unreachable(why) if why.contains("refused")), "{outcome}");
        let [simulated, real] = [&outcome; 2].map(|outcome| (outcome.clone(), Duration::ZERO));
        assert!(!Finding::new(&EXPERIMENTS[0], simulated, real).agrees);
    }
}
