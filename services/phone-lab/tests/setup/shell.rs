//! A shell that is typed into, one block after the other, as a reader would.

use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::world::World;

/// The longest that a block may take: it starts services and asks them.
const BLOCK: Duration = Duration::from_secs(180);
const DONE: &str = "@@ the block is done";

/// Gone, with all that it started, when it is dropped.
pub(crate) struct Shell {
    child: Child,
    group: Pid,
    keys: ChildStdin,
    screen: Lines<BufReader<ChildStdout>>,
    output: Vec<String>,
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The page's last step has ended everything, if it was reached.
        let _ = kill_process_group(self.group, Signal::KILL);
    }
}

impl Shell {
    pub(crate) fn open(world: &World) -> Self {
        let mut command = Command::new("bash");
        command.arg("--noprofile").arg("--norc").current_dir(world.folder()).env_clear().envs(world.environment());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let group = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        let (keys, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, group, keys, screen: BufReader::new(stdout).lines(), output: Vec::new() }
    }

    /// Types a block and waits until it is through. The first command that fails ends the shell.
    pub(crate) async fn run(&mut self, block: &str) {
        let typed = format!("exec 2>&1; set -euo pipefail\n{block}\necho; echo '{DONE}'\n");
        self.keys.write_all(typed.as_bytes()).await.unwrap();
        loop {
            let line = timeout(BLOCK, self.screen.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("still busy with\n{block}\n---\n{}", self.output()));
            match line.unwrap() {
                Some(line) if line == DONE => return,
                Some(line) => self.output.push(line),
                None => {
                    let status = self.child.wait().await.unwrap();
                    panic!("{status} in\n{block}\n---\n{}", self.output())
                }
            }
        }
    }

    pub(crate) async fn run_all(&mut self, blocks: &[String]) {
        for block in blocks {
            self.run(block).await;
        }
    }

    /// What a variable holds.
    pub(crate) async fn value(&mut self, name: &str) -> String {
        self.run(&format!("echo \"${name}\"")).await;
        self.output.iter().rfind(|line| !line.is_empty()).unwrap().clone()
    }

    /// Everything on the screen.
    pub(crate) fn output(&self) -> String {
        self.output.join("\n")
    }
}
