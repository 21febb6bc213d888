//! Stopping, in two steps: a soft stop (take no new work, let what is live end) and a hard one (end it now).

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

/// How often a draining process says what it still waits for.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// The stop signals of a process and the tasks that must end before it may go.
///
/// Clones share the same state.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
}

impl Lifecycle {
    /// Cancelled when no new work may start.
    pub fn soft_stop(&self) -> &CancellationToken {
        &self.soft
    }

    /// Cancelled when live work must end at once.
    pub fn hard_stop(&self) -> &CancellationToken {
        &self.hard
    }

    /// Tasks that hold live work; spawn each call here, so that draining waits for it.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Whether the soft stop has begun.
    pub fn is_draining(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Starts the soft stop on SIGTERM or SIGINT, the hard one on a second signal.
    ///
    /// # Errors
    /// If signal handlers cannot be installed.
    pub fn listen_for_signals(&self) -> std::io::Result<()> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (soft, hard) = (self.soft.clone(), self.hard.clone());
        tokio::spawn(async move {
            for token in [soft, hard] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                token.cancel();
            }
        });
        Ok(())
    }

    /// After the soft stop: waits until every task has ended, at most for `limit`; then ends the rest.
    pub async fn drain(&self, limit: Duration) -> Drained {
        self.soft.cancelled().await;
        self.tasks.close();
        info!(live = self.tasks.len(), "draining");
        let mut reports = tokio::time::interval(REPORT_EVERY);
        let deadline = tokio::time::sleep(limit);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                () = self.tasks.wait() => { info!("drained"); return Drained::Whole; }
                () = &mut deadline => break,
                () = self.hard.cancelled() => break,
                _ = reports.tick() => info!(live = self.tasks.len(), "waiting for live work to end"),
            }
        }
        warn!(live = self.tasks.len(), "drain time is over: ending live work");
        self.hard.cancel();
        self.tasks.wait().await;
        Drained::CutShort
    }
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// All live work ended by itself.
    Whole,
    /// Some of it had to be ended.
    CutShort,
}
