use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output},
};

use serde_json::Value;

/// A folder that goes away.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("phone-lab-play-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// A scenario with these calls, each a name and what follows `caller`; the caller takes these steps.
    pub(crate) fn scenario(&self, file: &str, calls: &[(&str, &str, &str)]) -> String {
        let call = |(name, steps, more): &(&str, &str, &str)| {
            let caller = format!("{{from: '+15550100001', to: '+15550100100', patience: 5s, steps: [{steps}]}}");
            format!("  - {{name: {name}, caller: {caller}, {more}}}\n")
        };
        self.scenario_of(file, &calls.iter().map(call).collect::<String>())
    }

    /// A scenario of these calls, each an entry of YAML's list.
    pub(crate) fn scenario_of(&self, file: &str, calls: &str) -> String {
        fs::write(self.0.join(file), format!("calls:\n{calls}")).unwrap();
        self.path(file)
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.0.join(name)).unwrap()).unwrap()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(Path::new(&self.0));
    }
}

/// A command that is under way. It ends with the test, whatever becomes of that.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

/// The command with these arguments and nothing of ours in its environment.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_phone-lab"));
    command.arg("play").args(arguments).env_remove("PUBLIC_URL").env_remove("TWILIO_AUTH_TOKEN");
    command
}

/// Runs it to its end beside the test.
pub(crate) async fn play(arguments: &[&str]) -> Output {
    let mut command = command(arguments);
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
